//! Removes what was found, each kind in its way, in steps that keep the writer for a moment.

use std::time::{Duration, Instant};

use super::Expiring;
use super::conditions::{ORIGIN_UNUSED, RESERVATION_OVER, event_may_go, not_in_replay, replays_of_events};
use crate::engine::sql::params;
use crate::engine::tx::Tx;
use crate::error::Result;
use crate::history::aging;
use crate::log::removed_before::{self, HorizonOf};
use crate::{Priority, Scope, Store};
use vocabulary::clock::Timestamp;

/// How long one step may keep the writer, and with it a charger that speaks just then. A step removes one row
/// at least.
const STEP: Duration = Duration::from_millis(1);

/// Meter values removed at once: they are many for one transaction.
const METER_VALUES_AT_ONCE: usize = 50;

/// Stations of a bulk command removed at once.
const STATIONS_AT_ONCE: usize = 100;

/// What one step did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Removed {
    /// So many of the rows, from the first one on, need not be looked at again.
    pub done: usize,
    /// How many of them were removed; others were needed after all.
    pub removed: usize,
    /// How long it kept the writer.
    pub took: Duration,
}

impl Store {
    /// Removes the first of `rows`: as many as one step has time for, and of those the ones that may go now
    /// as well.
    pub async fn remove_expired(
        &self,
        expiring: Expiring,
        before: Timestamp,
        rows: Vec<i64>,
    ) -> Result<Removed> {
        self.write(Priority::Retention, Scope::Installation, move |w| {
            let removal = Removal::new(w, before, &expiring)?;
            let mut step = Removed::default();
            for row in &rows {
                match removal.remove(&expiring, *row)? {
                    Removing::Removed => step.removed += 1,
                    Removing::StillNeeded => {}
                    Removing::Unfinished => break,
                }
                step.done += 1;
                if removal.is_over() {
                    break;
                }
            }
            step.took = removal.began.elapsed();
            if let Expiring::History = expiring {
                // The last one may have lost some of its rows.
                aging::note_removed(w, &rows[..rows.len().min(step.done + 1)])?;
            }
            Ok(step)
        })
        .await
    }
}

/// What became of a row.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Removing {
    Removed,
    /// It is needed by now.
    StillNeeded,
    /// The step was over before.
    Unfinished,
}

impl Removing {
    fn of(removed: bool) -> Self {
        if removed { Self::Removed } else { Self::StillNeeded }
    }
}

/// One step.
struct Removal<'a, 'w> {
    w: &'a Tx<'w>,
    before: Timestamp,
    began: Instant,
    /// As [`replays_of_events`] lists them; empty where no events or deliveries are removed.
    replays_of_events: String,
}

/// What is asked of an event before it goes.
struct OldEvent {
    id: String,
    /// The transaction that it started or stopped.
    transaction_id: Option<i64>,
    duplicate_of: Option<i64>,
}

impl<'a, 'w> Removal<'a, 'w> {
    fn new(w: &'a Tx<'w>, before: Timestamp, expiring: &Expiring) -> Result<Self> {
        let began = Instant::now();
        let replays_of_events = match expiring {
            Expiring::Events { .. } | Expiring::EventsOf(_) | Expiring::Deliveries => replays_of_events(w)?,
            _ => String::new(),
        };
        Ok(Self { w, before, began, replays_of_events })
    }

    /// Whether the time of the step is over.
    fn is_over(&self) -> bool {
        self.began.elapsed() >= STEP
    }

    /// Removes a row, unless it is needed by now.
    fn remove(&self, expiring: &Expiring, row: i64) -> Result<Removing> {
        let old = params![row, self.before];
        let removed = match expiring {
            Expiring::Transactions => return self.remove_transaction(row),
            Expiring::History => return self.remove_history(row),
            Expiring::BulkCommands => return self.remove_bulk_command(row),
            Expiring::Events { .. } => self.remove_event(row, true)?,
            Expiring::EventsOf(_) => self.remove_event(row, false)?,
            Expiring::Deliveries => self.remove_delivery(row)?,
            Expiring::Commands => self.remove_counted(
                "DELETE FROM commands WHERE seq = ?1 AND completed_at_ms < ?2 AND outcome_due_ms IS NULL
                 RETURNING id",
                row,
                HorizonOf::Commands,
            )?,
            Expiring::Replays => self.remove_counted(
                "DELETE FROM replays WHERE seq = ?1 AND completed_at_ms < ?2 RETURNING id",
                row,
                HorizonOf::Replays,
            )?,
            Expiring::Audit => self.w.run("DELETE FROM audit WHERE seq = ?1 AND at_ms < ?2", old)? > 0,
            Expiring::Reservations => {
                let sql = format!(
                    "DELETE FROM reservations WHERE seq = ?1 AND updated_at_ms < ?2 AND {RESERVATION_OVER}"
                );
                self.w.run(&sql, old)? > 0
            }
            Expiring::Origins => {
                let sql = format!("DELETE FROM origins WHERE id = ?1 AND {ORIGIN_UNUSED}");
                self.w.run(&sql, params![row])? > 0
            }
        };
        Ok(Removing::of(removed))
    }

    /// Removes a row of a kind of which it is noted how far retention has come.
    fn remove_counted(&self, sql: &str, row: i64, kind: HorizonOf) -> Result<bool> {
        let removed: Option<String> = self.w.maybe(sql, params![row, self.before], |row| row.get(0))?;
        if let Some(id) = &removed {
            removed_before::advance(self.w, kind, row, id)?;
        }
        Ok(removed.is_some())
    }

    /// Removes the event and its deliveries, unless it is needed by now; its id stays where something names
    /// it.
    fn remove_event(&self, seq: i64, of_the_log: bool) -> Result<bool> {
        let w = self.w;
        let Some(event) = self.old_event(seq)? else { return Ok(false) };
        keep_its_id(w, seq, &event)?;
        remove_deliveries_of(w, seq)?;
        w.run("DELETE FROM events WHERE seq = ?1", params![seq])?;
        removed_before::advance(w, HorizonOf::Events, seq, &event.id)?;
        if of_the_log {
            removed_before::advance(w, HorizonOf::Log, seq, &event.id)?;
        }
        if let Some(first) = event.duplicate_of {
            w.run(
                "DELETE FROM removed_events WHERE seq = ?1
                    AND NOT EXISTS (SELECT 1 FROM events WHERE duplicate_of = ?1)
                    AND NOT EXISTS (SELECT 1 FROM transactions t
                                    WHERE t.transaction_id = removed_events.transaction_id)",
                params![first],
            )?;
        }
        Ok(true)
    }

    fn old_event(&self, seq: i64) -> Result<Option<OldEvent>> {
        let sql = format!(
            "SELECT e.id, e.duplicate_of,
                    CASE WHEN e.event IN ('StartTransaction', 'StopTransaction') THEN e.transaction_id END
             FROM events e WHERE e.seq = ?1 AND e.timestamp_ms < ?2 AND {}",
            event_may_go()
        );
        let values = params![seq, self.before, self.replays_of_events];
        self.w.maybe(&sql, values, |row| {
            Ok(OldEvent { id: row.get(0)?, duplicate_of: row.get(1)?, transaction_id: row.get(2)? })
        })
    }

    fn remove_delivery(&self, seq: i64) -> Result<bool> {
        let sql = format!(
            "DELETE FROM deliveries WHERE seq IN
                (SELECT d.seq FROM deliveries d WHERE d.seq = ?1 AND d.completed_at_ms < ?2 AND {})
             RETURNING id",
            not_in_replay()
        );
        let values = params![seq, self.before, self.replays_of_events];
        let removed: Option<String> = self.w.maybe(&sql, values, |row| row.get(0))?;
        if let Some(id) = &removed {
            removed_before::advance(self.w, HorizonOf::Deliveries, seq, id)?;
            removed_before::advance(self.w, HorizonOf::Outcomes, seq, id)?;
        }
        Ok(removed.is_some())
    }

    /// Removes a transaction's meter values, and then itself.
    fn remove_transaction(&self, number: i64) -> Result<Removing> {
        let w = self.w;
        let goes = "SELECT 1 FROM transactions WHERE transaction_id = ?1 AND completed_at_ms < ?2";
        if !w.has(goes, params![number, self.before])? {
            return Ok(Removing::StillNeeded);
        }
        while self.remove_meter_values(number)? == METER_VALUES_AT_ONCE {
            if self.is_over() {
                return Ok(Removing::Unfinished);
            }
        }
        w.run(
            "DELETE FROM removed_events WHERE transaction_id = ?1
                AND NOT EXISTS (SELECT 1 FROM events WHERE duplicate_of = removed_events.seq)",
            params![number],
        )?;
        w.run("DELETE FROM transactions WHERE transaction_id = ?1", params![number])?;
        removed_before::advance(w, HorizonOf::Transactions, number, &number.to_string())?;
        Ok(Removing::Removed)
    }

    /// Removes what is past its time of a station's history.
    fn remove_history(&self, station: i64) -> Result<Removing> {
        let id = "SELECT station_id FROM stations WHERE seq = ?1";
        let Some(station) = self.w.maybe(id, params![station], |row| row.get(0))? else {
            return Ok(Removing::StillNeeded);
        };
        while !aging::remove_some(self.w, &station, self.before)? {
            if self.is_over() {
                return Ok(Removing::Unfinished);
            }
        }
        Ok(Removing::Removed)
    }

    /// Removes the list of a bulk command's stations, and then itself.
    fn remove_bulk_command(&self, seq: i64) -> Result<Removing> {
        let goes = "SELECT 1 FROM bulk_commands WHERE seq = ?1 AND completed_at_ms < ?2 AND is_open = 0";
        if !self.w.has(goes, params![seq, self.before])? {
            return Ok(Removing::StillNeeded);
        }
        let stations = "DELETE FROM bulk_command_stations WHERE bulk_seq = ?1 AND position IN
                            (SELECT position FROM bulk_command_stations WHERE bulk_seq = ?1 LIMIT ?2)";
        while self.w.run(stations, params![seq, STATIONS_AT_ONCE])? == STATIONS_AT_ONCE {
            if self.is_over() {
                return Ok(Removing::Unfinished);
            }
        }
        let itself = "DELETE FROM bulk_commands WHERE seq = ?1 AND completed_at_ms < ?2 RETURNING id";
        self.remove_counted(itself, seq, HorizonOf::BulkCommands).map(Removing::of)
    }

    fn remove_meter_values(&self, transaction_id: i64) -> Result<usize> {
        self.w.run(
            "DELETE FROM meter_values WHERE seq IN
                (SELECT seq FROM meter_values WHERE transaction_id = ?1 LIMIT ?2)",
            params![transaction_id, METER_VALUES_AT_ONCE],
        )
    }
}

/// Keeps the id of an event that is about to go, if repeats of it or its transaction still name it.
fn keep_its_id(w: &Tx<'_>, seq: i64, event: &OldEvent) -> Result<()> {
    w.run(
        "INSERT INTO removed_events (seq, id, transaction_id)
         SELECT CAST(?1 AS BIGINT), CAST(?2 AS TEXT), CAST(?3 AS BIGINT)
         WHERE EXISTS (SELECT 1 FROM events WHERE duplicate_of = ?1)
            OR (?4 = 1 AND EXISTS (SELECT 1 FROM transactions WHERE transaction_id = ?3))
         ON CONFLICT (seq) DO NOTHING",
        params![seq, event.id, event.transaction_id, event.duplicate_of.is_none()],
    )?;
    Ok(())
}

fn remove_deliveries_of(w: &Tx<'_>, event_seq: i64) -> Result<()> {
    let sql = "DELETE FROM deliveries WHERE event_seq = ?1 RETURNING seq, id";
    let removed = w.all(sql, params![event_seq], |row| Ok((row.get::<i64>(0)?, row.get::<String>(1)?)))?;
    match removed.into_iter().max() {
        Some((seq, id)) => removed_before::advance(w, HorizonOf::Deliveries, seq, &id),
        None => Ok(()),
    }
}
