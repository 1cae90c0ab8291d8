//! From PEM files to what rustls serves with.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig};

use super::Files;

/// Which of the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum File {
    /// A certificate chain.
    Certificate,
    /// A key.
    Key,
    /// The authorities of client certificates.
    ClientCa,
}

/// A file that cannot be used.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{}: {reason}", path.display())]
pub struct TlsError {
    /// What it is for.
    pub file: File,
    /// Where it stands.
    pub path: PathBuf,
    /// What is wrong with it.
    pub reason: String,
}

/// What tells that a file has changed: length, inode and the times of its last changes, to the nanosecond.
pub(super) type Stamp = (u64, u64, [i64; 4]);

/// The stamp of each file; `None` for one that cannot be looked at.
pub(super) fn stamps(files: &Files) -> Vec<Option<Stamp>> {
    let stamp = |path: &PathBuf| {
        let found = std::fs::metadata(path).ok()?;
        let times = [found.mtime(), found.mtime_nsec(), found.ctime(), found.ctime_nsec()];
        Some((found.len(), found.ino(), times))
    };
    files.certificates.iter().chain(&files.keys).chain(&files.client_ca).map(stamp).collect()
}

fn fault(file: File, path: &Path, reason: impl ToString) -> TlsError {
    TlsError { file, path: path.to_owned(), reason: reason.to_string() }
}

fn describe(error: pem::Error, what: &str) -> String {
    match error {
        pem::Error::Io(error) => format!("cannot be read: {error}"),
        pem::Error::NoItemsFound => format!("holds no {what} in PEM"),
        other => format!("is no PEM: {other}"),
    }
}

/// Reads all of it.
pub(super) fn load(files: &Files) -> Result<ServerConfig, TlsError> {
    let provider = Arc::new(ring::default_provider());
    let pairs = files.certificates.iter().zip(&files.keys);
    let pairs = pairs.map(|(certificate, key)| pair(&provider, certificate, key).map(Arc::new));
    let pairs = Pairs(pairs.collect::<Result<_, _>>()?);
    let no_version = |error| fault(File::Certificate, Path::new(""), error);
    let builder = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(no_version)?;
    let builder = match &files.client_ca {
        Some(path) => builder.with_client_cert_verifier(client_verifier(path)?),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_cert_resolver(Arc::new(pairs));
    // Nothing is resumed: a certificate that has expired, or whose authority is trusted no more, would be
    // let in again unseen; and connections that last for days gain nothing by it.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

/// Who says whether a client's certificate can be trusted.
pub(super) fn client_verifier(path: &Path) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let roots = Arc::new(roots(path)?);
    WebPkiClientVerifier::builder_with_provider(roots, Arc::new(ring::default_provider()))
        // Who has none may still have a password.
        .allow_unauthenticated()
        .build()
        .map_err(|error| fault(File::ClientCa, path, error))
}

fn pair(provider: &CryptoProvider, certificate: &Path, key: &Path) -> Result<CertifiedKey, TlsError> {
    let wrong = |error| fault(File::Certificate, certificate, describe(error, "certificate"));
    let chain = CertificateDer::pem_file_iter(certificate).map_err(wrong)?;
    let chain = chain.collect::<Result<Vec<_>, _>>().map_err(wrong)?;
    if chain.is_empty() {
        return Err(wrong(pem::Error::NoItemsFound));
    }
    let der = PrivateKeyDer::from_pem_file(key)
        .map_err(|error| fault(File::Key, key, describe(error, "private key")))?;
    let signer = provider.key_provider.load_private_key(der).map_err(|error| fault(File::Key, key, error))?;
    let pair = CertifiedKey::new(chain, signer);
    match pair.keys_match() {
        Ok(()) => Ok(pair),
        Err(rustls::Error::InconsistentKeys(_)) => {
            let reason = format!("is not the key of the certificate in {}", certificate.display());
            Err(fault(File::Key, key, reason))
        }
        Err(error) => Err(fault(File::Certificate, certificate, error)),
    }
}

fn roots(path: &Path) -> Result<RootCertStore, TlsError> {
    let wrong = |error| fault(File::ClientCa, path, describe(error, "certificate"));
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(wrong)? {
        roots.add(certificate.map_err(wrong)?).map_err(|error| fault(File::ClientCa, path, error))?;
    }
    if roots.is_empty() { Err(wrong(pem::Error::NoItemsFound)) } else { Ok(roots) }
}

/// Chains with their keys, of which a client is shown the first that it can check.
#[derive(Debug)]
struct Pairs(Vec<Arc<CertifiedKey>>);

impl ResolvesServerCert for Pairs {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let suits = |pair: &&Arc<CertifiedKey>| pair.key.choose_scheme(hello.signature_schemes()).is_some();
        self.0.iter().find(suits).cloned()
    }
}
