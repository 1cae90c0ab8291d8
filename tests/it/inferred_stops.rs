//! Stops that name −1, 0, nothing or a number of nobody: which session they end, and which they
//! leave alone.

use serde_json::{Value, json};

use crate::harness::{Charger, Running, start};

/// A start on a connector; its transaction's number.
async fn begin(charger: &mut Charger, connector: u32, tag: &str, meter: i64, timestamp: &str) -> Value {
    let payload =
        json!({"connectorId": connector, "idTag": tag, "meterStart": meter, "timestamp": timestamp});
    charger.call("StartTransaction", payload).await["transactionId"].clone()
}

async fn transaction(gateway: &Running, number: &Value) -> Value {
    gateway.get(&format!("/transactions/{number}")).await
}

/// Whether a transaction is ended by a stop that did not name it.
async fn is_ended(gateway: &Running, number: &Value) -> bool {
    let found = transaction(gateway, number).await;
    let is_completed = found["status"] == "completed";
    assert_eq!(found["inferred"], is_completed, "{found}");
    is_completed
}

async fn last_stop(gateway: &Running, station: &str) -> Value {
    gateway.events_of(station, "StopTransaction").await.pop().expect("an event")
}

/// Begins a session at 12:00:00.700 with 1,000 Wh, sends `stop` and says whether that has ended it.
async fn ends(gateway: &Running, station: &str, stop: Value) -> bool {
    let mut charger = gateway.booted(station).await;
    let number = begin(&mut charger, 1, "TAG", 1_000, "2026-04-14T12:00:00.700Z").await;
    let answer = charger.call("StopTransaction", stop.clone()).await;
    let event = last_stop(gateway, station).await;
    let ended = is_ended(gateway, &number).await;
    let expected = if ended { &number } else { &Value::Null };
    assert_eq!(&event["transaction_id"], expected, "{event}");
    // The charger did not hear the answer.
    assert_eq!(charger.call("StopTransaction", stop).await, answer);
    let again = last_stop(gateway, station).await;
    assert_eq!((&again["duplicate_of"], &again["transaction_id"]), (&event["id"], expected));
    let completed = gateway.events_of(station, "TransactionCompleted").await;
    assert_eq!(completed.len(), usize::from(ended), "one end at most");
    assert!(gateway.events_of(station, "TransactionCorrected").await.is_empty());
    ended
}

#[tokio::test]
async fn a_stop_without_number_ends_the_one_session_there_is() {
    let gateway = start(|_| {}).await;
    let plain = json!({"transactionId": -1, "meterStop": 2000, "timestamp": "2026-04-14T13:00:00Z"});
    let but = |changes: Value| {
        let mut stop = plain.clone();
        for (name, value) in changes.as_object().expect("members") {
            stop[name] = value.clone();
        }
        stop
    };
    for (name, changes) in [
        ("minus_one", json!({})),
        ("zero", json!({"transactionId": 0})),
        ("unsigned", json!({"transactionId": 4_294_967_295_u32, "timestamp": "2026-04-14T11:00:00Z"})),
        ("null", json!({"transactionId": null})),
        ("text", json!({"transactionId": "-1"})),
        ("empty", json!({"transactionId": ""})),
        ("unreadable", json!({"transactionId": "abc"})),
        ("object", json!({"transactionId": {}})),
        ("unknown", json!({"transactionId": 7})),
        ("same_second", json!({"timestamp": "2026-04-14T12:00:00Z"})),
        ("same_minute", json!({"timestamp": "2026-04-14T12:00Z"})),
        ("clock_was_set", json!({"timestamp": "2026-04-14T11:00:00Z"})),
        ("dead_clock", json!({"timestamp": "1970-01-01T00:00:00Z"})),
        ("no_time", json!({"timestamp": null})),
        ("stray_byte", json!({"idTag": "TAG\u{3}"})),
        ("stray_byte_in_front", json!({"idTag": "\u{3}tag"})),
        ("blank", json!({"idTag": " TAG "})),
        ("nul", json!({"idTag": "TAG\0\u{7f}x"})),
        ("blank_alone", json!({"idTag": " "})),
        ("meter_0", json!({"meterStop": 0})),
        ("no_meter", json!({"meterStop": null})),
        ("all_at_once", json!({"meterStop": 0, "timestamp": "2026-04-14T11:00:00Z", "idTag": "TAG\n"})),
    ] {
        assert!(ends(&gateway, name, but(changes)).await, "{name}");
    }
    for (name, changes) in [
        ("other_tag", json!({"idTag": "OTHER"})),
        ("below_the_start", json!({"meterStop": 999})),
        ("unknown_before", json!({"transactionId": 7, "timestamp": "2026-04-14T11:00:00Z"})),
    ] {
        assert!(!ends(&gateway, name, but(changes)).await, "{name}");
    }
}

#[tokio::test]
async fn a_card_of_the_same_group_ends_the_session_too() {
    let gateway = start(|_| {}).await;
    for (tag, parent) in [("A", "FLEET"), ("B", "fleet"), ("C", "OTHERS")] {
        let body = json!({"parent_id_tag": parent});
        assert_eq!(gateway.api("PUT", &format!("/id-tags/{tag}"), Some(body)).await.0, 201);
    }
    let mut charger = gateway.booted("CP").await;
    let number = begin(&mut charger, 1, "A", 1_000, "2026-04-14T12:00:00Z").await;
    let stop = |tag: &str| json!({"transactionId": 0, "meterStop": 2000, "idTag": tag, "timestamp": "2026-04-14T13:00:00Z"});
    charger.call("StopTransaction", stop("C")).await;
    assert!(!is_ended(&gateway, &number).await, "another group's");
    charger.call("StopTransaction", stop("b ")).await;
    assert!(is_ended(&gateway, &number).await);
}

/// Two sessions, on two connectors with meters far apart; their numbers.
async fn two(charger: &mut Charger, meters: [i64; 2]) -> [Value; 2] {
    [
        begin(charger, 1, "A", meters[0], "2026-04-14T12:00:00Z").await,
        begin(charger, 2, "B", meters[1], "2026-04-14T12:10:00Z").await,
    ]
}

async fn register(charger: &mut Charger, connector: u32, number: &Value, wh: i64) {
    let sampled =
        json!([{"value": wh.to_string(), "measurand": "Energy.Active.Import.Register", "unit": "Wh"}]);
    let values = json!([{"timestamp": "2026-04-14T12:55:00Z", "sampledValue": sampled}]);
    let payload = json!({"connectorId": connector, "transactionId": number, "meterValue": values});
    charger.call("MeterValues", payload).await;
}

#[tokio::test]
async fn of_two_sessions_the_tag_or_the_meter_singles_one_out() {
    let gateway = start(|_| {}).await;
    let nameless = json!({"transactionId": -1, "timestamp": "2026-04-14T13:00:00Z"});
    // Meters at the start, registers, tag and meter of the stop: which of the two it ends.
    for (name, meters, registers, tag, meter, expected) in [
        ("tag", [1_000, 1_000], None, json!("B\u{1}"), json!(2_000), Some(1)),
        ("first_tag", [1_000, 1_000], None, json!("a"), json!(0), Some(0)),
        ("below_one", [1_000, 90_000], None, Value::Null, json!(2_000), Some(0)),
        ("near_one", [1_000, 90_000], Some([6_000, 94_000]), Value::Null, json!(94_400), Some(1)),
        ("nearest", [1_000, 90_000], None, Value::Null, json!(91_000), Some(1)),
        ("near_both", [1_000, 1_000], Some([6_000, 6_100]), Value::Null, json!(6_400), None),
        ("near_none", [1_000, 90_000], Some([6_000, 94_000]), Value::Null, json!(700_000), None),
        ("nothing", [1_000, 90_000], Some([6_000, 94_000]), Value::Null, json!(0), None),
        ("nobodys_tag", [1_000, 90_000], None, json!("C"), json!(2_000), None),
    ] {
        let mut charger = gateway.booted(name).await;
        let numbers = two(&mut charger, meters).await;
        for (at, wh) in registers.into_iter().flatten().enumerate() {
            register(&mut charger, at as u32 + 1, &numbers[at], wh).await;
        }
        let mut stop = nameless.clone();
        (stop["idTag"], stop["meterStop"]) = (tag, meter);
        charger.call("StopTransaction", stop.clone()).await;
        // A retry does not take the other one.
        charger.call("StopTransaction", stop).await;
        for (at, number) in numbers.iter().enumerate() {
            assert_eq!(is_ended(&gateway, number).await, expected == Some(at), "{name}: session {at}");
        }
        let stops = gateway.events_of(name, "StopTransaction").await;
        assert_eq!(stops[1]["duplicate_of"], stops[0]["id"], "{name}");
    }
}

#[tokio::test]
async fn nobody_ends_another_stations_session() {
    let gateway = start(|_| {}).await;
    let mut mine = gateway.booted("MINE").await;
    let mut other = gateway.booted("OTHER").await;
    let number = begin(&mut mine, 1, "TAG", 1_000, "2026-04-14T12:00:00Z").await;
    for named in [json!(-1), json!(0), Value::Null, number.clone()] {
        let stop = json!({"transactionId": named, "idTag": "TAG", "meterStop": 2000, "timestamp": "2026-04-14T13:00:00Z"});
        other.call("StopTransaction", stop).await;
        assert!(!is_ended(&gateway, &number).await, "{named}");
    }
}

#[tokio::test]
async fn an_orphans_late_stop_ends_the_orphan_and_no_other() {
    let gateway = start(|_| {}).await;
    let mut charger = gateway.booted("CP").await;
    let orphan = begin(&mut charger, 1, "TAG", 1_000, "2026-04-14T12:00:00Z").await;
    let next = begin(&mut charger, 1, "TAG", 5_000, "2026-04-14T14:00:00Z").await;
    let late = json!({"transactionId": -1, "meterStop": 4500, "timestamp": "2026-04-14T13:00:00Z"});
    charger.call("StopTransaction", late.clone()).await;
    charger.call("StopTransaction", late).await;
    assert!(is_ended(&gateway, &orphan).await);
    let ended = transaction(&gateway, &orphan).await;
    assert_eq!((&ended["energy_wh"], &ended["orphaned"]), (&json!(3_500), &json!(false)));
    assert!(!is_ended(&gateway, &next).await, "it goes on");
    let own = json!({"transactionId": 0, "meterStop": 9000, "timestamp": "2026-04-14T15:00:00Z"});
    charger.call("StopTransaction", own).await;
    assert!(is_ended(&gateway, &next).await);
}

#[tokio::test]
async fn a_stop_that_was_heard_with_its_number_is_no_stop_of_the_next_session() {
    let gateway = start(|_| {}).await;
    let mut charger = gateway.booted("CP").await;
    let first = begin(&mut charger, 1, "TAG", 1_000, "2026-04-14T12:00:00Z").await;
    let mut stop = json!({"transactionId": first, "meterStop": 2000, "timestamp": "2026-04-14T13:00:00Z"});
    charger.call("StopTransaction", stop.clone()).await;
    let next = begin(&mut charger, 1, "TAG", 2_000, "2026-04-14T14:00:00Z").await;
    // After a power cut the charger's queue has lost the number.
    stop["transactionId"] = json!(-1);
    charger.call("StopTransaction", stop).await;
    assert_eq!(transaction(&gateway, &next).await["status"], "active");
    let stops = gateway.events_of("CP", "StopTransaction").await;
    assert_eq!(stops[1]["duplicate_of"], stops[0]["id"]);
}
