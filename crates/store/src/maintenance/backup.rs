//! Backups: a copy of the database at one moment, made beside a running gateway.
//!
//! A backup is one file, and a database by itself. The key of its secrets is not in it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};

use crate::engine::embedded::data_dir::database_in;
use crate::engine::embedded::file_identity;
use crate::engine::embedded::file_identity::Found;
use crate::engine::embedded::schema::{self, SCHEMA};
use crate::error::{KeyFault, StoreError};
use crate::files;
use crate::files::{directory_of, file_error};
use crate::maintenance::unlock;
use vocabulary::clock::Timestamp;

/// Pages that are copied at once: about a megabyte, after which others have the disk.
const STEP_PAGES: i32 = 256;

/// How long the disk is left to others after each step.
const BREATH: Duration = Duration::from_millis(1);

/// How long a copy waits for a lock before it asks again.
const LOCKED_FOR: Duration = Duration::from_millis(20);

/// The entry of `meta` that says, in a backup, when it was made.
pub(crate) const MADE_AT: &str = "backup_made_at_ms";

/// Why a backup could not be made, or not be put back.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The store's own. Nothing was made or replaced.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The key that the backup's secrets are sealed with is not at hand. Nothing was replaced.
    #[error("{0}; or name the key of the backup with --key-file")]
    Key(KeyFault),
    /// The data directory's key file holds another key than the backup's. Nothing was replaced.
    #[error(
        "{}: not the key that the backup's secrets are sealed with. Move it away, it belongs to what is to be replaced",
        .0.display()
    )]
    OtherKey(PathBuf),
    /// There is a database, and nobody has said that it may be replaced.
    #[error("there is a database in {} already: with --force it is replaced, and kept beside the new one", .0.display())]
    Exists(PathBuf),
    /// A file of that name is there.
    #[error("{} is there already, and is left as it is", .0.display())]
    Taken(PathBuf),
    /// The copy is not whole, so neither is what it was made of.
    #[error("{} is damaged: {reason}", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// SQLite's own words.
        reason: String,
    },
}

impl From<rusqlite::Error> for BackupError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}

/// A backup that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MadeBackup {
    /// The file.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// Whether it needs a key: something in it is sealed.
    pub sealed: bool,
}

/// How far a copy has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CopyProgress {
    /// What has been copied.
    pub done_bytes: u64,
    /// What there is to copy.
    pub total_bytes: u64,
}

/// Copies the database of `data_dir`, as it is at `now`, to the file `to`, or into the directory `to` under a
/// name that tells the time. Works beside a gateway, whose commits go on; its write-ahead log grows
/// meanwhile. Blocks until the backup was checked and is on disk.
///
/// # Errors
/// [`BackupError`]; a backup that is not whole is not left behind.
pub fn back_up(
    data_dir: &Path,
    to: &Path,
    now: Timestamp,
    progress: &mut dyn FnMut(CopyProgress),
) -> Result<MadeBackup, BackupError> {
    let path = match to.is_dir() {
        true => to.join(file_name(now)),
        false => to.to_owned(),
    };
    if path.exists() {
        return Err(BackupError::Taken(path));
    }
    let source = open_source(&database_in(data_dir)?)?;
    let directory = directory_of(&path);
    let partial = tempfile::Builder::new()
        .prefix(".chargehook-backup-")
        .tempfile_in(directory)
        .map_err(|error| file_error(directory, &error))?;
    copy(&source, partial.path(), progress)?;
    let conn = open_copy(partial.path())?;
    conn.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?1, ?2)", (MADE_AT, now.unix_ms()))?;
    check(&conn, &path)?;
    let sealed = unlock::is_sealed(&conn)?;
    drop(conn);
    let file = files::settle(partial, &path)?;
    let bytes = file.metadata().map_err(|error| file_error(&path, &error))?.len();
    Ok(MadeBackup { path, bytes, sealed })
}

/// `chargehook-20260414T123456Z.db`
fn file_name(now: Timestamp) -> String {
    let compact: String =
        now.to_string().chars().take_while(|c| *c != '.').filter(|c| !matches!(c, '-' | ':')).collect();
    format!("chargehook-{compact}Z.db")
}

/// A database of this program, with nothing of it changed.
pub(crate) fn open_source(path: &Path) -> Result<Connection, BackupError> {
    // SQLite would make one.
    std::fs::metadata(path).map_err(|error| file_error(path, &error))?;
    let empty = || StoreError::Foreign { path: path.to_owned(), reason: "nothing is in it".to_owned() };
    if file_identity::look(path, &file_identity::DATABASE)? == Found::Nothing {
        return Err(empty().into());
    }
    let conn = schema::open_untouched(path)?;
    match SCHEMA.version_of(&conn)? {
        0 => Err(empty().into()),
        _ => Ok(conn),
    }
}

/// Copies everything that `source` sees now to the file `to`, a step at a time.
pub(crate) fn copy(
    source: &Connection,
    to: &Path,
    progress: &mut dyn FnMut(CopyProgress),
) -> Result<(), BackupError> {
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
pub(crate) fn open_copy(path: &Path) -> Result<Connection, BackupError> {
    let conn = Connection::open(path)?;
    let mode: String = conn.query_row("PRAGMA journal_mode = DELETE", [], |row| row.get(0))?;
    match mode.as_str() {
        "delete" => Ok(conn),
        other => Err(StoreError::Sqlite(format!("the copy keeps the journal mode {other}")).into()),
    }
}

/// Looks through the whole file for what a disk or a copy may have done to it. `named`: what it is a copy of.
pub(crate) fn check(conn: &Connection, named: &Path) -> Result<(), BackupError> {
    let reason: Result<String, _> = conn.query_row("PRAGMA quick_check(1)", [], |row| row.get(0));
    let reason = reason.unwrap_or_else(|error| error.to_string());
    match reason.as_str() {
        "ok" => Ok(()),
        _ => Err(BackupError::Damaged { path: named.to_owned(), reason }),
    }
}
