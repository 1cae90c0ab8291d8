//! What a charger's answer to a command means.

use serde_json::Value;

use crate::ocpp::Violation;
use crate::ocpp::schema::{self, Part};
use crate::ocpp::v16::FromCentralSystem;

/// The verdicts that let a command be done, now or later.
const GOOD: [&str; 4] = ["Accepted", "Scheduled", "RebootRequired", "Unlocked"];

/// Whether the charger does what it was asked: `Accepted`, `Scheduled`, `RebootRequired` or `Unlocked`, in any
/// letter case (quirk Q28), or an answer of a kind that has no status, such as that to `GetConfiguration`.
pub fn accepted(action: FromCentralSystem, response: &Value) -> bool {
    match status(response) {
        Some(status) => GOOD.iter().any(|good| status.eq_ignore_ascii_case(good)),
        None => !has_status(action),
    }
}

/// The answer's `status`, as the charger spelled it.
pub fn status(response: &Value) -> Option<&str> {
    response.get("status").and_then(Value::as_str).map(str::trim)
}

/// Whether the charger's verdict is `status`, in any letter case.
pub fn reads_as(response: &Value, expected: &str) -> bool {
    status(response).is_some_and(|status| status.eq_ignore_ascii_case(expected))
}

/// How the answer departs from the schema of its action, in the words of an event's violations.
pub fn response_violations(action: FromCentralSystem, response: &Value) -> Vec<Violation> {
    schema::violations(Part::Response, action.as_str(), response)
}

fn has_status(action: FromCentralSystem) -> bool {
    use FromCentralSystem::{GetConfiguration, GetDiagnostics, GetLocalListVersion, UpdateFirmware};
    !matches!(action, GetConfiguration | GetDiagnostics | GetLocalListVersion | UpdateFirmware)
}
