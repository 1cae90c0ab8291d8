//! TLS for what listens here: certificates and keys from files, read anew when they change.
//!
//! A connection keeps what it was greeted with; only new ones see new files. Files that cannot be used after a
//! change are told of in the log, and the old ones stay in force.

mod authorities;
mod files;
mod stream;

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rustls::ServerConfig;
use tokio::net::TcpStream;
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::der::Certificate;
use files::Stamp;

pub use authorities::Authorities;
pub use files::{File, TlsError};
pub use stream::Stream;

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Where certificates and keys stand, all of it PEM.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Files {
    /// Chains, the server's own certificate first in each. A client is shown the first one whose signatures
    /// it can check.
    pub certificates: Vec<PathBuf>,
    /// The key of each chain, in the same order.
    pub keys: Vec<PathBuf>,
    /// The authorities of client certificates; `None`: clients are not asked for any.
    pub client_ca: Option<PathBuf>,
}

/// What a listener greets its clients with.
pub struct Tls {
    files: Files,
    current: RwLock<Arc<ServerConfig>>,
}

/// Whom a client's certificate names. Its chain was checked by then, and its dates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    names: Vec<String>,
    organizations: Vec<String>,
}

impl ClientCertificate {
    /// Reads a certificate; `None` if it is none.
    pub fn read(der: &[u8]) -> Option<Self> {
        let mut certificate = Certificate::read(der)?;
        let mut names = std::mem::take(&mut certificate.common_names);
        names.append(&mut certificate.alternative_names);
        Some(Self { names, organizations: certificate.organizations })
    }

    /// Whether a common name or an alternative name of its subject is exactly this.
    pub fn names(&self, name: &str) -> bool {
        self.names.iter().any(|own| own == name)
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
        let current = RwLock::new(Arc::new(files::load(&files)?));
        Ok(Arc::new(Self { files, current }))
    }

    /// Greets a client; its certificate, if it has shown one. The caller sees to it that this takes no
    /// longer than it may.
    ///
    /// # Errors
    /// If the client cannot be agreed with, or its certificate not be trusted.
    pub async fn accept(&self, stream: TcpStream) -> io::Result<(Stream, Option<ClientCertificate>)> {
        let stream = TlsAcceptor::from(self.current()).accept(stream).await?;
        let leaf = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        let client = match leaf {
            // Trusted, but not read here: to be on the safe side, nobody.
            Some(leaf) => Some(
                ClientCertificate::read(leaf)
                    .ok_or_else(|| io::Error::other("the client's certificate cannot be read"))?,
            ),
            None => None,
        };
        Ok((Stream::Tls(Box::new(stream.into())), client))
    }

    fn current(&self) -> Arc<ServerConfig> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads the files anew whenever they have changed, until `stop`.
    pub async fn watch(self: Arc<Self>, stop: CancellationToken) {
        let mut watched = Watched::new(self.files.clone()).await;
        while watched.changed(&stop).await {
            tell(self.reload().await);
        }
    }

    async fn reload(self: &Arc<Self>) -> Result<(), String> {
        let own = self.clone();
        let loaded = tokio::task::spawn_blocking(move || files::load(&own.files)).await;
        let loaded = loaded.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(loaded);
        Ok(())
    }
}

/// Files that are looked at now and then.
struct Watched {
    files: Arc<Files>,
    seen: Vec<Option<Stamp>>,
}

impl Watched {
    async fn new(files: Files) -> Self {
        let files = Arc::new(files);
        Self { seen: stamps(&files).await, files }
    }

    /// Returns once one of them has changed; false: at `stop`.
    async fn changed(&mut self, stop: &CancellationToken) -> bool {
        loop {
            tokio::select! {
                () = sleep(LOOK_EVERY) => {}
                () = stop.cancelled() => return false,
            }
            let found = stamps(&self.files).await;
            if found != self.seen {
                // Taken before the files are read: what changes meanwhile is read again.
                self.seen = found;
                return true;
            }
        }
    }
}

fn tell(read_anew: Result<(), String>) {
    match read_anew {
        Ok(()) => info!("TLS certificates and keys were read anew; new connections see them"),
        Err(error) => warn!("changed TLS files cannot be used, the old ones stay in force: {error}"),
    }
}

async fn stamps(files: &Arc<Files>) -> Vec<Option<Stamp>> {
    let files = files.clone();
    tokio::task::spawn_blocking(move || files::stamps(&files)).await.unwrap_or_default()
}
