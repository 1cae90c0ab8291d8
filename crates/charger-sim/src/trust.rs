//! Whom a charger trusts, and what it proves itself with: the client's side of TLS.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

/// A certificate with its chain, and its key. Not `Debug`: the key is secret.
pub struct OwnCertificate {
    /// The charger's own certificate, then those that go with it.
    pub chain: Vec<CertificateDer<'static>>,
    /// Its key.
    pub key: PrivateKeyDer<'static>,
}

impl Clone for OwnCertificate {
    fn clone(&self) -> Self {
        Self { chain: self.chain.clone(), key: self.key.clone_key() }
    }
}

/// The roots of central systems, and the charger's own certificate.
#[derive(Clone, Default)]
pub struct Trust {
    /// A central system must have a certificate of one of these.
    pub roots: Vec<CertificateDer<'static>>,
    /// What the charger shows for security profile 3.
    pub own: Option<OwnCertificate>,
}

/// A file that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{}: {reason}", path.display())]
pub struct UnusableFile {
    path: PathBuf,
    reason: String,
}

impl Trust {
    /// Reads PEM files: the roots, and a certificate with its key.
    ///
    /// # Errors
    /// Names the file that cannot be used, and why.
    pub fn read(roots: Option<&Path>, own: Option<(&Path, &Path)>) -> Result<Self, UnusableFile> {
        let own = own.map(|(certificate, key)| {
            let chain = certificates(certificate)?;
            let key =
                PrivateKeyDer::from_pem_file(key).map_err(|error| unusable(key, "private key", error))?;
            Ok(OwnCertificate { chain, key })
        });
        let roots = roots.map(certificates).transpose()?.unwrap_or_default();
        Ok(Self { roots, own: own.transpose()? })
    }

    /// How a connection is greeted with this.
    ///
    /// # Errors
    /// If a root or the certificate's key cannot be used.
    pub fn client_config(&self) -> Result<Arc<ClientConfig>, rustls::Error> {
        let mut roots = RootCertStore::empty();
        for root in &self.roots {
            roots.add(root.clone())?;
        }
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots);
        let mut config = match &self.own {
            Some(own) => builder.with_client_auth_cert(own.chain.clone(), own.key.clone_key())?,
            None => builder.with_no_client_auth(),
        };
        // A charger that comes back shows its certificate again.
        config.resumption = rustls::client::Resumption::disabled();
        Ok(Arc::new(config))
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, UnusableFile> {
    let wrong = |error| unusable(path, "certificate", error);
    let found =
        CertificateDer::pem_file_iter(path).map_err(wrong)?.collect::<Result<Vec<_>, _>>().map_err(wrong)?;
    if found.is_empty() { Err(wrong(pem::Error::NoItemsFound)) } else { Ok(found) }
}

fn unusable(path: &Path, what: &str, error: pem::Error) -> UnusableFile {
    let reason = match error {
        pem::Error::Io(error) => format!("cannot be read: {error}"),
        pem::Error::NoItemsFound => format!("holds no {what} in PEM"),
        other => format!("is no PEM: {other}"),
    };
    UnusableFile { path: path.to_owned(), reason }
}
