//! What chargers send: the action of a CALL, what it says and what it is answered, whatever the version.
//!
//! The modules of the versions do the work; this is the door to them.

use std::fmt;
use std::sync::Arc;

use serde_json::value::RawValue;

use super::Violation;
use super::decision::Decision;
use super::fact::Fact;
use super::frame::MessageId;
use super::protocol::Protocol;
use super::reading::{Reading, Refusal};
use super::v16;
use crate::clock::Timestamp;

/// What a charger may ask of us, in one version of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MessageAction {
    /// An action of OCPP 1.6.
    V16(v16::FromChargePoint),
}

impl MessageAction {
    /// Every action of `protocol`, in the order of its reference.
    pub fn all(protocol: Protocol) -> impl Iterator<Item = Self> {
        match protocol {
            Protocol::V16 => v16::FromChargePoint::ALL.iter().copied().map(Self::V16),
        }
    }

    /// The action that a charger's text means, and what is odd about how it is spelled (quirk Q25).
    pub fn recognise(protocol: Protocol, text: &str) -> Option<(Self, Option<Violation>)> {
        match protocol {
            Protocol::V16 => v16::read::recognise(text).map(|(action, mapped)| (Self::V16(action), mapped)),
        }
    }

    /// The action as it is spelled in a frame, which is also its event's type.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V16(action) => action.as_str(),
        }
    }

    /// The version that it is of.
    pub fn protocol(self) -> Protocol {
        match self {
            Self::V16(_) => Protocol::V16,
        }
    }

    /// Whether the answer tells the time, so that it is no use later.
    pub fn asks_for_the_time(self) -> bool {
        use v16::FromChargePoint::{BootNotification, Heartbeat};
        match self {
            Self::V16(action) => matches!(action, Heartbeat | BootNotification),
        }
    }
}

impl fmt::Display for MessageAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a CALL asks, as its version reads it.
#[derive(Debug, Clone, PartialEq)]
pub enum Message {
    /// A request of OCPP 1.6.
    V16(v16::request::Request),
}

impl Message {
    /// What it says, in the words of every version.
    pub fn fact(&self) -> Fact<'_> {
        match self {
            Self::V16(request) => request.fact(),
        }
    }

    /// The payload of the CALLRESULT to it.
    pub fn answer(&self, decision: &Decision<'_>, now: Timestamp) -> Box<RawValue> {
        match self {
            Self::V16(request) => v16::answer::answer(request, decision, now),
        }
    }
}

/// One CALL of a charger, ready to be stored and answered.
#[derive(Debug, Clone)]
pub struct Inbound {
    /// The charger's id for it.
    pub message_id: MessageId,
    /// What it asks.
    pub action: MessageAction,
    /// The payload exactly as it came.
    pub payload: Box<RawValue>,
    /// What was read of it.
    pub message: Arc<Message>,
    /// The charger's own time for it, if it names one that can be read; of several meter values the last
    /// one's.
    pub occurred_at: Option<Timestamp>,
    /// The newest time in it as the charger's clock shows it, also one that cannot be true.
    pub clock_shows: Option<Timestamp>,
    /// What was odd, of the envelope and of the payload.
    pub violations: Vec<Violation>,
}

impl Inbound {
    /// Reads a CALL. What is odd about its envelope is for the caller to add.
    ///
    /// # Errors
    /// Only in strict mode: the payload breaks the schema of its action.
    pub fn read(
        message_id: MessageId,
        action: MessageAction,
        payload: Box<RawValue>,
        reading: &Reading,
    ) -> Result<Self, Refusal> {
        match action {
            MessageAction::V16(of) => {
                let read = v16::read::read(of, &payload, reading)?;
                Ok(Self {
                    message_id,
                    action,
                    payload,
                    message: Arc::new(Message::V16(read.request)),
                    occurred_at: read.occurred_at,
                    clock_shows: read.clock_shows,
                    violations: read.violations,
                })
            }
        }
    }
}
