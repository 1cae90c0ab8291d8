use proptest::prelude::*;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::*;
use crate::ocpp::schema::{self, Part};
use crate::ocpp::v16::FromCentralSystem as Action;

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

/// A second opinion, of a library that knows the core actions. It judges lengths and enums only where its
/// `validate` is right, so reading is what it is asked for.
#[test]
fn what_is_sent_is_read_by_another_library() {
    use rust_ocpp::v1_6::messages as m;
    fn reads<T: serde::de::DeserializeOwned>(action: Action, payload: &str) {
        if let Err(error) = serde_json::from_str::<T>(payload) {
            panic!("{action} {payload}: {error}");
        }
    }
    let mut read = 0;
    for (action, payload) in good() {
        let payload = sent(action, &payload);
        let reads: fn(Action, &str) = match action {
            Action::CancelReservation => reads::<m::cancel_reservation::CancelReservationRequest>,
            Action::ChangeAvailability => reads::<m::change_availability::ChangeAvailabilityRequest>,
            Action::ChangeConfiguration => reads::<m::change_configuration::ChangeConfigurationRequest>,
            Action::ClearCache => reads::<m::clear_cache::ClearCacheRequest>,
            Action::ClearChargingProfile => reads::<m::clear_charging_profile::ClearChargingProfileRequest>,
            Action::DataTransfer => reads::<m::data_transfer::DataTransferRequest>,
            Action::GetCompositeSchedule => reads::<m::get_composite_schedule::GetCompositeScheduleRequest>,
            Action::GetConfiguration => reads::<m::get_configuration::GetConfigurationRequest>,
            Action::GetDiagnostics => reads::<m::get_diagnostics::GetDiagnosticsRequest>,
            Action::GetLocalListVersion => reads::<m::get_local_list_version::GetLocalListVersionRequest>,
            Action::RemoteStartTransaction => {
                reads::<m::remote_start_transaction::RemoteStartTransactionRequest>
            }
            Action::RemoteStopTransaction => {
                reads::<m::remote_stop_transaction::RemoteStopTransactionRequest>
            }
            Action::ReserveNow => reads::<m::reserve_now::ReserveNowRequest>,
            Action::Reset => reads::<m::reset::ResetRequest>,
            Action::SendLocalList => reads::<m::send_local_list::SendLocalListRequest>,
            Action::SetChargingProfile => reads::<m::set_charging_profile::SetChargingProfileRequest>,
            Action::TriggerMessage => reads::<m::trigger_message::TriggerMessageRequest>,
            Action::UnlockConnector => reads::<m::unlock_connector::UnlockConnectorRequest>,
            Action::UpdateFirmware => reads::<m::update_firmware::UpdateFirmwareRequest>,
            _ => continue,
        };
        reads(action, &payload);
        read += 1;
    }
    assert_eq!(read, 19);
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

#[test]
fn a_configuration_value_is_text_and_a_key_is_asked_for_once() {
    refused(
        Action::ChangeConfiguration,
        r#"{"key":"HeartbeatInterval","value":300}"#,
        &["value must be a text"],
    );
    refused(
        Action::GetConfiguration,
        r#"{"key":["A","B","a",""]}"#,
        &["key.2 is asked for twice", "key.3 must not be empty"],
    );
}

#[test]
fn an_authorization_key_is_hex() {
    let payload = |key: &str, value: &str| format!(r#"{{"key":"{key}","value":"{value}"}}"#);
    for digits in [32, 34, 40] {
        let payload = payload("AuthorizationKey", &"aF".repeat(digits / 2));
        assert_eq!(sent(Action::ChangeConfiguration, &payload), payload);
    }
    for value in ["", "secret", &"ab".repeat(15), &"ab".repeat(21), &"a".repeat(33), &"g".repeat(32)] {
        refused(
            Action::ChangeConfiguration,
            &payload("authorizationkey", value),
            &["value must be 16 to 20 bytes in hex"],
        );
    }
}

#[test]
fn a_profile_is_cleared_by_id_or_by_criteria() {
    for payload in
        ["{}", r#"{"id":0}"#, r#"{"connectorId":0,"chargingProfilePurpose":"TxProfile","stackLevel":1}"#]
    {
        assert_eq!(sent(Action::ClearChargingProfile, payload), payload);
    }
    refused(
        Action::ClearChargingProfile,
        r#"{"id":1,"connectorId":1,"stackLevel":-1}"#,
        &[
            "connectorId must be left out with an id",
            "stackLevel must be at least 0",
            "stackLevel must be left out",
        ],
    );
}

#[test]
fn triggers_name_a_connector_only_where_there_is_one() {
    for action in [Action::TriggerMessage, Action::ExtendedTriggerMessage] {
        for message in ["StatusNotification", "MeterValues"] {
            let payload = format!(r#"{{"requestedMessage":"{message}","connectorId":1}}"#);
            assert_eq!(sent(action, &payload), payload);
        }
        for message in ["Heartbeat", "BootNotification", "FirmwareStatusNotification"] {
            let payload = format!(r#"{{"requestedMessage":"{message}","connectorId":1}}"#);
            refused(action, &payload, &["connectorId must be left out"]);
        }
    }
    refused(
        Action::ExtendedTriggerMessage,
        r#"{"requestedMessage":"SignChargePointCertificate","connectorId":1}"#,
        &["connectorId must be left out"],
    );
    refused(
        Action::TriggerMessage,
        r#"{"requestedMessage":"SignChargePointCertificate"}"#,
        &["requestedMessage must be one of BootNotification, "],
    );
}

#[test]
fn a_connector_is_unlocked_or_started_by_its_number() {
    refused(Action::UnlockConnector, r#"{"connectorId":0}"#, &["connectorId must be at least 1"]);
    refused(
        Action::RemoteStartTransaction,
        r#"{"idTag":"A","connectorId":0}"#,
        &["connectorId must be at least 1: a transaction runs on a connector"],
    );
}

#[test]
fn a_reservation_ends_in_the_future() {
    let payload = |expiry: &str| {
        format!(r#"{{"connectorId":1,"expiryDate":"{expiry}","idTag":"T","reservationId":0}}"#)
    };
    refused(Action::ReserveNow, &payload(NOW), &["expiryDate must lie in the future"]);
    assert!(check(Action::ReserveNow, &raw(&payload("2026-04-14T12:34:56.790Z")), now()).is_ok());
}

#[test]
fn local_lists_are_whole() {
    let info = r#"{"status":"Accepted"}"#;
    for payload in [
        r#"{"listVersion":1,"updateType":"Full"}"#.to_owned(),
        r#"{"listVersion":1,"updateType":"Full","localAuthorizationList":[]}"#.to_owned(),
        format!(
            r#"{{"listVersion":1,"updateType":"Full","localAuthorizationList":[{{"idTag":"A","idTagInfo":{info}}}]}}"#
        ),
        r#"{"listVersion":2,"updateType":"Differential","localAuthorizationList":[{"idTag":"A"}]}"#
            .to_owned(),
    ] {
        assert_eq!(sent(Action::SendLocalList, &payload), payload);
    }
    for version in [0, -1] {
        let payload = format!(r#"{{"listVersion":{version},"updateType":"Full"}}"#);
        refused(Action::SendLocalList, &payload, &["listVersion must be greater than 0"]);
    }
    refused(
        Action::SendLocalList,
        &format!(
            r#"{{"listVersion":1,"updateType":"Full","localAuthorizationList":[{{"idTag":"A"}},{{"idTag":"b","idTagInfo":{info}}},{{"idTag":"B","idTagInfo":{{}}}}]}}"#
        ),
        &[
            "localAuthorizationList.0.idTagInfo is required in a Full list",
            "localAuthorizationList.2.idTag is the tag of entry 1 again",
            "localAuthorizationList.2.idTagInfo.status is required",
        ],
    );
}

/// A `SetChargingProfile` for the connector, made of the profile's members.
fn set(connector_id: i64, members: &Value) -> String {
    let mut profile = json!({
        "chargingProfileId": 1, "stackLevel": 0, "chargingProfilePurpose": "TxDefaultProfile",
        "chargingProfileKind": "Absolute",
        "chargingSchedule": {"chargingRateUnit": "A", "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 16}]},
    });
    for (name, value) in members.as_object().expect("members") {
        profile[name] = value.clone();
    }
    json!({ "connectorId": connector_id, "csChargingProfiles": profile }).to_string()
}

#[track_caller]
fn set_refused(connector_id: i64, members: &Value, expected: &[&str]) {
    refused(Action::SetChargingProfile, &set(connector_id, members), expected);
}

#[test]
fn a_profiles_purpose_fits_its_connector() {
    let purpose = |purpose: &str| json!({ "chargingProfilePurpose": purpose });
    sent(Action::SetChargingProfile, &set(0, &purpose("ChargePointMaxProfile")));
    sent(Action::SetChargingProfile, &set(0, &purpose("TxDefaultProfile")));
    sent(Action::SetChargingProfile, &set(2, &purpose("TxDefaultProfile")));
    sent(
        Action::SetChargingProfile,
        &set(1, &json!({ "chargingProfilePurpose": "TxProfile", "transactionId": 7 })),
    );
    set_refused(1, &purpose("ChargePointMaxProfile"), &["connectorId must be 0"]);
    set_refused(
        0,
        &purpose("TxProfile"),
        &["connectorId must be at least 1", "csChargingProfiles.transactionId is required: a TxProfile"],
    );
    set_refused(
        0,
        &json!({ "transactionId": 7 }),
        &["csChargingProfiles.transactionId must be left out: only a TxProfile"],
    );
}

#[test]
fn a_profiles_kind_fits_its_schedule() {
    let schedule = |start: bool| {
        let mut schedule =
            json!({"chargingRateUnit": "A", "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 16}]});
        if start {
            schedule["startSchedule"] = json!("2026-04-14T00:00:00Z");
        }
        schedule
    };
    set_refused(
        0,
        &json!({ "chargingProfileKind": "Recurring", "chargingSchedule": schedule(false) }),
        &[
            "csChargingProfiles.chargingSchedule.startSchedule is required: a Recurring",
            "csChargingProfiles.recurrencyKind is required: a Recurring",
        ],
    );
    set_refused(
        0,
        &json!({ "chargingProfileKind": "Relative", "chargingSchedule": schedule(true), "recurrencyKind": "Daily" }),
        &[
            "csChargingProfiles.chargingSchedule.startSchedule must be left out: a Relative",
            "csChargingProfiles.recurrencyKind must be left out",
        ],
    );
    sent(
        Action::SetChargingProfile,
        &set(0, &json!({ "chargingProfileKind": "Absolute", "chargingSchedule": schedule(true) })),
    );
    for (from, to) in [("2026-04-15T00:00:00Z", "2026-04-14T00:00:00Z"), (NOW, NOW)] {
        set_refused(
            0,
            &json!({ "validFrom": from, "validTo": to }),
            &["csChargingProfiles.validTo must lie after validFrom"],
        );
    }
}

#[test]
fn a_schedules_periods_begin_at_0_and_rise() {
    let periods = |periods: Value| json!({ "chargingSchedule": {"chargingRateUnit": "A", "chargingSchedulePeriod": periods} });
    let at = |starts: &[i64]| {
        periods(starts.iter().map(|start| json!({"startPeriod": start, "limit": 16})).collect())
    };
    let path = "csChargingProfiles.chargingSchedule.chargingSchedulePeriod";
    set_refused(0, &at(&[]), &[&format!("{path} must not be empty")]);
    set_refused(0, &at(&[60]), &[&format!("{path}.0.startPeriod must be 0 in the first period")]);
    set_refused(
        0,
        &at(&[0, 60, 60, 30, 90]),
        &[
            &format!("{path}.2.startPeriod must be greater than that of the period before"),
            &format!("{path}.3.startPeriod must be greater than that of the period before"),
        ],
    );
    set_refused(
        0,
        &periods(
            json!([{"startPeriod": 0, "limit": -0.5, "numberPhases": 4}, {"startPeriod": -1, "limit": 1}]),
        ),
        &[
            &format!("{path}.0.limit must be at least 0"),
            &format!("{path}.0.numberPhases must be 1, 2 or 3"),
            &format!("{path}.1.startPeriod must be at least 0"),
        ],
    );
}

#[test]
fn one_decimal_place_is_counted_in_decimals() {
    let with_limit = |limit: &str| set(0, &json!({})).replace("16", limit);
    for tenths in 0..=10_000 {
        let limit = format!("{}.{}", tenths / 10, tenths % 10);
        let written = limit.strip_suffix(".0").unwrap_or(&limit);
        assert_eq!(sent(Action::SetChargingProfile, &with_limit(&limit)), with_limit(written));
    }
    assert_eq!(sent(Action::SetChargingProfile, &with_limit("1.60e1")), with_limit("16"));
    let path = "csChargingProfiles.chargingSchedule.chargingSchedulePeriod.0.limit";
    for limit in ["0.30000000000000004", "16.05", "0.01"] {
        refused(
            Action::SetChargingProfile,
            &with_limit(limit),
            &[&format!("{path} must have at most one decimal place")],
        );
    }
    refused(
        Action::SetChargingProfile,
        &with_limit("1e300"),
        &[&format!("{path} must be within the 32 bits")],
    );
}

#[test]
fn a_remote_start_sets_the_profile_of_its_own_transaction() {
    let start = |members: &Value| {
        let set: Value = serde_json::from_str(&set(1, members)).expect("JSON");
        json!({ "idTag": "A", "chargingProfile": set["csChargingProfiles"] }).to_string()
    };
    sent(Action::RemoteStartTransaction, &start(&json!({ "chargingProfilePurpose": "TxProfile" })));
    refused(
        Action::RemoteStartTransaction,
        &start(&json!({ "chargingProfilePurpose": "TxDefaultProfile", "transactionId": 7 })),
        &[
            "chargingProfile.chargingProfilePurpose must be TxProfile",
            "chargingProfile.transactionId must be left out: the transaction has no number",
        ],
    );
}

#[test]
fn addresses_name_their_scheme_and_times_are_in_order() {
    for location in ["files.example.com/x", "localhost:21/x", "//a/b", "/etc/x", "ftp://", "ft p://a"] {
        let payload = format!(r#"{{"location":"{location}"}}"#);
        refused(Action::GetDiagnostics, &payload, &["location must be an address with its scheme"]);
        let payload =
            format!(r#"{{"log":{{"remoteLocation":"{location}"}},"logType":"SecurityLog","requestId":1}}"#);
        refused(Action::GetLog, &payload, &["log.remoteLocation must be an address with its scheme"]);
    }
    refused(
        Action::GetDiagnostics,
        r#"{"location":"ftp://a","startTime":"2026-04-02T00:00:00Z","stopTime":"2026-04-01T00:00:00Z"}"#,
        &["stopTime must not lie before startTime"],
    );
    refused(
        Action::GetLog,
        r#"{"log":{"remoteLocation":"ftp://a","oldestTimestamp":"2026-04-02T00:00:00Z","latestTimestamp":"2026-04-01T00:00:00Z"},"logType":"SecurityLog","requestId":1}"#,
        &["log.latestTimestamp must not lie before oldestTimestamp"],
    );
}

#[test]
fn certificates_are_pem() {
    let install = |certificate: &str| {
        format!(r#"{{"certificateType":"CentralSystemRootCertificate","certificate":"{certificate}"}}"#)
    };
    let two = format!("{PEM}{PEM}");
    for text in [
        "MAA=",
        "30820122",
        "-----BEGIN CERTIFICATE-----",
        r"-----BEGIN CERTIFICATE-----\n\n-----END CERTIFICATE-----",
        r"-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----",
        r"-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----",
        &format!("Subject: x{PEM}"),
    ] {
        refused(Action::InstallCertificate, &install(text), &["certificate must be PEM"]);
        let chain = format!(r#"{{"certificateChain":"{text}"}}"#);
        refused(Action::CertificateSigned, &chain, &["certificateChain must be PEM"]);
    }
    refused(Action::InstallCertificate, &install(&two), &["certificate must be one certificate"]);
    sent(Action::CertificateSigned, &format!(r#"{{"certificateChain":"{two}"}}"#));
    let firmware = good().pop().expect("the last action").1;
    refused(
        Action::SignedUpdateFirmware,
        &firmware.replace("c2lnbmVk", "not base64").replace("14:00:00", "12:00:00"),
        &[
            "firmware.installDateTime must not lie before retrieveDateTime",
            "firmware.signature must be base64",
        ],
    );
}

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

    /// Whatever one value is changed to: what is refused is told where, and what is sent is by the schema, stays as
    /// it is when it is checked again, and has nothing in it that chargers fall over.
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
                prop_assert_eq!(schema::violations(Part::Request, action.as_str(), &value), []);
                prop_assert!(!sent.get().contains("null") || changed.contains("null"));
                let again = check(action, &sent, now()).expect("it was sent");
                prop_assert_eq!(again.get(), sent.get());
            }
            Err(wrong) => prop_assert!(!wrong.is_empty()),
        }
    }
}
