//! One attempt: a body is signed, and posted or published. Deliveries, tests and verifications all use this.

use std::time::Duration;

use bytes::Bytes;

use outbound::brokers::Message;
use outbound::headers::AttemptHeaders;
use outbound::outcome::{AttemptVerdict, Outcome};
use outbound::post::{Poster, Request};
use outbound::retry_after::RetryAfter;
use store::{Finish, Next};
use vocabulary::clock::{Clock, Timestamp};
use vocabulary::delivery::Trigger;
use vocabulary::event::Event;
use vocabulary::id::DeliveryId;

use super::target::{Destination, Target};

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
    /// Posts or publishes it. It takes the webhook's timeout at most.
    pub(super) async fn send(self, target: &Target, poster: &Poster, clock: &Clock) -> Outcome {
        let now = clock.now();
        let body = self.body;
        let signing = target.signing_at(now);
        let headers = AttemptHeaders {
            delivery_id: self.delivery_id,
            event_id: self.event.id,
            event: &self.event.event,
            attempt: self.number,
            trigger: self.trigger,
            sequence: self.sequence,
            timestamp_s: now.unix_s(),
            format: target.format,
            signing: &signing,
            secret: target.secret.as_ref().map(|(name, value)| (name.as_str(), value.as_str())),
            webhook_headers: &target.custom_headers,
            event_headers: &self.event.custom_headers,
        };
        match &target.destination {
            Ok(Destination::Endpoint(url)) => {
                let (url, headers, timeout) = (url.clone(), headers.build(&body), target.timeout);
                let carries_secret = target.secret.is_some();
                poster.post(Request { url, headers, body, timeout, carries_secret }).await
            }
            Ok(Destination::Broker(broker)) => {
                let topic = broker.topic.of(self.event);
                let message = Message::new(topic, &headers, self.event, body, broker.cloudevents_mode);
                let credentials = broker.credentials.as_ref();
                poster.brokers().publish(&broker.url, credentials, &message, target.timeout).await
            }
            Err(reason) => unusable(reason),
        }
    }
}

fn unusable(reason: &str) -> Outcome {
    Outcome {
        verdict: AttemptVerdict::Forbidden { message: reason.to_owned() },
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
