//! A database of an earlier version is brought to today's schema, and kept beside that as it was.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rusqlite::Connection;
use tracing::{info, warn};

use crate::engine::embedded::copying;
use crate::engine::embedded::data_dir::lock;
use crate::engine::schema::Schema;
use crate::engine::sqlite::free_space;
use crate::error::{Result, StoreError};
use crate::files::{self, directory_of, file_error, with_suffix};

/// What the name of a copy has behind the database's own; the schema's version follows.
const SUFFIX: &str = ".schema-";

/// Copies that are kept; older ones are removed.
const KEPT: usize = 2;

/// Room that the change itself may take, beside the copy.
const SPARE_BYTES: u64 = 16 << 20;

/// Brings the database at `path` to `schema`. A copy of one that has an older schema is kept before. The
/// caller holds the data directory's lock, or has found nothing to do.
///
/// # Errors
/// [`StoreError::NewerSchema`]; [`StoreError::NoRoom`] for the copy, with nothing changed.
pub(super) fn upgrade(conn: &mut Connection, path: &Path, schema: Schema) -> Result<()> {
    let (from, to) = (schema.version_of(conn)?, schema.newest());
    if from == 0 || from == to {
        return schema.migrate(conn);
    }
    let kept = keep(conn, path, from, to)?;
    info!("the database of schema version {from} is kept as it is: {}", kept.display());
    schema.migrate(conn)?;
    info!("the database has schema version {to} now");
    forget_oldest(path);
    Ok(())
}

/// The same beside a gateway that may be running. One of an earlier version goes on writing by the schema
/// that it knows: nobody changes that meanwhile.
///
/// # Errors
/// As [`upgrade`]; [`StoreError::InUseByEarlier`], with nothing changed.
pub(super) fn upgrade_beside(conn: &mut Connection, path: &Path, schema: Schema) -> Result<()> {
    let (found, known) = (schema.version_of(conn)?, schema.newest());
    let is_older = found != 0 && found != known;
    let _nobody_else =
        is_older.then(|| lock(directory_of(path))).transpose().map_err(|error| match error {
            StoreError::InUse(directory) => StoreError::InUseByEarlier { directory, found, known },
            other => other,
        })?;
    upgrade(conn, path, schema)
}

/// Copies the database, its write-ahead log included.
fn keep(conn: &Connection, path: &Path, from: i64, to: i64) -> Result<PathBuf> {
    let directory = directory_of(path);
    check_room(conn, directory, from, to)?;
    let partial = tempfile::Builder::new()
        .prefix(".chargehook-schema-")
        .tempfile_in(directory)
        .map_err(|error| file_error(directory, &error))?;
    copying::copy(conn, partial.path(), &mut |_| {})?;
    if let Some(reason) = copying::damage(&copying::open_copy(partial.path())?) {
        return Err(StoreError::Corrupt(format!("{} is damaged: {reason}", path.display())));
    }
    let name = free_name(path, from);
    files::settle(partial, &name)?;
    Ok(name)
}

fn check_room(conn: &Connection, directory: &Path, from: i64, to: i64) -> Result<()> {
    let number = |pragma: &str| -> Result<u64> {
        let value: i64 = conn.query_row(&format!("PRAGMA {pragma}"), [], |row| row.get(0))?;
        Ok(value.max(0) as u64)
    };
    let needed_bytes = number("page_size")? * number("page_count")? + SPARE_BYTES;
    match free_space::disk_of(directory) {
        Some(disk) if disk.free_bytes < needed_bytes => Err(StoreError::NoRoom {
            from,
            to,
            directory: directory.to_owned(),
            needed_bytes,
            free_bytes: disk.free_bytes,
        }),
        _ => Ok(()),
    }
}

/// `chargehook.db.schema-1`, or the first with a number behind that which nothing has.
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
    use crate::engine::embedded::connect;
    use crate::engine::embedded::data_dir::DATABASE;
    use crate::engine::schema::{LATER, SCHEMA};
    use vocabulary::clock::Clock;

    /// A database of this version, whose newest row stands in its log alone.
    fn database_in(dir: &Path) -> Connection {
        Store::open(dir, Clock::System).expect("opens").close();
        let conn = connect::open_writer(&dir.join(DATABASE)).expect("opens");
        conn.execute("INSERT INTO meta (key, text) VALUES ('word', 'kept')", []).expect("inserts");
        conn
    }

    /// What a copy of a database of this version is called.
    fn copy() -> String {
        format!("{DATABASE}.schema-{}", SCHEMA.newest())
    }

    fn names(dir: &Path) -> Vec<String> {
        copies(&dir.join(DATABASE))
            .into_iter()
            .filter_map(|(_, path)| Some(path.file_name()?.to_str()?.to_owned()))
            .collect()
    }

    #[test]
    fn a_database_of_an_earlier_version_is_kept_whole_and_a_new_one_or_todays_leaves_nothing() {
        if crate::test_store::is_shared() {
            return;
        }
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join(DATABASE);
        let mut conn = database_in(dir.path());
        upgrade(&mut conn, &path, SCHEMA).expect("is there already");
        assert_eq!(names(dir.path()), [""; 0], "there was nothing to do");
        upgrade(&mut conn, &path, LATER).expect("goes on");
        assert_eq!(LATER.version_of(&conn).expect("reads"), LATER.newest());
        assert_eq!(names(dir.path()), [copy()]);
        let kept = Connection::open(dir.path().join(copy())).expect("opens");
        assert_eq!(SCHEMA.version_of(&kept).expect("reads"), SCHEMA.newest());
        let word: String =
            kept.query_row("SELECT text FROM meta WHERE key = 'word'", [], |row| row.get(0)).expect("reads");
        assert_eq!(word, "kept");
        assert!(!dir.path().join(format!("{}-wal", copy())).exists(), "it is whole by itself");
        upgrade(&mut conn, &path, LATER).expect("is there already");
        assert_eq!(names(dir.path()).len(), 1);
        drop(conn);
        let refused = Store::open(dir.path(), Clock::System).err().expect("refused");
        let StoreError::NewerSchema { found, known } = refused else { panic!("{refused}") };
        assert_eq!((found, known), (LATER.newest(), SCHEMA.newest()));
    }

    #[test]
    fn nothing_is_changed_under_a_gateway_that_runs() {
        if crate::test_store::is_shared() {
            return;
        }
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join(DATABASE);
        let mut conn = database_in(dir.path());
        let serve = lock(dir.path()).expect("locks");
        upgrade_beside(&mut conn, &path, SCHEMA).expect("has nothing to do");
        let refused = upgrade_beside(&mut conn, &path, LATER).expect_err("refused");
        let StoreError::InUseByEarlier { found, known, .. } = refused else { panic!("{refused}") };
        assert_eq!((found, known), (SCHEMA.newest(), LATER.newest()));
        assert_eq!(names(dir.path()), [""; 0]);
        assert_eq!(LATER.version_of(&conn).expect("reads"), SCHEMA.newest());
        drop(serve);
        upgrade_beside(&mut conn, &path, LATER).expect("goes on");
        assert_eq!(LATER.version_of(&conn).expect("reads"), LATER.newest());
        assert_eq!(names(dir.path()), [copy()]);
    }

    #[test]
    fn copies_are_bounded_and_none_takes_anothers_place() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join(DATABASE);
        for age in 0..4 {
            let name = free_name(&path, 1);
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
        assert_eq!(left, ["chargehook.db.schema-1-3", "chargehook.db.schema-1-4"]);
        assert!(dir.path().join("chargehook.db.schema-mine").exists());
    }
}
