//! The schema in PostgreSQL: the steps of [`SCHEMA`], and what only many nodes need.

use crate::engine::postgres::dialect;
use crate::engine::postgres::driver::{self, Connection};
use crate::engine::schema::SCHEMA;
use crate::engine::sql::params;
use crate::error::{Result, StoreError};

/// Held by the node that changes the schema, over all databases of one server that have such schemas.
const LOCK: i64 = 0x6368_6172_6765;

/// Brings the schema of the connection's database up to date; one node at a time, the others wait.
///
/// # Errors
/// [`StoreError::NewerSchema`], with nothing touched.
pub(crate) fn migrate(conn: &Connection, schema: &str) -> Result<()> {
    conn.batch(&format!("BEGIN; SELECT pg_advisory_xact_lock({LOCK})"))?;
    conn.batch(&format!("CREATE SCHEMA IF NOT EXISTS {schema}; SET LOCAL search_path = {schema}"))?;
    conn.batch("CREATE TABLE IF NOT EXISTS schema_version (version BIGINT NOT NULL)")?;
    let known = SCHEMA.newest();
    let found: i64 = driver::one(conn, "SELECT coalesce(max(version), 0) FROM schema_version", &[], |row| {
        driver::get(row, 0)
    })?;
    if found > known {
        conn.batch("ROLLBACK")?;
        return Err(StoreError::NewerSchema { found, known });
    }
    for text in SCHEMA.steps().iter().skip(found as usize) {
        conn.batch(&dialect::schema_step(text, found == 0))?;
    }
    if found == 0 {
        conn.batch(include_str!("own.sql"))?;
    }
    if found < known {
        driver::run(conn, "DELETE FROM schema_version", &[])?;
        driver::run(conn, "INSERT INTO schema_version (version) VALUES (?1)", params![known])?;
    }
    conn.batch("COMMIT")
}
