//! A webhook's numbers, taken from bounded samples: they cost the same for a thousand deliveries and for
//! millions.

use std::ops::ControlFlow;

use crate::Store;
use crate::engine::sql::{WALL_OFFSET_MS, params};
use crate::engine::tx::Read;
use crate::error::Result;
use crate::log::waiting_deliveries::{BULK_WAITING, ORDERED_LIVE, UNORDERED_WAITING};
use vocabulary::api::webhook_stats::{Latency, StatusCounts};
use vocabulary::clock::Timestamp;
use vocabulary::delivery::DeliveryStatus;
use vocabulary::id::{DeliveryId, WebhookId, least_at};

/// At most this many deliveries are counted.
const COUNTED_MAX: i64 = 100_000;

/// The latency is computed from the attempts of this many deliveries.
const TIMED_MAX: i64 = 10_000;

/// The oldest delivery in station order is searched among this many.
const ORDERED_MAX: i64 = 20_000;

/// A webhook's numbers, as far as the store knows them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookNumbers {
    /// Deliveries created from here on are counted.
    pub since: Timestamp,
    /// The counted deliveries by status.
    pub counts: StatusCounts,
    /// How fast the endpoint answers.
    pub latency_ms: Latency,
    /// Deliveries that have not ended.
    pub backlog: u64,
    /// When the first waiting delivery is due.
    pub oldest_due_at: Option<Timestamp>,
}

impl Store {
    /// A webhook's numbers over its newest deliveries, none of them created before `since`.
    pub async fn webhook_numbers(&self, id: WebhookId, since: Timestamp) -> Result<WebhookNumbers> {
        self.read(move |db| {
            let (since, counts) = counts(db, id, since)?;
            Ok(WebhookNumbers {
                since,
                counts,
                latency_ms: latency(db, id, since, TIMED_MAX)?,
                backlog: backlog(db, id)?,
                oldest_due_at: oldest_due_at(db, id)?,
            })
        })
        .await
    }
}

/// The newest deliveries of a webhook (`?1`) from an id (`?2`) on. Ids grow with time, so the index on them
/// finds the first row of a window.
fn newest(columns: &str, limit: i64) -> String {
    format!(
        "SELECT {columns} FROM deliveries WHERE webhook_id = ?1
             AND seq >= coalesce((SELECT seq FROM deliveries WHERE id >= ?2 ORDER BY id LIMIT 1), {})
         ORDER BY seq DESC LIMIT {limit}",
        i64::MAX
    )
}

fn first_id(since: Timestamp) -> DeliveryId {
    DeliveryId::from_value(least_at(since))
}

fn counts(db: &Read<'_>, id: WebhookId, since: Timestamp) -> Result<(Timestamp, StatusCounts)> {
    let sql = format!(
        "SELECT status, count(*), min(created_at_ms) FROM ({}) AS newest GROUP BY status",
        newest("status, created_at_ms", COUNTED_MAX)
    );
    let (mut counts, mut counted, mut oldest) = (StatusCounts::default(), 0, since);
    db.each(&sql, params![id, first_id(since)], |row| {
        let count: i64 = row.get(1)?;
        let place = match row.parsed(0)? {
            DeliveryStatus::Scheduled => &mut counts.scheduled,
            DeliveryStatus::Processing => &mut counts.processing,
            DeliveryStatus::Retry => &mut counts.retry,
            DeliveryStatus::Success => &mut counts.success,
            DeliveryStatus::Failed => &mut counts.failed,
            DeliveryStatus::Discarded => &mut counts.discarded,
        };
        *place = count.max(0) as u64;
        let of_status: Timestamp = row.get(2)?;
        oldest = if counted == 0 { of_status } else { oldest.min(of_status) };
        counted += count;
        Ok(ControlFlow::Continue(()))
    })?;
    Ok((if counted < COUNTED_MAX { since } else { oldest }, counts))
}

/// How fast the endpoint answers, over the attempts of at most so many deliveries.
pub(crate) fn latency(db: &Read<'_>, id: WebhookId, since: Timestamp, at_most: i64) -> Result<Latency> {
    let sql = format!(
        "SELECT a.duration_ms FROM ({}) AS d JOIN attempts a ON a.delivery_seq = d.seq
         WHERE a.status_code IS NOT NULL AND a.duration_ms IS NOT NULL",
        newest("seq", at_most)
    );
    let mut durations: Vec<i64> = db.all(&sql, params![id, first_id(since)], |row| row.get(0))?;
    durations.sort_unstable();
    let at = |percent: usize| {
        let place = (durations.len() * percent).div_ceil(100).saturating_sub(1);
        durations.get(place).map(|ms| (*ms).max(0) as u64)
    };
    Ok(Latency { p50: at(50), p95: at(95) })
}

/// Deliveries that have not ended.
pub(crate) fn backlog(db: &Read<'_>, id: WebhookId) -> Result<u64> {
    // There are no more deliveries under way than permits.
    let under_way = "status = 'processing' AND order_station IS NULL";
    let mut all = db.one(
        &format!("SELECT count(*) FROM deliveries WHERE {under_way} AND +webhook_id = ?1"),
        params![id],
        |row| row.get::<i64>(0),
    )?;
    // Without its name SQLite counts along the index of all the webhook's deliveries.
    for (index, which) in [
        ("deliveries_due", UNORDERED_WAITING),
        ("deliveries_due_in_bulk", BULK_WAITING),
        ("deliveries_in_order", ORDERED_LIVE),
    ] {
        let sql =
            format!("SELECT count(*) FROM deliveries INDEXED BY {index} WHERE webhook_id = ?1 AND {which}");
        all += db.one(&sql, params![id], |row| row.get::<i64>(0))?;
    }
    Ok(all.max(0) as u64)
}

/// When the first waiting delivery is due.
pub(crate) fn oldest_due_at(db: &Read<'_>, id: WebhookId) -> Result<Option<Timestamp>> {
    let ordered = format!(
        "SELECT min(due_at_ms) FROM (SELECT due_at_ms FROM deliveries WHERE webhook_id = ?1 AND {ORDERED_LIVE}
             LIMIT {ORDERED_MAX}) AS live"
    );
    let by_time =
        |which: &str| format!("SELECT min(due_at_ms) FROM deliveries WHERE webhook_id = ?1 AND {which}");
    let mut oldest: Option<i64> = None;
    for sql in [by_time(UNORDERED_WAITING), by_time(BULK_WAITING), ordered] {
        let due_at: Option<i64> = db.one(&sql, params![id], |row| row.get(0))?;
        oldest = [oldest, due_at].into_iter().flatten().min();
    }
    let wall_offset_ms: i64 = db.one(&format!("SELECT {WALL_OFFSET_MS}"), &[], |row| row.get(0))?;
    Ok(oldest.map(|oldest| Timestamp::from_unix_ms(oldest + wall_offset_ms)))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::seed::SeedWebhook;
    use vocabulary::clock::Clock;

    #[tokio::test]
    async fn of_very_many_deliveries_the_newest_are_looked_at() {
        let dir = tempfile::tempdir().expect("a directory");
        let clock = Clock::manual(Timestamp::from_unix_ms(1_776_170_096_789));
        let store = Store::open(dir.path(), clock.clone()).expect("a store");
        let webhook = store.seed_webhook(SeedWebhook::to("https://example.com/")).await.expect("stored");
        store.seed_events("CP_1", 1).await.expect("stored");
        let day = Duration::from_secs(86_400);
        let few = store.webhook_numbers(webhook, clock.now().before(day)).await.expect("read");
        assert_eq!((few.since, few.counts.scheduled, few.backlog), (clock.now().before(day), 1, 1));
        assert_eq!(few.oldest_due_at, Some(clock.now()));
        // One per millisecond, of which every tenth has failed; their attempts took 0 to 99 ms.
        store
            .seed_run(
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 120000)
                 INSERT INTO deliveries
                      (id, event_seq, webhook_id, status, scheduled_at_ms, created_at_ms, completed_at_ms)
                 SELECT 'dlv_7000000000000000' || (1000000000 + i), 1, 1,
                        CASE WHEN i % 10 = 0 THEN 'failed' ELSE 'success' END, 0,
                        1776170096789 + i, 1776170096789 + i FROM n",
            )
            .await;
        store
            .seed_run(
                "INSERT INTO attempts (delivery_seq, number, trigger, started_at_ms, duration_ms, status_code)
                 SELECT seq, 1, 'event', created_at_ms, seq % 100, 200 FROM deliveries WHERE seq > 100000",
            )
            .await;
        let began = Instant::now();
        let many = store.webhook_numbers(webhook, clock.now().before(day)).await.expect("read");
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
        assert_eq!((many.counts.success, many.counts.failed, many.counts.scheduled), (90_000, 10_000, 0));
        assert_eq!(many.since, clock.now().after(Duration::from_millis(20_001)));
        assert_eq!(many.latency_ms, Latency { p50: Some(49), p95: Some(94) });
        assert_eq!(many.backlog, 1, "the old one is there as well");
    }
}
