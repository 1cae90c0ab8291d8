//! What may be sent to a charger, in what form, and what its answers come to.

mod answers;
mod profiles;
mod rules;

use proptest::prelude::*;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::*;
use crate::ocpp::schema::Part;
use crate::ocpp::v16::FromCentralSystem as Action;
use crate::ocpp::v16::schemas::SCHEMAS;

const NOW: &str = "2026-04-14T12:34:56.789Z";

fn now() -> Timestamp {
    NOW.parse().expect("RFC 3339")
}

fn raw(json: &str) -> Box<RawValue> {
    RawValue::from_string(json.to_owned()).expect("JSON")
}

#[track_caller]
fn sent(action: Action, payload: &str) -> String {
    match check(action, &raw(payload), now()) {
        Ok(canonical) => canonical.get().to_owned(),
        Err(wrong) => panic!("{action} {payload} is refused: {wrong:?}"),
    }
}

/// `field problem`, sorted.
#[track_caller]
fn told(action: Action, payload: &str) -> Vec<String> {
    let wrong = check(action, &raw(payload), now()).expect_err("something is wrong");
    let told = wrong
        .into_iter()
        .map(|violation| format!("{} {}", violation.field.as_deref().unwrap_or("-"), violation.problem));
    let mut told: Vec<_> = told.collect();
    told.sort();
    told
}

/// Exactly these fields are wrong; of each the beginning of its sentence.
#[track_caller]
fn refused(action: Action, payload: &str, expected: &[&str]) {
    let told = told(action, payload);
    let fits = told.len() == expected.len()
        && told.iter().zip(expected).all(|(told, expected)| told.starts_with(expected));
    assert!(fits, "{action} {payload}\n  told     {told:#?}\n  expected {expected:#?}");
}

const PEM: &str = r"-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";

/// A good payload of each action, already in its canonical form.
fn good() -> Vec<(Action, String)> {
    let list: &[(Action, &str)] = &[
        (Action::CancelReservation, r#"{"reservationId":7}"#),
        (Action::ChangeAvailability, r#"{"connectorId":0,"type":"Inoperative"}"#),
        (Action::ChangeConfiguration, r#"{"key":"HeartbeatInterval","value":"300"}"#),
        (Action::ClearCache, "{}"),
        (Action::ClearChargingProfile, r#"{"id":4}"#),
        (Action::DataTransfer, r#"{"vendorId":"org.example","messageId":"x","data":"{\"a\":1}"}"#),
        (Action::GetCompositeSchedule, r#"{"connectorId":1,"duration":300,"chargingRateUnit":"A"}"#),
        (Action::GetConfiguration, r#"{"key":["HeartbeatInterval","Vendor.Key"]}"#),
        (
            Action::GetDiagnostics,
            r#"{"location":"ftp://u:p@files.example.com/d/","retries":2,"retryInterval":60,"startTime":"2026-04-01T00:00:00Z","stopTime":"2026-04-02T00:00:00Z"}"#,
        ),
        (Action::GetLocalListVersion, "{}"),
        (
            Action::RemoteStartTransaction,
            r#"{"idTag":"TAG1","connectorId":1,"chargingProfile":{"chargingProfileId":1,"stackLevel":0,"chargingProfilePurpose":"TxProfile","chargingProfileKind":"Relative","chargingSchedule":{"chargingRateUnit":"W","chargingSchedulePeriod":[{"startPeriod":0,"limit":11000,"numberPhases":3}]}}}"#,
        ),
        (Action::RemoteStopTransaction, r#"{"transactionId":123456789}"#),
        (
            Action::ReserveNow,
            r#"{"connectorId":0,"expiryDate":"2026-04-14T13:00:00Z","idTag":"TAG1","reservationId":7,"parentIdTag":"GROUP"}"#,
        ),
        (Action::Reset, r#"{"type":"Soft"}"#),
        (
            Action::SendLocalList,
            r#"{"listVersion":3,"updateType":"Differential","localAuthorizationList":[{"idTag":"GONE"},{"idTag":"TAG1","idTagInfo":{"status":"Accepted","expiryDate":"2027-01-01T00:00:00Z","parentIdTag":"GROUP"}}]}"#,
        ),
        (
            Action::SetChargingProfile,
            r#"{"connectorId":0,"csChargingProfiles":{"chargingProfileId":2,"stackLevel":1,"chargingProfilePurpose":"TxDefaultProfile","chargingProfileKind":"Recurring","recurrencyKind":"Daily","validFrom":"2026-04-14T00:00:00Z","validTo":"2026-05-14T00:00:00Z","chargingSchedule":{"duration":86400,"startSchedule":"2026-04-14T00:00:00Z","chargingRateUnit":"A","chargingSchedulePeriod":[{"startPeriod":0,"limit":16},{"startPeriod":28800,"limit":6.5}],"minChargingRate":0.1}}}"#,
        ),
        (Action::TriggerMessage, r#"{"requestedMessage":"StatusNotification","connectorId":1}"#),
        (Action::UnlockConnector, r#"{"connectorId":2}"#),
        (
            Action::UpdateFirmware,
            r#"{"location":"https://files.example.com/fw.bin","retries":3,"retrieveDate":"2026-04-14T12:34:56.789Z"}"#,
        ),
        (Action::CertificateSigned, r#"{"certificateChain":"PEMPEM"}"#),
        (
            Action::DeleteCertificate,
            r#"{"certificateHashData":{"hashAlgorithm":"SHA256","issuerNameHash":"ab","issuerKeyHash":"cd","serialNumber":"01"}}"#,
        ),
        (Action::ExtendedTriggerMessage, r#"{"requestedMessage":"SignChargePointCertificate"}"#),
        (Action::GetInstalledCertificateIds, r#"{"certificateType":"CentralSystemRootCertificate"}"#),
        (
            Action::GetLog,
            r#"{"log":{"remoteLocation":"sftp://files.example.com/","oldestTimestamp":"2026-04-01T00:00:00Z"},"logType":"SecurityLog","requestId":1}"#,
        ),
        (
            Action::InstallCertificate,
            r#"{"certificateType":"ManufacturerRootCertificate","certificate":"PEM"}"#,
        ),
        (
            Action::SignedUpdateFirmware,
            r#"{"requestId":1,"firmware":{"location":"https://files.example.com/fw.bin","retrieveDateTime":"2026-04-14T13:00:00Z","installDateTime":"2026-04-14T14:00:00Z","signingCertificate":"PEM","signature":"c2lnbmVk"}}"#,
        ),
    ];
    list.iter().map(|(action, payload)| (*action, payload.replace("PEM", PEM))).collect()
}

#[test]
fn a_good_example_of_each_action_is_sent_as_it_is() {
    let good = good();
    let actions: Vec<_> = good.iter().map(|(action, _)| *action).collect();
    assert_eq!(actions, Action::ALL);
    for (action, payload) in good {
        assert_eq!(sent(action, &payload), payload, "{action}");
    }
}

#[test]
fn the_wire_gets_the_plainest_form_in_the_order_given() {
    assert_eq!(
        sent(Action::ChangeAvailability, " { \"type\" : \"Operative\",\n\"connectorId\":1.0e0 } "),
        r#"{"type":"Operative","connectorId":1}"#
    );
    assert_eq!(sent(Action::RemoteStopTransaction, r#"{"transactionId":5.0}"#), r#"{"transactionId":5}"#);
    assert_eq!(sent(Action::GetConfiguration, r#"{ "key" : [ ] }"#), r#"{"key":[]}"#);
    assert_eq!(
        sent(Action::DataTransfer, r#"{"vendorId":"\u00e9","data":"\u0041\n"}"#),
        r#"{"vendorId":"é","data":"A\n"}"#
    );
    for (given, written) in [
        ("2026-04-14T15:00:00+02:00", "2026-04-14T13:00:00Z"),
        ("2026-04-14T13:00:00+00:00", "2026-04-14T13:00:00Z"),
        ("2026-04-14T13:00:00.123456Z", "2026-04-14T13:00:00.123Z"),
        ("2026-04-14t13:00:00z", "2026-04-14T13:00:00Z"),
        ("2026-04-14T13:00:00.5Z", "2026-04-14T13:00:00.5Z"),
    ] {
        let payload =
            |time| format!(r#"{{"connectorId":1,"expiryDate":"{time}","idTag":"T","reservationId":1}}"#);
        assert_eq!(sent(Action::ReserveNow, &payload(given)), payload(written));
    }
}

#[test]
fn every_wrong_field_is_told_at_once() {
    refused(
        Action::ReserveNow,
        r#"{"connectorId":-1,"expiryDate":"tomorrow","idTag":null,"reservationId":2147483648,"parentIdTag":"123456789012345678901","color":"red"}"#,
        &[
            "color is not a field of ReserveNow",
            "connectorId must be at least 0",
            "expiryDate must be a time with its zone",
            "idTag must not be null: leave out what has no value",
            "parentIdTag must have at most 20 characters",
            "reservationId must be within the 32 bits of a charger",
        ],
    );
}

#[test]
fn the_shape_is_that_of_the_schema() {
    for payload in ["null", "[]", r#""x""#, "1"] {
        refused(Action::Reset, payload, &["- must be an object"]);
    }
    refused(Action::Reset, "{}", &["type is required"]);
    refused(Action::Reset, r#"{"type":"soft"}"#, &["type must be one of Hard, Soft"]);
    refused(Action::Reset, r#"{"type":7}"#, &["type must be a text"]);
    refused(Action::Reset, r#"{"type":"Soft","type":"Hard"}"#, &["type is given twice"]);
    refused(Action::ClearCache, r#"{"a":1}"#, &["a is not a field of ClearCache"]);
    refused(Action::GetConfiguration, r#"{"key":null}"#, &["key must not be null"]);
    refused(Action::GetConfiguration, r#"{"key":"HeartbeatInterval"}"#, &["key must be a list"]);
    refused(
        Action::RemoteStopTransaction,
        r#"{"transactionId":"5"}"#,
        &["transactionId must be a whole number"],
    );
    refused(
        Action::RemoteStopTransaction,
        r#"{"transactionId":5.5}"#,
        &["transactionId must be a whole number"],
    );
    refused(Action::DataTransfer, r#"{"vendorId":"a","data":{"b":1}}"#, &["data must be a text"]);
    refused(Action::DataTransfer, r#"{"vendorId":"a\ud83d"}"#, &["vendorId cannot be read: "]);
    let deep = format!(r#"{{"vendorId":{}{}}}"#, "[".repeat(200), "]".repeat(200));
    assert!(told(Action::DataTransfer, &deep)[0].contains("nests too deeply"));
}

#[test]
fn numbers_fit_a_charger() {
    for number in ["2147483648", "-2147483649", "1e30", "99999999999999999999"] {
        let payload = format!(r#"{{"transactionId":{number}}}"#);
        refused(Action::RemoteStopTransaction, &payload, &["transactionId must be within the 32 bits"]);
    }
    for number in ["2147483647", "-2147483648", "-1", "0"] {
        let payload = format!(r#"{{"transactionId":{number}}}"#);
        assert_eq!(sent(Action::RemoteStopTransaction, &payload), payload);
    }
    refused(
        Action::ChangeAvailability,
        r#"{"connectorId":-1,"type":"Operative"}"#,
        &["connectorId must be at least 0"],
    );
    refused(
        Action::GetCompositeSchedule,
        r#"{"connectorId":0,"duration":0}"#,
        &["duration must be at least 1"],
    );
    refused(
        Action::UpdateFirmware,
        r#"{"location":"ftp://a/b","retrieveDate":"2026-04-14T00:00:00Z","retries":-1,"retryInterval":-5}"#,
        &["retries must be at least 0", "retryInterval must be at least 0"],
    );
    refused(
        Action::ReserveNow,
        r#"{"connectorId":1,"expiryDate":"2026-04-14T13:00:00Z","idTag":"T","reservationId":-1}"#,
        &["reservationId must be at least 0"],
    );
}

#[test]
fn texts_say_something() {
    refused(Action::RemoteStartTransaction, r#"{"idTag":""}"#, &["idTag must not be empty"]);
    refused(
        Action::RemoteStartTransaction,
        r#"{"idTag":"A\u0000"}"#,
        &["idTag must have no control characters"],
    );
    refused(Action::DataTransfer, r#"{"vendorId":""}"#, &["vendorId must not be empty"]);
    refused(Action::ChangeConfiguration, r#"{"key":"","value":"1"}"#, &["key must not be empty"]);
    let empty = r#"{"key":"CpoName","value":""}"#;
    assert_eq!(sent(Action::ChangeConfiguration, empty), empty, "a value may be cleared");
}

/// Paths of all values of a payload, as JSON pointers.
fn pointers(value: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    match value {
        Value::Object(members) => {
            members.iter().for_each(|(name, member)| pointers(member, &format!("{at}/{name}"), found));
        }
        Value::Array(elements) => {
            let elements = elements.iter().enumerate();
            elements.for_each(|(index, element)| pointers(element, &format!("{at}/{index}"), found));
        }
        _ => {}
    }
}

fn odd_value() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "null",
            "true",
            "[]",
            "{}",
            "[{}]",
            "0",
            "-1",
            "5.0",
            "1e1",
            "0.25",
            "1e999",
            "2147483648",
            "\"\"",
            "\"x\"",
            "\"2026-04-14T12:34:57+02:00\"",
            "\"2026-02-30T00:00:00Z\"",
            "\"2026-04-14T23:59:60Z\"",
            "\"a://b\"",
            "\"\\ud83d\"",
        ])
        .prop_map(str::to_owned),
        any::<i64>().prop_map(|number| number.to_string()),
        ".{0,60}".prop_map(|text| Value::from(text).to_string()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Whatever one value is changed to: what is refused is told where, and what is sent is by the schema,
    /// stays as it is when it is checked again, and has nothing in it that chargers fall over.
    #[test]
    fn what_is_sent_is_legal_and_final(
        which in 0..Action::ALL.len(), at in any::<prop::sample::Index>(), odd in odd_value(),
    ) {
        let (action, payload) = good().swap_remove(which);
        let mut value: Value = serde_json::from_str(&payload).expect("JSON");
        let mut found = Vec::new();
        pointers(&value, "", &mut found);
        // Put in as text, so that it may be what no value can be.
        *value.pointer_mut(at.get::<String>(&found)).expect("it was found") = json!("ODD");
        let changed = value.to_string().replacen("\"ODD\"", &odd, 1);
        match check(action, &raw(&changed), now()) {
            Ok(sent) => {
                let value: Value = serde_json::from_str(sent.get()).expect("JSON");
                prop_assert_eq!(SCHEMAS.violations(Part::Request, action.as_str(), &value), []);
                prop_assert!(!sent.get().contains("null") || changed.contains("null"));
                let again = check(action, &sent, now()).expect("it was sent");
                prop_assert_eq!(again.get(), sent.get());
            }
            Err(wrong) => prop_assert!(!wrong.is_empty()),
        }
    }
}
