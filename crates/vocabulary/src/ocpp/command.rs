//! What stations are asked: the action of a CALL of ours, what it is for and what its answer means, whatever
//! the version.
//!
//! The modules of the versions do the work; this is the door to them.

use std::fmt;
use std::str::FromStr;

use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

use super::Violation;
use super::frame::empty_object;
use super::protocol::Protocol;
use super::purpose::{Configuration, Purpose};
use super::v16::{self, command as v16_command};
use crate::clock::Timestamp;

/// What a station may be asked, in one version of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CommandAction {
    /// An action of OCPP 1.6.
    V16(v16::FromCentralSystem),
}

/// A text that is not the name of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a command of {}", .0.title())]
pub struct UnknownCommand(Protocol);

impl FromStr for CommandAction {
    type Err = UnknownCommand;

    /// Reads a name without a version, as the rows of commands have it.
    fn from_str(name: &str) -> Result<Self, UnknownCommand> {
        Self::named(Protocol::default(), name)
    }
}

impl fmt::Display for CommandAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl CommandAction {
    /// Every action of `protocol`, in the order of its reference.
    pub fn all(protocol: Protocol) -> impl Iterator<Item = Self> {
        match protocol {
            Protocol::V16 => v16::FromCentralSystem::ALL.iter().copied().map(Self::V16),
        }
    }

    /// The action of this name.
    ///
    /// # Errors
    /// `protocol` has none.
    pub fn named(protocol: Protocol, name: &str) -> Result<Self, UnknownCommand> {
        match protocol {
            Protocol::V16 => name.parse().map(Self::V16).map_err(|_| UnknownCommand(protocol)),
        }
    }

    /// The command that brings a station the certificates that it has asked for, as PEM.
    pub fn send_certificate(protocol: Protocol, chain: &str) -> (Self, Box<RawValue>) {
        match protocol {
            Protocol::V16 => {
                let payload = to_raw_value(&serde_json::json!({ "certificateChain": chain }));
                let action = v16::FromCentralSystem::CertificateSigned;
                (Self::V16(action), payload.unwrap_or_else(|_| empty_object()))
            }
        }
    }

    /// The action as it is spelled in a frame.
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

    /// The type of the event that tells of its end.
    pub fn event_type(self) -> &'static str {
        match self {
            Self::V16(action) => v16_command::event_type(action),
        }
    }

    /// Checks a payload by the schema and every rule of the specification that it alone can break, and writes
    /// it as it goes on the wire. `now` is for what must lie in the future.
    ///
    /// # Errors
    /// Every field that is wrong, by its dotted path in the payload.
    pub fn check(self, payload: &RawValue, now: Timestamp) -> Result<Box<RawValue>, Vec<Violation>> {
        match self {
            Self::V16(action) => v16_command::check(action, payload, now),
        }
    }

    /// What a checked command is for.
    ///
    /// # Errors
    /// The payload was never checked.
    pub fn purpose(self, payload: &RawValue) -> serde_json::Result<Purpose> {
        match self {
            Self::V16(action) => v16_command::purpose(action, payload),
        }
    }

    /// Whether somebody stands in front of the charger for it, so that it is of no use later.
    pub fn is_urgent(self) -> bool {
        match self {
            Self::V16(action) => v16_command::is_urgent(action),
        }
    }

    /// Whether a station must not be asked this before its boot was accepted.
    pub fn needs_acceptance(self) -> bool {
        match self {
            Self::V16(action) => v16_command::needs_acceptance(action),
        }
    }

    /// Whether a station that does this may boot, or say that it has booted.
    pub fn may_cause_boot(self, payload: &RawValue) -> bool {
        match self {
            Self::V16(action) => v16_command::may_cause_boot(action, payload),
        }
    }
}

/// The secrets that a command may carry.
impl CommandAction {
    /// The password that a checked command tells the station to use.
    pub fn new_password(self, payload: &RawValue) -> Option<String> {
        match self {
            Self::V16(action) => v16_command::new_password(action, payload),
        }
    }

    /// What whoever sends a checked command should know of it.
    pub fn warnings(self, payload: &RawValue) -> Vec<String> {
        match self {
            Self::V16(action) => v16_command::warnings(action, payload),
        }
    }

    /// Whether a checked command carries a secret.
    pub fn has_secret(self, payload: &RawValue) -> bool {
        match self {
            Self::V16(action) => v16_command::has_secret(action, payload),
        }
    }

    /// Whether a secret is hidden in a payload as it is shown.
    pub fn hides_secret(self, shown: &RawValue) -> bool {
        match self {
            Self::V16(action) => v16_command::hides_secret(action, shown),
        }
    }

    /// A payload as it may be shown: with [`HIDDEN`](super::HIDDEN) for its secrets.
    pub fn shown(self, payload: &RawValue) -> Box<RawValue> {
        match self {
            Self::V16(action) => v16_command::shown(action, payload),
        }
    }

    /// An answer as it may be shown.
    pub fn shown_response(self, response: &RawValue) -> Box<RawValue> {
        match self {
            Self::V16(action) => v16_command::shown_response(action, response),
        }
    }

    /// An answer that departs from its schema, without what may repeat the secret that the command carried.
    pub fn without_possible_secret(self, response: &RawValue) -> Box<RawValue> {
        match self {
            Self::V16(action) => v16_command::without_possible_secret(action, response),
        }
    }
}

/// What an answer means.
impl CommandAction {
    /// How the answer departs from its schema.
    pub fn response_violations(self, response: &Value) -> Vec<Violation> {
        match self {
            Self::V16(action) => v16_command::response_violations(action, response),
        }
    }

    /// Whether the charger does what it was asked.
    pub fn is_accepted(self, response: &Value) -> bool {
        match self {
            Self::V16(action) => v16_command::accepted(action, response),
        }
    }

    /// Whether the answer has a verdict at all.
    pub fn has_verdict(self, response: &Value) -> bool {
        match self {
            Self::V16(_) => v16_command::status(response).is_some(),
        }
    }

    /// Whether what was asked takes effect after a reboot only.
    pub fn needs_reboot(self, response: &Value) -> bool {
        match self {
            Self::V16(_) => v16_command::needs_reboot(response),
        }
    }

    /// Whether the charger has no such key in its configuration.
    pub fn knows_no_such_key(self, response: &Value) -> bool {
        match self {
            Self::V16(_) => v16_command::knows_no_such_key(response),
        }
    }

    /// Whether a charger that ended a command like this knows the action at all; `None` if that does not
    /// tell.
    pub fn is_supported(self, response: Option<&Value>, error_code: Option<&str>) -> Option<bool> {
        match self {
            Self::V16(action) => v16_command::supported(action, response, error_code),
        }
    }

    /// What the one who sent the command may have to do next, where the answer alone does not say it.
    pub fn hint(self, response: &Value) -> Option<&'static str> {
        match self {
            Self::V16(action) => v16_command::hint(action, response),
        }
    }

    /// What the answer to a [`Purpose::ReadConfiguration`] tells.
    pub fn configuration(self, response: &Value) -> Configuration {
        match self {
            Self::V16(_) => v16_command::configuration(response),
        }
    }

    /// What the answer to a [`Purpose::ReadLocalListVersion`] tells: 0 for an empty list, -1 where there can
    /// be none.
    pub fn local_list_version(self, response: &Value) -> Option<i64> {
        match self {
            Self::V16(_) => v16_command::list_version(response),
        }
    }
}
