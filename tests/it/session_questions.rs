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

    // Another session begins where one was metered: what was measured last is not what it takes now.
    let lost = begin(&mut charger, 1, 6_000, &ago(4)).await;
    let values = json!([{"value": "7200", "measurand": "Power.Active.Import"}]);
    meter(&mut charger, lost, &ago(3), values).await;
    assert_fields(&shown(&gateway, lost).await, json!({"power_w": 7_200}));
    begin(&mut charger, 1, 7_000, &ago(2)).await;
    assert_fields(
        &shown(&gateway, lost).await,
        json!({"status": "active", "orphaned": true, "power_w": null}),
    );
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

/// Sessions of two owners on three stations at two sites, which ended around a change of month in Berlin.
async fn with_history() -> (Running, Vec<i64>) {
    let gateway = start(|_| {}).await;
    for (station, owner, site) in [
        ("A", json!("acme"), json!("North")),
        ("B", json!("acme"), json!("South")),
        ("C", json!(null), json!(null)),
    ] {
        let body = json!({"station_id": station, "owner_id": owner, "site": site});
        assert_eq!(gateway.api("POST", "/stations", Some(body)).await.0, 201);
    }
    let mut numbers = Vec::new();
    for (station, connector, began, ended, from, to, register) in [
        // In Berlin it is May already.
        ("A", 1, "2026-04-30T20:00:00Z", "2026-04-30T22:30:00Z", 1_000, json!(6_000), Value::Null),
        ("A", 1, "2026-04-30T10:00:00Z", "2026-04-30T11:00:00Z", 500, json!(900), Value::Null),
        ("B", 1, "2026-05-02T10:00:00Z", "2026-05-02T12:00:00Z", 2_000, json!(null), json!("4500")),
        ("C", 1, "2026-05-02T10:00:00Z", "2026-05-02T10:30:00Z", 9_000, json!(2_000), Value::Null),
    ] {
        let mut charger = gateway.booted(station).await;
        let number = begin(&mut charger, connector, from, began).await;
        if !register.is_null() {
            meter(&mut charger, number, ended, json!([{"value": register}])).await;
        }
        stop(&mut charger, number, to, ended).await;
        numbers.push(number);
    }
    // One that is under way, and has no end.
    let mut charger = gateway.booted("C").await;
    let number = begin(&mut charger, 2, 0, &ago(180)).await;
    meter(&mut charger, number, &ago(1), json!([{"value": "20000"}])).await;
    numbers.push(number);
    (gateway, numbers)
}

/// The sessions that fit, by their places in `numbers`, the oldest first.
async fn found(gateway: &Running, numbers: &[i64], query: &str) -> Vec<usize> {
    let listed = gateway.get(&format!("/transactions?order=asc&{query}")).await;
    let rows = listed["data"].as_array().unwrap_or_else(|| panic!("{query}: {listed}"));
    let place = |row: &Value| numbers.iter().position(|number| row["transaction_id"] == *number);
    rows.iter().map(|row| place(row).expect("one of them")).collect()
}

#[tokio::test]
async fn sessions_that_need_a_look_are_found() {
    let (gateway, mut numbers) = with_history().await;
    for (query, expected) in [
        ("energy_quality=metered", &[0, 1][..]),
        ("energy_quality=estimated", &[2, 4]),
        ("energy_quality=implausible", &[3]),
        ("energy_quality=missing", &[]),
        ("min_energy_wh=2500", &[0, 2, 4]),
        ("min_energy_wh=2501", &[0, 4]),
        ("min_duration=2h", &[0, 2, 4]),
        ("min_duration=150m", &[0, 4]),
        ("min_duration=4h", &[]),
        ("min_duration=2h&status=active", &[4]),
        ("site=North", &[0, 1]),
        ("site=Nowhere", &[]),
        ("orphaned=false", &[0, 1, 2, 3, 4]),
        ("orphaned=true", &[]),
    ] {
        assert_eq!(found(&gateway, &numbers, query).await, expected, "{query}");
    }
    let mut charger = gateway.booted("C").await;
    numbers.push(begin(&mut charger, 2, 20_000, &ago(0)).await);
    assert_eq!(found(&gateway, &numbers, "orphaned=true").await, [4]);
    for (query, field) in [
        ("energy_quality=good", "energy_quality"),
        ("min_energy_wh=-1", "min_energy_wh"),
        ("min_duration=soon", "min_duration"),
        ("orphaned=perhaps", "orphaned"),
    ] {
        let (status, refused) = gateway.api("GET", &format!("/transactions?{query}"), None).await;
        assert_eq!((status, &refused["errors"][0]["field"]), (422, &json!(field)), "{query}");
    }
}

async fn sums(gateway: &Running, query: &str) -> Value {
    let mut body = gateway.get(&format!("/transactions/summary?{query}")).await;
    body["data"].take()
}

#[tokio::test]
async fn sessions_are_summed_by_what_is_asked_for() {
    let (gateway, _) = with_history().await;
    let sum = |sessions: i64, energy_wh: i64, estimated_wh: i64, minutes: i64| {
        json!({"sessions": sessions, "energy_wh": energy_wh, "estimated_wh": estimated_wh,
            "duration_s": minutes * 60})
    };
    let with = |mut sum: Value, fields: Value| {
        let more = fields.as_object().expect("an object").clone();
        sum.as_object_mut().expect("an object").extend(more);
        sum
    };
    for (query, expected) in [
        (
            "group_by=owner",
            json!([
                with(sum(1, 0, 0, 30), json!({"owner_id": null})),
                with(sum(3, 5_400, 2_500, 330), json!({"owner_id": "acme"}))
            ]),
        ),
        (
            "group_by=month,site&owner_id=acme",
            json!([
                with(sum(2, 5_400, 0, 210), json!({"month": "2026-04", "site": "North"})),
                with(sum(1, 0, 2_500, 120), json!({"month": "2026-05", "site": "South"}))
            ]),
        ),
        (
            "group_by=month&time_zone=Europe/Berlin&owner_id=acme",
            json!([
                with(sum(1, 400, 0, 60), json!({"month": "2026-04"})),
                with(sum(2, 5_000, 2_500, 270), json!({"month": "2026-05"}))
            ]),
        ),
        (
            "group_by=day,station&time_zone=Europe/Berlin&until=2026-05-02T00:00:00Z",
            json!([
                with(sum(1, 400, 0, 60), json!({"day": "2026-04-30", "station_id": "A"})),
                with(sum(1, 5_000, 0, 150), json!({"day": "2026-05-01", "station_id": "A"}))
            ]),
        ),
        (
            "group_by=energy_quality&since=2026-05-01T00:00:00Z",
            json!([
                with(sum(1, 0, 2_500, 120), json!({"energy_quality": "estimated"})),
                with(sum(1, 0, 0, 30), json!({"energy_quality": "implausible"}))
            ]),
        ),
        ("group_by=site&site=South&min_energy_wh=2500&min_duration=1h&id_tag=tag", {
            json!([with(sum(1, 0, 2_500, 120), json!({"site": "South"}))])
        }),
        ("group_by=owner&status=active", json!([])),
        ("group_by=owner&status=completed&station_id=C", {
            json!([with(sum(1, 0, 0, 30), json!({"owner_id": null}))])
        }),
    ] {
        assert_eq!(sums(&gateway, query).await, expected, "{query}");
    }
    for (query, field) in [
        ("", "group_by"),
        ("group_by=", "group_by"),
        ("group_by=owner,weather", "group_by"),
        ("group_by=owner,owner", "group_by"),
        ("group_by=day&time_zone=Europe/Atlantis", "time_zone"),
        ("group_by=day&limit=5", "limit"),
    ] {
        let (status, refused) = gateway.api("GET", &format!("/transactions/summary?{query}"), None).await;
        assert_eq!((status, &refused["errors"][0]["field"]), (422, &json!(field)), "{query}: {refused}");
    }
}
