//! What is known of a transaction's energy, as its row holds it: the evidence, and what it comes to.
//!
//! **Invariant**: one statement writes both ([`Known::write`]), so that no row says what its evidence does
//! not.

use std::ops::ControlFlow;
use std::sync::LazyLock;

use super::{MeteredTransaction, Stamp, next_stamp};
use crate::engine::job::Foreseen;
use crate::engine::row::Row;
use crate::engine::sql::params;
use crate::engine::tx::Tx;
use crate::error::Result;
use crate::sessions::ended_by::EndedBy;
use crate::sessions::energy::{self, Energy, Evidence, Point, Reading, Track};
use crate::sessions::live::{LiveValues, Sampled};
use crate::sessions::meters;
use vocabulary::api::transaction::EnergyQuality;
use vocabulary::clock::Timestamp;
use vocabulary::id::StationId;
use vocabulary::ocpp::fact::MeterValue;

/// The columns that [`evidence`] reads.
pub(super) const EVIDENCE: &str = "meter_start_wh, meter_stop_wh, started_at_ms, stopped_at_ms,
    start_untimed, stop_untimed, meter_decimals, meter_before_wh, first_register_wh, first_register_at_ms,
    last_register_wh, last_register_at_ms, odd_register_wh, odd_register_at_ms, register_source,
    register_peak_w, register_followed, register_broken";

/// How many these are.
const EVIDENCE_COUNT: usize = 18;

/// The columns of what an active session shows.
const LIVE: &str = "power_w, power_at_ms, soc_percent, soc_at_ms";

/// How many sessions a connector's meter is looked up in, newest first: one may have a wrong reading.
const SESSIONS_BEFORE: i64 = 5;

/// A meter that counts each session anew begins with about this much, in Wh.
const ANEW_MAX_WH: i64 = 100;

/// Reads what stands in a row from the column `at` on.
pub(super) fn evidence(row: &Row<'_>, at: usize) -> Result<Evidence> {
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

/// What is known of a transaction from meters and clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Known {
    evidence: Evidence,
    live: LiveValues,
}

impl Known {
    /// Reads what stands in a row from the column `at` on: [`EVIDENCE`], then [`LIVE`].
    fn read(row: &Row<'_>, at: usize) -> Result<Self> {
        let sampled = |column: usize| -> Result<Option<Sampled>> {
            let column = at + EVIDENCE_COUNT + column;
            let (value, moment) = (row.get(column)?, row.get(column + 1)?);
            Ok(Option::zip(value, moment).map(|(value, at)| Sampled { value, at }))
        };
        Ok(Self { evidence: evidence(row, at)?, live: LiveValues { power: sampled(0)?, soc: sampled(2)? } })
    }

    /// What anybody sees of it.
    fn shown(&self) -> impl PartialEq + use<> {
        let Track { first, last, .. } = self.evidence.track;
        let LiveValues { power, soc } = self.live;
        let wh = |point: Option<Point>| point.map(|point| point.wh);
        let value = |sampled: Option<Sampled>| sampled.map(|sampled| sampled.value);
        (wh(first), wh(last), energy::weigh(&self.evidence), value(power), value(soc))
    }

    /// Writes the track, what is shown live, and what the evidence comes to; with the stamp of a change, if
    /// it is one.
    fn write(&self, w: &Tx<'_>, transaction_id: i64, stamp: Option<&Stamp>) -> Result<()> {
        let wh = |point: Option<Point>| point.map(|point| point.wh);
        let at = |point: Option<Point>| point.map(|point| point.at);
        let Track { first, last, odd, source, peak_w, followed, broken } = self.evidence.track;
        let Energy { wh: energy_wh, estimated_wh, quality } = energy::weigh(&self.evidence);
        let LiveValues { power, soc } = self.live;
        w.send(
            "UPDATE transactions
             SET first_register_wh = ?2, first_register_at_ms = ?3,
                 last_register_wh = ?4, last_register_at_ms = ?5,
                 odd_register_wh = ?6, odd_register_at_ms = ?7, register_source = ?8, register_peak_w = ?9,
                 register_followed = ?10, register_broken = ?11,
                 energy_wh = ?12, energy_estimated_wh = ?13, energy_quality = ?14,
                 power_w = ?15, power_at_ms = ?16, soc_percent = ?17, soc_at_ms = ?18,
                 updated_at_ms = coalesce(?19, updated_at_ms), change_seq = coalesce(?20, change_seq)
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
                energy_wh,
                estimated_wh,
                quality.as_str(),
                power.map(|power| power.value),
                power.map(|power| power.at),
                soc.map(|soc| soc.value),
                soc.map(|soc| soc.at),
                stamp.map(|stamp| stamp.at),
                stamp.map(|stamp| stamp.seq),
            ],
        )
    }
}

/// What [`add_readings`] reads first.
pub(crate) fn foreseen_readings(transaction_id: i64) -> Foreseen {
    // An orphan's end is no bound: it is only the last sign of life.
    static SELECT: LazyLock<String> = LazyLock::new(|| {
        format!(
            "SELECT CASE WHEN status = 'completed' AND ended_by IN ('{}', '{}') THEN stopped_at_ms END,
                    {EVIDENCE}, {LIVE}
             FROM transactions WHERE transaction_id = ?1",
            EndedBy::Stop.as_str(),
            EndedBy::Close.as_str()
        )
    });
    Foreseen::new(&SELECT, params![transaction_id])
}

/// Adds what meters showed in a message of the transaction. `of_its_stop`: the message ends it.
pub(crate) fn add_readings(
    w: &Tx<'_>,
    of: MeteredTransaction,
    values: &[MeterValue],
    received_at: Timestamp,
    of_its_stop: bool,
) -> Result<()> {
    if of.main_meter || values.is_empty() {
        return Ok(());
    }
    let Foreseen { sql, values: of_transaction } = foreseen_readings(of.transaction_id);
    let (before, stopped_at) = w.one(sql, &of_transaction, |row| Ok((Known::read(row, 1)?, row.get(0)?)))?;
    let started_at = before.evidence.started_at;
    let moments = meters::moments(values, received_at);
    let readings = energy::readings(&moments, started_at);
    let mut after = before;
    if !readings.is_empty() {
        let bounds = Bounds {
            started_at: started_at.filter(|_| of.completed && !of_its_stop),
            stopped_at: if of_its_stop { None } else { stopped_at },
            next_started_at: match of.completed || of.orphaned {
                true => next_start(w, of.transaction_id)?,
                false => None,
            },
        };
        for reading in readings.iter().filter(|reading| bounds.hold(reading)) {
            after.evidence.track.add(reading);
        }
    }
    if !of.completed {
        after.live.add(&moments, started_at);
    }
    if after == before {
        return Ok(());
    }
    // The same reading again changes nothing that is shown, and no poller has to look.
    let stamp = if before.shown() == after.shown() { None } else { Some(next_stamp(w)?) };
    after.write(w, of.transaction_id, stamp.as_ref())
}

/// Weighs the energy of a transaction anew: something beside its register has changed.
pub(crate) fn weigh(w: &Tx<'_>, transaction_id: i64) -> Result<()> {
    known(w, transaction_id)?.write(w, transaction_id, None)
}

/// The same of one that an earlier version has left, with what its newest values show.
pub(crate) fn weigh_first(
    w: &Tx<'_>,
    transaction_id: i64,
    newest: &[MeterValue],
    received_at: Timestamp,
) -> Result<()> {
    let mut known = known(w, transaction_id)?;
    known.live.add(&meters::moments(newest, received_at), known.evidence.started_at);
    known.write(w, transaction_id, None)
}

fn known(w: &Tx<'_>, transaction_id: i64) -> Result<Known> {
    let select = format!("SELECT {EVIDENCE}, {LIVE} FROM transactions WHERE transaction_id = ?1");
    w.one(&select, params![transaction_id], |row| Known::read(row, 0))
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
        "SELECT energy_quality, meter_start_wh, meter_stop_wh FROM transactions
         WHERE station_id = ?1 AND connector_id = ?2 AND started_at_ms <= ?3 AND meter_stop_wh IS NOT NULL
         ORDER BY started_at_ms DESC LIMIT ?4",
        params![station, connector_id, started_at, SESSIONS_BEFORE],
        |row| {
            let quality: EnergyQuality = row.word(0)?;
            if !quality.is_metered() {
                return Ok(ControlFlow::Continue(()));
            }
            let (start, stop): (Option<i64>, Option<i64>) = (row.get(1)?, row.get(2)?);
            let again = start == Some(meter_start);
            let anew = [start, Some(meter_start)].iter().all(|start| *start <= Some(ANEW_MAX_WH));
            before = stop.filter(|_| !again && !anew);
            Ok(ControlFlow::Break(()))
        },
    )?;
    Ok(before)
}

/// What is known so far of a transaction.
pub(crate) fn evidence_of(w: &Tx<'_>, transaction_id: i64) -> Result<Option<Evidence>> {
    let Foreseen { sql, values } = foreseen_evidence(transaction_id);
    w.maybe(sql, &values, |row| evidence(row, 0))
}

/// What [`evidence_of`] reads.
pub(crate) fn foreseen_evidence(transaction_id: i64) -> Foreseen {
    static SELECT: LazyLock<String> =
        LazyLock::new(|| format!("SELECT {EVIDENCE} FROM transactions WHERE transaction_id = ?1"));
    Foreseen::new(&SELECT, params![transaction_id])
}
