//! Events as they are listed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::clock::Timestamp;
use crate::event::{self, Category, Target};
use crate::id::{DeliveryId, EventId};
use crate::ocpp::Violation;

/// An event: what happened, when, and how it was answered.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Event {
    /// Its id; the same in every delivery (`webhook-id`).
    pub id: EventId,
    /// The event type, or a custom name.
    #[schema(example = "StartTransaction")]
    pub event: String,
    /// The family it belongs to.
    #[schema(value_type = String, example = "ocpp")]
    pub category: Category,
    /// `ocpp1.6` for what came from, or went to, a charger.
    pub protocol: Option<String>,
    /// The station it is about.
    pub station_id: Option<String>,
    /// Counts the station's events from 1 without gaps.
    pub station_seq: Option<i64>,
    /// The customer it belongs to.
    pub owner_id: Option<String>,
    /// When it arrived.
    pub timestamp: Timestamp,
    /// The charger's own time for it, if it could be read.
    pub occurred_at: Option<Timestamp>,
    /// The transaction it was attached to.
    pub transaction_id: Option<i64>,
    /// What the charger sent, as it sent it; or the event's own members.
    #[schema(value_type = Object)]
    pub payload: Box<RawValue>,
    /// The charger's id of the CALL.
    pub message_id: Option<String>,
    /// What the charger was answered.
    #[schema(value_type = Option<Object>)]
    pub response: Option<Box<RawValue>>,
    /// What was odd about the message.
    pub violations: Vec<Violation>,
    /// The event that this one repeats.
    pub duplicate_of: Option<EventId>,
    /// The integrator's key, on ingested events.
    pub idempotency_key: Option<String>,
    /// Whether it was made by a test call.
    pub test: bool,
}

impl From<event::Event> for Event {
    fn from(event: event::Event) -> Self {
        Self {
            id: event.id,
            event: event.event,
            category: event.category,
            protocol: event.protocol,
            station_id: event.station_id,
            station_seq: event.station_seq,
            owner_id: event.owner_id,
            timestamp: event.timestamp,
            occurred_at: event.occurred_at,
            transaction_id: event.transaction_id,
            payload: event.payload,
            message_id: event.message_id,
            response: event.response,
            violations: event.violations,
            duplicate_of: event.duplicate_of,
            idempotency_key: event.idempotency_key,
            test: event.test,
        }
    }
}

/// For whoever got the event from a gateway and sends it on. Its row, its own headers and whom it was for stay with
/// the gateway.
impl From<Event> for event::Event {
    fn from(event: Event) -> Self {
        Self {
            seq: 0,
            id: event.id,
            event: event.event,
            category: event.category,
            protocol: event.protocol,
            station_id: event.station_id,
            station_seq: event.station_seq,
            owner_id: event.owner_id,
            timestamp: event.timestamp,
            occurred_at: event.occurred_at,
            transaction_id: event.transaction_id,
            payload: event.payload,
            message_id: event.message_id,
            response: event.response,
            violations: event.violations,
            duplicate_of: event.duplicate_of,
            idempotency_key: event.idempotency_key,
            test: event.test,
            custom_headers: BTreeMap::new(),
            target: Target::default(),
        }
    }
}

/// The deliveries of one event, and, if asked for, why other webhooks have none.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct EventDeliveries {
    /// One per webhook that wanted the event when it was stored.
    pub data: Vec<super::delivery::Delivery>,
    /// Null unless a `limit` was given and there are more.
    pub next_cursor: Option<String>,
    /// With `explain=true`: every other webhook, and why it has no delivery.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_matched: Option<Vec<NotMatched>>,
}

/// A webhook that did not want an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NotMatched {
    /// The webhook.
    pub webhook_id: i64,
    /// The first reason that applies: `duplicate`, `target` (it was directed elsewhere, or is a test), `created_later`
    /// (or changed to fit it), `about_itself`, `event_type`, `owner`, `station` or `filter`.
    pub reason: String,
    /// With `event_type`: what may not be as it was meant in the webhook's `events`, as its own `warnings`
    /// say.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// What a resend of an event's deliveries did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EventResent {
    /// The event.
    pub id: EventId,
    /// The deliveries that are on their way again.
    pub deliveries: Vec<DeliveryId>,
}

/// An event type that can be subscribed to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EventType {
    /// Its exact name.
    pub event: String,
    /// The family it belongs to.
    #[schema(value_type = String)]
    pub category: Category,
}
