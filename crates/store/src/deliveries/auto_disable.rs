//! The health of a webhook: since when every delivery fails, the warning, and the automatic disabling.

use std::time::Duration;

use serde::Serialize;

use crate::deliveries::webhook_events::append_event;
use crate::engine::sql::params;
use crate::engine::tx::Tx;
use crate::error::Result;
use crate::log::waiting_deliveries::discard_waiting;
use crate::webhooks::settings;
use vocabulary::clock::Timestamp;
use vocabulary::id::WebhookId;

/// What an attempt tells about the endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EndpointSays {
    /// It accepted the delivery.
    Taken,
    /// It did not accept the delivery.
    Failed,
    /// It is gone for good (410).
    Gone,
}

/// What is known of a webhook's failures.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Failing {
    /// Every delivery has failed since then.
    pub(crate) since: Option<Timestamp>,
    /// The quarters of the limit that were told of.
    pub(crate) told: i64,
}

/// Stores since when every delivery fails, warns, and disables a webhook that is gone or has failed for too
/// long.
pub(crate) fn record(
    w: &mut Tx<'_>,
    webhook_id: WebhookId,
    Failing { since: failing_since, told: announced }: Failing,
    says: EndpointSays,
    disable_after: Option<Duration>,
) -> Result<()> {
    if says != EndpointSays::Taken || failing_since.is_some() {
        // What others have read of the webhook may change here.
        w.outdate_foreseen();
    }
    if says == EndpointSays::Taken {
        return match failing_since {
            Some(since) => recovered(w, webhook_id, since, announced),
            None => Ok(()),
        };
    }
    let (since, announced) = failing_since.map_or((w.monotonic, 0), |since| (since, announced));
    let failed_for = w.monotonic.since(since);
    // With a limit of zero the first failure disables the webhook.
    let quarters = disable_after.map_or(0, |limit| match limit.as_millis() {
        0 => FAILED_TOO_LONG,
        limit_ms => (failed_for.as_millis() * 4 / limit_ms).min(FAILED_TOO_LONG as u128) as i64,
    });
    if failing_since.is_none() || quarters > announced {
        w.run(
            "UPDATE webhooks SET failing_since_ms = ?2, failing_told = ?3 WHERE id = ?1",
            params![webhook_id, since, quarters.max(announced)],
        )?;
    }
    // From here on it is shown, so it becomes wall time.
    let since = w.to_wall(since);
    if says == EndpointSays::Gone {
        return disable(w, webhook_id, "the endpoint answered 410 Gone", since);
    }
    if quarters >= FAILED_TOO_LONG {
        return disable(w, webhook_id, &format!("every delivery has failed since {since}"), since);
    }
    match disable_after {
        Some(limit) if quarters > announced => failing(w, webhook_id, since, since.after(limit)),
        _ => Ok(()),
    }
}

/// Four quarters of the limit have passed: the webhook is disabled.
const FAILED_TOO_LONG: i64 = 4;

/// Warns that a webhook will be disabled unless a delivery succeeds.
fn failing(w: &mut Tx<'_>, webhook_id: WebhookId, since: Timestamp, disabled_at: Timestamp) -> Result<()> {
    #[derive(Serialize)]
    struct Payload {
        webhook_id: WebhookId,
        failing_since: Timestamp,
        disabled_at: Timestamp,
    }
    append_event(w, "WebhookFailing", webhook_id, &Payload { webhook_id, failing_since: since, disabled_at })
}

/// A delivery has succeeded; if a warning was given, an event announces its end.
fn recovered(w: &mut Tx<'_>, webhook_id: WebhookId, since: Timestamp, announced: i64) -> Result<()> {
    #[derive(Serialize)]
    struct Recovered {
        webhook_id: WebhookId,
        failing_since: Timestamp,
    }
    w.run(
        "UPDATE webhooks SET failing_since_ms = NULL, failing_told = 0 WHERE id = ?1",
        params![webhook_id],
    )?;
    if announced == 0 {
        return Ok(());
    }
    let failing_since = w.to_wall(since);
    append_event(w, "WebhookRecovered", webhook_id, &Recovered { webhook_id, failing_since })
}

/// Disables a webhook in the gateway's own name; its waiting deliveries are discarded in steps.
fn disable(w: &mut Tx<'_>, webhook_id: WebhookId, reason: &str, failing_since: Timestamp) -> Result<()> {
    #[derive(Serialize)]
    struct Disabled<'a> {
        webhook_id: WebhookId,
        reason: &'a str,
        failing_since: Timestamp,
    }
    w.run(
        "UPDATE webhooks SET status = 'auto_disabled', disabled_reason = ?2,
                             paused_at_ms = NULL, paused_until_ms = NULL, paused_reason = NULL,
                             updated_at_ms = CASE WHEN ?3 > updated_at_ms THEN ?3 ELSE updated_at_ms + 1 END
         WHERE id = ?1",
        params![webhook_id, reason, w.now],
    )?;
    discard_waiting(w, webhook_id)?;
    let payload = Disabled { webhook_id, reason, failing_since };
    append_event(w, "WebhookDisabled", webhook_id, &payload)?;
    settings::changed(w, webhook_id)
}
