//! Deliveries as they are sent again, cancelled and discarded.

use rusqlite::{Connection, OptionalExtension, params, params_from_iter};

use crate::deliveries::direct_url::is_origin;
use crate::deliveries::list::{FROM, Query};
use crate::engine::embedded::raw_cells as cells;
use crate::engine::tx::Tx;
use crate::error::Result;
use crate::log::subscriptions::webhook_status;
use crate::log::waiting_deliveries::{BULK_WAITING, ORDERED_LIVE, UNORDERED_WAITING, discard_waiting};
use crate::{Priority, Scope, Store};
use vocabulary::delivery::{DeliveryStatus, DiscardReason, ErrorCode, Trigger};
use vocabulary::id::{DeliveryId, WebhookId};

/// What became of a wish to send a delivery again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resent {
    /// It is due now.
    Resent,
    /// It has not come to its end yet.
    NotTerminal,
    /// It has arrived already: only with force.
    NeedsForce,
    /// Its webhook is disabled: nothing is sent until it is enabled.
    WebhookDisabled,
    /// Its webhook is deleted.
    WebhookDeleted,
    /// There is none of this id.
    NotFound,
}

/// What became of a wish to cancel a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Canceled {
    /// It is discarded; an attempt that is under way is not called back.
    Canceled,
    /// It has come to its end already.
    Terminal,
    /// There is none of this id.
    NotFound,
}

impl Store {
    /// Makes a terminal delivery due again, at once and with its schedule anew; attempt numbers go on. One
    /// that has arrived needs `force`.
    pub async fn resend(&self, id: DeliveryId, force: bool, visible_to: Option<String>) -> Result<Resent> {
        self.write(Priority::Api, Scope::Installation, move |w| reopen(w, id, force, visible_to)).await
    }

    /// Discards a delivery that has not come to its end. An attempt that is under way is not called back; its
    /// outcome is still noted, and changes nothing.
    pub async fn cancel(&self, id: DeliveryId, visible_to: Option<String>) -> Result<Canceled> {
        self.write(Priority::Api, Scope::Installation, move |w| {
            let Some((seq, status, webhook_id)) = find(w.conn, id, visible_to)? else {
                return Ok(Canceled::NotFound);
            };
            if status.is_terminal() {
                return Ok(Canceled::Terminal);
            }
            w.conn
                .prepare_cached(
                    "UPDATE deliveries SET status = 'discarded', discarded_because = ?3, due_at_ms = NULL,
                                           completed_at_ms = ?2 WHERE seq = ?1",
                )?
                .execute(params![seq, w.now.unix_ms(), DiscardReason::Canceled.as_str()])?;
            if status == DeliveryStatus::Processing {
                // Until its outcome comes, which a stop may prevent: nobody looks at this row again.
                w.conn
                    .prepare_cached(
                        "UPDATE attempts SET error_code = ?2, error_message = 'cancelled while it was under way'
                         WHERE delivery_seq = ?1 AND duration_ms IS NULL AND error_code IS NULL",
                    )?
                    .execute(params![seq, ErrorCode::OutcomeUnknown.as_str()])?;
            }
            // Others of its station may have waited for it.
            w.after_commit.lanes.extend(webhook_id);
            Ok(Canceled::Canceled)
        })
        .await
    }

    /// Discards a step of what waits for a webhook that is disabled or deleted; false once none is left,
    /// or if the webhook is enabled again.
    pub async fn discard_step(&self, webhook_id: WebhookId) -> Result<bool> {
        self.write(Priority::Outcome, Scope::Webhook(webhook_id), move |w| {
            match webhook_status(w, webhook_id)? {
                Some(status) if status.is_enabled() => Ok(false),
                _ => discard_waiting(w, webhook_id),
            }
        })
        .await
    }

    /// Webhooks that are deleted but have deliveries that wait.
    pub async fn orphaned_lanes(&self) -> Result<Vec<WebhookId>> {
        self.read(|conn| {
            let mut orphans = Vec::new();
            for which in [UNORDERED_WAITING, BULK_WAITING, ORDERED_LIVE] {
                // From one webhook to the next, not over all their rows.
                let mut next = conn.prepare_cached(&format!(
                    "SELECT min(webhook_id) FROM deliveries WHERE webhook_id > ?1 AND {which}"
                ))?;
                let mut exists = conn.prepare_cached("SELECT 1 FROM webhooks WHERE id = ?1")?;
                let mut last = 0;
                while let Some(id) = next.query_row([last], |row| row.get::<_, Option<WebhookId>>(0))? {
                    if !exists.exists([id])? {
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

/// The row, status and lane of a delivery that `visible_to` may see.
fn find(
    conn: &Connection,
    id: DeliveryId,
    visible_to: Option<String>,
) -> Result<Option<(i64, DeliveryStatus, Option<WebhookId>)>> {
    let mut query = Query::default();
    query.and("d.id = ?", id.to_string());
    query.visible_to(visible_to);
    let sql = format!(
        "SELECT d.seq, d.status, coalesce(d.webhook_id, -d.origin_id) {FROM} WHERE {}",
        query.conditions()
    );
    let found = conn
        .prepare_cached(&sql)?
        .query_row(params_from_iter(&query.values), |row| {
            Ok((row.get(0)?, cells::word(row, 1)?, row.get(2)?))
        })
        .optional()?;
    Ok(found)
}

fn reopen(w: &mut Tx<'_>, id: DeliveryId, force: bool, visible_to: Option<String>) -> Result<Resent> {
    let Some((seq, status, webhook_id)) = find(w.conn, id, visible_to)? else { return Ok(Resent::NotFound) };
    if !status.is_terminal() {
        return Ok(Resent::NotTerminal);
    }
    if status == DeliveryStatus::Success && !force {
        return Ok(Resent::NeedsForce);
    }
    w.after_commit.lanes.extend(webhook_id);
    if let Some(webhook_id) = webhook_id.filter(|lane| !is_origin(*lane)) {
        match webhook_status(w, webhook_id)? {
            None => return Ok(Resent::WebhookDeleted),
            Some(status) if !status.is_enabled() => return Ok(Resent::WebhookDisabled),
            Some(_) => {}
        }
    }
    w.conn
        .prepare_cached(
            "UPDATE deliveries SET status = 'scheduled', trigger = ?3, bulk = 0, step = 0, due_at_ms = ?2,
                    scheduled_at_ms = ?2, completed_at_ms = NULL, order_station = NULL, replay_seq = NULL,
                    before_replay = NULL WHERE seq = ?1",
        )?
        .execute(params![seq, w.monotonic.unix_ms(), Trigger::Resend.as_str()])?;
    Ok(Resent::Resent)
}
