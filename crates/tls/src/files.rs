//! Reads PEM files into a rustls configuration.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{
    ClientHello, NoServerSessionStorage, ResolvesServerCert, VerifierBuilderError, WebPkiClientVerifier,
};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig};

use super::Files;
use super::shown_names::Remembering;
use vocabulary::clock::Timestamp;
use vocabulary::der::Certificate;

/// Which of the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum File {
    /// A certificate chain.
    Certificate,
    /// A key.
    Key,
    /// The authorities of client certificates.
    ClientCa,
    /// The lists of client certificates that are revoked.
    ClientCrl,
}

/// A file that cannot be used.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{}: {reason}", path.display())]
pub struct TlsError {
    /// What it is for.
    pub file: File,
    /// Its path.
    pub path: PathBuf,
    /// What is wrong with it.
    pub reason: String,
}

/// Something is wrong with a file.
pub(super) fn fault(file: File, path: &Path, reason: impl ToString) -> TlsError {
    TlsError { file, path: path.to_owned(), reason: reason.to_string() }
}

fn describe(error: pem::Error, what: &str) -> String {
    match error {
        pem::Error::Io(error) => format!("cannot be read: {error}"),
        pem::Error::NoItemsFound => format!("holds no {what} in PEM"),
        other => format!("is no PEM: {other}"),
    }
}

/// The contents of the files of a listener.
pub(super) struct Loaded {
    pub(super) config: Arc<ServerConfig>,
    /// When the first of its own certificates expires, if that can be read.
    pub(super) expires_at: Option<Timestamp>,
}

/// Reads all of it.
pub(super) fn load(files: &Files) -> Result<Loaded, TlsError> {
    let provider = Arc::new(ring::default_provider());
    let pairs = files.certificates.iter().zip(&files.keys);
    let pairs = pairs.map(|(certificate, key)| pair(&provider, certificate, key).map(Arc::new));
    let pairs = Pairs(pairs.collect::<Result<_, _>>()?);
    let expires_at = first_end(&pairs.0);
    let no_version = |error| fault(File::Certificate, Path::new(""), error);
    let builder = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(no_version)?;
    let builder = match &files.client_ca {
        Some(path) => {
            let inner = client_verifier(path, files.client_crl.as_deref())?;
            builder.with_client_cert_verifier(Arc::new(Remembering { inner }))
        }
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_cert_resolver(Arc::new(pairs));
    // Sessions are not resumed: a certificate that has expired, or whose authority is no longer trusted,
    // would be accepted unchecked. And connections that last for days gain nothing from it.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Loaded { config: Arc::new(config), expires_at })
}

/// When the first of the certificates in the chains expires.
fn first_end(pairs: &[Arc<CertifiedKey>]) -> Option<Timestamp> {
    let all = pairs.iter().flat_map(|pair| &pair.cert);
    all.filter_map(|certificate| Certificate::read(certificate)?.not_after).min()
}

/// The verifier of client certificates.
pub(super) fn client_verifier(
    path: &Path,
    revoked: Option<&Path>,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let roots = Arc::new(roots(path)?);
    let mut verifier = WebPkiClientVerifier::builder_with_provider(roots, Arc::new(ring::default_provider()))
        // A client without a certificate may have a password.
        .allow_unauthenticated();
    if let Some(lists) = revoked {
        // An authority without a list has revoked nothing.
        verifier = verifier.with_crls(revocation_lists(lists)?).allow_unknown_revocation_status();
    }
    verifier.build().map_err(|error| match (error, revoked) {
        (VerifierBuilderError::InvalidCrl(error), Some(lists)) => {
            fault(File::ClientCrl, lists, format!("holds a list that cannot be read: {error:?}"))
        }
        (error, _) => fault(File::ClientCa, path, error),
    })
}

/// A chain and its key.
pub(super) fn pair(
    provider: &CryptoProvider,
    certificate: &Path,
    key: &Path,
) -> Result<CertifiedKey, TlsError> {
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

fn revocation_lists(path: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>, TlsError> {
    let wrong = |error| fault(File::ClientCrl, path, describe(error, "revocation list"));
    let lists = CertificateRevocationListDer::pem_file_iter(path).map_err(wrong)?;
    let lists = lists.collect::<Result<Vec<_>, _>>().map_err(wrong)?;
    if lists.is_empty() { Err(wrong(pem::Error::NoItemsFound)) } else { Ok(lists) }
}

/// Chains with their keys. A client gets the first one that it can check.
#[derive(Debug)]
struct Pairs(Vec<Arc<CertifiedKey>>);

impl ResolvesServerCert for Pairs {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let suits = |pair: &&Arc<CertifiedKey>| pair.key.choose_scheme(hello.signature_schemes()).is_some();
        self.0.iter().find(suits).cloned()
    }
}
