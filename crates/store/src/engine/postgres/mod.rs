//! The driver of PostgreSQL: what statements and rows come down to there.

pub(crate) mod address;
pub(crate) mod cells;
pub(crate) mod dialect;
pub(crate) mod driver;
pub(crate) mod hints;
pub(crate) mod row_numbers;
pub(crate) mod schemas;
pub(crate) mod settings;
pub(crate) mod space;
mod tls;
