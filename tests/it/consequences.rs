//! What commands change beside themselves: passwords, configuration, local lists, reservations. Numbers in
//! names are those of the list of cases.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use vocabulary::clock::Clock;

use crate::harness::{Charger, Running, eventually, start};
use crate::scripted::{Called, ask, asked, reaches};

const OCPP16: (&str, &str) = ("Sec-WebSocket-Protocol", "ocpp1.6");
const OLD_KEY: &str = "00112233445566778899aabbccddeeff";
const NEW_KEY: &str = "FFEEDDCCBBAA99887766554433221100aabbccdd";

/// Asks for a command, answers its CALL with `response` and returns the payload sent and the command.
async fn command(
    gateway: &Running,
    charger: &mut Charger,
    station: &str,
    action: &str,
    payload: Value,
    response: Value,
) -> (Value, Value) {
    let asking = ask(gateway, station, json!({"action": action, "payload": payload}));
    let Called { id, action: sent_action, payload: sent, .. } = charger.called().await;
    assert_eq!(sent_action, action);
    charger.answer(&id, response).await;
    let (status, command) = asked(asking).await;
    assert_eq!((status, &command["status"]), (200, &json!("completed")), "{command}");
    (sent, command)
}

// ── Key rotation ──────────────────

/// A station whose password is the old key, made through the API.
async fn with_old_key(gateway: &Running, station: &str) {
    let body = json!({"station_id": station, "password": OLD_KEY});
    let (status, made) = gateway.api("POST", "/stations", Some(body)).await;
    assert_eq!(status, 201, "{made}");
}

/// Knocks with the bytes of a key, or without.
async fn knock(gateway: &Running, station: &str, key: Option<&str>) -> Result<Charger, u16> {
    let mut credentials = format!("{station}:").into_bytes();
    credentials.extend(hex::decode(key.unwrap_or_default()).expect("hex"));
    let basic = format!("Basic {}", STANDARD.encode(credentials));
    let headers = [OCPP16, ("Authorization", basic.as_str())];
    let headers = if key.is_some() { &headers[..] } else { &headers[..1] };
    let connected = Charger::connect(gateway.ocpp(), &format!("/ocpp/{station}"), headers).await;
    connected.map_err(|response| response.status().as_u16())
}

async fn let_in(gateway: &Running, station: &str, key: Option<&str>) -> Charger {
    match knock(gateway, station, key).await {
        Ok(charger) => charger,
        Err(status) => panic!("{station} is refused with {key:?}: {status}"),
    }
}

async fn refused(gateway: &Running, station: &str, key: Option<&str>) {
    assert_eq!(knock(gateway, station, key).await.err(), Some(401), "{station} with {key:?}");
}

async fn connected_and_booted(gateway: &Running, station: &str, key: Option<&str>) -> Charger {
    let mut charger = let_in(gateway, station, key).await;
    assert_eq!(charger.boot().await, "Accepted");
    charger
}

/// Asks for the new key and waits until the charger has it; the CALL's id, and the one who asks.
async fn rotate(
    gateway: &Running,
    charger: &mut Charger,
    station: &str,
    timeout: &str,
) -> (String, tokio::task::JoinHandle<(u16, Value)>) {
    let body = json!({"action": "ChangeConfiguration", "timeout": timeout,
        "payload": {"key": "AuthorizationKey", "value": NEW_KEY}});
    let asking = ask(gateway, station, body);
    let Called { id, action, payload, .. } = charger.called().await;
    assert_eq!((action.as_str(), &payload["value"]), ("ChangeConfiguration", &json!(NEW_KEY)));
    (id, asking)
}

#[tokio::test]
async fn case_17_an_accepted_key_is_the_only_one_and_nobody_sees_it() {
    let gateway = start(|_| {}).await;
    with_old_key(&gateway, "CP").await;
    let mut charger = connected_and_booted(&gateway, "CP", Some(OLD_KEY)).await;
    let (id, asking) = rotate(&gateway, &mut charger, "CP", "30s").await;
    charger.answer(&id, json!({"status": "Accepted"})).await;
    let (status, command) = asked(asking).await;
    assert_eq!(
        (status, &command["accepted"], &command["payload"]["value"]),
        (200, &json!(true), &json!("***"))
    );
    refused(&gateway, "CP", Some(OLD_KEY)).await;
    refused(&gateway, "CP", None).await;
    let _charger = let_in(&gateway, "CP", Some(NEW_KEY)).await;

    let event = gateway.events_of("CP", "ChangeConfiguration").await.remove(0);
    assert_eq!(event["payload"]["request"], json!({"key": "AuthorizationKey", "value": "***"}));
    let configuration = gateway.get("/stations/CP/configuration").await;
    assert_eq!(configuration["data"][0]["key"], "AuthorizationKey");
    assert_eq!(configuration["data"][0]["value"], Value::Null);
    for told in [gateway.get("/commands").await, gateway.get("/events").await, gateway.get("/stations").await]
    {
        assert!(!told.to_string().to_ascii_lowercase().contains(&NEW_KEY.to_ascii_lowercase()), "{told}");
    }
    // After a restart too.
    let gateway = gateway.restart(|_| {}).await;
    refused(&gateway, "CP", Some(OLD_KEY)).await;
    let_in(&gateway, "CP", Some(NEW_KEY)).await;
}

#[tokio::test]
async fn case_17_a_refused_key_changes_nothing() {
    let gateway = start(|_| {}).await;
    for (station, reply) in [
        ("REJECTED", json!([3, "ID", {"status": "Rejected"}])),
        ("NOT_SUPPORTED", json!([3, "ID", {"status": "NotSupported"}])),
        ("CALLERROR", json!([4, "ID", "NotImplemented", "", {}])),
    ] {
        with_old_key(&gateway, station).await;
        let mut charger = connected_and_booted(&gateway, station, Some(OLD_KEY)).await;
        let (id, asking) = rotate(&gateway, &mut charger, station, "30s").await;
        charger.send(&reply.to_string().replace("ID", &id)).await;
        asked(asking).await;
        refused(&gateway, station, Some(NEW_KEY)).await;
        let_in(&gateway, station, Some(OLD_KEY)).await;
    }
}

#[tokio::test]
async fn case_17_without_an_answer_both_keys_count_until_one_is_used() {
    let gateway = start(|_| {}).await;
    for (station, timeout) in [("TIMED_OUT_NEW", "200ms"), ("TIMED_OUT_OLD", "200ms"), ("LOST", "30s")] {
        with_old_key(&gateway, station).await;
        let mut charger = connected_and_booted(&gateway, station, Some(OLD_KEY)).await;
        let (_, asking) = rotate(&gateway, &mut charger, station, timeout).await;
        if station == "LOST" {
            drop(charger);
            let (status, command) = asked(asking).await;
            assert_eq!((status, &command["status"]), (504, &json!("connection_lost")));
        } else {
            let (status, command) = asked(asking).await;
            assert_eq!((status, &command["status"]), (504, &json!("timeout")));
        }
    }
    let gateway = gateway.restart(|_| {}).await;
    for (station, used, other) in
        [("TIMED_OUT_NEW", NEW_KEY, OLD_KEY), ("TIMED_OUT_OLD", OLD_KEY, NEW_KEY), ("LOST", NEW_KEY, OLD_KEY)]
    {
        refused(&gateway, station, Some("ababababababababababababababababab")).await;
        let_in(&gateway, station, Some(used)).await;
        refused(&gateway, station, Some(other)).await;
        let_in(&gateway, station, Some(used)).await;
    }
}

#[tokio::test]
async fn case_17_the_new_key_may_be_used_before_its_answer_is_here_or_instead_of_it() {
    let gateway = start(|_| {}).await;
    with_old_key(&gateway, "CP").await;
    let mut charger = connected_and_booted(&gateway, "CP", Some(OLD_KEY)).await;
    let (_, asking) = rotate(&gateway, &mut charger, "CP", "30s").await;
    let_in(&gateway, "CP", Some(NEW_KEY)).await;
    let (_, command) = asked(asking).await;
    assert_eq!(command["status"], "connection_lost");
    refused(&gateway, "CP", Some(OLD_KEY)).await;
    let_in(&gateway, "CP", Some(NEW_KEY)).await;
}

#[tokio::test]
async fn case_17_a_late_answer_settles_it_too() {
    let gateway = start(|_| {}).await;
    for (station, verdict, right, wrong) in
        [("YES", "Accepted", NEW_KEY, OLD_KEY), ("NO", "Rejected", OLD_KEY, NEW_KEY)]
    {
        with_old_key(&gateway, station).await;
        let mut charger = connected_and_booted(&gateway, station, Some(OLD_KEY)).await;
        let (id, asking) = rotate(&gateway, &mut charger, station, "200ms").await;
        let (status, command) = asked(asking).await;
        assert_eq!(status, 504);
        charger.answer(&id, json!({"status": verdict})).await;
        let path = format!("/commands/{}", command["id"].as_str().expect("an id"));
        eventually("the late answer is kept", || async {
            Some(gateway.get(&path).await).filter(|command| !command["late_response"].is_null())
        })
        .await;
        refused(&gateway, station, Some(wrong)).await;
        let_in(&gateway, station, Some(right)).await;
    }
}

#[tokio::test]
async fn case_17_a_key_that_needs_a_reboot_waits_for_it() {
    let gateway = start(|_| {}).await;
    with_old_key(&gateway, "CP").await;
    let mut charger = connected_and_booted(&gateway, "CP", Some(OLD_KEY)).await;
    let (id, asking) = rotate(&gateway, &mut charger, "CP", "30s").await;
    charger.answer(&id, json!({"status": "RebootRequired"})).await;
    asked(asking).await;
    for _ in 0..2 {
        let_in(&gateway, "CP", Some(OLD_KEY)).await;
    }
    let_in(&gateway, "CP", Some(NEW_KEY)).await;
    refused(&gateway, "CP", Some(OLD_KEY)).await;
}

#[tokio::test]
async fn case_17_a_station_without_password_is_not_locked_out_by_its_first_one() {
    let gateway = start(|_| {}).await;
    let mut charger = connected_and_booted(&gateway, "CP", None).await;
    let (id, asking) = rotate(&gateway, &mut charger, "CP", "30s").await;
    charger.answer(&id, json!({"status": "Accepted"})).await;
    asked(asking).await;
    let_in(&gateway, "CP", None).await;
    assert_eq!(gateway.get("/stations/CP").await["password_set"], false);
    let _charger = let_in(&gateway, "CP", Some(NEW_KEY)).await;
    let station = eventually("it is connected by its password", || async {
        Some(gateway.get("/stations/CP").await).filter(|station| station["security_profile"] == 1)
    })
    .await;
    assert_eq!(station["password_set"], true);
    refused(&gateway, "CP", None).await;
}

#[tokio::test]
async fn case_17_a_key_counts_for_nothing_before_it_is_sent() {
    let gateway = start(|_| {}).await;
    with_old_key(&gateway, "CP").await;
    let body = json!({"action": "ChangeConfiguration", "queue": true,
        "payload": {"key": "AuthorizationKey", "value": NEW_KEY}});
    let (status, queued) = gateway.api("POST", "/stations/CP/commands", Some(body)).await;
    assert_eq!((status, &queued["payload"]["value"]), (202, &json!("***")), "{queued}");
    refused(&gateway, "CP", Some(NEW_KEY)).await;
    // It is sent to the station that comes with the old one, which then counts beside the new one.
    let mut charger = connected_and_booted(&gateway, "CP", Some(OLD_KEY)).await;
    let Called { action, payload, .. } = charger.called().await;
    assert_eq!((action.as_str(), &payload["value"]), ("ChangeConfiguration", &json!(NEW_KEY)));
    let_in(&gateway, "CP", Some(NEW_KEY)).await;
    refused(&gateway, "CP", Some(OLD_KEY)).await;
}

#[tokio::test]
async fn an_operators_word_on_the_password_is_the_last() {
    let gateway = start(|_| {}).await;
    with_old_key(&gateway, "CP").await;
    let mut charger = connected_and_booted(&gateway, "CP", Some(OLD_KEY)).await;
    let (_, asking) = rotate(&gateway, &mut charger, "CP", "200ms").await;
    asked(asking).await;
    let third = "ab".repeat(16);
    let (status, _) = gateway.api("PATCH", "/stations/CP", Some(json!({"password": third}))).await;
    assert_eq!(status, 200);
    refused(&gateway, "CP", Some(NEW_KEY)).await;
    refused(&gateway, "CP", Some(OLD_KEY)).await;
    let_in(&gateway, "CP", Some(&third)).await;
}

// ── Configuration ─────────────────

/// What is known of one key.
async fn key(gateway: &Running, name: &str) -> Value {
    let keys = gateway.get("/stations/CP/configuration").await;
    let keys = keys["data"].as_array().expect("a list").clone();
    keys.into_iter().find(|entry| entry["key"] == name).unwrap_or(Value::Null)
}

#[tokio::test]
async fn case_55_the_configuration_is_kept_as_it_was_read() {
    let gateway = start(|_| {}).await;
    let mut charger = gateway.booted("CP").await;
    assert_eq!(gateway.get("/stations/CP/configuration").await["data"], json!([]));
    let told = json!({"configurationKey": [
        {"key": "HeartbeatInterval", "readonly": false, "value": "300"},
        {"key": "NumberOfConnectors", "readonly": "true", "value": 2},
        {"key": "AuthorizationKey", "readonly": false, "value": OLD_KEY},
    ]});
    let (sent, all) = command(&gateway, &mut charger, "CP", "GetConfiguration", json!({}), told).await;
    assert_eq!(sent, json!({}));
    assert!(!all.to_string().contains(OLD_KEY), "{all}");
    let configuration = gateway.get("/stations/CP/configuration").await;
    let names: Vec<_> =
        configuration["data"].as_array().expect("a list").iter().map(|key| &key["key"]).collect();
    assert_eq!(names, ["AuthorizationKey", "HeartbeatInterval", "NumberOfConnectors"]);
    assert!(!configuration.to_string().contains(OLD_KEY), "{configuration}");
    let connectors = key(&gateway, "NumberOfConnectors").await;
    assert_eq!(
        (&connectors["value"], &connectors["readonly"], &connectors["known"], &connectors["set_at"]),
        (&json!("2"), &json!(true), &json!(true), &Value::Null)
    );
    assert!(connectors["read_at"].is_string());

    // One key, in another case, and one that it does not know.
    let asked_for = json!({"key": ["heartbeatinterval", "Foo"]});
    let told = json!({"configurationKey": [{"key": "heartbeatInterval", "readonly": false, "value": "60"}],
        "unknownKey": ["Foo"]});
    let (sent, one) =
        command(&gateway, &mut charger, "CP", "GetConfiguration", asked_for.clone(), told).await;
    assert_eq!(sent, asked_for);
    assert_eq!(one["response"]["unknownKey"], json!(["Foo"]));
    assert_eq!(key(&gateway, "heartbeatInterval").await["value"], "60");
    assert_eq!(key(&gateway, "HeartbeatInterval").await, Value::Null, "it is the same key");
    let unknown = key(&gateway, "Foo").await;
    assert_eq!((&unknown["known"], &unknown["value"]), (&json!(false), &Value::Null));
    assert_eq!(gateway.api("GET", "/stations/NOBODY/configuration", None).await.0, 404);
}

#[tokio::test]
async fn case_56_the_configuration_is_kept_as_it_was_set() {
    let gateway = start(|_| {}).await;
    let mut charger = gateway.booted("CP").await;
    for (name, verdict, accepted) in [
        ("HeartbeatInterval", "Accepted", true),
        ("Foo", "NotSupported", false),
        ("NumberOfConnectors", "Rejected", false),
        ("WebSocketPingInterval", "RebootRequired", true),
    ] {
        let payload = json!({"key": name, "value": "60"});
        let response = json!({"status": verdict});
        let (_, command) =
            command(&gateway, &mut charger, "CP", "ChangeConfiguration", payload, response.clone()).await;
        assert_eq!((&command["accepted"], &command["response"]), (&json!(accepted), &response), "{name}");
        let hint = command["hint"].as_str().unwrap_or_default();
        assert_eq!(hint.starts_with("reboot_required"), verdict == "RebootRequired", "{hint}");
    }
    let shown =
        |entry: Value| (entry["value"].clone(), entry["known"].clone(), entry["pending_reboot"].clone());
    let heartbeat = key(&gateway, "HeartbeatInterval").await;
    assert!(heartbeat["set_at"].is_string() && heartbeat["read_at"].is_null(), "{heartbeat}");
    assert_eq!(shown(heartbeat), (json!("60"), json!(true), json!(false)));
    assert_eq!(shown(key(&gateway, "Foo").await), (Value::Null, json!(false), json!(false)));
    assert_eq!(key(&gateway, "NumberOfConnectors").await, Value::Null, "nothing is known of it");
    assert_eq!(shown(key(&gateway, "WebSocketPingInterval").await), (json!("60"), json!(true), json!(true)));
    assert_eq!(charger.boot().await, "Accepted");
    assert_eq!(shown(key(&gateway, "WebSocketPingInterval").await), (json!("60"), json!(true), json!(false)));
}

#[tokio::test]
async fn case_60_the_cache_is_cleared_or_not() {
    let gateway = start(|_| {}).await;
    let mut charger = gateway.booted("CP").await;
    for (verdict, accepted) in [("Accepted", true), ("Rejected", false)] {
        let response = json!({"status": verdict});
        let (sent, command) =
            command(&gateway, &mut charger, "CP", "ClearCache", json!({}), response.clone()).await;
        assert_eq!(sent, json!({}));
        assert_eq!((&command["accepted"], &command["response"]), (&json!(accepted), &response));
    }
}

// ── Local lists ───────────────────

async fn list_version(gateway: &Running) -> Value {
    gateway.get("/stations/CP").await["local_list_version"].clone()
}

#[tokio::test]
async fn case_61_the_version_of_the_local_list_is_what_the_charger_says() {
    let gateway = start(|_| {}).await;
    let mut charger = gateway.booted("CP").await;
    assert_eq!(list_version(&gateway).await, Value::Null);
    for (told, version) in [(json!(-1), -1), (json!(0), 0), (json!("7"), 7)] {
        let response = json!({"listVersion": told});
        let (_, command) =
            command(&gateway, &mut charger, "CP", "GetLocalListVersion", json!({}), response).await;
        assert_eq!(command["accepted"], true);
        assert_eq!(list_version(&gateway).await, version);
    }
}

#[tokio::test]
async fn case_62_to_65_local_lists() {
    let gateway = start(|_| {}).await;
    let mut charger = gateway.booted("CP").await;
    let full = |version: i64| {
        json!({"listVersion": version, "updateType": "Full",
            "localAuthorizationList": [{"idTag": "TAG1", "idTagInfo": {"status": "Accepted"}}]})
    };
    // 62: refusals are shown, and change nothing.
    for (verdict, hint) in [("NotSupported", ""), ("Failed", "full_list_needed")] {
        let response = json!({"status": verdict});
        let (_, command) =
            command(&gateway, &mut charger, "CP", "SendLocalList", full(1), response.clone()).await;
        assert_eq!((&command["accepted"], &command["response"]), (&json!(false), &response));
        assert_eq!(command["hint"].as_str().unwrap_or_default().split(':').next(), Some(hint));
        let abilities = gateway.get("/stations/CP").await["abilities"].clone();
        let unsupported = abilities.as_array().expect("a list").contains(&json!("unsupported:SendLocalList"));
        assert_eq!(unsupported, verdict == "NotSupported", "{abilities}");
        assert_eq!(list_version(&gateway).await, Value::Null);
    }
    // 63: a full list is whole.
    let without_info =
        json!({"listVersion": 1, "updateType": "Full", "localAuthorizationList": [{"idTag": "TAG1"}]});
    let body = json!({"action": "SendLocalList", "payload": without_info});
    let (status, problem) = gateway.api("POST", "/stations/CP/commands", Some(body)).await;
    assert_eq!((status, problem["errors"].as_array().map(Vec::len)), (422, Some(1)), "{problem}");
    assert_eq!(problem["errors"][0]["field"], "payload.localAuthorizationList.0.idTagInfo");
    let accepted = json!({"status": "Accepted"});
    let (sent, _) = command(&gateway, &mut charger, "CP", "SendLocalList", full(1), accepted.clone()).await;
    assert_eq!(sent, full(1));
    assert_eq!(list_version(&gateway).await, 1);
    // 64: a differential one has what is new alone.
    let differential = json!({"listVersion": 2, "updateType": "Differential",
        "localAuthorizationList": [{"idTag": "TAG2", "idTagInfo": {"status": "Accepted"}}]});
    let (sent, _) =
        command(&gateway, &mut charger, "CP", "SendLocalList", differential.clone(), accepted).await;
    assert_eq!(sent, differential);
    assert_eq!(list_version(&gateway).await, 2);
    // 65: the command says that a full list is needed, and nothing is sent by itself.
    let mismatch = json!({"status": "VersionMismatch"});
    let (_, command) = command(&gateway, &mut charger, "CP", "SendLocalList", differential, mismatch).await;
    assert!(command["hint"].as_str().is_some_and(|hint| hint.starts_with("full_list_needed")), "{command}");
    assert_eq!(list_version(&gateway).await, 2);
    charger.still_serves().await;
    assert_eq!(gateway.events_of("CP", "SendLocalList").await.len(), 5);
}

#[tokio::test]
async fn what_a_station_does_not_know_is_remembered_until_it_does() {
    let gateway = start(|_| {}).await;
    let mut charger = gateway.booted("CP").await;
    let abilities = async || gateway.get("/stations/CP").await["abilities"].clone();
    for code in ["NotImplemented", "NotSupported"] {
        let asking = ask(&gateway, "CP", json!({"action": "GetLocalListVersion"}));
        let Called { id, .. } = charger.called().await;
        charger.send(&json!([4, id, code, "", {}]).to_string()).await;
        let (status, command) = asked(asking).await;
        assert_eq!((status, &command["error"]["code"]), (200, &json!(code)));
        assert_eq!(abilities().await, json!(["unsupported:GetLocalListVersion"]));
    }
    let told = json!({"listVersion": 0});
    command(&gateway, &mut charger, "CP", "GetLocalListVersion", json!({}), told).await;
    assert_eq!(abilities().await, json!([]));
    assert_eq!(gateway.get("/stations/CP").await["flags"], json!([]), "it is no oddity");
}

// ── Reservations ──────────────────

fn in_a_while(seconds: u64) -> String {
    Clock::System.now().after(Duration::from_secs(seconds)).to_string()
}

fn reserve(reservation_id: i64, connector_id: i64, expiry_date: &str) -> Value {
    json!({"connectorId": connector_id, "expiryDate": expiry_date, "idTag": "TAG1", "reservationId": reservation_id})
}

async fn reservations(gateway: &Running, query: &str) -> Vec<Value> {
    let list = gateway.get(&format!("/reservations{query}")).await;
    list["data"].as_array().expect("a list").clone()
}

/// The one reservation there is.
async fn reservation(gateway: &Running) -> Value {
    let mut list = reservations(gateway, "").await;
    assert_eq!(list.len(), 1, "{list:?}");
    list.remove(0)
}

#[tokio::test]
async fn case_70_a_start_uses_its_reservation() {
    let gateway = start(|_| {}).await;
    let mut charger = gateway.booted("CP").await;
    let expiry = in_a_while(600);
    let accepted = json!({"status": "Accepted"});
    let (sent, made) =
        command(&gateway, &mut charger, "CP", "ReserveNow", reserve(7, 1, &expiry), accepted).await;
    assert_eq!(sent, reserve(7, 1, &expiry));
    let active = reservation(&gateway).await;
    let expected = json!({"reservation_id": 7, "station_id": "CP", "owner_id": null, "connector_id": 1,
        "id_tag": "TAG1", "parent_id_tag": null, "expiry_date": expiry, "status": "active",
        "command_id": made["id"], "transaction_id": null});
    for (name, value) in expected.as_object().expect("members") {
        assert_eq!(&active[name], value, "{name}");
    }
    assert!(active["id"].as_str().is_some_and(|id| id.starts_with("rsv_")), "{active}");
    assert_eq!(active["created_at"], active["updated_at"]);
    charger
        .call("StatusNotification", json!({"connectorId": 1, "errorCode": "NoError", "status": "Reserved"}))
        .await;

    // Another station's start with the same number is about another reservation.
    let start = json!({"connectorId": 1, "idTag": "TAG1", "meterStart": 0, "reservationId": 7,
        "timestamp": "2026-04-14T12:00:00Z"});
    let mut other = gateway.booted("OTHER").await;
    other.call("StartTransaction", start.clone()).await;
    assert_eq!(reservation(&gateway).await["status"], "active");
    let started = charger.call("StartTransaction", start.clone()).await;
    let used = reservation(&gateway).await;
    assert_eq!((&used["status"], &used["transaction_id"]), (&json!("used"), &started["transactionId"]));
    assert_eq!(used["id"], active["id"]);
    assert_eq!(reservations(&gateway, "?station_id=CP&status=used").await, std::slice::from_ref(&used));
    assert!(reservations(&gateway, "?status=active").await.is_empty());
    assert!(reservations(&gateway, "?station_id=OTHER").await.is_empty());
    // The same start again changes nothing.
    charger.call("StartTransaction", start).await;
    assert_eq!(reservation(&gateway).await, used);
    assert_eq!(gateway.api("GET", "/reservations?status=over", None).await.0, 422);
}

#[tokio::test]
async fn case_71_reservations_expire_across_restarts_or_are_refused() {
    let gateway = start(|_| {}).await;
    let mut charger = gateway.booted("CP").await;
    let expiry = Clock::System.now().after(Duration::from_millis(1_500)).to_string();
    let accepted = json!({"status": "Accepted"});
    command(&gateway, &mut charger, "CP", "ReserveNow", reserve(1, 1, &expiry), accepted).await;
    for (number, verdict) in [(2, "Faulted"), (3, "Occupied"), (4, "Unavailable"), (5, "Rejected")] {
        let response = json!({"status": verdict});
        let (_, command) = command(
            &gateway,
            &mut charger,
            "CP",
            "ReserveNow",
            reserve(number, 1, &in_a_while(600)),
            response,
        )
        .await;
        assert_eq!(command["accepted"], false);
    }
    let gateway = gateway.restart(|_| {}).await;
    eventually("it is over", || async {
        Some(reservations(&gateway, "?status=expired").await).filter(|list| list.len() == 1)
    })
    .await;
    let all = reservations(&gateway, "?order=asc").await;
    let stand: Vec<_> =
        all.iter().map(|row| (row["reservation_id"].clone(), row["status"].clone())).collect();
    let rejected = (2..=5).map(|number| (json!(number), json!("rejected")));
    let expected: Vec<_> = std::iter::once((json!(1), json!("expired"))).chain(rejected).collect();
    assert_eq!(stand, expected);
    let page = gateway.get("/reservations?limit=2&status=rejected").await;
    assert_eq!(page["data"][0]["reservation_id"], 5, "newest first");
    let cursor = page["next_cursor"].as_str().expect("there are more");
    assert_eq!(reservations(&gateway, &format!("?limit=2&status=rejected&cursor={cursor}")).await.len(), 2);

    let (status, problem) = gateway
        .api(
            "POST",
            "/stations/CP/commands",
            Some(json!({"action": "ReserveNow", "payload": reserve(6, 1, "2020-01-01T00:00:00Z")})),
        )
        .await;
    assert_eq!((status, &problem["errors"][0]["field"]), (422, &json!("payload.expiryDate")), "{problem}");
}

#[tokio::test]
async fn case_71_a_reservation_nobody_answered_for_is_unknown_until_somebody_does() {
    let gateway = start(|_| {}).await;
    let mut charger = gateway.booted("CP").await;
    let body =
        json!({"action": "ReserveNow", "timeout": "200ms", "payload": reserve(1, 1, &in_a_while(600))});
    let asking = ask(&gateway, "CP", body.clone());
    let Called { id, .. } = charger.called().await;
    assert_eq!(asked(asking).await.0, 504);
    assert_eq!(reservation(&gateway).await["status"], "unknown");
    charger.answer(&id, json!({"status": "Accepted"})).await;
    eventually("the late answer counts", || async {
        Some(reservation(&gateway).await).filter(|row| row["status"] == "active")
    })
    .await;

    // One that was never sent is none.
    drop(charger);
    eventually("it is gone", || async {
        (gateway.get("/stations/CP").await["connected"] == false).then_some(())
    })
    .await;
    let mut body = body;
    body["payload"]["reservationId"] = json!(2);
    body["queue"] = json!(true);
    let (status, queued) = gateway.api("POST", "/stations/CP/commands", Some(body)).await;
    assert_eq!(status, 202);
    let cancel = format!("/commands/{}/cancel", queued["id"].as_str().expect("an id"));
    assert_eq!(gateway.api("POST", &cancel, None).await.0, 200);
    reaches(&gateway, &queued, "canceled").await;
    assert_eq!(reservation(&gateway).await["reservation_id"], 1);
}

#[tokio::test]
async fn case_72_connector_0_is_sent_as_0() {
    let gateway = start(|_| {}).await;
    let mut charger = gateway.booted("CP").await;
    let payload = reserve(1, 0, &in_a_while(600));
    let (sent, _) =
        command(&gateway, &mut charger, "CP", "ReserveNow", payload.clone(), json!({"status": "Accepted"}))
            .await;
    assert_eq!(sent, payload);
    assert_eq!(reservation(&gateway).await["connector_id"], 0);
}

#[tokio::test]
async fn case_73_reservations_are_called_back_or_replaced() {
    let gateway = start(|_| {}).await;
    let mut charger = gateway.booted("CP").await;
    let accepted = json!({"status": "Accepted"});
    let rejected = json!({"status": "Rejected"});
    let expiry = in_a_while(600);
    command(&gateway, &mut charger, "CP", "ReserveNow", reserve(7, 1, &expiry), accepted.clone()).await;
    let first = reservation(&gateway).await;
    // A change that the station rejects leaves what it keeps.
    command(&gateway, &mut charger, "CP", "ReserveNow", reserve(7, 2, &expiry), rejected.clone()).await;
    assert_eq!(reservation(&gateway).await, first);
    command(&gateway, &mut charger, "CP", "ReserveNow", reserve(7, 2, &expiry), accepted.clone()).await;
    let second = reservation(&gateway).await;
    assert_eq!((&second["connector_id"], &second["status"]), (&json!(2), &json!("active")));

    let cancel = json!({"reservationId": 7});
    let (_, refusal) =
        command(&gateway, &mut charger, "CP", "CancelReservation", cancel.clone(), rejected).await;
    assert_eq!(refusal["accepted"], false);
    assert_eq!(reservation(&gateway).await["status"], "active");
    command(&gateway, &mut charger, "CP", "CancelReservation", cancel, accepted).await;
    let canceled = reservation(&gateway).await;
    assert_eq!((&canceled["status"], &canceled["id"]), (&json!("canceled"), &second["id"]));
}

#[tokio::test]
async fn reservations_are_their_owners_own() {
    let gateway = start(|_| {}).await;
    for (station, owner) in [("MINE", "acme"), ("YOURS", "other")] {
        let body = json!({"station_id": station, "owner_id": owner});
        assert_eq!(gateway.api("POST", "/stations", Some(body)).await.0, 201);
        let mut charger = gateway.booted(station).await;
        let payload = reserve(1, 1, &in_a_while(600));
        command(&gateway, &mut charger, station, "ReserveNow", payload, json!({"status": "Accepted"})).await;
    }
    assert_eq!(reservations(&gateway, "").await.len(), 2);
    assert_eq!(reservations(&gateway, "?owner_id=acme").await[0]["station_id"], "MINE");
    let body = json!({"name": "acme", "scopes": ["read"], "owner_id": "acme"});
    let (_, made) = gateway.api("POST", "/api-keys", Some(body)).await;
    let bound = made["key"].as_str().expect("a key");
    let get = async |path: &str| {
        let request = crate::harness::http_client().get(gateway.url(path)).header("X-API-Key", bound);
        let response = request.send().await.expect("the API answers");
        (response.status().as_u16(), response.json::<Value>().await.expect("JSON"))
    };
    let (_, list) = get("/api/v1/reservations").await;
    let stations: Vec<_> =
        list["data"].as_array().expect("a list").iter().map(|row| &row["station_id"]).collect();
    assert_eq!(stations, ["MINE"]);
    assert_eq!(get("/api/v1/reservations?owner_id=other").await.0, 403);
    assert_eq!(get("/api/v1/stations/YOURS/configuration").await.0, 404);
    assert_eq!(get("/api/v1/stations/MINE/configuration").await.0, 200);
}

/// Reserves a connector for TAG1 under this number.
async fn reserved(gateway: &Running, charger: &mut Charger, station: &str, number: i64, connector: i64) {
    let payload = reserve(number, connector, &in_a_while(600));
    command(gateway, charger, station, "ReserveNow", payload, json!({"status": "Accepted"})).await;
}

/// The statuses of a station's reservations, by their numbers.
async fn statuses(gateway: &Running, station: &str) -> Vec<(i64, String)> {
    let list = reservations(gateway, &format!("?station_id={station}&order=asc")).await;
    let number = |row: &Value| row["reservation_id"].as_i64().expect("a number");
    list.iter().map(|row| (number(row), row["status"].as_str().expect("a word").to_owned())).collect()
}

#[tokio::test]
async fn a_start_that_names_no_reservation_uses_the_one_of_its_tag_and_connector() {
    let gateway = start(|_| {}).await;
    for (tag, parent) in [("TAG1", "FLEET"), ("TAG2", "FLEET"), ("TAG3", "OTHERS")] {
        let body = json!({"parent_id_tag": parent});
        assert_eq!(gateway.api("PUT", &format!("/id-tags/{tag}"), Some(body)).await.0, 201);
    }
    // Reserved connector; the start's connector, tag and number; whether it uses the reservation, and whether
    // its number is flagged.
    for (name, reserved_on, connector, tag, number, uses, flagged) in [
        ("absent", 1, 1, "TAG1", Value::Null, true, false),
        ("minus_one", 1, 1, "TAG1", json!(-1), true, false),
        ("zero", 1, 1, "TAG1", json!(0), true, false),
        ("stray_byte", 1, 1, "tag1\u{1}", json!(0), true, false),
        ("any_connector", 0, 2, "TAG1", json!(0), true, false),
        ("group", 1, 1, "TAG2", json!(-1), true, false),
        ("unknown", 1, 1, "TAG1", json!(99), true, true),
        ("unknown_elsewhere", 1, 2, "TAG1", json!(99), false, true),
        ("other_connector", 1, 2, "TAG1", json!(-1), false, false),
        ("other_group", 1, 1, "TAG3", json!(0), false, false),
        ("by_number", 1, 2, "TAG3", json!(7), true, false),
    ] {
        let mut charger = gateway.booted(name).await;
        reserved(&gateway, &mut charger, name, 7, reserved_on).await;
        let mut payload = json!({"connectorId": connector, "idTag": tag, "meterStart": 0,
            "timestamp": Clock::System.now().to_string()});
        if !number.is_null() {
            payload["reservationId"] = number.clone();
        }
        let started = charger.call("StartTransaction", payload).await;
        let expected = if uses { "used" } else { "active" };
        assert_eq!(statuses(&gateway, name).await, [(7, expected.to_owned())], "{name}");
        let transaction = gateway.get(&format!("/transactions/{}", started["transactionId"])).await;
        let shown = match (uses, flagged) {
            (true, _) => json!(7),
            (false, true) => number,
            (false, false) => Value::Null,
        };
        assert_eq!(transaction["reservation_id"], shown, "{name}");
        let event = gateway.events_of(name, "StartTransaction").await.pop().expect("an event");
        let violations = event["violations"].as_array().expect("a list");
        let told = violations.iter().any(|violation| {
            violation == &json!({"field": "reservationId", "problem": "unknown_reservation"})
        });
        assert_eq!(told, flagged, "{name}: {event}");
    }
}

#[tokio::test]
async fn a_start_out_of_the_queue_uses_no_reservation_that_was_made_after_it() {
    let gateway = start(|_| {}).await;
    let mut charger = gateway.booted("CP").await;
    let now = Clock::System.now();
    let live = json!({"connectorId": 1, "errorCode": "NoError", "status": "Available", "timestamp": now.to_string()});
    charger.call("StatusNotification", live).await;
    reserved(&gateway, &mut charger, "CP", 7, 1).await;
    let begun = |at: vocabulary::clock::Timestamp| json!({"connectorId": 1, "idTag": "TAG1", "meterStart": 0, "timestamp": at.to_string()});
    charger.call("StartTransaction", begun(now.before(Duration::from_secs(3_600)))).await;
    assert_eq!(statuses(&gateway, "CP").await, [(7, "active".to_owned())]);
    charger.call("StartTransaction", begun(Clock::System.now())).await;
    assert_eq!(statuses(&gateway, "CP").await, [(7, "used".to_owned())]);
}

#[tokio::test]
async fn a_reservation_ends_with_a_connector_that_is_out_of_order() {
    let gateway = start(|_| {}).await;
    let is = |connector: i64, status: &str| json!({"connectorId": connector, "errorCode": "NoError", "status": status});
    for (name, status, ended) in [
        ("FAULTED", is(1, "Faulted"), [true, false, false]),
        ("UNAVAILABLE", is(1, "unavailable"), [true, false, false]),
        ("ALL", is(0, "Unavailable"), [true, true, true]),
        ("CHARGING", is(1, "Charging"), [false, false, false]),
        ("WHOLE", is(0, "Available"), [false, false, false]),
    ] {
        let mut charger = gateway.booted(name).await;
        for (number, connector) in [(1, 1), (2, 2), (3, 0)] {
            reserved(&gateway, &mut charger, name, number, connector).await;
        }
        charger.call("StatusNotification", status).await;
        let word = |ended: bool| if ended { "canceled" } else { "active" }.to_owned();
        let expected: Vec<_> = (1..).zip(ended.map(word)).collect();
        assert_eq!(statuses(&gateway, name).await, expected, "{name}");
    }
}

#[tokio::test]
async fn a_fault_that_was_over_before_ends_no_reservation() {
    let gateway = start(|_| {}).await;
    let mut charger = gateway.booted("CP").await;
    let now = Clock::System.now();
    let was = |status: &str, at: vocabulary::clock::Timestamp| json!({"connectorId": 1, "errorCode": "NoError", "status": status, "timestamp": at.to_string()});
    charger.call("StatusNotification", was("Available", now)).await;
    reserved(&gateway, &mut charger, "CP", 7, 1).await;
    charger.call("StatusNotification", was("Faulted", now.before(Duration::from_secs(3_600)))).await;
    assert_eq!(statuses(&gateway, "CP").await, [(7, "active".to_owned())]);
    charger.call("StatusNotification", was("Faulted", Clock::System.now())).await;
    assert_eq!(statuses(&gateway, "CP").await, [(7, "canceled".to_owned())]);
}
