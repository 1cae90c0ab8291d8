//! Cases of a central system's test list, by their numbers: what chargers tell of themselves. Other
//! numbers are where their subject is.

use std::time::Duration;

use serde_json::{Value, json};
use vocabulary::clock::Clock;

use crate::golden::NOW;
use crate::harness::{eventually, start, start_by};
use crate::receiver::{Answer, Receiver};
use crate::scripted::obey;
use crate::talks::stored;

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

#[tokio::test]
async fn case_46_signed_values_are_kept_to_the_byte() {
    let gateway = start(|_| {}).await;
    let mut charger = gateway.booted("CP").await;
    let number =
        charger.call("StartTransaction", start_payload("2026-04-14T12:00:00Z")).await["transactionId"]
            .clone();
    // A document in a text: quotes, escapes in three spellings, and the blanks that a signature covers.
    let document = format!(r#"OCMF|{{\"FV\" : \"1.0\",\"GI\":\"\u00e9\/\t\"}}|{}"#, "ab".repeat(4 << 10));
    let values = format!(
        r#"[ {{"timestamp":"2026-04-14T12:05:00Z" ,"sampledValue":[{{"value":"{document}","format":"SignedData"}}]}}]"#
    );
    let payload = format!(r#"{{"connectorId":1,"transactionId":{number} ,"meterValue":{values}}}"#);
    let answer = charger.exchange(&format!(r#"[2,"signed","MeterValues",{payload}]"#)).await;
    assert_eq!(answer, json!([3, "signed", {}]));
    let kept = stored(&gateway, "CP").pop().expect("an event");
    assert_eq!((kept.event.as_str(), kept.payload), ("MeterValues", payload));
    let listed = gateway.get(&format!("/transactions/{number}/meter-values")).await;
    let value = &listed["data"][0];
    let text: String = serde_json::from_str(&format!("\"{document}\"")).expect("JSON");
    assert_eq!((&value["value"], &value["format"]), (&json!(text), &json!("SignedData")));
    assert!(value["value_base"].is_null(), "{value}");
}

#[tokio::test]
async fn case_49_plugged_in_after_the_remote_start_or_never() {
    let clock = Clock::manual(NOW);
    let gateway = start_by(clock.clone(), tempfile::tempdir().expect("a directory"), |_| {}).await;
    let mut charger = gateway.booted("CP").await;
    let payload = json!({"idTag": "TAG", "connectorId": 1});
    let verdict = json!({"status": "Accepted"});
    for plugs_in in [true, false] {
        let remote = "RemoteStartTransaction";
        let command = obey(&gateway, &mut charger, "CP", remote, payload.clone(), verdict.clone()).await;
        assert!(command["outcome"].is_null(), "nobody knows yet: {command}");
        charger.call("StatusNotification", status(1, "Preparing")).await;
        clock.advance(Duration::from_secs(60));
        let mut number = json!(null);
        if plugs_in {
            let begin = json!({"connectorId": 1, "idTag": "tag", "meterStart": 0, "timestamp": clock.now()});
            number = charger.call("StartTransaction", begin).await["transactionId"].clone();
            let stop = json!({"transactionId": number, "meterStop": 1, "timestamp": clock.now()});
            charger.call("StopTransaction", stop).await;
        } else {
            charger.call("StatusNotification", status(1, "Available")).await;
            clock.advance(Duration::from_secs(121));
        }
        let path = format!("/commands/{}", command["id"].as_str().expect("an id"));
        let told = eventually("the outcome is known", || async {
            Some(gateway.get(&path).await).filter(|command| !command["outcome"].is_null())
        })
        .await;
        let outcome = if plugs_in { "started" } else { "not_started" };
        assert_eq!((&told["outcome"], &told["transaction_id"]), (&json!(outcome), &number));
        assert_eq!(told["status"], "completed", "the charger did answer");
        let event = gateway.events_of("CP", "RemoteStartOutcome").await.pop().expect("an event");
        let expected = json!({"command_id": command["id"], "outcome": outcome, "transaction_id": number});
        assert_eq!(event["payload"], expected);
    }
}
