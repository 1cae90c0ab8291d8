//! Events that integrators bring.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::id::{EventId, StationId};

/// An event and whom it is for: the body of `POST /events`. Exactly one of `webhook_id`, `owner_id`,
/// `broadcast` and `url` is given.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EventInput {
    /// A custom name: `[a-z0-9_-]` in at least two parts, joined by dots, of which the first is no category.
    #[schema(min_length = 1, max_length = 128, example = "invoice.paid")]
    pub event: String,
    /// What receivers get, byte for byte.
    #[schema(value_type = Object)]
    pub payload: Box<RawValue>,
    /// The station it is about. It takes no place in the station's count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub station_id: Option<StationId>,
    /// Headers that are sent along; they win over the webhook's.
    #[serde(default)]
    pub custom_headers: BTreeMap<String, String>,
    /// Makes the event safe to bring again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 255)]
    pub idempotency_key: Option<String>,
    /// To this webhook, whatever it subscribes to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    pub webhook_id: Option<i64>,
    /// To this owner's subscribed webhooks, and to those without owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 200)]
    pub owner_id: Option<String>,
    /// To every subscribed webhook. Not for keys that are bound to an owner.
    #[serde(default)]
    #[schema(default = false)]
    pub broadcast: bool,
    /// To this URL, with the default retry schedule. It may only lead where webhooks may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 2048)]
    pub url: Option<String>,
    /// Signs what goes to `url` (`whsec_…`); without it that is unsigned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, write_only)]
    pub secret: Option<String>,
}

impl std::fmt::Debug for EventInput {
    /// Secrets and headers, which may be secrets too, are left out.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventInput").field("event", &self.event).finish_non_exhaustive()
    }
}

/// What became of an event that was brought.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EventStored {
    /// Its id.
    pub id: EventId,
    /// How many deliveries were made of it.
    pub deliveries: u64,
    /// It repeats an event with the same key, and goes nowhere.
    pub duplicate: bool,
}
