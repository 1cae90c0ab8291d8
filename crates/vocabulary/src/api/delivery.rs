//! Deliveries: one event on its way to one webhook.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::clock::Timestamp;
use crate::id::{DeliveryId, EventId};

/// How far a delivery has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum DeliveryStatus {
    /// Waits for its first attempt.
    Scheduled,
    /// An attempt is under way.
    Processing,
    /// Waits for its next attempt.
    Retry,
    /// Answered 2xx.
    Success,
    /// Dead-lettered: the schedule is used up.
    Failed,
    /// Cancelled, or its webhook was disabled or deleted.
    Discarded,
}

impl DeliveryStatus {
    /// Every status.
    pub const ALL: [Self; 6] =
        [Self::Scheduled, Self::Processing, Self::Retry, Self::Success, Self::Failed, Self::Discarded];

    /// The status as it is spelled.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Processing => "processing",
            Self::Retry => "retry",
            Self::Success => "success",
            Self::Failed => "failed",
            Self::Discarded => "discarded",
        }
    }

    /// Whether it has come to its end.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Success | Self::Failed | Self::Discarded)
    }
}

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
    /// What it waits for: `schedule`, `breaker`, `rate_limit`, `order`, `slot`, `paused`, or `settings`: the webhook is out
    /// of order, because something stored of it cannot be read; the log says what.
    pub waiting_for: Option<String>,
    /// Why it was discarded: `canceled`, `webhook_disabled` or `webhook_deleted`; null if it was not, or by an older
    /// version.
    pub discarded_because: Option<String>,
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
    pub trigger: String,
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
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeliveryError {
    /// One of `timeout`, `dns`, `connect`, `tls`, `reset`, `http_status`, `forbidden_destination`,
    /// `circuit_open`, `outcome_unknown`; `unreadable`: it waits, no attempt is spent, because the gateway could not
    /// read what is to be sent.
    pub code: String,
    /// The same for people.
    pub message: String,
}
