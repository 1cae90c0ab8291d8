//! The room that the database takes.

use crate::engine::postgres::driver::{self, Connection};
use crate::engine::sqlite::free_space::Space;
use crate::error::Result;

/// Bytes of all tables and indexes of the schema.
pub(crate) fn space(conn: &Connection) -> Result<Space> {
    let bytes: i64 = driver::one(
        conn,
        "SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)
         FROM pg_class c WHERE c.relkind = 'r' AND c.relnamespace = current_schema()::regnamespace",
        &[],
        |row| driver::get(row, 0),
    )?;
    Ok(Space::of_bytes(bytes.max(0) as u64))
}
