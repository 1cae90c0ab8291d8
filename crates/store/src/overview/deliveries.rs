//! Deliveries and webhooks at a glance.

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;
use std::time::Duration;

use crate::deliveries::direct_url::{DIRECT_IN_BULK, DIRECT_WAITING};
use crate::deliveries::tallies;
use crate::engine::sql::{WALL_OFFSET_MS, params};
use crate::engine::tx::Read;
use crate::error::Result;
use crate::log::waiting_deliveries::{BULK_WAITING, ORDERED_LIVE, UNORDERED_WAITING};
use crate::overview::OverviewQuestion;
use crate::overview::facts::WebhookFact;
use vocabulary::api::overview::{DeliveryFigures, WebhookCounts};
use vocabulary::clock::Timestamp;
use vocabulary::id::WebhookId;
use vocabulary::webhook::WebhookStatus;

/// What "the last 24 hours" are.
const DAY: Duration = Duration::from_secs(86_400);

/// A webhook that is paused for longer may have been forgotten.
const PAUSED_LONG: Duration = DAY;

/// Deliveries of one webhook among which its last error is looked for.
const ERROR_SEARCHED: usize = 100;

/// Webhooks whose last error is looked for.
const ERRORS_MAX: usize = 20;

/// Deliveries to direct URLs that are looked through for those of one owner.
const DIRECT_MAX: usize = 10_000;

/// What a lane has before it.
#[derive(Debug, Clone, Copy, Default)]
struct Backlog {
    waiting: u64,
    in_flight: u64,
    /// The row of the oldest one that waits.
    oldest: Option<i64>,
    dead: u64,
    newest_dead: Option<i64>,
}

impl Backlog {
    fn add(&mut self, other: Self) {
        self.waiting += other.waiting;
        self.in_flight += other.in_flight;
        self.oldest = [self.oldest, other.oldest].into_iter().flatten().min();
        self.dead += other.dead;
        self.newest_dead = self.newest_dead.max(other.newest_dead);
    }
}

/// By webhook; `None`: those that have none.
type Backlogs = HashMap<Option<WebhookId>, Backlog>;

/// The figures of deliveries and webhooks, and the webhooks that do not do well.
pub(super) fn read(
    db: &Read<'_>,
    question: &OverviewQuestion,
) -> Result<(DeliveryFigures, WebhookCounts, Vec<WebhookFact>)> {
    let owner = question.owner_id.as_deref();
    let webhooks = webhooks(db, question)?;
    let mut backlogs = backlogs(db)?;
    if let Some(owner) = owner {
        let direct = direct_of(db, owner)?;
        backlogs.retain(|id, _| id.is_some_and(|id| webhooks.contains_key(&id)));
        backlogs.insert(None, direct);
    }
    let mut all = Backlog::default();
    backlogs.values().for_each(|backlog| all.add(*backlog));
    let oldest_at = all.oldest.map(|row| moment(db, "created_at_ms", row)).transpose()?.flatten();
    let ended = tallies::since(db, question.now.before(DAY), owner)?;
    let figures = DeliveryFigures {
        waiting: all.waiting,
        in_flight: all.in_flight,
        oldest_waiting_s: oldest_at.map(|at| question.now.since(at).as_secs()),
        succeeded_24h: ended.succeeded,
        failed_24h: ended.failed,
        dead_letters: all.dead,
    };
    let is = |status: &[WebhookStatus]| {
        webhooks.values().filter(|webhook| status.contains(&webhook.status)).count() as u64
    };
    let counts = WebhookCounts {
        total: webhooks.len() as u64,
        failing: webhooks.values().filter(|webhook| webhook.lane.open_since.is_some()).count() as u64,
        paused: is(&[WebhookStatus::Paused]),
        disabled: is(&[WebhookStatus::Disabled, WebhookStatus::AutoDisabled]),
    };
    Ok((figures, counts, troubled(db, webhooks, &backlogs, question.now)?))
}

/// Every webhook, without what it has before it.
fn webhooks(db: &Read<'_>, question: &OverviewQuestion) -> Result<BTreeMap<WebhookId, WebhookFact>> {
    let sql = format!(
        "SELECT id, name, status, disabled_reason, paused_reason, paused_at_ms, updated_at_ms,
                failing_since_ms + {WALL_OFFSET_MS}
         FROM webhooks WHERE (?1 IS NULL OR owner_id = ?1)"
    );
    let all = db.all(&sql, params![question.owner_id], |row| {
        let id: WebhookId = row.get(0)?;
        let status: WebhookStatus = row.parsed(2)?;
        let since: Option<Timestamp> = match status {
            WebhookStatus::Active => None,
            WebhookStatus::Paused => row.get(5)?,
            WebhookStatus::Disabled | WebhookStatus::AutoDisabled => row.get(6)?,
        };
        Ok((
            id,
            WebhookFact {
                id: Some(id),
                name: row.get(1)?,
                status,
                since,
                reason: row.get::<Option<String>>(3)?.or(row.get(4)?),
                failing_since: row.get(7)?,
                // Only of those that are sent to: the breaker of another one says nothing about now.
                lane: question.lanes.get(&id).copied().filter(|_| status.is_enabled()).unwrap_or_default(),
                last_error: None,
                waiting: 0,
                dead_letters: 0,
                newest_dead_at: None,
            },
        ))
    })?;
    Ok(all.into_iter().collect())
}

/// What each lane has before it. Each statement reads one index and no row.
fn backlogs(db: &Read<'_>) -> Result<Backlogs> {
    let mut all = Backlogs::new();
    let mut each = |sql: &str, backlog: fn(u64, i64) -> Backlog| {
        db.each(sql, &[], |row| {
            all.entry(row.get(0)?).or_default().add(backlog(row.get(1)?, row.get(2)?));
            Ok(ControlFlow::Continue(()))
        })
    };
    for which in [UNORDERED_WAITING, BULK_WAITING, ORDERED_LIVE] {
        let sql = format!(
            "SELECT webhook_id, count(*), min(seq) FROM deliveries WHERE {which} GROUP BY webhook_id"
        );
        each(&sql, |waiting, oldest| Backlog { waiting, oldest: Some(oldest), ..Backlog::default() })?;
    }
    each(
        "SELECT webhook_id, count(*), max(seq) FROM deliveries WHERE status = 'failed' GROUP BY webhook_id",
        |dead, newest| Backlog { dead, newest_dead: Some(newest), ..Backlog::default() },
    )?;
    // There are no more of them than permits.
    db.each(
        "SELECT webhook_id, order_station IS NOT NULL FROM deliveries WHERE status = 'processing'",
        &[],
        |row| {
            let backlog = all.entry(row.get(0)?).or_default();
            backlog.in_flight += 1;
            // The index of those in order counts them among those that wait.
            backlog.waiting = backlog.waiting.saturating_sub(u64::from(row.get::<bool>(1)?));
            Ok(ControlFlow::Continue(()))
        },
    )?;
    all.values_mut().filter(|backlog| backlog.waiting == 0).for_each(|backlog| backlog.oldest = None);
    Ok(all)
}

/// Of the deliveries to direct URLs that have not arrived, those of one owner's events.
fn direct_of(db: &Read<'_>, owner: &str) -> Result<Backlog> {
    let mut all = Backlog::default();
    let mut each = |which: &str, backlog: fn(i64) -> Backlog| {
        let sql = format!(
            "SELECT d.seq FROM (SELECT seq, event_seq FROM deliveries WHERE {which} LIMIT {DIRECT_MAX}) AS d
             JOIN events e ON e.seq = d.event_seq WHERE e.owner_id = ?1"
        );
        db.each(&sql, params![owner], |row| {
            all.add(backlog(row.get(0)?));
            Ok(ControlFlow::Continue(()))
        })
    };
    for which in [DIRECT_WAITING, DIRECT_IN_BULK] {
        each(which, |seq| Backlog { waiting: 1, oldest: Some(seq), ..Backlog::default() })?;
    }
    each("status = 'processing' AND origin_id IS NOT NULL", |_| Backlog {
        in_flight: 1,
        ..Backlog::default()
    })?;
    each("status = 'failed' AND webhook_id IS NULL", |seq| Backlog {
        dead: 1,
        newest_dead: Some(seq),
        ..Backlog::default()
    })?;
    Ok(all)
}

/// One of a delivery's times.
fn moment(db: &Read<'_>, column: &str, row: i64) -> Result<Option<Timestamp>> {
    let sql = format!("SELECT {column} FROM deliveries WHERE seq = ?1");
    Ok(db.maybe(&sql, params![row], |row| row.get(0))?.flatten())
}

/// Those that do not do well, with what they have before them.
fn troubled(
    db: &Read<'_>,
    webhooks: BTreeMap<WebhookId, WebhookFact>,
    backlogs: &Backlogs,
    now: Timestamp,
) -> Result<Vec<WebhookFact>> {
    let direct = WebhookFact {
        id: None,
        name: String::new(),
        status: WebhookStatus::Active,
        since: None,
        reason: None,
        failing_since: None,
        lane: Default::default(),
        last_error: None,
        waiting: 0,
        dead_letters: 0,
        newest_dead_at: None,
    };
    let mut found = Vec::new();
    let mut errors = 0;
    for mut webhook in webhooks.into_values().chain([direct]) {
        let backlog = backlogs.get(&webhook.id).copied().unwrap_or_default();
        webhook.waiting = backlog.waiting;
        webhook.dead_letters = backlog.dead;
        if !is_troubled(&webhook, now) {
            continue;
        }
        webhook.newest_dead_at =
            backlog.newest_dead.map(|row| moment(db, "completed_at_ms", row)).transpose()?.flatten();
        if let Some(id) = webhook.id.filter(|_| webhook.lane.open_since.is_some() && errors < ERRORS_MAX) {
            webhook.last_error = last_error(db, id)?;
            errors += 1;
        }
        found.push(webhook);
    }
    Ok(found)
}

fn is_troubled(webhook: &WebhookFact, now: Timestamp) -> bool {
    let paused_for = webhook.since.filter(|_| webhook.status == WebhookStatus::Paused);
    webhook.lane.open_since.is_some()
        || webhook.lane.unreadable
        || webhook.dead_letters > 0
        || matches!(webhook.status, WebhookStatus::Disabled | WebhookStatus::AutoDisabled)
        || paused_for.is_some_and(|since| now.since(since) > PAUSED_LONG)
}

/// What went wrong with a webhook's newest deliveries, or with those that are due first.
fn last_error(db: &Read<'_>, id: WebhookId) -> Result<Option<(String, String)>> {
    for newest in [
        format!("webhook_id = ?1 AND {UNORDERED_WAITING} ORDER BY due_at_ms DESC, seq DESC"),
        "webhook_id = ?1 ORDER BY seq DESC".to_owned(),
    ] {
        let sql = format!(
            "SELECT last_error_code, last_error_message FROM (
                 SELECT last_error_code, last_error_message FROM deliveries WHERE {newest} LIMIT {ERROR_SEARCHED}) AS d
             WHERE last_error_code IS NOT NULL LIMIT 1"
        );
        let found = db.maybe(&sql, params![id], |row| {
            Ok((row.get(0)?, row.get::<Option<String>>(1)?.unwrap_or_default()))
        })?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}
