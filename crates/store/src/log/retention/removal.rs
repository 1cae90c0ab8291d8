//! Removes what was found, each kind in its way, in steps that keep the writer for a moment.

use std::time::{Duration, Instant};

use rusqlite::{OptionalExtension, params};

use super::{Expiring, ORIGIN_UNUSED, RESERVATION_OVER, event_may_go, not_in_replay};
use crate::engine::tx::Tx;
use crate::error::Result;
use crate::log::removed_before;
use crate::log::removed_before::Horizon;
use crate::{Priority, Scope, Store};
use vocabulary::clock::Timestamp;

/// How long one step may keep the writer, and with it a charger that speaks just then. A step removes one row
/// at least.
const STEP: Duration = Duration::from_millis(1);

/// Meter values removed at once: they are many for one transaction.
const METER_VALUES_AT_ONCE: usize = 50;

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
    /// Removes the first of `rows`: as many as one step has time for, and of those the ones that may go now as
    /// well.
    pub async fn remove_expired(
        &self,
        expiring: Expiring,
        before: Timestamp,
        rows: Vec<i64>,
    ) -> Result<Removed> {
        self.write(Priority::Retention, Scope::Installation, move |w| {
            let began = Instant::now();
            let mut step = Removed::default();
            for row in rows {
                let Some(removed) = remove(w, &expiring, row, before, began)? else { break };
                step.removed += usize::from(removed);
                step.done += 1;
                if began.elapsed() >= STEP {
                    break;
                }
            }
            step.took = began.elapsed();
            Ok(step)
        })
        .await
    }
}

/// Removes a row, unless it is needed by now; `None` if the step was over before.
fn remove(
    w: &Tx<'_>,
    expiring: &Expiring,
    row: i64,
    before: Timestamp,
    began: Instant,
) -> Result<Option<bool>> {
    let removed = match expiring {
        Expiring::Transactions => return remove_transaction(w, row, before, began),
        Expiring::Events { .. } => remove_event(w, row, before, true),
        Expiring::EventsOf(_) => remove_event(w, row, before, false),
        Expiring::Deliveries => remove_delivery(w, row, before),
        Expiring::Commands => remove_command(w, row, before),
        Expiring::Replays => remove_replay(w, row, before),
        Expiring::Audit => remove_row(w, "audit", "at_ms < ?2", row, before),
        Expiring::Reservations => {
            let over = format!("updated_at_ms < ?2 AND {RESERVATION_OVER}");
            remove_row(w, "reservations", &over, row, before)
        }
        Expiring::Origins => {
            let unused = format!("?2 IS NOT NULL AND {ORIGIN_UNUSED}");
            remove_row(w, "origins", &unused, row, before)
        }
    };
    removed.map(Some)
}

/// Removes the event and its deliveries, unless it is needed by now; its id stays where something names it.
fn remove_event(w: &Tx<'_>, seq: i64, before: Timestamp, of_the_log: bool) -> Result<bool> {
    let found: Option<(String, Option<i64>, Option<i64>)> = w
        .conn
        .prepare_cached(&format!(
            "SELECT e.id, CASE WHEN e.event IN ('StartTransaction', 'StopTransaction') THEN e.transaction_id END,
                    e.duplicate_of
             FROM events e WHERE e.seq = ?1 AND e.timestamp_ms < ?2 AND {}",
            event_may_go()
        ))?
        .query_row(params![seq, before.unix_ms()], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    let Some((id, transaction_id, duplicate_of)) = found else { return Ok(false) };
    w.conn
        .prepare_cached(
            "INSERT OR IGNORE INTO removed_events (seq, id, transaction_id) SELECT ?1, ?2, ?3
             WHERE EXISTS (SELECT 1 FROM events WHERE duplicate_of = ?1)
                OR (?4 AND EXISTS (SELECT 1 FROM transactions WHERE transaction_id = ?3))",
        )?
        .execute(params![seq, id, transaction_id, duplicate_of.is_none()])?;
    let last_delivery = {
        let mut removed =
            w.conn.prepare_cached("DELETE FROM deliveries WHERE event_seq = ?1 RETURNING seq, id")?;
        let removed = removed.query_map([seq], |row| Ok((row.get(0)?, row.get(1)?)))?;
        removed.collect::<rusqlite::Result<Vec<(i64, String)>>>()?.into_iter().max()
    };
    if let Some((seq, id)) = last_delivery {
        removed_before::advance(w, Horizon::Deliveries, seq, &id)?;
    }
    w.conn.prepare_cached("DELETE FROM events WHERE seq = ?1")?.execute([seq])?;
    removed_before::advance(w, Horizon::Events, seq, &id)?;
    if of_the_log {
        removed_before::advance(w, Horizon::Log, seq, &id)?;
    }
    if let Some(first) = duplicate_of {
        w.conn
            .prepare_cached(
                "DELETE FROM removed_events WHERE seq = ?1
                    AND NOT EXISTS (SELECT 1 FROM events WHERE duplicate_of = ?1)
                    AND NOT EXISTS (SELECT 1 FROM transactions t WHERE t.transaction_id = removed_events.transaction_id)",
            )?
            .execute([first])?;
    }
    Ok(true)
}

fn remove_delivery(w: &Tx<'_>, seq: i64, before: Timestamp) -> Result<bool> {
    let id: Option<String> = w
        .conn
        .prepare_cached(&format!(
            "DELETE FROM deliveries WHERE seq IN
                (SELECT d.seq FROM deliveries d WHERE d.seq = ?1 AND d.completed_at_ms < ?2 AND {}) RETURNING id",
            not_in_replay()
        ))?
        .query_row(params![seq, before.unix_ms()], |row| row.get(0))
        .optional()?;
    if let Some(id) = &id {
        removed_before::advance(w, Horizon::Deliveries, seq, id)?;
        removed_before::advance(w, Horizon::Outcomes, seq, id)?;
    }
    Ok(id.is_some())
}

/// Removes a row that nothing else hangs on, if `condition` still holds.
fn remove_row(w: &Tx<'_>, table: &str, condition: &str, row: i64, before: Timestamp) -> Result<bool> {
    // `?1` of the condition is the time too, as where rows are looked for.
    let removed = w
        .conn
        .prepare_cached(&format!("DELETE FROM {table} WHERE rowid = ?3 AND {condition} AND ?1 IS NOT NULL"))?
        .execute(params![before.unix_ms(), before.unix_ms(), row])?;
    Ok(removed > 0)
}

fn remove_replay(w: &Tx<'_>, seq: i64, before: Timestamp) -> Result<bool> {
    let id: Option<String> = w
        .conn
        .prepare_cached("DELETE FROM replays WHERE seq = ?1 AND completed_at_ms < ?2 RETURNING id")?
        .query_row(params![seq, before.unix_ms()], |row| row.get(0))
        .optional()?;
    if let Some(id) = &id {
        removed_before::advance(w, Horizon::Replays, seq, id)?;
    }
    Ok(id.is_some())
}

fn remove_command(w: &Tx<'_>, seq: i64, before: Timestamp) -> Result<bool> {
    let id: Option<String> = w
        .conn
        .prepare_cached(
            "DELETE FROM commands WHERE seq = ?1 AND completed_at_ms < ?2 AND outcome_due_ms IS NULL RETURNING id",
        )?
        .query_row(params![seq, before.unix_ms()], |row| row.get(0))
        .optional()?;
    if let Some(id) = &id {
        removed_before::advance(w, Horizon::Commands, seq, id)?;
    }
    Ok(id.is_some())
}

/// Removes a transaction's meter values, and then itself; `None` if the step was over before.
fn remove_transaction(w: &Tx<'_>, number: i64, before: Timestamp, began: Instant) -> Result<Option<bool>> {
    let goes = w
        .conn
        .prepare_cached("SELECT 1 FROM transactions WHERE transaction_id = ?1 AND completed_at_ms < ?2")?
        .exists(params![number, before.unix_ms()])?;
    if !goes {
        return Ok(Some(false));
    }
    while w
        .conn
        .prepare_cached(
            "DELETE FROM meter_values WHERE seq IN
                (SELECT seq FROM meter_values WHERE transaction_id = ?1 LIMIT ?2)",
        )?
        .execute(params![number, METER_VALUES_AT_ONCE as i64])?
        == METER_VALUES_AT_ONCE
    {
        if began.elapsed() >= STEP {
            return Ok(None);
        }
    }
    w.conn
        .prepare_cached(
            "DELETE FROM removed_events WHERE transaction_id = ?1
                AND NOT EXISTS (SELECT 1 FROM events WHERE duplicate_of = removed_events.seq)",
        )?
        .execute([number])?;
    w.conn.prepare_cached("DELETE FROM transactions WHERE transaction_id = ?1")?.execute([number])?;
    removed_before::advance(w, Horizon::Transactions, number, &number.to_string())?;
    Ok(Some(true))
}
