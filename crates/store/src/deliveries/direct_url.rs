//! Lanes of deliveries that have a URL of their own: one per origin, numbered below zero, so that no webhook
//! shares one.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};

use crate::deliveries::claim::{LaneClaim, LaneSettings, LaneState};
use crate::engine::tx::Tx;
use crate::error::Result;
use vocabulary::api::webhook::default_retry_schedule;
use vocabulary::clock::Timestamp;
use vocabulary::delivery::BodyFormat;
use vocabulary::id::WebhookId;

/// Live deliveries that wait, spelled exactly as in the index `deliveries_due_elsewhere`.
pub(crate) const DIRECT_WAITING: &str =
    "status IN ('scheduled', 'retry') AND origin_id IS NOT NULL AND bulk = 0";

/// What bulk resends have brought back, spelled exactly as in the index `deliveries_due_elsewhere_in_bulk`.
pub(crate) const DIRECT_IN_BULK: &str =
    "status IN ('scheduled', 'retry') AND origin_id IS NOT NULL AND bulk = 1";

/// The lane of a row of `deliveries`, in SQL.
pub(crate) const LANE: &str = "coalesce(webhook_id, -origin_id)";

/// How long an attempt to a URL of an event's own may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Sends under way to one origin.
const MAX_IN_FLIGHT: usize = 32;

/// Whether a lane is an origin's.
pub(crate) fn is_origin(lane: WebhookId) -> bool {
    lane < 0
}

/// Every origin with deliveries that wait or are under way, and when the first is due.
pub(crate) fn lanes(conn: &Connection) -> Result<Vec<(LaneSettings, Option<Timestamp>)>> {
    let mut due = BTreeSet::new();
    // From one origin to the next, not over all their rows.
    for which in [DIRECT_WAITING, DIRECT_IN_BULK] {
        let mut next = conn.prepare_cached(&format!(
            "SELECT min(origin_id) FROM deliveries WHERE origin_id > ?1 AND {which}"
        ))?;
        let mut last = 0;
        while let Some(id) = next.query_row([last], |row| row.get::<_, Option<i64>>(0))? {
            due.insert(-id);
            last = id;
        }
    }
    let mut processing = conn.prepare_cached(
        "SELECT DISTINCT origin_id FROM deliveries WHERE status = 'processing' AND origin_id IS NOT NULL",
    )?;
    let mut rows = processing.query([])?;
    while let Some(row) = rows.next()? {
        due.insert(-row.get::<_, i64>(0)?);
    }
    due.into_iter().filter_map(|id| lane(conn, id).transpose()).collect()
}

/// One origin's lane and when its next delivery is due; `None` if there is no such origin.
pub(crate) fn lane(conn: &Connection, id: WebhookId) -> Result<Option<(LaneSettings, Option<Timestamp>)>> {
    let origin: Option<String> = conn
        .prepare_cached("SELECT origin FROM origins WHERE id = ?1")?
        .query_row([-id], |row| row.get(0))
        .optional()?;
    origin.map(|origin| Ok((settings(id, origin), next_due_at(conn, id)?))).transpose()
}

fn settings(lane: WebhookId, origin: String) -> LaneSettings {
    LaneSettings {
        webhook_id: lane,
        state: LaneState::Active,
        url: origin,
        format: BodyFormat::Flat,
        signing_secrets: Vec::new(),
        secret: None,
        custom_headers: BTreeMap::new(),
        station_order: None,
        timeout: TIMEOUT,
        retry_schedule: default_retry_schedule().into_iter().map(|span| span.0).collect(),
        max_in_flight: MAX_IN_FLIGHT,
        rate_limit: None,
    }
}

/// Rows of an origin's lane that are due, the oldest first, and behind them what was brought back in bulk.
pub(crate) fn due(w: &Tx<'_>, lane: &LaneClaim) -> Result<Vec<i64>> {
    let mut due = Vec::new();
    let live = if lane.resends_only {
        format!("{DIRECT_WAITING} AND status = 'scheduled' AND trigger = 'resend'")
    } else {
        DIRECT_WAITING.to_owned()
    };
    for which in [Some(live.as_str()), Some(DIRECT_IN_BULK).filter(|_| !lane.resends_only)] {
        let Some(which) = which else { continue };
        let mut statement = w.conn.prepare_cached(&format!(
            "SELECT seq FROM deliveries WHERE origin_id = ?1 AND {which} AND due_at_ms <= ?2
             ORDER BY due_at_ms, seq LIMIT ?3"
        ))?;
        let room = (lane.limit - due.len()) as i64;
        let rows =
            statement.query_map(params![-lane.webhook_id, w.monotonic.unix_ms(), room], |row| row.get(0))?;
        due.extend(rows.collect::<rusqlite::Result<Vec<i64>>>()?);
    }
    Ok(due)
}

/// When the next delivery of an origin's lane is due.
pub(crate) fn next_due_at(conn: &Connection, lane: WebhookId) -> Result<Option<Timestamp>> {
    let mut first: Option<i64> = None;
    for which in [DIRECT_WAITING, DIRECT_IN_BULK] {
        let due_at: Option<i64> = conn
            .prepare_cached(&format!(
                "SELECT min(due_at_ms) FROM deliveries WHERE origin_id = ?1 AND {which}"
            ))?
            .query_row([-lane], |row| row.get(0))?;
        first = [first, due_at].into_iter().flatten().min();
    }
    Ok(first.map(Timestamp::from_unix_ms))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Store;
    use vocabulary::clock::Clock;

    #[tokio::test]
    async fn what_was_brought_back_in_bulk_goes_behind_what_is_live() {
        let dir = tempfile::tempdir().expect("a directory");
        let store = Store::open(dir.path(), Clock::manual(Timestamp::from_unix_ms(1_776_168_000_000)))
            .expect("a store");
        store.seed_events("CP", 1).await.expect("an event");
        store.seed_run("INSERT INTO origins (origin) VALUES ('http://a')").await;
        store
            .seed_run(
                "INSERT INTO deliveries (id, event_seq, url, origin_id, status, trigger, bulk, due_at_ms, scheduled_at_ms, created_at_ms)
                 SELECT printf('dlv_%026d', value), 1, 'http://a/', 1, 'scheduled', iif(value < 4, 'resend', 'event'), value < 4,
                        value, value, value FROM json_each('[1,2,3,4,5]')",
            )
            .await;
        let claim = |limit, resends_only| LaneClaim {
            webhook_id: -1,
            limit,
            resends_only,
            order_max_wait: Duration::ZERO,
            after_station: String::new(),
        };
        let mut seen = Vec::new();
        // A probe of an open breaker takes nothing of the bulk.
        for claim in [claim(9, true), claim(1, false), claim(2, false), claim(9, false)] {
            let claimed = store.claim(vec![claim], |_, _| true).await.expect("claims").remove(0);
            seen.push((
                claimed.deliveries.iter().map(|one| one.seq).collect::<Vec<_>>(),
                claimed.next_due_at,
            ));
        }
        let at = |ms| Some(Timestamp::from_unix_ms(ms));
        assert_eq!(seen, [(vec![], at(1)), (vec![4], at(1)), (vec![5, 1], at(2)), (vec![2, 3], None)]);
    }
}
