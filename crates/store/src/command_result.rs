//! A command as what follows from it sees it: sent, or at its end.

use serde_json::Value;
use serde_json::value::RawValue;

use crate::error::{Result, StoreError};
use vocabulary::api::command::CommandError;
use vocabulary::id::{CommandId, StationId};
use vocabulary::ocpp::command::CommandAction;
use vocabulary::ocpp::purpose::Purpose;

/// The code of an answer that cannot be read.
pub(crate) const MALFORMED: &str = "MalformedResponse";

/// A command whose frame leaves after this commit.
pub(crate) struct SentCommand<'a> {
    pub(crate) id: CommandId,
    pub(crate) station: &'a StationId,
    pub(crate) action: CommandAction,
    pub(crate) payload: &'a RawValue,
}

/// A command that has come to its end, or has been answered after it.
pub(crate) struct EndedCommand<'a> {
    pub(crate) id: CommandId,
    pub(crate) station: &'a StationId,
    pub(crate) action: CommandAction,
    /// As it may be shown.
    pub(crate) payload: &'a RawValue,
    /// The payload of the CALLRESULT, in time or late.
    pub(crate) response: Option<&'a RawValue>,
    /// Whether the charger does what was asked; `None` without an answer.
    pub(crate) accepted: Option<bool>,
    /// Why it failed, where there is no CALLRESULT.
    pub(crate) error: Option<&'a CommandError>,
    /// Its frame left: the charger may have done it even without an answer.
    pub(crate) was_sent: bool,
    /// The answer came after the end: what was assumed then can be put right.
    pub(crate) late: bool,
    /// The transaction that a remote start began before it was answered.
    pub(crate) transaction_id: Option<i64>,
}

/// What is known of what a charger has made of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CommandVerdict {
    /// It does what was asked.
    Accepted,
    /// It does not: it said so, or knows no such message.
    Refused,
    /// It was asked, and nobody knows.
    Unknown,
    /// It was never asked.
    NeverSent,
}

impl SentCommand<'_> {
    /// What it is for.
    pub(crate) fn purpose(&self) -> Result<Purpose> {
        purpose(self.id, self.action, self.payload)
    }
}

/// What a command is for; its payload was checked before it was stored.
pub(crate) fn purpose(id: CommandId, action: CommandAction, payload: &RawValue) -> Result<Purpose> {
    action.purpose(payload).map_err(|error| StoreError::Corrupt(format!("the payload of {id}: {error}")))
}

impl EndedCommand<'_> {
    pub(crate) fn verdict(&self) -> CommandVerdict {
        match (self.response, self.error) {
            (Some(_), _) if self.accepted == Some(true) => CommandVerdict::Accepted,
            // An answer without the verdict it should have says nothing.
            (Some(_), _) if self.answers(CommandAction::has_verdict) => CommandVerdict::Refused,
            (Some(_), _) => CommandVerdict::Unknown,
            (None, Some(error)) if error.code == MALFORMED => CommandVerdict::Unknown,
            (None, Some(_)) => CommandVerdict::Refused,
            (None, None) if self.was_sent => CommandVerdict::Unknown,
            (None, None) => CommandVerdict::NeverSent,
        }
    }

    /// What it is for.
    pub(crate) fn purpose(&self) -> Result<Purpose> {
        purpose(self.id, self.action, self.payload)
    }

    /// Whether the charger has answered so.
    pub(crate) fn answers(&self, so: fn(CommandAction, &Value) -> bool) -> bool {
        self.response_value().is_some_and(|response| so(self.action, &response))
    }

    /// The answer, if it can be read.
    pub(crate) fn response_value(&self) -> Option<Value> {
        serde_json::from_str(self.response?.get()).ok()
    }
}
