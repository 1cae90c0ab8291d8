//! Keeps the write-ahead log small without making commits slow.
//!
//! Whenever the log holds a step's worth of commits, a second connection copies it back while the writer goes
//! on. That alone never lets a busy log start anew, as there are always newer commits; so when the copy is
//! done the writer copies those few itself, between two batches, and goes on at the log's beginning. The file
//! keeps its size: to cut it off takes tens of milliseconds where freed blocks are discarded, and a commit to
//! blocks that are there already is synced sooner.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::hooks::Wal;
use tracing::{debug, warn};

use crate::engine::embedded::connect;
use crate::engine::statistics::Statistics;
use crate::error::{Result, StoreError};
use vocabulary::log_limit::limited;

/// The log is copied back and started anew each time it holds this much.
const STEP_BYTES: u64 = 16 << 20;

/// A log that has outgrown this, because somebody read for long, is cut off to it when it starts anew.
const KEPT_BYTES: u64 = 4 * STEP_BYTES;

/// What stands before each page in the log.
const FRAME_HEADER_BYTES: u64 = 24;

/// How often the second connection copies before the writer does: what is committed during the first copy,
/// which is long, the second takes in too.
const COPIES: usize = 2;

/// How long the writer waits for readers to leave the log before it tries again a step later.
const RESTART_PATIENCE: Duration = Duration::from_millis(20);

pub(crate) struct Checkpoint {
    /// Pages in the log, as the writer's connection tells after each commit.
    log_pages: Arc<AtomicU64>,
    page_bytes: u64,
    statistics: Arc<Statistics>,
    /// Asks the second connection to copy; closing it ends its thread.
    copy: SyncSender<()>,
    /// Tells that it has.
    copied: Receiver<()>,
    copying: bool,
    /// How much the log holds when copying begins.
    copy_at_bytes: u64,
}

impl Checkpoint {
    /// Starts the second connection's thread, and listens to the writer's connection.
    pub(crate) fn start(
        database: &Path,
        writer: &mut Connection,
        statistics: Arc<Statistics>,
    ) -> Result<Self> {
        writer.pragma_update(None, "journal_size_limit", KEPT_BYTES as i64)?;
        let page_bytes: i64 = writer.query_row("PRAGMA page_size", [], |row| row.get(0))?;
        let log_pages = Arc::<AtomicU64>::default();
        let told = log_pages.clone();
        writer.wal_hook(Some(move |_: &mut Wal, pages: i32| {
            told.store(pages.max(0) as u64, Relaxed);
            Ok(())
        }))?;
        let conn = connect::open_writer(database)?;
        let (copy, asked) = sync_channel::<()>(1);
        let (tell, copied) = sync_channel::<()>(1);
        std::thread::Builder::new()
            .name("store-checkpoint".into())
            .spawn(move || {
                while asked.recv().is_ok() {
                    for _ in 0..COPIES {
                        if let Err(error) = run(&conn, "PASSIVE") {
                            limited!(warn: "a checkpoint failed: {error}");
                        }
                    }
                    if tell.send(()).is_err() {
                        return;
                    }
                }
            })
            .map_err(|error| StoreError::Failed(format!("no thread for checkpoints: {error}")))?;
        Ok(Self {
            log_pages,
            page_bytes: page_bytes.max(0) as u64,
            statistics,
            copy,
            copied,
            copying: false,
            copy_at_bytes: STEP_BYTES,
        })
    }

    /// Looks at the log; called by the writer between two batches.
    pub(crate) fn after_commit(&mut self, conn: &Connection) {
        let bytes = self.log_pages.load(Relaxed) * (self.page_bytes + FRAME_HEADER_BYTES);
        self.statistics.wal_bytes.store(bytes, Relaxed);
        if bytes < STEP_BYTES {
            // It started anew, here or by itself once its last reader had left.
            self.copy_at_bytes = STEP_BYTES;
        }
        if self.copying {
            match self.copied.try_recv() {
                Ok(()) => {
                    self.copying = false;
                    self.restart(conn, bytes);
                }
                Err(TryRecvError::Empty) => {}
                Err(TryRecvError::Disconnected) => {
                    // Without the other thread the writer does it all, a step at a time.
                    self.copying = false;
                    self.restart(conn, bytes);
                }
            }
        } else if bytes >= self.copy_at_bytes {
            self.copying = true;
            if self.copy.try_send(()).is_err() {
                warn!("the checkpoint thread is gone");
            }
        }
    }

    /// Copies what came since the copy began, which is little, and lets the log start anew.
    fn restart(&mut self, conn: &Connection, bytes: u64) {
        let patience = conn.busy_timeout(RESTART_PATIENCE);
        match patience.and_then(|()| run(conn, "RESTART")) {
            Ok(busy) if !busy => {
                debug!("the write-ahead log starts anew after {bytes} bytes");
                self.log_pages.store(0, Relaxed);
            }
            // A long reader: let the log grow a step before the writer waits again.
            Ok(_) => self.copy_at_bytes = bytes + STEP_BYTES,
            Err(error) => {
                limited!(warn: "the write-ahead log could not be started anew: {error}");
                self.copy_at_bytes = bytes + STEP_BYTES;
            }
        }
        if let Err(error) = conn.busy_timeout(connect::BUSY_TIMEOUT) {
            warn!("the writer's patience could not be restored: {error}");
        }
    }
}

/// Runs a checkpoint; true if readers or another writer kept it from finishing.
fn run(conn: &Connection, mode: &str) -> rusqlite::Result<bool> {
    conn.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |row| row.get(0))
}

#[cfg(test)]
mod tests {
    use crate::engine::embedded::data_dir::DATABASE;
    use crate::{Priority, Scope, Store};
    use vocabulary::clock::Clock;

    use super::*;

    #[tokio::test]
    async fn a_busy_log_starts_anew_and_a_long_reader_only_delays_that() {
        if crate::test_store::is_shared() {
            return;
        }
        let dir = tempfile::tempdir().expect("a directory");
        let store = Store::open(dir.path(), Clock::System).expect("a store");
        let write = |count: usize| {
            let store = store.clone();
            async move {
                for _ in 0..count {
                    let fill = "INSERT OR REPLACE INTO filled VALUES (1, randomblob(1 << 20))";
                    store
                        .write(Priority::Api, Scope::Installation, move |w| w.run(fill, &[]))
                        .await
                        .expect("it commits");
                }
            }
        };
        store.seed_run("CREATE TABLE filled (one INTEGER PRIMARY KEY, data BLOB)").await;
        let log = dir.path().join(format!("{DATABASE}-wal"));
        let size = || std::fs::metadata(&log).expect("there is one").len();
        let held = || store.statistics().wal_bytes.load(Relaxed);
        write(100).await;
        assert!(size() < 3 * STEP_BYTES, "{} bytes", size());

        let reader = connect::open_reader(&dir.path().join(DATABASE)).expect("opens");
        let reading = reader.unchecked_transaction().expect("begins");
        let count = || reading.query_row("SELECT count(*) FROM filled", [], |row| row.get::<_, i64>(0));
        assert_eq!(count().expect("reads"), 1);
        write(100).await;
        assert!(held() > 90 << 20, "{} bytes", held());
        drop(reading);
        write(40).await;
        assert!(held() < 3 * STEP_BYTES, "{} bytes", held());
        assert!(size() <= KEPT_BYTES, "{} bytes", size());
    }
}
