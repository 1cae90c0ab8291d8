//! `[2|3|4, …]` ⇄ [`Frame`]: the envelope of OCPP-J, the same in every version.
//!
//! [`parse`] is tolerant (quirks Q8, Q17 to Q26). What is written is exactly right: compact, one array,
//! members in the order given.

mod read;
#[cfg(test)]
mod tests;
mod write;

use std::fmt;

use serde::Serialize;
use serde_json::value::RawValue;

pub use read::parse;
pub use write::{encode_call, encode_error, encode_result};

use super::Violation;

/// A message id with the JSON type it came with, so that an answer can echo it (quirk Q17).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct MessageId(Box<str>);

impl MessageId {
    /// The longest id the specification allows, in characters.
    pub const MAX_CHARS: usize = 36;

    /// An id that is this text.
    pub fn from_text(text: &str) -> Self {
        Self(serde_json::Value::from(text).to_string().into())
    }

    /// The id as it stands in a frame: a JSON string or number.
    pub fn as_json(&self) -> &str {
        &self.0
    }

    /// The id for people and lists: a string without its quotes, a number as it is.
    pub fn text(&self) -> String {
        serde_json::from_str::<String>(&self.0).unwrap_or_else(|_| self.0.to_string())
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The error codes of OCPP 1.6, spelled as the specification spells them, typing error included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[expect(missing_docs, reason = "the names are the specification's own")]
pub enum ErrorCode {
    NotImplemented,
    NotSupported,
    InternalError,
    ProtocolError,
    SecurityError,
    FormationViolation,
    PropertyConstraintViolation,
    OccurenceConstraintViolation,
    TypeConstraintViolation,
    GenericError,
}

/// A request: `[2, id, action, payload]`.
#[derive(Debug, Clone)]
pub struct Call {
    /// The sender's id for it.
    pub id: MessageId,
    /// The action as it was spelled.
    pub action: String,
    /// The payload's own text; `{}` where it was `null`, `[]` or missing.
    pub payload: Box<RawValue>,
}

/// An answer: `[3, id, payload]`.
#[derive(Debug, Clone)]
pub struct CallResult {
    /// The id of the CALL that is answered.
    pub id: MessageId,
    /// The payload's own text; `{}` where it was `null`, `[]` or missing.
    pub payload: Box<RawValue>,
}

/// A refusal: `[4, id, code, description, details]`.
#[derive(Debug, Clone)]
pub struct CallError {
    /// The id of the CALL that is refused.
    pub id: MessageId,
    /// The code as it was spelled; any text is taken, and of what is no text its JSON.
    pub code: String,
    /// The words that came with it, possibly none; of what is no text its JSON.
    pub description: String,
    /// The details, `{}` where they were `null`, `[]` or missing; kept as they are if they are no object.
    pub details: Box<RawValue>,
}

/// Why a frame cannot be served at all. The spelling is that of `MessageRejected`'s `reason`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unserveable {
    /// Not JSON, or JSON that ends too early.
    MalformedJson,
    /// JSON, but not an array.
    NotAnArray,
    /// The first element is none of 2, 3 and 4; to be ignored.
    UnknownMessageType,
    /// No id that an answer could echo.
    UnreadableId,
    /// No action, or one that is not a text.
    UnreadableAction,
    /// A payload that is not an object.
    PayloadNotAnObject,
    /// JSON that nests deeper than [`super::nesting::MAX`].
    TooDeep,
    /// An action nobody knows (quirk Q24).
    UnknownAction,
    /// An answer to a CALL that is not, or no longer, open (quirk Q27).
    UnknownCall,
    /// A message the strict mode refuses.
    SchemaViolation,
    /// A binary frame that is not UTF-8 JSON.
    Binary,
    /// A text frame that is not UTF-8.
    NotUtf8,
    /// A message over the size limit.
    TooLarge,
}

impl Unserveable {
    /// The reason as it is spelled in `MessageRejected`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MalformedJson => "malformed_json",
            Self::NotAnArray => "not_an_array",
            Self::UnknownMessageType => "unknown_message_type",
            Self::UnreadableId => "unreadable_id",
            Self::UnreadableAction => "unreadable_action",
            Self::PayloadNotAnObject => "payload_not_an_object",
            Self::TooDeep => "too_deep",
            Self::UnknownAction => "unknown_action",
            Self::UnknownCall => "unknown_call",
            Self::SchemaViolation => "schema_violation",
            Self::Binary => "binary",
            Self::NotUtf8 => "not_utf8",
            Self::TooLarge => "too_large",
        }
    }
}

/// What a text turned out to be.
#[derive(Debug, Clone)]
pub enum Frame {
    /// The peer asks.
    Call(Call),
    /// The peer answers.
    CallResult(CallResult),
    /// The peer refuses.
    CallError(CallError),
    /// The peer's answer to `id` cannot be read: that call is over all the same (quirk Q21).
    BrokenAnswer {
        /// The id of the CALL it was meant for.
        id: MessageId,
        /// What is wrong with it.
        reason: Unserveable,
    },
    /// Nothing that can be served.
    Unserveable {
        /// What is wrong with it.
        reason: Unserveable,
        /// The id and code to refuse it with, where the sender can be told.
        answer: Option<(MessageId, ErrorCode)>,
    },
}

/// A frame and what was odd about its envelope.
#[derive(Debug, Clone)]
pub struct Parsed {
    /// What the text is.
    pub frame: Frame,
    /// Oddities that were overlooked on the way.
    pub violations: Vec<Violation>,
}

/// The payload `{}`.
pub fn empty_object() -> Box<RawValue> {
    RawValue::from_string("{}".to_owned()).unwrap_or_else(|_| unreachable!("{{}} is JSON"))
}
