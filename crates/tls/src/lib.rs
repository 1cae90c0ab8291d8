//! TLS of the gateway's listeners, and the authorities of client certificates. Certificates and keys come
//! from files that are read again when they change.
//!
//! Only new connections use changed files. Files that cannot be used after a change are logged, and the old
//! ones stay in force.

mod client_authorities;
mod failure;
mod files;
mod reload;
mod shown_names;
mod signing_authority;
mod stream;
#[cfg(test)]
mod tests;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::CertificateError;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use files::Loaded;
use reload::Reloaded;
use vocabulary::clock::Timestamp;
use vocabulary::der::Certificate;
use vocabulary::id::SerialNumber;
use vocabulary::setting::Broken;

pub use client_authorities::Authorities;
pub use failure::TlsFailure;
pub use files::{File, TlsError};
pub use reload::Prepared;
pub use signing_authority::{Authority, AuthoritySettings, Issued, NotTrusted, RefusedRequest};
pub use stream::Stream;

/// The files of certificates and keys, all of them PEM.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Files {
    /// Chains, the server's own certificate first in each. A client gets the first one whose signatures it
    /// can check.
    pub certificates: Vec<PathBuf>,
    /// The key of each chain, in the same order.
    pub keys: Vec<PathBuf>,
    /// The authorities of client certificates; `None`: clients are not asked for any.
    pub client_ca: Option<PathBuf>,
    /// Lists of revoked client certificates; only used with `client_ca`.
    pub client_crl: Option<PathBuf>,
}

impl Files {
    /// Notes chains without a key and keys without a chain; `table` has both.
    pub fn check(&self, table: &str, broken: &mut Broken) {
        let rule = format!("lists one key for each file of {table}.tls_certificate, in the same order");
        broken.unless(self.certificates.len() == self.keys.len(), "tls_key", rule);
    }

    fn all(&self) -> Vec<PathBuf> {
        let Self { certificates, keys, client_ca, client_crl } = self;
        certificates.iter().chain(keys).chain(client_ca).chain(client_crl).cloned().collect()
    }
}

/// TLS of a listener.
pub struct Tls {
    config: Arc<Reloaded<Loaded>>,
}

/// A connection whose TLS handshake is done.
pub struct Accepted {
    /// The connection.
    pub stream: Stream,
    /// The client's certificate, if it has sent one.
    pub certificate: Option<ClientCertificate>,
}

/// Why there is no TLS with a client.
#[derive(Debug)]
pub struct NotAgreed {
    /// What went wrong.
    pub error: io::Error,
    /// Whom the client's certificate names, if it was that which is not trusted. It proves nothing.
    pub shown_names: Vec<String>,
}

/// The contents of a client's certificate. Its chain and its dates have been checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    names: Vec<String>,
    organizations: Vec<String>,
    serial_number: SerialNumber,
}

impl ClientCertificate {
    /// Reads a certificate; `None` if it is none.
    pub fn read(der: &[u8]) -> Option<Self> {
        let mut certificate = Certificate::read(der)?;
        let mut names = std::mem::take(&mut certificate.common_names);
        names.append(&mut certificate.alternative_names);
        let Certificate { organizations, serial_number, .. } = certificate;
        Some(Self { names, organizations, serial_number })
    }

    /// Whether a common name or an alternative name of its subject is exactly this.
    pub fn names(&self, name: &str) -> bool {
        self.names.iter().any(|own| own == name)
    }

    /// The number that its issuer gave it.
    pub fn serial_number(&self) -> &SerialNumber {
        &self.serial_number
    }

    /// Whether it was issued to this organisation.
    pub fn is_of(&self, organization: &str) -> bool {
        self.organizations.iter().any(|own| own == organization)
    }
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// Names the file that cannot be used, and why.
    pub fn load(files: Files) -> Result<Arc<Self>, TlsError> {
        let config = Reloaded::new("TLS certificates and keys", files.all(), move || files::load(&files))?;
        Ok(Arc::new(Self { config }))
    }

    /// Reads these files, or the same ones again; new connections use them once they are put in force.
    ///
    /// # Errors
    /// As [`Tls::load`]; nothing is different then.
    pub fn prepare(&self, files: Files) -> Result<Prepared, TlsError> {
        self.config.prepare(files.all(), move || files::load(&files))
    }

    /// When the first of the certificates that clients are shown expires, if that can be read.
    pub fn expires_at(&self) -> Option<Timestamp> {
        self.config.current().expires_at
    }

    /// Makes the TLS handshake with a client, and returns its certificate if it has sent one. The caller
    /// bounds the time.
    ///
    /// # Errors
    /// If the handshake fails, or the certificate is not trusted; [`TlsFailure::of`] says why.
    pub async fn accept(&self, stream: TcpStream) -> Result<Accepted, NotAgreed> {
        let (accepted, shown_names) = shown_names::with_names(self.agree(stream)).await;
        accepted.map_err(|error| NotAgreed { error, shown_names })
    }

    async fn agree(&self, stream: TcpStream) -> io::Result<Accepted> {
        let stream = TlsAcceptor::from(self.config.current().config.clone()).accept(stream).await?;
        let leaf = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        let certificate = match leaf {
            // It is trusted but cannot be read here: to be on the safe side it is refused.
            Some(leaf) => Some(
                ClientCertificate::read(leaf)
                    .ok_or(rustls::Error::InvalidCertificate(CertificateError::BadEncoding))
                    .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?,
            ),
            None => None,
        };
        Ok(Accepted { stream: Stream::Tls(Box::new(stream.into())), certificate })
    }

    /// Reads the files again whenever they change, until `stop`.
    pub async fn watch(self: Arc<Self>, stop: CancellationToken) {
        self.config.clone().watch(stop).await;
    }
}
