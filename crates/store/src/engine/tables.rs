//! The tables of a database: what every engine has of [`SCHEMA`](crate::engine::schema::SCHEMA), as the
//! databases themselves tell it.

/// A table and its columns, in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Table {
    pub(crate) name: String,
    pub(crate) columns: Vec<String>,
}
