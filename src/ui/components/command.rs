//! A command in a few words.

use serde_json::Value;

use crate::ui::links;
use vocabulary::api::command::{Command, CommandStatus, RemoteStartOutcome};
use vocabulary::units::Span;

/// The action that starts a charge.
pub(in crate::ui) const REMOTE_START: &str = "RemoteStartTransaction";

/// What came of it: the charger's own word where there is one.
pub(in crate::ui) fn answer(command: &Command) -> String {
    match command.status {
        CommandStatus::Queued => "waits for the station".to_owned(),
        CommandStatus::Sent => "waits for the charger's answer".to_owned(),
        CommandStatus::Completed => match status(command) {
            Some(status) => outcome(command, &status),
            None => "answered".to_owned(),
        },
        CommandStatus::Error => match &command.error {
            Some(error) if error.description.is_empty() => error.code.clone(),
            Some(error) => format!("{}: {}", error.code, error.description),
            None => "refused".to_owned(),
        },
        CommandStatus::Timeout => format!("no answer within {}", in_words(command.timeout)),
        CommandStatus::ConnectionLost => "the connection ended before the answer".to_owned(),
        CommandStatus::Expired => "never sent: its turn did not come in time".to_owned(),
        CommandStatus::Canceled => "never sent: it was canceled".to_owned(),
    }
}

/// The `status` of the charger's answer.
pub(in crate::ui) fn status(command: &Command) -> Option<String> {
    let response: Value = serde_json::from_str(command.response.as_ref()?.get()).ok()?;
    response["status"].as_str().map(str::to_owned)
}

/// A remote start that was accepted has come to nothing before a session began.
fn outcome(command: &Command, status: &str) -> String {
    match command.outcome {
        Some(RemoteStartOutcome::Started) if is_tag_refused(command) => {
            format!("{status}, but the tag of its session was refused")
        }
        Some(RemoteStartOutcome::Started) => format!("{status}, and a session began"),
        Some(RemoteStartOutcome::NotStarted) => format!("{status}, but no session began"),
        None => status.to_owned(),
    }
}

/// Whether a session came of it whose tag was refused.
pub(in crate::ui) fn is_tag_refused(command: &Command) -> bool {
    command.hint.as_deref().is_some_and(|hint| hint.starts_with("tag_refused"))
}

fn in_words(span: Span) -> String {
    super::time::span(span.0)
}

/// The page that sends a command to a station; with an action, its form.
pub(in crate::ui) fn form_path(station: &str, action: Option<&str>) -> String {
    let path = format!("{}/command", links::station(station));
    match action {
        Some(action) => format!("{path}?action={}", links::encoded(action)),
        None => path,
    }
}

/// A command as the API shows one, with some fields.
#[cfg(test)]
pub(in crate::ui) fn sample(fields: &Value) -> Command {
    let mut whole = serde_json::json!({
        "id": "cmd_00000000000000000000000001", "station_id": "DEPOT_07", "action": "Reset",
        "payload": {"type": "Soft"}, "requested_by": {"id": "key_00000000000000000000000001", "name": "ops"},
        "status": "completed", "violations": [], "timeout": "30s", "queue": false,
        "created_at": "2026-04-14T10:00:00Z", "expires_at": "2026-04-14T10:01:00Z",
    });
    for (name, value) in fields.as_object().expect("an object") {
        whole[name] = value.clone();
    }
    serde_json::from_value(whole).expect("a command")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_answer_is_the_chargers_own_word() {
        for (fields, words) in [
            (json!({"response": {"status": "Rejected"}}), "Rejected"),
            (
                json!({"response": {"status": "Accepted"}, "outcome": "not_started"}),
                "Accepted, but no session began",
            ),
            (
                json!({"response": {"status": "Accepted"}, "outcome": "started", "transaction_id": 7,
                       "hint": "tag_refused: session 7 began, and its tag was answered Blocked"}),
                "Accepted, but the tag of its session was refused",
            ),
            (json!({"response": {}}), "answered"),
            (json!({"status": "timeout"}), "no answer within 30 s"),
            (
                json!({"status": "error", "error": {"code": "NotSupported", "description": "no", "details": {}}}),
                "NotSupported: no",
            ),
        ] {
            assert_eq!(answer(&sample(&fields)), words);
        }
    }
}
