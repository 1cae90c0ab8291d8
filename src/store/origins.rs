//! Lanes of deliveries that have a URL of their own: one per origin, numbered below zero, so that no webhook
//! shares one.

use std::collections::BTreeMap;
use std::time::Duration;

use rusqlite::{Connection, params};

use super::error::Result;
use super::lanes::{LaneClaim, LaneSettings, LaneState};
use super::writer::Writing;
use crate::api::webhook::default_retry_schedule;
use crate::clock::Timestamp;
use crate::id::WebhookId;

/// Spelled exactly as in the index `deliveries_due_elsewhere`.
pub(super) const ELSEWHERE_WAITING: &str = "status IN ('scheduled', 'retry') AND origin_id IS NOT NULL";

/// The lane of a row of `deliveries`, in SQL.
pub(super) const LANE: &str = "coalesce(webhook_id, -origin_id)";

/// How long an attempt to a URL of an event's own may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Sends under way to one origin.
const MAX_IN_FLIGHT: usize = 32;

/// Whether a lane is an origin's.
pub(super) fn is_origin(lane: WebhookId) -> bool {
    lane < 0
}

/// Every origin with deliveries that wait or are under way, and when the first is due.
pub(super) fn lanes(conn: &Connection) -> Result<Vec<(LaneSettings, Option<Timestamp>)>> {
    let mut due = BTreeMap::new();
    // From one origin to the next, not over all their rows.
    let mut next = conn.prepare_cached(&format!(
        "SELECT min(origin_id) FROM deliveries WHERE origin_id > ?1 AND {ELSEWHERE_WAITING}"
    ))?;
    let mut last = 0;
    while let Some(id) = next.query_row([last], |row| row.get::<_, Option<i64>>(0))? {
        due.insert(id, next_due_at(conn, -id)?);
        last = id;
    }
    let mut processing = conn.prepare_cached(
        "SELECT DISTINCT origin_id FROM deliveries WHERE status = 'processing' AND origin_id IS NOT NULL",
    )?;
    let mut rows = processing.query([])?;
    while let Some(row) = rows.next()? {
        due.entry(row.get(0)?).or_insert(None);
    }
    let mut origin = conn.prepare_cached("SELECT origin FROM origins WHERE id = ?1")?;
    due.into_iter()
        .map(|(id, due_at)| Ok((settings(-id, origin.query_row([id], |row| row.get(0))?), due_at)))
        .collect()
}

fn settings(lane: WebhookId, origin: String) -> LaneSettings {
    LaneSettings {
        webhook_id: lane,
        state: LaneState::Active,
        url: origin,
        format: "flat".to_owned(),
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

/// Rows of an origin's lane that are due, the oldest first.
pub(super) fn due(w: &Writing<'_>, lane: &LaneClaim) -> Result<Vec<i64>> {
    let resends =
        if lane.resends_only { "AND status = 'scheduled' AND trigger = 'resend' AND bulk = 0" } else { "" };
    let mut statement = w.conn.prepare_cached(&format!(
        "SELECT seq FROM deliveries WHERE origin_id = ?1 AND {ELSEWHERE_WAITING} AND due_at_ms <= ?2 {resends}
         ORDER BY due_at_ms, seq LIMIT ?3"
    ))?;
    let rows = statement
        .query_map(params![-lane.webhook_id, w.steady.unix_ms(), lane.limit as i64], |row| row.get(0))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// When the next delivery of an origin's lane is due.
pub(super) fn next_due_at(conn: &Connection, lane: WebhookId) -> Result<Option<Timestamp>> {
    let due_at: Option<i64> = conn
        .prepare_cached(&format!(
            "SELECT min(due_at_ms) FROM deliveries WHERE origin_id = ?1 AND {ELSEWHERE_WAITING}"
        ))?
        .query_row([-lane], |row| row.get(0))?;
    Ok(due_at.map(Timestamp::from_unix_ms))
}
