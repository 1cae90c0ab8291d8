//! The simulated charger and the gateway: what the one asks over the REST API, the other obeys.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use charger_sim::connection::Endpoint;
use charger_sim::director::Director;
use charger_sim::{ChargerOptions, Sessions, session};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use vocabulary::id::StationId;

use crate::harness::{Running, eventually, start};

const ROOT: &str = include_str!("../tls/ca.pem");

/// A charger whose cars are moved by the lines it is sent.
pub(crate) struct Simulated {
    lines: mpsc::UnboundedSender<String>,
    stop: CancellationToken,
    /// How many steps failed.
    work: JoinHandle<u64>,
}

impl Simulated {
    /// Connected, booted and with its statuses told.
    pub(crate) async fn start(gateway: &Running, id: &str) -> Self {
        let endpoint = Endpoint::parse(&format!("ws://{}/ocpp", gateway.ocpp())).expect("a URL");
        let mut options = ChargerOptions::new(endpoint, StationId::new(id).expect("an identity"));
        options.sessions = Sessions::ByHand;
        options.transfer = Duration::from_millis(50);
        options.reboot = Duration::from_millis(50);
        options.sample_interval = Duration::from_millis(200);
        options.reconnect_first = Duration::from_millis(20);
        let (lines, typed) = mpsc::unbounded_channel();
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let work = tokio::spawn(async move {
            session::run_directed(options, Director::live(), Some(typed), stopped, |_, _| {}).await.1
        });
        let path = format!("/stations/{id}/connectors");
        eventually("all connectors are known", async || {
            let (status, body) = gateway.api("GET", &path, None).await;
            (status == 200 && body["data"].as_array().is_some_and(|list| list.len() >= 3)).then_some(())
        })
        .await;
        Self { lines, stop, work }
    }

    pub(crate) fn tell(&self, line: &str) {
        self.lines.send(line.to_owned()).expect("it listens");
    }

    /// It leaves; no step may have failed.
    pub(crate) async fn end(self) {
        self.stop.cancel();
        assert_eq!(self.work.await.expect("no panic"), 0, "a step failed");
    }
}

/// Gives a command and waits for it: what the charger answered.
async fn command(gateway: &Running, id: &str, action: &str, payload: Value) -> Value {
    let body = json!({"action": action, "payload": payload});
    let (status, command) = gateway.api("POST", &format!("/stations/{id}/commands"), Some(body)).await;
    assert_eq!((status, &command["status"]), (200, &json!("completed")), "{action}: {command}");
    assert!(command["violations"].as_array().is_none_or(Vec::is_empty), "{action}: {command}");
    command["response"].clone()
}

/// The statuses of one kind of event, oldest first.
async fn statuses(gateway: &Running, id: &str, event: &str) -> Vec<String> {
    let events = gateway.events_of(id, event).await;
    events.iter().map(|event| event["payload"]["status"].as_str().unwrap_or_default().to_owned()).collect()
}

async fn connector_is(gateway: &Running, id: &str, connector: u64, status: &str) {
    let path = format!("/stations/{id}/connectors");
    eventually(&format!("connector {connector} is {status}"), async || {
        let body = gateway.get(&path).await;
        let list = body["data"].as_array().expect("a list").clone();
        list.into_iter().find(|one| one["connector_id"] == connector && one["status"] == status).map(|_| ())
    })
    .await;
}

#[tokio::test]
async fn every_command_is_obeyed_or_refused_for_a_reason() {
    let gateway = start(|_| {}).await;
    let charger = Simulated::start(&gateway, "SIM").await;
    let soon = "2999-01-01T00:00:00Z";
    let past = "2026-01-01T00:00:00Z";
    let reservation = json!({"connectorId": 2, "expiryDate": soon, "idTag": "T", "reservationId": 7});
    let profile = json!({"chargingProfileId": 1, "stackLevel": 0, "chargingProfilePurpose": "TxDefaultProfile",
        "chargingProfileKind": "Relative", "chargingSchedule": {
            "chargingRateUnit": "W", "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 3000.0}]}});
    let root = json!({"certificateType": "CentralSystemRootCertificate", "certificate": ROOT});
    let firmware = json!({"requestId": 5, "firmware": {"location": "https://example.com/fw.bin",
        "retrieveDateTime": soon, "signingCertificate": ROOT, "signature": "AA=="}});
    let log = json!({"log": {"remoteLocation": "ftp://x/y"}, "logType": "SecurityLog", "requestId": 6});
    for (action, payload, status) in [
        ("GetConfiguration", json!({}), ""),
        ("ChangeConfiguration", json!({"key": "HeartbeatInterval", "value": "60"}), "Accepted"),
        ("ChangeConfiguration", json!({"key": "WebSocketPingInterval", "value": "60"}), "RebootRequired"),
        ("ChangeConfiguration", json!({"key": "NumberOfConnectors", "value": "6"}), "Rejected"),
        ("ChangeConfiguration", json!({"key": "Colour", "value": "red"}), "NotSupported"),
        ("ChangeAvailability", json!({"connectorId": 1, "type": "Inoperative"}), "Accepted"),
        ("ChangeAvailability", json!({"connectorId": 1, "type": "Operative"}), "Accepted"),
        ("ClearCache", json!({}), "Accepted"),
        ("DataTransfer", json!({"vendorId": "chargehook.sim", "messageId": "echo", "data": "x"}), "Accepted"),
        ("DataTransfer", json!({"vendorId": "somebody"}), "UnknownVendorId"),
        ("GetLocalListVersion", json!({}), ""),
        (
            "SendLocalList",
            json!({"listVersion": 1, "updateType": "Full", "localAuthorizationList": [
                {"idTag": "L", "idTagInfo": {"status": "Accepted"}}]}),
            "Accepted",
        ),
        ("SetChargingProfile", json!({"connectorId": 0, "csChargingProfiles": profile}), "Accepted"),
        ("GetCompositeSchedule", json!({"connectorId": 1, "duration": 600}), "Accepted"),
        ("ClearChargingProfile", json!({"id": 1}), "Accepted"),
        ("ReserveNow", reservation, "Accepted"),
        ("CancelReservation", json!({"reservationId": 7}), "Accepted"),
        ("UnlockConnector", json!({"connectorId": 1}), "Unlocked"),
        ("TriggerMessage", json!({"requestedMessage": "Heartbeat"}), "Accepted"),
        ("ExtendedTriggerMessage", json!({"requestedMessage": "SignChargePointCertificate"}), "Accepted"),
        ("InstallCertificate", root, "Accepted"),
        (
            "GetInstalledCertificateIds",
            json!({"certificateType": "CentralSystemRootCertificate"}),
            "Accepted",
        ),
        ("CertificateSigned", json!({"certificateChain": ROOT}), "Rejected"),
        ("SignedUpdateFirmware", firmware, "Accepted"),
        ("UpdateFirmware", json!({"location": "https://example.com/x.bin", "retrieveDate": soon}), ""),
        ("GetDiagnostics", json!({"location": "ftp://x/y", "stopTime": past}), ""),
        ("GetLog", log, "Accepted"),
        ("RemoteStopTransaction", json!({"transactionId": 1}), "Rejected"),
        ("RemoteStartTransaction", json!({"idTag": "L", "connectorId": 1}), "Accepted"),
    ] {
        let response = command(&gateway, "SIM", action, payload).await;
        assert_eq!(response["status"].as_str().unwrap_or_default(), status, "{action}: {response}");
    }
    let ids = json!({"certificateType": "CentralSystemRootCertificate"});
    let installed = command(&gateway, "SIM", "GetInstalledCertificateIds", ids).await;
    let id = installed["certificateHashData"][0].clone();
    let deleted = command(&gateway, "SIM", "DeleteCertificate", json!({"certificateHashData": id})).await;
    assert_eq!(deleted, json!({"status": "Accepted"}));
    eventually("the request for a certificate came", async || {
        gateway.events_of("SIM", "SignCertificate").await.pop()
    })
    .await;
    let response = command(&gateway, "SIM", "Reset", json!({"type": "Soft"})).await;
    assert_eq!(response, json!({"status": "Accepted"}));
    eventually("it boots again", async || {
        (gateway.events_of("SIM", "BootNotification").await.len() == 2).then_some(())
    })
    .await;
    charger.end().await;
}

#[tokio::test]
async fn a_session_is_started_limited_and_stopped_from_afar() {
    let gateway = start(|_| {}).await;
    let charger = Simulated::start(&gateway, "SIM").await;
    let profile = json!({"chargingProfileId": 1, "stackLevel": 0, "chargingProfilePurpose": "TxProfile",
        "chargingProfileKind": "Relative", "chargingSchedule": {
            "chargingRateUnit": "W", "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 4321.0}]}});
    let remote = json!({"connectorId": 1, "idTag": "APP", "chargingProfile": profile});
    let response = command(&gateway, "SIM", "RemoteStartTransaction", remote).await;
    assert_eq!(response, json!({"status": "Accepted"}));
    connector_is(&gateway, "SIM", 1, "Preparing").await;
    charger.tell("plug 1");
    let start =
        eventually("the session began", async || gateway.events_of("SIM", "StartTransaction").await.pop())
            .await;
    let sample = eventually("the limit is obeyed", async || {
        gateway.events_of("SIM", "MeterValues").await.into_iter().find(|event| {
            event["payload"]["meterValue"][0]["sampledValue"]
                .as_array()
                .is_some_and(|samples| samples.iter().any(|sample| sample["value"] == "4321"))
        })
    })
    .await;
    let id = start["payload"]["transactionId"].clone();
    assert_eq!(sample["payload"]["transactionId"], id);
    let composite =
        command(&gateway, "SIM", "GetCompositeSchedule", json!({"connectorId": 1, "duration": 60})).await;
    let periods = &composite["chargingSchedule"]["chargingSchedulePeriod"];
    assert_eq!(periods[0]["limit"].as_f64(), Some(4321.0), "{composite}");
    let stop = command(&gateway, "SIM", "RemoteStopTransaction", json!({"transactionId": id})).await;
    assert_eq!(stop, json!({"status": "Accepted"}));
    let transaction = eventually("the session is over", async || {
        let transaction = gateway.get(&format!("/transactions/{id}")).await;
        (transaction["status"] == "completed").then_some(transaction)
    })
    .await;
    assert_eq!(transaction["stop_reason"], "Remote");
    charger.end().await;
}

#[tokio::test]
async fn a_reservation_is_kept_for_its_tag() {
    let gateway = start(|_| {}).await;
    let charger = Simulated::start(&gateway, "SIM").await;
    let reserve =
        json!({"connectorId": 1, "expiryDate": "2999-01-01T00:00:00Z", "idTag": "MINE", "reservationId": 11});
    let response = command(&gateway, "SIM", "ReserveNow", reserve).await;
    assert_eq!(response, json!({"status": "Accepted"}));
    connector_is(&gateway, "SIM", 1, "Reserved").await;
    charger.tell("plug 1");
    charger.tell("tag OTHER 1");
    charger.tell("expect sent Authorize idTag=OTHER");
    charger.tell("expect status 1 Reserved");
    charger.tell("tag MINE 1");
    let start =
        eventually("its own tag charges", async || gateway.events_of("SIM", "StartTransaction").await.pop())
            .await;
    assert_eq!(
        (&start["payload"]["idTag"], &start["payload"]["reservationId"]),
        (&json!("MINE"), &json!(11))
    );
    charger.end().await;
}

#[tokio::test]
async fn firmware_and_logs_report_their_progress() {
    let gateway = start(|_| {}).await;
    let charger = Simulated::start(&gateway, "SIM").await;
    let log = json!({"log": {"remoteLocation": "ftp://x/y"}, "logType": "DiagnosticsLog", "requestId": 6});
    assert!(command(&gateway, "SIM", "GetLog", log).await["filename"].is_string());
    let firmware = json!({"requestId": 5, "firmware": {"location": "https://example.com/v9.bin",
        "retrieveDateTime": "2026-01-01T00:00:00Z", "signingCertificate": ROOT, "signature": "AA=="}});
    command(&gateway, "SIM", "SignedUpdateFirmware", firmware).await;
    eventually("it is installed", async || {
        let statuses = statuses(&gateway, "SIM", "SignedFirmwareStatusNotification").await;
        (statuses.last().map(String::as_str) == Some("Installed")).then_some(())
    })
    .await;
    assert_eq!(
        statuses(&gateway, "SIM", "SignedFirmwareStatusNotification").await,
        ["Downloading", "Downloaded", "SignatureVerified", "Installing", "InstallRebooting", "Installed"]
    );
    assert_eq!(statuses(&gateway, "SIM", "LogStatusNotification").await, ["Uploading", "Uploaded"]);
    let boots = gateway.events_of("SIM", "BootNotification").await;
    assert_eq!(boots[1]["payload"]["firmwareVersion"], "v9.bin");
    eventually("the update is a security event", async || {
        gateway.events_of("SIM", "SecurityEventNotification").await.pop()
    })
    .await;
    charger.end().await;
}

#[tokio::test]
async fn a_new_key_is_used_at_the_next_connection() {
    let gateway = start(|_| {}).await;
    let charger = Simulated::start(&gateway, "SIM").await;
    let key = json!({"key": "AuthorizationKey", "value": "000102030405060708090a0b0c0d0e0f"});
    let response = command(&gateway, "SIM", "ChangeConfiguration", key).await;
    assert_eq!(response, json!({"status": "Accepted"}));
    eventually("it comes back with the key", async || {
        (gateway.events_of("SIM", "StationConnected").await.len() == 2).then_some(())
    })
    .await;
    charger.tell("expect online");
    let heartbeat = json!({"requestedMessage": "Heartbeat"});
    assert_eq!(command(&gateway, "SIM", "TriggerMessage", heartbeat).await, json!({"status": "Accepted"}));
    charger.end().await;
}

/// Runs the program; exit code and what it printed.
async fn program(gateway: &Running, args: &[&str], input: &str) -> (Option<i32>, String) {
    let url = format!("ws://{}/ocpp", gateway.ocpp());
    let mut child = Command::new(env!("CARGO_BIN_EXE_charger-sim"))
        .args(["--url", &url, "--id", "PROGRAM"])
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    child.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("it reads");
    let output = tokio::task::spawn_blocking(move || child.wait_with_output()).await.expect("no panic");
    let output = output.expect("it ends");
    (output.status.code(), String::from_utf8(output.stdout).expect("text"))
}

#[tokio::test]
async fn the_program_runs_scenarios_and_what_is_piped_in() {
    let gateway = start(|_| {}).await;
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/scenario-session.toml");
    let (code, printed) = program(&gateway, &["--scenario", &shipped.display().to_string()], "").await;
    assert_eq!(code, Some(0), "{printed}");
    assert!(
        printed.contains("▶ expect status 1 Finishing") && printed.contains("1 car charged"),
        "{printed}"
    );

    let typed = "expect online\nplug 1\ntag ABC\nexpect status 1 Charging\nunplug 1\nexpect quiet\n";
    let (code, printed) = program(&gateway, &["--interactive", "--json"], typed).await;
    assert_eq!(code, Some(0), "{printed}");
    let last: Value = serde_json::from_str(printed.lines().last().expect("a summary")).expect("JSON");
    assert_eq!((&last["notice"], &last["sessions"]), (&json!("summary"), &json!(1)));

    let (code, printed) =
        program(&gateway, &["--interactive"], "expect status 1 Charging within 10ms\n").await;
    assert_eq!(code, Some(1), "{printed}");
    assert!(
        printed.contains("✗ line 1: expect status 1 Charging within 10ms: expected connector 1"),
        "{printed}"
    );

    let wrong = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(wrong.path(), "[scenario]\nsteps = [\"plug 1\",\n  \"dance\"]\n").expect("written");
    let (code, printed) = program(&gateway, &["--scenario", &wrong.path().display().to_string()], "").await;
    assert_eq!(code, Some(2), "{printed}");
    assert!(printed.contains("line 3: \"dance\": \"dance\" is no step"), "{printed}");
}
