//! What is done to a database as a whole: its opening with its key, backups, and the change or loss of the
//! key.

pub(crate) mod backup;
pub(crate) mod key_change;
pub(crate) mod key_lost;
pub(crate) mod open;
pub(crate) mod restore;
pub(crate) mod sealed_columns;
mod space;
pub(crate) mod unlock;
