//! What a station says of things that are another's: it can neither read, stop nor disturb them.

use serde_json::{Value, json};
use vocabulary::ocpp::authorization::UnknownIdTag;

use crate::harness::{Running, start};
use crate::scripted::{Called, ask, asked};

/// Everything there is to be seen of a session and its station, but for what any message changes.
async fn seen(gateway: &Running, transaction: &Value) -> Vec<Value> {
    let mut seen = Vec::new();
    for path in [
        format!("/transactions/{transaction}"),
        format!("/transactions/{transaction}/meter-values"),
        format!("/events?transaction_id={transaction}&limit=500"),
        "/events?owner_id=owner-a&limit=500".to_owned(),
        "/stations/A/connectors".to_owned(),
        "/stations/A".to_owned(),
        "/reservations?station_id=A".to_owned(),
        "/commands?station_id=A".to_owned(),
    ] {
        let mut found = gateway.get(&path).await;
        if let Some(station) = found.as_object_mut() {
            // A pong may have come meanwhile, and a second may have passed.
            station.remove("last_seen_at");
            station.remove("duration_s");
        }
        seen.push(found);
    }
    seen
}

async fn two(gateway: &Running) {
    for (station, owner) in [("A", "owner-a"), ("B", "owner-b")] {
        let made = json!({"station_id": station, "owner_id": owner});
        assert_eq!(gateway.api("POST", "/stations", Some(made)).await.0, 201);
    }
}

#[tokio::test]
async fn a_station_cannot_touch_anothers_transaction() {
    let gateway = start(|_| {}).await;
    two(&gateway).await;
    let (mut a, mut b) = (gateway.booted("A").await, gateway.booted("B").await);
    let start = |station_tag: &str| json!({"connectorId": 1, "idTag": station_tag, "meterStart": 100, "timestamp": "2026-04-14T12:00:00Z"});
    let number = a.call("StartTransaction", start("TAG")).await["transactionId"].clone();
    let values = |value: &str| {
        json!({"connectorId": 1, "transactionId": number,
               "meterValue": [{"timestamp": "2026-04-14T12:05:00Z", "sampledValue": [{"value": value}]}]})
    };
    a.call("MeterValues", values("1000")).await;
    // An answer of the gateway to A, while B tries.
    let asking = ask(
        &gateway,
        "A",
        json!({"action": "ReserveNow", "payload": {
        "connectorId": 2, "expiryDate": "2099-01-01T00:00:00Z", "idTag": "TAG", "reservationId": 5}}),
    );
    let Called { id, .. } = a.called().await;
    a.answer(&id, json!({"status": "Accepted"})).await;
    assert_eq!(asked(asking).await.0, 200);
    let before = seen(&gateway, &number).await;

    let data = json!([{"timestamp": "2026-04-14T12:30:00Z", "sampledValue": [{"value": "9999"}]}]);
    let stop = json!({"transactionId": number, "meterStop": 9999, "timestamp": "2026-04-14T13:00:00Z",
                      "idTag": "TAG", "transactionData": data});
    b.call("MeterValues", values("9999")).await;
    b.call("StopTransaction", stop.clone()).await;
    b.call("StopTransaction", stop).await;
    // The very start of A, and A's reservation: it becomes a session of B's own.
    let mut own = start("TAG");
    own["reservationId"] = json!(5);
    let others = b.call("StartTransaction", own).await["transactionId"].clone();
    assert_ne!(others, number);
    b.call("StatusNotification", json!({"connectorId": 1, "errorCode": "OtherError", "status": "Faulted"}))
        .await;
    b.call("DataTransfer", json!({"vendorId": "V", "data": format!("{number}")})).await;
    b.call("FirmwareStatusNotification", json!({"status": "InstallationFailed"})).await;

    assert_eq!(seen(&gateway, &number).await, before);
    for event in gateway.events("B").await {
        assert_ne!(event["transaction_id"], number, "{event}");
        assert_eq!(event["owner_id"], "owner-b");
    }
    a.still_serves().await;
    let stop = json!({"transactionId": number, "meterStop": 1100, "timestamp": "2026-04-14T13:00:00Z"});
    a.call("StopTransaction", stop).await;
    let ended = gateway.get(&format!("/transactions/{number}")).await;
    assert_eq!((&ended["status"], &ended["energy_wh"]), (&json!("completed"), &json!(1000)));
    assert_eq!(gateway.get(&format!("/transactions/{others}")).await["status"], "active");
}

#[tokio::test]
async fn a_station_cannot_answer_for_another() {
    let gateway = start(|_| {}).await;
    two(&gateway).await;
    let (mut a, mut b) = (gateway.booted("A").await, gateway.booted("B").await);
    let asking = ask(&gateway, "A", json!({"action": "GetConfiguration", "payload": {}}));
    let Called { id, .. } = a.called().await;
    // B knows the id, and answers first: with a result, an error, and a password that A never took.
    b.answer(&id, json!({"configurationKey": [{"key": "K", "readonly": false, "value": "B's"}]})).await;
    b.send(&json!([4, id, "InternalError", "B's", {}]).to_string()).await;
    b.still_serves().await;
    let sent = gateway.get(&format!("/commands/cmd_{id}")).await;
    assert_eq!((&sent["status"], &sent["response"]), (&json!("sent"), &Value::Null));
    a.answer(&id, json!({"configurationKey": [{"key": "K", "readonly": false, "value": "A's"}]})).await;
    let (status, command) = asked(asking).await;
    assert_eq!((status, &command["status"]), (200, &json!("completed")), "{command}");
    assert_eq!(command["response"]["configurationKey"][0]["value"], "A's");
    b.answer(&id, json!({"configurationKey": []})).await;
    b.still_serves().await;
    assert_eq!(gateway.get(&format!("/commands/{}", command["id"].as_str().expect("an id"))).await, command);
    assert_eq!(gateway.get("/stations/A/configuration").await["data"][0]["value"], "A's");
    assert_eq!(gateway.get("/stations/B/configuration").await["data"], json!([]));
    let odd = gateway.events_of("B", "MessageRejected").await;
    assert_eq!(odd.len(), 3, "each is on record, as B's: {odd:?}");
    assert!(gateway.events_of("A", "MessageRejected").await.is_empty());
    a.still_serves().await;
}

#[tokio::test]
async fn a_station_learns_nothing_of_other_owners_tags() {
    let gateway = start(|config| config.authorization.unknown_id_tag = UnknownIdTag::Invalid).await;
    two(&gateway).await;
    let tag = json!({"parent_id_tag": "FLEET", "expiry_date": "2099-01-01T00:00:00Z"});
    assert_eq!(gateway.api("PUT", "/id-tags/TAG?owner_id=owner-a", Some(tag)).await.0, 201);
    let (mut a, mut b) = (gateway.booted("A").await, gateway.booted("B").await);
    let known = a.call("Authorize", json!({"idTag": "TAG"})).await;
    assert_eq!(
        (&known["idTagInfo"]["status"], &known["idTagInfo"]["parentIdTag"]),
        (&json!("Accepted"), &json!("FLEET"))
    );
    for tag in ["TAG", "NO_SUCH_TAG"] {
        assert_eq!(
            b.call("Authorize", json!({"idTag": tag})).await,
            json!({"idTagInfo": {"status": "Invalid"}})
        );
    }
}
