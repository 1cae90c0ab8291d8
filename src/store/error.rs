//! What can go wrong in the store, from the caller's point of view.

use std::path::PathBuf;

/// Our own fault, or the disk's: never a caller's mistake (those are answers, not errors).
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// Another `serve` holds the data directory. Nothing was touched.
    #[error("the data directory {} is in use by another chargehook serve", .0.display())]
    InUse(PathBuf),
    /// The database was written by a newer chargehook. Nothing was touched.
    #[error(
        "the database has schema version {found}, this chargehook knows up to {known}: use a newer chargehook"
    )]
    NewerSchema {
        /// The version in the file.
        found: i64,
        /// The newest version this program can read.
        known: i64,
    },
    /// The commit failed (disk full, I/O error): nothing of the job was written.
    #[error("the store could not commit: {0}")]
    Commit(String),
    /// A statement failed: nothing of the job was written.
    #[error("the store failed: {0}")]
    Sqlite(String),
    /// A row holds what no version of this program writes.
    #[error("unreadable row: {0}")]
    Corrupt(String),
    /// A file or directory could not be used.
    #[error("{path}: {reason}", path = .path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// The operating system's words.
        reason: String,
    },
    /// The store is closed, or its writer is gone.
    #[error("the store is closed")]
    Closed,
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error {
            rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::IntegralValueOutOfRange(..)
            | rusqlite::Error::InvalidColumnType(..) => Self::Corrupt(error.to_string()),
            other => Self::Sqlite(other.to_string()),
        }
    }
}

/// A result whose error is a [`StoreError`].
pub type Result<T> = std::result::Result<T, StoreError>;
