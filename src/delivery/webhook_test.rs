//! Sends outside the schedule: a webhook's `test`, and the `verify` before one is created. They use the code
//! of deliveries, without lanes and breaker, and return the outcome at once.

use outbound::body;
use outbound::outcome::Outcome;
use outbound::post::Poster;
use outbound::signature::SigningSecret;
use store::{Result, Store};
use vocabulary::api::webhook::WebhookInput;
use vocabulary::clock::Clock;
use vocabulary::delivery::Trigger;
use vocabulary::event::Event;
use vocabulary::id::{DeliveryId, EventId, IdMint, WebhookId};

use super::attempt::Attempt;
use super::sample_events;
use super::target::Target;

/// The result of a test send.
#[derive(Debug, Clone)]
pub struct Tested {
    /// The event that was sent.
    pub event_id: EventId,
    /// Its outcome: status, duration, error, the start of the answer.
    pub outcome: Outcome,
}

/// Sends a synthetic `event` (a type of the gateway, or a custom name) to a webhook in any state. The event
/// is stored, marked as a test; there is no delivery. `None` if there is no such webhook.
pub async fn test_webhook(
    store: &Store,
    poster: &Poster,
    clock: &Clock,
    webhook_id: WebhookId,
    event: &str,
) -> Result<Option<Tested>> {
    let Some(settings) = store.lane(webhook_id).await? else { return Ok(None) };
    let target = Target::new(&settings)?;
    let event = store.append_test(webhook_id, sample_events::event(event, clock.now())).await?;
    let outcome = send(&target, poster, clock, &event).await;
    Ok(Some(Tested { event_id: event.id, outcome }))
}

/// Sends a `ping` to a webhook that is not created yet, signed with `secret`. Nothing is stored.
pub async fn verify(input: &WebhookInput, secret: SigningSecret, poster: &Poster, clock: &Clock) -> Tested {
    let now = clock.now();
    let id = EventId::from_value(IdMint::default().next(now));
    let event = sample_events::event(vocabulary::event::PING, now).into_test(id);
    let outcome = send(&Target::planned(input, secret), poster, clock, &event).await;
    Tested { event_id: id, outcome }
}

async fn send(target: &Target, poster: &Poster, clock: &Clock, event: &Event) -> Outcome {
    let attempt = Attempt {
        delivery_id: DeliveryId::from_value(IdMint::default().next(clock.now())),
        event,
        body: body::render(target.format, event),
        number: 1,
        trigger: Trigger::Test,
        sequence: None,
    };
    attempt.send(target, poster, clock).await
}
