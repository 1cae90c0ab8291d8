//! Rows by the million, written into a database whose gateway does not run.

use std::path::Path;

use rusqlite::{Connection, params};
use tokio::task::block_in_place;

/// A past that somebody else had: events of a thousand stations, and what became of their deliveries.
pub(super) struct Past {
    pub(super) events: usize,
    /// Webhooks that each get an equal share of the events.
    pub(super) webhooks: Vec<i64>,
    pub(super) deliveries: Deliveries,
    /// When it all happened, in Unix milliseconds.
    pub(super) at_ms: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deliveries {
    /// Due since then, never tried.
    Due,
    /// Due since then, each after the one before of its station.
    DueInOrder,
    /// Delivered at the first attempt.
    Delivered,
}

/// Writes it in one transaction, behind whatever there is.
pub(super) fn write(database: &Path, past: &Past) {
    block_in_place(|| write_rows(database, past)).expect("the rows are legal");
}

fn write_rows(database: &Path, past: &Past) -> rusqlite::Result<()> {
    let mut conn = Connection::open(database)?;
    conn.pragma_update(None, "synchronous", "OFF")?;
    conn.pragma_update(None, "cache_size", -262_144)?;
    let tx = conn.transaction()?;
    let last: i64 = tx.query_row("SELECT coalesce(max(seq), 0) FROM events", [], |row| row.get(0))?;
    let webhooks = serde_json::to_string(&past.webhooks).expect("numbers");
    let (count, shared_by) = (past.events as i64, past.webhooks.len().max(1) as i64);
    // Ids of digits are older than any that a gateway gives.
    tx.execute(
        "INSERT INTO events (seq, id, event, category, protocol, station_id, station_seq, timestamp_ms, payload)
         WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < ?1)
         SELECT ?2 + n, format('evt_%026d', ?2 + n), 'DataTransfer', 'ocpp', 'ocpp1.6',
                format('SEED_%03d', n % 1000), n / 1000 + 1, ?3,
                format('{\"vendorId\":\"seed\",\"messageId\":\"%d\",\"data\":\"%0120d\"}', n, n)
         FROM n",
        params![count, last, past.at_ms],
    )?;
    let (status, due, completed, attempts) = match past.deliveries {
        Deliveries::Due | Deliveries::DueInOrder => ("scheduled", Some(past.at_ms), None, 0),
        Deliveries::Delivered => ("success", None, Some(past.at_ms), 1),
    };
    tx.execute(
        "INSERT INTO deliveries (seq, id, event_seq, webhook_id, sequence, status, attempts, due_at_ms, scheduled_at_ms,
                                 created_at_ms, completed_at_ms, order_station, first_tried_at_ms)
         SELECT e.seq, replace(e.id, 'evt_', 'dlv_'), e.seq, json_extract(?1, format('$[%d]', e.seq % ?2)),
                (e.seq - ?3) / ?2 + 1, ?4, ?8, ?5, e.timestamp_ms, e.timestamp_ms, ?6, iif(?7, e.station_id, NULL),
                iif(?8 > 0, e.timestamp_ms, NULL)
         FROM events e WHERE e.seq > ?3",
        params![
            webhooks,
            shared_by,
            last,
            status,
            due,
            completed,
            past.deliveries == Deliveries::DueInOrder,
            attempts
        ],
    )?;
    if past.deliveries == Deliveries::Delivered {
        tx.execute(
            "INSERT INTO attempts (delivery_seq, number, trigger, started_at_ms, duration_ms, status_code)
             SELECT seq, 1, 'event', created_at_ms, 5, 204 FROM deliveries WHERE seq > ?1",
            [last],
        )?;
    }
    tx.execute("UPDATE webhooks SET last_sequence = last_sequence + ?1", [count / shared_by + 1])?;
    tx.commit()?;
    // A gateway starts on a database, not on somebody's write-ahead log of a gigabyte.
    conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
}
