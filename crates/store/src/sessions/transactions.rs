//! Charging transactions as chargers' messages start, meter and end them.

mod evidence;
mod inference;
mod meter_match;
mod number;
mod repetition;
mod start_match;
mod stop_match;

use crate::LogPosition;
use crate::engine::counted::Counted;
use crate::engine::job::Foreseen;
use crate::engine::sql::params;
use crate::engine::tx::Tx;
use crate::error::Result;
use crate::sessions::ended_by::EndedBy;
use vocabulary::api::transaction::EnergyQuality;
use vocabulary::clock::Timestamp;
use vocabulary::id::StationId;
use vocabulary::ocpp::authorization::{AuthorizationStatus, IdTagReason, id_tag_key};
use vocabulary::ocpp::fact::{SessionEnded, SessionStarted};

pub(crate) use evidence::{
    add_readings, evidence_of, foreseen_evidence, foreseen_readings, weigh, weigh_first,
};
pub(crate) use meter_match::{
    MeterMatch, MeteredTransaction, foreseen_of_meter, is_taken_by_the_clock, metered_transaction,
};
pub(crate) use number::next_number;
pub(crate) use start_match::{foreseen_start, started_by};
pub(crate) use stop_match::{StopMatch, ended_by, foreseen_stop, stopped_by};

/// Starts a transaction. One that is still open on the same connector is orphaned, but can still be stopped.
pub(crate) fn start(
    w: &Tx<'_>,
    station: &StationId,
    owner_id: Option<&str>,
    start: &SessionStarted,
    new: &NewTransaction,
) -> Result<()> {
    orphan_open_ones(w, station, start.connector_id)?;
    let started_at = new.occurred_at.unwrap_or(new.received_at);
    let meter_before =
        evidence::meter_before(w, station, start.connector_id, started_at, start.meter_start_wh)?;
    let stamp = next_stamp(w)?;
    w.send(
        "INSERT INTO transactions (transaction_id, station_id, connector_id, owner_id, id_tag, id_tag_key,
                                   id_tag_status, reservation_id, status, started_at_ms, meter_start_wh,
                                   start_timestamp_text, start_event_seq, created_at_ms, updated_at_ms,
                                   change_seq, start_untimed, meter_decimals, meter_before_wh,
                                   energy_quality, id_tag_reason)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 'active', ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18,
                 ?19, ?20)",
        params![
            new.transaction_id,
            station,
            start.connector_id,
            owner_id,
            start.id_tag,
            start.id_tag.as_deref().map(id_tag_key),
            new.id_tag_status.as_str(),
            new.reservation_id,
            started_at,
            start.meter_start_wh,
            start.timestamp_text,
            new.event_seq,
            w.now,
            stamp.at,
            stamp.seq,
            new.occurred_at.is_none(),
            start.meter_has_decimals,
            meter_before,
            // Of a start alone there is nothing to weigh.
            EnergyQuality::Missing.as_str(),
            new.id_tag_reason.map(IdTagReason::as_str),
        ],
    )
}

const OPEN: &str = "SELECT transaction_id FROM transactions
         WHERE station_id = ?1 AND connector_id IS NOT DISTINCT FROM ?2
           AND status = 'active' AND orphaned = 0";

/// What [`start`] reads of a connector.
pub(crate) fn foreseen_open(station: &StationId, connector_id: Option<i64>) -> Foreseen {
    Foreseen::new(OPEN, params![station, connector_id])
}

/// Marks what is open on a connector where something else begins: its stop is lost, or late.
fn orphan_open_ones(w: &Tx<'_>, station: &StationId, connector_id: Option<i64>) -> Result<()> {
    let open: Vec<i64> = w.all(OPEN, params![station, connector_id], |row| row.get(0))?;
    for transaction_id in open {
        let stamp = next_stamp(w)?;
        w.send(
            "UPDATE transactions
             SET orphaned = 1, orphan_activity_at_ms = ?2, updated_at_ms = ?3, change_seq = ?4
             WHERE transaction_id = ?1",
            params![transaction_id, w.now, stamp.at, stamp.seq],
        )?;
    }
    Ok(())
}

/// The moment of a change, and its place among the changes of that moment.
pub(crate) struct Stamp {
    pub(crate) at: Timestamp,
    pub(crate) seq: i64,
}

/// The stamp of the next change: behind all others, even if the clock was set back. A poller that stands
/// behind a change has seen all before it.
pub(crate) fn next_stamp(w: &Tx<'_>) -> Result<Stamp> {
    let known = w.counted.and_then(Counted::stamp);
    let last = match known {
        Some((at_ms, seq)) => Some(Stamp { at: Timestamp::from_unix_ms(at_ms), seq }),
        None => newest_stamp(w)?,
    };
    let next = match last {
        Some(Stamp { at, seq }) if at >= w.now => Stamp { at, seq: seq + 1 },
        _ => Stamp { at: w.now, seq: 1 },
    };
    if let Some(counted) = w.counted {
        counted.set_stamp((next.at.unix_ms(), next.seq));
    }
    Ok(next)
}

fn newest_stamp(w: &Tx<'_>) -> Result<Option<Stamp>> {
    w.maybe(
        "SELECT updated_at_ms, change_seq FROM transactions
         ORDER BY updated_at_ms DESC, change_seq DESC LIMIT 1",
        &[],
        |row| Ok(Stamp { at: row.get(0)?, seq: row.get(1)? }),
    )
}

/// What the gateway adds to a start.
pub(crate) struct NewTransaction {
    pub(crate) transaction_id: i64,
    pub(crate) id_tag_status: AuthorizationStatus,
    pub(crate) id_tag_reason: Option<IdTagReason>,
    /// The number of the reservation that it uses.
    pub(crate) reservation_id: Option<i64>,
    /// The charger's time for it, if it can be read.
    pub(crate) occurred_at: Option<Timestamp>,
    pub(crate) received_at: Timestamp,
    pub(crate) event_seq: LogPosition,
}

/// The transaction that a stop ends, and what the gateway knows of the stop beside what it says.
pub(crate) struct MatchedStop {
    pub(crate) transaction_id: i64,
    /// The charger named another number.
    pub(crate) inferred: bool,
    /// The transaction had been ended without the charger's word.
    pub(crate) completed: bool,
    /// The charger's time for it, if it can be read.
    pub(crate) occurred_at: Option<Timestamp>,
    pub(crate) received_at: Timestamp,
    pub(crate) event_seq: LogPosition,
}

/// Ends a transaction with its first stop, whose word replaces what was guessed or given by hand. What the
/// stop does not say stays, and leaves the end inferred.
pub(crate) fn end(w: &Tx<'_>, stop: &SessionEnded, matched: &MatchedStop) -> Result<()> {
    let stamp = next_stamp(w)?;
    w.send(
        "UPDATE transactions
         SET status = 'completed', orphaned = 0, ended_by = ?15,
             revision = CASE WHEN revision > 1 THEN revision ELSE 1 END,
             inferred = CASE WHEN ?2 = 1 OR (?5 IS NULL AND meter_stop_wh IS NOT NULL) THEN 1 ELSE 0 END,
             stop_untimed = CASE WHEN ?3 IS NULL AND stopped_at_ms IS NULL THEN 1 ELSE 0 END,
             stopped_at_ms = coalesce(?3, stopped_at_ms, ?4),
             meter_decimals = CASE WHEN ?14 = 1 THEN 1 ELSE meter_decimals END,
             meter_stop_wh = coalesce(?5, meter_stop_wh),
             stop_reason = ?6, stop_id_tag = ?7, stop_timestamp_text = ?8, stop_transaction_id = ?9,
             stop_event_seq = ?10, completed_at_ms = coalesce(completed_at_ms, ?11),
             updated_at_ms = ?12, change_seq = ?13
         WHERE transaction_id = ?1",
        params![
            matched.transaction_id,
            matched.inferred || matched.occurred_at.is_none(),
            matched.occurred_at,
            matched.received_at,
            stop.meter_stop_wh,
            stop.reason,
            stop.id_tag,
            stop.timestamp_text,
            stop.transaction_id,
            matched.event_seq,
            w.now,
            stamp.at,
            stamp.seq,
            stop.meter_has_decimals,
            EndedBy::Stop.as_str(),
        ],
    )?;
    weigh(w, matched.transaction_id)
}

/// A message has come about a transaction whose stop is overdue.
pub(crate) fn set_orphan_activity(w: &Tx<'_>, transaction_id: i64) -> Result<()> {
    w.send(
        "UPDATE transactions SET orphan_activity_at_ms = ?2 WHERE transaction_id = ?1",
        params![transaction_id, w.now],
    )
}

#[cfg(test)]
mod tests;
