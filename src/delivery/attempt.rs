//! One attempt: a body is signed and posted. Deliveries, tests and verifications all use this.

use std::time::Duration;

use bytes::Bytes;

use outbound::headers::AttemptHeaders;
use outbound::outcome::{AttemptVerdict, Outcome};
use outbound::post::{Poster, Request};
use outbound::retry_after::RetryAfter;
use store::{Finish, Next};
use vocabulary::clock::{Clock, Timestamp};
use vocabulary::delivery::Trigger;
use vocabulary::event::Event;
use vocabulary::id::DeliveryId;

use super::target::Target;

/// A request to an endpoint.
#[derive(Debug)]
pub(super) struct Attempt<'a> {
    pub(super) delivery_id: DeliveryId,
    pub(super) event: &'a Event,
    /// The body, in the target's format.
    pub(super) body: Bytes,
    pub(super) number: u32,
    pub(super) trigger: Trigger,
    pub(super) sequence: Option<i64>,
}

impl Attempt<'_> {
    /// Posts it. It takes the webhook's timeout at most.
    pub(super) async fn send(self, target: &Target, poster: &Poster, clock: &Clock) -> Outcome {
        let url = match &target.url {
            Ok(url) => url.clone(),
            Err(reason) => return unusable(reason),
        };
        let now = clock.now();
        let body = self.body;
        let headers = AttemptHeaders {
            delivery_id: self.delivery_id,
            event_id: self.event.id,
            event: &self.event.event,
            attempt: self.number,
            trigger: self.trigger,
            sequence: self.sequence,
            timestamp_s: now.unix_s(),
            format: target.format,
            signing: &target.signing_at(now),
            secret: target.secret.as_ref().map(|(name, value)| (name.as_str(), value.as_str())),
            webhook_headers: &target.custom_headers,
            event_headers: &self.event.custom_headers,
        }
        .build(&body);
        let carries_secret = target.secret.is_some();
        poster.post(Request { url, headers, body, timeout: target.timeout, carries_secret }).await
    }
}

fn unusable(reason: &str) -> Outcome {
    Outcome {
        verdict: AttemptVerdict::Forbidden { message: format!("not a URL: {reason}") },
        duration: Duration::ZERO,
        response_headers: Vec::new(),
        response_body: None,
        reconnected: false,
    }
}

/// How long the endpoint asked to wait.
pub(super) fn retry_after(outcome: &Outcome, now: Timestamp) -> Option<Duration> {
    match outcome.verdict {
        AttemptVerdict::Refused { retry_after, .. } => {
            retry_after.and_then(|asked: RetryAfter| asked.wait(now))
        }
        _ => None,
    }
}

/// An outcome as the store takes it.
pub(super) fn finish(claimed: &store::Claimed, outcome: Outcome, next: Next) -> Finish {
    Finish {
        row: claimed.row,
        webhook_id: claimed.webhook_id,
        attempt: claimed.attempt,
        duration: outcome.duration,
        status_code: outcome.status(),
        error: outcome.error(),
        response_headers: outcome.response_headers,
        response_body: outcome.response_body,
        next,
        auto_disable_after: None,
    }
}
