//! What is done to a database as a whole: its opening with its key, backups, counts that go on after a step
//! back, the way to another engine, and the change or loss of the key.

pub(crate) mod backup;
pub(crate) mod counts;
pub(crate) mod key_change;
pub(crate) mod key_lost;
pub(crate) mod migrate;
mod monotonic_columns;
pub(crate) mod open;
pub(crate) mod quiet;
pub(crate) mod restore;
pub(crate) mod sealed_columns;
mod space;
pub(crate) mod unlock;
