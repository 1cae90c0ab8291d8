//! The rules behind the schemas: what each action's fields must fit.

use super::*;

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
fn an_authorization_key_is_hex_or_plainly_none() {
    let payload = |key: &str, value: &str| format!(r#"{{"key":"{key}","value":"{value}"}}"#);
    for digits in [32, 34, 40] {
        let payload = payload("AuthorizationKey", &"aF".repeat(digits / 2));
        assert_eq!(sent(Action::ChangeConfiguration, &payload), payload);
    }
    let warned = |value: &str| {
        let payload = payload("authorizationKey", value);
        assert_eq!(sent(Action::ChangeConfiguration, &payload), payload, "as it is");
        warnings(Action::ChangeConfiguration, &raw(&payload)).len()
    };
    assert_eq!(warned(&"aF".repeat(16)), 0);
    for value in ["sixteen letters!", &"g".repeat(40), "0123456789abcdeg", "Pa:s/s w@rd, 21 chars"] {
        assert_eq!(warned(value), 1, "{value}");
    }
    let other = r#"{"key":"CpoName","value":"sixteen letters!"}"#;
    assert!(warnings(Action::ChangeConfiguration, &raw(other)).is_empty());
    for value in [
        "",
        "secret",
        "fifteen letters",
        &"g".repeat(41),
        &"ab".repeat(8),
        &"ab".repeat(15),
        &"ab".repeat(21),
        &"a".repeat(33),
        " sixteen letters",
        "sixteen\\nletters!",
        "sixteen lettérs!",
    ] {
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
