//! Commands: what is asked of a station, and what came of it.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::clock::Timestamp;
use crate::id::{ApiKeyId, BulkCommandId, CommandId};
use crate::ocpp::Violation;
use crate::units::Span;
use crate::words::words;

fn yes() -> bool {
    true
}

fn thirty_seconds() -> Span {
    Span::seconds(30)
}

/// What is asked of a station: the body of `POST /stations/{id}/commands`.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CommandInput {
    /// Any message that a central system of OCPP 1.6 may send, those of the security extension included.
    #[schema(min_length = 1, max_length = 64, example = "RemoteStartTransaction")]
    pub action: String,
    /// The message's payload, sent with its members in this order.
    #[serde(default)]
    #[schema(value_type = Object, default = json!({}), example = json!({"idTag": "TAG", "connectorId": 1}))]
    pub payload: Option<Box<RawValue>>,
    /// How long the answer is waited for, from the sending; and, if other commands of the station come
    /// first and `queue` is false, how long its turn is waited for. From `100ms` to `10m`.
    #[serde(default = "thirty_seconds")]
    #[schema(default = "30s")]
    pub timeout: Span,
    /// Whether this call waits for the command's end.
    #[serde(default = "yes")]
    #[schema(default = true)]
    pub wait: bool,
    /// Whether it may wait for a station that cannot take it now: until `expires_in`.
    #[serde(default)]
    #[schema(default = false)]
    pub queue: bool,
    /// With `queue`: how long it waits to be sent, from `1s` to `30d`. By default `1h`, and `60s` for
    /// RemoteStartTransaction, RemoteStopTransaction, UnlockConnector and ReserveNow.
    #[serde(default)]
    pub expires_in: Option<Span>,
    /// Whatever an integrator wants to keep with it, at most 16 KiB; it comes back in the event.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    pub metadata: Option<Box<RawValue>>,
}

words! {
    /// How far a command has come.
    pub enum CommandStatus {
        /// It waits to be sent.
        Queued = "queued",
        /// It was sent, and its answer is waited for.
        Sent = "sent",
        /// It was answered; the charger's own verdict is in `response`.
        Completed = "completed",
        /// It was refused with a CALLERROR, or its answer cannot be read.
        Error = "error",
        /// No answer came in time.
        Timeout = "timeout",
        /// The connection ended before the answer, or before its turn.
        ConnectionLost = "connection_lost",
        /// Its turn did not come in time.
        Expired = "expired",
        /// It was called back before it was sent.
        Canceled = "canceled",
    }
}

impl CommandStatus {
    /// Whether nothing more will become of it.
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Queued | Self::Sent)
    }
}

words! {
    /// What came of a remote start that the charger accepted.
    pub enum RemoteStartOutcome {
        /// A transaction began.
        Started = "started",
        /// None had begun after 180 seconds.
        NotStarted = "not_started",
    }
}

/// The API key that something was asked with. What the gateway asks of its own accord has the name `gateway`
/// and an id that is no key's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RequestedBy {
    /// Names the key; not the key itself.
    pub id: ApiKeyId,
    /// The key's name when it asked.
    pub name: String,
}

impl RequestedBy {
    /// The gateway itself. Keys have ids that tell of the time they were made, so none has this one.
    pub fn gateway() -> Self {
        Self { id: ApiKeyId::from_value(0), name: "gateway".to_owned() }
    }
}

/// Why a station did not do what it was asked.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct CommandError {
    /// The CALLERROR's code, as the charger spelled it; `MalformedResponse` for an answer that cannot be
    /// read.
    #[schema(example = "NotSupported")]
    pub code: String,
    /// The words that came with it, possibly none.
    pub description: String,
    /// The CALLERROR's details, whatever the charger has sent for them; for an unreadable answer, `raw`: its
    /// text.
    #[schema(value_type = serde_json::Value)]
    pub details: Box<RawValue>,
}

/// A command as it is shown.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Command {
    /// Its id.
    pub id: CommandId,
    /// The station it is for.
    pub station_id: String,
    /// The customer the station belonged to when it was made.
    pub owner_id: Option<String>,
    /// What is asked.
    #[schema(example = "RemoteStartTransaction")]
    pub action: String,
    /// The payload as it is sent; the value of an `AuthorizationKey` and the password in an address are shown
    /// as `***`.
    #[schema(value_type = Object)]
    pub payload: Box<RawValue>,
    /// Who asked.
    pub requested_by: RequestedBy,
    /// The bulk command that it is part of.
    #[serde(default)]
    pub bulk_id: Option<BulkCommandId>,
    /// How far it has come.
    pub status: CommandStatus,
    /// The payload of the charger's answer.
    #[schema(value_type = Option<Object>)]
    pub response: Option<Box<RawValue>>,
    /// Whether the charger does what was asked: true for `Accepted`, `Scheduled`, `RebootRequired`,
    /// `Unlocked` and answers without a status; null without an answer.
    pub accepted: Option<bool>,
    /// Why it did not, if it said so, or if its answer cannot be read.
    pub error: Option<CommandError>,
    /// What was odd about the answer.
    pub violations: Vec<Violation>,
    /// What whoever asked for it should know: an `AuthorizationKey` that is no hex, which not every charger
    /// takes; a remote start for an id tag that is refused as things stand.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// What may have to be done next, where the verdict alone does not say it: a short code, a colon and
    /// words. `full_list_needed` after a `SendLocalList` that failed or did not fit the station's version;
    /// `reboot_required`; `nothing_to_upload` after a `GetDiagnostics`; `tag_refused` where the session that
    /// came of a remote start began with a tag that was refused.
    #[schema(
        example = "full_list_needed: send a SendLocalList with updateType Full; nothing is sent by itself"
    )]
    pub hint: Option<String>,
    /// An answer that came after the end: its payload, or `error` with code, description and details.
    #[schema(value_type = Option<Object>)]
    pub late_response: Option<Box<RawValue>>,
    /// What came of a remote start that was accepted.
    pub outcome: Option<RemoteStartOutcome>,
    /// The transaction that a remote start began.
    pub transaction_id: Option<i64>,
    /// How long its answer is waited for.
    pub timeout: Span,
    /// Whether it may wait for the station.
    pub queue: bool,
    /// What the integrator keeps with it.
    #[schema(value_type = Option<Object>)]
    pub metadata: Option<Box<RawValue>>,
    /// When it was asked.
    pub created_at: Timestamp,
    /// If it was not sent before that, it never is.
    pub expires_at: Timestamp,
    /// When it was sent.
    pub sent_at: Option<Timestamp>,
    /// When it came to its end.
    pub completed_at: Option<Timestamp>,
}
