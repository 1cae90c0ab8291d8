//! Lists of large rows: a page holds some megabytes, and `next_cursor` leads to the rest, so that nobody who
//! may read costs the gateway its memory.

use serde_json::{Value, json};

use crate::harness::{Running, eventually, start};

const MESSAGES: usize = 6;
const MESSAGE_BYTES: usize = 900_000;

/// The pages of a list, each as the rows that it has; every one but the last says that there is more.
async fn pages(gateway: &Running, path: &str) -> Vec<Vec<Value>> {
    let (mut pages, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = gateway.get(&format!("{path}{cursor}")).await;
        pages.push(page["data"].as_array().expect("a list").clone());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return pages,
        }
        assert!(pages.len() < 2 * MESSAGES, "{path} comes to no end");
    }
}

#[tokio::test]
async fn a_page_of_large_rows_is_cut_and_nothing_is_left_out() {
    let gateway = start(|_| {}).await;
    let hook = json!({"url": "http://127.0.0.1:9/", "events": ["DataTransfer"]});
    assert_eq!(gateway.api("POST", "/webhooks", Some(hook)).await.0, 201);
    let (paused, told) = gateway.api("POST", "/webhooks/1/pause", Some(json!({}))).await;
    assert_eq!(paused, 200, "nothing is sent meanwhile: {told}");
    let mut charger = gateway.booted("CP").await;
    for nth in 0..MESSAGES {
        let data = format!("word{nth} needle {}", "x".repeat(MESSAGE_BYTES));
        charger.call("DataTransfer", json!({"vendorId": "V", "data": data})).await;
    }
    eventually("all is indexed", || async { (gateway.gateway.store().search_behind() == 0).then_some(()) })
        .await;
    for path in [
        "/events?event=DataTransfer&limit=500&order=asc",
        "/events?q=needle&limit=500",
        "/deliveries?limit=500",
        "/stations/CP/messages?action=DataTransfer&limit=500&order=asc",
    ] {
        let pages = pages(&gateway, path).await;
        let sizes: Vec<usize> = pages.iter().map(|page| json!(page).to_string().len()).collect();
        assert!(pages.len() > 1 && sizes.iter().all(|bytes| *bytes < 6 << 20), "{path}: {sizes:?}");
        let told = |text: &str| (0..MESSAGES).filter(|nth| text.contains(&format!("word{nth} "))).count();
        let rows: Vec<String> = pages.concat().iter().map(Value::to_string).collect();
        assert_eq!(rows.iter().map(|row| told(row)).sum::<usize>(), MESSAGES, "{path}: each once");
    }
}

#[tokio::test]
async fn the_deliveries_of_a_large_event_are_paged_too() {
    let gateway = start(|_| {}).await;
    for _ in 0..MESSAGES {
        let hook =
            json!({"url": "http://127.0.0.1:9/", "events": ["DataTransfer"], "retry_schedule": ["1h"]});
        assert_eq!(gateway.api("POST", "/webhooks", Some(hook)).await.0, 201);
    }
    let mut charger = gateway.booted("CP").await;
    charger.call("DataTransfer", json!({"vendorId": "V", "data": "x".repeat(MESSAGE_BYTES)})).await;
    let event = gateway.events_of("CP", "DataTransfer").await.pop().expect("an event");
    let path = format!("/events/{}/deliveries", event["id"].as_str().expect("an id"));
    let first = gateway.get(&path).await;
    let shown = first["data"].as_array().expect("a list").len();
    assert!((1..MESSAGES).contains(&shown), "{shown} of {MESSAGES}");
    let next = first["next_cursor"].as_str().expect("there is more");
    let rest = gateway.get(&format!("{path}?cursor={next}")).await;
    assert_eq!(rest["data"].as_array().expect("a list").len(), MESSAGES - shown);
    assert!(rest["next_cursor"].is_null());
}
