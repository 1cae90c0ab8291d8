//! Which transaction a stop ends: the one that it names, the one that it has ended before, or the only one
//! that it can mean.

use std::ops::ControlFlow;

use crate::LogPosition;
use crate::engine::job::Foreseen;
use crate::engine::row::Row;
use crate::engine::sql::params;
use crate::engine::tx::Read;
use crate::error::Result;
use crate::sessions::transactions::inference::{self, TransactionRef, is_a_number};
use crate::sessions::transactions::repetition::is_identified_by_its_time;
use vocabulary::clock::Timestamp;
use vocabulary::id::StationId;
use vocabulary::ocpp::authorization::id_tag_key;
use vocabulary::ocpp::fact::SessionEnded;

/// What a stop turned out to be.
pub(crate) enum StopMatch {
    /// The first stop of this transaction.
    First {
        transaction_id: i64,
        /// The charger named another number; this was the only one it can have meant.
        inferred: bool,
        /// It was ended without the charger's word, which comes now.
        completed: bool,
    },
    /// This event was the first of the same stop.
    Retry { event_seq: LogPosition, transaction_id: Option<i64> },
    /// Another stop of a transaction that has one: the first one stands.
    Conflicting { transaction_id: i64 },
    /// No transaction of this station fits.
    Unattached,
}

/// Finds what `stop` ends. Another station's transaction is never touched.
pub(crate) fn ended_by(
    db: &Read<'_>,
    station: &StationId,
    owner_id: Option<&str>,
    stop: &SessionEnded,
    occurred_at: Option<Timestamp>,
    payload: &str,
) -> Result<StopMatch> {
    if let Some(number) = stop.transaction_id
        && let Some(matched) = ended_by_number(db, station, number, stop, payload)?
    {
        return Ok(matched);
    }
    let first = match stopped_by(db, station, stop)? {
        Some(first) => Some(first),
        None => equal_stop(db, station, None, payload)?,
    };
    let text = stop.timestamp_text.as_deref();
    if let Some(first) = &first
        && is_identified_by_its_time(db, station, text, occurred_at, first.received_at)?
    {
        return Ok(first.is_retried());
    }
    // A dead clock may say the same at every stop, so there an open transaction comes before a repetition:
    // one on the connector where the stop came before.
    let stopped = first.as_ref().and_then(|first| first.transaction);
    let is_elsewhere = |inferred: &TransactionRef| {
        stopped.is_some_and(|stopped| stopped.connector_id != inferred.connector_id)
    };
    let inferred = inference::infer(db, station, owner_id, stop, occurred_at)?;
    Ok(match (inferred.filter(|inferred| !is_elsewhere(inferred)), first) {
        (Some(TransactionRef { transaction_id, .. }), _) => {
            StopMatch::First { transaction_id, inferred: true, completed: false }
        }
        (None, Some(first)) => first.is_retried(),
        (None, None) => StopMatch::Unattached,
    })
}

const BY_NUMBER: &str = "SELECT stop_event_seq IS NOT NULL, status = 'completed' FROM transactions
         WHERE transaction_id = ?1 AND station_id = ?2";

/// What [`ended_by`] reads of a stop that names this number.
pub(crate) fn foreseen_stop(station: &StationId, number: i64) -> Foreseen {
    Foreseen::new(BY_NUMBER, params![number, station])
}

/// What a stop is to the transaction that it names; `None` if this is none of the station's.
fn ended_by_number(
    db: &Read<'_>,
    station: &StationId,
    number: i64,
    stop: &SessionEnded,
    payload: &str,
) -> Result<Option<StopMatch>> {
    let known: Option<(bool, bool)> =
        db.maybe(BY_NUMBER, params![number, station], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let Some((has_stop, completed)) = known else { return Ok(None) };
    if !has_stop {
        return Ok(Some(StopMatch::First { transaction_id: number, inferred: false, completed }));
    }
    let is_of_number = |first: &FirstStop| first.transaction.is_some_and(|of| of.transaction_id == number);
    let first = match stopped_by(db, station, stop)?.filter(is_of_number) {
        Some(first) => Some(first),
        None => equal_stop(db, station, Some(number), payload)?,
    };
    Ok(Some(match first {
        Some(FirstStop { event_seq, .. }) => StopMatch::Retry { event_seq, transaction_id: Some(number) },
        None => StopMatch::Conflicting { transaction_id: number },
    }))
}

/// The first of several stops that say the same.
pub(crate) struct FirstStop {
    event_seq: LogPosition,
    /// The transaction that it has ended, if any.
    transaction: Option<TransactionRef>,
    received_at: Timestamp,
}

impl FirstStop {
    fn is_retried(&self) -> StopMatch {
        let transaction_id = self.transaction.map(|of| of.transaction_id);
        StopMatch::Retry { event_seq: self.event_seq, transaction_id }
    }
}

/// The first stop that ended a transaction and said what this one says: the same time and meter reading, of
/// the same transaction. −1, 0 and nothing are no number: they repeat each other if the tags do not differ,
/// and a stop with a number if the meter shows which one.
pub(crate) fn stopped_by(
    db: &Read<'_>,
    station: &StationId,
    stop: &SessionEnded,
) -> Result<Option<FirstStop>> {
    let named = stop.transaction_id.filter(|number| is_a_number(*number));
    let mut first = None;
    db.each(
        "SELECT stop_event_seq, transaction_id, connector_id, stop_transaction_id, stop_id_tag,
                completed_at_ms
         FROM transactions
         WHERE station_id = ?1 AND stop_timestamp_text IS NOT DISTINCT FROM ?2
           AND stop_event_seq IS NOT NULL AND meter_stop_wh IS NOT DISTINCT FROM ?3
         ORDER BY transaction_id DESC",
        params![station, stop.timestamp_text, stop.meter_stop_wh],
        |row| {
            let of = TransactionRef { transaction_id: row.get(1)?, connector_id: row.get(2)? };
            let named_then = row.get::<Option<i64>>(3)?.filter(|number| is_a_number(*number));
            let id_tag_then = row.maybe_text(4)?;
            let is_same = match named {
                Some(number) => number == of.transaction_id || Some(number) == named_then,
                None => {
                    let meter_tells = stop.meter_stop_wh.is_some_and(|wh| wh != 0);
                    let tags = stop.id_tag.as_deref().zip(id_tag_then);
                    (named_then.is_none() || meter_tells)
                        && tags.is_none_or(|(one, other)| id_tag_key(one) == id_tag_key(other))
                }
            };
            if !is_same {
                return Ok(ControlFlow::Continue(()));
            }
            first =
                Some(FirstStop { event_seq: row.get(0)?, transaction: Some(of), received_at: row.get(5)? });
            Ok(ControlFlow::Break(()))
        },
    )?;
    Ok(first)
}

/// The first of the stops that say exactly this and ended nothing: they came after the first one of
/// their transaction, or have none.
fn equal_stop(
    db: &Read<'_>,
    station: &StationId,
    transaction_id: Option<i64>,
    payload: &str,
) -> Result<Option<FirstStop>> {
    let read =
        |row: &Row<'_>| Ok(FirstStop { event_seq: row.get(0)?, transaction: None, received_at: row.get(1)? });
    // One query for each, so that each finds its index.
    match transaction_id {
        Some(number) => db.maybe(
            "SELECT seq, timestamp_ms FROM events
             WHERE transaction_id = ?3 AND station_id = ?1 AND event = 'StopTransaction'
               AND duplicate_of IS NULL AND payload = ?2 ORDER BY seq LIMIT 1",
            params![station, payload, number],
            read,
        ),
        None => db.maybe(
            "SELECT seq, timestamp_ms FROM events
             WHERE station_id = ?1 AND event = 'StopTransaction' AND transaction_id IS NULL
               AND duplicate_of IS NULL AND payload = ?2 ORDER BY seq LIMIT 1",
            params![station, payload],
            read,
        ),
    }
}
