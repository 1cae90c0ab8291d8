//! Deliveries: one event on its way to one webhook.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::clock::Timestamp;
use crate::delivery::{DeliveryStatus, DiscardReason, ErrorCode, Trigger};
use crate::id::{DeliveryId, EventId};

/// One event on its way to one webhook.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Delivery {
    /// Its id (`X-Webhook-Delivery-Id`).
    pub id: DeliveryId,
    /// The event.
    pub event_id: EventId,
    /// The event's type.
    pub event: String,
    /// The webhook; null if it goes to a URL that came with the event.
    pub webhook_id: Option<i64>,
    /// Counts the webhook's deliveries from 1 without gaps (`X-Webhook-Sequence`).
    pub sequence: Option<i64>,
    /// Where it goes; null once the webhook is deleted.
    pub url: Option<String>,
    /// The event's station.
    pub station_id: Option<String>,
    /// The event's owner.
    pub owner_id: Option<String>,
    /// The event's payload.
    #[schema(value_type = Object)]
    pub payload: Box<RawValue>,
    /// How far it has come.
    pub status: DeliveryStatus,
    /// Every try so far, the first one first.
    pub attempts: Vec<Attempt>,
    /// What went wrong last, also where no attempt was made.
    pub last_error: Option<DeliveryError>,
    /// When the next attempt is due.
    pub next_attempt_at: Option<Timestamp>,
    /// What it waits for: `schedule`, `breaker`, `rate_limit`, `order`, `slot`, `paused`, or `settings`: the
    /// webhook is out of order, because something stored of it cannot be read; the log says what.
    pub waiting_for: Option<String>,
    /// Why it was discarded: `canceled`, `webhook_disabled` or `webhook_deleted`; null if it was not, or by
    /// an older version.
    #[schema(value_type = Option<String>)]
    pub discarded_because: Option<DiscardReason>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it came to its end.
    pub completed_at: Option<Timestamp>,
}

/// One try to deliver.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Attempt {
    /// Counts this delivery's attempts from 1 without gaps.
    pub number: u32,
    /// Why it was made: `event`, `resend` or `replay`.
    #[schema(value_type = String)]
    pub trigger: Trigger,
    /// When it began.
    pub started_at: Timestamp,
    /// How long it took, in milliseconds; null while it is under way, or if it was cut off.
    pub duration_ms: Option<u64>,
    /// What the endpoint answered, if it did.
    pub status_code: Option<u16>,
    /// What went wrong.
    pub error: Option<DeliveryError>,
    /// A few of the answer's headers.
    pub response_headers: Option<BTreeMap<String, String>>,
    /// The first KiB of the answer's body.
    pub response_body: Option<String>,
}

/// Why an attempt, or a delivery, failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeliveryError {
    /// One of `timeout`, `dns`, `connect`, `tls`, `reset`, `http_status`, `forbidden_destination`,
    /// `circuit_open`, `outcome_unknown`; `unreadable`: it waits, no attempt is spent, because the gateway
    /// could not read what is to be sent.
    #[schema(value_type = String)]
    pub code: ErrorCode,
    /// The same for people.
    pub message: String,
}
