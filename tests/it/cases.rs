//! Cases of a central system's test list, by their numbers: what chargers tell of themselves. Other
//! numbers are where their subject is.

use serde_json::{Value, json};

use crate::harness::start;
use crate::receiver::{Answer, Receiver};

fn status(connector: u32, status: &str) -> Value {
    json!({"connectorId": connector, "errorCode": "NoError", "status": status, "timestamp": "2026-04-14T12:00:00Z"})
}

fn start_payload(timestamp: &str) -> Value {
    json!({"connectorId": 1, "idTag": "TAG", "meterStart": 1000, "timestamp": timestamp})
}

#[tokio::test]
async fn case_1_a_boot_is_accepted_and_what_follows_it_is_answered() {
    let gateway = start(|_| {}).await;
    let mut charger = gateway.charger("CP").await;
    let boot = json!({"chargePointVendor": "V", "chargePointModel": "M", "chargePointSerialNumber": "S-1",
        "firmwareVersion": "1.2.3", "meterType": "T"});
    let answer = charger.call("BootNotification", boot.clone()).await;
    assert_eq!((&answer["status"], &answer["interval"]), (&json!("Accepted"), &json!(300)));
    assert!(answer["currentTime"].as_str().is_some_and(|time| time.ends_with('Z')), "{answer}");
    for connector in 0..=2 {
        assert_eq!(charger.call("StatusNotification", status(connector, "Available")).await, json!({}));
    }
    charger.still_serves().await;
    let station = gateway.get("/stations/CP").await;
    for (field, expected) in
        [("vendor", "V"), ("model", "M"), ("serial_number", "S-1"), ("firmware_version", "1.2.3")]
    {
        assert_eq!(station[field], expected, "{field} of {station}");
    }
    assert_eq!(station["boot_status"], "accepted");
    assert_eq!(gateway.events_of("CP", "BootNotification").await[0]["payload"], boot);
    assert_eq!(gateway.get("/stations/CP/connectors").await["data"].as_array().map(Vec::len), Some(3));
}

#[tokio::test]
async fn case_27_identified_before_plugged_in() {
    let gateway = start(|_| {}).await;
    let mut charger = gateway.booted("CP").await;
    assert_eq!(charger.call("Authorize", json!({"idTag": "TAG"})).await["idTagInfo"]["status"], "Accepted");
    charger.call("StatusNotification", status(1, "Preparing")).await;
    let started = charger.call("StartTransaction", start_payload("2026-04-14T12:00:00Z")).await;
    assert_eq!(started["idTagInfo"]["status"], "Accepted");
    charger.call("StatusNotification", status(1, "Charging")).await;
    let number = started["transactionId"].as_i64().expect("a number");
    assert!(number > 0);
    let transaction = gateway.get(&format!("/transactions/{number}")).await;
    assert_eq!((&transaction["status"], &transaction["id_tag"]), (&json!("active"), &json!("TAG")));
    let connectors = gateway.get("/stations/CP/connectors").await;
    assert_eq!(connectors["data"][0]["status"], "Charging");
    assert_eq!(connectors["data"][0]["transaction_id"], number);
}

#[tokio::test]
async fn case_28_nobody_plugs_in() {
    let gateway = start(|_| {}).await;
    let mut charger = gateway.booted("CP").await;
    charger.call("Authorize", json!({"idTag": "TAG"})).await;
    charger.call("StatusNotification", status(1, "Preparing")).await;
    charger.call("StatusNotification", status(1, "Available")).await;
    assert_eq!(gateway.get("/transactions").await["data"], json!([]));
    assert_eq!(gateway.get("/stations/CP/connectors").await["data"][0]["status"], "Available");
}

#[tokio::test]
async fn case_29_the_vehicle_unplugs() {
    let gateway = start(|_| {}).await;
    let mut charger = gateway.booted("CP").await;
    for (tag, answer) in [(None, json!({})), (Some("TAG"), json!({"idTagInfo": {"status": "Accepted"}}))] {
        let time = if tag.is_none() { "2026-04-14T12:00:00Z" } else { "2026-04-14T14:00:00Z" };
        let number = charger.call("StartTransaction", start_payload(time)).await["transactionId"].clone();
        charger.call("StatusNotification", status(1, "SuspendedEV")).await;
        let mut stop = json!({"transactionId": number, "meterStop": 1500, "timestamp": "2026-04-14T15:00:00Z",
            "reason": "EVDisconnected"});
        if let Some(tag) = tag {
            stop["idTag"] = json!(tag);
        }
        assert_eq!(charger.call("StopTransaction", stop).await, answer);
        charger.call("StatusNotification", status(1, "Available")).await;
        let done = gateway.get(&format!("/transactions/{number}")).await;
        assert_eq!(
            (&done["status"], &done["stop_reason"], &done["stop_id_tag"]),
            (&json!("completed"), &json!("EVDisconnected"), &json!(tag))
        );
    }
}

#[tokio::test]
async fn case_30_a_start_needs_no_authorize() {
    let gateway = start(|_| {}).await;
    let mut charger = gateway.booted("CP").await;
    let started = charger.call("StartTransaction", start_payload("2026-04-14T12:00:00Z")).await;
    assert_eq!(started["idTagInfo"]["status"], "Accepted");
    let event = gateway.events_of("CP", "StartTransaction").await.pop().expect("an event");
    assert_eq!(event["violations"], json!([]));
}

#[tokio::test]
async fn case_57_a_lock_that_fails_is_told_with_its_error() {
    let gateway = start(|_| {}).await;
    let receiver = Receiver::always(Answer::Status(200)).await;
    let hook =
        json!({"url": receiver.url, "events": ["StatusNotification"], "filter": {"status": "Faulted"}});
    assert_eq!(gateway.api("POST", "/webhooks", Some(hook)).await.0, 201);
    let mut charger = gateway.booted("CP").await;
    charger.call("StatusNotification", status(1, "Preparing")).await;
    let fault = json!({"connectorId": 1, "errorCode": "ConnectorLockFailure", "status": "Faulted",
        "info": "bolt", "vendorId": "com.example", "vendorErrorCode": "E42"});
    charger.call("StatusNotification", fault.clone()).await;
    let told: Value = serde_json::from_str(&receiver.wait_for(1).await[0].body).expect("JSON");
    assert_eq!(told["payload"], fault);
    let connector = gateway.get("/stations/CP/connectors").await["data"][0].clone();
    for (field, expected) in
        [("error_code", "ConnectorLockFailure"), ("info", "bolt"), ("vendor_error_code", "E42")]
    {
        assert_eq!(connector[field], expected, "{field}");
    }
}

#[tokio::test]
async fn case_80_data_of_vendors() {
    let gateway = start(|config| config.ocpp.data_transfer_vendors = vec!["com.example".into()]).await;
    let mut charger = gateway.booted("CP").await;
    for (payload, verdict) in [
        (json!({"vendorId": "nobody", "messageId": "M", "data": "{\"a\":1}"}), "UnknownVendorId"),
        (json!({"vendorId": "com.example", "messageId": "anything"}), "Accepted"),
        (json!({"vendorId": "COM.Example"}), "Accepted"),
    ] {
        assert_eq!(
            charger.call("DataTransfer", payload.clone()).await,
            json!({"status": verdict}),
            "{payload}"
        );
        let event =
            gateway.events_of("CP", "DataTransfer").await.pop().expect("an event, whatever the answer");
        assert_eq!(event["payload"], payload);
    }
}

#[tokio::test]
async fn case_37_a_session_begun_offline_keeps_both_times() {
    let gateway = start(|_| {}).await;
    let mut charger = gateway.booted("CP").await;
    let began = "2026-01-01T08:00:00Z";
    let started = charger.call("StartTransaction", start_payload(began)).await;
    assert_eq!(started["idTagInfo"]["status"], "Accepted");
    let event = gateway.events_of("CP", "StartTransaction").await.pop().expect("an event");
    assert_eq!(
        (&event["occurred_at"], &event["violations"]),
        (&json!("2026-01-01T08:00:00.000Z"), &json!([]))
    );
    let arrived = event["timestamp"].as_str().expect("a time");
    assert!(arrived > "2026-01-02", "{arrived}");
    let transaction = gateway.get(&format!("/transactions/{}", started["transactionId"])).await;
    assert_eq!(transaction["started_at"], "2026-01-01T08:00:00.000Z");
}
