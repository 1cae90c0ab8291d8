//! Backups: a copy of the database at one moment, made beside a running gateway.
//!
//! A backup is one file, and a database by itself. The key of its secrets is not in it.

use std::path::{Path, PathBuf};

use crate::engine::embedded::copying::CopyProgress;
use crate::engine::embedded::data_dir::database_in;
use crate::engine::embedded::database_file::DatabaseFile;
use crate::error::{KeyFault, StoreError};
use crate::files::{self, directory_of, file_error};
use crate::maintenance::unlock;
use vocabulary::clock::Timestamp;

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
    let source = DatabaseFile::source(&database_in(data_dir)?)?;
    let directory = directory_of(&path);
    let partial = tempfile::Builder::new()
        .prefix(".chargehook-backup-")
        .tempfile_in(directory)
        .map_err(|error| file_error(directory, &error))?;
    source.copy_to(partial.path(), progress)?;
    let copied = DatabaseFile::open_copy(partial.path())?;
    copied.set_entry(MADE_AT, now.unix_ms())?;
    check(&copied, &path)?;
    let sealed = unlock::is_sealed(&copied)?;
    drop(copied);
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

/// Looks through the whole file for what a disk or a copy may have done to it. `named`: what it is a copy of.
pub(crate) fn check(database: &DatabaseFile, named: &Path) -> Result<(), BackupError> {
    match database.damage() {
        None => Ok(()),
        Some(reason) => Err(BackupError::Damaged { path: named.to_owned(), reason }),
    }
}
