//! Keeps the write-ahead log small without making commits slow.
//!
//! A second connection checkpoints passively whenever the log has grown by a step. That alone never
//! lets a busy log start anew, so past a bound the writer itself truncates it between two batches.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use rusqlite::Connection;
use tracing::{debug, warn};

use super::error::{Result, StoreError};
use super::schema;
use super::statistics::Statistics;

/// The log is copied back each time it has grown by this much.
const PASSIVE_STEP_BYTES: u64 = 8 << 20;

/// Beyond this the writer stops for a moment and starts the log anew.
const TRUNCATE_BYTES: u64 = 64 << 20;

/// How long the writer waits for readers to leave the log before it tries again later.
const TRUNCATE_PATIENCE: Duration = Duration::from_millis(20);

/// After this many commits the log's size is looked at.
const LOOK_EVERY_COMMITS: u32 = 16;

pub(super) struct Checkpoint {
    wal: PathBuf,
    statistics: Arc<Statistics>,
    /// Wakes the passive checkpointer; closing it ends its thread.
    wake: SyncSender<()>,
    commits: u32,
    copied_at_bytes: u64,
    truncate_at_bytes: u64,
}

impl Checkpoint {
    pub(super) fn start(database: &Path, statistics: Arc<Statistics>) -> Result<Self> {
        let conn = schema::open_writer(database)?;
        let (wake, woken) = sync_channel::<()>(1);
        std::thread::Builder::new()
            .name("store-checkpoint".into())
            .spawn(move || {
                while woken.recv().is_ok() {
                    if let Err(error) = run(&conn, "PASSIVE") {
                        warn!("a checkpoint failed: {error}");
                    }
                }
            })
            .map_err(|error| StoreError::Sqlite(format!("no thread for checkpoints: {error}")))?;
        let mut wal = database.as_os_str().to_owned();
        wal.push("-wal");
        Ok(Self {
            wal: wal.into(),
            statistics,
            wake,
            commits: 0,
            copied_at_bytes: 0,
            truncate_at_bytes: TRUNCATE_BYTES,
        })
    }

    /// Looks at the log now and then; called by the writer between two batches.
    pub(super) fn after_commit(&mut self, conn: &Connection) {
        self.commits += 1;
        if !self.commits.is_multiple_of(LOOK_EVERY_COMMITS) {
            return;
        }
        let bytes = std::fs::metadata(&self.wal).map(|file| file.len()).unwrap_or(0);
        self.statistics.wal_bytes.store(bytes, Relaxed);
        if bytes >= self.truncate_at_bytes {
            self.truncate(conn, bytes);
        } else if bytes >= self.copied_at_bytes + PASSIVE_STEP_BYTES {
            match self.wake.try_send(()) {
                Ok(()) => self.copied_at_bytes = bytes,
                // It is at work still: ask again at the next look.
                Err(TrySendError::Full(())) => {}
                Err(TrySendError::Disconnected(())) => warn!("the checkpoint thread is gone"),
            }
        }
    }

    fn truncate(&mut self, conn: &Connection, bytes: u64) {
        let patience = conn.busy_timeout(TRUNCATE_PATIENCE);
        match patience.and_then(|()| run(conn, "TRUNCATE")) {
            Ok(busy) if !busy => {
                debug!("the write-ahead log was started anew at {bytes} bytes");
                self.copied_at_bytes = 0;
                self.truncate_at_bytes = TRUNCATE_BYTES;
            }
            // A long reader: let the log grow a step before the writer waits again.
            Ok(_) => self.truncate_at_bytes = bytes + PASSIVE_STEP_BYTES,
            Err(error) => warn!("the write-ahead log could not be truncated: {error}"),
        }
        if let Err(error) = conn.busy_timeout(schema::BUSY_TIMEOUT) {
            warn!("the writer's patience could not be restored: {error}");
        }
    }
}

/// Runs a checkpoint; true if readers or another writer kept it from finishing.
fn run(conn: &Connection, mode: &str) -> rusqlite::Result<bool> {
    conn.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |row| row.get(0))
}
