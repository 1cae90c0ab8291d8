//! A session's bill is right whatever happens: one transaction, one `TransactionCompleted`, a
//! `TransactionCorrected` per change, and energy that says how far it can be relied on.

use std::time::Duration;

use serde_json::{Value, json};
use vocabulary::units::Span;

use crate::harness::{Charger, Running, eventually, start};
use crate::receiver::{Answer, Receiver};

const BEGAN: &str = "2026-04-14T12:00:00Z";
const ENDED: &str = "2026-04-14T13:00:00Z";

async fn begin(charger: &mut Charger, meter_start: i64, timestamp: &str) -> i64 {
    let payload =
        json!({"connectorId": 1, "idTag": "TAG", "meterStart": meter_start, "timestamp": timestamp});
    charger.call("StartTransaction", payload).await["transactionId"].as_i64().expect("a number")
}

fn stop(number: i64, meter_stop: i64) -> Value {
    json!({"transactionId": number, "meterStop": meter_stop, "timestamp": ENDED})
}

fn register(timestamp: &str, value: &str) -> Value {
    json!({"timestamp": timestamp, "sampledValue": [{"value": value}]})
}

async fn meter(charger: &mut Charger, number: i64, values: &[Value]) {
    let payload = json!({"connectorId": 1, "transactionId": number, "meterValue": values});
    assert_eq!(charger.call("MeterValues", payload).await, json!({}));
}

async fn transaction(gateway: &Running, number: i64) -> Value {
    gateway.get(&format!("/transactions/{number}")).await
}

async fn close(gateway: &Running, number: i64, body: Value) -> (u16, Value) {
    gateway.api("POST", &format!("/transactions/{number}/close"), Some(body)).await
}

/// What integrators were told of a transaction, oldest first.
async fn told(gateway: &Running, number: i64) -> Vec<Value> {
    let body = gateway.get(&format!("/events?transaction_id={number}&event=transaction.*&order=asc")).await;
    body["data"].as_array().expect("a list").clone()
}

/// The one `TransactionCompleted` of a transaction that nothing has corrected.
async fn the_bill(gateway: &Running, number: i64) -> Value {
    let mut told = told(gateway, number).await;
    assert_eq!(told.len(), 1, "one bill: {told:#?}");
    let bill = told.remove(0);
    assert_eq!((&bill["event"], &bill["payload"]["revision"]), (&json!("TransactionCompleted"), &json!(1)));
    assert_agrees(&bill["payload"], &transaction(gateway, number).await);
    bill["payload"].clone()
}

/// The newest correction, after checking that every revision was told once and in order.
async fn the_correction(gateway: &Running, number: i64, revision: usize) -> Value {
    let told = told(gateway, number).await;
    let names: Vec<_> = told.iter().map(|event| event["event"].as_str().expect("a name")).collect();
    let mut expected = vec!["TransactionCorrected"; revision];
    expected[0] = "TransactionCompleted";
    assert_eq!(names, expected);
    for (index, event) in told.iter().enumerate() {
        assert_eq!(event["payload"]["revision"], index + 1);
    }
    let payload = told[revision - 1]["payload"].clone();
    assert_agrees(&payload, &transaction(gateway, number).await);
    payload
}

/// What is told is what the API shows.
#[track_caller]
fn assert_agrees(payload: &Value, shown: &Value) {
    for (field, value) in shown.as_object().expect("an object") {
        assert_eq!(&payload[field], value, "{field} of {payload}");
    }
}

#[track_caller]
fn assert_fields(found: &Value, expected: Value) {
    for (field, value) in expected.as_object().expect("an object") {
        assert_eq!(&found[field], value, "{field} of {found}");
    }
}

async fn meter_values(gateway: &Running, number: i64, query: &str) -> Vec<Value> {
    let body = gateway.get(&format!("/transactions/{number}/meter-values?limit=500{query}")).await;
    body["data"].as_array().expect("a list").clone()
}

fn texts(values: &[Value]) -> Vec<&str> {
    values.iter().map(|value| value["value"].as_str().expect("a text")).collect()
}

#[tokio::test]
async fn a_plain_session_has_one_bill_that_belongs_to_the_owner_at_its_start() {
    let gateway = start(|_| {}).await;
    let receiver = Receiver::always(Answer::Status(200)).await;
    for owner in ["acme", "other"] {
        let hook = json!({"url": receiver.url, "events": ["transaction.*"], "owner_id": owner});
        assert_eq!(gateway.api("POST", "/webhooks", Some(hook)).await.0, 201);
    }
    let station = json!({"station_id": "CP", "owner_id": "acme"});
    assert_eq!(gateway.api("POST", "/stations", Some(station)).await.0, 201);
    let mut charger = gateway.booted("CP").await;
    let number = begin(&mut charger, 1_000, BEGAN).await;
    let sampled = json!({"timestamp": "2026-04-14T12:30:00Z", "sampledValue": [
        {"value": "2.5", "unit": "kWh", "measurand": "Energy.Active.Import.Register"},
        {"value": "231,4", "measurand": "Voltage", "phase": "L1"}]});
    meter(&mut charger, number, &[sampled]).await;
    gateway.api("PATCH", "/stations/CP", Some(json!({"owner_id": "other"}))).await;
    charger.call("StopTransaction", stop(number, 4_000)).await;
    let bill = the_bill(&gateway, number).await;
    assert_fields(
        &bill,
        json!({"owner_id": "acme", "energy_wh": 3_000, "energy_estimated_wh": 1_500,
               "energy_quality": "metered", "inferred": false, "missing": [], "meter_values_truncated": false}),
    );
    assert!(bill.get("changed").is_none(), "{bill}");
    let first = json!({
        "occurred_at": "2026-04-14T12:30:00.000Z", "measurand": "Energy.Active.Import.Register",
        "context": "Sample.Periodic", "phase": null, "location": "Outlet", "format": "Raw", "unit": "kWh",
        "value": "2.5", "value_base": "2500", "derived": false});
    assert_fields(&bill["meter_values"][0], first);
    assert_fields(
        &bill["meter_values"][1],
        json!({"value": "231,4", "value_base": "231.4", "unit": "V", "phase": "L1", "derived": true}),
    );
    assert_eq!(bill["meter_values"].as_array(), Some(&meter_values(&gateway, number, "").await));
    // It is an ordinary event of the station, in its order.
    let events = gateway.events("CP").await;
    let seqs: Vec<_> = events.iter().map(|event| event["station_seq"].as_i64().expect("counted")).collect();
    assert_eq!(seqs, (1..=seqs.len() as i64).collect::<Vec<_>>());
    let last = events.last().expect("events");
    assert_fields(
        last,
        json!({"event": "TransactionCompleted", "category": "transaction", "owner_id": "acme",
               "transaction_id": number, "occurred_at": "2026-04-14T13:00:00.000Z", "protocol": null}),
    );
    assert_eq!(events[events.len() - 2]["event"], "StopTransaction");
    let sent: Value = serde_json::from_str(&receiver.wait_for(1).await[0].body).expect("JSON");
    assert_fields(&sent, json!({"event": "TransactionCompleted", "owner_id": "acme", "payload": bill}));
    let id = last["id"].as_str().expect("an id");
    let deliveries = gateway.get(&format!("/events/{id}/deliveries")).await;
    assert_eq!(deliveries["data"].as_array().expect("a list").len(), 1, "the other owner hears nothing");
}

#[tokio::test]
async fn a_start_told_twice_and_a_reboot_make_no_second_bill() {
    let gateway = start(|_| {}).await;
    let mut charger = gateway.booted("CP").await;
    let number = begin(&mut charger, 1_000, BEGAN).await;
    drop(charger);
    // Quirk Q33: a boot says nothing about what is open.
    let mut charger = gateway.booted("CP").await;
    assert_eq!(begin(&mut charger, 1_000, BEGAN).await, number, "the answer was lost: told again");
    assert_fields(&transaction(&gateway, number).await, json!({"status": "active", "orphaned": false}));
    assert_eq!(told(&gateway, number).await.len(), 0);
    assert_eq!(charger.boot().await, "Accepted");
    charger.call("StopTransaction", stop(number, 4_000)).await;
    drop(charger);
    let mut charger = gateway.booted("CP").await;
    charger.call("StopTransaction", stop(number, 4_000)).await;
    assert_eq!(begin(&mut charger, 1_000, BEGAN).await, number, "still the same start");
    assert_fields(
        &the_bill(&gateway, number).await,
        json!({"energy_wh": 3_000, "energy_quality": "metered"}),
    );
    assert_eq!(gateway.get("/transactions").await["data"].as_array().expect("a list").len(), 1);
}

#[tokio::test]
async fn case_38_39_an_offline_session_and_a_power_cut() {
    let gateway = start(|_| {}).await;
    let mut charger = gateway.booted("CP").await;
    let number = begin(&mut charger, 1_000, "2026-04-01T08:00:00Z").await;
    let payload = json!({"transactionId": number, "meterStop": 9_000, "timestamp": "2026-04-01T09:00:00Z",
        "reason": "Local", "transactionData": [
            register("2026-04-01T08:00:00Z", "1000"), register("2026-04-01T09:00:00Z", "9000")]});
    charger.call("StopTransaction", payload).await;
    let bill = the_bill(&gateway, number).await;
    assert_fields(
        &bill,
        json!({"started_at": "2026-04-01T08:00:00.000Z", "stopped_at": "2026-04-01T09:00:00.000Z",
               "energy_wh": 8_000, "energy_estimated_wh": 8_000, "energy_quality": "metered"}),
    );
    assert_eq!(texts(bill["meter_values"].as_array().expect("values")), ["1000", "9000"]);

    let number = begin(&mut charger, 9_000, BEGAN).await;
    drop(charger);
    let mut charger = gateway.booted("CP").await;
    let status = json!({"connectorId": 1, "status": "Finishing", "errorCode": "NoError"});
    charger.call("StatusNotification", status).await;
    let mut cut = stop(number, 9_500);
    cut["reason"] = json!("PowerLoss");
    charger.call("StopTransaction", cut).await;
    assert_fields(
        &the_bill(&gateway, number).await,
        json!({"stop_reason": "PowerLoss", "energy_wh": 500, "inferred": false, "orphaned": false}),
    );
}

#[tokio::test]
async fn closed_by_hand_and_then_corrected_by_the_charger() {
    let gateway = start(|_| {}).await;
    let mut charger = gateway.booted("CP").await;
    let number = begin(&mut charger, 1_000, BEGAN).await;
    meter(&mut charger, number, &[register("2026-04-14T12:30:00Z", "2000")]).await;
    for (body, field) in [
        (json!({"stopped_at": "2026-04-14T11:59:59Z"}), "stopped_at"),
        (json!({"stopped_at": "2999-01-01T00:00:00Z"}), "stopped_at"),
        (json!({"meter_stop": -1}), "meter_stop"),
        (json!({"reason": ""}), "reason"),
        (json!({"meterStop": 1}), "meterStop"),
    ] {
        let (status, problem) = close(&gateway, number, body).await;
        assert_eq!((status, &problem["errors"][0]["field"]), (422, &json!(field)), "{problem}");
    }
    let by_hand = json!({"stopped_at": "2026-04-14T12:45:00Z", "meter_stop": 2_500, "reason": "Other"});
    let (status, closed) = close(&gateway, number, by_hand).await;
    assert_eq!(status, 200, "{closed}");
    let bill = the_bill(&gateway, number).await;
    assert_agrees(&bill, &closed);
    assert_fields(
        &bill,
        json!({"status": "completed", "inferred": true, "stopped_at": "2026-04-14T12:45:00.000Z",
               "meter_stop": 2_500, "stop_reason": "Other", "energy_wh": 1_500, "energy_quality": "metered",
               "missing": []}),
    );
    assert_eq!(close(&gateway, number, json!({})).await.0, 409);
    assert_eq!(close(&gateway, 7, json!({})).await.0, 404);

    // The charger's own word comes after all: it is no conflict, and it counts.
    let late = json!({"transactionId": number, "meterStop": 4_000, "timestamp": ENDED, "idTag": "TAG",
        "transactionData": [register(ENDED, "4000")]});
    charger.call("StopTransaction", late.clone()).await;
    let correction = the_correction(&gateway, number, 2).await;
    assert_fields(
        &correction,
        json!({"inferred": false, "stopped_at": "2026-04-14T13:00:00.000Z", "meter_stop": 4_000,
               "stop_reason": "Local", "stop_id_tag": "TAG", "energy_wh": 3_000, "energy_estimated_wh": 3_000,
               "changed": ["inferred", "stopped_at", "meter_stop", "stop_reason", "stop_id_tag", "energy_wh",
                           "energy_estimated_wh"]}),
    );
    assert_eq!(texts(correction["meter_values"].as_array().expect("values")), ["2000", "4000"]);
    let event = gateway.events_of("CP", "StopTransaction").await.pop().expect("an event");
    assert_eq!(event["violations"], json!([]), "{event}");
    // From here on it is a stop like any other: a retry is one, and another content is a conflict. What
    // either tells of the meter is kept.
    let mut again = late;
    again["transactionData"] = json!([register("2026-04-14T12:50:00Z", "3500"), register(ENDED, "4000")]);
    charger.call("StopTransaction", again).await;
    let mut other = stop(number, 5_000);
    other["transactionData"] = json!([register("2026-04-14T12:55:00Z", "3800")]);
    charger.call("StopTransaction", other).await;
    the_correction(&gateway, number, 2).await;
    assert_eq!(texts(&meter_values(&gateway, number, "").await), ["2000", "3500", "3800", "4000"]);
    let stops = gateway.events_of("CP", "StopTransaction").await;
    assert_eq!(stops[1]["duplicate_of"], stops[0]["id"]);
    assert_eq!(stops[2]["violations"][0]["problem"], "conflicting_stop");
}

#[tokio::test]
async fn closed_by_hand_without_a_meter_reading_is_estimated_until_more_is_known() {
    let gateway = start(|_| {}).await;
    let mut charger = gateway.booted("CP").await;
    let number = begin(&mut charger, 1_000, BEGAN).await;
    meter(&mut charger, number, &[register("2026-04-14T12:30:00Z", "2000")]).await;
    let (status, closed) = gateway.api("POST", &format!("/transactions/{number}/close"), None).await;
    assert_eq!(status, 200, "a body is not needed: {closed}");
    assert!(closed["stopped_at"].is_string(), "now: {closed}");
    let estimated = json!({"energy_wh": null, "energy_estimated_wh": 1_000, "energy_quality": "estimated",
        "inferred": true, "missing": ["meter_stop"], "stop_reason": null});
    assert_fields(&the_bill(&gateway, number).await, estimated);
    // A voltage changes nothing that is billed.
    let voltage = json!({"timestamp": "2026-04-14T12:35:00Z",
        "sampledValue": [{"value": "230", "measurand": "Voltage"}]});
    meter(&mut charger, number, &[voltage]).await;
    the_bill(&gateway, number).await;
    // A later register does.
    meter(&mut charger, number, &[register("2026-04-14T12:55:00Z", "3000")]).await;
    let correction = the_correction(&gateway, number, 2).await;
    assert_fields(&correction, json!({"energy_estimated_wh": 2_000, "changed": ["energy_estimated_wh"]}));
    // A stop that does not know the meter either: what was guessed is replaced, nothing is made up.
    let bare = json!({"transactionId": number, "timestamp": ENDED, "reason": "PowerLoss"});
    charger.call("StopTransaction", bare).await;
    let correction = the_correction(&gateway, number, 3).await;
    assert_fields(
        &correction,
        json!({"inferred": false, "stop_reason": "PowerLoss", "energy_quality": "estimated",
               "missing": ["meter_stop"], "changed": ["inferred", "stopped_at", "stop_reason"]}),
    );
}

#[tokio::test]
async fn an_orphan_is_completed_in_time_and_corrected_by_its_stop() {
    let gateway = start(|config| config.transactions.orphan_after = Span(Duration::from_millis(400))).await;
    let mut charger = gateway.booted("CP").await;
    let lost = begin(&mut charger, 1_000, BEGAN).await;
    meter(&mut charger, lost, &[register("2026-04-14T12:30:00Z", "2000")]).await;
    let next = begin(&mut charger, 4_000, "2026-04-14T14:00:00Z").await;
    let bill = eventually("the orphan is completed", || async {
        (!told(&gateway, lost).await.is_empty()).then_some(())
    });
    bill.await;
    let bill = the_bill(&gateway, lost).await;
    assert_fields(
        &bill,
        json!({"status": "completed", "orphaned": true, "inferred": true, "meter_stop": null,
               "stopped_at": "2026-04-14T12:30:00.000Z", "stop_reason": null, "energy_wh": null,
               "energy_estimated_wh": 1_000, "energy_quality": "estimated", "missing": ["stopped_at", "meter_stop"]}),
    );
    assert_fields(&transaction(&gateway, next).await, json!({"status": "active", "orphaned": false}));

    // The next gateway knows where this one stood.
    let gateway = gateway.restart(|_| {}).await;
    let mut charger = gateway.booted("CP").await;
    charger.call("StopTransaction", stop(lost, 4_000)).await;
    let correction = the_correction(&gateway, lost, 2).await;
    assert_fields(
        &correction,
        json!({"orphaned": false, "inferred": false, "meter_stop": 4_000, "energy_wh": 3_000,
               "energy_quality": "metered", "stopped_at": "2026-04-14T13:00:00.000Z", "missing": [],
               "changed": ["orphaned", "inferred", "stopped_at", "meter_stop", "stop_reason", "energy_wh",
                           "energy_quality"]}),
    );
    charger
        .call(
            "StopTransaction",
            json!({"transactionId": next, "meterStop": 6_000,
        "timestamp": "2026-04-14T15:00:00Z"}),
        )
        .await;
    assert_fields(&the_bill(&gateway, next).await, json!({"energy_wh": 2_000, "inferred": false}));
}

#[tokio::test]
async fn orphans_wait_for_their_stop_and_many_are_completed_in_steps() {
    let gateway = start(|_| {}).await;
    let mut charger = gateway.booted("CP").await;
    let mut numbers = Vec::new();
    for minute in 0..46 {
        numbers.push(begin(&mut charger, 1_000, &format!("2026-04-14T12:{minute:02}:00Z")).await);
    }
    let running = numbers.pop().expect("one is running");
    // Its own stop completes an orphan, too.
    charger.call("StopTransaction", stop(numbers[0], 2_000)).await;
    assert_fields(&the_bill(&gateway, numbers[0]).await, json!({"orphaned": false, "inferred": false}));
    assert_eq!(told(&gateway, numbers[1]).await.len(), 0, "a day has not passed");
    let active = gateway.get("/transactions?status=active&limit=500").await;
    assert_eq!(active["data"].as_array().expect("a list").len(), 45);

    let gateway =
        gateway.restart(|config| config.transactions.orphan_after = Span(Duration::from_millis(1))).await;
    eventually("all orphans are completed", || async {
        let active = gateway.get("/transactions?status=active").await;
        (active["data"].as_array().expect("a list").len() == 1).then_some(())
    })
    .await;
    assert_eq!(transaction(&gateway, running).await["status"], "active", "nothing has followed it");
    for number in numbers {
        the_bill(&gateway, number).await;
    }
    let inferred = gateway.get("/transactions?inferred=true&limit=500").await;
    assert_eq!(inferred["data"].as_array().expect("a list").len(), 44);
}

#[tokio::test]
async fn case_40_a_healed_stop_is_inferred_and_billed_once() {
    let gateway = start(|_| {}).await;
    let mut charger = gateway.booted("CP").await;
    let number = begin(&mut charger, 1_000, BEGAN).await;
    charger.call("StopTransaction", stop(-1, 4_000)).await;
    charger.call("StopTransaction", stop(-1, 4_000)).await;
    let bill = the_bill(&gateway, number).await;
    assert_fields(
        &bill,
        json!({"inferred": true, "energy_wh": 3_000, "energy_quality": "metered", "missing": []}),
    );
    // A charger whose clock is dead says when it stopped as little as nobody else.
    let number = begin(&mut charger, 4_000, "2026-04-14T14:00:00Z").await;
    let timeless = json!({"transactionId": number, "meterStop": 5_000, "timestamp": "1970-01-01T00:00:00Z"});
    charger.call("StopTransaction", timeless).await;
    let bill = the_bill(&gateway, number).await;
    assert_fields(&bill, json!({"inferred": true, "energy_wh": 1_000, "missing": []}));
    assert!(bill["stopped_at"].is_string(), "when it arrived: {bill}");
}

#[tokio::test]
async fn case_41_values_after_the_stop_join_the_closed_session() {
    let gateway = start(|_| {}).await;
    let mut charger = gateway.booted("CP").await;
    let number = begin(&mut charger, 1_000, BEGAN).await;
    meter(&mut charger, number, &[register("2026-04-14T12:30:00Z", "2000")]).await;
    charger.call("StopTransaction", stop(number, 4_000)).await;
    // Quirk Q41: the end's own values come last, and later ones are of no session.
    let end = json!({"timestamp": ENDED, "sampledValue": [{"value": "4000", "context": "Transaction.End"}]});
    meter(&mut charger, number, &[end.clone(), register("2026-04-14T13:10:00Z", "4100")]).await;
    meter(&mut charger, number, &[end]).await;
    let kept = meter_values(&gateway, number, "").await;
    assert_eq!(texts(&kept), ["2000", "4000", "4100"], "each once");
    let bill = told(&gateway, number).await;
    assert_eq!(bill.len(), 1, "the meter's own readings stand: {bill:#?}");
    let shown = transaction(&gateway, number).await;
    assert_fields(
        &shown,
        json!({"status": "completed", "revision": 1, "energy_wh": 3_000, "energy_estimated_wh": 3_000}),
    );
}

#[tokio::test]
async fn readings_that_contradict_themselves_are_told_as_they_came() {
    let gateway = start(|_| {}).await;
    let mut charger = gateway.booted("CP").await;
    // Quirk Q40: the meter was reset, counts in another unit, or counts each session from zero.
    for (meter_start, read, meter_stop, energy, estimated) in [
        (5_000, None, 200, Value::Null, Value::Null),
        (1_234, None, 1_240_000, json!(1_238_766), Value::Null),
        (1_235, Some("1240000"), 1_241, json!(6), json!(1_238_765)),
        (0, Some("1503000"), 3_000, json!(3_000), json!(1_503_000)),
    ] {
        let number = begin(&mut charger, meter_start, BEGAN).await;
        if let Some(read) = read {
            meter(&mut charger, number, &[register("2026-04-14T12:50:00Z", read)]).await;
        }
        charger.call("StopTransaction", stop(number, meter_stop)).await;
        assert_fields(
            &the_bill(&gateway, number).await,
            json!({"meter_start": meter_start, "meter_stop": meter_stop, "energy_wh": energy,
                   "energy_estimated_wh": estimated, "energy_quality": "implausible"}),
        );
        let event = gateway.events_of("CP", "StopTransaction").await.pop().expect("an event");
        let below = json!([{"field": "meterStop", "problem": "implausible: below meterStart"}]);
        assert_eq!(event["violations"] == below, meter_stop < meter_start, "{event}");
    }
}

#[tokio::test]
async fn what_was_never_told_is_named() {
    let gateway = start(|_| {}).await;
    let mut charger = gateway.booted("CP").await;
    // Quirks Q12 and Q13: nothing but a number is left of it.
    let started = charger.call("StartTransaction", json!({})).await;
    let number = started["transactionId"].as_i64().expect("a number");
    charger.call("StopTransaction", json!({})).await;
    let bill = the_bill(&gateway, number).await;
    assert_fields(
        &bill,
        json!({"status": "completed", "inferred": true, "energy_quality": "missing", "energy_wh": null,
               "missing": ["connector_id", "id_tag", "started_at", "meter_start", "stopped_at", "meter_stop"]}),
    );
}

#[tokio::test]
async fn case_45_meter_values_count_once_and_in_the_chargers_order() {
    let gateway = start(|_| {}).await;
    let mut charger = gateway.booted("CP").await;
    let number = begin(&mut charger, 1_000, BEGAN).await;
    let full = |minute: u32, energy: &str| {
        json!({"timestamp": format!("2026-04-14T12:{minute:02}:00Z"), "sampledValue": [
            {"value": energy}, {"value": "16", "measurand": "Current.Import", "phase": "L1"}]})
    };
    meter(&mut charger, number, &[full(20, "1200"), full(10, "1100")]).await;
    meter(&mut charger, 0, &[full(20, "1200"), full(30, "1300")]).await;
    // Values that belong to no session are events, and nothing else.
    let clock_aligned = json!({"connectorId": 1, "meterValue": [
        {"timestamp": "2026-04-14T12:40:00Z", "sampledValue": [{"value": "9999", "context": "Sample.Clock"}]}]});
    charger.call("MeterValues", clock_aligned).await;
    // Values without a time stand where they arrived; the same again says nothing new.
    let timeless = json!({"sampledValue": [{"value": "1350"}]});
    meter(&mut charger, number, std::slice::from_ref(&timeless)).await;
    meter(&mut charger, number, &[timeless]).await;
    // A stop repeats the energy alone.
    let mut end = stop(number, 1_400);
    end["transactionData"] =
        json!([register("2026-04-14T12:10:00Z", "1100"), register("2026-04-14T12:40:00Z", "1400")]);
    charger.call("StopTransaction", end).await;
    let energy = meter_values(&gateway, number, "&measurand=Energy.Active.Import.Register").await;
    assert_eq!(texts(&energy), ["1100", "1200", "1300", "1400", "1350"]);
    assert!(energy[4]["occurred_at"].is_null() && energy[4]["received_at"].is_string(), "{energy:?}");
    assert_eq!(texts(&meter_values(&gateway, number, "&phase=L1").await), ["16", "16", "16"]);
    let mut reversed = meter_values(&gateway, number, "&order=desc").await;
    reversed.reverse();
    let all = meter_values(&gateway, number, "").await;
    assert_eq!(reversed, all);

    // Page by page it is the same list, either way.
    for (order, expected) in [("asc", &all), ("desc", &all.iter().rev().cloned().collect())] {
        let mut paged = Vec::new();
        let mut cursor = String::new();
        loop {
            let path = format!("/transactions/{number}/meter-values?limit=3&order={order}{cursor}");
            let page = gateway.get(&path).await;
            let rows = page["data"].as_array().expect("a list");
            assert!((1..=3).contains(&rows.len()), "{page}");
            paged.extend(rows.clone());
            let Some(next) = page["next_cursor"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
        assert_eq!(&paged, expected, "{order}");
    }
    let (status, _) = gateway.api("GET", "/transactions/7/meter-values", None).await;
    assert_eq!(status, 404);
    let arrived = all[0]["received_at"].as_str().expect("a time");
    let before = meter_values(&gateway, number, &format!("&until={arrived}")).await;
    assert!(before.is_empty(), "{before:?}");
}

#[tokio::test]
async fn case_46_a_long_session_is_thinned_and_signed_values_stay() {
    let gateway = start(|_| {}).await;
    let mut charger = gateway.booted("CP").await;
    let number = begin(&mut charger, 1_000, BEGAN).await;
    let document =
        |name: &str| format!("OCMF|{{\"FV\":\"1.0\",\"ID\":\"{name}\"}}|{}", "ä\"\\".repeat(2_000));
    let signed = |timestamp: &str, name: &str, context: &str| {
        json!({"timestamp": timestamp, "sampledValue": [
            {"value": document(name), "format": "SignedData", "context": context}]})
    };
    meter(&mut charger, number, &[signed(BEGAN, "begin", "Transaction.Begin")]).await;
    let event = gateway.events_of("CP", "MeterValues").await.pop().expect("an event");
    let sent = &event["payload"]["meterValue"][0]["sampledValue"][0]["value"];
    assert_eq!(sent, &json!(document("begin")), "byte for byte");
    for hour in 0..10 {
        let values: Vec<_> = (0..60)
            .map(|minute| {
                register(
                    &format!("2026-04-14T{:02}:{minute:02}:30Z", 12 + hour),
                    &format!("{}", 1_000 + hour * 60 + minute),
                )
            })
            .collect();
        meter(&mut charger, number, &values).await;
    }
    meter(&mut charger, number, &[signed("2026-04-14T17:00:00Z", "middle", "Interruption.End")]).await;
    let end = json!({"transactionId": number, "meterStop": 1_600, "timestamp": "2026-04-14T22:00:00Z",
        "transactionData": [signed("2026-04-14T22:00:00Z", "end", "Transaction.End")]});
    charger.call("StopTransaction", end).await;
    let bill = the_bill(&gateway, number).await;
    assert_fields(
        &bill,
        json!({"meter_values_truncated": true, "energy_wh": 600, "energy_quality": "metered"}),
    );
    let size = bill.to_string().len();
    assert!((40_000..=64 << 10).contains(&size), "{size} bytes");
    let told = bill["meter_values"].as_array().expect("values");
    let signed: Vec<_> = texts(told).into_iter().filter(|text| text.starts_with("OCMF")).collect();
    assert_eq!(signed, [document("begin"), document("middle"), document("end")]);
    assert_eq!(told[0]["value"], document("begin"));
    assert_eq!(told.last().expect("values")["value"], document("end"));
    assert!(told.len() > 50, "{} values are told", told.len());
    assert!(told.is_sorted_by_key(|value| value["occurred_at"].as_str().expect("a time").to_owned()));
    // Nothing is lost: the list has them all.
    let (mut all, mut cursor) = (0, String::new());
    loop {
        let page = gateway.get(&format!("/transactions/{number}/meter-values?limit=500{cursor}")).await;
        all += page["data"].as_array().expect("a list").len();
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(all, 603);
}

#[tokio::test]
async fn case_47_odd_units_are_normalised() {
    let gateway = start(|_| {}).await;
    let mut charger = gateway.booted("CP").await;
    let number = begin(&mut charger, 1_000, BEGAN).await;
    let odd = json!({"timestamp": "2026-04-14T12:10:00Z", "sampledValue": [
        {"value": "49.98", "measurand": "Frequency"},
        {"value": "80", "measurand": "SoC", "unit": "%"},
        {"value": "31.5", "measurand": "Temperature", "unit": "Celcius"},
        {"value": "7.4", "measurand": "Power.Active.Import", "unit": "kW"},
        {"value": "warm", "measurand": "Temperature"}]});
    meter(&mut charger, number, &[odd]).await;
    let told: Vec<_> = meter_values(&gateway, number, "")
        .await
        .iter()
        .map(|value| json!([value["value"], value["value_base"], value["unit"], value["derived"]]))
        .collect();
    assert_eq!(
        told,
        [
            json!(["49.98", "49.98", "Hertz", true]),
            json!(["80", "80", "Percent", false]),
            json!(["31.5", "31.5", "Celsius", false]),
            json!(["7.4", "7400", "kW", false]),
            json!(["warm", null, "Celsius", true]),
        ]
    );
}

#[tokio::test]
async fn a_poller_misses_no_change() {
    let gateway = start(|_| {}).await;
    let mut charger = gateway.booted("CP").await;
    let mut numbers = Vec::new();
    for minute in 0..6 {
        let number = begin(&mut charger, 1_000, &format!("2026-04-14T12:{minute:02}:00Z")).await;
        charger.call("StopTransaction", stop(number, 2_000)).await;
        numbers.push(number);
    }
    let since = "/transactions?updated_since=2026-01-01T00:00:00Z&order=asc&limit=2";
    let seen = |page: &Value| -> Vec<i64> {
        let rows = page["data"].as_array().expect("a list");
        rows.iter().map(|row| row["transaction_id"].as_i64().expect("a number")).collect()
    };
    let first = gateway.get(since).await;
    assert_eq!(seen(&first), numbers[..2]);
    // One that was seen and one that was not change while the poller stands between them.
    for (number, at) in [(numbers[0], "2026-04-14T12:00:30Z"), (numbers[3], "2026-04-14T12:03:30Z")] {
        meter(&mut charger, number, &[register(at, "1900")]).await;
    }
    let mut found = Vec::new();
    let mut page = first;
    while let Some(cursor) = page["next_cursor"].as_str().map(str::to_owned) {
        page = gateway.get(&format!("{since}&cursor={cursor}")).await;
        found.extend(seen(&page));
    }
    assert_eq!(found, [numbers[2], numbers[4], numbers[5], numbers[0], numbers[3]]);
    let times: Vec<_> =
        page["data"].as_array().expect("a list").iter().map(|row| row["updated_at"].clone()).collect();
    let last = times.last().and_then(Value::as_str).expect("a time");
    let again = gateway.get(&format!("/transactions?updated_since={last}&order=asc")).await;
    assert_eq!(seen(&again).last(), Some(&numbers[3]), "the last one is where the next poll begins");
}

#[tokio::test]
async fn every_filter_narrows_the_list() {
    let gateway = start(|_| {}).await;
    let station = json!({"station_id": "A", "owner_id": "acme"});
    assert_eq!(gateway.api("POST", "/stations", Some(station)).await.0, 201);
    let (mut a, mut b) = (gateway.booted("A").await, gateway.booted("B").await);
    let first = begin(&mut a, 1_000, BEGAN).await;
    a.call("StopTransaction", stop(first, 2_000)).await;
    let other =
        json!({"connectorId": 2, "idTag": "Other", "meterStart": 0, "timestamp": "2026-05-01T00:00:00Z"});
    let second = b.call("StartTransaction", other).await["transactionId"].as_i64().expect("a number");
    let arrived = gateway.events_of("B", "StartTransaction").await[0]["timestamp"].clone();
    let arrived = arrived.as_str().expect("a time");
    for (query, expected) in [
        (String::new(), vec![second, first]),
        ("station_id=A".to_owned(), vec![first]),
        ("owner_id=acme".to_owned(), vec![first]),
        ("connector_id=2".to_owned(), vec![second]),
        ("status=active".to_owned(), vec![second]),
        ("status=completed".to_owned(), vec![first]),
        ("id_tag=oTHER".to_owned(), vec![second]),
        ("inferred=false".to_owned(), vec![second, first]),
        ("inferred=true".to_owned(), vec![]),
        (format!("since={arrived}"), vec![second]),
        (format!("until={arrived}"), vec![first]),
        ("started_since=2026-04-20T00:00:00Z".to_owned(), vec![second]),
        ("started_until=2026-04-20T00:00:00Z".to_owned(), vec![first]),
        ("stopped_since=2026-04-14T13:00:00Z".to_owned(), vec![first]),
        ("stopped_until=2026-04-14T13:00:00Z".to_owned(), vec![]),
        ("updated_since=2999-01-01T00:00:00Z".to_owned(), vec![]),
    ] {
        let page = gateway.get(&format!("/transactions?{query}")).await;
        let found: Vec<_> = page["data"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|row| row["transaction_id"].as_i64().expect("a number"))
            .collect();
        assert_eq!(found, expected, "{query}");
    }
}

#[tokio::test]
async fn a_connector_shows_what_runs_on_it() {
    let gateway = start(|_| {}).await;
    let mut charger = gateway.booted("CP").await;
    let status = json!({"connectorId": 1, "status": "Charging", "errorCode": "NoError"});
    charger.call("StatusNotification", status).await;
    let shown =
        || async { gateway.get("/stations/CP/connectors").await["data"][0]["transaction_id"].clone() };
    assert_eq!(shown().await, Value::Null);
    let number = begin(&mut charger, 1_000, BEGAN).await;
    assert_eq!(shown().await, number);
    charger.call("StopTransaction", stop(number, 2_000)).await;
    assert_eq!(shown().await, Value::Null);
}
