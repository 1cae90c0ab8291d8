//! How a command ended: what its answer means, and what may be shown of it.

use serde_json::json;
use serde_json::value::{RawValue, to_raw_value};

use crate::command_result::MALFORMED;
use crate::commands::row::CommandRow;
use vocabulary::api::command::{CommandError, CommandStatus};
use vocabulary::ocpp::command::CommandAction;
use vocabulary::ocpp::frame::empty_object;
use vocabulary::ocpp::outgoing::CallEnd;
use vocabulary::ocpp::violations::Violations;
use vocabulary::ocpp::{HIDDEN, Violation};

/// The most that is kept of an answer that cannot be read, in characters.
const RAW_CHARS_MAX: usize = 16 << 10;

/// How a command ended.
pub(crate) struct CommandOutcome {
    pub(super) status: CommandStatus,
    pub(super) response: Option<Box<RawValue>>,
    pub(super) accepted: Option<bool>,
    pub(super) error: Option<CommandError>,
    pub(super) violations: Vec<Violation>,
}

impl CommandOutcome {
    /// Nobody has answered.
    pub(crate) fn without_answer(status: CommandStatus) -> Self {
        Self { status, response: None, accepted: None, error: None, violations: Vec::new() }
    }

    /// What a CALL came to.
    pub(super) fn of_call(action: CommandAction, end: CallEnd, mut oddities: Vec<Violation>) -> Self {
        let refused = |error| Self {
            status: CommandStatus::Error,
            accepted: Some(false),
            error: Some(error),
            ..Self::without_answer(CommandStatus::Error)
        };
        let mut ended = match end {
            CallEnd::TimedOut => Self::without_answer(CommandStatus::Timeout),
            CallEnd::Answered(response) => {
                // Numbers too long for any type, say, are still JSON: then nothing is known of the answer.
                let value = serde_json::from_str(response.get()).unwrap_or_default();
                oddities.extend(action.response_violations(&value));
                Self {
                    status: CommandStatus::Completed,
                    accepted: Some(action.is_accepted(&value)),
                    response: Some(action.shown_response(&response)),
                    error: None,
                    violations: Vec::new(),
                }
            }
            CallEnd::Refused(error) => refused(CommandError {
                code: error.code,
                description: error.description,
                details: error.details,
            }),
            CallEnd::Malformed { raw } => refused(CommandError {
                code: MALFORMED.to_owned(),
                description: "the answer cannot be read".to_owned(),
                details: raw_detail(&raw),
            }),
        };
        let mut violations = Violations::default();
        oddities.into_iter().for_each(|oddity| violations.push(oddity));
        ended.violations = violations.into_vec();
        ended
    }

    /// A charger may repeat what it was sent; the secret it was sent is not shown in that either.
    pub(super) fn without_secrets(mut self, row: &CommandRow) -> Self {
        if !row.action.hides_secret(&row.payload) {
            return self;
        }
        if let Some(response) = self.response.as_mut().filter(|_| !self.violations.is_empty()) {
            *response = row.action.without_possible_secret(response);
        }
        if let Some(error) = &mut self.error {
            error.description = HIDDEN.to_owned();
            error.details = empty_object();
        }
        self
    }
}

fn raw_detail(raw: &str) -> Box<RawValue> {
    let raw: String = raw.chars().take(RAW_CHARS_MAX).collect();
    to_raw_value(&json!({ "raw": raw })).unwrap_or_else(|_| empty_object())
}
