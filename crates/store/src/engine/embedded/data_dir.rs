//! The data directory: its database and its lock, by which one `serve` at a time uses it.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use crate::engine::embedded::{file_header, file_identity};
use crate::error::{Result, StoreError};
use crate::files;

/// The database's name in the data directory.
pub(crate) const DATABASE: &str = "chargehook.db";

/// The database of a data directory, which need not exist.
///
/// # Errors
/// [`StoreError::Foreign`] if something else stands there; [`StoreError::Development`]. Nothing was touched.
pub(crate) fn database_in(data_dir: &Path) -> Result<PathBuf> {
    let path = data_dir.join(DATABASE);
    file_identity::look(&path, &file_header::DATABASE)?;
    Ok(path)
}

/// Takes the lock of the data directory; it is held as long as the file is open.
pub(crate) fn lock(data_dir: &Path) -> Result<File> {
    let path = data_dir.join("lock");
    // Whoever can open the file can hold its lock, so that nobody else may, whatever the directory's mode.
    let file = files::open_for_owner(&path)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse(data_dir.to_owned())),
        Err(TryLockError::Error(error)) => Err(files::file_error(&path, &error)),
    }
}
