//! Which transaction a message belongs to: the one it names, one it repeats, or the only one it can mean.

use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::engine::tx::Tx;
use crate::error::Result;
use crate::sessions::transactions::inference;
use crate::sessions::transactions::inference::{Meant, is_a_number};
use vocabulary::clock::Timestamp;
use vocabulary::id::StationId;
use vocabulary::ocpp::authorization::id_tag_key;
use vocabulary::ocpp::fact::{MeterReadings, MeterValue, SessionEnded, SessionStarted};
use vocabulary::ocpp::station_clock::was_never_set;
use vocabulary::ocpp::time;

/// Whether the time of a message that was first heard at `heard_ms` tells it from a later one that says the
/// same. It does if it was near its arrival, or if the station's clock is right by now. Without battery one
/// begins with the same day at every boot, and the starts of two sessions can be equal to the letter.
fn tells_apart(
    conn: &Connection,
    station: &StationId,
    text: Option<&str>,
    occurred_at: Option<Timestamp>,
    heard_ms: i64,
) -> Result<bool> {
    if occurred_at.is_some_and(|at| !was_never_set(at.unix_ms().saturating_sub(heard_ms))) {
        return Ok(true);
    }
    let skew_ms: Option<Option<i64>> = conn
        .prepare_cached("SELECT clock_skew_ms FROM stations WHERE station_id = ?1")?
        .query_row([station.as_str()], |row| row.get(0))
        .optional()?;
    Ok(match skew_ms.flatten() {
        Some(skew_ms) if was_never_set(skew_ms) => false,
        // A session from before the clock was set, which comes out of the queue again.
        Some(_) => occurred_at.is_some() || text.is_some_and(time::is_never_set),
        None => occurred_at.is_some(),
    })
}

/// The transaction that a message turned out to belong to.
pub(crate) struct Found {
    pub(crate) transaction_id: i64,
    /// The event that began or ended it.
    pub(crate) event_seq: i64,
    pub(crate) id_tag_status: String,
}

/// The transaction that this very start began before: same connector, tag, time and meter reading. Where the
/// time tells nothing, as on a clock that was never set, it is a retry only as long as that one is open.
pub(crate) fn begun_by(
    conn: &Connection,
    station: &StationId,
    start: &SessionStarted,
    occurred_at: Option<Timestamp>,
) -> Result<Option<Found>> {
    let newest = conn
        .prepare_cached(
            "SELECT transaction_id, start_event_seq, id_tag_status, status = 'active', created_at_ms
             FROM transactions
             WHERE station_id = ?1 AND start_timestamp_text IS ?2 AND connector_id IS ?3 AND id_tag_key IS ?4
               AND meter_start_wh IS ?5
             ORDER BY transaction_id DESC LIMIT 1",
        )?
        .query_row(
            params![
                station.as_str(),
                start.timestamp_text,
                start.connector_id,
                start.id_tag.as_deref().map(id_tag_key),
                start.meter_start_wh,
            ],
            |row| {
                let found =
                    Found { transaction_id: row.get(0)?, event_seq: row.get(1)?, id_tag_status: row.get(2)? };
                Ok((found, row.get::<_, bool>(3)?, row.get::<_, i64>(4)?))
            },
        )
        .optional()?;
    let Some((found, is_open, heard_ms)) = newest else { return Ok(None) };
    let text = start.timestamp_text.as_deref();
    let is_retry = is_open || tells_apart(conn, station, text, occurred_at, heard_ms)?;
    Ok(is_retry.then_some(found))
}

/// What a stop turned out to be.
pub(crate) enum StopOf {
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
pub(crate) fn ended_by(
    w: &Tx<'_>,
    station: &StationId,
    owner_id: Option<&str>,
    stop: &SessionEnded,
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
                    Some(stopped) if stopped.meant.transaction_id == number => Some(stopped.event_seq),
                    _ => told_before(w, station, Some(number), payload)?.map(|(event_seq, _)| event_seq),
                };
                return Ok(match before {
                    Some(event_seq) => StopOf::Retry { event_seq, transaction_id: Some(number) },
                    None => StopOf::Conflicting { transaction_id: number },
                });
            }
            None => {}
        }
    }
    let stopped = stopped_before(w.conn, station, stop)?;
    let repeated = match &stopped {
        Some(stopped) => Some((stopped.event_seq, Some(stopped.meant.transaction_id), stopped.heard_ms)),
        None => told_before(w, station, None, payload)?.map(|(seq, heard_ms)| (seq, None, heard_ms)),
    };
    if let Some((event_seq, transaction_id, heard_ms)) = repeated
        && tells_apart(w.conn, station, stop.timestamp_text.as_deref(), occurred_at, heard_ms)?
    {
        return Ok(StopOf::Retry { event_seq, transaction_id });
    }
    // A dead clock may say the same at every stop, so there an open transaction comes before a repetition:
    // one on the connector where the stop was heard before.
    let elsewhere = |meant: &Meant| {
        stopped.as_ref().is_some_and(|stopped| stopped.meant.connector_id != meant.connector_id)
    };
    let meant = inference::meant(w.conn, station, owner_id, stop, occurred_at)?;
    Ok(match (meant.filter(|meant| !elsewhere(meant)), repeated) {
        (Some(meant), _) => {
            StopOf::First { transaction_id: meant.transaction_id, inferred: true, completed: false }
        }
        (None, Some((event_seq, transaction_id, _))) => StopOf::Retry { event_seq, transaction_id },
        (None, None) => StopOf::Unattached,
    })
}

/// A stop that has ended a transaction.
pub(crate) struct Stopped {
    event_seq: i64,
    meant: Meant,
    heard_ms: i64,
}

/// The first stop that ended a transaction and said what this one says: the same time and meter reading, of
/// the same transaction. −1, 0 and nothing are no number: they repeat each other if the tags do not differ,
/// and a stop with a number if the meter shows which one.
pub(crate) fn stopped_before(
    conn: &Connection,
    station: &StationId,
    stop: &SessionEnded,
) -> Result<Option<Stopped>> {
    let named = stop.transaction_id.filter(|number| is_a_number(*number));
    let mut select = conn.prepare_cached(
        "SELECT stop_event_seq, transaction_id, connector_id, stop_transaction_id, stop_id_tag, completed_at_ms
         FROM transactions
         WHERE station_id = ?1 AND stop_timestamp_text IS ?2 AND stop_event_seq IS NOT NULL AND meter_stop_wh IS ?3
         ORDER BY transaction_id DESC",
    )?;
    let mut rows = select.query(params![station.as_str(), stop.timestamp_text, stop.meter_stop_wh])?;
    while let Some(row) = rows.next()? {
        let meant = Meant { transaction_id: row.get(1)?, connector_id: row.get(2)? };
        let named_then = row.get::<_, Option<i64>>(3)?.filter(|number| is_a_number(*number));
        let id_tag_then: Option<String> = row.get(4)?;
        let is_same = match named {
            Some(number) => number == meant.transaction_id || Some(number) == named_then,
            None => {
                let meter_tells = stop.meter_stop_wh.is_some_and(|wh| wh != 0);
                let tags = stop.id_tag.as_deref().zip(id_tag_then.as_deref());
                (named_then.is_none() || meter_tells)
                    && tags.is_none_or(|(one, other)| id_tag_key(one) == id_tag_key(other))
            }
        };
        if is_same {
            return Ok(Some(Stopped { event_seq: row.get(0)?, meant, heard_ms: row.get(5)? }));
        }
    }
    Ok(None)
}

/// The first of the stops that say exactly this and ended nothing: they came after the first one of
/// their transaction, or have none. With the moment it came.
fn told_before(
    w: &Tx<'_>,
    station: &StationId,
    transaction_id: Option<i64>,
    payload: &str,
) -> Result<Option<(i64, i64)>> {
    // One query for each, so that each finds its index.
    let select = match transaction_id {
        Some(_) => {
            "SELECT seq, timestamp_ms FROM events
             WHERE transaction_id = ?3 AND station_id = ?1 AND event = 'StopTransaction'
               AND duplicate_of IS NULL AND payload = ?2 ORDER BY seq LIMIT 1"
        }
        None => {
            "SELECT seq, timestamp_ms FROM events
             WHERE station_id = ?1 AND event = 'StopTransaction' AND transaction_id IS NULL
               AND duplicate_of IS NULL AND payload = ?2 AND ?3 IS NULL ORDER BY seq LIMIT 1"
        }
    };
    let found = w
        .conn
        .prepare_cached(select)?
        .query_row(params![station.as_str(), payload, transaction_id], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    Ok(found)
}

/// A transaction that meter values belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Metered {
    pub(crate) transaction_id: i64,
    /// It is over: the values are late.
    pub(crate) completed: bool,
    /// Another start has followed on its connector.
    pub(crate) orphaned: bool,
    /// The values are of the station's main meter (connector 0): its register is not the session's.
    pub(crate) main_meter: bool,
}

impl Metered {
    /// One that is under way, and metered where it charges.
    pub(crate) fn by(transaction_id: i64) -> Self {
        Self { transaction_id, completed: false, orphaned: false, main_meter: false }
    }
}

/// The transaction that meter values belong to: the one they name if it is this station's, else the only one
/// that is open on their connector. The flag says that the name was of no use.
///
/// Without a name, values that were taken by the clock belong to nobody, and neither do those of the main
/// meter (reference 3.3).
pub(crate) fn of_meter_values(
    w: &Tx<'_>,
    station: &StationId,
    values: &MeterReadings,
) -> Result<(Option<Metered>, bool)> {
    let main_meter = values.connector_id == Some(0);
    let read = |row: &Row<'_>| {
        Ok(Metered { transaction_id: row.get(0)?, completed: row.get(1)?, orphaned: row.get(2)?, main_meter })
    };
    let known = match values.transaction_id {
        Some(number) => w
            .conn
            .prepare_cached(
                "SELECT transaction_id, status = 'completed', orphaned FROM transactions
                 WHERE transaction_id = ?1 AND station_id = ?2",
            )?
            .query_row(params![number, station.as_str()], read)
            .optional()?,
        None if main_meter || values.meter_value.iter().all(is_taken_by_the_clock) => {
            return Ok((None, false));
        }
        None => None,
    };
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
        .query_map(params![station.as_str(), values.connector_id], read)?
        .collect::<rusqlite::Result<_>>()?;
    let only = if open.len() == 1 { open.first().copied() } else { None };
    Ok((only, values.transaction_id.is_some()))
}

/// Whether these values were taken at the full hour, say, and not because of a session.
pub(crate) fn is_taken_by_the_clock(value: &MeterValue) -> bool {
    let samples = &value.sampled_value;
    !samples.is_empty() && samples.iter().all(|sample| sample.context == "Sample.Clock")
}
