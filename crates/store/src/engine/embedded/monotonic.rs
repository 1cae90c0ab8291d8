//! The monotonic clock, over restarts.
//!
//! Rows that wait are due by it; a row that people see gets [`WALL_OFFSET_MS`] added.

use rusqlite::{Connection, OptionalExtension};

use crate::engine::sql::WALL_OFFSET_MS;
use crate::error::Result;
use vocabulary::clock::{Clock, Monotonic, Timestamp};

/// Goes on where the last run has left the monotonic clock, and not before any moment of it in the store.
pub(crate) fn resume(conn: &Connection, clock: &Clock) -> Result<(Monotonic, i64)> {
    let known_ms = conn.query_row(&format!("SELECT {WALL_OFFSET_MS}"), [], |row| row.get(0))?;
    let newest = "SELECT scheduled_at_ms FROM deliveries ORDER BY seq DESC LIMIT 1";
    let reached_ms: Option<i64> = conn.query_row(newest, [], |row| row.get(0)).optional()?;
    let reached = Timestamp::from_unix_ms(reached_ms.unwrap_or(0));
    Ok((Monotonic::resume(clock.clone(), known_ms, reached), known_ms))
}

/// Writes down how far the wall is ahead.
pub(crate) fn note(conn: &Connection, wall_offset_ms: i64) -> rusqlite::Result<()> {
    conn.prepare_cached("INSERT OR REPLACE INTO meta (key, value) VALUES ('wall_offset_ms', ?1)")?
        .execute([wall_offset_ms])
        .map(drop)
}
