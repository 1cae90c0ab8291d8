//! Events as they are listed.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::event::Category;
pub use crate::event::Event;
use crate::id::{DeliveryId, EventId};

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
    /// The first reason that applies: `duplicate`, `target` (it was directed elsewhere, or is a test),
    /// `created_later` (or changed to fit it), `about_itself`, `event_type`, `owner`, `station` or `filter`.
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
