//! Deliveries to a URL that came with the event, and their lanes: one per origin, numbered below zero, so
//! that no webhook has the same number.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use crate::DeliveryRow;
use crate::deliveries::lane_settings::{LaneClaim, LaneSettings, LaneState};
use crate::engine::sql::params;
use crate::engine::tx::{Read, Tx};
use crate::error::Result;
use vocabulary::api::webhook::default_retry_schedule;
use vocabulary::clock::Timestamp;
use vocabulary::delivery::BodyFormat;
use vocabulary::id::WebhookId;

/// Waiting live deliveries, spelled exactly as in the index `deliveries_due_direct`.
pub(crate) const DIRECT_WAITING: &str =
    "status IN ('scheduled', 'retry') AND origin_id IS NOT NULL AND bulk = 0";

/// Deliveries reopened by bulk resends, spelled exactly as in the index `deliveries_due_direct_in_bulk`.
pub(crate) const DIRECT_IN_BULK: &str =
    "status IN ('scheduled', 'retry') AND origin_id IS NOT NULL AND bulk = 1";

/// The lane of a row of `deliveries`, in SQL.
pub(crate) const LANE: &str = "coalesce(webhook_id, -origin_id)";

/// How long an attempt to a direct URL may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Sends under way to one origin.
const MAX_IN_FLIGHT: usize = 32;

/// The direct URL of a delivery, as it is stored.
#[derive(Clone)]
pub(crate) struct SealedDirectUrl {
    pub(crate) url: String,
    pub(crate) secret: Option<String>,
}

/// The direct URL of a delivery, decrypted.
#[derive(Clone)]
pub struct DirectUrl {
    /// The URL.
    pub url: String,
    /// The secret that signs it (`whsec_…`).
    pub secret: Option<String>,
}

impl fmt::Debug for DirectUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DirectUrl { .. }")
    }
}

/// Whether a lane belongs to an origin.
pub(crate) fn is_origin(lane: WebhookId) -> bool {
    lane < 0
}

/// Every origin with deliveries that wait or are under way, and when its first one is due.
pub(crate) fn lanes(db: &Read<'_>) -> Result<Vec<(LaneSettings, Option<Timestamp>)>> {
    let mut due = BTreeSet::new();
    // Jumps from origin to origin instead of reading all their rows.
    for which in [DIRECT_WAITING, DIRECT_IN_BULK] {
        let next = format!("SELECT min(origin_id) FROM deliveries WHERE origin_id > ?1 AND {which}");
        let mut last = 0_i64;
        while let Some(id) = db.one(&next, params![last], |row| row.get::<Option<i64>>(0))? {
            due.insert(-id);
            last = id;
        }
    }
    let processing =
        "SELECT DISTINCT -origin_id FROM deliveries WHERE status = 'processing' AND origin_id IS NOT NULL";
    due.extend(db.all(processing, &[], |row| row.get::<WebhookId>(0))?);
    due.into_iter().filter_map(|id| lane(db, id).transpose()).collect()
}

/// One origin's lane and when its next delivery is due; `None` if the origin does not exist.
pub(crate) fn lane(db: &Read<'_>, id: WebhookId) -> Result<Option<(LaneSettings, Option<Timestamp>)>> {
    let origin: Option<String> =
        db.maybe("SELECT origin FROM origins WHERE id = ?1", params![-id], |row| row.get(0))?;
    origin.map(|origin| Ok((settings(id, origin), next_due_at(db, id)?))).transpose()
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
        broker: None,
        station_order: None,
        timeout: TIMEOUT,
        retry_schedule: default_retry_schedule().into_iter().map(|span| span.0).collect(),
        max_in_flight: MAX_IN_FLIGHT,
        rate_limit: None,
    }
}

/// The due deliveries of an origin's lane, the oldest first, and behind them those that bulk resends have
/// reopened.
pub(crate) fn due(w: &Tx<'_>, lane: &LaneClaim) -> Result<Vec<DeliveryRow>> {
    let resent = format!("{DIRECT_WAITING} AND status = 'scheduled' AND trigger = 'resend'");
    let which: &[&str] = match lane.resends_only {
        true => &[&resent],
        false => &[DIRECT_WAITING, DIRECT_IN_BULK],
    };
    let mut due = Vec::new();
    for which in which {
        let sql = format!(
            "SELECT seq FROM deliveries WHERE origin_id = ?1 AND {which} AND due_at_ms <= ?2
             ORDER BY due_at_ms, seq LIMIT ?3"
        );
        let room = lane.limit - due.len();
        let found: Vec<DeliveryRow> =
            w.all(&sql, params![-lane.webhook_id, w.monotonic, room], |row| row.get(0))?;
        due.extend(found);
    }
    Ok(due)
}

/// When the next delivery of an origin's lane is due.
pub(crate) fn next_due_at(db: &Read<'_>, lane: WebhookId) -> Result<Option<Timestamp>> {
    let mut first: Option<Timestamp> = None;
    for which in [DIRECT_WAITING, DIRECT_IN_BULK] {
        let sql = format!("SELECT min(due_at_ms) FROM deliveries WHERE origin_id = ?1 AND {which}");
        let due_at: Option<Timestamp> = db.one(&sql, params![-lane], |row| row.get(0))?;
        first = [first, due_at].into_iter().flatten().min();
    }
    Ok(first)
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
                "INSERT INTO deliveries (id, event_seq, url, origin_id, status, trigger, bulk, due_at_ms,
                                         scheduled_at_ms, created_at_ms)
                 WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5)
                 SELECT 'dlv_0000000000000000' || (1000000000 + i), 1, 'http://a/', 1, 'scheduled',
                        CASE WHEN i < 4 THEN 'resend' ELSE 'event' END, CASE WHEN i < 4 THEN 1 ELSE 0 END, i, i, i
                  FROM n",
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
        // A probe of an open breaker takes no reopened delivery.
        for claim in [claim(9, true), claim(1, false), claim(2, false), claim(9, false)] {
            let claimed = store.claim(vec![claim], |_, _| true).await.expect("claims").remove(0);
            seen.push((
                claimed.deliveries.iter().map(|one| one.row.number()).collect::<Vec<_>>(),
                claimed.next_due_at,
            ));
        }
        let at = |ms| Some(Timestamp::from_unix_ms(ms));
        assert_eq!(seen, [(vec![], at(1)), (vec![4], at(1)), (vec![5, 1], at(2)), (vec![2, 3], None)]);
    }
}
