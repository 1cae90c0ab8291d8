//! An event as a row: its columns, how it is inserted, and how it is read.

use std::collections::BTreeMap;

use crate::LogPosition;
use crate::engine::counted::Counted;
use crate::engine::row::Row;
use crate::engine::sql::params;
use crate::engine::tx::{Read, Tx};
use crate::error::{Result, StoreError};
use crate::secrecy::vault::{Vault, cell};
use vocabulary::event::{Event, NewEvent, Target};
use vocabulary::id::EventId;
use vocabulary::ocpp::Violation;
use vocabulary::ocpp::authorization::IdTagReason;
use vocabulary::ocpp::protocol::Protocol;

/// The columns that [`read`] takes, of `events e`.
pub(crate) const COLUMNS: &str =
    "e.seq, e.id, e.event, e.category, e.protocol, e.station_id, e.station_seq, e.owner_id,
     e.timestamp_ms, e.occurred_at_ms, e.transaction_id, e.payload, e.message_id, e.response, e.violations,
     coalesce((SELECT o.id FROM events o WHERE o.seq = e.duplicate_of),
              (SELECT r.id FROM removed_events r WHERE r.seq = e.duplicate_of)),
     e.idempotency_key, e.test, e.target, e.id_tag_reason";

/// Where [`COLUMNS`] has the payload.
const PAYLOAD: usize = 11;

/// The column behind all of [`COLUMNS`].
pub(crate) const BEHIND: usize = 20;

/// What an event gets when it is stored.
pub(crate) struct Stored<'a> {
    pub(crate) id: EventId,
    pub(crate) station_seq: Option<i64>,
    pub(crate) owner_id: Option<&'a str>,
    pub(crate) duplicate_of: Option<LogPosition>,
    pub(crate) test: bool,
    pub(crate) target: Target,
    /// Sealed.
    pub(crate) custom_headers: Option<String>,
    pub(crate) idempotency_key: Option<&'a str>,
}

/// Inserts the event; returns where it stands.
pub(crate) fn insert(w: &Tx<'_>, event: &NewEvent, stored: &Stored<'_>) -> Result<LogPosition> {
    let known = w.counted.map(Counted::next_event);
    // Without a number the database gives it.
    const INSERT: &str =
        "INSERT INTO events (id, event, category, protocol, station_id, station_seq, owner_id, timestamp_ms,
                             occurred_at_ms, transaction_id, payload, message_id, response, violations,
                             duplicate_of, test, target, custom_headers, idempotency_key,
                             id_tag_reason, seq)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19,
                 ?20, ?21)";
    let violations = violations_text(&event.violations)?;
    let (target, category) = (stored.target.to_text(), event.category.as_str());
    let protocol = event.protocol.map(Protocol::as_str);
    let reason = event.id_tag_reason.map(IdTagReason::as_str);
    let values = params![
        stored.id,
        event.event,
        category,
        protocol,
        event.station_id,
        stored.station_seq,
        stored.owner_id,
        event.timestamp,
        event.occurred_at,
        event.transaction_id,
        event.payload,
        event.message_id,
        event.response,
        violations,
        stored.duplicate_of,
        stored.test,
        target,
        stored.custom_headers,
        stored.idempotency_key,
        reason,
        known,
    ];
    let position = match known {
        Some(known) => {
            w.send(INSERT, values)?;
            known
        }
        None => w.insert_counted(INSERT, values)?,
    };
    Ok(LogPosition::from_number(position))
}

fn violations_text(violations: &[Violation]) -> Result<Option<String>> {
    if violations.is_empty() {
        return Ok(None);
    }
    Ok(Some(serde_json::to_string(violations)?))
}

/// The event of this position, which was stored just now.
///
/// # Errors
/// [`StoreError::Corrupt`] if it is not there.
pub(crate) fn just_stored(db: &Read<'_>, position: LogPosition) -> Result<Event> {
    let sql = format!("SELECT {COLUMNS} FROM events e WHERE e.seq = ?1");
    db.maybe(&sql, params![position], read)?.ok_or_else(|| missing(position))
}

/// The event of this position with the headers that go along with it, which are sealed.
///
/// # Errors
/// [`StoreError::Corrupt`] if it is not there any more, though a delivery tells of it.
pub(crate) fn to_deliver(db: &Read<'_>, vault: &Vault, position: LogPosition) -> Result<Event> {
    let sql = format!("SELECT {COLUMNS}, e.custom_headers FROM events e WHERE e.seq = ?1");
    let event = db.maybe(&sql, params![position], |row| {
        let mut event = read(row)?;
        event.custom_headers = row.headers(BEHIND, vault, (cell::EVENT_HEADERS, &event.id))?;
        Ok(event)
    })?;
    event.ok_or_else(|| missing(position))
}

fn missing(position: LogPosition) -> StoreError {
    StoreError::Corrupt(format!("events: there is no row {position}"))
}

/// Reads what [`COLUMNS`] selects; without its headers, which only its deliveries need.
pub(crate) fn read(row: &Row<'_>) -> Result<Event> {
    Ok(Event {
        position: row.get(0)?,
        id: row.get(1)?,
        event: row.get(2)?,
        category: row.parsed(3)?,
        protocol: row.get(4)?,
        station_id: row.get(5)?,
        station_seq: row.get(6)?,
        owner_id: row.get(7)?,
        timestamp: row.get(8)?,
        occurred_at: row.get(9)?,
        transaction_id: row.get(10)?,
        id_tag_reason: row.maybe_word(19)?,
        payload: row.get(PAYLOAD)?,
        message_id: row.get(12)?,
        response: row.get(13)?,
        violations: row.maybe_json(14)?.unwrap_or_default(),
        duplicate_of: row.get(15)?,
        idempotency_key: row.get(16)?,
        test: row.get(17)?,
        custom_headers: BTreeMap::new(),
        target: Target::from_text(row.maybe_text(18)?).map_err(|error| row.unreadable(18, error))?,
    })
}

/// The position of what [`COLUMNS`] selects.
pub(crate) fn position(row: &Row<'_>) -> Result<LogPosition> {
    row.get(0)
}

/// The payload of what [`COLUMNS`] selects, where it stands.
pub(crate) fn payload<'r>(row: &'r Row<'_>) -> Result<&'r str> {
    row.text(PAYLOAD)
}
