//! A start that equals, to the letter, one whose stop has come: a replay of the charger's queue, or, where
//! its clock was never set, a new session.

use std::time::Duration;

use serde_json::{Value, json};
use vocabulary::clock::Clock;

use crate::harness::{Charger, Running, start};

/// So long ago, as a charger writes it.
fn ago(seconds: u64) -> String {
    Clock::System.now().before(Duration::from_secs(seconds)).to_string()
}

fn status(timestamp: &str) -> Value {
    json!({"connectorId": 1, "errorCode": "NoError", "status": "Preparing", "timestamp": timestamp})
}

fn begin(timestamp: &str) -> Value {
    json!({"connectorId": 1, "idTag": "TAG", "meterStart": 1_000, "timestamp": timestamp})
}

fn end(number: &Value, meter: i64, timestamp: &str) -> Value {
    json!({"transactionId": number, "idTag": "TAG", "meterStop": meter, "timestamp": timestamp})
}

/// Starts and stops; the answers to both.
async fn session(charger: &mut Charger, from: &str, to: &str, named: Option<Value>) -> [Value; 2] {
    let started = charger.call("StartTransaction", begin(from)).await;
    let number = named.unwrap_or_else(|| started["transactionId"].clone());
    let stopped = charger.call("StopTransaction", end(&number, 2_000, to)).await;
    [started, stopped]
}

async fn sessions(gateway: &Running, station: &str) -> usize {
    gateway.get(&format!("/transactions?station_id={station}")).await["data"]
        .as_array()
        .expect("a list")
        .len()
}

#[tokio::test]
async fn a_queue_that_is_replayed_brings_no_second_session() {
    let gateway = start(|_| {}).await;
    assert_eq!(gateway.api("PUT", "/id-tags/TAG", Some(json!({"max_active_transactions": 1}))).await.0, 201);
    // When the session was, whether the station's live messages have a time, and what the stops name.
    for (name, from, to, live, named) in [
        ("HOURS_AGO", ago(7_200), ago(3_600), true, [None, None]),
        ("NO_LIVE_TIME", ago(7_200), ago(3_600), false, [None, None]),
        // Old as it is, no live message tells that the clock was never set.
        ("YEARS_AGO", "2024-05-01T10:00:00Z".into(), "2024-05-01T10:30:00Z".into(), false, [None, None]),
        ("NAMELESS", ago(7_200), ago(3_600), true, [Some(json!(-1)), Some(json!(0))]),
        ("NAMED_LATER", ago(7_200), ago(3_600), true, [Some(json!(-1)), None]),
        ("NAMED_BEFORE", ago(7_200), ago(3_600), true, [None, Some(json!(-1))]),
        // The clock was set after the session.
        ("SET_SINCE", "1970-01-01T00:05:00Z".into(), "1970-01-01T01:05:00Z".into(), true, [None, None]),
        ("BUILT_IN", "2015-01-01T00:05:00Z".into(), "2015-01-01T01:05:00Z".into(), true, [None, None]),
    ] {
        let mut charger = gateway.booted(name).await;
        let [of_first, of_second] = named;
        if live {
            charger.call("StatusNotification", status(&ago(0))).await;
        }
        let answers = session(&mut charger, &from, &to, of_first).await;
        assert_eq!(answers[0]["idTagInfo"]["status"], "Accepted", "{name}");
        // Another card charges meanwhile, and nothing of the replay is about it.
        let other = json!({"connectorId": 1, "idTag": "OTHER", "meterStart": 2_000, "timestamp": ago(60)});
        let running = charger.call("StartTransaction", other).await["transactionId"].clone();
        drop(charger);
        let mut charger = gateway.booted(name).await;
        assert_eq!(session(&mut charger, &from, &to, of_second).await, answers, "{name}");
        for action in ["StartTransaction", "StopTransaction"] {
            let events = gateway.events_of(name, action).await;
            let last = events.last().expect("an event");
            assert_eq!(last["duplicate_of"], events[0]["id"], "{name}: {action}");
        }
        assert_eq!(gateway.events_of(name, "TransactionCompleted").await.len(), 1, "{name}");
        assert_eq!(sessions(&gateway, name).await, 2, "{name}");
        let running = gateway.get(&format!("/transactions/{running}")).await;
        assert_eq!((&running["status"], &running["orphaned"]), (&json!("active"), &json!(false)), "{name}");
    }
}

#[tokio::test]
async fn a_clock_that_was_never_set_begins_each_session_alike() {
    let gateway = start(|_| {}).await;
    for (name, live, from, to) in [
        ("BUILT_IN", Some("2015-01-01T00:00:09Z"), "2015-01-01T00:00:30Z", "2015-01-01T00:10:00Z"),
        ("EPOCH", Some("1970-01-01T00:00:09Z"), "1970-01-01T00:00:30Z", "1970-01-01T00:10:00Z"),
        ("NO_LIVE_TIME", None, "1970-01-01T00:00:30Z", "1970-01-01T00:10:00Z"),
    ] {
        let mut numbers = Vec::new();
        for _ in 0..2 {
            let mut charger = gateway.booted(name).await;
            if let Some(live) = live {
                charger.call("StatusNotification", status(live)).await;
            }
            let started = charger.call("StartTransaction", begin(from)).await;
            // The answer is lost: while it is open, the same start is a retry.
            assert_eq!(charger.call("StartTransaction", begin(from)).await, started, "{name}");
            let number = started["transactionId"].clone();
            charger.call("StopTransaction", end(&number, 2_000, to)).await;
            charger.call("StopTransaction", end(&number, 2_000, to)).await;
            let done = gateway.get(&format!("/transactions/{number}")).await;
            assert_eq!((&done["status"], &done["energy_wh"]), (&json!("completed"), &json!(1_000)), "{name}");
            numbers.push(number);
        }
        assert_ne!(numbers[0], numbers[1], "{name}");
        assert_eq!(sessions(&gateway, name).await, 2, "{name}");
        let stops = gateway.events_of(name, "StopTransaction").await;
        let is_repeat: Vec<_> = stops.iter().map(|stop| !stop["duplicate_of"].is_null()).collect();
        assert_eq!(is_repeat, [false, true, false, true], "{name}");
        assert!(
            !stops.iter().any(|stop| stop["violations"].to_string().contains("conflicting_stop")),
            "{name}"
        );
    }
}

#[tokio::test]
async fn what_differs_is_no_replay() {
    let gateway = start(|_| {}).await;
    let mut charger = gateway.booted("CP").await;
    let from = ago(7_200);
    session(&mut charger, &from, &ago(3_600), None).await;
    for (member, value) in [
        ("connectorId", json!(2)),
        ("idTag", json!("TAG2")),
        ("meterStart", json!(1_001)),
        ("timestamp", json!(ago(7_201))),
    ] {
        let mut other = begin(&from);
        other[member] = value;
        charger.call("StartTransaction", other).await;
        let event = gateway.events_of("CP", "StartTransaction").await.pop().expect("an event");
        assert!(event["duplicate_of"].is_null(), "{member}: {event}");
    }
    // A stray byte behind the tag makes no other start.
    let mut same = begin(&from);
    same["idTag"] = json!("tag\u{1}");
    charger.call("StartTransaction", same).await;
    let events = gateway.events_of("CP", "StartTransaction").await;
    assert_eq!(events[events.len() - 1]["duplicate_of"], events[0]["id"]);
}
