//! The authorities of client certificates that a proxy has received.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::ClientCertificate;
use super::files::{self, TlsError};
use super::reload::{Prepared, Reloaded};

/// Checks chains of certificates that a proxy has handed on.
pub struct Authorities {
    verifier: Arc<Reloaded<Arc<dyn ClientCertVerifier>>>,
}

impl Authorities {
    /// Reads the files (PEM): the authorities, and lists of what they have revoked.
    ///
    /// # Errors
    /// Says why one cannot be used.
    pub fn load(path: PathBuf, revoked: Option<PathBuf>) -> Result<Arc<Self>, TlsError> {
        let files = [path.clone()].into_iter().chain(revoked.clone()).collect();
        let load = move || files::client_verifier(&path, revoked.as_deref());
        Ok(Arc::new(Self {
            verifier: Reloaded::new("the authorities of stations' certificates", files, load)?,
        }))
    }

    /// Reads these files, or the same ones again.
    ///
    /// # Errors
    /// As [`Authorities::load`]; nothing is different then.
    pub fn prepare(&self, path: PathBuf, revoked: Option<PathBuf>) -> Result<Prepared, TlsError> {
        let files = [path.clone()].into_iter().chain(revoked.clone()).collect();
        self.verifier.prepare(files, move || files::client_verifier(&path, revoked.as_deref()))
    }

    /// The client of a chain, its own certificate first; `None` if the chain leads to no authority, or is not
    /// valid now.
    pub fn check(&self, chain: &[Vec<u8>]) -> Option<ClientCertificate> {
        let (own, above) = chain.split_first()?;
        let above: Vec<_> = above.iter().map(|der| CertificateDer::from(der.as_slice())).collect();
        let leaf = CertificateDer::from(own.as_slice());
        match self.verifier.current().verify_client_cert(&leaf, &above, UnixTime::now()) {
            Ok(_) => ClientCertificate::read(own),
            Err(error) => {
                debug!("a certificate that a proxy handed on is not trusted: {error}");
                None
            }
        }
    }

    /// Reads the files again whenever they change, until `stop`.
    pub async fn watch(self: Arc<Self>, stop: CancellationToken) {
        self.verifier.clone().watch(stop).await;
    }
}
