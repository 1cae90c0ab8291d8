//! The envelope: whatever comes is told apart without a panic, and nothing of a payload is lost.

use proptest::prelude::*;
use serde_json::Value;
use serde_json::value::RawValue;
use vocabulary::clock::Timestamp;
use vocabulary::ocpp::Validation;
use vocabulary::ocpp::frame::{self, Frame, MessageId};
use vocabulary::ocpp::nesting;
use vocabulary::ocpp::reading::Reading;
use vocabulary::ocpp::v16::FromChargePoint;
use vocabulary::ocpp::v16::read::{read, recognise};

use super::cases;
use super::odd::{any_bytes, any_json, id_of_readable_call};

const NOW: Timestamp = Timestamp::from_unix_ms(1_776_170_096_789);

/// Reads a payload in every mode; the lenient ones must serve it.
fn read_in_every_mode(action: FromChargePoint, payload: &RawValue) {
    for validation in [Validation::Lenient, Validation::Off, Validation::Strict] {
        let outcome = read(
            action,
            payload,
            &Reading { validation, received_at: NOW, zone: "Atlantic/Azores".parse().ok() },
        );
        assert!(outcome.is_ok() || validation == Validation::Strict, "{action} refused {payload}");
    }
}

proptest! {
    #![proptest_config(cases(500))]

    #[test]
    fn any_bytes_are_told_apart(bytes in any_bytes()) {
        let text = String::from_utf8_lossy(&bytes);
        let parsed = frame::parse(&text);
        if let Some(id) = id_of_readable_call(&text) {
            let told = match &parsed.frame {
                Frame::Call(call) => Some(&call.id),
                Frame::Unserveable { answer: Some((id, _)), .. } => Some(id),
                _ => None,
            };
            let told: Option<Value> = told.and_then(|id| serde_json::from_str(id.as_json()).ok());
            prop_assert_eq!(told, Some(id), "{}", text);
        }
        if let Frame::Call(call) = &parsed.frame {
            prop_assert!(!nesting::is_deeper_than(call.payload.get(), nesting::MAX));
            // The payload is the charger's own text, or what stands for none at all.
            let repaired = ["control_characters", "broken_escape"];
            let repaired = parsed.violations.iter().any(|odd| repaired.contains(&odd.code()));
            prop_assert!(serde_json::from_str::<Value>(call.payload.get()).is_ok() || text.contains("$serde_json"));
            let stands_for_none = call.payload.get() == frame::empty_object().get();
            prop_assert!(repaired || stands_for_none || text.contains(call.payload.get()));
            if let Some((action, _)) = recognise(&call.action) {
                read_in_every_mode(action, &call.payload);
            }
        }
    }

    #[test]
    fn what_is_written_reads_back(id in ".{1,36}", action in ".{0,20}", json in any_json()) {
        let payload = RawValue::from_string(format!(r#"{{"x":{json}}}"#)).expect("JSON");
        // Half a surrogate pair is not what anybody writes on purpose.
        if serde_json::from_str::<Value>(&json).is_err() {
            return Ok(());
        }
        let id = MessageId::from_text(&id);
        let parsed = frame::parse(&frame::encode_call(&id, &action, &payload).expect("writes"));
        prop_assert_eq!(parsed.violations, []);
        let Frame::Call(call) = parsed.frame else { panic!("a call") };
        prop_assert_eq!((&call.id, call.action.as_str(), call.payload.get()), (&id, action.as_str(), payload.get()));
        let parsed = frame::parse(&frame::encode_result(&id, &payload).expect("writes"));
        prop_assert_eq!(parsed.violations, []);
        let Frame::CallResult(result) = parsed.frame else { panic!("a result") };
        prop_assert_eq!((&result.id, result.payload.get()), (&id, payload.get()));
        let refused = frame::encode_error(&id, frame::ErrorCode::InternalError, &action);
        let parsed = frame::parse(&refused);
        prop_assert_eq!(parsed.violations, []);
        let Frame::CallError(error) = parsed.frame else { panic!("an error") };
        prop_assert_eq!((&error.id, error.code.as_str(), error.description), (&id, "InternalError", action));
        prop_assert_eq!(MessageId::from_text(&id.text()), id);
    }
}
