//! Deliveries are resent, canceled and discarded here.

use crate::deliveries::direct_url::{LANE, is_origin};
use crate::deliveries::list::{FROM, visible};
use crate::engine::sql::{params, values_of};
use crate::engine::tx::{Read, Tx};
use crate::error::Result;
use crate::listing::Conditions;
use crate::log::subscriptions::webhook_status;
use crate::log::waiting_deliveries::{BULK_WAITING, ORDERED_LIVE, UNORDERED_WAITING, discard_waiting};
use crate::{DeliveryRow, Priority, Scope, Store};
use vocabulary::delivery::{DeliveryStatus, DiscardReason, ErrorCode, Trigger};
use vocabulary::id::{DeliveryId, WebhookId};

/// The result of a request to resend a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resent {
    /// It is due now.
    Resent,
    /// It has not ended yet.
    NotTerminal,
    /// It has succeeded already, and `force` was not set.
    NeedsForce,
    /// Its webhook is disabled: nothing is sent before it is enabled.
    WebhookDisabled,
    /// Its webhook is deleted.
    WebhookDeleted,
    /// The delivery does not exist.
    NotFound,
}

/// The result of a request to cancel a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Canceled {
    /// It is discarded; a running attempt is not called back.
    Canceled,
    /// It has ended already.
    Terminal,
    /// The delivery does not exist.
    NotFound,
}

impl Store {
    /// Makes an ended delivery due at once, with a new schedule; attempt numbers continue. A successful one
    /// needs `force`.
    pub async fn resend(&self, id: DeliveryId, force: bool, visible_to: Option<String>) -> Result<Resent> {
        self.write(Priority::Api, Scope::Installation, move |w| reopen(w, id, force, visible_to)).await
    }

    /// Discards a delivery that has not ended. A running attempt is not called back; its outcome is stored
    /// with the attempt, and does not change the delivery.
    pub async fn cancel(&self, id: DeliveryId, visible_to: Option<String>) -> Result<Canceled> {
        self.write(Priority::Api, Scope::Installation, move |w| {
            let Some(found) = find(w, id, visible_to)? else { return Ok(Canceled::NotFound) };
            if found.status.is_terminal() {
                return Ok(Canceled::Terminal);
            }
            w.run(
                "UPDATE deliveries SET status = 'discarded', discarded_because = ?3, due_at_ms = NULL,
                                       completed_at_ms = ?2 WHERE seq = ?1",
                params![found.row, w.now, DiscardReason::Canceled.as_str()],
            )?;
            if found.status == DeliveryStatus::Processing {
                // Its outcome may never come if the gateway stops, and nobody reads this row again.
                w.run(
                    "UPDATE attempts SET error_code = ?2, error_message = 'cancelled while it was under way'
                     WHERE delivery_seq = ?1 AND duration_ms IS NULL AND error_code IS NULL",
                    params![found.row, ErrorCode::OutcomeUnknown.as_str()],
                )?;
            }
            // Other deliveries of its station may have waited for it.
            w.after_commit.lanes.extend(found.lane);
            Ok(Canceled::Canceled)
        })
        .await
    }

    /// Discards some of the waiting deliveries of a disabled or deleted webhook; false if none is left, or if
    /// the webhook is enabled again.
    pub async fn discard_step(&self, webhook_id: WebhookId) -> Result<bool> {
        self.write(Priority::Outcome, Scope::Webhook(webhook_id), move |w| {
            match webhook_status(w, webhook_id)? {
                Some(status) if status.is_enabled() => Ok(false),
                _ => discard_waiting(w, webhook_id),
            }
        })
        .await
    }

    /// Deleted webhooks that still have waiting deliveries.
    pub async fn orphaned_lanes(&self) -> Result<Vec<WebhookId>> {
        self.read(|db| {
            let mut orphans = Vec::new();
            for which in [UNORDERED_WAITING, BULK_WAITING, ORDERED_LIVE] {
                // Jumps from webhook to webhook instead of reading all their rows.
                let next =
                    format!("SELECT min(webhook_id) FROM deliveries WHERE webhook_id > ?1 AND {which}");
                let mut last: WebhookId = 0;
                while let Some(id) = db.one(&next, params![last], |row| row.get::<Option<WebhookId>>(0))? {
                    if !db.has("SELECT 1 FROM webhooks WHERE id = ?1", params![id])? {
                        orphans.push(id);
                    }
                    last = id;
                }
            }
            orphans.sort_unstable();
            orphans.dedup();
            Ok(orphans)
        })
        .await
    }
}

/// The row of a delivery that `visible_to` may see.
struct Found {
    row: DeliveryRow,
    status: DeliveryStatus,
    lane: Option<WebhookId>,
}

fn find(db: &Read<'_>, id: DeliveryId, visible_to: Option<String>) -> Result<Option<Found>> {
    let mut conditions = Conditions::default();
    conditions.and("d.id = ?", [id.into()]);
    visible(&mut conditions, visible_to);
    let sql = format!("SELECT d.seq, d.status, {LANE} {FROM} WHERE {}", conditions.text());
    db.maybe(&sql, &values_of(&conditions.into_values()), |row| {
        Ok(Found { row: row.get(0)?, status: row.parsed(1)?, lane: row.get(2)? })
    })
}

fn reopen(w: &mut Tx<'_>, id: DeliveryId, force: bool, visible_to: Option<String>) -> Result<Resent> {
    let Some(found) = find(w, id, visible_to)? else { return Ok(Resent::NotFound) };
    if !found.status.is_terminal() {
        return Ok(Resent::NotTerminal);
    }
    if found.status == DeliveryStatus::Success && !force {
        return Ok(Resent::NeedsForce);
    }
    w.after_commit.lanes.extend(found.lane);
    if let Some(webhook_id) = found.lane.filter(|lane| !is_origin(*lane)) {
        match webhook_status(w, webhook_id)? {
            None => return Ok(Resent::WebhookDeleted),
            Some(status) if !status.is_enabled() => return Ok(Resent::WebhookDisabled),
            Some(_) => {}
        }
    }
    w.run(
        "UPDATE deliveries SET status = 'scheduled', trigger = ?3, bulk = 0, step = 0, due_at_ms = ?2,
                scheduled_at_ms = ?2, completed_at_ms = NULL, order_station = NULL, replay_seq = NULL,
                before_replay = NULL WHERE seq = ?1",
        params![found.row, w.monotonic, Trigger::Resend.as_str()],
    )?;
    Ok(Resent::Resent)
}
