//! The embedded engine: SQLite, in one file of the data directory.

pub(crate) mod checkpoint;
pub(crate) mod data_dir;
pub(crate) mod file_identity;
pub(crate) mod free_space;
pub(crate) mod monotonic;
pub(crate) mod newest_ids;
pub(crate) mod readers;
pub(crate) mod schema;
pub(crate) mod search_index;
pub(crate) mod statistics;
pub(crate) mod writer;
