//! One step of a replay: deliveries are reopened or created, and the replay's progress is stored with them.

use serde::{Deserialize, Serialize};

use super::search::{Candidate, Search};
use crate::deliveries::direct_url::{DIRECT_IN_BULK, LANE, is_origin};
use crate::engine::sql::params;
use crate::engine::tx::{Read, Tx};
use crate::error::Result;
use crate::log::append;
use crate::log::subscriptions::webhook_status;
use crate::log::waiting_deliveries::BULK_WAITING;
use crate::{DeliveryRow, LogPosition, Store};
use crate::{Priority, Scope};
use vocabulary::api::replay::{ReplayStatus, Selection};
use vocabulary::clock::Timestamp;
use vocabulary::delivery::{DeliveryStatus, Trigger};
use vocabulary::id::{DeliveryId, WebhookId};
use vocabulary::webhook::WebhookStatus;

/// Deliveries reopened or created in one step.
pub(super) const STEP: usize = 200;

/// A webhook may have this many due deliveries of replays: more follow as these are sent.
pub(super) const AHEAD: usize = 400;

/// Windows that are searched for a step before the progress is stored.
pub(super) const WINDOWS_PER_STEP: usize = 20;

/// The result of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplayStep {
    /// It made progress, and the next step may follow at once.
    Made,
    /// Enough of its deliveries wait to be sent.
    Waits,
    /// It has ended.
    Ended,
}

/// The state of a delivery before a replay reopened it, from which it can be restored.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct BeforeReplay {
    pub(super) status: DeliveryStatus,
    pub(super) trigger: Trigger,
    pub(super) bulk: bool,
    pub(super) step: i64,
    pub(super) scheduled_at_ms: i64,
    pub(super) completed_at_ms: Option<i64>,
    pub(super) order_station: Option<String>,
    pub(super) attempts: i64,
}

/// How many more deliveries of replays a lane may have waiting.
pub(super) fn room(db: &Read<'_>, lane: WebhookId) -> Result<usize> {
    let (condition, number) = match is_origin(lane) {
        true => (format!("origin_id = ?1 AND {DIRECT_IN_BULK}"), -lane),
        false => (format!("webhook_id = ?1 AND {BULK_WAITING}"), lane),
    };
    let sql = format!(
        "SELECT count(*) FROM (
             SELECT 1 FROM deliveries WHERE {condition} AND status = 'scheduled' LIMIT {AHEAD}) AS waiting"
    );
    let waiting: usize = db.one(&sql, params![number], |row| row.get(0))?;
    Ok(AHEAD.saturating_sub(waiting))
}

impl Store {
    /// Makes these due, and stores the progress of the replay (row).
    pub(super) async fn make_step(
        &self,
        replay: i64,
        search: Search,
        candidates: Vec<Candidate>,
        position: i64,
    ) -> Result<ReplayStep> {
        let scope = match &search.selection {
            Selection::Replay { webhook_id, .. } => Scope::Webhook(*webhook_id),
            Selection::Resend { .. } => Scope::Installation,
        };
        self.write(Priority::Api, scope, move |w| make(w, replay, &search, &candidates, position)).await
    }
}

fn make(
    w: &mut Tx<'_>,
    replay: i64,
    search: &Search,
    candidates: &[Candidate],
    position: i64,
) -> Result<ReplayStep> {
    if !w.has("SELECT 1 FROM replays WHERE seq = ?1 AND status = 'running'", params![replay])? {
        return Ok(ReplayStep::Ended);
    }
    let trigger = match &search.selection {
        Selection::Replay { webhook_id, .. } => {
            // A webhook that was disabled or deleted meanwhile gets no more deliveries.
            if !webhook_status(w, *webhook_id)?.is_some_and(WebhookStatus::is_enabled) {
                end(w, replay, ReplayStatus::Canceled)?;
                return Ok(ReplayStep::Ended);
            }
            Trigger::Replay
        }
        Selection::Resend { .. } => Trigger::Resend,
    };
    let mut made = 0;
    for candidate in candidates {
        made += i64::from(match (candidate, &search.selection) {
            (Candidate::Reopen(delivery), _) => reopen(w, replay, *delivery, trigger, search.requested_at)?,
            (Candidate::Make(event), Selection::Replay { webhook_id, .. }) => {
                make_delivery(w, replay, *event, *webhook_id)?
            }
            (Candidate::Make(_), Selection::Resend { .. }) => false,
        });
    }
    w.run(
        "UPDATE replays SET done = done + ?2, position = ?3 WHERE seq = ?1",
        params![replay, made, position],
    )?;
    if position < search.end {
        return Ok(ReplayStep::Made);
    }
    end(w, replay, ReplayStatus::Done)?;
    Ok(ReplayStep::Ended)
}

/// Reopens an ended delivery, behind the live ones; false if it has changed since the replay was requested.
fn reopen(
    w: &mut Tx<'_>,
    replay: i64,
    delivery: DeliveryRow,
    trigger: Trigger,
    requested_at: Timestamp,
) -> Result<bool> {
    let sql = format!(
        "SELECT webhook_id, {LANE}, status, trigger, bulk, step, scheduled_at_ms, completed_at_ms,
                order_station, attempts
         FROM deliveries WHERE seq = ?1 AND completed_at_ms <= ?2"
    );
    let found = w.maybe(&sql, params![delivery, requested_at], |row| {
        let before = BeforeReplay {
            status: row.parsed(2)?,
            trigger: row.parsed(3)?,
            bulk: row.get(4)?,
            step: row.get(5)?,
            scheduled_at_ms: row.get(6)?,
            completed_at_ms: row.get(7)?,
            order_station: row.get(8)?,
            attempts: row.get(9)?,
        };
        Ok((row.get::<Option<WebhookId>>(0)?, row.get::<Option<WebhookId>>(1)?, before))
    })?;
    let Some((webhook_id, lane, before)) = found else { return Ok(false) };
    if let Some(webhook_id) = webhook_id
        && !webhook_status(w, webhook_id)?.is_some_and(WebhookStatus::is_enabled)
    {
        return Ok(false);
    }
    w.run(
        "UPDATE deliveries SET status = 'scheduled', trigger = ?2, bulk = 1, step = 0, due_at_ms = ?3,
                scheduled_at_ms = ?3, completed_at_ms = NULL, order_station = NULL, replay_seq = ?4,
                before_replay = ?5
         WHERE seq = ?1",
        params![delivery, trigger.as_str(), w.monotonic, replay, serde_json::to_string(&before)?],
    )?;
    w.after_commit.lanes.extend(lane);
    Ok(true)
}

/// Creates the delivery that an event lacks; false if it has one by now.
fn make_delivery(w: &mut Tx<'_>, replay: i64, event: LogPosition, webhook_id: WebhookId) -> Result<bool> {
    let delivery = "SELECT 1 FROM deliveries WHERE event_seq = ?1 AND webhook_id = ?2";
    if w.has(delivery, params![event, webhook_id])? {
        return Ok(false);
    }
    let sequence = append::next_in_webhook(w, webhook_id)?.last;
    let id = DeliveryId::from_value(w.mint.next(w.now));
    w.run(
        "INSERT INTO deliveries (id, event_seq, webhook_id, sequence, status, trigger, bulk, due_at_ms,
                                 scheduled_at_ms, created_at_ms, replay_seq)
         VALUES (?1, ?2, ?3, ?4, 'scheduled', ?5, 1, ?6, ?6, ?7, ?8)",
        params![id, event, webhook_id, sequence, Trigger::Replay.as_str(), w.monotonic, w.now, replay],
    )?;
    w.after_commit.lanes.insert(webhook_id);
    Ok(true)
}

/// Ends a running replay; false if it does not run.
pub(super) fn end(w: &Tx<'_>, replay: i64, status: ReplayStatus) -> Result<bool> {
    let ended = w.run(
        "UPDATE replays SET status = ?2, completed_at_ms = ?3 WHERE seq = ?1 AND status = 'running'",
        params![replay, status.as_str(), w.now],
    )?;
    Ok(ended > 0)
}
