//! Commands from the API to a charger's socket and back. Numbers in names are those of the list of cases.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::harness::{ADMIN_KEY, Charger, Running, call, eventually, http_client, start};

/// Asks for a command beside the test, as an integrator would.
pub(crate) fn ask(gateway: &Running, station: &str, body: Value) -> JoinHandle<(u16, Value)> {
    let (api, path) = (gateway.gateway.api_addr(), format!("/stations/{station}/commands"));
    tokio::spawn(async move { call(&http_client(), api, "POST", &path, Some(body)).await })
}

pub(crate) async fn asked(asking: JoinHandle<(u16, Value)>) -> (u16, Value) {
    asking.await.expect("asks to the end")
}

pub(crate) async fn boot(charger: &mut Charger) -> Value {
    let boot = json!({"chargePointVendor": "V", "chargePointModel": "M"});
    charger.call("BootNotification", boot).await["status"].clone()
}

pub(crate) async fn booted(gateway: &Running, station: &str) -> Charger {
    let mut charger = gateway.charger(station).await;
    assert_eq!(boot(&mut charger).await, "Accepted");
    charger
}

/// The next CALL of the gateway: message id, action, payload.
pub(crate) async fn called(charger: &mut Charger) -> (String, String, Value) {
    let text = charger.receive().await;
    let frame: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!((&frame[0], frame.as_array().map(Vec::len)), (&json!(2), Some(4)), "a CALL was due: {text}");
    assert!(frame[3].is_object(), "{text}");
    let word = |at: usize| frame[at].as_str().expect("a text").to_owned();
    assert!((1..=36).contains(&word(1).len()), "{text}");
    (word(1), word(2), frame[3].clone())
}

pub(crate) async fn answer(charger: &mut Charger, id: &str, payload: Value) {
    charger.send(&json!([3, id, payload]).to_string()).await;
}

/// Waits until the command has this status.
pub(crate) async fn reaches(gateway: &Running, command: &Value, status: &str) -> Value {
    let path = format!("/commands/{}", command["id"].as_str().expect("an id"));
    eventually(status, || async {
        let found = gateway.get(&path).await;
        (found["status"] == status).then_some(found)
    })
    .await
}

#[tokio::test]
async fn a_command_is_sent_answered_and_told_of() {
    let gateway = start(|_| {}).await;
    let mut charger = booted(&gateway, "CP").await;
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
    answer(&mut charger, &id, json!({"status": "RebootRequired"})).await;
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
    let mut charger = booted(&gateway, "CP").await;
    let first = ask(&gateway, "CP", json!({"action": "ClearCache", "timeout": "300ms"}));
    let (first_id, ..) = called(&mut charger).await;
    let (status, command) = asked(first).await;
    assert_eq!((status, &command["status"]), (504, &json!("timeout")));
    assert_eq!((&command["response"], &command["accepted"]), (&Value::Null, &Value::Null));

    // The next one goes, and an answer to the first is kept with it.
    let second = ask(&gateway, "CP", json!({"action": "ClearCache"}));
    let (second_id, ..) = called(&mut charger).await;
    answer(&mut charger, &first_id, json!({"status": "Accepted"})).await;
    answer(&mut charger, &second_id, json!({"status": "Rejected"})).await;
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
    answer(&mut charger, &first_id, json!({"status": "Accepted"})).await;
    charger.still_serves().await;
    assert_eq!(gateway.events_of("CP", "MessageRejected").await[0]["payload"]["reason"], "unknown_call");
}

#[tokio::test]
async fn case_82_commands_asked_at_once_are_sent_one_after_the_other() {
    let gateway = start(|_| {}).await;
    let mut charger = booted(&gateway, "CP").await;
    let asking: Vec<_> = (0..20)
        .map(|n| {
            let payload = json!({"connectorId": n, "type": "Operative"});
            ask(&gateway, "CP", json!({"action": "ChangeAvailability", "payload": payload}))
        })
        .collect();
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..20 {
        let (id, _, payload) = called(&mut charger).await;
        // Exactly one in flight: what comes next is the answer to our own call.
        charger.still_serves().await;
        seen.insert(payload["connectorId"].as_i64());
        answer(&mut charger, &id, json!({"status": "Accepted"})).await;
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
    drop(booted(&gateway, "CP").await);
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
    assert_eq!(boot(&mut charger).await, "Accepted");
    let (id, action, payload) = called(&mut charger).await;
    assert_eq!((action.as_str(), payload), ("Reset", json!({"type": "Soft"})));
    answer(&mut charger, &id, json!({"status": "Accepted"})).await;
    let done = reaches(&gateway, &command, "completed").await;
    assert_eq!(done["accepted"], true);
}

#[tokio::test]
async fn what_is_wrong_with_a_command_is_said_at_once_and_nothing_is_sent() {
    let gateway = start(|_| {}).await;
    let mut charger = booted(&gateway, "CP").await;
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
    let mut charger = booted(&gateway, "CP").await;
    let sent = ask(&gateway, "CP", json!({"action": "ClearCache"}));
    let (id, ..) = called(&mut charger).await;
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
    answer(&mut charger, &id, json!({"status": "Accepted"})).await;
    assert_eq!(boot(&mut charger).await, "Accepted");
    let late = gateway.get(&format!("/commands/cmd_{id}")).await;
    assert_eq!(late["late_response"], json!({"status": "Accepted"}));
    let (id, ..) = called(&mut charger).await;
    assert_eq!(may_wait["id"], format!("cmd_{id}"));
}

/// Long enough for anything that would come by itself, where nothing must.
const A_MOMENT: Duration = Duration::from_millis(300);

#[tokio::test]
async fn the_first_call_waits_for_a_boot_or_for_its_time() {
    let gateway = start(|config| config.ocpp.first_call_delay = "500ms".parse().expect("a span")).await;
    drop(booted(&gateway, "CP").await);
    let mut charger = gateway.charger("CP").await;
    let connected = std::time::Instant::now();
    eventually("it is back", || async {
        (gateway.get("/stations/CP").await["connected"] == true).then_some(())
    })
    .await;
    let asking = ask(&gateway, "CP", json!({"action": "ClearCache"}));
    let (id, ..) = called(&mut charger).await;
    assert!(connected.elapsed() >= A_MOMENT, "{:?}", connected.elapsed());
    answer(&mut charger, &id, json!({"status": "Accepted"})).await;
    assert_eq!(asked(asking).await.0, 200);
}
