//! Copies of a whole database, made beside a gateway that goes on writing.

use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};

use crate::error::{Result, StoreError};

/// Pages that are copied at once: about a megabyte, after which others have the disk.
const STEP_PAGES: i32 = 256;

/// How long the disk is left to others after each step.
const BREATH: Duration = Duration::from_millis(1);

/// How long a copy waits for a lock before it asks again.
const LOCKED_FOR: Duration = Duration::from_millis(20);

/// How far a copy has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CopyProgress {
    /// What has been copied.
    pub done_bytes: u64,
    /// What there is to copy.
    pub total_bytes: u64,
}

/// Copies everything that `source` sees now to the file `to`, a step at a time.
pub(super) fn copy(source: &Connection, to: &Path, progress: &mut dyn FnMut(CopyProgress)) -> Result<()> {
    // One snapshot for the whole copy: otherwise every commit of the gateway would begin it anew.
    source.execute_batch("BEGIN")?;
    let page_bytes: i64 = source.query_row("PRAGMA page_size", [], |row| row.get(0))?;
    source.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
    let mut target = Connection::open(to)?;
    // Nobody reads it before it is synced as a whole.
    target.pragma_update(None, "synchronous", "OFF")?;
    let copying = Backup::new(source, &mut target)?;
    loop {
        match copying.step(STEP_PAGES)? {
            StepResult::Done => break,
            StepResult::More => std::thread::sleep(BREATH),
            _ => std::thread::sleep(LOCKED_FOR),
        }
        let pages = copying.progress();
        let bytes = |pages: i32| i64::from(pages).saturating_mul(page_bytes).max(0) as u64;
        progress(CopyProgress {
            done_bytes: bytes(pages.pagecount - pages.remaining),
            total_bytes: bytes(pages.pagecount),
        });
    }
    drop(copying);
    source.execute_batch("COMMIT")?;
    Ok(())
}

/// Opens a copy as a file that is whole by itself, without a write-ahead log.
pub(super) fn open_copy(path: &Path) -> Result<Connection> {
    let conn = Connection::open(path)?;
    let mode: String = conn.query_row("PRAGMA journal_mode = DELETE", [], |row| row.get(0))?;
    match mode.as_str() {
        "delete" => Ok(conn),
        other => Err(StoreError::Failed(format!("the copy keeps the journal mode {other}"))),
    }
}

/// What a disk, or a copy, may have done to it; `None`: it is whole. Reads all of it.
pub(super) fn damage(conn: &Connection) -> Option<String> {
    let found = conn.query_row("PRAGMA quick_check(1)", [], |row| row.get(0));
    let found: String = found.unwrap_or_else(|error| error.to_string());
    (found != "ok").then_some(found)
}
