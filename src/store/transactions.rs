//! Charging transactions as chargers' messages begin, feed and end them.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::error::{Result, StoreError};
use super::writer::Writing;
use crate::clock::Timestamp;
use crate::id::StationId;
use crate::ocpp::v16::inbound::{MeterValue, StartTransaction, StopTransaction};

/// The first number is random in this range, so that sessions begun at another backend do not collide.
const FIRST_NUMBER: std::ops::Range<u64> = 100_000_000..1_000_000_000;

/// Before this no charger's clock was right: 2001-09-09.
const EARLIEST_BELIEVABLE_MS: i64 = 1_000_000_000_000;

/// Whether a charger's time cannot tell one event from another.
fn clock_is_dead(occurred_at: Option<Timestamp>) -> bool {
    occurred_at.is_none_or(|at| at.unix_ms() < EARLIEST_BELIEVABLE_MS)
}

/// The transaction that a message turned out to belong to.
pub(super) struct Found {
    pub(super) transaction_id: i64,
    /// The event that began or ended it.
    pub(super) event_seq: i64,
    pub(super) id_tag_status: String,
}

/// The next transaction's number: positive, unique in the installation, never used again.
pub(super) fn next_number(w: &Writing<'_>) -> Result<i64> {
    let next = w
        .conn
        .prepare_cached(
            "UPDATE meta SET value = value + 1 WHERE key = 'last_transaction_id' RETURNING value",
        )?
        .query_row([], |row| row.get(0))
        .optional()?;
    if let Some(number) = next {
        return Ok(number);
    }
    let mut chance = [0u8; 8];
    getrandom::fill(&mut chance).map_err(|error| StoreError::Sqlite(format!("no randomness: {error}")))?;
    let first = FIRST_NUMBER.start + u64::from_le_bytes(chance) % (FIRST_NUMBER.end - FIRST_NUMBER.start);
    w.conn.execute("INSERT INTO meta (key, value) VALUES ('last_transaction_id', ?1)", [first as i64])?;
    Ok(first as i64)
}

/// The transaction that this very start began before: same connector, tag, time and meter reading.
/// A charger whose clock is dead sends the same time again and again, so there only an open one counts.
pub(super) fn begun_by(
    conn: &Connection,
    station: &StationId,
    start: &StartTransaction,
    occurred_at: Option<Timestamp>,
) -> Result<Option<Found>> {
    let found = conn
        .prepare_cached(
            "SELECT transaction_id, start_event_seq, id_tag_status FROM transactions
             WHERE station_id = ?1 AND start_timestamp_text IS ?2 AND connector_id IS ?3 AND id_tag IS ?4
               AND meter_start_wh IS ?5 AND (status = 'active' OR NOT ?6)
             ORDER BY transaction_id DESC LIMIT 1",
        )?
        .query_row(
            params![
                station.as_str(),
                start.timestamp_text,
                start.connector_id,
                start.id_tag,
                start.meter_start_wh,
                clock_is_dead(occurred_at)
            ],
            |row| {
                Ok(Found { transaction_id: row.get(0)?, event_seq: row.get(1)?, id_tag_status: row.get(2)? })
            },
        )
        .optional()?;
    Ok(found)
}

/// Begins a transaction. One that is still open on the same connector is orphaned, but stays stoppable.
pub(super) fn begin(
    w: &Writing<'_>,
    station: &StationId,
    owner_id: Option<&str>,
    start: &StartTransaction,
    begun: &Begun<'_>,
) -> Result<()> {
    orphan_open_ones(w, station, start.connector_id)?;
    let stamp = stamp(w)?;
    w.conn
        .prepare_cached(
            "INSERT INTO transactions (transaction_id, station_id, connector_id, owner_id, id_tag, id_tag_status,
                                       reservation_id, status, started_at_ms, meter_start_wh, start_timestamp_text,
                                       start_event_seq, created_at_ms, updated_at_ms, change_seq)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 'active', ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
        )?
        .execute(params![
            begun.transaction_id,
            station.as_str(),
            start.connector_id,
            owner_id,
            start.id_tag,
            begun.id_tag_status,
            start.reservation_id,
            begun.started_at.unix_ms(),
            start.meter_start_wh,
            start.timestamp_text,
            begun.event_seq,
            w.now.unix_ms(),
            stamp.at_ms,
            stamp.seq,
        ])?;
    Ok(())
}

/// Marks what is open on a connector where something else begins: its stop is lost, or late.
fn orphan_open_ones(w: &Writing<'_>, station: &StationId, connector_id: Option<i64>) -> Result<()> {
    let open: Vec<i64> = w
        .conn
        .prepare_cached(
            "SELECT transaction_id FROM transactions
             WHERE station_id = ?1 AND connector_id IS ?2 AND status = 'active' AND orphaned = 0",
        )?
        .query_map(params![station.as_str(), connector_id], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    for transaction_id in open {
        let stamp = stamp(w)?;
        w.conn
            .prepare_cached(
                "UPDATE transactions
                 SET orphaned = 1, orphan_news_at_ms = ?2, updated_at_ms = ?3, change_seq = ?4
                 WHERE transaction_id = ?1",
            )?
            .execute(params![transaction_id, w.now.unix_ms(), stamp.at_ms, stamp.seq])?;
    }
    Ok(())
}

/// The moment of a change, and its place among the changes of that moment.
pub(super) struct Stamp {
    pub(super) at_ms: i64,
    pub(super) seq: i64,
}

/// The stamp of the next change: behind all others, even if the clock was set back. A poller that stands
/// behind a change has seen all before it.
pub(super) fn stamp(w: &Writing<'_>) -> Result<Stamp> {
    let last: Option<(i64, i64)> = w
        .conn
        .prepare_cached(
            "SELECT updated_at_ms, change_seq FROM transactions
             ORDER BY updated_at_ms DESC, change_seq DESC LIMIT 1",
        )?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let now_ms = w.now.unix_ms();
    Ok(match last {
        Some((at_ms, seq)) if at_ms >= now_ms => Stamp { at_ms, seq: seq + 1 },
        _ => Stamp { at_ms: now_ms, seq: 1 },
    })
}

/// What the gateway adds to a start.
pub(super) struct Begun<'a> {
    pub(super) transaction_id: i64,
    pub(super) id_tag_status: &'a str,
    pub(super) started_at: Timestamp,
    pub(super) event_seq: i64,
}

/// What a stop turned out to be.
pub(super) enum StopOf {
    /// The first stop of this transaction.
    First {
        transaction_id: i64,
        /// The charger named another number; this was the only one it can have meant.
        inferred: bool,
        /// It was ended without the charger's word, which comes now.
        completed: bool,
    },
    /// The stop that this event was the first of.
    Retry { event_seq: i64, transaction_id: Option<i64> },
    /// Another stop of a transaction that has one: the first one stands.
    Conflicting { transaction_id: i64 },
    /// No transaction of this station fits.
    Unattached,
}

/// Finds what `stop` ends. Another station's transaction is never touched.
pub(super) fn ended_by(
    w: &Writing<'_>,
    station: &StationId,
    stop: &StopTransaction,
    occurred_at: Option<Timestamp>,
    payload: &str,
) -> Result<StopOf> {
    if let Some(number) = stop.transaction_id {
        let standing: Option<(bool, bool)> = w
            .conn
            .prepare_cached(
                "SELECT stop_event_seq IS NOT NULL, status = 'completed' FROM transactions
                 WHERE transaction_id = ?1 AND station_id = ?2",
            )?
            .query_row(params![number, station.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        match standing {
            Some((false, completed)) => {
                return Ok(StopOf::First { transaction_id: number, inferred: false, completed });
            }
            Some((true, _)) => {
                let before = match stopped_before(w.conn, station, stop)? {
                    Some((event_seq, _)) => Some(event_seq),
                    None => told_before(w, station, Some(number), payload)?,
                };
                return Ok(match before {
                    Some(event_seq) => StopOf::Retry { event_seq, transaction_id: Some(number) },
                    None => StopOf::Conflicting { transaction_id: number },
                });
            }
            None => {}
        }
    }
    let repeated = match stopped_before(w.conn, station, stop)? {
        Some((event_seq, transaction_id)) => {
            Some(StopOf::Retry { event_seq, transaction_id: Some(transaction_id) })
        }
        None => told_before(w, station, None, payload)?
            .map(|event_seq| StopOf::Retry { event_seq, transaction_id: None }),
    };
    // A dead clock says the same at every stop, so there an open transaction comes before a repetition.
    if repeated.is_some() && !clock_is_dead(occurred_at) {
        return Ok(repeated.unwrap_or(StopOf::Unattached));
    }
    Ok(match only_open_one(w, station, stop, occurred_at)? {
        Some(transaction_id) => StopOf::First { transaction_id, inferred: true, completed: false },
        None => repeated.unwrap_or(StopOf::Unattached),
    })
}

/// The first stop that ended a transaction with the same number, time and meter reading.
pub(super) fn stopped_before(
    conn: &Connection,
    station: &StationId,
    stop: &StopTransaction,
) -> Result<Option<(i64, i64)>> {
    let found = conn
        .prepare_cached(
            "SELECT stop_event_seq, transaction_id FROM transactions
             WHERE station_id = ?1 AND stop_timestamp_text IS ?2 AND stop_event_seq IS NOT NULL
               AND stop_transaction_id IS ?3 AND meter_stop_wh IS ?4
             ORDER BY transaction_id DESC LIMIT 1",
        )?
        .query_row(
            params![station.as_str(), stop.timestamp_text, stop.transaction_id, stop.meter_stop_wh],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .optional()?;
    Ok(found)
}

/// The first of the stops that say exactly this and ended nothing: they came after the first one of
/// their transaction, or have none.
fn told_before(
    w: &Writing<'_>,
    station: &StationId,
    transaction_id: Option<i64>,
    payload: &str,
) -> Result<Option<i64>> {
    // One query for each, so that each finds its index.
    let select = match transaction_id {
        Some(_) => {
            "SELECT seq FROM events
             WHERE transaction_id = ?3 AND station_id = ?1 AND event = 'StopTransaction'
               AND duplicate_of IS NULL AND payload = ?2 ORDER BY seq LIMIT 1"
        }
        None => {
            "SELECT seq FROM events
             WHERE station_id = ?1 AND event = 'StopTransaction' AND transaction_id IS NULL
               AND duplicate_of IS NULL AND payload = ?2 AND ?3 IS NULL ORDER BY seq LIMIT 1"
        }
    };
    let found = w
        .conn
        .prepare_cached(select)?
        .query_row(params![station.as_str(), payload, transaction_id], |row| row.get(0))
        .optional()?;
    Ok(found)
}

/// The one open transaction that a stop with an unknown number can mean: same tag if it names one, not
/// earlier, not below the meter's start. Two candidates are none; orphaned ones, which another start
/// has followed on their connector, are no candidates.
fn only_open_one(
    w: &Writing<'_>,
    station: &StationId,
    stop: &StopTransaction,
    occurred_at: Option<Timestamp>,
) -> Result<Option<i64>> {
    let open: Vec<(i64, bool)> = w
        .conn
        .prepare_cached(
            "SELECT transaction_id,
                    (?2 IS NULL OR id_tag = ?2 COLLATE NOCASE)
                    AND (?3 IS NULL OR meter_start_wh IS NULL OR ?3 >= meter_start_wh)
                    AND (?4 IS NULL OR started_at_ms IS NULL OR ?4 >= started_at_ms)
             FROM transactions WHERE station_id = ?1 AND status = 'active' AND orphaned = 0 LIMIT 2",
        )?
        .query_map(
            params![station.as_str(), stop.id_tag, stop.meter_stop_wh, occurred_at.map(|at| at.unix_ms())],
            |row| Ok((row.get(0)?, row.get::<_, Option<bool>>(1)?.unwrap_or(false))),
        )?
        .collect::<rusqlite::Result<_>>()?;
    Ok(match open.as_slice() {
        [(transaction_id, true)] => Some(*transaction_id),
        _ => None,
    })
}

/// What the gateway knows of a stop beside what it says.
pub(super) struct Ending {
    pub(super) transaction_id: i64,
    /// The charger named another number.
    pub(super) inferred: bool,
    /// The transaction had been ended without the charger's word.
    pub(super) completed: bool,
    /// The charger's time for it, if it can be read.
    pub(super) occurred_at: Option<Timestamp>,
    pub(super) received_at: Timestamp,
    pub(super) event_seq: i64,
}

/// Ends a transaction with its first stop, whose word replaces what was guessed or given by hand. What the
/// stop does not say stays, and leaves the end inferred.
pub(super) fn end(w: &Writing<'_>, stop: &StopTransaction, ending: &Ending) -> Result<()> {
    let stamp = stamp(w)?;
    w.conn
        .prepare_cached(
            "UPDATE transactions
             SET status = 'completed', orphaned = 0, ended_by = 'stop', revision = max(revision, 1),
                 inferred = ?2 OR ?3 IS NULL OR (?5 IS NULL AND meter_stop_wh IS NOT NULL),
                 stopped_at_ms = coalesce(?3, stopped_at_ms, ?4), meter_stop_wh = coalesce(?5, meter_stop_wh),
                 stop_reason = ?6, stop_id_tag = ?7, stop_timestamp_text = ?8, stop_transaction_id = ?9,
                 stop_event_seq = ?10, completed_at_ms = coalesce(completed_at_ms, ?11),
                 updated_at_ms = ?12, change_seq = ?13
             WHERE transaction_id = ?1",
        )?
        .execute(params![
            ending.transaction_id,
            ending.inferred,
            ending.occurred_at.map(Timestamp::unix_ms),
            ending.received_at.unix_ms(),
            stop.meter_stop_wh,
            stop.reason.as_deref().unwrap_or("Local"),
            stop.id_tag,
            stop.timestamp_text,
            stop.transaction_id,
            ending.event_seq,
            w.now.unix_ms(),
            stamp.at_ms,
            stamp.seq,
        ])?;
    Ok(())
}

/// The meter at the start of a transaction, in Wh.
pub(super) fn meter_start(w: &Writing<'_>, transaction_id: i64) -> Result<Option<i64>> {
    let start: Option<Option<i64>> = w
        .conn
        .prepare_cached("SELECT meter_start_wh FROM transactions WHERE transaction_id = ?1")?
        .query_row([transaction_id], |row| row.get(0))
        .optional()?;
    Ok(start.flatten())
}

/// A transaction that meter values belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Metered {
    pub(super) transaction_id: i64,
    /// It is over: the values are late.
    pub(super) completed: bool,
    /// Another start has followed on its connector.
    pub(super) orphaned: bool,
}

/// The transaction that meter values belong to: the one they name if it is this station's, else the
/// only one that is open on their connector. The flag says that the name was of no use.
pub(super) fn of_meter_values(
    w: &Writing<'_>,
    station: &StationId,
    named: Option<i64>,
    connector_id: Option<i64>,
) -> Result<(Option<Metered>, bool)> {
    let Some(number) = named else { return Ok((None, false)) };
    let read = |row: &Row<'_>| {
        Ok(Metered { transaction_id: row.get(0)?, completed: row.get(1)?, orphaned: row.get(2)? })
    };
    let known = w
        .conn
        .prepare_cached(
            "SELECT transaction_id, status = 'completed', orphaned FROM transactions
             WHERE transaction_id = ?1 AND station_id = ?2",
        )?
        .query_row(params![number, station.as_str()], read)
        .optional()?;
    if known.is_some() {
        return Ok((known, false));
    }
    let open: Vec<Metered> = w
        .conn
        .prepare_cached(
            "SELECT transaction_id, 0, 0 FROM transactions
             WHERE station_id = ?1 AND status = 'active' AND orphaned = 0
               AND (?2 IS NULL OR connector_id = ?2) LIMIT 2",
        )?
        .query_map(params![station.as_str(), connector_id], read)?
        .collect::<rusqlite::Result<_>>()?;
    Ok((if open.len() == 1 { open.first().copied() } else { None }, true))
}

/// Keeps the newest reading of the energy import register, from which energy is estimated if the meter at
/// the stop never comes. `late`: once that is known, what was read after the stop is not of this session.
pub(super) fn note_register(
    w: &Writing<'_>,
    transaction_id: i64,
    values: &[MeterValue],
    late: bool,
) -> Result<()> {
    let newest = values
        .iter()
        .filter_map(|value| {
            let register = value.sampled_value.iter().find_map(|sample| {
                let whole = sample.measurand == "Energy.Active.Import.Register"
                    && sample.phase.is_none()
                    && sample.location == "Outlet";
                whole.then_some(sample.value_base.as_deref()).flatten().and_then(whole_wh)
            })?;
            Some((value.timestamp.unwrap_or(w.now), register))
        })
        .max_by_key(|(at, _)| *at);
    if let Some((at, register_wh)) = newest {
        let stamp = stamp(w)?;
        w.conn
            .prepare_cached(
                // The same reading again changes nothing that is shown.
                "UPDATE transactions
                 SET last_register_wh = ?2, last_register_at_ms = ?3,
                     updated_at_ms = iif(last_register_wh IS ?2, updated_at_ms, ?4),
                     change_seq = iif(last_register_wh IS ?2, change_seq, ?5)
                 WHERE transaction_id = ?1 AND coalesce(last_register_at_ms, 0) <= ?3
                   AND NOT (last_register_wh IS ?2 AND last_register_at_ms IS ?3)
                   AND (NOT ?6 OR meter_stop_wh IS NULL OR stopped_at_ms IS NULL OR ?3 <= stopped_at_ms)",
            )?
            .execute(params![transaction_id, register_wh, at.unix_ms(), stamp.at_ms, stamp.seq, late])?;
    }
    Ok(())
}

/// Notes that something was heard of a transaction whose stop is overdue.
pub(super) fn note_orphan_news(w: &Writing<'_>, transaction_id: i64) -> Result<()> {
    w.conn
        .prepare_cached("UPDATE transactions SET orphan_news_at_ms = ?2 WHERE transaction_id = ?1")?
        .execute(params![transaction_id, w.now.unix_ms()])?;
    Ok(())
}

/// The whole watt-hours of a decimal text.
fn whole_wh(decimal: &str) -> Option<i64> {
    decimal.split('.').next()?.parse().ok()
}
