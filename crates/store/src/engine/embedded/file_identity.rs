//! Whose a database file is: asked before it is opened for good, because that alone would change a file of
//! somebody else's, or put others beside it.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension};

use crate::engine::embedded::connect;
use crate::engine::embedded::file_header::{Kind, application_id};
use crate::error::{Result, StoreError};
use crate::files::{remove, with_suffix};

/// What is at a path, if it is nothing foreign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// No file, or one in which nothing was ever written.
    Nothing,
    /// A file of this kind.
    Ours,
}

/// What a path in a URI of SQLite's has as it is.
const AS_IT_IS: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'.').remove(b'_').remove(b'-');

/// Looks whether the file at `path`, if there is one, is of this kind. Nothing is changed, and nothing left
/// beside it.
///
/// # Errors
/// [`StoreError::Foreign`], [`StoreError::Development`].
pub(crate) fn look(path: &Path, kind: &Kind) -> Result<Found> {
    let is_empty = !std::fs::metadata(path).is_ok_and(|file| file.len() > 0);
    if is_empty && !has_log(path) {
        return Ok(Found::Nothing);
    }
    // What SQLite makes beside a file to read its log, this look leaves to nobody.
    let index = with_suffix(path, "-shm");
    let had_index = index.exists();
    let refuse = |error: StoreError| {
        if !had_index {
            let _ = remove(&index);
        }
        Err(error)
    };
    let foreign = |reason: String| StoreError::Foreign { path: path.to_owned(), reason };
    if !is_empty {
        match id_of(path)? {
            Ok(id) if id == kind.id => return Ok(Found::Ours),
            Ok(0) => {}
            Ok(id) if Some(id) == kind.development => {
                return refuse(StoreError::Development(path.to_owned()));
            }
            Ok(id) => {
                return refuse(foreign(format!(
                    "its application_id, {id:#010x}, is that of another program"
                )));
            }
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::NotADatabase) => {
                return refuse(foreign("it is no SQLite file".to_owned()));
            }
            Err(error) => return Err(error.into()),
        }
    }
    match first_table_at(path)? {
        None => Ok(Found::Nothing),
        Some(table) => refuse(foreign(format!("it has tables of another program, such as {table:?}"))),
    }
}

/// What the header of a file says; the inner error is SQLite's of a file that cannot be read.
fn id_of(path: &Path) -> Result<rusqlite::Result<i32>> {
    let alone = open_immutable(path).and_then(|conn| application_id(&conn));
    match &alone {
        // Somebody is copying its log back just now: for a moment the file is shorter than it says itself.
        // Who reads with locks and the log, as everybody else does, sees nothing of that.
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseCorrupt) => {
            Ok(application_id(&connect::open_untouched(path)?))
        }
        _ => Ok(alone),
    }
}

/// Whether there is a write-ahead log with something in it.
fn has_log(path: &Path) -> bool {
    std::fs::metadata(with_suffix(path, "-wal")).is_ok_and(|log| log.len() > 0)
}

/// A table that somebody has made there, if there is one; what is in the log alone counts too.
fn first_table_at(path: &Path) -> Result<Option<String>> {
    let conn = match has_log(path) {
        false => open_immutable(path)?,
        true => connect::open_untouched(path)?,
    };
    let made = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite#_%' ESCAPE '#' LIMIT 1";
    Ok(conn.query_row(made, [], |row| row.get(0)).optional()?)
}

/// The file by itself: no lock is taken, no log is looked at, and nothing is made beside it.
fn open_immutable(path: &Path) -> rusqlite::Result<Connection> {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let uri = format!("file://{}?immutable=1", percent_encode(path.as_os_str().as_bytes(), AS_IT_IS));
    let flags =
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(uri, flags)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::embedded::file_header::DATABASE;

    #[test]
    fn a_file_whose_log_is_copied_back_just_now_is_known_all_the_same() {
        let dir = tempfile::tempdir().expect("a directory");
        let (source, path) = (dir.path().join("source.db"), dir.path().join("chargehook.db"));
        let conn = connect::open_writer(&source).expect("opens");
        conn.execute_batch("CREATE TABLE events (a); INSERT INTO events VALUES (randomblob(100000))")
            .expect("makes");
        for suffix in ["", "-wal"] {
            std::fs::copy(with_suffix(&source, suffix), with_suffix(&path, suffix)).expect("copies");
        }
        conn.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").expect("copies the log back");
        // Of that only the first page has been written when somebody looks.
        let whole = std::fs::read(&source).expect("reads");
        assert!(whole.len() > 100_000, "{} bytes", whole.len());
        std::fs::write(&path, &whole[..4_096]).expect("writes");
        let log = std::fs::read(with_suffix(&path, "-wal")).expect("reads");
        let alone = open_immutable(&path).and_then(|conn| application_id(&conn)).expect_err("by itself");
        assert_eq!(alone.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt));
        assert_eq!(look(&path, &DATABASE).expect("is ours"), Found::Ours);
        assert!(std::fs::read(&path).expect("reads") == whole[..4_096], "nothing is written");
        assert!(std::fs::read(with_suffix(&path, "-wal")).expect("reads") == log, "nor there");
    }
}
