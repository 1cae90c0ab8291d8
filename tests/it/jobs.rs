//! Cases of a central system's test list, by their numbers: what a station is asked to do and then reports
//! on: certificates, locks, firmware, diagnostics, logs, triggered messages.

use serde_json::{Value, json};

use crate::harness::{Charger, Running, start};
use crate::receiver::{Answer, Receiver};
use crate::scripted::{ask, obey, refused};

const PEM: &str = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";

fn security_event(kind: &str) -> Value {
    json!({"type": kind, "timestamp": "2026-04-14T12:00:00Z", "techInfo": "chain"})
}

#[tokio::test]
async fn case_22_a_certificate_that_the_station_rejects() {
    let gateway = start(|_| {}).await;
    let receiver = Receiver::always(Answer::Status(200)).await;
    let hook = json!({"url": receiver.url, "events": ["SecurityEventNotification", "CertificateSigned"]});
    assert_eq!(gateway.api("POST", "/webhooks", Some(hook)).await.0, 201);
    let mut charger = gateway.booted("CP").await;
    let payload = json!({"certificateChain": PEM});
    let verdict = json!({"status": "Rejected"});
    let command = obey(&gateway, &mut charger, "CP", "CertificateSigned", payload, verdict).await;
    assert_eq!(command["accepted"], false);
    let told = security_event("InvalidChargePointCertificate");
    assert_eq!(charger.call("SecurityEventNotification", told.clone()).await, json!({}));
    let bodies: Vec<Value> =
        receiver.wait_for(2).await.iter().map(|got| serde_json::from_str(&got.body).expect("JSON")).collect();
    let of =
        |name: &str| bodies.iter().find(|body| body["event"] == name).expect("delivered")["payload"].clone();
    assert_eq!(of("SecurityEventNotification"), told);
    assert_eq!(of("CertificateSigned")["response"], json!({"status": "Rejected"}));
}

const USES: [&str; 2] = ["CentralSystemRootCertificate", "ManufacturerRootCertificate"];

fn hash(serial: &str) -> Value {
    json!({"hashAlgorithm": "SHA256", "issuerNameHash": "aB01", "issuerKeyHash": "Cd23", "serialNumber": serial})
}

#[tokio::test]
async fn case_23_root_certificates_of_both_kinds_are_installed_and_listed() {
    let gateway = start(|_| {}).await;
    let mut charger = gateway.booted("CP").await;
    for kind in USES {
        let payload = json!({"certificateType": kind, "certificate": PEM});
        let verdict = json!({"status": "Accepted"});
        let command = obey(&gateway, &mut charger, "CP", "InstallCertificate", payload, verdict).await;
        assert_eq!(command["accepted"], true);
        for (response, accepted) in [
            (json!({"status": "Accepted", "certificateHashData": [hash("1F"), hash("02")]}), true),
            (json!({"status": "NotFound"}), false),
        ] {
            let payload = json!({"certificateType": kind});
            let command =
                obey(&gateway, &mut charger, "CP", "GetInstalledCertificateIds", payload, response).await;
            assert_eq!(command["accepted"], accepted);
        }
    }
    let wrong = json!({"certificateType": "V2GRootCertificate", "certificate": PEM});
    assert_eq!(refused(&gateway, "CP", "InstallCertificate", wrong).await, ["payload.certificateType"]);
}

#[tokio::test]
async fn case_24_an_installation_that_is_refused() {
    let gateway = start(|_| {}).await;
    let mut charger = gateway.booted("CP").await;
    for status in ["Rejected", "Failed"] {
        let payload = json!({"certificateType": USES[0], "certificate": PEM});
        let verdict = json!({"status": status});
        let command = obey(&gateway, &mut charger, "CP", "InstallCertificate", payload, verdict).await;
        assert_eq!(command["accepted"], false);
    }
    let told = security_event("InvalidCentralSystemCertificate");
    assert_eq!(charger.call("SecurityEventNotification", told.clone()).await, json!({}));
    let event = gateway.events_of("CP", "SecurityEventNotification").await.pop().expect("an event");
    assert_eq!((&event["payload"], &event["violations"]), (&told, &json!([])));
}

#[tokio::test]
async fn case_25_a_certificate_is_deleted_by_the_hash_that_was_told() {
    let gateway = start(|_| {}).await;
    let mut charger = gateway.booted("CP").await;
    let listed = json!({"status": "Accepted", "certificateHashData": [hash("0A1b")]});
    let payload = json!({"certificateType": USES[1]});
    let told = obey(&gateway, &mut charger, "CP", "GetInstalledCertificateIds", payload, listed).await;
    let exact = told["response"]["certificateHashData"][0].clone();
    for (status, accepted) in [("Accepted", true), ("NotFound", false), ("Failed", false)] {
        // That it comes as it was told, letter case included, `obey` holds.
        let payload = json!({"certificateHashData": exact});
        let verdict = json!({"status": status});
        let command = obey(&gateway, &mut charger, "CP", "DeleteCertificate", payload, verdict).await;
        assert_eq!(command["accepted"], accepted);
    }
}

#[tokio::test]
async fn case_54_locks() {
    let gateway = start(|_| {}).await;
    let mut charger = gateway.booted("CP").await;
    for (status, accepted) in [("Unlocked", true), ("UnlockFailed", false), ("NotSupported", false)] {
        let payload = json!({"connectorId": 1});
        let verdict = json!({"status": status});
        let command = obey(&gateway, &mut charger, "CP", "UnlockConnector", payload, verdict).await;
        assert_eq!(
            (&command["accepted"], &command["violations"]),
            (&json!(accepted), &json!([])),
            "{status}"
        );
    }
    assert_eq!(
        refused(&gateway, "CP", "UnlockConnector", json!({"connectorId": 0})).await,
        ["payload.connectorId"]
    );

    // A lock that is opened ends what it held.
    let start =
        json!({"connectorId": 1, "idTag": "TAG", "meterStart": 0, "timestamp": "2026-04-14T12:00:00Z"});
    let number = charger.call("StartTransaction", start).await["transactionId"].clone();
    let asking = ask(&gateway, "CP", json!({"action": "UnlockConnector", "payload": {"connectorId": 1}}));
    let called = charger.called().await;
    // Before its answer the station may say whatever it has to say.
    let stop = json!({"transactionId": number, "meterStop": 10, "timestamp": "2026-04-14T12:10:00Z",
        "reason": "UnlockCommand"});
    assert_eq!(charger.call("StopTransaction", stop).await, json!({}));
    charger.answer(&called.id, json!({"status": "Unlocked"})).await;
    assert_eq!(asking.await.expect("asks").1["accepted"], true);
    let done = gateway.get(&format!("/transactions/{number}")).await;
    assert_eq!((&done["status"], &done["stop_reason"]), (&json!("completed"), &json!("UnlockCommand")));
}

#[tokio::test]
async fn case_59_availability_changes_when_the_session_has_ended() {
    let gateway = start(|_| {}).await;
    let mut charger = gateway.booted("CP").await;
    for (connector, status, accepted) in
        [(1, "Scheduled", true), (0, "Accepted", true), (9, "Rejected", false)]
    {
        let payload = json!({"connectorId": connector, "type": "Inoperative"});
        let verdict = json!({"status": status});
        let command = obey(&gateway, &mut charger, "CP", "ChangeAvailability", payload, verdict).await;
        assert_eq!(command["accepted"], accepted, "{status}");
    }
    let event = gateway.events_of("CP", "ChangeAvailability").await.remove(0);
    assert_eq!(event["payload"]["response"]["status"], "Scheduled");
}

/// Reports each status, and looks whether the station is said to be there.
async fn report(gateway: &Running, charger: &mut Charger, action: &str, field: &str, statuses: &[Value]) {
    for payload in statuses {
        assert_eq!(charger.call(action, payload.clone()).await, json!({}), "{action} {payload}");
        assert_eq!(gateway.get("/stations/CP").await[field], payload["status"], "{action}");
    }
}

fn statuses(names: &[&str]) -> Vec<Value> {
    names.iter().map(|name| json!({"status": name})).collect()
}

#[tokio::test]
async fn case_66_firmware() {
    let gateway = start(|_| {}).await;
    let mut charger = gateway.booted("CP").await;
    for flow in [
        ["Downloading", "Downloaded", "Installing", "(boot)", "Installed"].as_slice(),
        &["Downloading", "DownloadFailed"],
        &["Downloading", "Downloaded", "Installing", "InstallationFailed"],
    ] {
        let payload = json!({"location": "ftp://example.com/fw.bin", "retrieveDate": "2030-01-01T00:00:00Z", "retries": 2});
        let command = obey(&gateway, &mut charger, "CP", "UpdateFirmware", payload, json!({})).await;
        assert_eq!(command["accepted"], true, "an answer without a status");
        for status in flow {
            if *status == "(boot)" {
                charger = gateway.booted("CP").await;
                assert_eq!(gateway.get("/stations/CP").await["firmware_status"], "Installing", "over a boot");
            } else {
                let told = statuses(&[status]);
                report(&gateway, &mut charger, "FirmwareStatusNotification", "firmware_status", &told).await;
            }
        }
    }
    let told = gateway.events_of("CP", "FirmwareStatusNotification").await;
    assert_eq!(told.len(), 4 + 2 + 4);
    assert!(told.iter().all(|event| event["violations"] == json!([])));
}

#[tokio::test]
async fn case_67_diagnostics() {
    let gateway = start(|_| {}).await;
    let mut charger = gateway.booted("CP").await;
    let payload = json!({"location": "ftp://example.com/", "startTime": "2026-04-13T00:00:00Z",
        "stopTime": "2026-04-14T00:00:00Z"});
    for (response, flow) in [
        (json!({"fileName": "CP.zip"}), ["Uploading", "Uploaded"].as_slice()),
        (json!({"fileName": "CP.zip"}), &["Uploading", "UploadFailed"]),
        (json!({}), &["Idle"]),
    ] {
        let command = obey(&gateway, &mut charger, "CP", "GetDiagnostics", payload.clone(), response).await;
        assert_eq!((&command["accepted"], &command["violations"]), (&json!(true), &json!([])));
        let told = statuses(flow);
        report(&gateway, &mut charger, "DiagnosticsStatusNotification", "diagnostics_status", &told).await;
    }
}

#[tokio::test]
async fn case_68_the_security_log() {
    let gateway = start(|_| {}).await;
    let mut charger = gateway.booted("CP").await;
    let payload = json!({"logType": "SecurityLog", "requestId": 77,
        "log": {"remoteLocation": "ftp://example.com/", "oldestTimestamp": "2026-04-13T00:00:00Z"}});
    let verdict = json!({"status": "Accepted", "filename": "security.log"});
    let command = obey(&gateway, &mut charger, "CP", "GetLog", payload, verdict).await;
    assert_eq!(command["accepted"], true);
    let flow = ["Uploading", "Uploaded"].map(|status| json!({"status": status, "requestId": 77}));
    report(&gateway, &mut charger, "LogStatusNotification", "log_status", &flow).await;
    let told = gateway.events_of("CP", "LogStatusNotification").await;
    assert!(told.iter().all(|event| event["payload"]["requestId"] == 77 && event["violations"] == json!([])));
}

#[tokio::test]
async fn case_69_signed_firmware() {
    let gateway = start(|_| {}).await;
    let mut charger = gateway.booted("CP").await;
    let payload = json!({"requestId": 5, "firmware": {"location": "https://example.com/fw.bin",
        "retrieveDateTime": "2030-01-01T00:00:00Z", "signingCertificate": PEM, "signature": "c2ln"}});
    for (status, flow) in [
        (
            "Accepted",
            ["Downloading", "Downloaded", "SignatureVerified", "Installing", "InstallRebooting", "Installed"]
                .as_slice(),
        ),
        ("Accepted", &["Downloading", "Downloaded", "InvalidSignature"]),
        ("InvalidCertificate", &[]),
    ] {
        let verdict = json!({"status": status});
        let command =
            obey(&gateway, &mut charger, "CP", "SignedUpdateFirmware", payload.clone(), verdict).await;
        assert_eq!(command["accepted"], status == "Accepted");
        let flow: Vec<_> = flow.iter().map(|status| json!({"status": status, "requestId": 5})).collect();
        report(&gateway, &mut charger, "SignedFirmwareStatusNotification", "firmware_status", &flow).await;
    }
    for kind in ["FirmwareUpdated", "InvalidFirmwareSignature"] {
        assert_eq!(charger.call("SecurityEventNotification", security_event(kind)).await, json!({}));
    }
    let told = gateway.events_of("CP", "SignedFirmwareStatusNotification").await;
    assert!(told.iter().all(|event| event["violations"] == json!([])), "{told:?}");
}

#[tokio::test]
async fn case_74_triggers_answer_first_then_message() {
    let gateway = start(|_| {}).await;
    let mut charger = gateway.booted("CP").await;
    for (message, action, sent) in [
        ("Heartbeat", "Heartbeat", json!({})),
        ("BootNotification", "BootNotification", json!({"chargePointVendor": "V", "chargePointModel": "M"})),
        (
            "StatusNotification",
            "StatusNotification",
            json!({"connectorId": 1, "errorCode": "NoError", "status": "Available"}),
        ),
        ("DiagnosticsStatusNotification", "DiagnosticsStatusNotification", json!({"status": "Idle"})),
        ("FirmwareStatusNotification", "FirmwareStatusNotification", json!({"status": "Idle"})),
    ] {
        let payload = match message {
            "StatusNotification" => json!({"requestedMessage": message, "connectorId": 1}),
            _ => json!({"requestedMessage": message}),
        };
        let verdict = json!({"status": "Accepted"});
        let command = obey(&gateway, &mut charger, "CP", "TriggerMessage", payload, verdict).await;
        assert_eq!(command["accepted"], true);
        charger.call(action, sent.clone()).await;
        let event = gateway.events_of("CP", action).await.pop().expect("an event");
        assert_eq!(event["payload"], sent);
        let events = gateway.events("CP").await;
        let at = |name: &str| events.iter().rposition(|event| event["event"] == name).expect("there");
        assert!(at("TriggerMessage") < at(action), "the command had ended before: {message}");
    }
    for status in ["NotImplemented", "Rejected"] {
        let payload = json!({"requestedMessage": "MeterValues", "connectorId": 1});
        let verdict = json!({"status": status});
        let command = obey(&gateway, &mut charger, "CP", "TriggerMessage", payload, verdict).await;
        assert_eq!(command["accepted"], false, "{status}");
    }
}
