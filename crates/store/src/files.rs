//! Files as the store makes them: for their owner alone, whole and on disk or not at all, and never in the
//! place of one that is there.

use std::fs::{File, Metadata};
use std::io::Write;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;
use tracing::warn;

use crate::error::{Result, StoreError};

/// Makes a directory that nobody else may look into; one that exists is left as it is.
pub(crate) fn create_directory(path: &Path) -> Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).map_err(|error| file_error(path, &error))
}

/// A file that holds secrets: nobody else on the machine reads it. SQLite gives the files beside a database
/// (write-ahead log, shared memory) the same mode, so it must be right before it is opened.
pub(crate) fn create_for_owner(path: &Path) -> Result<()> {
    open_for_owner(path).map(drop)
}

/// Opens a file for writing, made if there is none.
pub(crate) fn open_for_owner(path: &Path) -> Result<File> {
    let mut options = File::options();
    options.create(true).truncate(false).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map_err(|error| file_error(path, &error))
}

/// Writes a new file for its owner alone. One that exists is left as it is, which is an error.
///
/// # Errors
/// [`StoreError::File`]: there is no such file then.
pub fn write_new(path: &Path, content: &[u8]) -> Result<()> {
    // Of mode 0600 from its first byte on.
    let mut file = NamedTempFile::new_in(directory_of(path)).map_err(|error| file_error(path, &error))?;
    file.write_all(content).map_err(|error| file_error(path, &error))?;
    settle(file, path).map(drop)
}

/// Gives a file that is complete its name: on disk, and in the place of none.
pub(crate) fn settle(file: NamedTempFile, path: &Path) -> Result<File> {
    file.as_file().sync_all().map_err(|error| file_error(path, &error))?;
    let file = file.persist_noclobber(path).map_err(|error| file_error(path, &error.error))?;
    sync(directory_of(path))?;
    Ok(file)
}

/// Where a file is.
pub(crate) fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Names in a directory are on disk.
pub(crate) fn sync(directory: &Path) -> Result<()> {
    File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(|error| file_error(directory, &error))
}

/// Gives a file that is to be replaced a second name beside its own, `NAME.replaced` or the first number
/// behind that which nothing has, also with one of these suffixes. What an earlier try has named already
/// keeps that name.
pub(crate) fn keep_aside(path: &Path, suffixes: &[&str]) -> Result<PathBuf> {
    let mut number = 1;
    loop {
        let name = match number {
            1 => with_suffix(path, ".replaced"),
            _ => with_suffix(path, &format!(".replaced-{number}")),
        };
        let free = |suffix: &&str| {
            let name = with_suffix(&name, suffix);
            !exists(&name) || is_same(&with_suffix(path, suffix), &name)
        };
        if suffixes.iter().all(free) && second_name(path, &name)? {
            return Ok(name);
        }
        number += 1;
    }
}

/// Another name for a file, or a copy of it where the file system has none; false, with nothing changed, if
/// something else has that name.
pub(crate) fn second_name(path: &Path, name: &Path) -> Result<bool> {
    if exists(name) {
        return Ok(is_same(path, name));
    }
    if std::fs::hard_link(path, name).is_ok() {
        return Ok(true);
    }
    let failed = |error: std::io::Error| file_error(name, &error);
    let mut copy = NamedTempFile::new_in(directory_of(name)).map_err(failed)?;
    std::io::copy(&mut File::open(path).map_err(|error| file_error(path, &error))?, &mut copy)
        .map_err(failed)?;
    settle(copy, name).map(|_| true)
}

pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Removes a file that may be there.
pub fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(file_error(path, &error)),
        _ => Ok(()),
    }
}

/// Also of a link that leads nowhere.
fn exists(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok()
}

/// Whether both names are of one file.
#[cfg(unix)]
fn is_same(one: &Path, other: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let place = |path| std::fs::symlink_metadata(path).map(|file: Metadata| (file.dev(), file.ino()));
    matches!((place(one), place(other)), (Ok(one), Ok(other)) if one == other)
}

#[cfg(not(unix))]
fn is_same(_: &Path, _: &Path) -> bool {
    false
}

/// Says which of these files are open to others than their owner. Nothing is changed: whoever opened them may
/// have meant it.
pub fn warn_of_open<'a>(paths: impl IntoIterator<Item = &'a Path>) {
    let open: Vec<String> = paths
        .into_iter()
        .filter_map(|path| Some(format!("{} (mode {:04o})", path.display(), open_to_others(path)?)))
        .collect();
    if !open.is_empty() {
        warn!(
            "open to others than their owner, who can read what is secret in them: {}: chmod 600",
            open.join(", ")
        );
    }
}

/// The permissions of a file beyond its owner's, with all of them; `None`: there are none, or no file.
#[cfg(unix)]
fn open_to_others(path: &Path) -> Option<u32> {
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(path).ok()?.permissions().mode() & 0o777;
    (mode & 0o077 != 0).then_some(mode)
}

#[cfg(not(unix))]
fn open_to_others(_: &Path) -> Option<u32> {
    None
}

pub(crate) fn file_error(path: &Path, error: &std::io::Error) -> StoreError {
    StoreError::File { path: PathBuf::from(path), reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: &Path) -> String {
        std::fs::read_to_string(path).expect("reads")
    }

    #[test]
    fn what_is_kept_aside_takes_nobodys_place() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("a.db");
        let names: Vec<PathBuf> = ["first", "second", "third"]
            .into_iter()
            .map(|content| {
                write_new(&path, content.as_bytes()).expect("writes");
                let kept = keep_aside(&path, &["", "-wal"]).expect("kept");
                // Killed here and tried again, it is kept once.
                assert_eq!(keep_aside(&path, &["", "-wal"]).expect("kept"), kept);
                if content == "first" {
                    // A log without its database is somebody's too.
                    std::fs::write(dir.path().join("a.db.replaced-2-wal"), "log").expect("writes");
                }
                remove(&path).expect("removes");
                kept
            })
            .collect();
        let ends: Vec<_> = names.iter().filter_map(|name| name.file_name()?.to_str()).collect();
        assert_eq!(ends, ["a.db.replaced", "a.db.replaced-3", "a.db.replaced-4"]);
        assert_eq!(names.iter().map(|name| read(name)).collect::<Vec<_>>(), ["first", "second", "third"]);
    }

    #[test]
    #[cfg(unix)]
    fn a_new_file_is_its_owners_alone_and_replaces_none() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("a");
        write_new(&path, b"one").expect("writes");
        assert_eq!(open_to_others(&path), None);
        assert!(matches!(write_new(&path, b"two"), Err(StoreError::File { .. })));
        assert_eq!(read(&path), "one");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).expect("sets");
        assert_eq!(open_to_others(&path), Some(0o640));
        assert_eq!(std::fs::read_dir(dir.path()).expect("reads").count(), 1, "no rest of the second try");
    }
}
