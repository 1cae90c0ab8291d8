//! The schemas of a database: whether ours is there, and those of tests.

#[cfg(any(test, feature = "testing"))]
use std::ops::ControlFlow;

use crate::engine::postgres::address::Address;
use crate::engine::postgres::driver::{self, Connection};
use crate::engine::sql::params;
use crate::error::Result;

/// Whether the address's schema has tables of ours.
pub(crate) fn is_made(address: &Address) -> Result<bool> {
    let conn = Connection::open(address)?;
    let sql = "SELECT to_regclass(?1 || '.schema_version') IS NOT NULL";
    driver::one(&conn, sql, params![address.schema()], |row| driver::get(row, 0))
}

/// The names of all schemas that begin like this.
#[cfg(any(test, feature = "testing"))]
pub(crate) fn named(conn: &Connection, prefix: &str) -> Result<Vec<String>> {
    let mut names = Vec::new();
    let sql = "SELECT nspname FROM pg_namespace WHERE starts_with(nspname, ?1)";
    driver::each(conn, sql, params![prefix], |row| {
        names.push(driver::get(row, 0)?);
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(names)
}

/// Removes a schema with all that is in it, if it is there.
#[cfg(any(test, feature = "testing"))]
pub(crate) fn remove(conn: &Connection, schema: &str) -> Result<()> {
    conn.batch(&format!("SET client_min_messages = warning; DROP SCHEMA IF EXISTS {schema} CASCADE"))
}
