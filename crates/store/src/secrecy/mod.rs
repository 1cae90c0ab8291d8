//! Encryption at rest: the key, the sealed columns, and the change or loss of the key.

pub(crate) mod key_change;
pub(crate) mod key_lost;
pub(crate) mod key_source;
pub(crate) mod sealed_columns;
pub(crate) mod unlock;
pub(crate) mod vault;
