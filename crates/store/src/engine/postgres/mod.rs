//! The driver of PostgreSQL: what statements and rows come down to there.

pub(crate) mod address;
pub(crate) mod bulk;
pub(crate) mod cells;
pub(crate) mod copying;
pub(crate) mod dialect;
pub(crate) mod driver;
pub(crate) mod hints;
mod messages;
mod raw_row;
pub(crate) mod row_numbers;
pub(crate) mod schemas;
mod sending;
pub(crate) mod settings;
pub(crate) mod space;
pub(crate) mod tables;
mod tls;
