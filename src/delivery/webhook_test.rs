//! Sends outside the schedule: a webhook's `test`, and the `verify` before one is made. Both take the same
//! way as a delivery, past lanes and breaker, and tell at once how it went.

use outbound::headers::Trigger;
use outbound::outcome::Outcome;
use outbound::post::Poster;
use store::{LaneSettings, Result, Store};
use vocabulary::clock::Clock;
use vocabulary::event::{Event, NewEvent};
use vocabulary::id::{DeliveryId, EventId, IdMint, WebhookId};

use super::attempt::Attempt;
use super::sample_events;
use super::target::Target;

/// How a test send went.
#[derive(Debug, Clone)]
pub struct Tested {
    /// The event that was sent.
    pub event_id: EventId,
    /// What came of it: status, duration, error, the start of the answer.
    pub outcome: Outcome,
}

/// Sends a synthetic `event` (one of our types, or a custom name) to a webhook, whatever its state.
/// The event is stored, marked as a test; there is no delivery. `None` if there is no such webhook.
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

/// Sends a `ping` to a webhook that is about to be made; nothing is stored.
///
/// # Errors
/// If the settings cannot be used: nothing was sent.
pub async fn verify(settings: &LaneSettings, poster: &Poster, clock: &Clock) -> Result<Tested> {
    let target = Target::new(settings)?;
    let now = clock.now();
    let NewEvent { event, category, protocol, station_id, timestamp, payload, .. } =
        sample_events::event(vocabulary::event::PING, now);
    let event = Event {
        seq: 0,
        id: EventId::from_value(IdMint::default().next(now)),
        event,
        category,
        protocol: protocol.map(str::to_owned),
        station_id,
        station_seq: None,
        owner_id: None,
        timestamp,
        occurred_at: None,
        transaction_id: None,
        payload,
        message_id: None,
        response: None,
        violations: Vec::new(),
        duplicate_of: None,
        idempotency_key: None,
        test: true,
        custom_headers: Default::default(),
        target: Default::default(),
    };
    let outcome = send(&target, poster, clock, &event).await;
    Ok(Tested { event_id: event.id, outcome })
}

async fn send(target: &Target, poster: &Poster, clock: &Clock, event: &Event) -> Outcome {
    let attempt = Attempt {
        delivery_id: DeliveryId::from_value(IdMint::default().next(clock.now())),
        event,
        body: target.format.render(event),
        number: 1,
        trigger: Trigger::Test,
        sequence: None,
    };
    attempt.send(target, poster, clock).await
}
