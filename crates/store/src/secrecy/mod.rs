//! Encryption at rest: the key, the sealed columns, and the change or loss of the key.

pub(crate) mod key_source;
pub(crate) mod settings;
pub(crate) mod vault;
