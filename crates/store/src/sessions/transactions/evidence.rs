//! What a transaction's energy is weighed by, as its row holds it: read for whoever shows it, and written as
//! readings of the register come.

use std::ops::ControlFlow;

use super::{MeteredTransaction, next_stamp};
use crate::engine::row::Row;
use crate::engine::sql::params;
use crate::engine::tx::Tx;
use crate::error::Result;
use crate::sessions::ended_by::EndedBy;
use crate::sessions::energy::{self, Evidence, Point, Reading, Track};
use vocabulary::clock::Timestamp;
use vocabulary::id::StationId;
use vocabulary::ocpp::fact::MeterValue;

/// The columns that [`evidence`] reads.
pub(crate) const EVIDENCE: &str = "meter_start_wh, meter_stop_wh, started_at_ms, stopped_at_ms,
    start_untimed, stop_untimed, meter_decimals, meter_before_wh, first_register_wh, first_register_at_ms,
    last_register_wh, last_register_at_ms, odd_register_wh, odd_register_at_ms, register_source,
    register_peak_w, register_followed, register_broken";

/// How many sessions a connector's meter is looked up in, newest first: one may have a wrong reading.
const SESSIONS_BEFORE: i64 = 5;

/// A meter that counts each session anew begins with about this much, in Wh.
const ANEW_MAX_WH: i64 = 100;

/// Reads what stands in a row from the column `at` on.
pub(crate) fn evidence(row: &Row<'_>, at: usize) -> Result<Evidence> {
    let point = |column: usize| -> Result<Option<Point>> {
        let (wh, moment) = (row.get(at + column)?, row.get(at + column + 1)?);
        Ok(Option::zip(wh, moment).map(|(wh, at)| Point { wh, at }))
    };
    let timed = |column: usize, untimed: usize| -> Result<Option<Timestamp>> {
        Ok(if row.get(at + untimed)? { None } else { row.get(at + column)? })
    };
    Ok(Evidence {
        meter_start: row.get(at)?,
        meter_stop: row.get(at + 1)?,
        started_at: timed(2, 4)?,
        stopped_at: timed(3, 5)?,
        has_decimals: row.get(at + 6)?,
        meter_before: row.get(at + 7)?,
        track: Track {
            first: point(8)?,
            last: point(10)?,
            odd: point(12)?,
            source: row.get(at + 14)?,
            peak_w: row.get(at + 15)?,
            followed: row.get(at + 16)?,
            broken: row.get(at + 17)?,
        },
    })
}

/// Which readings of a transaction's messages are of its session.
struct Bounds {
    /// It began then, if it is over.
    started_at: Option<Timestamp>,
    /// It is over since then; `None` also if nobody knows when it ended.
    stopped_at: Option<Timestamp>,
    /// The next session on its connector began then.
    next_started_at: Option<Timestamp>,
}

impl Bounds {
    /// What is read after the stop is of nobody, or of the next customer, and what is read before the start
    /// of the one before; only the reading of the end itself may have a later time than the stop has.
    fn hold(&self, reading: &Reading) -> bool {
        // A stop in whole seconds lies in one with the last readings.
        let is_whole = |end: Timestamp| end.unix_ms() % 1_000 == 0;
        let is_within =
            |end: Timestamp| reading.at <= end || is_whole(end) && reading.at.unix_s() == end.unix_s();
        if self.started_at.is_some_and(|start| reading.at.unix_s() < start.unix_s()) {
            return false;
        }
        self.next_started_at.is_none_or(|next| reading.at <= next)
            && (reading.is_end || self.stopped_at.is_none_or(is_within))
    }
}

/// Adds the readings of the energy register in a message of the transaction. `of_its_stop`: the message ends
/// it.
pub(crate) fn update_register(
    w: &Tx<'_>,
    of: MeteredTransaction,
    values: &[MeterValue],
    received_at: Timestamp,
    of_its_stop: bool,
) -> Result<()> {
    if of.main_meter || values.is_empty() {
        return Ok(());
    }
    let select = format!(
        "SELECT CASE WHEN status = 'completed' AND ended_by IN (?2, ?3) THEN stopped_at_ms END,
                {EVIDENCE}
         FROM transactions WHERE transaction_id = ?1"
    );
    // An orphan's end is no bound: it is only the last sign of life.
    let (before, stopped_at) =
        w.one(&select, params![of.transaction_id, EndedBy::Stop.as_str(), EndedBy::Close.as_str()], |row| {
            Ok((evidence(row, 1)?, row.get(0)?))
        })?;
    let readings = energy::readings(values, before.started_at, received_at);
    if readings.is_empty() {
        return Ok(());
    }
    let bounds = Bounds {
        started_at: before.started_at.filter(|_| of.completed && !of_its_stop),
        stopped_at: if of_its_stop { None } else { stopped_at },
        next_started_at: if of.completed || of.orphaned { next_start(w, of.transaction_id)? } else { None },
    };
    let mut after = before;
    for reading in readings.iter().filter(|reading| bounds.hold(reading)) {
        after.track.add(reading);
    }
    if after.track == before.track { Ok(()) } else { store_register(w, of.transaction_id, &before, &after) }
}

fn store_register(w: &Tx<'_>, transaction_id: i64, before: &Evidence, after: &Evidence) -> Result<()> {
    let wh = |point: Option<Point>| point.map(|point| point.wh);
    let at = |point: Option<Point>| point.map(|point| point.at);
    let shown = |of: &Evidence| (wh(of.track.first), wh(of.track.last), energy::weigh(of));
    let Track { first, last, odd, source, peak_w, followed, broken } = after.track;
    w.run(
        "UPDATE transactions
         SET first_register_wh = ?2, first_register_at_ms = ?3,
             last_register_wh = ?4, last_register_at_ms = ?5,
             odd_register_wh = ?6, odd_register_at_ms = ?7, register_source = ?8, register_peak_w = ?9,
             register_followed = ?10, register_broken = ?11
         WHERE transaction_id = ?1",
        params![
            transaction_id,
            wh(first),
            at(first),
            wh(last),
            at(last),
            wh(odd),
            at(odd),
            source,
            peak_w,
            followed,
            broken,
        ],
    )?;
    // The same reading again changes nothing that is shown, and no poller has to look.
    if shown(before) != shown(after) {
        let stamp = next_stamp(w)?;
        w.run(
            "UPDATE transactions SET updated_at_ms = ?2, change_seq = ?3 WHERE transaction_id = ?1",
            params![transaction_id, stamp.at, stamp.seq],
        )?;
    }
    Ok(())
}

/// When the session after this one began on its connector.
fn next_start(w: &Tx<'_>, transaction_id: i64) -> Result<Option<Timestamp>> {
    w.one(
        "SELECT min(next.started_at_ms) FROM transactions AS it JOIN transactions AS next
            ON next.station_id = it.station_id AND next.connector_id = it.connector_id
            AND next.started_at_ms > it.started_at_ms
         WHERE it.transaction_id = ?1",
        params![transaction_id],
        |row| row.get(0),
    )
}

/// What the meter of a connector had come to before a session that starts with `meter_start`: the last stop
/// that can be relied on. `None` also if the meter counts each session anew.
pub(super) fn meter_before(
    w: &Tx<'_>,
    station: &StationId,
    connector_id: Option<i64>,
    started_at: Timestamp,
    meter_start: Option<i64>,
) -> Result<Option<i64>> {
    let (Some(connector_id), Some(meter_start)) = (connector_id, meter_start) else { return Ok(None) };
    let mut before = None;
    w.each(
        &format!(
            "SELECT {EVIDENCE} FROM transactions
             WHERE station_id = ?1 AND connector_id = ?2 AND started_at_ms <= ?3 AND meter_stop_wh IS NOT NULL
             ORDER BY started_at_ms DESC LIMIT ?4"
        ),
        params![station, connector_id, started_at, SESSIONS_BEFORE],
        |row| {
            let session = evidence(row, 0)?;
            if !energy::weigh(&session).quality.is_metered() {
                return Ok(ControlFlow::Continue(()));
            }
            let again = session.meter_start == Some(meter_start);
            let anew =
                [session.meter_start, Some(meter_start)].iter().all(|start| *start <= Some(ANEW_MAX_WH));
            before = session.meter_stop.filter(|_| !again && !anew);
            Ok(ControlFlow::Break(()))
        },
    )?;
    Ok(before)
}

/// What is known so far of a transaction.
pub(crate) fn evidence_of(w: &Tx<'_>, transaction_id: i64) -> Result<Option<Evidence>> {
    w.maybe(
        &format!("SELECT {EVIDENCE} FROM transactions WHERE transaction_id = ?1"),
        params![transaction_id],
        |row| evidence(row, 0),
    )
}
