//! Charging sessions as chargers report them: starts, stops, retries, what is lost and what comes late.

use serde_json::{Value, json};

use crate::harness::{Charger, Running, start};

async fn booted(gateway: &Running, id: &str) -> Charger {
    let mut charger = gateway.charger(id).await;
    let boot =
        charger.call("BootNotification", json!({"chargePointVendor": "V", "chargePointModel": "M"})).await;
    assert_eq!((&boot["status"], &boot["interval"]), (&json!("Accepted"), &json!(300)), "case 1");
    assert!(boot["currentTime"].as_str().is_some_and(|time| time.ends_with('Z')));
    charger
}

fn start_payload(connector: u32, timestamp: &str) -> Value {
    json!({"connectorId": connector, "idTag": "TAG", "meterStart": 1000, "timestamp": timestamp})
}

#[tokio::test]
async fn case_26_a_plain_session() {
    let gateway = start(|_| {}).await;
    let mut charger = booted(&gateway, "CP").await;
    let authorized = charger.call("Authorize", json!({"idTag": "TAG"})).await;
    assert_eq!(authorized, json!({"idTagInfo": {"status": "Accepted"}}));
    let started = charger.call("StartTransaction", start_payload(1, "2026-04-14T12:00:00Z")).await;
    let number = started["transactionId"].as_i64().expect("a number");
    assert!((100_000_000..=1_000_000_000).contains(&number), "{number}");
    assert_eq!(started["idTagInfo"]["status"], "Accepted");
    let values = json!([{"timestamp": "2026-04-14T12:10:00Z", "sampledValue": [{"value": "1.5", "unit": "kWh",
        "measurand": "Energy.Active.Import.Register"}]}]);
    let meter = json!({"connectorId": 1, "transactionId": number, "meterValue": values});
    assert_eq!(charger.call("MeterValues", meter).await, json!({}));
    let open = gateway.get(&format!("/transactions/{number}")).await;
    assert_eq!((&open["status"], &open["meter_start"]), (&json!("active"), &json!(1000)));
    let stop = json!({"transactionId": number, "meterStop": 4000, "timestamp": "2026-04-14T13:00:00Z", "idTag": "TAG"});
    assert_eq!(charger.call("StopTransaction", stop).await, json!({"idTagInfo": {"status": "Accepted"}}));

    let done = gateway.get(&format!("/transactions/{number}")).await;
    for (field, expected) in [
        ("status", json!("completed")),
        ("energy_wh", json!(3000)),
        ("energy_quality", json!("metered")),
        ("stop_reason", json!("Local")),
        ("started_at", json!("2026-04-14T12:00:00.000Z")),
        ("stopped_at", json!("2026-04-14T13:00:00.000Z")),
        ("id_tag", json!("TAG")),
        ("inferred", json!(false)),
    ] {
        assert_eq!(done[field], expected, "{field} of {done}");
    }
    let event = gateway.events_of("CP", "StartTransaction").await.pop().expect("an event");
    assert_eq!(event["payload"]["transactionId"], number, "what the gateway assigned");
    assert_eq!(event["transaction_id"], number);
    assert_eq!(event["occurred_at"], "2026-04-14T12:00:00.000Z");
    let stopped = gateway.events_of("CP", "StopTransaction").await.pop().expect("an event");
    assert_eq!(stopped["transaction_id"], number);
}

#[tokio::test]
async fn case_35_and_36_a_retried_start_is_the_same_transaction_and_another_connector_another() {
    let gateway = start(|_| {}).await;
    let mut charger = booted(&gateway, "CP").await;
    let first = charger.call("StartTransaction", start_payload(1, "2026-04-14T12:00:00Z")).await;
    drop(charger);
    let mut again = gateway.charger("CP").await;
    let retried = again.call("StartTransaction", start_payload(1, "2026-04-14T12:00:00Z")).await;
    assert_eq!(retried, first);
    let events = gateway.events_of("CP", "StartTransaction").await;
    assert_eq!(events.len(), 2);
    assert_eq!(events[1]["duplicate_of"], events[0]["id"]);
    assert!(events[1]["station_seq"].is_null());
    assert_eq!(gateway.get("/transactions").await["data"].as_array().expect("a list").len(), 1);
    // The same second on another connector is another one.
    let other = again.call("StartTransaction", start_payload(2, "2026-04-14T12:00:00Z")).await;
    assert_ne!(other["transactionId"], first["transactionId"]);
}

#[tokio::test]
async fn a_dead_clock_makes_no_retry_of_a_closed_transaction() {
    let gateway = start(|_| {}).await;
    let mut charger = booted(&gateway, "CP").await;
    let first = charger.call("StartTransaction", start_payload(1, "1970-01-01T00:00:00Z")).await;
    let retried = charger.call("StartTransaction", start_payload(1, "1970-01-01T00:00:00Z")).await;
    assert_eq!(retried, first, "still open: a retry");
    let stop =
        json!({"transactionId": first["transactionId"], "meterStop": 1, "timestamp": "1970-01-01T00:00:00Z"});
    charger.call("StopTransaction", stop).await;
    let next = charger.call("StartTransaction", start_payload(1, "1970-01-01T00:00:00Z")).await;
    assert_ne!(next["transactionId"], first["transactionId"]);
}

#[tokio::test]
async fn case_41_to_43_stops_that_come_twice_differently_or_bare() {
    let gateway = start(|_| {}).await;
    let mut charger = booted(&gateway, "CP").await;
    let number =
        charger.call("StartTransaction", start_payload(1, "2026-04-14T12:00:00Z")).await["transactionId"]
            .clone();
    let stop = json!({"transactionId": number, "meterStop": 2000, "timestamp": "2026-04-14T13:00:00Z"});
    assert_eq!(charger.call("StopTransaction", stop.clone()).await, json!({}), "no idTag, no idTagInfo");
    assert_eq!(charger.call("StopTransaction", stop).await, json!({}));
    let other = json!({"transactionId": number, "meterStop": 2500, "timestamp": "2026-04-14T13:00:00Z"});
    charger.call("StopTransaction", other).await;
    let events = gateway.events_of("CP", "StopTransaction").await;
    assert_eq!(events[1]["duplicate_of"], events[0]["id"]);
    assert!(events[2]["duplicate_of"].is_null());
    assert_eq!(events[2]["violations"][0]["problem"], "conflicting_stop");
    assert!(events[2]["violations"][0]["field"].is_null());
    let other = json!({"transactionId": number, "meterStop": 2500, "timestamp": "2026-04-14T13:00:00Z"});
    charger.call("StopTransaction", other).await;
    let retried = gateway.events_of("CP", "StopTransaction").await.pop().expect("an event");
    assert_eq!(retried["duplicate_of"], events[2]["id"], "a conflicting one can be retried, too");
    let kept = gateway.get(&format!("/transactions/{number}")).await;
    assert_eq!((&kept["meter_stop"], &kept["stop_reason"]), (&json!(2000), &json!("Local")));
}

#[tokio::test]
async fn case_40_a_stop_with_an_unknown_number_finds_the_only_open_transaction() {
    let gateway = start(|_| {}).await;
    let mut charger = booted(&gateway, "CP").await;
    let number =
        charger.call("StartTransaction", start_payload(1, "2026-04-14T12:00:00Z")).await["transactionId"]
            .clone();
    let stop = json!({"transactionId": 0, "meterStop": 2000, "timestamp": "2026-04-14T13:00:00Z"});
    assert_eq!(charger.call("StopTransaction", stop.clone()).await, json!({}));
    let done = gateway.get(&format!("/transactions/{number}")).await;
    assert_eq!((&done["status"], &done["inferred"]), (&json!("completed"), &json!(true)));
    charger.call("StopTransaction", stop).await;
    let stray = json!({"transactionId": -1, "meterStop": 9, "timestamp": "2026-04-14T14:00:00Z"});
    assert_eq!(charger.call("StopTransaction", stray.clone()).await, json!({}));
    assert_eq!(charger.call("StopTransaction", stray).await, json!({}));
    let events = gateway.events_of("CP", "StopTransaction").await;
    assert_eq!(events[1]["duplicate_of"], events[0]["id"]);
    assert!(events[2]["transaction_id"].is_null() && events[2]["duplicate_of"].is_null());
    assert_eq!(events[3]["duplicate_of"], events[2]["id"]);
}

#[tokio::test]
async fn case_42_a_station_cannot_stop_anothers_transaction() {
    let gateway = start(|_| {}).await;
    let mut a = booted(&gateway, "A").await;
    let mut b = booted(&gateway, "B").await;
    let number =
        a.call("StartTransaction", start_payload(1, "2026-04-14T12:00:00Z")).await["transactionId"].clone();
    let stop = json!({"transactionId": number, "meterStop": 2000, "timestamp": "2026-04-14T13:00:00Z"});
    assert_eq!(b.call("StopTransaction", stop).await, json!({}));
    assert_eq!(gateway.get(&format!("/transactions/{number}")).await["status"], "active");
}

#[tokio::test]
async fn case_5_a_pending_station_gets_a_number_and_invalid() {
    let gateway = start(|_| {}).await;
    gateway.api("POST", "/stations", Some(json!({"station_id": "P", "boot_status": "pending"}))).await;
    let mut charger = gateway.charger("P").await;
    let started = charger.call("StartTransaction", start_payload(1, "2026-04-14T12:00:00Z")).await;
    assert!(started["transactionId"].as_i64().is_some_and(|number| number > 0));
    assert_eq!(started["idTagInfo"]["status"], "Invalid");
    let event = gateway.events_of("P", "StartTransaction").await.pop().expect("an event");
    assert!(
        event["violations"].as_array().expect("a list").iter().any(|v| v["problem"] == "before_boot"),
        "{event}"
    );
}

#[tokio::test]
async fn case_45_meter_values_find_their_transaction() {
    let gateway = start(|_| {}).await;
    let mut charger = booted(&gateway, "CP").await;
    let number =
        charger.call("StartTransaction", start_payload(1, "2026-04-14T12:00:00Z")).await["transactionId"]
            .clone();
    let values = |transaction: Value| {
        json!({"connectorId": 1, "transactionId": transaction,
               "meterValue": [{"timestamp": "2026-04-14T12:05:00Z", "sampledValue": [{"value": "1100"}]}]})
    };
    for (named, attached) in
        [(number.clone(), number.clone()), (json!(0), number.clone()), (json!(77), number)]
    {
        assert_eq!(charger.call("MeterValues", values(named.clone())).await, json!({}));
        let event = gateway.events_of("CP", "MeterValues").await.pop().expect("an event");
        assert_eq!(event["transaction_id"], attached);
        let flagged =
            event["violations"].as_array().expect("a list").iter().any(|v| v["field"] == "transactionId");
        assert_eq!(flagged, named != attached, "{event}");
    }
}

#[tokio::test]
async fn case_58_connectors_and_the_station_itself_are_kept_apart() {
    let gateway = start(|_| {}).await;
    let mut charger = booted(&gateway, "CP").await;
    for (connector, status) in [(0, "Unavailable"), (1, "Charging"), (2, "Faulted")] {
        charger
            .call(
                "StatusNotification",
                json!({"connectorId": connector, "errorCode": "NoError", "status": status}),
            )
            .await;
    }
    let connectors = gateway.get("/stations/CP/connectors").await;
    let told: Vec<_> = connectors["data"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|connector| (connector["connector_id"].clone(), connector["status"].clone()))
        .collect();
    assert_eq!(
        told,
        [(json!(0), json!("Unavailable")), (json!(1), json!("Charging")), (json!(2), json!("Faulted"))]
    );
}

#[tokio::test]
async fn the_other_messages_are_answered_by_the_book() {
    let gateway = start(|config| config.ocpp.data_transfer_vendors = vec!["com.example".into()]).await;
    let mut charger = booted(&gateway, "CP").await;
    for (action, payload, answer) in [
        ("DataTransfer", json!({"vendorId": "nobody"}), json!({"status": "UnknownVendorId"})),
        ("DataTransfer", json!({"vendorId": "com.example", "data": "{}"}), json!({"status": "Accepted"})),
        ("FirmwareStatusNotification", json!({"status": "Downloading"}), json!({})),
        ("DiagnosticsStatusNotification", json!({"status": "Uploaded"}), json!({})),
        (
            "SecurityEventNotification",
            json!({"type": "StartupOfTheDevice", "timestamp": "2026-04-14T12:00:00Z"}),
            json!({}),
        ),
        ("LogStatusNotification", json!({"status": "Idle"}), json!({})),
        ("SignCertificate", json!({"csr": "-----BEGIN"}), json!({"status": "Rejected"})),
    ] {
        assert_eq!(charger.call(action, payload).await, answer, "{action}");
    }
    let station = gateway.get("/stations/CP").await;
    assert_eq!(station["firmware_status"], "Downloading");
    assert_eq!(station["diagnostics_status"], "Uploaded");
    assert_eq!(station["log_status"], "Idle");
    assert_eq!((&station["vendor"], &station["model"]), (&json!("V"), &json!("M")));
}

#[tokio::test]
async fn an_orphan_does_not_hide_the_transaction_that_followed_it() {
    let gateway = start(|_| {}).await;
    let mut charger = booted(&gateway, "CP").await;
    let orphan = charger.call("StartTransaction", start_payload(1, "2026-04-14T12:00:00Z")).await;
    let number =
        charger.call("StartTransaction", start_payload(1, "2026-04-14T13:00:00Z")).await["transactionId"]
            .clone();
    let values = json!({"connectorId": 1, "transactionId": 0,
        "meterValue": [{"timestamp": "2026-04-14T13:05:00Z", "sampledValue": [{"value": "1100"}]}]});
    charger.call("MeterValues", values).await;
    let event = gateway.events_of("CP", "MeterValues").await.pop().expect("an event");
    assert_eq!(event["transaction_id"], number);
    let stop = json!({"transactionId": -1, "meterStop": 2000, "timestamp": "2026-04-14T14:00:00Z"});
    charger.call("StopTransaction", stop).await;
    let done = gateway.get(&format!("/transactions/{number}")).await;
    assert_eq!((&done["status"], &done["inferred"]), (&json!("completed"), &json!(true)));
    let left = gateway.get(&format!("/transactions/{}", orphan["transactionId"])).await;
    assert_eq!((&left["status"], &left["orphaned"]), (&json!("active"), &json!(true)), "still stoppable");
    let stop = json!({"transactionId": orphan["transactionId"], "meterStop": 1500, "timestamp": "2026-04-14T13:00:00Z"});
    charger.call("StopTransaction", stop).await;
    let ended = gateway.get(&format!("/transactions/{}", orphan["transactionId"])).await;
    assert_eq!((&ended["status"], &ended["inferred"]), (&json!("completed"), &json!(false)));
}

#[tokio::test]
async fn the_same_nameless_stop_of_a_dead_clock_ends_the_next_session_too() {
    let gateway = start(|_| {}).await;
    let mut charger = booted(&gateway, "CP").await;
    let stop = json!({"transactionId": -1, "meterStop": 1000, "timestamp": "1970-01-01T00:01:00Z"});
    for _ in 0..2 {
        let started = charger.call("StartTransaction", start_payload(1, "1970-01-01T00:00:00Z")).await;
        charger.call("StopTransaction", stop.clone()).await;
        let done = gateway.get(&format!("/transactions/{}", started["transactionId"])).await;
        assert_eq!(done["status"], "completed");
    }
    charger.call("StopTransaction", stop).await;
    let events = gateway.events_of("CP", "StopTransaction").await;
    assert_eq!(events[2]["duplicate_of"], events[1]["id"], "with nothing open it is a retry");
}
