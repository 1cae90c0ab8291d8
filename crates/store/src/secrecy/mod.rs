//! Encryption at rest: where the key comes from, and how one cell is sealed and opened with it. Which columns
//! are sealed, and the change or loss of the key, are in `maintenance`.

pub(crate) mod key_source;
pub(crate) mod settings;
pub(crate) mod vault;
