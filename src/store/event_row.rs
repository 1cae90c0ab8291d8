//! An event as a row.

use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row};
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::error::Result;
use crate::clock::Timestamp;
use crate::event::Event;

/// The columns that [`read`] takes, of `events e`.
pub(super) const COLUMNS: &str =
    "e.seq, e.id, e.event, e.category, e.protocol, e.station_id, e.station_seq, e.owner_id,
     e.timestamp_ms, e.occurred_at_ms, e.transaction_id, e.payload, e.message_id, e.response, e.violations,
     (SELECT o.id FROM events o WHERE o.seq = e.duplicate_of), e.idempotency_key, e.test, e.custom_headers";

/// The event of this row, if there is one.
pub(super) fn by_seq(conn: &Connection, seq: i64) -> Result<Option<Event>> {
    let event = conn
        .prepare_cached(&format!("SELECT {COLUMNS} FROM events e WHERE e.seq = ?1"))?
        .query_row([seq], read)
        .optional()?;
    Ok(event)
}

/// Reads what [`COLUMNS`] selects.
pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Event> {
    Ok(Event {
        seq: row.get(0)?,
        id: parsed(row, 1)?,
        event: row.get(2)?,
        category: parsed(row, 3)?,
        protocol: row.get(4)?,
        station_id: row.get(5)?,
        station_seq: row.get(6)?,
        owner_id: row.get(7)?,
        timestamp: Timestamp::from_unix_ms(row.get(8)?),
        occurred_at: row.get::<_, Option<i64>>(9)?.map(Timestamp::from_unix_ms),
        transaction_id: row.get(10)?,
        payload: raw(row, 11)?.ok_or(rusqlite::Error::InvalidColumnType(11, "payload".into(), Type::Null))?,
        message_id: row.get(12)?,
        response: raw(row, 13)?,
        violations: json(row, 14)?.unwrap_or_default(),
        duplicate_of: row.get::<_, Option<String>>(15)?.map(|_| parsed(row, 15)).transpose()?,
        idempotency_key: row.get(16)?,
        test: row.get(17)?,
        custom_headers: json(row, 18)?.unwrap_or_default(),
    })
}

fn unreadable<E: std::error::Error + Send + Sync + 'static>(column: usize, error: E) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error))
}

fn parsed<T>(row: &Row<'_>, column: usize) -> rusqlite::Result<T>
where
    T: std::str::FromStr,
    T::Err: std::error::Error + Send + Sync + 'static,
{
    row.get::<_, String>(column)?.parse().map_err(|error| unreadable(column, error))
}

fn raw(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Box<RawValue>>> {
    let text: Option<String> = row.get(column)?;
    text.map(RawValue::from_string).transpose().map_err(|error| unreadable(column, error))
}

fn json<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<T>> {
    let text: Option<String> = row.get(column)?;
    text.map(|text| serde_json::from_str(&text)).transpose().map_err(|error| unreadable(column, error))
}
