//! What is past its time goes; what has not come to its end stays; and who asks for it is told.

use std::time::Duration;

use chargehook::config::Config;
use chargehook::retention::{Keep, KeepType};
use serde_json::{Value, json};
use vocabulary::clock::{Clock, Timestamp};
use vocabulary::units::{ByteSize, Span};

use crate::deliveries::{deliveries, delivery, has, webhook};
use crate::harness::{Charger, Running, eventually, http_client, is_of_embedded, start_by};
use crate::receiver::{Answer, Receiver};

const NOW: Timestamp = Timestamp::from_unix_ms(1_776_168_000_000);

/// Short, so that one looks often; the clock stands still unless it is moved.
const KEPT: Keep = Keep::For(Span(Duration::from_millis(400)));
const LONGER: Duration = Duration::from_secs(1);

async fn kept(clock: &Clock, change: impl FnOnce(&mut Config)) -> Running {
    start_by(clock.clone(), tempfile::tempdir().expect("a directory"), |config| {
        config.retention.by_type = Vec::new();
        config.retention.events = KEPT;
        change(config);
    })
    .await
}

async fn status(gateway: &Running, path: &str) -> u16 {
    gateway.api("GET", path, None).await.0
}

async fn is_gone(gateway: &Running, path: &str) {
    eventually(path, || async { (status(gateway, path).await == 410).then_some(()) }).await;
}

/// An event that is not looked at: the newest one is never removed.
async fn one_more(charger: &mut Charger) {
    charger.call("DataTransfer", json!({"vendorId": "newest"})).await;
}

async fn first_of(gateway: &Running, event: &str) -> Value {
    gateway.events_of("CP", event).await.first().cloned().unwrap_or_else(|| panic!("no {event}"))
}

fn id(row: &Value) -> &str {
    row["id"].as_str().expect("an id")
}

#[tokio::test]
async fn delivery_case_39_what_is_delivered_is_removed_and_its_resend_is_410_while_what_waits_stays() {
    let clock = Clock::manual(NOW);
    let gateway = kept(&clock, |_| {}).await;
    let receiver = Receiver::always(Answer::Status(200)).await;
    let all = webhook(&gateway, &receiver.url, json!({"events": ["StatusNotification", "Heartbeat"]})).await;
    let paused = webhook(&gateway, &receiver.url, json!({"events": ["StatusNotification"]})).await;
    gateway.api("POST", &format!("/webhooks/{}/pause", paused["id"]), None).await;
    let mut charger = gateway.booted("CP").await;
    let available = json!({"connectorId": 1, "errorCode": "NoError", "status": "Available"});
    charger.call("StatusNotification", available).await;
    charger.still_serves().await;
    let beat = first_of(&gateway, "Heartbeat").await;
    let available = first_of(&gateway, "StatusNotification").await;
    eventually("both have arrived", || async {
        let sent = deliveries(&gateway, &all).await;
        (sent.len() == 2 && sent.iter().all(has("success"))).then_some(())
    })
    .await;
    let delivered = deliveries(&gateway, &all).await;
    let of_beat = delivered.iter().find(|one| one["event"] == "Heartbeat").expect("its delivery");
    one_more(&mut charger).await;
    assert_eq!(status(&gateway, &format!("/events/{}", id(&beat))).await, 200, "its time has not come");

    clock.advance(LONGER);
    one_more(&mut charger).await;
    is_gone(&gateway, &format!("/events/{}", id(&beat))).await;
    for path in
        [format!("/events/{}/resend", id(&beat)), format!("/deliveries/{}/resend?force=true", id(of_beat))]
    {
        let (code, problem) = gateway.api("POST", &path, None).await;
        assert_eq!(
            (code, &problem["type"]),
            (410, &json!("urn:chargehook:problem:gone")),
            "{path}: {problem}"
        );
        assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains("retention")), "{problem}");
    }
    assert_eq!(status(&gateway, &format!("/deliveries/{}", id(of_beat))).await, 410);
    for never in [
        "/events/evt_7zzzzzzzzzzzzzzzzzzzzzzzzz",
        "/events/evt_1",
        "/deliveries/dlv_7zzzzzzzzzzzzzzzzzzzzzzzzz",
    ] {
        assert_eq!(status(&gateway, never).await, 404, "{never}");
    }

    // One of its deliveries waits: the event stays, with all that was sent.
    let waiting = delivery(&gateway, &paused, has("scheduled")).await;
    assert_eq!(waiting["event_id"], available["id"]);
    assert_eq!(status(&gateway, &format!("/events/{}", id(&available))).await, 200);
    gateway.api("POST", &format!("/webhooks/{}/resume", paused["id"]), None).await;
    is_gone(&gateway, &format!("/events/{}", id(&available))).await;
    let bodies = receiver.so_far();
    assert_eq!(bodies.len(), 3, "it arrived before it was removed");
}

#[tokio::test]
async fn a_poller_that_was_overtaken_is_told_and_one_behind_a_type_of_its_own_goes_on() {
    let clock = Clock::manual(NOW);
    let gateway = kept(&clock, |config| {
        config.retention.events = Keep::For(Span::seconds(60));
        config.retention.by_type = vec![KeepType { event: "Heartbeat".to_owned(), keep: KEPT }];
    })
    .await;
    let mut charger = gateway.booted("CP").await;
    charger.still_serves().await;
    one_more(&mut charger).await;
    let beat = first_of(&gateway, "Heartbeat").await;
    let boot = first_of(&gateway, "BootNotification").await;
    let page = gateway.get("/events?order=asc&limit=1").await;
    let cursor = page["next_cursor"].as_str().expect("more").to_owned();

    clock.advance(LONGER);
    is_gone(&gateway, &format!("/events/{}", id(&beat))).await;
    // Nothing but heartbeats is missing, which nobody keeps: the place still stands for itself.
    let behind = gateway.get(&format!("/events?order=asc&after={}", id(&beat))).await;
    assert_eq!(behind["data"][0]["event"], "DataTransfer", "{behind}");
    assert_eq!(status(&gateway, &format!("/events?order=asc&cursor={cursor}")).await, 200);

    clock.advance(Duration::from_secs(100));
    one_more(&mut charger).await;
    is_gone(&gateway, &format!("/events/{}", id(&boot))).await;
    for place in [format!("after={}", id(&boot)), format!("cursor={cursor}")] {
        // More than one step may take what is past its time.
        is_gone(&gateway, &format!("/events?order=asc&{place}")).await;
    }
    assert_eq!(status(&gateway, "/events?order=asc").await, 200);
    // A stream is told before it begins.
    let (code, problem) = gateway.api("GET", &format!("/events/stream?after={}", id(&boot)), None).await;
    assert_eq!(code, 410, "{problem}");
}

#[tokio::test]
async fn a_start_is_recognised_when_its_event_is_gone() {
    let clock = Clock::manual(NOW);
    let gateway = kept(&clock, |_| {}).await;
    let mut charger = gateway.booted("CP").await;
    let start = json!({"connectorId": 1, "idTag": "T", "meterStart": 7, "timestamp": "2026-04-14T12:00:00Z"});
    let first = charger.call("StartTransaction", start.clone()).await;
    let event = first_of(&gateway, "StartTransaction").await;
    one_more(&mut charger).await;
    clock.advance(LONGER);
    one_more(&mut charger).await;
    is_gone(&gateway, &format!("/events/{}", id(&event))).await;
    let again = charger.call("StartTransaction", start).await;
    assert_eq!(again, first, "the same number and verdict");
    let repeated = first_of(&gateway, "StartTransaction").await;
    assert_eq!(repeated["duplicate_of"], event["id"], "{repeated}");
    let duplicates = gateway.get("/events?duplicate=true").await;
    assert_eq!(duplicates["data"][0]["duplicate_of"], event["id"]);
}

#[tokio::test]
async fn transactions_and_commands_go_when_they_have_ended_and_their_time_is_over() {
    let clock = Clock::manual(NOW);
    let gateway = kept(&clock, |config| {
        config.retention.transactions = KEPT;
        config.retention.commands = KEPT;
        config.retention.events = Keep::Forever;
    })
    .await;
    let mut charger = gateway.booted("CP").await;
    let mut numbers = Vec::new();
    for connector in [1, 2] {
        let start = json!({"connectorId": connector, "idTag": "T", "meterStart": 0, "timestamp": "2026-04-14T12:00:00Z"});
        let answer = charger.call("StartTransaction", start).await;
        numbers.push(answer["transactionId"].as_i64().unwrap_or_else(|| panic!("{answer}")));
    }
    let (ended, open) = (numbers[0], numbers[1]);
    let values = json!([{"timestamp": "2026-04-14T12:00:01Z", "sampledValue": [{"value": "5"}]}]);
    charger
        .call("MeterValues", json!({"connectorId": 1, "transactionId": ended, "meterValue": values}))
        .await;
    let stop = json!({"transactionId": ended, "meterStop": 9, "timestamp": "2026-04-14T12:00:02Z"});
    charger.call("StopTransaction", stop).await;
    let order = json!({"action": "ClearCache", "payload": {}, "wait": false});
    let (code, command) = gateway.api("POST", "/stations/CP/commands", Some(order)).await;
    assert_eq!(code, 202, "{command}");
    let call: Value = serde_json::from_str(&charger.receive().await).expect("a CALL");
    charger.send(&json!([3, call[1], {"status": "Accepted"}]).to_string()).await;
    let command = format!("/commands/{}", id(&command));
    eventually("the command has ended", || async {
        (gateway.get(&command).await["status"] == "completed").then_some(())
    })
    .await;

    clock.advance(LONGER);
    is_gone(&gateway, &format!("/transactions/{ended}")).await;
    is_gone(&gateway, &command).await;
    assert_eq!(status(&gateway, &format!("/transactions/{ended}/meter-values")).await, 410);
    assert_eq!(status(&gateway, &format!("/transactions/{open}")).await, 200, "it is open");
    assert_eq!(gateway.events_of("CP", "StopTransaction").await.len(), 1, "events have a time of their own");
}

#[tokio::test]
async fn beyond_its_size_the_database_loses_its_oldest_events_and_nothing_that_waits() {
    if is_of_embedded("PostgreSQL has no largest size") {
        return;
    }
    const MAX: u64 = 4 << 20;
    let clock = Clock::manual(NOW);
    let gateway = kept(&clock, |config| config.retention.max_database_size = Some(ByteSize(MAX))).await;
    let receiver = Receiver::always(Answer::Status(200)).await;
    let paused = webhook(&gateway, &receiver.url, json!({"events": ["Heartbeat"]})).await;
    gateway.api("POST", &format!("/webhooks/{}/pause", paused["id"]), None).await;
    let mut charger = gateway.booted("CP").await;
    charger.still_serves().await;
    let boot = first_of(&gateway, "BootNotification").await;
    let beat = first_of(&gateway, "Heartbeat").await;
    let start = json!({"connectorId": 1, "idTag": "T", "meterStart": 7, "timestamp": "2026-04-14T12:00:00Z"});
    let number = charger.call("StartTransaction", start).await["transactionId"].clone();
    let stop = json!({"transactionId": number, "meterStop": 9, "timestamp": "2026-04-14T12:00:02Z"});
    charger.call("StopTransaction", stop).await;
    let ready = http_client().get(gateway.url("/readyz")).send().await.expect("answers");
    let ready: Value = ready.json().await.expect("JSON");
    assert_eq!((&ready["status"], &ready["reasons"]), (&json!("ok"), &Value::Null), "{ready}");

    let ballast = "x".repeat(50_000);
    for _ in 0..120 {
        charger.call("DataTransfer", json!({"vendorId": "ballast", "data": ballast})).await;
    }
    is_gone(&gateway, &format!("/events/{}", id(&boot))).await;
    eventually("the file has shrunk", || async {
        let space = gateway.gateway.store().space().await.expect("reads");
        (space.used_bytes() <= MAX && !space.has_too_much()).then_some(())
    })
    .await;
    assert_eq!(status(&gateway, &format!("/events/{}", id(&beat))).await, 200, "it waits for its delivery");
    assert_eq!(gateway.get(&format!("/transactions/{number}")).await["status"], "completed");
    // Whatever the last step took beyond need: four fifths are passed on the way back to the limit.
    eventually("it is warned of", || async {
        let mut other = gateway.charger("CP2").await;
        other.call("DataTransfer", json!({"vendorId": "ballast", "data": &ballast})).await;
        let ready = http_client().get(gateway.url("/readyz")).send().await.expect("answers");
        assert_eq!(ready.status(), 200);
        let ready: Value = ready.json().await.expect("JSON");
        ready["reasons"][0].as_str().is_some_and(|reason| reason.contains("max_database_size")).then_some(())
    })
    .await;
    let metrics = http_client().get(gateway.url("/metrics")).send().await.expect("answers");
    let metrics = metrics.text().await.expect("text");
    for line in ["chargehook_store_nearly_full 1", "chargehook_store_max_bytes 4194304"] {
        assert!(metrics.lines().any(|found| found == line), "{line}: {metrics}");
    }
}
