//! Keeps the write-ahead log small without making commits slow.
//!
//! Whenever the log has grown by a step, a second connection copies it back while the writer goes on. That
//! alone never lets a busy log start anew, as there are always newer commits; so when the copy is done the
//! writer copies those few itself, between two batches, and truncates the log.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::time::Duration;

use rusqlite::Connection;
use tracing::{debug, warn};

use super::error::{Result, StoreError};
use super::schema;
use super::statistics::Statistics;

/// The log is copied back and started anew each time it has grown by this much.
const STEP_BYTES: u64 = 16 << 20;

/// How long the writer waits for readers to leave the log before it tries again a step later.
const TRUNCATE_PATIENCE: Duration = Duration::from_millis(20);

pub(super) struct Checkpoint {
    wal: PathBuf,
    statistics: Arc<Statistics>,
    /// Asks the second connection to copy; closing it ends its thread.
    copy: SyncSender<()>,
    /// Tells that it has.
    copied: Receiver<()>,
    copying: bool,
    /// The size at which copying begins.
    copy_at_bytes: u64,
}

impl Checkpoint {
    pub(super) fn start(database: &Path, statistics: Arc<Statistics>) -> Result<Self> {
        let conn = schema::open_writer(database)?;
        let (copy, asked) = sync_channel::<()>(1);
        let (tell, copied) = sync_channel::<()>(1);
        std::thread::Builder::new()
            .name("store-checkpoint".into())
            .spawn(move || {
                while asked.recv().is_ok() {
                    if let Err(error) = run(&conn, "PASSIVE") {
                        warn!("a checkpoint failed: {error}");
                    }
                    if tell.send(()).is_err() {
                        return;
                    }
                }
            })
            .map_err(|error| StoreError::Sqlite(format!("no thread for checkpoints: {error}")))?;
        let mut wal = database.as_os_str().to_owned();
        wal.push("-wal");
        Ok(Self { wal: wal.into(), statistics, copy, copied, copying: false, copy_at_bytes: STEP_BYTES })
    }

    /// Looks at the log; called by the writer between two batches.
    pub(super) fn after_commit(&mut self, conn: &Connection) {
        let bytes = std::fs::metadata(&self.wal).map(|file| file.len()).unwrap_or(0);
        self.statistics.wal_bytes.store(bytes, Relaxed);
        if self.copying {
            match self.copied.try_recv() {
                Ok(()) => {
                    self.copying = false;
                    self.truncate(conn, bytes);
                }
                Err(TryRecvError::Empty) => {}
                Err(TryRecvError::Disconnected) => {
                    // Without the other thread the writer does it all, a step at a time.
                    self.copying = false;
                    self.truncate(conn, bytes);
                }
            }
        } else if bytes >= self.copy_at_bytes {
            self.copying = true;
            if self.copy.try_send(()).is_err() {
                warn!("the checkpoint thread is gone");
            }
        }
    }

    /// Copies what came since the copy began, which is little, and starts the log anew.
    fn truncate(&mut self, conn: &Connection, bytes: u64) {
        let patience = conn.busy_timeout(TRUNCATE_PATIENCE);
        match patience.and_then(|()| run(conn, "TRUNCATE")) {
            Ok(busy) if !busy => {
                debug!("the write-ahead log was started anew at {bytes} bytes");
                self.copy_at_bytes = STEP_BYTES;
            }
            // A long reader: let the log grow a step before the writer waits again.
            Ok(_) => self.copy_at_bytes = bytes + STEP_BYTES,
            Err(error) => {
                warn!("the write-ahead log could not be truncated: {error}");
                self.copy_at_bytes = bytes + STEP_BYTES;
            }
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
