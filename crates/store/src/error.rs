//! What can go wrong in the store, from the caller's point of view.

use std::path::PathBuf;

use vocabulary::id::WebhookId;

/// Our own fault, or the disk's: never a caller's mistake (those are answers, not errors).
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// Another `serve` holds the data directory. Nothing was touched.
    #[error("the data directory {} is in use by another chargehook serve", .0.display())]
    InUse(PathBuf),
    /// A `serve` of an earlier version holds the data directory, whose schema would have to be changed.
    /// Nothing was touched.
    #[error(
        "the data directory {} is in use by a chargehook serve of an earlier version (schema version {found}, here it is \
         {known}): stop it first, or use the program that it runs with",
        .directory.display()
    )]
    InUseByEarlier {
        /// The data directory.
        directory: PathBuf,
        /// The version in the file.
        found: i64,
        /// The one that this program works with.
        known: i64,
    },
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
    /// The database was made by a development version before 0.2.0. It was left as it is.
    #[error(
        "{} was made by a development version of chargehook before 0.2.0, whose databases no released version reads. It \
         was left as it is; start with a new data directory",
        .0.display()
    )]
    Development(PathBuf),
    /// Where the database should be, there is a file of another program. It was left as it is.
    #[error(
        "{} is no chargehook database: {reason}. It was left as it is; move it away, or name another place",
        .path.display()
    )]
    Foreign {
        /// The file.
        path: PathBuf,
        /// How that shows.
        reason: String,
    },
    /// There is no room to keep a copy of the database before its schema is changed. Nothing was touched.
    #[error(
        "the database has schema version {from} and is to be brought to {to}, of which a copy is kept before: that takes \
         {needed_bytes} bytes in {}, and {free_bytes} are free. Nothing was changed",
        .directory.display()
    )]
    NoRoom {
        /// The version in the file.
        from: i64,
        /// The one that this program works with.
        to: i64,
        /// Where the copy would be.
        directory: PathBuf,
        /// The room that it takes.
        needed_bytes: u64,
        /// The room that there is.
        free_bytes: u64,
    },
    /// The commit failed (disk full, I/O error): nothing of the job was written.
    #[error("the store could not commit: {0}")]
    Commit(String),
    /// The database cannot be reached: nothing of the job was written. It will be tried again by itself.
    #[error("the database cannot be reached: {0}")]
    Away(String),
    /// This node was counted as lost, and others have taken over what it had. Nothing of the job was written;
    /// it joins again by itself.
    #[error("this node was silent for its lease, and others have taken over")]
    Fenced,
    /// The station has connected to another node since: its messages on this connection are not answered.
    /// Nothing was written.
    #[error("the station is connected to another node by now")]
    Elsewhere,
    /// Another node serves a request with the same `Idempotency-Key`. Nothing was written.
    #[error("a request with this Idempotency-Key is being served by another node")]
    RequestRuns,
    /// A node of this name is active under other addresses.
    #[error(
        "another node with the name {0:?} is active: give this one a name of its own ([node] name, --node), or stop \
         the other one first"
    )]
    NodeRuns(String),
    /// Nodes work on the database, which may not be while this is done. Nothing was touched.
    #[error(
        "nodes are active: {}. Stop them first; one that was killed counts as active for its lease (15 s) after its \
         last sign of life",
        .0.join(", ")
    )]
    NodesActive(Vec<String>),
    /// A database that should be empty has rows: of these tables, so many. Nothing was touched.
    #[error(
        "something has happened in that database already: it has {}. Only an empty one can take another one over: name \
         another schema (?schema=NAME), or drop this one if nobody needs it",
        shown(.0)
    )]
    NotEmpty(Vec<(String, i64)>),
    /// The database does not let us in (user, password, database, certificate): somebody has to change that.
    /// Nothing of the job was written.
    #[error("the database refuses this gateway: {0}")]
    Refused(String),
    /// A statement failed: nothing of the job was written.
    #[error("the store failed: {0}")]
    Failed(String),
    /// The system gives no random bytes: nothing was written.
    #[error("the system has no randomness to give: {0}")]
    NoRandomness(getrandom::Error),
    /// The key of the secrets in the database cannot be used. Nothing was touched.
    #[error(transparent)]
    Key(#[from] KeyFault),
    /// A row holds what no version of this program writes.
    #[error("unreadable row: {0}")]
    Corrupt(String),
    /// A cell holds what no version of this program writes.
    #[error("unreadable row: column {}: {}", .0.column, .0.reason)]
    Cell(Box<UnreadableCell>),
    /// A setting is stored that this version does not know. Nothing may go on with another setting in its
    /// place.
    #[error(transparent)]
    Setting(#[from] UnreadableSetting),
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

/// A cell that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnreadableCell {
    /// The name that its column has in the statement.
    pub column: String,
    /// What is wrong with it.
    pub reason: String,
}

/// A stored setting that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unreadable setting: {table} {id}, {column}: {reason}")]
pub struct UnreadableSetting {
    /// Where it is stored.
    pub table: &'static str,
    /// Whose it is.
    pub id: String,
    /// Which one.
    pub column: &'static str,
    /// What is wrong with it.
    pub reason: String,
}

impl UnreadableSetting {
    /// A webhook's.
    pub fn of_webhook(id: WebhookId, column: &'static str, reason: impl std::fmt::Display) -> Self {
        Self { table: "webhooks", id: id.to_string(), column, reason: reason.to_string() }
    }
}

/// A text that is no key. The text is not shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a key is 64 hex digits, or the base64 of 32 bytes (openssl rand -hex 32 makes one)")]
pub struct NoSecretsKey;

/// What is wrong with the key that the secrets in a database are sealed with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyFault {
    /// Its file does not exist, though the database has something that was sealed with it.
    #[error(
        "{}: the key of the database's secrets is not there. Put the file back from where its copy is kept, name it \
         in [secrets] key_file, or give the key in CHARGEHOOK_SECRETS_KEY. If it is lost for good: `chargehook secrets \
         drop` tells what goes with it",
        .0.display()
    )]
    Missing(PathBuf),
    /// It is not the one that the database's secrets are sealed with.
    #[error(
        "{0}: not the key that the database's secrets are sealed with. Put back the one that was in use when the \
         database was written. If that one is lost for good: `chargehook secrets drop` tells what goes with it"
    )]
    Wrong(String),
    /// The file holds no key.
    #[error(
        "{}: {}. Put the file back from where its copy is kept; if the key is lost for good, move this file away",
        .0.display(),
        NoSecretsKey
    )]
    Malformed(PathBuf),
}

/// `events (12), webhooks (1)`
fn shown(tables: &[(String, i64)]) -> String {
    tables.iter().map(|(table, rows)| format!("{table} ({rows})")).collect::<Vec<_>>().join(", ")
}

impl StoreError {
    /// Whether a database elsewhere cannot be used just now; everything works again once it can.
    pub fn is_away(&self) -> bool {
        matches!(self, Self::Away(_) | Self::Refused(_))
    }

    /// A cell of this column cannot be read.
    pub(crate) fn cell(column: String, reason: impl std::fmt::Display) -> Self {
        Self::Cell(Box::new(UnreadableCell { column, reason: reason.to_string() }))
    }
}

impl From<serde_json::Error> for StoreError {
    /// JSON is read from rows and written into them, nothing else.
    fn from(error: serde_json::Error) -> Self {
        Self::Corrupt(error.to_string())
    }
}

/// A result whose error is a [`StoreError`].
pub type Result<T> = std::result::Result<T, StoreError>;
