//! Outcomes of attempts: one transaction settles the attempt, its delivery, and the webhook's health.

use std::time::Duration;

use crate::cells;
use crate::deliveries::auto_disable::{self, EndpointSays, Failing};
use crate::deliveries::dead_letters::{self, DeliveryFailure};
use crate::deliveries::direct_url::is_origin;
use crate::deliveries::tallies::{self, Ended};
use crate::engine::job::{Foreseen, Reads};
use crate::engine::sql::params;
use crate::engine::tx::Tx;
use crate::error::Result;
use crate::other_nodes::Left;
use crate::{DeliveryRow, Priority, Scope, Store};
use vocabulary::api::delivery::DeliveryError;
use vocabulary::clock::Timestamp;
use vocabulary::delivery::{DeliveryStatus, DiscardReason, ErrorCode};
use vocabulary::event::Category;
use vocabulary::id::{DeliveryId, EventId, WebhookId};
use vocabulary::webhook::WebhookStatus;

/// One attempt that has ended.
#[derive(Debug, Clone)]
pub struct Finish {
    /// The delivery.
    pub row: DeliveryRow,
    /// Its webhook.
    pub webhook_id: WebhookId,
    /// Which attempt.
    pub attempt: u32,
    /// How long it took.
    pub duration: Duration,
    /// The status code, if the endpoint answered.
    pub status_code: Option<u16>,
    /// What went wrong.
    pub error: Option<DeliveryError>,
    /// Some headers of the response.
    pub response_headers: Vec<(String, String)>,
    /// The start of the response's body.
    pub response_body: Option<String>,
    /// What happens to the delivery.
    pub next: Next,
    /// A webhook that has failed for this long is disabled; `None`: never.
    pub auto_disable_after: Option<Duration>,
}

/// What happens to a delivery after an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// It has succeeded.
    Delivered,
    /// It is retried.
    Retry {
        /// It is due then.
        due_at: Timestamp,
    },
    /// Its schedule is used up.
    DeadLetter {
        /// Whether a `DeliveryFailed` event is created; otherwise the caller counts it for a later one.
        announce: bool,
    },
    /// The endpoint is gone (410): a dead letter, and the webhook is disabled.
    Gone {
        /// As in [`Next::DeadLetter`].
        announce: bool,
    },
}

/// An attempt that was started and could not be sent, for a reason of our own.
#[derive(Debug, Clone)]
pub struct NotMade {
    /// The delivery.
    pub row: DeliveryRow,
    /// Its webhook.
    pub webhook_id: WebhookId,
    /// Which attempt.
    pub attempt: u32,
    /// The reason.
    pub message: String,
    /// It is retried then.
    pub due_at: Timestamp,
}

impl Store {
    /// Settles one attempt: its row, the delivery, the webhook's record of failures, and the events that
    /// announce a dead letter or a disabled webhook.
    ///
    /// A delivery that was discarded during the attempt stays discarded. A delivery that is to be retried is
    /// discarded if its webhook was disabled meanwhile.
    ///
    /// # Errors
    /// Only the store's own: nothing was written, and it may be called again.
    pub async fn finish(&self, finish: Finish) -> Result<()> {
        let scope = Scope::Webhook(finish.webhook_id);
        let foreseen = vec![Foreseen::new(ATTEMPTED, params![finish.row, finish.attempt])];
        let reads = Reads { foreseen, and_more: finish.next != Next::Delivered };
        let settle = move |w: &mut Tx<'_>| settle(w, &finish);
        self.inner.engine.write_repeatable(Priority::Outcome, scope, reads, settle).await
    }

    /// Deletes an attempt that was not sent: the next attempt gets its number, and the schedule continues
    /// where it was. Until then the delivery shows the reason. A delivery that was discarded meanwhile stays
    /// as it is.
    ///
    /// # Errors
    /// Only the store's own: nothing was written, and it may be called again.
    pub async fn put_back(&self, not_made: NotMade) -> Result<()> {
        let scope = Scope::Webhook(not_made.webhook_id);
        self.write(Priority::Outcome, scope, move |w| put_back(w, &not_made)).await
    }
}

/// A delivery whose attempt has ended.
struct Attempted {
    id: DeliveryId,
    event_id: EventId,
    category: Category,
    /// It was not discarded or settled since its attempt started.
    live: bool,
    /// The webhook's owner, or the event's if it goes to a URL of its own.
    owner_id: Option<String>,
    /// What the webhook is doing, if there is one.
    webhook: Option<WebhookStatus>,
    failing: Failing,
}

fn settle(w: &mut Tx<'_>, finish: &Finish) -> Result<()> {
    close_attempt(w, finish)?;
    let Some(attempted) = attempted(w, finish)? else { return Ok(()) };
    let webhook = attempted.webhook;
    let is_direct = is_origin(finish.webhook_id);
    let enabled = is_direct || webhook.is_some_and(WebhookStatus::is_enabled);
    let (status, due_at, announces) = match &finish.next {
        Next::Delivered => (DeliveryStatus::Success, None, false),
        Next::Retry { due_at } if enabled => (DeliveryStatus::Retry, Some(*due_at), false),
        Next::Retry { .. } => (DeliveryStatus::Discarded, None, false),
        Next::DeadLetter { announce } | Next::Gone { announce } => (DeliveryStatus::Failed, None, *announce),
    };
    let discarded_because = match webhook {
        Some(_) => DiscardReason::WebhookDisabled,
        None => DiscardReason::WebhookDeleted,
    };
    if attempted.live {
        w.send(
            "UPDATE deliveries SET status = ?2, due_at_ms = ?3, completed_at_ms = ?4, last_error_code = ?5,
                    last_error_message = ?6, step = step + ?7, discarded_because = ?8 WHERE seq = ?1",
            params![
                finish.row,
                status.as_str(),
                due_at,
                due_at.is_none().then_some(w.now),
                finish.error.as_ref().map(|error| error.code.as_str()),
                finish.error.as_ref().map(|error| &error.message),
                status == DeliveryStatus::Retry,
                (status == DeliveryStatus::Discarded).then_some(discarded_because.as_str()),
            ],
        )?;
        let ended = Ended {
            succeeded: u64::from(status == DeliveryStatus::Success),
            failed: u64::from(status == DeliveryStatus::Failed),
        };
        tallies::add(w, finish.webhook_id, attempted.owner_id.as_deref(), ended)?;
    }
    if announces
        && attempted.category != Category::Webhook
        && let Some(last_error) = finish.error.clone()
    {
        let failure = DeliveryFailure {
            delivery_id: attempted.id,
            event_id: attempted.event_id,
            webhook_id: finish.webhook_id,
            attempts: finish.attempt,
            last_error,
        };
        dead_letters::announce(w, &failure, 1)?;
    }
    if enabled && !is_direct {
        let says = match &finish.next {
            Next::Delivered => EndpointSays::Taken,
            Next::Retry { .. } | Next::DeadLetter { .. } => EndpointSays::Failed,
            Next::Gone { .. } => EndpointSays::Gone,
        };
        auto_disable::record(w, finish.webhook_id, attempted.failing, says, finish.auto_disable_after)?;
    }
    Ok(())
}

fn put_back(w: &Tx<'_>, not_made: &NotMade) -> Result<()> {
    let NotMade { row, attempt, message, due_at, .. } = not_made;
    let was_live = w.run(
        "UPDATE deliveries SET status = CASE WHEN step = 0 THEN 'scheduled' ELSE 'retry' END, due_at_ms = ?3,
                               attempts = attempts - 1, last_error_code = ?4, last_error_message = ?5
         WHERE seq = ?1 AND status = 'processing' AND attempts = ?2",
        params![row, attempt, due_at, ErrorCode::Unreadable.as_str(), message],
    )?;
    if was_live > 0 {
        w.run("DELETE FROM attempts WHERE delivery_seq = ?1 AND number = ?2", params![row, attempt])?;
    }
    Ok(())
}

fn close_attempt(w: &Tx<'_>, finish: &Finish) -> Result<()> {
    let headers: serde_json::Map<String, serde_json::Value> =
        finish.response_headers.iter().map(|(name, value)| (name.clone(), value.clone().into())).collect();
    let headers = (!headers.is_empty()).then(|| serde_json::Value::Object(headers).to_string());
    w.send(
        "UPDATE attempts SET duration_ms = ?3, status_code = ?4, error_code = ?5, error_message = ?6,
                             response_headers = ?7, response_body = ?8
         WHERE delivery_seq = ?1 AND number = ?2",
        params![
            finish.row,
            finish.attempt,
            finish.duration.as_millis() as i64,
            finish.status_code,
            finish.error.as_ref().map(|error| error.code.as_str()),
            finish.error.as_ref().map(|error| &error.message),
            headers,
            finish.response_body,
        ],
    )
}

const ATTEMPTED: &str = "SELECT d.id, e.id, e.category, d.status = 'processing' AND d.attempts = ?2,
                CASE WHEN d.webhook_id IS NULL THEN e.owner_id ELSE h.owner_id END,
                h.status, h.failing_since_ms, h.failing_told
         FROM deliveries d JOIN events e ON e.seq = d.event_seq
         LEFT JOIN webhooks h ON h.id = d.webhook_id WHERE d.seq = ?1";

fn attempted(w: &Tx<'_>, finish: &Finish) -> Result<Option<Attempted>> {
    w.maybe(ATTEMPTED, params![finish.row, finish.attempt], |row| {
        let webhook = match row.maybe_text(5)? {
            Some(_) => Some(cells::setting(("webhooks", &finish.webhook_id, "status"), row.parsed(5))?),
            None => None,
        };
        Ok(Attempted {
            id: row.get(0)?,
            event_id: row.get(1)?,
            category: row.parsed(2)?,
            live: row.get(3)?,
            owner_id: row.get(4)?,
            webhook,
            failing: Failing { since: row.get(6)?, told: row.get::<Option<i64>>(7)?.unwrap_or(0) },
        })
    })
}

/// Settles the deliveries that were under way when a node stopped: their open attempts get `outcome_unknown`,
/// and they are due at once. Waiting retries keep their time. Nobody claims anything of its lanes before.
pub(crate) fn recover(w: &Tx<'_>, left: Left) -> Result<()> {
    let of_node = match left.epoch {
        None => "?1 IS NULL",
        Some(_) => {
            "coalesce(webhook_id, -origin_id) IN (SELECT l.webhook_id FROM lane_leases l WHERE l.epoch = ?1)"
        }
    };
    const MESSAGE: &str = "the gateway stopped while the attempt was under way";
    let code = ErrorCode::OutcomeUnknown.as_str();
    w.run(
        &format!(
            "UPDATE attempts SET error_code = ?2, error_message = ?3
             WHERE duration_ms IS NULL AND error_code IS NULL AND (delivery_seq, number) IN
                   (SELECT seq, attempts FROM deliveries WHERE status = 'processing' AND {of_node})"
        ),
        params![left.epoch, code, MESSAGE],
    )?;
    let interrupted = w.run(
        &format!(
            "UPDATE deliveries SET status = 'retry', due_at_ms = ?2, last_error_code = ?3, last_error_message = ?4
             WHERE status = 'processing' AND {of_node}"
        ),
        params![left.epoch, w.monotonic, code, MESSAGE],
    )?;
    if interrupted > 0 {
        tracing::info!(
            "{interrupted} deliveries were under way when the gateway stopped; they are due again"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests;
