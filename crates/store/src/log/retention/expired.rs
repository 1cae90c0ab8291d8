//! Finds what is past its time: a window of rows, and of those what may go.

use rusqlite::{Connection, params};

use super::{Expiring, ORIGIN_UNUSED, RESERVATION_OVER, event_may_go, not_in_replay};
use crate::Store;
use crate::error::Result;
use vocabulary::clock::Timestamp;

/// Rows looked at in one read.
const WINDOW: i64 = 1_000;

/// What one read found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expired {
    /// What may be removed.
    pub rows: Vec<i64>,
    /// Where the next read goes on; `None`: nothing behind it is old enough.
    pub position: Option<i64>,
}

impl Store {
    /// Looks for what `expiring` says and is older than `before`, behind the row `position`; removes nothing.
    pub async fn expired(&self, expiring: Expiring, before: Timestamp, position: i64) -> Result<Expired> {
        self.read(move |conn| look(conn, &expiring, before, position)).await
    }
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
