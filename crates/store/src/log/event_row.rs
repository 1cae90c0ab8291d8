//! An event as a row.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, Row};

use crate::engine::embedded::raw_cells as cells;
use crate::error::{Result, StoreError};
use crate::secrecy::vault::{Vault, cell};
use vocabulary::event::{Event, Target};

/// The columns that [`read`] takes, of `events e`.
pub(crate) const COLUMNS: &str =
    "e.seq, e.id, e.event, e.category, e.protocol, e.station_id, e.station_seq, e.owner_id,
     e.timestamp_ms, e.occurred_at_ms, e.transaction_id, e.payload, e.message_id, e.response, e.violations,
     coalesce((SELECT o.id FROM events o WHERE o.seq = e.duplicate_of),
              (SELECT r.id FROM removed_events r WHERE r.seq = e.duplicate_of)),
     e.idempotency_key, e.test, e.target";

/// The event of this row, if there is one.
pub(crate) fn by_seq(conn: &Connection, seq: i64) -> Result<Option<Event>> {
    let event = conn
        .prepare_cached(&format!("SELECT {COLUMNS} FROM events e WHERE e.seq = ?1"))?
        .query_row([seq], read)
        .optional()?;
    Ok(event)
}

/// The event of this row with the headers that go along with it, which are sealed.
///
/// # Errors
/// [`StoreError::Corrupt`] if it is not there any more, though a delivery tells of it.
pub(crate) fn to_deliver(conn: &Connection, vault: &Vault, seq: i64) -> Result<Event> {
    let event = conn
        .prepare_cached(&format!("SELECT {COLUMNS}, e.custom_headers FROM events e WHERE e.seq = ?1"))?
        .query_row([seq], |row| {
            let mut event = read(row)?;
            event.custom_headers = cells::headers(row, 19, vault, (cell::EVENT_HEADERS, &event.id))?;
            Ok(event)
        })
        .optional()?;
    event.ok_or_else(|| StoreError::Corrupt(format!("events: there is no row {seq}")))
}

/// Reads what [`COLUMNS`] selects; without its headers, which only its deliveries need.
pub(crate) fn read(row: &Row<'_>) -> rusqlite::Result<Event> {
    Ok(Event {
        seq: row.get(0)?,
        id: cells::parsed(row, 1)?,
        event: row.get(2)?,
        category: cells::parsed(row, 3)?,
        protocol: row.get(4)?,
        station_id: row.get(5)?,
        station_seq: row.get(6)?,
        owner_id: row.get(7)?,
        timestamp: cells::moment(row, 8)?,
        occurred_at: cells::maybe_moment(row, 9)?,
        transaction_id: row.get(10)?,
        payload: cells::raw(row, 11)?,
        message_id: row.get(12)?,
        response: cells::maybe_raw(row, 13)?,
        violations: cells::maybe_json(row, 14)?.unwrap_or_default(),
        duplicate_of: cells::maybe_parsed(row, 15)?,
        idempotency_key: row.get(16)?,
        test: row.get(17)?,
        custom_headers: BTreeMap::new(),
        target: Target::from_text(row.get_ref(18)?.as_str_or_null()?)
            .map_err(|error| cells::unreadable(18, error))?,
    })
}
