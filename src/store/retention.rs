//! Removes what is past its time: a reader looks for rows in windows, the writer removes a few of them in each
//! of many short steps, in batches that nobody else is in.
//!
//! **Invariant**: what has not come to its end stays, whatever its age: deliveries that wait with their events,
//! and what a replay that is under way may still bring back. The newest event stays too: ids and rows count on
//! from it.

use std::time::{Duration, Instant};

use rusqlite::{Connection, OptionalExtension, params};

use super::error::Result;
use super::horizon::{self, Horizon};
use super::writer::Writing;
use super::{Priority, Store};
use crate::clock::Timestamp;

/// Rows looked at in one read.
const WINDOW: i64 = 1_000;

/// How long one step may keep the writer, and with it a charger that speaks just then. A step removes one row
/// at least.
const STEP: Duration = Duration::from_millis(1);

/// Meter values removed at once: they are many for one transaction.
const METER_VALUES_AT_ONCE: usize = 50;

/// Whether a replay looks through events; others look through deliveries.
const WALKS_EVENTS: &str = "(r.selection ->> '$.kind' = 'replay' AND r.selection ->> '$.only' <> 'failed')";

/// That a reservation is used, cancelled or rejected, or that its time is over.
const RESERVATION_OVER: &str = "(status NOT IN ('active', 'unknown') OR expiry_date_ms < ?1)";

/// That no delivery goes to an origin.
const ORIGIN_UNUSED: &str = "NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.origin_id = origins.id)";

/// What one rule is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expiring {
    /// Events and their deliveries, but for these types, which have rules of their own.
    Events {
        /// The names of the types.
        except: Vec<String>,
    },
    /// Events of one type, with their deliveries.
    EventsOf(String),
    /// Deliveries that have come to their end.
    Deliveries,
    /// Commands that have come to their end.
    Commands,
    /// Transactions that are completed, with their meter values.
    Transactions,
    /// Entries of the audit log.
    Audit,
    /// Replays that have come to their end.
    Replays,
    /// Reservations that nobody waits for any more.
    Reservations,
    /// Lanes of URLs that came with events, once their last delivery is gone, whatever the time.
    Origins,
}

/// What one read found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expired {
    /// What may be removed.
    pub rows: Vec<i64>,
    /// Where the next read goes on; `None`: nothing behind it is old enough.
    pub position: Option<i64>,
}

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
    /// Looks for what `expiring` says and is older than `before`, behind the row `position`; removes nothing.
    ///
    /// # Errors
    /// Only the store's own.
    pub async fn expired(&self, expiring: Expiring, before: Timestamp, position: i64) -> Result<Expired> {
        self.read(move |conn| look(conn, &expiring, before, position)).await
    }

    /// Removes the first of `rows`: as many as one step has time for, and of those the ones that may go now as
    /// well.
    ///
    /// # Errors
    /// Only the store's own: nothing was removed.
    pub async fn remove_expired(
        &self,
        expiring: Expiring,
        before: Timestamp,
        rows: Vec<i64>,
    ) -> Result<Removed> {
        self.write(Priority::Retention, move |w| {
            let began = Instant::now();
            let mut step = Removed::default();
            for row in rows {
                match expiring {
                    Expiring::Transactions => match remove_transaction(w, row, before, began)? {
                        Some(removed) => step.removed += usize::from(removed),
                        None => break,
                    },
                    Expiring::Deliveries => {
                        step.removed += usize::from(remove_delivery(w, row, before)?);
                    }
                    Expiring::Commands => step.removed += usize::from(remove_command(w, row, before)?),
                    Expiring::Audit => {
                        step.removed += usize::from(remove_row(w, "audit", "at_ms < ?2", row, before)?);
                    }
                    Expiring::Replays => step.removed += usize::from(remove_replay(w, row, before)?),
                    Expiring::Reservations => {
                        let over = format!("updated_at_ms < ?2 AND {RESERVATION_OVER}");
                        step.removed += usize::from(remove_row(w, "reservations", &over, row, before)?);
                    }
                    Expiring::Origins => {
                        let unused = format!("?2 IS NOT NULL AND {ORIGIN_UNUSED}");
                        step.removed += usize::from(remove_row(w, "origins", &unused, row, before)?);
                    }
                    Expiring::Events { .. } => {
                        step.removed += usize::from(remove_event(w, row, before, true)?);
                    }
                    Expiring::EventsOf(_) => {
                        step.removed += usize::from(remove_event(w, row, before, false)?);
                    }
                }
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

/// That no replay under way may still bring back the delivery `d`.
fn not_in_replay() -> String {
    format!(
        "NOT EXISTS (SELECT 1 FROM replays r WHERE r.status = 'running'
            AND iif({WALKS_EVENTS}, d.event_seq, d.seq) > r.position
            AND iif({WALKS_EVENTS}, d.event_seq, d.seq) <= r.end_position)"
    )
}

/// That the event `e` has no delivery that is still needed, and is not needed itself.
fn event_may_go() -> String {
    format!(
        "e.seq < (SELECT max(seq) FROM events)
         AND NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.event_seq = e.seq
            AND NOT (d.completed_at_ms IS NOT NULL AND {}))
         AND NOT EXISTS (SELECT 1 FROM replays r WHERE r.status = 'running' AND {WALKS_EVENTS}
            AND e.seq > r.position AND e.seq <= r.end_position)",
        not_in_replay()
    )
}

fn look(conn: &Connection, expiring: &Expiring, before: Timestamp, position: i64) -> Result<Expired> {
    let before_ms = before.unix_ms();
    // Row, whether it is old, whether it may go. Rows come in the order they were made in, but a clock that
    // was set back mixes their times: a window without any old one is the end.
    let events = |which: &str| {
        format!(
            "SELECT e.seq, e.timestamp_ms < ?1, e.timestamp_ms < ?1 AND {which} AND {}
             FROM events e WHERE e.seq > ?2",
            event_may_go()
        )
    };
    let (sql, order, name) = match expiring {
        Expiring::Events { except } => {
            let except = serde_json::to_string(except).unwrap_or_default();
            (events("e.event NOT IN (SELECT value FROM json_each(?3))"), "e.seq", except)
        }
        Expiring::EventsOf(event) => (format!("{} AND e.event = ?3", events("TRUE")), "e.seq", event.clone()),
        Expiring::Deliveries => {
            let may_go = not_in_replay();
            let sql = format!(
                "SELECT d.seq, d.created_at_ms < ?1, coalesce(d.completed_at_ms < ?1, FALSE) AND {may_go}
                 FROM deliveries d WHERE d.seq > ?2 AND ?3 = ''"
            );
            (sql, "d.seq", String::new())
        }
        Expiring::Commands => {
            let sql = "SELECT seq, created_at_ms < ?1, coalesce(completed_at_ms < ?1, FALSE) AND outcome_due_ms IS NULL
                       FROM commands WHERE seq > ?2 AND ?3 = ''";
            (sql.to_owned(), "seq", String::new())
        }
        Expiring::Audit => {
            let sql = "SELECT seq, at_ms < ?1, at_ms < ?1 FROM audit WHERE seq > ?2 AND ?3 = ''";
            (sql.to_owned(), "seq", String::new())
        }
        Expiring::Replays => {
            let sql = "SELECT seq, created_at_ms < ?1, coalesce(completed_at_ms < ?1, FALSE) FROM replays
                       WHERE seq > ?2 AND ?3 = ''";
            (sql.to_owned(), "seq", String::new())
        }
        Expiring::Reservations => {
            let sql = format!(
                "SELECT seq, created_at_ms < ?1, updated_at_ms < ?1 AND {RESERVATION_OVER} FROM reservations
                 WHERE seq > ?2 AND ?3 = ''"
            );
            (sql, "seq", String::new())
        }
        Expiring::Origins => {
            let sql = format!(
                "SELECT id, TRUE, {ORIGIN_UNUSED} FROM origins WHERE id > ?2 AND ?1 IS NOT NULL AND ?3 = ''"
            );
            (sql, "id", String::new())
        }
        Expiring::Transactions => {
            let sql = "SELECT transaction_id, created_at_ms < ?1, coalesce(completed_at_ms < ?1, FALSE)
                       FROM transactions WHERE transaction_id > ?2 AND ?3 = ''";
            (sql.to_owned(), "transaction_id", String::new())
        }
    };
    let mut statement = conn.prepare_cached(&format!("{sql} ORDER BY {order} LIMIT {WINDOW}"))?;
    let mut rows = statement.query(params![before_ms, position, name])?;
    let mut expired = Expired::default();
    let (mut looked_at, mut any_old) = (0, false);
    while let Some(row) = rows.next()? {
        let seq = row.get(0)?;
        any_old |= row.get::<_, bool>(1)?;
        if row.get(2)? {
            expired.rows.push(seq);
        }
        looked_at += 1;
        expired.position = Some(seq);
    }
    if looked_at < WINDOW || !any_old {
        expired.position = None;
    }
    Ok(expired)
}

/// Removes the event and its deliveries, unless it is needed by now; its id stays where something names it.
fn remove_event(w: &Writing<'_>, seq: i64, before: Timestamp, of_the_log: bool) -> Result<bool> {
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
        horizon::advance(w, Horizon::Deliveries, seq, &id)?;
    }
    w.conn.prepare_cached("DELETE FROM events WHERE seq = ?1")?.execute([seq])?;
    horizon::advance(w, Horizon::Events, seq, &id)?;
    if of_the_log {
        horizon::advance(w, Horizon::Log, seq, &id)?;
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

fn remove_delivery(w: &Writing<'_>, seq: i64, before: Timestamp) -> Result<bool> {
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
        horizon::advance(w, Horizon::Deliveries, seq, id)?;
        horizon::advance(w, Horizon::Outcomes, seq, id)?;
    }
    Ok(id.is_some())
}

/// Removes a row that nothing else hangs on, if `condition` still holds.
fn remove_row(w: &Writing<'_>, table: &str, condition: &str, row: i64, before: Timestamp) -> Result<bool> {
    // `?1` of the condition is the time too, as where rows are looked for.
    let removed = w
        .conn
        .prepare_cached(&format!("DELETE FROM {table} WHERE rowid = ?3 AND {condition} AND ?1 IS NOT NULL"))?
        .execute(params![before.unix_ms(), before.unix_ms(), row])?;
    Ok(removed > 0)
}

fn remove_replay(w: &Writing<'_>, seq: i64, before: Timestamp) -> Result<bool> {
    let id: Option<String> = w
        .conn
        .prepare_cached("DELETE FROM replays WHERE seq = ?1 AND completed_at_ms < ?2 RETURNING id")?
        .query_row(params![seq, before.unix_ms()], |row| row.get(0))
        .optional()?;
    if let Some(id) = &id {
        horizon::advance(w, Horizon::Replays, seq, id)?;
    }
    Ok(id.is_some())
}

fn remove_command(w: &Writing<'_>, seq: i64, before: Timestamp) -> Result<bool> {
    let id: Option<String> = w
        .conn
        .prepare_cached(
            "DELETE FROM commands WHERE seq = ?1 AND completed_at_ms < ?2 AND outcome_due_ms IS NULL RETURNING id",
        )?
        .query_row(params![seq, before.unix_ms()], |row| row.get(0))
        .optional()?;
    if let Some(id) = &id {
        horizon::advance(w, Horizon::Commands, seq, id)?;
    }
    Ok(id.is_some())
}

/// Removes a transaction's meter values, and then itself; `None` if the step was over before.
fn remove_transaction(
    w: &Writing<'_>,
    number: i64,
    before: Timestamp,
    began: Instant,
) -> Result<Option<bool>> {
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
    horizon::advance(w, Horizon::Transactions, number, &number.to_string())?;
    Ok(Some(true))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::store::seed::SeedWebhook;

    const NOW: Timestamp = Timestamp::from_unix_ms(1_776_168_000_000);
    const ALL: Expiring = Expiring::Events { except: Vec::new() };

    /// Removes what may go, in as many steps as it takes; how many that were.
    async fn sweep(store: &Store, what: &Expiring, before: Timestamp) -> usize {
        let (mut position, mut removed) = (Some(0), 0);
        while let Some(behind) = position {
            let mut expired = store.expired(what.clone(), before, behind).await.expect("looks");
            position = expired.position;
            while !expired.rows.is_empty() {
                let step =
                    store.remove_expired(what.clone(), before, expired.rows.clone()).await.expect("removes");
                assert!(step.done > 0, "every step gets on");
                expired.rows.drain(..step.done);
                removed += step.removed;
            }
        }
        removed
    }

    #[tokio::test]
    async fn a_replay_that_is_under_way_keeps_what_it_may_still_bring_back() {
        let dir = tempfile::tempdir().expect("a directory");
        let clock = Clock::manual(NOW);
        let store = Store::open(dir.path(), clock.clone()).expect("a store");
        store.seed_webhook(SeedWebhook::to("http://127.0.0.1:1")).await.expect("a webhook");
        store.seed_events("CP", 6).await.expect("events");
        store
            .seed_run(
                "UPDATE deliveries SET status = 'success', due_at_ms = NULL, completed_at_ms = created_at_ms",
            )
            .await;
        let replay = |kind: &str, only: &str, position: i64, end: i64| {
            let sql = format!(
                "INSERT INTO replays (id, selection, status, matched, position, end_position, requested_by_id,
                                      requested_by_name, asked_at_ms, created_at_ms)
                 VALUES ('r{kind}{only}', '{{\"kind\":\"{kind}\",\"only\":\"{only}\"}}', 'running', 9, {position}, {end},
                         'k', 'k', 0, 0)"
            );
            store.write(Priority::Api, move |w| Ok(w.conn.execute(&sql, [])?))
        };
        replay("replay", "missing", 1, 2).await.expect("stored");
        replay("replay", "failed", 3, 4).await.expect("stored");
        clock.advance(Duration::from_secs(10));
        let before = clock.now();
        assert_eq!(sweep(&store, &ALL, before).await, 3, "of 6: 2 and 4 are replayed, 6 is the newest");
        assert_eq!(sweep(&store, &Expiring::Deliveries, before).await, 1, "that of 6");
        store.seed_run("UPDATE replays SET status = 'done', completed_at_ms = 1").await;
        assert_eq!(sweep(&store, &ALL, before).await, 2);
        assert_eq!(store.seed_number("SELECT seq FROM events").await, 6);
        assert_eq!(store.seed_number("SELECT count(*) FROM deliveries").await, 0);
        // The newest one stays, so that ids and rows go on from it.
        store.seed_events("CP", 1).await.expect("an event");
        assert_eq!(store.seed_number("SELECT max(seq) FROM events").await, 7);
    }

    #[tokio::test]
    async fn many_windows_of_types_are_removed_and_others_stay() {
        let dir = tempfile::tempdir().expect("a directory");
        let clock = Clock::manual(NOW);
        let store = Store::open(dir.path(), clock.clone()).expect("a store");
        store.seed_events("CP", 2_500).await.expect("events");
        store.seed_run("UPDATE events SET event = 'Heartbeat' WHERE seq % 5 <> 0").await;
        clock.advance(Duration::from_secs(10));
        store.seed_events("CP", 10).await.expect("events");
        let before = clock.now().before(Duration::from_secs(5));
        let others = Expiring::Events { except: vec!["Heartbeat".to_owned()] };
        assert_eq!(sweep(&store, &others, before).await, 500);
        assert_eq!(store.seed_number("SELECT count(*) FROM events WHERE event <> 'Heartbeat'").await, 10);
        assert_eq!(sweep(&store, &Expiring::EventsOf("Heartbeat".to_owned()), before).await, 2_000);
        assert_eq!(store.seed_number("SELECT count(*) FROM events").await, 10);
        assert_eq!(store.log_horizon().await.expect("reads"), 2_500);
    }

    #[tokio::test]
    async fn what_hangs_on_nothing_goes_when_its_time_is_over() {
        let dir = tempfile::tempdir().expect("a directory");
        let clock = Clock::manual(NOW);
        let store = Store::open(dir.path(), clock.clone()).expect("a store");
        store.seed_run("INSERT INTO audit (at_ms, action, resource) VALUES (1, 'a', 'r'), (2, 'b', 'r'), (9, 'c', 'r')").await;
        store
            .seed_run(
                "INSERT INTO replays (id, selection, status, matched, position, end_position, requested_by_id,
                     requested_by_name, asked_at_ms, created_at_ms, completed_at_ms)
                 VALUES ('rpl_1', '{}', 'done', 1, 0, 0, 'k', 'k', 1, 1, 2), ('rpl_2', '{}', 'running', 1, 0, 0, 'k', 'k', 1, 1, NULL),
                        ('rpl_3', '{}', 'canceled', 1, 0, 0, 'k', 'k', 1, 1, 9)",
            )
            .await;
        store
            .seed_run(
                "INSERT INTO reservations (id, station_id, reservation_id, command_id, connector_id, id_tag,
                     expiry_date_ms, status, transaction_id, created_at_ms, updated_at_ms)
                 VALUES ('a', 'CP', 1, 'c', 1, 'T', 99, 'used', 7, 1, 1), ('b', 'CP', 2, 'c', 1, 'T', 99, 'active', NULL, 1, 1),
                        ('c', 'CP', 3, 'c', 1, 'T', 2, 'active', NULL, 1, 1), ('d', 'CP', 4, 'c', 1, 'T', 2, 'canceled', NULL, 1, 9)",
            )
            .await;
        store.seed_events("CP", 1).await.expect("an event");
        store.seed_run("INSERT INTO origins (origin) VALUES ('http://a'), ('http://b')").await;
        store
            .seed_run(
                "INSERT INTO deliveries (id, event_seq, url, origin_id, status, scheduled_at_ms, created_at_ms, completed_at_ms)
                 VALUES ('dlv_1', 1, 'http://b/', 2, 'success', 1, 1, 1)",
            )
            .await;
        let before = Timestamp::from_unix_ms(5);
        for (what, removed, left) in [
            (Expiring::Audit, 2, "SELECT group_concat(action, '') FROM audit"),
            (Expiring::Replays, 1, "SELECT group_concat(seq - 1, '') FROM replays"),
            (Expiring::Reservations, 2, "SELECT group_concat(id, '') FROM reservations"),
            (Expiring::Origins, 1, "SELECT group_concat(origin, '') FROM origins"),
        ] {
            assert_eq!(sweep(&store, &what, before).await, removed, "{what:?}");
            let left = store.seed_text(left).await;
            assert!(["c", "12", "bd", "http://b"].contains(&left.as_str()), "{what:?}: {left}");
            assert_eq!(sweep(&store, &what, before).await, 0, "{what:?}");
        }
    }
}
