//! What operators ask of sessions: what is charging and how fast, which ones a person should look at, what a
//! month comes to, and why a card was refused.

use serde_json::{Value, json};

use outbound::destination::PrivateUrl;
use vocabulary::ocpp::authorization::UnknownIdTag;
use vocabulary::units::Span;

use crate::harness::{Charger, Running, start};
use crate::receiver::{Answer, Receiver};

async fn begin(charger: &mut Charger, connector: i64, meter_start: i64, timestamp: &str) -> i64 {
    let payload = json!({"connectorId": connector, "idTag": "TAG", "meterStart": meter_start,
        "timestamp": timestamp});
    charger.call("StartTransaction", payload).await["transactionId"].as_i64().expect("a number")
}

async fn meter(charger: &mut Charger, number: i64, timestamp: &str, samples: Value) {
    let payload = json!({"connectorId": 1, "transactionId": number,
        "meterValue": [{"timestamp": timestamp, "sampledValue": samples}]});
    assert_eq!(charger.call("MeterValues", payload).await, json!({}));
}

async fn stop(charger: &mut Charger, number: i64, meter_stop: Value, timestamp: &str) {
    let mut stop = json!({"transactionId": number, "timestamp": timestamp});
    if !meter_stop.is_null() {
        stop["meterStop"] = meter_stop;
    }
    charger.call("StopTransaction", stop).await;
}

async fn shown(gateway: &Running, number: i64) -> Value {
    gateway.get(&format!("/transactions/{number}")).await
}

#[track_caller]
fn assert_fields(found: &Value, expected: Value) {
    for (field, value) in expected.as_object().expect("an object") {
        assert_eq!(&found[field], value, "{field} of {found}");
    }
}

/// So long ago, as a charger with a right clock tells it.
fn ago(minutes: u64) -> String {
    let now = vocabulary::clock::Clock::System.now();
    now.before(std::time::Duration::from_secs(minutes * 60)).to_string()
}

#[tokio::test]
async fn an_active_session_shows_what_its_newest_meter_values_say() {
    let gateway = start(|_| {}).await;
    let mut charger = gateway.booted("CP").await;
    let number = begin(&mut charger, 1, 1_000, &ago(30)).await;
    let unknown = json!({"power_w": null, "energy_so_far_wh": null, "soc_percent": null});
    assert_fields(&shown(&gateway, number).await, unknown.clone());
    let samples = json!([
        {"value": "3.5", "unit": "kWh", "measurand": "Energy.Active.Import.Register"},
        {"value": "3.7", "unit": "kW", "measurand": "Power.Active.Import", "phase": "L1"},
        {"value": "3650", "unit": "W", "measurand": "Power.Active.Import", "phase": "L2"},
        {"value": "41.6", "unit": "Percent", "measurand": "SoC", "location": "EV"}]);
    meter(&mut charger, number, &ago(20), samples).await;
    let active = shown(&gateway, number).await;
    assert_fields(&active, json!({"power_w": 7_350, "energy_so_far_wh": 2_500, "soc_percent": 42}));
    let duration_s = active["duration_s"].as_i64().expect("a number");
    assert!((1_800..1_900).contains(&duration_s), "{active}");
    // A total counts before phases, and a late value leaves a newer one.
    let total = json!([{"value": "11.04", "unit": "kW", "measurand": "Power.Active.Import"},
        {"value": "3600", "measurand": "Power.Active.Import", "phase": "L1"}]);
    meter(&mut charger, number, &ago(10), total).await;
    let late = json!([{"value": "1", "measurand": "Power.Active.Import"}]);
    meter(&mut charger, number, &ago(15), late).await;
    let listed = gateway.get("/transactions?status=active").await;
    let rest = json!({"power_w": 11_040, "energy_so_far_wh": 2_500, "soc_percent": 42});
    assert_fields(&listed["data"][0], rest);
    stop(&mut charger, number, json!(6_000), &ago(5)).await;
    let completed = shown(&gateway, number).await;
    assert_fields(&completed, unknown);
    assert_fields(&completed, json!({"energy_wh": 5_000, "energy_quality": "metered"}));
    let duration_s = completed["duration_s"].as_i64().expect("a number");
    assert!((1_499..=1_501).contains(&duration_s), "{completed}");
}

/// A gateway on which each kind of tag is registered that there is.
async fn with_tags() -> Running {
    let gateway = start(|config| config.authorization.unknown_id_tag = UnknownIdTag::Invalid).await;
    for (tag, body) in [
        ("GOOD", json!({})),
        ("BLOCKED", json!({"status": "Blocked"})),
        ("OLD", json!({"expiry_date": "2020-01-01T00:00:00Z"})),
        ("BAD", json!({"status": "Invalid"})),
        ("THEIRS", json!({"owner_id": "acme"})),
        ("NEVER", json!({"max_active_transactions": 0})),
    ] {
        assert_eq!(gateway.api("PUT", &format!("/id-tags/{tag}"), Some(body)).await.0, 201, "{tag}");
    }
    gateway
}

/// Tags, what a start with each is answered, and why.
const REFUSED: [(&str, &str, &str); 6] = [
    ("BLOCKED", "Blocked", "blocked"),
    ("OLD", "Expired", "expired"),
    ("BAD", "Invalid", "invalid"),
    ("THEIRS", "Invalid", "other_owner"),
    ("NEVER", "ConcurrentTx", "concurrent"),
    ("NOBODY", "Invalid", "unknown"),
];

#[tokio::test]
async fn why_a_tag_was_refused_is_told_on_the_session_and_its_events() {
    let gateway = with_tags().await;
    let receiver = Receiver::always(Answer::Status(200)).await;
    for format in ["flat", "envelope", "standard", "cloudevents"] {
        let hook = json!({"url": receiver.url, "events": ["StartTransaction", "Heartbeat"], "format": format,
            "filter": {"idTag": "BLOCKED"}});
        assert_eq!(gateway.api("POST", "/webhooks", Some(hook)).await.0, 201);
    }
    let mut charger = gateway.booted("CP").await;
    for (tag, status, reason) in REFUSED.into_iter().chain([("GOOD", "Accepted", "")]) {
        let reason = if reason.is_empty() { Value::Null } else { json!(reason) };
        let payload = json!({"connectorId": 1, "idTag": tag, "meterStart": 0, "timestamp": ago(30)});
        let started = charger.call("StartTransaction", payload).await;
        assert_eq!(started["idTagInfo"]["status"], status, "{tag}");
        let number = started["transactionId"].as_i64().expect("a number");
        let session = shown(&gateway, number).await;
        assert_fields(&session, json!({"id_tag_status": status, "id_tag_reason": reason}));
        let stop = json!({"transactionId": number, "meterStop": 0, "timestamp": ago(20), "idTag": tag});
        charger.call("StopTransaction", stop.clone()).await;
        charger.call("Authorize", json!({"idTag": tag})).await;
        let events = gateway.get(&format!("/events?transaction_id={number}&event=ocpp.*&order=asc")).await;
        for place in 0..2 {
            assert_eq!(events["data"][place]["id_tag_reason"], reason, "{tag}: {events}");
        }
        let authorize = gateway.get("/events?event=Authorize&limit=1").await;
        assert_eq!(authorize["data"][0]["id_tag_reason"], reason, "{tag}");
        // The same stop again is told the same.
        charger.call("StopTransaction", stop).await;
        let again = gateway.get("/events?event=StopTransaction&duplicate=true&limit=1").await;
        assert_eq!(again["data"][0]["id_tag_reason"], reason, "{tag}: {again}");
    }
    for received in receiver.wait_for(4).await {
        let body: Value = serde_json::from_str(&received.body).expect("JSON");
        let places = [&body["id_tag_reason"], &body["data"]["id_tag_reason"], &body["idtagreason"]];
        assert_eq!(places.iter().filter(|place| ***place == "blocked").count(), 1, "{body}");
    }
}

#[tokio::test]
async fn an_endpoint_that_says_no_is_told_from_one_that_says_nothing() {
    let refusal = r#"{"status":"Blocked"}"#;
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n";
    let answer = format!("{head}Content-Length: {}\r\n\r\n{refusal}", refusal.len());
    let endpoint = Receiver::judging(move |_, received| match received.body.contains("REFUSED") {
        true => Answer::Raw(answer.clone().into_bytes()),
        false => Answer::Status(500),
    })
    .await;
    let url = endpoint.url.parse().expect("a URL");
    let gateway = start(move |config| {
        let secret = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
        config.authorization.url = Some(PrivateUrl(url));
        config.authorization.signing_secret = Some(secret.parse().expect("a secret"));
        config.authorization.timeout = Span::seconds(20);
    })
    .await;
    gateway.api("PUT", "/id-tags/BLOCKED", Some(json!({"status": "Blocked"}))).await;
    let mut charger = gateway.booted("CP").await;
    for (tag, reason) in [("REFUSED", "endpoint"), ("NOBODY", "endpoint_unreachable"), ("BLOCKED", "blocked")]
    {
        charger.call("Authorize", json!({"idTag": tag})).await;
        let events = gateway.get("/events?event=Authorize&limit=1").await;
        assert_eq!(events["data"][0]["id_tag_reason"], reason, "{tag}: {events}");
    }
    for (tag, warnings) in [("REFUSED", 1), ("NOBODY", 0), ("BLOCKED", 1)] {
        assert_eq!(warnings_of_remote_start(&gateway, tag).await.len(), warnings, "{tag}");
    }
}

async fn warnings_of_remote_start(gateway: &Running, tag: &str) -> Vec<Value> {
    let command = json!({"action": "RemoteStartTransaction", "payload": {"idTag": tag, "connectorId": 1},
        "wait": false});
    let (status, command) = gateway.api("POST", "/stations/CP/commands", Some(command)).await;
    assert_eq!(status, 202, "{command}");
    command["warnings"].as_array().expect("a list").clone()
}

#[tokio::test]
async fn a_remote_start_with_a_tag_that_is_refused_warns() {
    let gateway = with_tags().await;
    let _charger = gateway.booted("CP").await;
    assert_eq!(warnings_of_remote_start(&gateway, "GOOD").await, [0; 0]);
    for (tag, status, _) in REFUSED {
        let warnings = warnings_of_remote_start(&gateway, tag).await;
        let [warning] = &warnings[..] else { panic!("{tag}: {warnings:?}") };
        assert!(warning.as_str().is_some_and(|text| text.starts_with("idTag: ") && text.contains(status)));
    }
}
