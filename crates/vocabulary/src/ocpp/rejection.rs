//! A message that could not be served, on its way to being kept as a `MessageRejected`.

use serde::Serialize;

use super::Violation;
use super::frame::{ErrorCode, MessageId, Unserveable};

/// What is kept of a message that cannot be served.
#[derive(Debug, Clone, PartialEq)]
pub struct Rejection {
    /// The text as it came; `None` where it was too large or not UTF-8.
    pub raw: Option<String>,
    /// Its size in bytes.
    pub size: usize,
    /// Why.
    pub reason: Unserveable,
    /// What the sender is told, if it can be told anything.
    pub answer: Option<Refused>,
    /// What was odd beside that.
    pub violations: Vec<Violation>,
}

/// A CALLERROR, ready to be sent.
#[derive(Debug, Clone, PartialEq)]
pub struct Refused {
    /// The CALL that is refused.
    pub message_id: MessageId,
    /// The code of the specification.
    pub code: ErrorCode,
    /// Why, in words.
    pub description: String,
}

/// The payload of a `MessageRejected`.
#[derive(Serialize)]
pub struct RejectionPayload<'a> {
    raw: Option<&'a str>,
    size: usize,
    reason: Unserveable,
    answer: Option<ErrorCode>,
}

impl Rejection {
    /// As the event shows it.
    pub fn payload(&self) -> RejectionPayload<'_> {
        RejectionPayload {
            raw: self.raw.as_deref(),
            size: self.size,
            reason: self.reason,
            answer: self.answer.as_ref().map(|refused| refused.code),
        }
    }
}
