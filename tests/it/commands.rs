//! Commands from the API to a charger's socket and back. Numbers in names are those of the list of cases.

use std::time::Duration;

use serde_json::{Value, json};
use vocabulary::ocpp::v16::FromCentralSystem;

use crate::crash::Place;
use crate::harness::{ADMIN_KEY, Charger, Running, call, eventually, http_client, start};
use crate::scripted::{Called, ask, asked, reaches};

#[tokio::test]
async fn a_command_is_sent_answered_and_told_of() {
    let gateway = start(|_| {}).await;
    let mut charger = gateway.booted("CP").await;
    let body = r#"{"action": "ChangeConfiguration", "metadata": {"ticket": 7},
        "payload": {"value": "60", "key": "HeartbeatInterval"}}"#;
    let request =
        http_client().post(gateway.url("/api/v1/stations/CP/commands")).header("X-API-Key", ADMIN_KEY);
    let asking = tokio::spawn(async move {
        let response = request.body(body).send().await.expect("an answer");
        (response.status().as_u16(), response.json().await.expect("JSON"))
    });
    let text = charger.receive().await;
    let id = serde_json::from_str::<Value>(&text).expect("JSON")[1].as_str().expect("a text").to_owned();
    assert_eq!(
        text,
        format!(r#"[2,"{id}","ChangeConfiguration",{{"value":"60","key":"HeartbeatInterval"}}]"#),
        "compact, members in the order given"
    );
    charger.answer(&id, json!({"status": "RebootRequired"})).await;
    let (status, command) = asked(asking).await;
    assert_eq!((status, &command["status"], &command["accepted"]), (200, &json!("completed"), &json!(true)));
    assert_eq!(command["response"], json!({"status": "RebootRequired"}));
    assert_eq!(command["requested_by"]["name"], "admin");
    assert_eq!(command["metadata"], json!({"ticket": 7}));
    assert_eq!(command["id"], format!("cmd_{id}"));
    let times = ["created_at", "sent_at", "completed_at"].map(|name| command[name].as_str().expect("a time"));
    assert!(times.is_sorted(), "{times:?}");

    let events = gateway.events_of("CP", "ChangeConfiguration").await;
    assert_eq!(events.len(), 1);
    assert_eq!((&events[0]["category"], &events[0]["protocol"]), (&json!("command"), &json!("ocpp1.6")));
    assert_eq!(
        events[0]["payload"],
        json!({"command_id": command["id"], "status": "completed", "error": null, "metadata": {"ticket": 7},
            "request": {"value": "60", "key": "HeartbeatInterval"}, "response": {"status": "RebootRequired"}})
    );
    let path = format!("/commands/{}", command["id"].as_str().expect("an id"));
    assert_eq!(gateway.get(&path).await, command);
    for list in
        ["/commands", "/stations/CP/commands", "/commands?status=completed&action=ChangeConfiguration"]
    {
        assert_eq!(gateway.get(list).await["data"], json!([command]), "{list}");
    }
}

#[tokio::test]
async fn case_83_a_charger_that_never_answers() {
    let gateway = start(|_| {}).await;
    let mut charger = gateway.booted("CP").await;
    let first = ask(&gateway, "CP", json!({"action": "ClearCache", "timeout": "300ms"}));
    let Called { id: first_id, .. } = charger.called().await;
    let (status, command) = asked(first).await;
    assert_eq!((status, &command["status"]), (504, &json!("timeout")));
    assert_eq!((&command["response"], &command["accepted"]), (&Value::Null, &Value::Null));

    // The next one goes, and an answer to the first is kept with it.
    let second = ask(&gateway, "CP", json!({"action": "ClearCache"}));
    let Called { id: second_id, .. } = charger.called().await;
    charger.answer(&first_id, json!({"status": "Accepted"})).await;
    charger.answer(&second_id, json!({"status": "Rejected"})).await;
    let (status, second) = asked(second).await;
    assert_eq!((status, &second["accepted"]), (200, &json!(false)));
    let first = gateway.get(&format!("/commands/cmd_{first_id}")).await;
    assert_eq!(
        (&first["status"], &first["late_response"]),
        (&json!("timeout"), &json!({"status": "Accepted"}))
    );
    assert!(gateway.events_of("CP", "MessageRejected").await.is_empty());
    assert_eq!(gateway.events_of("CP", "ClearCache").await.len(), 2);
    // A second answer to the same call is to nobody.
    charger.answer(&first_id, json!({"status": "Accepted"})).await;
    charger.still_serves().await;
    assert_eq!(gateway.events_of("CP", "MessageRejected").await[0]["payload"]["reason"], "unknown_call");
}

#[tokio::test]
async fn case_82_commands_asked_at_once_are_sent_one_after_the_other() {
    let gateway = start(|_| {}).await;
    let mut charger = gateway.booted("CP").await;
    let asking: Vec<_> = (0..20)
        .map(|n| {
            let payload = json!({"connectorId": n, "type": "Operative"});
            ask(&gateway, "CP", json!({"action": "ChangeAvailability", "payload": payload}))
        })
        .collect();
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..20 {
        let Called { id, payload, .. } = charger.called().await;
        // Exactly one in flight: what comes next is the answer to our own call.
        charger.still_serves().await;
        seen.insert(payload["connectorId"].as_i64());
        charger.answer(&id, json!({"status": "Accepted"})).await;
    }
    assert_eq!(seen.len(), 20);
    for asking in asking {
        let (status, command) = asked(asking).await;
        assert_eq!((status, &command["status"]), (200, &json!("completed")));
    }
}

#[tokio::test]
async fn a_station_that_is_not_there_takes_only_what_may_wait() {
    let gateway = start(|_| {}).await;
    let (status, problem) =
        gateway.api("POST", "/stations/CP/commands", Some(json!({"action": "Reset"}))).await;
    assert_eq!(status, 404, "{problem}");
    drop(gateway.booted("CP").await);
    eventually("it is gone", || async {
        (gateway.get("/stations/CP").await["connected"] == false).then_some(())
    })
    .await;
    let reset = json!({"action": "Reset", "payload": {"type": "Soft"}});
    let (status, problem) = gateway.api("POST", "/stations/CP/commands", Some(reset.clone())).await;
    assert_eq!(status, 409);
    assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains("not connected")), "{problem}");

    let mut queued = reset;
    queued["queue"] = json!(true);
    let (status, command) = gateway.api("POST", "/stations/CP/commands", Some(queued)).await;
    assert_eq!((status, &command["status"]), (202, &json!("queued")));
    let mut charger = gateway.charger("CP").await;
    assert_eq!(charger.boot().await, "Accepted");
    let Called { id, action, payload, .. } = charger.called().await;
    assert_eq!((action.as_str(), payload), ("Reset", json!({"type": "Soft"})));
    charger.answer(&id, json!({"status": "Accepted"})).await;
    let done = reaches(&gateway, &command, "completed").await;
    assert_eq!(done["accepted"], true);
}

#[tokio::test]
async fn what_is_wrong_with_a_command_is_said_at_once_and_nothing_is_sent() {
    let gateway = start(|_| {}).await;
    let mut charger = gateway.booted("CP").await;
    let path = "/stations/CP/commands";
    let wrong = [
        (json!({"action": "Rset"}), "action", "Reset"),
        (json!({"action": "BootNotification"}), "action", "charger sends"),
        (json!({}), "action", "required"),
        (json!({"action": "Reset"}), "payload.type", ""),
        (json!({"action": "Reset", "payload": {"type": "Soft", "x": 1}}), "payload.x", ""),
        (json!({"action": "ClearCache", "timeout": "1ms"}), "timeout", "100ms"),
        (json!({"action": "ClearCache", "timeout": "soon"}), "timeout", "duration"),
        (json!({"action": "ClearCache", "queue": true, "expires_in": "90d"}), "expires_in", "30d"),
        (json!({"action": "ClearCache", "expires_in": "1h"}), "expires_in", "queue"),
        (json!({"action": "ClearCache", "wiat": true}), "wiat", "known"),
        (json!({"action": "ClearCache", "metadata": {"x": "y".repeat(17 << 10)}}), "metadata", "16 KiB"),
    ];
    for (body, field, words) in wrong {
        let (status, problem) = gateway.api("POST", path, Some(body.clone())).await;
        assert_eq!(status, 422, "{body}: {problem}");
        let errors = problem["errors"].as_array().expect("errors");
        let message = errors.iter().find(|error| error["field"] == field).map(|error| &error["message"]);
        let message = message.unwrap_or_else(|| panic!("{field} is named: {problem}"));
        assert!(message.as_str().is_some_and(|message| message.contains(words)), "{body}: {message}");
    }
    charger.still_serves().await;
    assert_eq!(gateway.get("/commands").await["data"], json!([]));
}

#[tokio::test]
async fn a_connection_lost_before_the_answer_ends_the_command_at_once() {
    let gateway = start(|_| {}).await;
    let mut charger = gateway.booted("CP").await;
    let sent = ask(&gateway, "CP", json!({"action": "ClearCache"}));
    let Called { id, .. } = charger.called().await;
    let waiting = ask(&gateway, "CP", json!({"action": "ClearCache"}));
    let may_wait = ask(&gateway, "CP", json!({"action": "ClearCache", "queue": true, "wait": false}));
    let (status, may_wait) = asked(may_wait).await;
    assert_eq!(status, 202);
    eventually("both wait", || async {
        let queued = gateway.get("/commands?status=queued").await;
        (queued["data"].as_array().map(Vec::len) == Some(2)).then_some(())
    })
    .await;
    drop(charger);
    for asking in [sent, waiting] {
        let (status, command) = asked(asking).await;
        assert_eq!((status, &command["status"]), (504, &json!("connection_lost")));
    }
    // Late, and on another socket; and what may wait has waited.
    let mut charger = gateway.charger("CP").await;
    charger.answer(&id, json!({"status": "Accepted"})).await;
    assert_eq!(charger.boot().await, "Accepted");
    let late = gateway.get(&format!("/commands/cmd_{id}")).await;
    assert_eq!(late["late_response"], json!({"status": "Accepted"}));
    let Called { id, .. } = charger.called().await;
    assert_eq!(may_wait["id"], format!("cmd_{id}"));
}

/// Long enough for anything that would come by itself, where nothing must.
const A_MOMENT: Duration = Duration::from_millis(300);

#[tokio::test]
async fn the_first_call_waits_for_a_boot_or_for_its_time() {
    let gateway = start(|config| config.ocpp.first_call_delay = "500ms".parse().expect("a span")).await;
    drop(gateway.booted("CP").await);
    let mut charger = gateway.charger("CP").await;
    let connected = std::time::Instant::now();
    // By its row alone it is not told from the connection before it, whose commands end with that.
    eventually("it is back", || async {
        (gateway.events_of("CP", "StationConnected").await.len() == 2).then_some(())
    })
    .await;
    let asking = ask(&gateway, "CP", json!({"action": "ClearCache"}));
    let Called { id, .. } = charger.called().await;
    assert!(connected.elapsed() >= A_MOMENT, "{:?}", connected.elapsed());
    charger.answer(&id, json!({"status": "Accepted"})).await;
    assert_eq!(asked(asking).await.0, 200);
}

/// Enough of a certificate for those who do not look into it.
const PEM: &str = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";

/// A payload that every charger of the specification understands.
fn plain_payload(action: &str) -> Value {
    let hash = json!({"hashAlgorithm": "SHA256", "issuerNameHash": "aa".repeat(32), "issuerKeyHash": "bb".repeat(32), "serialNumber": "1"});
    let period =
        json!({"chargingRateUnit": "A", "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 16.1}]});
    let profile = json!({"chargingProfileId": 1, "stackLevel": 0, "chargingProfilePurpose": "TxDefaultProfile",
        "chargingProfileKind": "Relative", "chargingSchedule": period});
    let firmware = json!({"location": "https://example.com/fw", "retrieveDateTime": "2026-04-14T12:00:00Z",
        "signingCertificate": PEM, "signature": "c2lnbmF0dXJl"});
    match action {
        "CancelReservation" => json!({"reservationId": 1}),
        "ChangeAvailability" => json!({"connectorId": 0, "type": "Operative"}),
        "ChangeConfiguration" => json!({"key": "HeartbeatInterval", "value": "300"}),
        "DataTransfer" => json!({"vendorId": "V", "data": "x"}),
        "GetCompositeSchedule" => json!({"connectorId": 1, "duration": 60}),
        "GetDiagnostics" => json!({"location": "ftp://example.com/"}),
        "RemoteStartTransaction" => json!({"idTag": "TAG", "connectorId": 1}),
        "RemoteStopTransaction" => json!({"transactionId": 1}),
        "ReserveNow" => {
            json!({"connectorId": 1, "expiryDate": "2999-01-01T00:00:00Z", "idTag": "TAG", "reservationId": 1})
        }
        "Reset" => json!({"type": "Soft"}),
        "SendLocalList" => json!({"listVersion": 1, "updateType": "Full"}),
        "SetChargingProfile" => json!({"connectorId": 1, "csChargingProfiles": profile}),
        "TriggerMessage" | "ExtendedTriggerMessage" => json!({"requestedMessage": "Heartbeat"}),
        "UnlockConnector" => json!({"connectorId": 1}),
        "UpdateFirmware" => json!({"location": "ftp://example.com/", "retrieveDate": "2026-04-14T12:00:00Z"}),
        "CertificateSigned" => json!({"certificateChain": PEM}),
        "DeleteCertificate" => json!({"certificateHashData": hash}),
        "GetInstalledCertificateIds" => json!({"certificateType": "CentralSystemRootCertificate"}),
        "GetLog" => {
            json!({"logType": "SecurityLog", "requestId": 1, "log": {"remoteLocation": "https://example.com/"}})
        }
        "InstallCertificate" => {
            json!({"certificateType": "CentralSystemRootCertificate", "certificate": PEM})
        }
        "SignedUpdateFirmware" => json!({"requestId": 1, "firmware": firmware}),
        _ => json!({}),
    }
}

/// What a willing charger answers.
fn plain_answer(action: &str) -> Value {
    match action {
        "GetConfiguration" | "GetDiagnostics" | "UpdateFirmware" => json!({}),
        "GetLocalListVersion" => json!({"listVersion": 0}),
        "UnlockConnector" => json!({"status": "Unlocked"}),
        _ => json!({"status": "Accepted"}),
    }
}

#[tokio::test]
async fn each_of_the_26_actions_is_sent_answered_and_told_of_under_its_name() {
    let gateway = start(|_| {}).await;
    let mut charger = gateway.booted("CP").await;
    assert_eq!(FromCentralSystem::ALL.len(), 26);
    for action in FromCentralSystem::ALL.iter().map(|action| action.as_str()) {
        let asking = ask(&gateway, "CP", json!({"action": action, "payload": plain_payload(action)}));
        let Called { id, action: called, payload, .. } = charger.called().await;
        assert_eq!((called.as_str(), payload), (action, plain_payload(action)));
        charger.answer(&id, plain_answer(action)).await;
        let (status, command) = asked(asking).await;
        assert_eq!((status, &command["accepted"]), (200, &json!(true)), "{command}");
        assert_eq!(command["violations"], json!([]), "{command}");
        let event = if action == "DataTransfer" { "DataTransferSent" } else { action };
        let events = gateway.events_of("CP", event).await;
        assert_eq!((events.len(), &events[0]["payload"]["command_id"]), (1, &command["id"]), "{action}");
    }
}

#[tokio::test]
async fn case_2_and_3_a_pending_station_is_called_but_starts_nothing() {
    let gateway = start(|_| {}).await;
    let station = json!({"station_id": "CP", "boot_status": "pending"});
    assert_eq!(gateway.api("POST", "/stations", Some(station)).await.0, 201);
    let mut charger = gateway.charger("CP").await;
    let (status, problem) =
        gateway.api("POST", "/stations/CP/commands", Some(json!({"action": "ClearCache"}))).await;
    assert_eq!(status, 409, "it has not booted: {problem}");
    assert_eq!(charger.boot().await, "Pending");
    for action in ["RemoteStartTransaction", "RemoteStopTransaction"] {
        let body = json!({"action": action, "payload": plain_payload(action)});
        let (status, problem) = gateway.api("POST", "/stations/CP/commands", Some(body)).await;
        assert_eq!(status, 409);
        assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains("Pending")), "{problem}");
    }
    let start = json!({"action": "RemoteStartTransaction", "queue": true, "payload": {"idTag": "TAG"}});
    let (status, queued) = gateway.api("POST", "/stations/CP/commands", Some(start)).await;
    assert_eq!((status, &queued["status"]), (202, &json!("queued")));
    for action in ["GetConfiguration", "ChangeConfiguration"] {
        let asking = ask(&gateway, "CP", json!({"action": action, "payload": plain_payload(action)}));
        let Called { id, action: called, .. } = charger.called().await;
        assert_eq!(called, action, "what may be asked passes what may not");
        charger.answer(&id, plain_answer(action)).await;
        assert_eq!(asked(asking).await.0, 200);
    }
    // Approved, and told to boot: the answer, then what has waited for it.
    assert_eq!(gateway.api("PATCH", "/stations/CP", Some(json!({"boot_status": "accepted"}))).await.0, 200);
    let trigger = json!({"action": "TriggerMessage", "payload": {"requestedMessage": "BootNotification"}});
    let asking = ask(&gateway, "CP", trigger);
    let Called { id, .. } = charger.called().await;
    charger.answer(&id, json!({"status": "Accepted"})).await;
    assert_eq!(asked(asking).await.0, 200);
    assert_eq!(charger.boot().await, "Accepted");
    let Called { id, action, .. } = charger.called().await;
    assert_eq!((format!("cmd_{id}"), action.as_str()), (word(&queued["id"]), "RemoteStartTransaction"));
}

fn word(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

#[tokio::test]
async fn case_4_a_rejected_station_is_not_called() {
    let gateway = start(|_| {}).await;
    let station = json!({"station_id": "CP", "boot_status": "rejected"});
    assert_eq!(gateway.api("POST", "/stations", Some(station)).await.0, 201);
    let mut charger = gateway.charger("CP").await;
    assert_eq!(charger.boot().await, "Rejected");
    let (status, problem) =
        gateway.api("POST", "/stations/CP/commands", Some(json!({"action": "ClearCache"}))).await;
    assert_eq!(status, 409);
    assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains("Rejected")), "{problem}");
    let queued = json!({"action": "ClearCache", "queue": true, "expires_in": "1s"});
    let (status, queued) = gateway.api("POST", "/stations/CP/commands", Some(queued)).await;
    assert_eq!(status, 202);
    charger.still_serves().await;
    let expired = reaches(&gateway, &queued, "expired").await;
    assert!(expired["sent_at"].is_null());
    charger.still_serves().await;
    assert_eq!(gateway.events_of("CP", "ClearCache").await[0]["payload"]["status"], "expired");
}

async fn remote_start(gateway: &Running, charger: &mut Charger, verdict: &str) -> Value {
    let body = json!({"action": "RemoteStartTransaction", "payload": {"idTag": "tag", "connectorId": 1}});
    let asking = ask(gateway, "CP", body);
    let Called { id, .. } = charger.called().await;
    charger.answer(&id, json!({"status": verdict})).await;
    let (status, command) = asked(asking).await;
    assert_eq!((status, &command["status"]), (200, &json!("completed")));
    command
}

fn a_start(tag: &str) -> Value {
    let now = vocabulary::clock::Clock::System.now();
    json!({"connectorId": 1, "idTag": tag, "meterStart": 0, "timestamp": now})
}

#[tokio::test]
async fn case_48_a_remote_start_and_the_transaction_it_began() {
    let gateway = start(|_| {}).await;
    let mut charger = gateway.booted("CP").await;
    let command = remote_start(&gateway, &mut charger, "Accepted").await;
    assert_eq!((&command["accepted"], &command["outcome"]), (&json!(true), &Value::Null));
    charger.call("Authorize", json!({"idTag": "TAG"})).await;
    let number = charger.call("StartTransaction", a_start("TAG")).await["transactionId"].clone();
    let path = format!("/commands/{}", word(&command["id"]));
    let command = gateway.get(&path).await;
    assert_eq!((&command["outcome"], &command["transaction_id"]), (&json!("started"), &number));
    assert_eq!(gateway.get(&format!("/transactions/{number}")).await["command_id"], command["id"]);
    let outcome = gateway.events_of("CP", "RemoteStartOutcome").await.pop().expect("an event");
    assert_eq!((&outcome["category"], &outcome["transaction_id"]), (&json!("command"), &number));
}

#[tokio::test]
async fn a_remote_start_is_found_though_its_tag_comes_back_with_stray_bytes() {
    let gateway = start(|_| {}).await;
    let mut charger = gateway.booted("CP").await;
    for tag in ["TAG\u{1}", "\u{2}Tag", " TAG\r\n", "TAG\0x"] {
        let command = remote_start(&gateway, &mut charger, "Accepted").await;
        charger.call("StartTransaction", a_start("TAG2")).await;
        let number = charger.call("StartTransaction", a_start(tag)).await["transactionId"].clone();
        let command = gateway.get(&format!("/commands/{}", word(&command["id"]))).await;
        assert_eq!(
            (&command["outcome"], &command["transaction_id"]),
            (&json!("started"), &number),
            "{tag:?}"
        );
    }
    // Also where the answer comes after it.
    let asked_for = json!({"idTag": "tag", "connectorId": 1});
    let body = json!({"action": "RemoteStartTransaction", "payload": asked_for, "timeout": "200ms"});
    let asking = ask(&gateway, "CP", body);
    let Called { id, .. } = charger.called().await;
    let (status, command) = asked(asking).await;
    assert_eq!(status, 504);
    let number = charger.call("StartTransaction", a_start("tag\u{fffd}")).await["transactionId"].clone();
    charger.answer(&id, json!({"status": "Accepted"})).await;
    let path = format!("/commands/{}", word(&command["id"]));
    let command = eventually("the late answer is kept", || async {
        Some(gateway.get(&path).await).filter(|command| !command["late_response"].is_null())
    })
    .await;
    assert_eq!((&command["outcome"], &command["transaction_id"]), (&json!("started"), &number));
}

#[tokio::test]
async fn case_50_a_remote_start_that_was_rejected_has_no_outcome() {
    let gateway = start(|_| {}).await;
    let mut charger = gateway.booted("CP").await;
    let command = remote_start(&gateway, &mut charger, "Rejected").await;
    assert_eq!((&command["accepted"], &command["outcome"]), (&json!(false), &Value::Null));
    let number = charger.call("StartTransaction", a_start("TAG")).await["transactionId"].clone();
    assert!(gateway.get(&format!("/transactions/{number}")).await["command_id"].is_null());
    assert!(gateway.events_of("CP", "RemoteStartOutcome").await.is_empty());
}

#[tokio::test]
async fn case_52_a_remote_stop_and_one_that_was_rejected() {
    let gateway = start(|_| {}).await;
    let mut charger = gateway.booted("CP").await;
    let number = charger.call("StartTransaction", a_start("TAG")).await["transactionId"].clone();
    for (verdict, accepted) in [("Rejected", false), ("Accepted", true)] {
        let body = json!({"action": "RemoteStopTransaction", "payload": {"transactionId": number}});
        let asking = ask(&gateway, "CP", body);
        let Called { id, payload, .. } = charger.called().await;
        assert_eq!(payload, json!({"transactionId": number}));
        charger.answer(&id, json!({"status": verdict})).await;
        assert_eq!(asked(asking).await.1["accepted"], accepted);
    }
    let now = vocabulary::clock::Clock::System.now();
    let stop = json!({"transactionId": number, "meterStop": 10, "timestamp": now, "reason": "Remote"});
    charger.call("StopTransaction", stop).await;
    assert_eq!(gateway.get(&format!("/transactions/{number}")).await["stop_reason"], "Remote");
}

#[tokio::test]
async fn case_53_a_reset_that_was_accepted_stays_so_when_the_socket_goes() {
    let gateway = start(|_| {}).await;
    let mut charger = gateway.booted("CP").await;
    for kind in ["Hard", "Soft"] {
        let asking = ask(&gateway, "CP", json!({"action": "Reset", "payload": {"type": kind}}));
        let Called { id, payload, .. } = charger.called().await;
        assert_eq!(payload, json!({"type": kind}));
        charger.answer(&id, json!({"status": "Accepted"})).await;
        let (status, command) = asked(asking).await;
        assert_eq!(status, 200);
        drop(charger);
        charger = gateway.booted("CP").await;
        let path = format!("/commands/{}", word(&command["id"]));
        assert_eq!(gateway.get(&path).await, command, "{kind}");
    }
}

#[tokio::test]
async fn case_81_a_charger_that_calls_while_we_wait_is_answered_at_once() {
    let gateway = start(|_| {}).await;
    let mut charger = gateway.booted("CP").await;
    let asking = ask(&gateway, "CP", json!({"action": "ClearCache"}));
    let Called { id, .. } = charger.called().await;
    for _ in 0..5 {
        charger.still_serves().await;
    }
    charger.call("StartTransaction", a_start("TAG")).await;
    charger.answer(&id, json!({"status": "Accepted"})).await;
    assert_eq!(asked(asking).await.0, 200);
}

#[tokio::test]
async fn case_84_a_takeover_ends_what_the_old_socket_had_open_and_nothing_else() {
    let gateway = start(|_| {}).await;
    let mut old = gateway.booted("CP").await;
    let open = ask(&gateway, "CP", json!({"action": "ClearCache"}));
    old.called().await;
    let body = json!({"action": "Reset", "payload": {"type": "Soft"}, "queue": true, "wait": false});
    let (_, may_wait) = asked(ask(&gateway, "CP", body)).await;
    let mut new = gateway.charger("CP").await;
    let (status, lost) = asked(open).await;
    assert_eq!((status, &lost["status"]), (504, &json!("connection_lost")));
    assert_eq!(new.boot().await, "Accepted");
    let Called { id, action, .. } = new.called().await;
    assert_eq!((format!("cmd_{id}"), action.as_str()), (word(&may_wait["id"]), "Reset"));
    drop(old);
    new.answer(&id, json!({"status": "Accepted"})).await;
    assert_eq!(reaches(&gateway, &may_wait, "completed").await["accepted"], true);
    assert_eq!(gateway.get("/stations/CP").await["connected"], true);
}

#[tokio::test]
async fn a_command_can_be_called_back_until_it_is_sent() {
    let gateway = start(|_| {}).await;
    let mut charger = gateway.booted("CP").await;
    let first = ask(&gateway, "CP", json!({"action": "ClearCache"}));
    let Called { id, .. } = charger.called().await;
    let second = ask(&gateway, "CP", json!({"action": "GetLocalListVersion"}));
    let queued = eventually("the second waits", || async {
        gateway.get("/stations/CP/commands?status=queued").await["data"].get(0).cloned()
    })
    .await;
    let cancel = |id: String| format!("/commands/{id}/cancel");
    let (status, canceled) = gateway.api("POST", &cancel(word(&queued["id"])), None).await;
    assert_eq!((status, &canceled["status"]), (200, &json!("canceled")));
    let (status, command) = asked(second).await;
    assert_eq!((status, &command), (200, &canceled), "who waits hears of it");
    assert_eq!(gateway.api("POST", &cancel(format!("cmd_{id}")), None).await.0, 409, "it was sent");
    assert_eq!(gateway.api("POST", &cancel(word(&queued["id"])), None).await.0, 409, "it has ended");
    charger.answer(&id, json!({"status": "Accepted"})).await;
    assert_eq!(asked(first).await.0, 200);
    charger.still_serves().await;
    assert_eq!(gateway.events_of("CP", "GetLocalListVersion").await[0]["payload"]["status"], "canceled");
}

#[tokio::test]
async fn who_goes_away_calls_nothing_back() {
    let gateway = start(|_| {}).await;
    let mut charger = gateway.booted("CP").await;
    let asking = ask(&gateway, "CP", json!({"action": "ClearCache"}));
    let Called { id, .. } = charger.called().await;
    asking.abort();
    assert!(asking.await.is_err_and(|error| error.is_cancelled()));
    charger.answer(&id, json!({"status": "Accepted"})).await;
    reaches(&gateway, &json!({"id": format!("cmd_{id}")}), "completed").await;
}

#[tokio::test]
async fn the_same_idempotency_key_sends_one_command_even_after_a_time_out() {
    let gateway = start(|_| {}).await;
    let mut charger = gateway.booted("CP").await;
    let post = || {
        let request = http_client().post(gateway.url("/api/v1/stations/CP/commands"));
        let request = request.header("X-API-Key", ADMIN_KEY).header("Idempotency-Key", "once");
        let request = request.json(&json!({"action": "ClearCache", "timeout": "200ms"}));
        async move {
            let response = request.send().await.expect("an answer");
            let replayed = response.headers().contains_key("idempotent-replayed");
            (response.status().as_u16(), replayed, response.json::<Value>().await.expect("JSON"))
        }
    };
    let first = tokio::spawn(post());
    charger.called().await;
    let (status, replayed, command) = first.await.expect("asks to the end");
    assert_eq!((status, replayed, &command["status"]), (504, false, &json!("timeout")));
    let (status, replayed, again) = post().await;
    assert_eq!((status, replayed, &again), (504, true, &command));
    charger.still_serves().await;
    assert_eq!(gateway.get("/commands").await["data"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn a_command_that_was_refused_is_sent_under_the_same_key_once_its_station_is_there() {
    let gateway = start(|_| {}).await;
    gateway.api("POST", "/stations", Some(json!({"station_id": "CP"}))).await;
    let post = || {
        let request = http_client().post(gateway.url("/api/v1/stations/CP/commands"));
        let request = request.header("X-API-Key", ADMIN_KEY).header("Idempotency-Key", "once");
        let request = request.json(&json!({"action": "ClearCache"}));
        async move {
            let response = request.send().await.expect("an answer");
            let replayed = response.headers().contains_key("idempotent-replayed");
            (response.status().as_u16(), replayed)
        }
    };
    assert_eq!(post().await, (409, false), "it is not connected");
    let mut charger = gateway.booted("CP").await;
    let asking = tokio::spawn(post());
    let call = charger.called().await;
    let repeated = post().await;
    assert_eq!(repeated, (409, false), "the first one runs");
    charger.send(&json!([3, call.id, {"status": "Accepted"}]).to_string()).await;
    assert_eq!(asking.await.expect("asks to the end"), (200, false));
    assert_eq!(post().await, (200, true));
    assert_eq!(gateway.get("/commands").await["data"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn whoever_waits_does_not_hold_up_a_stop() {
    let gateway = start(|_| {}).await;
    let mut charger = gateway.booted("CP").await;
    let asking = ask(&gateway, "CP", json!({"action": "ClearCache", "timeout": "10m"}));
    charger.called().await;
    let began = std::time::Instant::now();
    gateway.gateway.stop().await;
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    let (status, command) = asked(asking).await;
    assert_eq!((status, &command["status"]), (504, &json!("connection_lost")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_under_way_at_a_kill_is_never_sent_again() {
    let dir = tempfile::tempdir().expect("a directory");
    let place = Place::new(dir.path());
    let http = http_client();
    let post = |body: Value| call(&http, place.api, "POST", "/stations/CP/commands", Some(body));
    let offer = [("Sec-WebSocket-Protocol", "ocpp1.6")];

    let process = place.serve();
    let mut charger = Charger::connect(place.ocpp, "/ocpp/CP", &offer).await.expect("connects");
    assert_eq!(charger.boot().await, "Accepted");
    let (status, under_way) = post(json!({"action": "ClearCache", "wait": false, "queue": true})).await;
    assert_eq!(status, 202);
    let Called { id, .. } = charger.called().await;
    assert_eq!(word(&under_way["id"]), format!("cmd_{id}"));
    let (_, next) = post(json!({"action": "GetLocalListVersion", "wait": false, "queue": true})).await;
    process.kill();

    let _process = place.serve();
    let get = async |command: &Value| {
        let path = format!("/commands/{}", word(&command["id"]));
        call(&http, place.api, "GET", &path, None).await.1
    };
    assert_eq!(get(&under_way).await["status"], "connection_lost");
    assert_eq!(get(&next).await["status"], "queued");
    let mut charger = Charger::connect(place.ocpp, "/ocpp/CP", &offer).await.expect("connects");
    assert_eq!(charger.boot().await, "Accepted");
    let Called { id, action, .. } = charger.called().await;
    assert_eq!((format!("cmd_{id}"), action.as_str()), (word(&next["id"]), "GetLocalListVersion"));
    charger.answer(&id, json!({"listVersion": 0})).await;
    charger.still_serves().await;
}
