//! What went over a station's wire, as it is listed and followed.

use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::harness::{ADMIN_KEY, Charger, DEADLINE, Running, eventually, http_client, start};

const BOOT: &str = r#"[2,"b","BootNotification",{"chargePointVendor":"V", "chargePointModel":"M"}]"#;
const START: &str = r#"[2,7,"StartTransaction",{"connectorId":1,"idTag":"T","meterStart":0,"timestamp":"2026-04-14T12:00:00Z"}]"#;
const KEY: &str = "0001020304050607FFFFFFFFFFFFFFFFFFFFFFFF";

fn raws(rows: &[Value]) -> Vec<String> {
    rows.iter().map(|row| row["raw"].as_str().unwrap_or("null").to_owned()).collect()
}

async fn listed(gateway: &Running, query: &str) -> Vec<Value> {
    let page = gateway.get(&format!("/stations/CP/messages?{query}")).await;
    page["data"].as_array().expect("a list").clone()
}

/// A conversation of every kind; the frames as they went over the wire.
async fn converse(gateway: &Running, charger: &mut Charger) -> Vec<String> {
    let mut wire = Vec::new();
    for frame in [BOOT, START, r#"[2,"u","Frobnicate",{}]"#] {
        charger.send(frame).await;
        wire.push(frame.to_owned());
        wire.push(charger.receive().await);
    }
    charger.send("PING").await;
    wire.push("PING".to_owned());
    charger.still_serves().await;
    let command = json!({"action": "ChangeConfiguration", "wait": false,
        "payload": {"key": "AuthorizationKey", "value": KEY}});
    let (status, command) = gateway.api("POST", "/stations/CP/commands", Some(command)).await;
    assert_eq!(status, 202, "{command}");
    let call = charger.receive().await;
    assert!(call.contains(KEY), "{call}");
    wire.push(call.replace(KEY, "***"));
    let call: Value = serde_json::from_str(&call).expect("JSON");
    let answer = format!(r#"[3,{},{{"status":"Rejected"}}]"#, call[1]);
    charger.send(&answer).await;
    wire.push(answer);
    let path = format!("/commands/{}", command["id"].as_str().expect("an id"));
    eventually("the command has ended", || async {
        (gateway.get(&path).await["status"] == "completed").then_some(())
    })
    .await;
    wire
}

#[tokio::test]
async fn every_frame_is_listed_as_it_went_over_the_wire() {
    let gateway = start(|_| {}).await;
    let mut charger = gateway.charger("CP").await;
    let wire = converse(&gateway, &mut charger).await;
    let all = listed(&gateway, "order=asc").await;
    let told: Vec<_> = all.iter().filter(|row| row["action"] != "Heartbeat").cloned().collect();
    assert_eq!(raws(&told), wire);
    let column = |name: &str| -> Vec<Value> { told.iter().map(|row| row[name].clone()).collect() };
    assert_eq!(
        column("type"),
        [
            json!("CALL"),
            json!("CALLRESULT"),
            json!("CALL"),
            json!("CALLRESULT"),
            json!("CALL"),
            json!("CALLERROR"),
            Value::Null,
            json!("CALL"),
            json!("CALLRESULT"),
        ]
    );
    assert_eq!(
        column("direction"),
        [
            "inbound", "outbound", "inbound", "outbound", "inbound", "outbound", "inbound", "outbound",
            "inbound"
        ]
    );
    assert_eq!(
        (&told[2]["message_id"], &told[7]["action"], &told[8]["action"]),
        (&json!("7"), &json!("ChangeConfiguration"), &json!("ChangeConfiguration"))
    );
    assert_eq!((&told[7]["event_id"], told[7]["message_id"] == told[8]["message_id"]), (&Value::Null, true));
    for row in told.iter().filter(|row| !row["event_id"].is_null()) {
        let event = gateway.get(&format!("/events/{}", row["event_id"].as_str().expect("an id"))).await;
        assert_eq!(event["station_id"], "CP");
    }
    let mut ids = column("id");
    ids.sort_by_key(ToString::to_string);
    ids.dedup();
    assert_eq!(ids.len(), told.len(), "each has an id of its own");

    // However it is cut into pages, it is the same, and backwards too.
    let backwards: Vec<_> = all.iter().rev().cloned().collect();
    for (order, expected) in [("asc", &all), ("desc", &backwards)] {
        for limit in [1, 2, 3, 500] {
            let (mut rows, mut cursor) = (Vec::new(), String::new());
            loop {
                let path = format!("/stations/CP/messages?order={order}&limit={limit}{cursor}");
                let page = gateway.get(&path).await;
                let data = page["data"].as_array().expect("a list");
                assert!(data.len() <= limit);
                rows.extend(data.iter().cloned());
                match page["next_cursor"].as_str() {
                    Some(next) => cursor = format!("&cursor={next}"),
                    None => break,
                }
            }
            assert_eq!(&rows, expected, "{order} by {limit}");
        }
    }

    assert_eq!(listed(&gateway, "direction=outbound").await.len(), 5, "four answers and a CALL");
    let starts = listed(&gateway, "action=StartTransaction&order=asc").await;
    assert_eq!(raws(&starts), wire[2..4]);
    assert_eq!(listed(&gateway, "action=ChangeConfiguration").await.len(), 2);
    let since = told[8]["at"].as_str().expect("a time");
    assert!(
        listed(&gateway, &format!("since={since}")).await.iter().all(|row| row["at"].as_str() >= Some(since))
    );
    assert_eq!(listed(&gateway, "until=2026-01-01T00:00:00Z").await, [Value::Null; 0]);
    assert_eq!(gateway.api("GET", "/stations/CP/messages?direction=up", None).await.0, 422);
    assert_eq!(gateway.api("GET", "/stations/NOBODY/messages", None).await.0, 404);
}

/// Opens a stream and reads it until it has told so many messages: pairs of id and raw text.
async fn follow(
    gateway: &Running,
    after: Option<&str>,
    count: usize,
    ready: impl Future<Output = ()>,
) -> Vec<(String, String)> {
    let mut request = http_client()
        .get(gateway.url("/api/v1/stations/CP/messages?follow=true"))
        .header("X-API-Key", ADMIN_KEY);
    if let Some(after) = after {
        request = request.header("Last-Event-ID", after);
    }
    let response = request.send().await.expect("answers");
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    ready.await;
    let (mut body, mut text) = (response.bytes_stream(), String::new());
    let mut told = Vec::new();
    while told.len() < count {
        let chunk = timeout(DEADLINE, body.next()).await.expect("something is told in time");
        text.push_str(std::str::from_utf8(&chunk.expect("it goes on").expect("bytes")).expect("UTF-8"));
        while let Some((event, rest)) = text.split_once("\n\n") {
            if let Some((id, data)) =
                event.strip_prefix("id: ").and_then(|event| event.split_once("\ndata: "))
            {
                let message: Value = serde_json::from_str(data).expect("JSON");
                told.push((id.to_owned(), message["raw"].as_str().unwrap_or("null").to_owned()));
            }
            text = rest.to_owned();
        }
    }
    told
}

#[tokio::test]
async fn a_stream_goes_on_where_it_broke_off() {
    let gateway = start(|_| {}).await;
    let mut charger = gateway.charger("CP").await;
    charger.still_serves().await;
    let mut wire = Vec::new();
    let whole = follow(&gateway, None, 11, async { wire = converse(&gateway, &mut charger).await }).await;
    let told: Vec<_> = whole.iter().map(|(_, raw)| raw.clone()).collect();
    let expected: Vec<_> = told
        .iter()
        .filter(|raw| !raw.contains("Heartbeat") && !raw.contains(r#"[3,"2","#))
        .cloned()
        .collect();
    assert_eq!(expected, wire, "from the beginning of the stream on, and nothing from before");
    for at in [0, 4, 9] {
        let rest = follow(&gateway, Some(&whole[at].0), whole.len() - at - 1, async {}).await;
        assert_eq!(rest, whole[at + 1..]);
    }
    let refused = http_client()
        .get(gateway.url("/api/v1/stations/CP/messages?follow=true"))
        .header("X-API-Key", ADMIN_KEY)
        .header("Last-Event-ID", "yesterday")
        .send()
        .await
        .expect("answers");
    assert_eq!(refused.status(), 400);

    // A stream does not keep the gateway from stopping.
    let open = http_client()
        .get(gateway.url("/api/v1/stations/CP/messages?follow=true"))
        .header("X-API-Key", ADMIN_KEY)
        .send()
        .await
        .expect("answers");
    let mut body = open.bytes_stream();
    let stopped = tokio::time::Instant::now();
    gateway.gateway.stop().await;
    assert!(stopped.elapsed() < std::time::Duration::from_secs(8), "{:?}", stopped.elapsed());
    while let Some(Ok(_)) = timeout(DEADLINE, body.next()).await.expect("ends") {}
}
