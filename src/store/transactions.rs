//! Charging transactions as chargers' messages begin, feed and end them.

mod belonging;
mod number;

use rusqlite::{OptionalExtension, params};

use super::error::Result;
use super::writer::Writing;
use crate::clock::Timestamp;
use crate::id::StationId;
use crate::ocpp::v16::inbound::{MeterValue, StartTransaction, StopTransaction};

pub(super) use belonging::{Metered, StopOf, begun_by, ended_by, of_meter_values, stopped_before};
pub(super) use number::next_number;

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
