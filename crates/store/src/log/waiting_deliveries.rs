//! Deliveries that wait: how the indexes know them, and how those of a webhook are discarded.

use crate::engine::sql::params;
use crate::engine::tx::Tx;
use crate::error::Result;
use vocabulary::delivery::DiscardReason;
use vocabulary::id::WebhookId;

/// Spelled exactly as in the index `deliveries_due`, which is only used for what it is spelled like.
pub(crate) const UNORDERED_WAITING: &str =
    "status IN ('scheduled', 'retry') AND order_station IS NULL AND bulk = 0";

/// Spelled exactly as in the index `deliveries_due_in_bulk`: what replays and bulk resends brought back.
pub(crate) const BULK_WAITING: &str =
    "status IN ('scheduled', 'retry') AND order_station IS NULL AND bulk = 1";

/// Spelled exactly as in the index `deliveries_in_order`.
pub(crate) const ORDERED_LIVE: &str =
    "status IN ('scheduled', 'retry', 'processing') AND order_station IS NOT NULL";

/// Every delivery that is not completed.
pub(crate) const NOT_COMPLETED: &str = "status IN ('scheduled', 'retry', 'processing')";

/// Deliveries discarded in one step, so that a backlog of millions stalls nobody.
const DISCARD_STEP: usize = 1_000;

/// Discards up to a step of what waits for `webhook_id`; true if there may be more. What is under way ends
/// by itself.
pub(crate) fn discard_waiting(w: &Tx<'_>, webhook_id: WebhookId) -> Result<bool> {
    let because = match w.has("SELECT 1 FROM webhooks WHERE id = ?1", params![webhook_id])? {
        true => DiscardReason::WebhookDisabled,
        false => DiscardReason::WebhookDeleted,
    };
    let mut discarded = 0;
    // The order costs nothing: it is the index's own, and so makes sure that the index is used.
    for (which, order) in [
        (UNORDERED_WAITING, "due_at_ms, seq"),
        (BULK_WAITING, "due_at_ms, seq"),
        (ORDERED_LIVE, "order_station, seq"),
    ] {
        let sql = format!(
            "UPDATE deliveries SET status = 'discarded', discarded_because = ?4, due_at_ms = NULL,
                                   completed_at_ms = ?2
             WHERE seq IN (SELECT seq FROM deliveries
                           WHERE webhook_id = ?1 AND {which} AND status <> 'processing'
                           ORDER BY {order} LIMIT ?3)"
        );
        let left = DISCARD_STEP - discarded;
        discarded += w.run(&sql, params![webhook_id, w.now, left, because.as_str()])?;
    }
    Ok(discarded >= DISCARD_STEP)
}
