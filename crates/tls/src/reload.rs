//! Values that are read from files, and read again when the files change or on request.

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::TlsError;

/// How often the files are checked.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Shows that a file has changed: length, inode, and the times of its last changes to the nanosecond.
type Stamp = (u64, u64, [i64; 4]);

/// The stamp of each file; `None` for one that cannot be read.
fn stamps(files: &[PathBuf]) -> Vec<Option<Stamp>> {
    let stamp = |path: &PathBuf| {
        let found = std::fs::metadata(path).ok()?;
        let times = [found.mtime(), found.mtime_nsec(), found.ctime(), found.ctime_nsec()];
        Some((found.len(), found.ino(), times))
    };
    files.iter().map(stamp).collect()
}

type Load<T> = Box<dyn Fn() -> Result<T, TlsError> + Send + Sync>;

/// Puts in force what was read.
pub type Prepared = Box<dyn FnOnce() + Send>;

/// Files, and how they are read.
struct Source<T> {
    files: Vec<PathBuf>,
    load: Load<T>,
}

struct State<T> {
    source: Arc<Source<T>>,
    /// The stamps of the files at the last read.
    seen: Vec<Option<Stamp>>,
    current: Arc<T>,
}

impl<T> Source<T> {
    fn read(self: Arc<Self>) -> Result<State<T>, TlsError> {
        // Taken before the files are read, so that a change from now on is noticed later.
        let seen = stamps(&self.files);
        let current = Arc::new((self.load)()?);
        Ok(State { source: self, seen, current })
    }
}

/// A value and the files it comes from.
pub(super) struct Reloaded<T> {
    what: &'static str,
    state: RwLock<State<T>>,
}

impl<T: Send + Sync + 'static> Reloaded<T> {
    /// Reads `files` with `load`; the log calls them `what`.
    pub(super) fn new(
        what: &'static str,
        files: Vec<PathBuf>,
        load: impl Fn() -> Result<T, TlsError> + Send + Sync + 'static,
    ) -> Result<Arc<Self>, TlsError> {
        let state = Arc::new(Source { files, load: Box::new(load) }).read()?;
        Ok(Arc::new(Self { what, state: RwLock::new(state) }))
    }

    /// The value of the files when they could last be used.
    pub(super) fn current(&self) -> Arc<T> {
        self.state.read().unwrap_or_else(PoisonError::into_inner).current.clone()
    }

    /// Reads other files, or the same ones again. The value is in force once the result is called.
    pub(super) fn prepare(
        self: &Arc<Self>,
        files: Vec<PathBuf>,
        load: impl Fn() -> Result<T, TlsError> + Send + Sync + 'static,
    ) -> Result<Prepared, TlsError> {
        self.prepared(Arc::new(Source { files, load: Box::new(load) }))
    }

    /// Reads the same files again.
    pub(super) fn prepare_again(self: &Arc<Self>) -> Result<Prepared, TlsError> {
        self.prepared(self.source())
    }

    fn prepared(self: &Arc<Self>, source: Arc<Source<T>>) -> Result<Prepared, TlsError> {
        let (own, state) = (self.clone(), source.read()?);
        Ok(Box::new(move || *own.state.write().unwrap_or_else(PoisonError::into_inner) = state))
    }

    fn source(&self) -> Arc<Source<T>> {
        self.state.read().unwrap_or_else(PoisonError::into_inner).source.clone()
    }

    /// Reads the files again whenever they change, until `stop`.
    pub(super) async fn watch(self: Arc<Self>, stop: CancellationToken) {
        self.watch_every(LOOK_EVERY, stop).await;
    }

    /// The same, with this pause between two checks.
    pub(super) async fn watch_every(self: Arc<Self>, pause: Duration, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = sleep(pause) => {}
                () = stop.cancelled() => return,
            }
            let own = self.clone();
            let looked = tokio::task::spawn_blocking(move || own.look()).await;
            match looked.map_err(|error| error.to_string()) {
                Ok(Ok(false)) => {}
                Ok(Ok(true)) => info!("{} were read anew", self.what),
                Ok(Err(error)) => self.complain(&error.to_string()),
                Err(error) => self.complain(&error),
            }
        }
    }

    fn complain(&self, error: &str) {
        warn!("{} have changed and cannot be used, the old ones stay in force: {error}", self.what);
    }

    /// Reads the files if they have changed; true if they have.
    fn look(&self) -> Result<bool, TlsError> {
        let source = self.source();
        let found = stamps(&source.files);
        {
            let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
            if !Arc::ptr_eq(&state.source, &source) || state.seen == found {
                return Ok(false);
            }
            // A change is reported once, also if the files cannot be used.
            state.seen = found;
        }
        let read = source.read()?;
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        // Other files may have replaced them meanwhile.
        let still = Arc::ptr_eq(&state.source, &read.source);
        if still {
            *state = read;
        }
        Ok(still)
    }
}
