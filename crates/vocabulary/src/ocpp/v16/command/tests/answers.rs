//! What chargers answer, and what of it is shown.

use super::*;

#[test]
fn verdicts_of_chargers() {
    for (action, response, expected) in [
        (Action::Reset, json!({"status": "Accepted"}), true),
        (Action::Reset, json!({"status": "accepted"}), true),
        (Action::Reset, json!({"status": "Rejected"}), false),
        (Action::Reset, json!({}), false),
        (Action::Reset, json!({"status": 1}), false),
        (Action::ChangeAvailability, json!({"status": "Scheduled"}), true),
        (Action::ChangeConfiguration, json!({"status": "RebootRequired"}), true),
        (Action::ChangeConfiguration, json!({"status": "NotSupported"}), false),
        (Action::UnlockConnector, json!({"status": "Unlocked"}), true),
        (Action::UnlockConnector, json!({"status": "UnlockFailed"}), false),
        (Action::SendLocalList, json!({"status": "VersionMismatch"}), false),
        (Action::GetConfiguration, json!({}), true),
        (Action::GetDiagnostics, json!({}), true),
        (Action::GetLocalListVersion, json!({"listVersion": -1}), true),
        (Action::UpdateFirmware, json!({}), true),
    ] {
        assert_eq!(accepted(action, &response), expected, "{action} {response}");
    }
    assert!(reads_as(&json!({"status": " accepted "}), "Accepted"));
}

#[test]
fn odd_answers_are_told() {
    let told = |action, response: Value| {
        let told = response_violations(action, &response).into_iter();
        told.map(|violation| format!("{} {}", violation.field.as_deref().unwrap_or("-"), violation.problem))
            .collect::<Vec<_>>()
    };
    assert_eq!(told(Action::Reset, json!({"status": "Accepted"})), [""; 0]);
    assert_eq!(told(Action::Reset, json!({"status": "accepted"})), ["status not_in_enum: \"accepted\""]);
    assert_eq!(told(Action::Reset, json!({})), ["status missing_field"]);
}

#[test]
fn only_the_key_of_a_station_is_hidden() {
    let secret = raw(r#"{"key":"authorizationKey","value":"00112233445566778899aabbccddeeff"}"#);
    assert_eq!(
        shown(Action::ChangeConfiguration, &secret).get(),
        r#"{"key":"authorizationKey","value":"***"}"#
    );
    let plain = raw(r#"{ "value":"300", "key":"HeartbeatInterval"}"#);
    assert_eq!(shown(Action::ChangeConfiguration, &plain).get(), plain.get());
    let transfer = raw(r#"{"key":"AuthorizationKey","value":"x"}"#);
    assert_eq!(shown(Action::DataTransfer, &transfer).get(), transfer.get());
    let told = raw(
        r#"{"configurationKey":[{"key":"AuthorizationKey","readonly":false,"value":"00112233"},{"key":"CpoName","readonly":false,"value":"x"}]}"#,
    );
    let hidden = shown_response(Action::GetConfiguration, &told);
    assert!(!hidden.get().contains("00112233") && hidden.get().contains(r#""value":"x""#), "{hidden}");
}
