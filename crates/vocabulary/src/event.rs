//! Events: what happened, as it is stored, listed and delivered.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::clock::Timestamp;
use crate::id::{EventId, StationId, WebhookId};
use crate::ocpp::Violation;
use crate::ocpp::authorization::IdTagReason;
use crate::ocpp::command::CommandAction;
use crate::ocpp::message::MessageAction;
use crate::ocpp::protocol::Protocol;
use crate::positions::LogPosition;
use crate::similar_name::nearest;

/// The families that event types come in; each can be subscribed to as a whole (`ocpp.*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Category {
    /// A charger's own request, exactly as sent.
    Ocpp,
    /// A command to a charger has ended.
    Command,
    /// A charger came, went, or was refused.
    Station,
    /// A charging session is complete, or was corrected.
    Transaction,
    /// A webhook is in trouble; never sent to the webhook it is about.
    Webhook,
    /// The gateway itself.
    System,
    /// What integrators bring with `POST /events`.
    Custom,
}

impl Category {
    /// Every category.
    pub const ALL: [Self; 7] = [
        Self::Ocpp,
        Self::Command,
        Self::Station,
        Self::Transaction,
        Self::Webhook,
        Self::System,
        Self::Custom,
    ];

    /// The category as it is spelled in patterns and lists.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ocpp => "ocpp",
            Self::Command => "command",
            Self::Station => "station",
            Self::Transaction => "transaction",
            Self::Webhook => "webhook",
            Self::System => "system",
            Self::Custom => "custom",
        }
    }
}

impl fmt::Display for Category {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Category {
    type Err = UnknownEventType;

    fn from_str(text: &str) -> Result<Self, UnknownEventType> {
        Self::ALL
            .into_iter()
            .find(|category| category.as_str() == text)
            .ok_or_else(|| UnknownEventType { name: text.to_owned(), nearest: None })
    }
}

/// A name that is neither an event type of ours nor a legal custom name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownEventType {
    /// The name that was asked for.
    pub name: String,
    /// The event type that is spelled most like it, if any comes near.
    pub nearest: Option<&'static str>,
}

impl std::error::Error for UnknownEventType {}

impl fmt::Display for UnknownEventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is not an event type", self.name)?;
        match self.nearest {
            Some(nearest) => write!(f, "; did you mean {nearest:?}?")?,
            None => f.write_str("; GET /api/v1/event-types lists them all")?,
        }
        f.write_str(" (custom names look like invoice.paid)")
    }
}

/// The test event's type.
pub const PING: &str = "ping";

const STATION_TYPES: &[&str] = &[
    "StationDiscovered",
    "StationConnected",
    "StationDisconnected",
    "StationRejected",
    "StationOffline",
    "StationOnline",
    "MessageRejected",
];
const TRANSACTION_TYPES: &[&str] = &["TransactionCompleted", "TransactionCorrected"];
const WEBHOOK_TYPES: &[&str] = &["WebhookFailing", "WebhookDisabled", "WebhookRecovered", "DeliveryFailed"];
const SYSTEM_TYPES: &[&str] = &["GatewayRestored", "NodeJoined", "NodeLost"];

/// Every event type with its category; custom names come on top.
pub fn types() -> impl Iterator<Item = (Category, &'static str)> {
    let named = |category, names: &'static [&'static str]| names.iter().map(move |&name| (category, name));
    let messages = Protocol::ALL.into_iter().flat_map(MessageAction::all);
    let commands = Protocol::ALL.into_iter().flat_map(CommandAction::all);
    messages
        .map(|action| (Category::Ocpp, action.as_str()))
        .chain(commands.map(|action| (Category::Command, action.event_type())))
        .chain([(Category::Command, "RemoteStartOutcome")])
        .chain(named(Category::Station, STATION_TYPES))
        .chain(named(Category::Transaction, TRANSACTION_TYPES))
        .chain(named(Category::Webhook, WEBHOOK_TYPES))
        .chain(named(Category::System, SYSTEM_TYPES))
        .chain([(Category::Custom, PING)])
}

/// The category of an exact event type or legal custom name.
///
/// # Errors
/// Names the nearest type if there is none of this name.
pub fn category_of(name: &str) -> Result<Category, UnknownEventType> {
    if let Some((category, _)) = types().find(|(_, known)| *known == name) {
        return Ok(category);
    }
    if is_custom_name(name) {
        return Ok(Category::Custom);
    }
    Err(UnknownEventType { name: name.to_owned(), nearest: nearest_type(name) })
}

/// Custom names: at least two parts of `a-z 0-9 _ -` joined by points, the first one no category.
pub fn is_custom_name(name: &str) -> bool {
    let legal = |part: &str| {
        !part.is_empty() && part.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'))
    };
    match name.split_once('.') {
        Some((first, rest)) => {
            legal(first) && rest.split('.').all(legal) && first.parse::<Category>().is_err()
        }
        None => false,
    }
}

/// The known type that was most likely meant by `name`.
pub fn nearest_type(name: &str) -> Option<&'static str> {
    nearest(name, types().map(|(_, known)| known))
}

/// Whom an event is for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Target {
    /// Whoever subscribes, within the event's owner.
    #[default]
    Subscribers,
    /// Whoever subscribes, whatever the owner (`"broadcast": true`).
    Broadcast,
    /// This webhook, whatever it subscribes to.
    Webhook(WebhookId),
    /// No webhook: a URL that came with it.
    DirectUrl,
}

impl Target {
    /// As it is stored: `broadcast`, `webhook:7` or `url`; `None` is whoever subscribes.
    pub fn to_text(self) -> Option<String> {
        match self {
            Self::Subscribers => None,
            Self::Broadcast => Some("broadcast".to_owned()),
            Self::Webhook(id) => Some(format!("webhook:{id}")),
            Self::DirectUrl => Some("url".to_owned()),
        }
    }

    /// Reads what [`Target::to_text`] writes.
    ///
    /// # Errors
    /// A text that it does not write.
    pub fn from_text(text: Option<&str>) -> Result<Self, UnknownTarget> {
        Ok(match text {
            None => Self::Subscribers,
            Some("broadcast") => Self::Broadcast,
            Some("url") => Self::DirectUrl,
            Some(text) => {
                let id = text.strip_prefix("webhook:").and_then(|id| id.parse().ok());
                Self::Webhook(id.ok_or_else(|| UnknownTarget(text.to_owned()))?)
            }
        })
    }
}

/// A text that names nobody whom an event could be for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no target of an event: broadcast, url or webhook:7")]
pub struct UnknownTarget(String);

/// An event: what happened, when, and how it was answered. Stored, listed and delivered alike.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct Event {
    /// Where it stands among all events of the installation; cursors are made of it.
    #[serde(skip)]
    pub position: LogPosition,
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
    // A `StationRejected` names whatever identity was offered.
    pub station_id: Option<String>,
    /// Counts the station's events from 1 without gaps.
    // None on duplicates, rejections and ingested events.
    pub station_seq: Option<i64>,
    /// The customer it belongs to.
    pub owner_id: Option<String>,
    /// When it arrived.
    pub timestamp: Timestamp,
    /// The charger's own time for it, if it could be read.
    pub occurred_at: Option<Timestamp>,
    /// The transaction it was attached to.
    pub transaction_id: Option<i64>,
    /// Why the id tag of an `Authorize`, `StartTransaction` or `StopTransaction` was refused; null: accepted,
    /// or there is none.
    pub id_tag_reason: Option<IdTagReason>,
    /// What the charger sent, as it sent it; or the event's own members.
    #[schema(value_type = Object)]
    pub payload: Box<RawValue>,
    /// The charger's id of the CALL.
    pub message_id: Option<String>,
    /// What the charger was answered.
    // A CALLRESULT's payload, or code, description and details of a CALLERROR.
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
    /// Headers an ingested event wants sent along; read only for its deliveries, else empty.
    #[serde(skip)]
    pub custom_headers: BTreeMap<String, String>,
    /// Whom it is for.
    #[serde(skip)]
    pub target: Target,
}

/// Messages in which somebody shows an id tag.
const TYPES_WITH_TAG: [&str; 3] = ["Authorize", "StartTransaction", "StopTransaction"];

impl Event {
    /// Whether it is a message in which somebody shows an id tag.
    pub fn shows_tag(&self) -> bool {
        self.category == Category::Ocpp && TYPES_WITH_TAG.contains(&self.event.as_str())
    }
}

impl std::fmt::Debug for Event {
    /// Headers, which may be secrets, are left out.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Event")
            .field("id", &self.id)
            .field("event", &self.event)
            .field("station_id", &self.station_id)
            .field("payload", &self.payload)
            .field("violations", &self.violations)
            .finish_non_exhaustive()
    }
}

/// An event on its way into the store, which gives it `seq`, `id`, `station_seq` and owner.
#[derive(Debug, Clone)]
pub struct NewEvent {
    /// The exact event type, or a custom name.
    pub event: String,
    /// The family it belongs to.
    pub category: Category,
    /// For what came from, or went to, a charger.
    pub protocol: Option<Protocol>,
    /// The station it is about.
    pub station_id: Option<String>,
    /// When it arrived.
    pub timestamp: Timestamp,
    /// The charger's own time for it.
    pub occurred_at: Option<Timestamp>,
    /// The transaction it was attached to.
    pub transaction_id: Option<i64>,
    /// Why its id tag was refused.
    pub id_tag_reason: Option<IdTagReason>,
    /// The payload's own bytes.
    pub payload: Box<RawValue>,
    /// The charger's id of the CALL.
    pub message_id: Option<String>,
    /// What the charger was answered.
    pub response: Option<Box<RawValue>>,
    /// What was odd about the message.
    pub violations: Vec<Violation>,
}

impl NewEvent {
    /// The event as a test call sends it that stores nothing.
    pub fn into_test(self, id: EventId) -> Event {
        Event {
            position: LogPosition::START,
            id,
            event: self.event,
            category: self.category,
            protocol: self.protocol.map(|protocol| protocol.to_string()),
            station_id: self.station_id,
            station_seq: None,
            owner_id: None,
            timestamp: self.timestamp,
            occurred_at: self.occurred_at,
            transaction_id: self.transaction_id,
            id_tag_reason: self.id_tag_reason,
            payload: self.payload,
            message_id: self.message_id,
            response: self.response,
            violations: self.violations,
            duplicate_of: None,
            idempotency_key: None,
            test: true,
            custom_headers: BTreeMap::new(),
            target: Target::default(),
        }
    }

    /// An event of `category`, with the members that all have.
    pub fn new(
        category: Category,
        event: impl Into<String>,
        timestamp: Timestamp,
        payload: Box<RawValue>,
    ) -> Self {
        Self {
            event: event.into(),
            category,
            protocol: None,
            station_id: None,
            timestamp,
            occurred_at: None,
            transaction_id: None,
            id_tag_reason: None,
            payload,
            message_id: None,
            response: None,
            violations: Vec::new(),
        }
    }

    /// The same about `station`.
    pub fn about_station(
        category: Category,
        event: impl Into<String>,
        station: &StationId,
        timestamp: Timestamp,
        payload: Box<RawValue>,
    ) -> Self {
        Self {
            station_id: Some(station.as_str().to_owned()),
            ..Self::new(category, event, timestamp, payload)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_one_category() {
        assert_eq!(category_of("StartTransaction"), Ok(Category::Ocpp));
        assert_eq!(category_of("DataTransferSent"), Ok(Category::Command));
        assert_eq!(category_of("invoice.paid"), Ok(Category::Custom));
        assert_eq!(category_of("ping"), Ok(Category::Custom));
        let mut names: Vec<_> = types().map(|(_, name)| name).collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all, "no name stands in two categories");
    }

    #[test]
    fn a_wrong_name_gets_a_hint() {
        let error = category_of("StartTransction").expect_err("a slip");
        assert_eq!(error.nearest, Some("StartTransaction"));
        assert!(error.to_string().contains("did you mean \"StartTransaction\"?"));
        let error = category_of("zzz").expect_err("nothing near");
        assert_eq!(error.nearest, None);
        assert!(error.to_string().contains("/api/v1/event-types"), "{error}");
        assert!(category_of("ocpp.thing").is_err(), "a category is no first part of a custom name");
        assert!(category_of("Invoice.paid").is_err() && category_of("invoice.").is_err());
    }
}
