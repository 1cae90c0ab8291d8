//! What went over a station's wire.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::clock::Timestamp;
use crate::words::words;

words! {
    /// Which way a message went.
    #[schema(as = MessageDirection)]
    pub enum Direction {
        /// From the charger.
        Inbound = "inbound",
        /// To the charger.
        Outbound = "outbound",
    }
}

words! {
    /// What a message is to OCPP-J.
    #[schema(as = MessageType)]
    pub enum FrameType {
        /// A request.
        Call = "CALL",
        /// An answer.
        CallResult = "CALLRESULT",
        /// A refusal.
        CallError = "CALLERROR",
    }
}

impl FrameType {
    /// What a text begins like, whatever becomes of it.
    pub fn of(raw: &str) -> Option<Self> {
        match raw.trim_start().strip_prefix('[')?.trim_start().split([',', ' ']).next()? {
            "2" => Some(Self::Call),
            "3" => Some(Self::CallResult),
            "4" => Some(Self::CallError),
            _ => None,
        }
    }
}

/// One message between a station and the gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Message {
    /// Names it among the station's messages.
    pub id: String,
    /// When it was received or sent.
    pub at: Timestamp,
    /// Which way it went.
    pub direction: Direction,
    /// What it is; null for what is none of these.
    pub r#type: Option<FrameType>,
    /// What it asks, or answers; null where that could not be served.
    pub action: Option<String>,
    /// The id that ties an answer to its CALL; for one of ours, the command's id without `cmd_`.
    pub message_id: Option<String>,
    /// Its text: the payload as it was sent, in an envelope without blanks. The value of an
    /// `AuthorizationKey` and the password in an address are `***`. Null for what was too large or not UTF-8.
    pub raw: Option<String>,
    /// The event that tells of it; null for a CALL of ours, whose `id` is its command's.
    pub event_id: Option<String>,
}
