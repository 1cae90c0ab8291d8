//! Statements on SQLite: values in, rows out. Every text is prepared once per connection.

use std::ops::ControlFlow;

use rusqlite::types::{ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Error, params_from_iter};

use crate::engine::sql::{CellValue, FromCell, Param, params};
use crate::error::{Result, StoreError};

pub(crate) use rusqlite::Connection;

/// A row as the driver has it.
pub(crate) type RawRow<'a> = rusqlite::Row<'a>;

impl ToSql for Param<'_> {
    #[inline]
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null(_) => ValueRef::Null,
            Self::Int(number) => ValueRef::Integer(*number),
            Self::Real(number) => ValueRef::Real(*number),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Bytes(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

#[inline]
pub(crate) fn one<T>(
    conn: &Connection,
    sql: &str,
    params: &[Param<'_>],
    read: impl FnOnce(&RawRow<'_>) -> Result<T>,
) -> Result<T> {
    maybe(conn, sql, params, read)?.ok_or_else(|| Error::QueryReturnedNoRows.into())
}

#[inline]
pub(crate) fn maybe<T>(
    conn: &Connection,
    sql: &str,
    params: &[Param<'_>],
    read: impl FnOnce(&RawRow<'_>) -> Result<T>,
) -> Result<Option<T>> {
    let mut statement = conn.prepare_cached(sql)?;
    let mut rows = statement.query(params_from_iter(params))?;
    rows.next()?.map(read).transpose()
}

#[inline]
pub(crate) fn each(
    conn: &Connection,
    sql: &str,
    params: &[Param<'_>],
    mut read: impl FnMut(&RawRow<'_>) -> Result<ControlFlow<()>>,
) -> Result<()> {
    let mut statement = conn.prepare_cached(sql)?;
    let mut rows = statement.query(params_from_iter(params))?;
    while let Some(row) = rows.next()? {
        if read(row)?.is_break() {
            break;
        }
    }
    Ok(())
}

#[inline]
pub(crate) fn run(conn: &Connection, sql: &str, params: &[Param<'_>]) -> Result<usize> {
    Ok(conn.prepare_cached(sql)?.execute(params_from_iter(params))?)
}

/// Inserts one row; the number that it got. Quicker than `RETURNING`.
#[inline]
pub(crate) fn insert_counted(conn: &Connection, sql: &str, params: &[Param<'_>]) -> Result<i64> {
    run(conn, sql, params)?;
    Ok(conn.last_insert_rowid())
}

/// How many rows were inserted, changed or deleted since the connection was opened.
#[inline]
pub(crate) fn changes(conn: &Connection) -> u64 {
    conn.total_changes()
}

/// What stands in a cell, as what is wanted.
#[inline]
pub(crate) fn get<T: FromCell>(row: &RawRow<'_>, column: usize) -> Result<T> {
    T::from_cell(cell(row, column)?).map_err(|reason| StoreError::cell(column_name(row, column), reason))
}

pub(crate) fn next_number(conn: &Connection, table: &str) -> Result<i64> {
    let newest = "SELECT seq FROM sqlite_sequence WHERE name = ?1";
    Ok(maybe(conn, newest, params![table], |row| get::<i64>(row, 0))?.unwrap_or(0) + 1)
}

#[inline]
pub(crate) fn cell<'a>(row: &'a RawRow<'_>, column: usize) -> Result<CellValue<'a>> {
    Ok(match row.get_ref(column)? {
        ValueRef::Null => CellValue::Null,
        ValueRef::Integer(number) => CellValue::Int(number),
        ValueRef::Real(number) => CellValue::Real(number),
        ValueRef::Text(text) => CellValue::Text(
            std::str::from_utf8(text).map_err(|error| StoreError::cell(column_name(row, column), error))?,
        ),
        ValueRef::Blob(bytes) => CellValue::Bytes(bytes),
    })
}

pub(crate) fn column_name(row: &RawRow<'_>, column: usize) -> String {
    row.as_ref().column_name(column).unwrap_or("?").to_owned()
}

/// The bytes of all texts and blobs of a row.
pub(crate) fn weight(row: &RawRow<'_>) -> Result<usize> {
    (0..row.as_ref().column_count()).try_fold(0, |bytes, column| {
        let value = row.get_ref(column)?;
        Ok(bytes + value.as_bytes_or_null().ok().flatten().map_or(0, <[u8]>::len))
    })
}

impl From<Error> for StoreError {
    fn from(error: Error) -> Self {
        match error {
            Error::FromSqlConversionFailure(..)
            | Error::IntegralValueOutOfRange(..)
            | Error::InvalidColumnType(..) => Self::Corrupt(error.to_string()),
            other => Self::Failed(other.to_string()),
        }
    }
}
