//! A database of an earlier version is brought to today's schema, and kept beside that as it was.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rusqlite::Connection;
use tracing::{info, warn};

use crate::engine::embedded::{free_space, schema};
use crate::error::{Result, StoreError};
use crate::files;
use crate::files::{directory_of, file_error, with_suffix};
use crate::maintenance::backup;
use crate::maintenance::backup::BackupError;
use crate::maintenance::{sealed_columns, unlock};

/// What the name of a copy has behind the database's own; the version it is of follows.
const SUFFIX: &str = ".schema-";

/// So many copies are kept; older ones are removed.
const KEPT: usize = 2;

/// Room that the change itself may take, beside the copy.
const SPARE_BYTES: u64 = 16 << 20;

/// Brings the database at `path` to this program's schema. A copy of one that has an older schema is kept
/// before.
///
/// # Errors
/// [`StoreError::NewerSchema`]; [`StoreError::NoRoom`] for the copy, with nothing changed.
pub(crate) fn upgrade(conn: &mut Connection, path: &Path) -> Result<()> {
    let (from, to) = (schema::version(conn)?, schema::NEWEST);
    if from == 0 || from == to {
        return schema::migrate(conn);
    }
    let kept = keep(conn, path, from)?;
    match &kept {
        Some(kept) => info!("the database of schema version {from} is kept as it is: {}", kept.display()),
        None => warn!(
            "no copy is kept of the database of schema version {from}: it would hold secrets in the clear"
        ),
    }
    schema::migrate(conn)?;
    info!("the database has schema version {to} now");
    forget_oldest(path);
    Ok(())
}

/// Copies the database, its write-ahead log included; `None` if that would keep secrets that are about to be
/// sealed.
fn keep(conn: &Connection, path: &Path, version: i64) -> Result<Option<PathBuf>> {
    let sealed = unlock::is_sealed(conn)?;
    if !sealed && sealed_columns::holds_secrets(conn)? {
        return Ok(None);
    }
    let directory = directory_of(path);
    check_room(conn, directory, version)?;
    let partial = tempfile::Builder::new()
        .prefix(".chargehook-schema-")
        .tempfile_in(directory)
        .map_err(|error| file_error(directory, &error))?;
    match sealed {
        true => backup::copy(conn, partial.path(), &mut |_| {}).map_err(ours)?,
        // Without the pages that nothing uses any more: there may be secrets in them.
        false => drop(conn.execute("VACUUM INTO ?1", [partial.path().to_string_lossy()])?),
    }
    let copied = backup::open_copy(partial.path()).map_err(ours)?;
    backup::check(&copied, path).map_err(ours)?;
    drop(copied);
    let name = free_name(path, version);
    files::settle(partial, &name)?;
    Ok(Some(name))
}

/// What a copy fails with is the store's own.
fn ours(error: BackupError) -> StoreError {
    match error {
        BackupError::Store(error) => error,
        other => StoreError::Corrupt(other.to_string()),
    }
}

fn check_room(conn: &Connection, directory: &Path, version: i64) -> Result<()> {
    let number = |pragma: &str| -> Result<u64> {
        let value: i64 = conn.query_row(&format!("PRAGMA {pragma}"), [], |row| row.get(0))?;
        Ok(value.max(0) as u64)
    };
    let needed_bytes = number("page_size")? * number("page_count")? + SPARE_BYTES;
    match free_space::disk_of(directory) {
        Some(disk) if disk.free_bytes < needed_bytes => Err(StoreError::NoRoom {
            from: version,
            to: schema::NEWEST,
            directory: directory.to_owned(),
            needed_bytes,
            free_bytes: disk.free_bytes,
        }),
        _ => Ok(()),
    }
}

/// `chargehook.db.schema-15`, or the first with a number behind that which nothing has.
fn free_name(path: &Path, version: i64) -> PathBuf {
    let name = with_suffix(path, &format!("{SUFFIX}{version}"));
    let numbered = |number: u32| match number {
        1 => name.clone(),
        _ => with_suffix(&name, &format!("-{number}")),
    };
    let mut number = 1;
    while std::fs::symlink_metadata(numbered(number)).is_ok() {
        number += 1;
    }
    numbered(number)
}

/// Removes copies but the newest ones. Those that stay only take room, so that nothing fails for it.
fn forget_oldest(path: &Path) {
    let mut copies = copies(path);
    copies.sort();
    let surplus = copies.len().saturating_sub(KEPT);
    for (_, copy) in copies.drain(..surplus) {
        match files::remove(&copy) {
            Ok(()) => info!("an old copy is removed: {}", copy.display()),
            Err(error) => warn!("an old copy cannot be removed: {error}"),
        }
    }
}

/// The copies that there are, and when each was made.
fn copies(path: &Path) -> Vec<(SystemTime, PathBuf)> {
    let prefix = path.file_name().map(|name| format!("{}{SUFFIX}", name.to_string_lossy()));
    let (Some(prefix), Ok(files)) = (prefix, std::fs::read_dir(directory_of(path))) else {
        return Vec::new();
    };
    let is_version = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || b == b'-');
    let made = |file: std::fs::DirEntry| {
        let name = file.file_name();
        name.to_str()?.strip_prefix(&prefix).filter(|rest| is_version(rest))?;
        Some((file.metadata().ok()?.modified().ok()?, file.path()))
    };
    files.flatten().filter_map(made).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Store;
    use crate::engine::embedded::data_dir::DATABASE;
    use crate::seed::plain_in;
    use vocabulary::clock::Clock;

    /// A database of an older schema, without any secret, whose newest row stands in its log alone.
    fn older_in(dir: &Path, version: usize) -> Connection {
        let conn = Connection::open(dir.join(DATABASE)).expect("opens");
        conn.pragma_update(None, "journal_mode", "WAL").expect("sets");
        schema::make_older(&conn, version);
        conn.execute("INSERT INTO meta (key, value) VALUES ('word', 'kept')", []).expect("inserts");
        conn
    }

    fn names(dir: &Path) -> Vec<String> {
        copies(&dir.join(DATABASE))
            .into_iter()
            .filter_map(|(_, path)| Some(path.file_name()?.to_str()?.to_owned()))
            .collect()
    }

    #[test]
    fn an_older_database_is_kept_whole_and_a_new_one_or_todays_leaves_nothing() {
        let dir = tempfile::tempdir().expect("a directory");
        let open = || Store::open(dir.path(), Clock::System).expect("opens").close();
        let conn = older_in(dir.path(), 12);
        open();
        drop(conn);
        assert_eq!(names(dir.path()), ["chargehook.db.schema-12"]);
        let kept = Connection::open(dir.path().join("chargehook.db.schema-12")).expect("opens");
        let version: i64 = kept.query_row("PRAGMA user_version", [], |row| row.get(0)).expect("reads");
        let word: String =
            kept.query_row("SELECT value FROM meta WHERE key = 'word'", [], |row| row.get(0)).expect("reads");
        assert_eq!((version, word.as_str()), (12, "kept"));
        assert!(!dir.path().join("chargehook.db.schema-12-wal").exists(), "it is whole by itself");
        open();
        assert_eq!(names(dir.path()).len(), 1, "there was nothing to do");
        let fresh = tempfile::tempdir().expect("a directory");
        Store::open(fresh.path(), Clock::System).expect("opens").close();
        assert_eq!(names(fresh.path()), [""; 0], "nor with one that is new");
    }

    #[test]
    fn nothing_is_changed_under_a_gateway_that_runs() {
        let dir = tempfile::tempdir().expect("a directory");
        drop(older_in(dir.path(), 15));
        let serve = std::fs::File::create(dir.path().join("lock")).expect("makes");
        serve.try_lock().expect("locks");
        let beside = || Store::open_beside(dir.path(), Clock::System);
        let refused = beside().err().expect("refused");
        assert!(matches!(refused, StoreError::InUseByEarlier { found: 15, .. }), "{refused}");
        assert_eq!(names(dir.path()), [""; 0]);
        let conn = Connection::open(dir.path().join(DATABASE)).expect("opens");
        assert_eq!(schema::version(&conn).expect("reads"), 15);
        drop(serve);
        beside().expect("opens").close();
        assert_eq!(schema::version(&conn).expect("reads"), schema::NEWEST);
    }

    #[test]
    fn copies_are_bounded_and_none_takes_anothers_place() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join(DATABASE);
        for age in 0..4 {
            let name = free_name(&path, 12);
            std::fs::write(&name, age.to_string()).expect("writes");
            let at = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(age);
            std::fs::File::options()
                .append(true)
                .open(&name)
                .and_then(|file| file.set_modified(at))
                .expect("sets");
        }
        std::fs::write(dir.path().join("chargehook.db.schema-mine"), "not ours").expect("writes");
        forget_oldest(&path);
        let mut left = names(dir.path());
        left.sort();
        assert_eq!(left, ["chargehook.db.schema-12-3", "chargehook.db.schema-12-4"]);
        assert!(dir.path().join("chargehook.db.schema-mine").exists());
    }

    #[test]
    fn secrets_in_the_clear_are_not_kept_for_it() {
        let dir = tempfile::tempdir().expect("a directory");
        plain_in(dir.path());
        Store::open(dir.path(), Clock::System).expect("opens").close();
        assert_eq!(names(dir.path()), [""; 0]);
    }
}
