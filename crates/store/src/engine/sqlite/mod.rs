//! The driver of SQLite: what statements and rows come down to there.

pub(crate) mod driver;
pub(crate) mod free_space;
pub(crate) mod row_numbers;
pub(crate) mod tables;
