//! A CALL of ours on its way, and how it can end.

use std::fmt;
use std::time::Duration;

use serde_json::value::RawValue;

use super::Violation;
use super::command::CommandAction;
use super::frame::{CallError, MessageId};
use super::rejection::Rejection;
use crate::id::CommandId;

/// A command that is on record as sent, and is to be sent now.
#[derive(Clone)]
pub struct Outgoing {
    /// Which command.
    pub id: CommandId,
    /// What is asked.
    pub action: CommandAction,
    /// The payload, checked and compact; it may hold a secret.
    pub payload: Box<RawValue>,
    /// How long the answer is waited for, from the sending.
    pub timeout: Duration,
}

impl fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outgoing").field("id", &self.id).field("action", &self.action).finish_non_exhaustive()
    }
}

/// The message id a command is sent under: its own, without the prefix. No other CALL of the
/// installation has it, so that a late answer finds its command on any socket.
pub fn message_id(command: CommandId) -> MessageId {
    let text = command.to_string();
    MessageId::from_text(text.trim_start_matches(PREFIX))
}

/// The command that was sent under this message id, if it can be one.
pub fn command_of(message_id: &MessageId) -> Option<CommandId> {
    format!("{PREFIX}{}", message_id.text()).parse().ok()
}

const PREFIX: &str = "cmd_";

/// How a CALL of ours came to its end while its connection lasted.
#[derive(Debug, Clone)]
pub enum CallEnd {
    /// A CALLRESULT with this payload.
    Answered(Box<RawValue>),
    /// A CALLERROR.
    Refused(CallError),
    /// An answer of which nothing but its id can be read (quirk Q21).
    Malformed {
        /// The text as it came.
        raw: String,
    },
    /// No answer in time.
    TimedOut,
}

/// An answer to a CALL that is not open (any more): late, or to nobody (quirk Q27).
#[derive(Debug, Clone)]
pub struct Unexpected {
    /// The CALL it names.
    pub message_id: MessageId,
    /// What it says.
    pub answer: CallEnd,
    /// As which it is kept if no command of ours was waiting for it.
    pub rejection: Rejection,
}

/// A CALL of ours that has ended.
#[derive(Debug, Clone)]
pub struct EndedCall {
    /// Which command.
    pub id: CommandId,
    /// How.
    pub end: CallEnd,
    /// What was odd about the answer's envelope.
    pub violations: Vec<Violation>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::id::IdMint;

    #[test]
    fn a_command_and_its_message_id_lead_to_each_other() {
        let id = CommandId::from_value(IdMint::default().next(Timestamp::from_unix_ms(1_776_170_096_789)));
        let message_id = message_id(id);
        assert!(message_id.text().len() <= MessageId::MAX_CHARS);
        assert_eq!(command_of(&message_id), Some(id));
        assert_eq!(command_of(&MessageId::from_text("17")), None);
    }
}
