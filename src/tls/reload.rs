//! What is made of files, and made anew when they change.

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::TlsError;

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// What tells that a file has changed: length, inode and the times of its last changes, to the nanosecond.
type Stamp = (u64, u64, [i64; 4]);

/// The stamp of each file; `None` for one that cannot be looked at.
fn stamps(files: &[PathBuf]) -> Vec<Option<Stamp>> {
    let stamp = |path: &PathBuf| {
        let found = std::fs::metadata(path).ok()?;
        let times = [found.mtime(), found.mtime_nsec(), found.ctime(), found.ctime_nsec()];
        Some((found.len(), found.ino(), times))
    };
    files.iter().map(stamp).collect()
}

type Load<T> = Box<dyn Fn() -> Result<T, TlsError> + Send + Sync>;

/// A value and the files it comes from.
pub(super) struct Reloaded<T> {
    what: &'static str,
    files: Vec<PathBuf>,
    load: Load<T>,
    /// What the files were like when they were read first.
    first: Vec<Option<Stamp>>,
    current: RwLock<Arc<T>>,
}

impl<T: Send + Sync + 'static> Reloaded<T> {
    /// Reads `files` with `load`; the log calls them `what`.
    pub(super) fn new(
        what: &'static str,
        files: Vec<PathBuf>,
        load: impl Fn() -> Result<T, TlsError> + Send + Sync + 'static,
    ) -> Result<Arc<Self>, TlsError> {
        // Before they are read: what changes from here on is read again, however late somebody watches.
        let first = stamps(&files);
        let current = RwLock::new(Arc::new(load()?));
        Ok(Arc::new(Self { what, files, load: Box::new(load), first, current }))
    }

    /// As the files were when they could last be used.
    pub(super) fn current(&self) -> Arc<T> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads the files anew whenever they have changed, until `stop`.
    pub(super) async fn watch(self: Arc<Self>, stop: CancellationToken) {
        self.watch_every(LOOK_EVERY, stop).await;
    }

    /// The same, looking at them so often.
    pub(super) async fn watch_every(self: Arc<Self>, pause: Duration, stop: CancellationToken) {
        let mut seen = self.first.clone();
        loop {
            tokio::select! {
                () = sleep(pause) => {}
                () = stop.cancelled() => return,
            }
            let found = self.stamps().await;
            if found == seen {
                continue;
            }
            // Taken before the files are read: what changes meanwhile is read again.
            seen = found;
            match self.reload().await {
                Ok(()) => info!("{} were read anew", self.what),
                Err(error) => {
                    warn!(
                        "{} have changed and cannot be used, the old ones stay in force: {error}",
                        self.what
                    );
                }
            }
        }
    }

    async fn reload(self: &Arc<Self>) -> Result<(), String> {
        let own = self.clone();
        let loaded = tokio::task::spawn_blocking(move || (own.load)()).await;
        let loaded = loaded.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(loaded);
        Ok(())
    }

    async fn stamps(self: &Arc<Self>) -> Vec<Option<Stamp>> {
        let own = self.clone();
        tokio::task::spawn_blocking(move || stamps(&own.files)).await.unwrap_or_default()
    }
}
