//! The authorities of client certificates, for those that were shown to somebody else.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::files::{self, TlsError};
use super::{ClientCertificate, Files, Watched, tell};

/// Checks chains of certificates that a proxy has handed on.
pub struct Authorities {
    path: PathBuf,
    current: RwLock<Arc<dyn ClientCertVerifier>>,
}

impl Authorities {
    /// Reads the file (PEM).
    ///
    /// # Errors
    /// Says why it cannot be used.
    pub fn load(path: PathBuf) -> Result<Arc<Self>, TlsError> {
        let current = RwLock::new(files::client_verifier(&path)?);
        Ok(Arc::new(Self { path, current }))
    }

    /// Whom a chain names, the client's own certificate first; `None` if it leads to no authority, or not now.
    pub fn check(&self, chain: &[Vec<u8>]) -> Option<ClientCertificate> {
        let (own, above) = chain.split_first()?;
        let above: Vec<_> = above.iter().map(|der| CertificateDer::from(der.as_slice())).collect();
        let verifier = self.current.read().unwrap_or_else(PoisonError::into_inner).clone();
        let leaf = CertificateDer::from(own.as_slice());
        match verifier.verify_client_cert(&leaf, &above, UnixTime::now()) {
            Ok(_) => ClientCertificate::read(own),
            Err(error) => {
                debug!("a certificate that a proxy handed on is not trusted: {error}");
                None
            }
        }
    }

    /// Reads the file anew whenever it has changed, until `stop`.
    pub async fn watch(self: Arc<Self>, stop: CancellationToken) {
        let files = Files { client_ca: Some(self.path.clone()), ..Files::default() };
        let mut watched = Watched::new(files).await;
        while watched.changed(&stop).await {
            tell(self.reload().await);
        }
    }

    async fn reload(&self) -> Result<(), String> {
        let path = self.path.clone();
        let loaded = tokio::task::spawn_blocking(move || files::client_verifier(&path)).await;
        let loaded = loaded.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = loaded;
        Ok(())
    }
}
