//! Commands about the charger itself: firmware, logs, certificates, settings, triggers.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use super::bench::{Bench, MINUTE};
use crate::Sessions;
use crate::charger::Input;
use crate::trust::OwnCertificate;
use vocabulary::der::SigningRequest;

const ROOT: &str = include_str!("../../../../tests/tls/ca.pem");
const LEAF: &str = include_str!("../../../../tests/tls/good.pem");

/// A charger with a certificate of its own that is good until this midnight.
fn with_certificate_until(year: i32, month: u8, day: u8) -> Bench {
    let key = rcgen::KeyPair::generate().expect("a key");
    let mut params = rcgen::CertificateParams::new(Vec::new()).expect("no names");
    params.not_after = rcgen::date_time_ymd(year, month, day);
    params.distinguished_name.push(rcgen::DnType::CommonName, "SN-0815");
    params.distinguished_name.push(rcgen::DnType::OrganizationName, "CPO");
    let certificate = params.self_signed(&key).expect("signs").der().clone();
    let key = rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
    Bench::booted(|options| {
        options.sessions = Sessions::ByHand;
        options.trust.own = Some(OwnCertificate { chain: vec![certificate], key });
    })
}

#[test]
fn a_certificate_is_renewed_a_month_before_it_expires() {
    const DAY: Duration = Duration::from_secs(86_400);
    // It is the 14th of April, noon.
    let mut bench = with_certificate_until(2026, 5, 15);
    bench.pass_served(11 * 60 * MINUTE);
    assert!(bench.told(0, "SignCertificate").is_empty());
    bench.pass_served(2 * 60 * MINUTE);
    let [asked] = bench.told(0, "SignCertificate")[..] else { panic!("once") };
    let request = SigningRequest::read(asked["csr"].as_str().expect("PEM")).expect("a request");
    assert_eq!(request.common_names, ["SN-0815"], "the name that it has");
    assert_eq!(request.organizations, ["CPO"]);
    // Nothing comes of it: it asks again, but does not insist.
    bench.pass_served(2 * DAY);
    assert_eq!(bench.told(0, "SignCertificate").len(), 3);
    let bench = with_certificate_until(2026, 5, 1);
    assert_eq!(bench.told(0, "SignCertificate").len(), 1, "it was switched on too late for a month");
}

fn firmware(request_id: i64, location: &str, certificate: &str, signature: &str) -> Value {
    json!({"requestId": request_id, "firmware": {"location": location,
        "retrieveDateTime": "2026-04-14T12:00:00Z", "signingCertificate": certificate, "signature": signature}})
}

/// The statuses of one action, with the request's number where there is one.
fn progress(bench: &Bench, from: usize, action: &str) -> Vec<String> {
    let told = bench.told(from, action).into_iter();
    told.map(|payload| match &payload["requestId"] {
        Value::Null => payload["status"].as_str().expect("a text").to_owned(),
        id => format!("{} {id}", payload["status"].as_str().expect("a text")),
    })
    .collect()
}

/// Lets the charger go down and come back.
fn come_back(bench: &mut Bench) {
    assert_eq!(bench.log.last().map(String::as_str), Some("close"));
    bench.cut();
    bench.pass(MINUTE);
    bench.tell(Input::Connected);
    bench.serve();
}

#[test]
fn firmware_is_fetched_and_installed_and_boots() {
    let mut bench = Bench::by_hand(1);
    let at = bench.now.after(MINUTE).to_string();
    let from = bench.calls.len();
    let update = json!({"location": "https://example.com/fw/v2.bin", "retrieveDate": at});
    assert_eq!(bench.ask("UpdateFirmware", update), json!({}));
    bench.pass_served(Duration::from_secs(59));
    assert_eq!(progress(&bench, from, "FirmwareStatusNotification"), [""; 0], "not yet");
    bench.pass_served(Duration::from_secs(2));
    bench.check("TriggerMessage", json!({"requestedMessage": "FirmwareStatusNotification"}), "Accepted");
    bench.serve();
    bench.pass_served(MINUTE);
    come_back(&mut bench);
    assert_eq!(
        progress(&bench, from, "FirmwareStatusNotification"),
        ["Downloading", "Downloading", "Downloaded", "Installing", "Installed"]
    );
    assert_eq!(bench.last("BootNotification")["firmwareVersion"], "v2.bin");
    bench.check("TriggerMessage", json!({"requestedMessage": "FirmwareStatusNotification"}), "Accepted");
    assert_eq!(bench.last("FirmwareStatusNotification")["status"], "Idle");
}

#[test]
fn signed_firmware_is_verified_and_replaced_by_a_newer_request() {
    let mut bench = Bench::by_hand(1);
    let from = bench.calls.len();
    bench.check("SignedUpdateFirmware", firmware(1, "x/a.bin", ROOT, "AA=="), "Accepted");
    bench.serve();
    bench.check("SignedUpdateFirmware", firmware(2, "x/b.bin", ROOT, "AA=="), "AcceptedCanceled");
    bench.pass_served(MINUTE);
    come_back(&mut bench);
    assert_eq!(
        progress(&bench, from, "SignedFirmwareStatusNotification")[1..],
        [
            "Downloading 2",
            "Downloaded 2",
            "SignatureVerified 2",
            "Installing 2",
            "InstallRebooting 2",
            "Installed 2"
        ]
    );
    assert_eq!(bench.last("SecurityEventNotification")["type"], "FirmwareUpdated");
    bench.check("SignedUpdateFirmware", firmware(3, "x", "no PEM", "AA=="), "InvalidCertificate");
    bench.serve();
    assert_eq!(bench.last("SecurityEventNotification")["type"], "InvalidFirmwareSigningCertificate");
    bench.check("SignedUpdateFirmware", firmware(4, "x", "revoked", "AA=="), "RevokedCertificate");
    let from = bench.calls.len();
    bench.check("SignedUpdateFirmware", firmware(5, "x", ROOT, "invalid"), "Accepted");
    bench.pass_served(MINUTE);
    assert_eq!(
        progress(&bench, from, "SignedFirmwareStatusNotification"),
        ["Downloading 5", "Downloaded 5", "InvalidSignature 5"]
    );
    assert_eq!(bench.last("SecurityEventNotification")["type"], "InvalidFirmwareSignature");
}

#[test]
fn firmware_fails_where_its_name_says_so_and_waits_for_cars() {
    for (name, expected) in [
        ("download-failed", vec!["Downloading", "DownloadFailed"]),
        ("installation-failed", vec!["Downloading", "Downloaded", "Installing", "InstallationFailed"]),
    ] {
        let mut bench = Bench::by_hand(1);
        let from = bench.calls.len();
        let location = format!("https://example.com/{name}.bin");
        bench.ask("UpdateFirmware", json!({"location": location, "retrieveDate": "2026-04-14T12:00:00Z"}));
        bench.pass_served(MINUTE);
        assert_eq!(progress(&bench, from, "FirmwareStatusNotification"), expected);
    }
    let mut bench = Bench::by_hand(1);
    bench.charge(1, "T");
    let from = bench.calls.len();
    bench.ask("UpdateFirmware", json!({"location": "https://x/v3", "retrieveDate": "2026-04-14T12:00:00Z"}));
    bench.pass_served(10 * MINUTE);
    assert_eq!(progress(&bench, from, "FirmwareStatusNotification"), ["Downloading", "Downloaded"]);
    bench.command("RemoteStopTransaction", json!({"transactionId": 4711}));
    bench.serve();
    bench.pass_served(Duration::from_secs(3));
    assert_eq!(bench.last("FirmwareStatusNotification")["status"], "Installing");
    bench.check("Reset", json!({"type": "Hard"}), "Rejected");
}

#[test]
fn logs_are_uploaded_if_there_are_any() {
    let mut bench = Bench::by_hand(1);
    let from = bench.calls.len();
    let answer = bench.ask("GetDiagnostics", json!({"location": "ftp://x/logs/"}));
    assert!(answer["fileName"].as_str().is_some_and(|name| name.starts_with("CP-diagnostics-")), "{answer}");
    bench.pass_served(MINUTE);
    let long_ago = json!({"location": "ftp://x/", "stopTime": "2020-01-01T00:00:00Z"});
    assert_eq!(bench.ask("GetDiagnostics", long_ago), json!({}), "nothing was logged then");
    bench.ask("GetDiagnostics", json!({"location": "ftp://x/upload-failed"}));
    bench.pass_served(MINUTE);
    assert_eq!(
        progress(&bench, from, "DiagnosticsStatusNotification"),
        ["Uploading", "Uploaded", "Uploading", "UploadFailed"]
    );
    let log = |id: i64| json!({"log": {"remoteLocation": "x"}, "logType": "SecurityLog", "requestId": id});
    assert_eq!(bench.ask("GetLog", log(1))["status"], "Accepted");
    bench.serve();
    assert_eq!(bench.ask("GetLog", log(2))["status"], "AcceptedCanceled");
    bench.serve();
    bench.check("ExtendedTriggerMessage", json!({"requestedMessage": "LogStatusNotification"}), "Accepted");
    bench.pass_served(MINUTE);
    bench.check("ExtendedTriggerMessage", json!({"requestedMessage": "LogStatusNotification"}), "Accepted");
    bench.serve();
    assert_eq!(
        progress(&bench, from, "LogStatusNotification"),
        ["Uploading 1", "Uploading 2", "Uploading 2", "Uploaded 2", "Idle"]
    );
}

#[test]
fn root_certificates_are_kept_named_and_deleted() {
    let mut bench = Bench::by_hand(1);
    let kind = "CentralSystemRootCertificate";
    let install = |certificate: &str| json!({"certificateType": kind, "certificate": certificate});
    bench.check("InstallCertificate", install("rubbish"), "Rejected");
    assert_eq!(bench.last("SecurityEventNotification")["type"], "InvalidCentralSystemCertificate");
    bench.serve();
    bench.check("GetInstalledCertificateIds", json!({"certificateType": kind}), "NotFound");
    bench.check("InstallCertificate", install(ROOT), "Accepted");
    bench.check("InstallCertificate", install(ROOT), "Accepted");
    let ids = bench.ask("GetInstalledCertificateIds", json!({"certificateType": kind}));
    let [id] = &ids["certificateHashData"].as_array().expect("a list")[..] else {
        panic!("one, once: {ids}")
    };
    let mut named = id.clone();
    named["serialNumber"] = id["serialNumber"].as_str().expect("hex").to_uppercase().into();
    bench.check("DeleteCertificate", json!({"certificateHashData": named}), "Accepted");
    bench.check("DeleteCertificate", json!({"certificateHashData": named}), "NotFound");
}

#[test]
fn a_certificate_is_asked_for_and_only_one_for_its_key_is_taken() {
    let mut bench = Bench::by_hand(1);
    let trigger = json!({"requestedMessage": "SignChargePointCertificate"});
    bench.check("ExtendedTriggerMessage", trigger, "Accepted");
    let csr = bench.last("SignCertificate")["csr"].as_str().expect("a text").to_owned();
    let body: String = csr.lines().filter(|line| !line.starts_with('-')).collect();
    let der = BASE64.decode(body).expect("base64");
    let contains = |part: &[u8]| der.windows(part.len()).any(|window| window == part);
    assert!(contains(b"Simulated CPO") && contains(b"CP"), "who it is for");
    bench.serve();
    bench.check("CertificateSigned", json!({"certificateChain": LEAF}), "Rejected");
    assert_eq!(bench.last("SecurityEventNotification")["type"], "InvalidChargePointCertificate");
}

#[test]
fn settings_are_listed_once_and_not_too_many_at_a_time() {
    let mut bench = Bench::by_hand(1);
    let all = bench.ask("GetConfiguration", json!({}));
    let keys = all["configurationKey"].as_array().expect("a list").len();
    assert!(keys > 40 && all.get("unknownKey").is_none(), "{keys}");
    let two = bench.ask("GetConfiguration", json!({"key": ["CpoName", "cponame", "Colour"]}));
    assert_eq!(two["configurationKey"].as_array().map(Vec::len), Some(1));
    assert_eq!(two["unknownKey"], json!(["Colour"]));
    let many: Vec<String> = (0..100).map(|number| format!("Key{number}")).collect();
    assert_eq!(bench.ask("GetConfiguration", json!({"key": many})), "OccurenceConstraintViolation");
    for (key, value, status) in [
        ("Colour", "red", "NotSupported"),
        ("NumberOfConnectors", "4", "Rejected"),
        ("HeartbeatInterval", "soon", "Rejected"),
        ("WebSocketPingInterval", "20", "RebootRequired"),
        ("CpoName", "Somebody", "Accepted"),
    ] {
        bench.check("ChangeConfiguration", json!({"key": key, "value": value}), status);
    }
}

#[test]
fn meters_are_read_by_the_clock_where_that_is_set() {
    let mut bench = Bench::by_hand(2);
    bench.check(
        "ChangeConfiguration",
        json!({"key": "ClockAlignedDataInterval", "value": "900"}),
        "Accepted",
    );
    bench.pass_served(7 * MINUTE);
    bench.charge(1, "T");
    bench.check("ChangeConfiguration", json!({"key": "MeterValueSampleInterval", "value": "0"}), "Accepted");
    let from = bench.calls.len();
    bench.pass_served(24 * MINUTE);
    let told = bench.told(from, "MeterValues");
    let times: Vec<&str> =
        told.iter().map(|one| &one["meterValue"][0]["timestamp"].as_str().expect("a time")[11..19]).collect();
    assert_eq!(times, ["12:15:00", "12:15:00", "12:30:00", "12:30:00"]);
    assert_eq!(told[0]["meterValue"][0]["sampledValue"][0]["context"], "Sample.Clock");
    assert_eq!((told[0].get("transactionId"), told[1].get("transactionId")), (Some(&json!(4711)), None));
}

#[test]
fn what_cannot_be_triggered_is_said_so() {
    let mut bench = Bench::by_hand(2);
    for (action, message, connector, status) in [
        ("TriggerMessage", "MeterValues", 0, "Rejected"),
        ("TriggerMessage", "StatusNotification", 3, "Rejected"),
        ("TriggerMessage", "LogStatusNotification", 1, "NotImplemented"),
        ("ExtendedTriggerMessage", "DiagnosticsStatusNotification", 1, "NotImplemented"),
        ("ExtendedTriggerMessage", "FirmwareStatusNotification", 1, "Accepted"),
    ] {
        bench.check(action, json!({"requestedMessage": message, "connectorId": connector}), status);
        bench.serve();
    }
    assert_eq!(bench.last("SignedFirmwareStatusNotification"), &json!({"status": "Idle"}));
}
