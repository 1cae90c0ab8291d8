//! Charging transactions as chargers' messages begin, feed and end them.

mod evidence;
mod inference;
mod matching;
mod number;

use rusqlite::{OptionalExtension, params};

use crate::engine::tx::Tx;
use crate::error::Result;
use vocabulary::clock::Timestamp;
use vocabulary::id::StationId;
use vocabulary::ocpp::authorization::id_tag_key;
use vocabulary::ocpp::fact::{SessionEnded, SessionStarted};

pub(crate) use evidence::{EVIDENCE, evidence, evidence_of, note_register};
pub(crate) use matching::{
    Metered, StopOf, begun_by, ended_by, is_taken_by_the_clock, of_meter_values, stopped_before,
};
pub(crate) use number::next_number;

/// Begins a transaction. One that is still open on the same connector is orphaned, but stays stoppable.
pub(crate) fn begin(
    w: &Tx<'_>,
    station: &StationId,
    owner_id: Option<&str>,
    start: &SessionStarted,
    begun: &Begun<'_>,
) -> Result<()> {
    orphan_open_ones(w, station, start.connector_id)?;
    let started_at = begun.occurred_at.unwrap_or(begun.received_at);
    let meter_before =
        evidence::meter_before(w, station.as_str(), start.connector_id, started_at, start.meter_start_wh)?;
    let stamp = stamp(w)?;
    w.conn
        .prepare_cached(
            "INSERT INTO transactions (transaction_id, station_id, connector_id, owner_id, id_tag, id_tag_key,
                                       id_tag_status, reservation_id, status, started_at_ms, meter_start_wh,
                                       start_timestamp_text, start_event_seq, created_at_ms, updated_at_ms,
                                       change_seq, start_untimed, meter_decimals, meter_before_wh)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 'active', ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)",
        )?
        .execute(params![
            begun.transaction_id,
            station.as_str(),
            start.connector_id,
            owner_id,
            start.id_tag,
            start.id_tag.as_deref().map(id_tag_key),
            begun.id_tag_status,
            begun.reservation_id,
            started_at.unix_ms(),
            start.meter_start_wh,
            start.timestamp_text,
            begun.event_seq,
            w.now.unix_ms(),
            stamp.at_ms,
            stamp.seq,
            begun.occurred_at.is_none(),
            start.meter_has_decimals,
            meter_before,
        ])?;
    Ok(())
}

/// Marks what is open on a connector where something else begins: its stop is lost, or late.
fn orphan_open_ones(w: &Tx<'_>, station: &StationId, connector_id: Option<i64>) -> Result<()> {
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
                 SET orphaned = 1, orphan_activity_at_ms = ?2, updated_at_ms = ?3, change_seq = ?4
                 WHERE transaction_id = ?1",
            )?
            .execute(params![transaction_id, w.now.unix_ms(), stamp.at_ms, stamp.seq])?;
    }
    Ok(())
}

/// The moment of a change, and its place among the changes of that moment.
pub(crate) struct Stamp {
    pub(crate) at_ms: i64,
    pub(crate) seq: i64,
}

/// The stamp of the next change: behind all others, even if the clock was set back. A poller that stands
/// behind a change has seen all before it.
pub(crate) fn stamp(w: &Tx<'_>) -> Result<Stamp> {
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
pub(crate) struct Begun<'a> {
    pub(crate) transaction_id: i64,
    pub(crate) id_tag_status: &'a str,
    /// The number of the reservation that it uses.
    pub(crate) reservation_id: Option<i64>,
    /// The charger's time for it, if it can be read.
    pub(crate) occurred_at: Option<Timestamp>,
    pub(crate) received_at: Timestamp,
    pub(crate) event_seq: i64,
}

/// What the gateway knows of a stop beside what it says.
pub(crate) struct Ending {
    pub(crate) transaction_id: i64,
    /// The charger named another number.
    pub(crate) inferred: bool,
    /// The transaction had been ended without the charger's word.
    pub(crate) completed: bool,
    /// The charger's time for it, if it can be read.
    pub(crate) occurred_at: Option<Timestamp>,
    pub(crate) received_at: Timestamp,
    pub(crate) event_seq: i64,
}

/// Ends a transaction with its first stop, whose word replaces what was guessed or given by hand. What the
/// stop does not say stays, and leaves the end inferred.
pub(crate) fn end(w: &Tx<'_>, stop: &SessionEnded, ending: &Ending) -> Result<()> {
    let stamp = stamp(w)?;
    w.conn
        .prepare_cached(
            "UPDATE transactions
             SET status = 'completed', orphaned = 0, ended_by = 'stop', revision = max(revision, 1),
                 inferred = ?2 OR ?3 IS NULL OR (?5 IS NULL AND meter_stop_wh IS NOT NULL),
                 stop_untimed = ?3 IS NULL AND stopped_at_ms IS NULL,
                 stopped_at_ms = coalesce(?3, stopped_at_ms, ?4), meter_decimals = meter_decimals OR ?14, meter_stop_wh = coalesce(?5, meter_stop_wh),
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
            stop.meter_has_decimals,
        ])?;
    Ok(())
}

/// Notes that something was heard of a transaction whose stop is overdue.
pub(crate) fn note_orphan_activity(w: &Tx<'_>, transaction_id: i64) -> Result<()> {
    w.conn
        .prepare_cached("UPDATE transactions SET orphan_activity_at_ms = ?2 WHERE transaction_id = ?1")?
        .execute(params![transaction_id, w.now.unix_ms()])?;
    Ok(())
}
