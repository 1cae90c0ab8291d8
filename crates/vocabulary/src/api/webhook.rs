//! Webhooks: who wants which events, where, and how.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::text::Pattern;
use crate::broker::{BrokerCredentials, CloudEventsMode};
use crate::clock::Timestamp;
use crate::delivery::BodyFormat;
use crate::units::Span;
use crate::webhook::{Ordering, WebhookStatus};

fn every_event() -> Vec<String> {
    vec!["*".into()]
}

fn every_station() -> Vec<String> {
    vec!["*".into()]
}

fn enabled() -> bool {
    true
}

fn max_wait() -> Span {
    Span::seconds(3_600)
}

fn timeout() -> Span {
    Span::seconds(10)
}

/// Seven retries over 33 and a half hours: 30 s, 1 m, 5 m, 30 m, 2 h, 6 h, 24 h.
pub fn default_retry_schedule() -> Vec<Span> {
    [30, 60, 300, 1_800, 7_200, 21_600, 86_400].map(Span::seconds).to_vec()
}

fn max_in_flight() -> u32 {
    32
}

/// What is written in a webhook: the body of `POST` and `PUT`. Only `url` is required, and `topic` where it
/// names a broker.
///
/// `PUT` replaces everything but the two secrets and `credentials`, which are kept unless given. The
/// read-only fields of a webhook (`id`, `status`, `disabled_reason`, `paused_at`, `paused_until`,
/// `paused_reason`, `secret_value_set`, `credentials_set`, `warnings`, `created_at`, `updated_at`) are
/// ignored.
#[derive(Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WebhookInput {
    /// For people. The URL's host if none is given.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 200, example = "My Integration")]
    pub name: Option<String>,
    /// Where deliveries go: an endpoint (`https`, `http`) or a broker (`nats`, `tls`). It may only lead to
    /// public addresses, unless the operator has opened others.
    #[schema(min_length = 1, max_length = 2048, example = "https://my-app.example.com/webhooks/ocpp")]
    pub url: String,
    /// False makes it `disabled`: what waits is discarded, and so is what matches later.
    #[serde(default = "enabled")]
    #[schema(default = true)]
    pub enabled: bool,
    /// Event types it wants: names, patterns (`Start*`), whole categories (`ocpp.*`). `*` is everything but
    /// the category `webhook`, which is `webhook.*`. A pattern that nothing can fit is a 422; one that custom
    /// names alone can fit is told of in `warnings`.
    #[serde(default = "every_event")]
    #[schema(value_type = Vec<Pattern>, default = json!(["*"]), min_items = 1, max_items = 200)]
    pub events: Vec<String>,
    /// Stations it wants: identities or patterns, in which `*` stands for any run of characters and
    /// everything else for itself, also `?`, `%` and `[`; letter case counts. `["*"]` is all, and events
    /// without a station too.
    #[serde(default = "every_station")]
    #[schema(value_type = Vec<Pattern>, default = json!(["*"]), min_items = 1, max_items = 1000)]
    pub stations: Vec<String>,
    /// The customer it belongs to: it then gets only events with this owner.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 200)]
    pub owner_id: Option<String>,
    /// A header sent with every delivery, whose value is `secret_value` (`Authorization`, for Basic or
    /// Bearer), and none of `custom_headers`. Required while there is a value, also where a `PUT` or `PATCH`
    /// keeps it.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 200, example = "X-Webhook-Secret")]
    pub secret_header: Option<String>,
    /// The value of `secret_header`, verbatim. Never shown again; null removes it.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 4096, write_only)]
    pub secret_value: Option<String>,
    /// Signs every delivery: `whsec_` and the base64 of 24 to 64 bytes. Generated if absent.
    #[serde(default)]
    #[schema(min_length = 1, write_only)]
    pub signing_secret: Option<String>,
    /// The shape of the body.
    #[serde(default)]
    #[schema(default = "flat")]
    pub format: BodyFormat,
    /// Headers sent with every delivery. None may replace a header of the gateway's own.
    #[serde(default)]
    pub custom_headers: BTreeMap<String, String>,
    /// Brokers only, and required there: the NATS subject that messages are published on. `{station_id}`,
    /// `{event}`, `{category}` and `{owner_id}` stand for what the event has; null, and each character that
    /// subjects reserve (dots, `*`, `>`, blanks), becomes `_`.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 512, example = "ev.{station_id}.{event}")]
    pub topic: Option<String>,
    /// Brokers only: how the gateway signs in. Never shown again; null removes them.
    #[serde(default)]
    #[schema(write_only)]
    pub credentials: Option<BrokerCredentials>,
    /// Brokers only, with `format: cloudevents`: `structured` if none is given.
    #[serde(default)]
    pub cloudevents_mode: Option<CloudEventsMode>,
    /// Which payloads it wants: fields that must be equal, or `$in` `$gt` `$gte` `$lt` `$lte` `$exists`,
    /// joined by `$or` `$and` `$not`; dotted paths.
    #[serde(default)]
    #[schema(value_type = Option<Object>, example = json!({"connectorId": 1}))]
    pub filter: Option<Value>,
    /// In which order deliveries are made.
    #[serde(default)]
    #[schema(default = "none")]
    pub ordering: Ordering,
    /// With `ordering: station`: how long one delivery may hold up those behind it.
    #[serde(default = "max_wait")]
    #[schema(default = "1h")]
    pub ordering_max_wait: Span,
    /// How long an attempt may take, `100ms` to `60s`.
    #[serde(default = "timeout")]
    #[schema(default = "10s")]
    pub timeout: Span,
    /// The waits between attempts; as many retries as entries, at most 100 of up to `7d`.
    #[serde(default = "default_retry_schedule")]
    #[schema(default = json!(["30s","1m","5m","30m","2h","6h","24h"]), max_items = 100)]
    pub retry_schedule: Vec<Span>,
    /// Requests that may be under way at once.
    #[serde(default = "max_in_flight")]
    #[schema(default = 32, minimum = 1, maximum = 1000)]
    pub max_in_flight: u32,
    /// `10/s` or `600/m`; null is no limit.
    #[serde(default)]
    #[schema(pattern = "^[1-9][0-9]{0,5}/[sm]$", example = "10/s")]
    pub rate_limit: Option<String>,
    /// Send a test event first, and refuse with a 400 unless it is answered 2xx.
    #[serde(default)]
    #[schema(default = false, write_only)]
    pub verify: bool,
}

impl std::fmt::Debug for WebhookInput {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WebhookInput").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A webhook as it is shown.
#[derive(Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Webhook {
    /// Its number: given once, never again.
    pub id: i64,
    /// For people.
    pub name: String,
    /// Where deliveries go.
    pub url: String,
    /// Whether it is neither `disabled` nor `auto_disabled`.
    pub enabled: bool,
    /// What it is doing.
    pub status: WebhookStatus,
    /// Why it is disabled.
    pub disabled_reason: Option<String>,
    /// Since when it is paused.
    pub paused_at: Option<Timestamp>,
    /// When it is resumed by itself; null if only by a call.
    pub paused_until: Option<Timestamp>,
    /// Why it is paused, where nobody has asked for it: its secrets were lost with their key.
    #[serde(default)]
    pub paused_reason: Option<String>,
    /// Event types it wants.
    pub events: Vec<String>,
    /// Stations it wants.
    pub stations: Vec<String>,
    /// The customer it belongs to.
    pub owner_id: Option<String>,
    /// The header that carries its secret value.
    pub secret_header: Option<String>,
    /// Whether there is a secret value. The value itself is never shown.
    pub secret_value_set: bool,
    /// What signs its deliveries: only in the answer that makes it; later see `/webhooks/{id}/secret`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signing_secret: Option<String>,
    /// The shape of the body.
    pub format: BodyFormat,
    /// Headers sent with every delivery.
    pub custom_headers: BTreeMap<String, String>,
    /// What messages are published on; null where the URL is an endpoint's.
    #[serde(default)]
    pub topic: Option<String>,
    /// Whether it signs in to its broker. How is never shown.
    #[serde(default)]
    pub credentials_set: bool,
    /// How CloudEvents are laid into a broker's messages.
    #[serde(default)]
    pub cloudevents_mode: Option<CloudEventsMode>,
    /// Which payloads it wants.
    #[schema(value_type = Option<Object>)]
    pub filter: Option<Value>,
    /// In which order deliveries are made.
    pub ordering: Ordering,
    /// How long one delivery may hold up those behind it.
    pub ordering_max_wait: Span,
    /// How long an attempt may take.
    pub timeout: Span,
    /// The waits between attempts.
    pub retry_schedule: Vec<Span>,
    /// Requests that may be under way at once.
    pub max_in_flight: u32,
    /// The pace, if there is a limit.
    pub rate_limit: Option<String>,
    /// What may not be as it was meant: patterns of `events` that no event type of the gateway fits, only
    /// custom names.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

impl std::fmt::Debug for Webhook {
    /// Its headers may be secrets, and its URL may have one in its query.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Webhook")
            .field("id", &self.id)
            .field("name", &self.name)
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

/// The secrets that sign a webhook's deliveries.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WebhookSecrets {
    /// The current one.
    pub signing_secret: String,
    /// Those that were rotated away and still sign beside it.
    pub previous: Vec<PreviousSecret>,
}

/// A secret that was rotated away.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PreviousSecret {
    /// The secret.
    pub signing_secret: String,
    /// Until when it signs.
    pub expires_at: Timestamp,
}

impl std::fmt::Debug for WebhookSecrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WebhookSecrets").field("previous", &self.previous.len()).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for PreviousSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PreviousSecret").field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}

/// How long a webhook is paused: the body of `POST /webhooks/{id}/pause`, which may be left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PauseInput {
    /// Until it is resumed by itself, `1s` to `366d`; until somebody resumes it if none is given.
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    #[schema(example = "2h")]
    pub how_long: Option<Span>,
}

/// What came of a test event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WebhookTest {
    /// Whether the endpoint answered 2xx in time.
    pub ok: bool,
    /// What it answered, if it did.
    pub status_code: Option<u16>,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
    /// What went wrong; left out if nothing did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<super::delivery::DeliveryError>,
}

/// What is changed of a webhook: the body of `PATCH`. The fields of [`WebhookInput`], none required.
#[derive(Debug)]
pub struct WebhookPatch;

super::text::all_optional!(WebhookPatch, WebhookInput, without []);
