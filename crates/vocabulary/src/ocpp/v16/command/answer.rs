//! What a charger's answer to a command means.

use serde_json::Value;

use crate::ocpp::Violation;
use crate::ocpp::schema::Part;
use crate::ocpp::v16::FromCentralSystem;
use crate::ocpp::v16::schemas::SCHEMAS;

/// The verdicts that let a command be done, now or later.
const GOOD: [&str; 4] = ["Accepted", "Scheduled", "RebootRequired", "Unlocked"];

/// Whether the charger does what it was asked: `Accepted`, `Scheduled`, `RebootRequired` or `Unlocked`, in
/// any letter case (quirk Q28), or an answer of a kind that has no status, such as that to
/// `GetConfiguration`.
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

/// Whether what was asked takes effect after a reboot only.
pub fn needs_reboot(response: &Value) -> bool {
    reads_as(response, "RebootRequired")
}

/// Whether the charger has no such key in its configuration.
pub fn knows_no_such_key(response: &Value) -> bool {
    reads_as(response, "NotSupported")
}

/// How the answer departs from the schema of its action, in the words of an event's violations.
pub fn response_violations(action: FromCentralSystem, response: &Value) -> Vec<Violation> {
    SCHEMAS.violations(Part::Response, action.as_str(), response)
}

/// Whether a charger that ended a command like this knows the action at all; `None` if that does not tell.
///
/// A CALLERROR `NotImplemented` or `NotSupported` says no, and so does that verdict on a local list or a
/// charging profile. Of other actions it speaks of the key, the connector or the message that was asked for.
pub fn supported(
    action: FromCentralSystem,
    response: Option<&Value>,
    error_code: Option<&str>,
) -> Option<bool> {
    use FromCentralSystem::{SendLocalList, SetChargingProfile};
    let unknown = ["NotImplemented", "NotSupported"];
    match (response, error_code) {
        (Some(response), _) => {
            let refused = matches!(action, SendLocalList | SetChargingProfile)
                && unknown.iter().any(|word| reads_as(response, word));
            Some(!refused)
        }
        (None, Some(code)) => unknown.iter().any(|word| code.eq_ignore_ascii_case(word)).then_some(false),
        (None, None) => None,
    }
}

/// The version that a `GetLocalListVersion` is answered with: 0 for an empty list, -1 where there can be
/// none.
pub fn list_version(response: &Value) -> Option<i64> {
    let version = response.get("listVersion")?;
    super::values::integer(version).or_else(|| version.as_str()?.trim().parse().ok())
}

/// What the one who sent the command may have to do next, where the answer alone does not say it.
pub fn hint(action: FromCentralSystem, response: &Value) -> Option<&'static str> {
    use FromCentralSystem::{ChangeConfiguration, GetDiagnostics, SendLocalList};
    match action {
        // OCPP 1.6 §5.15
        SendLocalList if reads_as(response, "VersionMismatch") || reads_as(response, "Failed") => {
            Some("full_list_needed: send a SendLocalList with updateType Full; nothing is sent by itself")
        }
        ChangeConfiguration if needs_reboot(response) => {
            Some("reboot_required: the value takes effect after a Reset")
        }
        GetDiagnostics if response.get("fileName").is_none_or(|name| name.as_str() == Some("")) => {
            Some("nothing_to_upload: the answer names no file")
        }
        _ => None,
    }
}

fn has_status(action: FromCentralSystem) -> bool {
    use FromCentralSystem::{GetConfiguration, GetDiagnostics, GetLocalListVersion, UpdateFirmware};
    !matches!(action, GetConfiguration | GetDiagnostics | GetLocalListVersion | UpdateFirmware)
}
