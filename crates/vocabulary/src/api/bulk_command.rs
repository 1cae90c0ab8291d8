//! Bulk commands: one request that becomes a command to each of many stations, at a rate.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use utoipa::openapi::schema::{ArrayBuilder, OneOfBuilder, Schema};
use utoipa::openapi::{Ref, RefOr};
use utoipa::{PartialSchema, ToSchema};

use super::command::RequestedBy;
use crate::clock::Timestamp;
use crate::id::{BulkCommandId, CommandId, StationId};
use crate::units::Span;
use crate::words::words;

/// Stations that a request may name.
pub const NAMED_MAX: usize = 10_000;

/// The component with the members of a filter of stations: the parameters by which `GET /stations` lists.
pub const STATION_FILTER: &str = "StationFilter";

fn ten_a_second() -> String {
    "10/s".to_owned()
}

fn thirty_seconds() -> Span {
    Span::seconds(30)
}

/// Which stations are meant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum StationSelection {
    /// These, by their identities.
    Named(Vec<String>),
    /// Those that fit a filter, which has the members of the query of `GET /stations`.
    Filter(Map<String, Value>),
}

impl PartialSchema for StationSelection {
    fn schema() -> RefOr<Schema> {
        let named = ArrayBuilder::new()
            .items(StationId::schema())
            .min_items(Some(1))
            .max_items(Some(NAMED_MAX))
            .description(Some("Their identities; one that is named twice counts once"));
        let either = OneOfBuilder::new()
            .item(Ref::from_schema_name(STATION_FILTER))
            .item(named)
            .description(Some("The stations that fit a filter (`{}`: all of them), or a list of identities"));
        Schema::OneOf(either.build()).into()
    }
}

impl ToSchema for StationSelection {}

words! {
    /// What becomes of a station that cannot take the command when its turn comes: it is not connected, or
    /// its boot is not accepted.
    #[derive(Default)]
    pub enum WhenOffline {
        /// It is skipped.
        #[default]
        Skip = "skip",
        /// The command waits for it, until `expires_in`.
        Queue = "queue",
    }
}

/// What is asked of many stations: the body of `POST /bulk-commands`.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BulkCommandInput {
    /// The stations, as of now: later ones that would fit are not part of it.
    #[schema(example = json!({"site": "north", "model": "M"}))]
    pub stations: StationSelection,
    /// Any message that a central system of OCPP 1.6 may send, those of the security extension included.
    #[schema(min_length = 1, max_length = 64, example = "ChangeConfiguration")]
    pub action: String,
    /// The message's payload, the same for each station, sent with its members in this order.
    #[serde(default)]
    #[schema(value_type = Object, default = json!({}), example = json!({"key": "HeartbeatInterval", "value": "300"}))]
    pub payload: Option<Box<RawValue>>,
    /// How many commands are made a second (`10/s`) or a minute (`30/m`); a station is sent its own at once
    /// if it is connected and was sent no other one.
    #[serde(default = "ten_a_second")]
    #[schema(pattern = "^[1-9][0-9]{0,5}/[sm]$", default = "10/s", example = "10/s")]
    pub rate: String,
    /// What becomes of a station that cannot take the command when its turn comes.
    #[serde(default)]
    #[schema(default = "skip")]
    pub offline: WhenOffline,
    /// How long each answer is waited for, from the sending, from `100ms` to `10m`.
    #[serde(default = "thirty_seconds")]
    #[schema(default = "30s")]
    pub timeout: Span,
    /// With `offline: queue`: how long each command waits to be sent, from `1s` to `30d`. By default `1h`,
    /// and `60s` for RemoteStartTransaction, RemoteStopTransaction, UnlockConnector and ReserveNow.
    #[serde(default)]
    pub expires_in: Option<Span>,
    /// Whatever an integrator wants to keep with each of the commands, at most 16 KiB; it comes back in
    /// their events.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    pub metadata: Option<Box<RawValue>>,
}

words! {
    /// How far a bulk command has come.
    #[schema(as = BulkCommandStatus)]
    pub enum BulkStatus {
        /// Stations wait for their turn, or commands for their end.
        Running = "running",
        /// Every station was skipped, or its command has ended.
        Done = "done",
        /// Somebody canceled it. Commands that were sent before are still answered: `completed_at` is null
        /// until the last of them has ended.
        Canceled = "canceled",
    }
}

/// A bulk command. At its end `accepted`, `rejected`, `failed` and `skipped` are `matched` together.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct BulkCommand {
    /// Its id.
    pub id: BulkCommandId,
    /// The customer of the key that asked, if it was bound to one.
    pub owner_id: Option<String>,
    /// How far it has come.
    pub status: BulkStatus,
    /// What is asked.
    #[schema(example = "ChangeConfiguration")]
    pub action: String,
    /// The payload as it is sent; the value of an `AuthorizationKey` and the password in an address are shown
    /// as `***`.
    #[schema(value_type = Object)]
    pub payload: Box<RawValue>,
    /// What whoever asked for it should know, as with a single command.
    pub warnings: Vec<String>,
    /// The filter that chose the stations; null if they were named.
    #[schema(value_type = Option<Object>)]
    pub filter: Option<Box<RawValue>>,
    /// How many commands are made a second or a minute.
    #[schema(example = "10/s")]
    pub rate: String,
    /// What becomes of stations that cannot take the command at their turn.
    pub offline: WhenOffline,
    /// How long each answer is waited for.
    pub timeout: Span,
    /// How long each command may wait for its station; null if none does.
    pub expires_in: Option<Span>,
    /// What the integrator keeps with each of the commands.
    #[schema(value_type = Option<Object>)]
    pub metadata: Option<Box<RawValue>>,
    /// How many stations it is for.
    pub matched: u64,
    /// How many of them were sent the command so far.
    pub sent: u64,
    /// How many have answered that they do it.
    pub accepted: u64,
    /// How many have answered that they do not.
    pub rejected: u64,
    /// How many commands ended otherwise: with a CALLERROR, without an answer, or unsent because their time
    /// was over or the connection lost.
    pub failed: u64,
    /// How many stations are sent nothing: they could not take it at their turn, are gone, or it was canceled
    /// before.
    pub skipped: u64,
    /// Who asked.
    pub requested_by: RequestedBy,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When the last of it ended.
    pub completed_at: Option<Timestamp>,
}

impl BulkCommand {
    /// For how many stations nothing more will come of it.
    pub fn ended(&self) -> u64 {
        self.accepted + self.rejected + self.failed + self.skipped
    }
}

/// What a dry run found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BulkMatched {
    /// How many stations it would be for.
    pub matched: u64,
}

words! {
    /// What a bulk command has come to at one station.
    #[schema(as = BulkCommandResult)]
    pub enum BulkResult {
        /// Its turn has not come.
        Waiting = "waiting",
        /// Its command waits to be sent.
        Queued = "queued",
        /// Its command was sent, and the answer is waited for.
        Sent = "sent",
        /// It does what it was asked.
        Accepted = "accepted",
        /// It does not.
        Rejected = "rejected",
        /// Its command ended otherwise, or is older than what is kept.
        Failed = "failed",
        /// It was sent nothing.
        Skipped = "skipped",
    }
}

words! {
    /// Why a station was skipped.
    #[schema(as = BulkCommandSkipped)]
    pub enum SkipReason {
        /// It was not connected.
        NotConnected = "not_connected",
        /// It had never sent a BootNotification.
        NeverBooted = "never_booted",
        /// Its boot was answered Pending, and it may start and stop nothing.
        Pending = "pending",
        /// Its boot was answered Rejected.
        Rejected = "rejected",
        /// Too many commands waited for it already.
        Full = "full",
        /// It was deleted, or given to another customer, since it was chosen.
        Gone = "gone",
        /// The bulk command, or this command of it, was canceled before it was sent.
        Canceled = "canceled",
    }
}

/// One station of a bulk command.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct BulkStation {
    /// The station.
    pub station_id: String,
    /// What it has come to here.
    pub result: BulkResult,
    /// Why it was skipped.
    pub reason: Option<SkipReason>,
    /// Its command, if one was made.
    pub command_id: Option<CommandId>,
}
