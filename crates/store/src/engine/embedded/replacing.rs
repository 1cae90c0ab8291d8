//! A database takes the place of another one.

use std::path::{Path, PathBuf};

use tracing::warn;

use crate::engine::embedded::connect;
use crate::error::Result;
use crate::files::{self, remove, with_suffix};

/// Keeps the old database under another name, and leaves it under its own without a write-ahead log: one that
/// is there when the new database takes the name would be taken for the new one's.
pub(crate) fn set_aside(target: &Path) -> Result<PathBuf> {
    let emptied = connect::open_writer(target).and_then(|conn| {
        let busy = conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, bool>(0))?;
        Ok(!busy)
    });
    let replaced = files::keep_aside(target, &["", "-wal"])?;
    let log = with_suffix(target, "-wal");
    if !matches!(emptied, Ok(true)) && log.exists() {
        // The database is damaged, which may be why there is a restore. It is kept as it is, but as a whole.
        warn!("the write-ahead log of the old database could not be written back; it is kept with it");
        files::second_name(&log, &with_suffix(&replaced, "-wal"))?;
    }
    // Its names must be on disk before the log loses its own.
    files::sync(files::directory_of(target))?;
    for suffix in ["-wal", "-shm"] {
        remove(&with_suffix(target, suffix))?;
    }
    Ok(replaced)
}

/// Removes a database, whole or in the making.
pub(crate) fn remove_with_log(path: &Path) -> Result<()> {
    ["", "-wal", "-shm", "-journal"].iter().try_for_each(|suffix| remove(&with_suffix(path, suffix)))
}
