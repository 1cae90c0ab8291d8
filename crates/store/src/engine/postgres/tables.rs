//! The tables of a schema of PostgreSQL, as its catalogue tells them.

use std::ops::ControlFlow;

use crate::engine::postgres::driver::{self, Connection, RawRow};
use crate::engine::sql::params;
use crate::error::{Result, StoreError};

/// What a column of ours may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ColumnType {
    BigInt,
    Double,
    Text,
    Bytes,
}

fn all<T>(conn: &Connection, sql: &str, table: &str, read: impl Fn(&RawRow) -> Result<T>) -> Result<Vec<T>> {
    let mut found = Vec::new();
    let values = params![table];
    driver::each(conn, sql, if sql.contains("?1") { values } else { &[] }, |row| {
        found.push(read(row)?);
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(found)
}

/// The names of all tables.
pub(crate) fn names(conn: &Connection) -> Result<Vec<String>> {
    let sql = "SELECT CAST(table_name AS TEXT) FROM information_schema.tables
               WHERE table_schema = current_schema() AND table_type = 'BASE TABLE' ORDER BY 1";
    all(conn, sql, "", |row| driver::get(row, 0))
}

/// The columns of a table, in their order.
pub(crate) fn columns(conn: &Connection, table: &str) -> Result<Vec<(String, ColumnType)>> {
    let sql = "SELECT CAST(column_name AS TEXT), CAST(data_type AS TEXT) FROM information_schema.columns
               WHERE table_schema = current_schema() AND table_name = ?1 ORDER BY ordinal_position";
    all(conn, sql, table, |row| {
        let (name, kind): (String, String) = (driver::get(row, 0)?, driver::get(row, 1)?);
        let kind = match kind.as_str() {
            "bigint" => ColumnType::BigInt,
            "double precision" => ColumnType::Double,
            "text" => ColumnType::Text,
            "bytea" => ColumnType::Bytes,
            other => return Err(StoreError::Corrupt(format!("{table}.{name} is of the type {other}"))),
        };
        Ok((name, kind))
    })
}

/// Indexes that no constraint needs, by name, and the statements that make them.
pub(crate) fn free_indexes(conn: &Connection) -> Result<Vec<(String, String)>> {
    let sql = "SELECT CAST(c.relname AS TEXT), pg_get_indexdef(i.indexrelid)
               FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
               WHERE c.relnamespace = CAST(current_schema() AS regnamespace)
                 AND NOT EXISTS (SELECT 1 FROM pg_constraint k WHERE k.conindid = i.indexrelid) ORDER BY 1";
    all(conn, sql, "", |row| Ok((driver::get(row, 0)?, driver::get(row, 1)?)))
}
