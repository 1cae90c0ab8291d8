//! The API beside living chargers and receivers: what only shows with the whole gateway running.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering::SeqCst};

use axum::Router;
use axum::extract::State;
use axum::routing::post;
use chargehook::client::{Client, ClientError};
use serde_json::{Value, json};
use vocabulary::api::delivery::Delivery;
use vocabulary::api::transaction::Transaction;
use vocabulary::api::webhook::Webhook;
use vocabulary::delivery::DeliveryStatus;

use crate::harness::{ADMIN_KEY, Running, eventually, start};

fn client(gateway: &Running) -> Client {
    Client::new(&gateway.url(""), ADMIN_KEY).expect("a client")
}

/// An endpoint that answers what it is told to, and counts.
struct Receiver {
    address: SocketAddr,
    status: Arc<AtomicU16>,
    seen: Arc<AtomicUsize>,
}

impl Receiver {
    async fn start() -> Self {
        let (status, seen) = (Arc::new(AtomicU16::new(200)), Arc::new(AtomicUsize::new(0)));
        type Told = (Arc<AtomicU16>, Arc<AtomicUsize>);
        let answer = async |State((status, seen)): State<Told>| {
            seen.fetch_add(1, SeqCst);
            http::StatusCode::from_u16(status.load(SeqCst)).expect("a status")
        };
        let router = Router::new().route("/", post(answer)).with_state((status.clone(), seen.clone()));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, status, seen }
    }

    fn url(&self) -> String {
        format!("http://{}/", self.address)
    }
}

#[tokio::test]
async fn the_client_and_the_gateway_understand_each_other() {
    let gateway = start(|_| {}).await;
    let client = client(&gateway);
    assert_eq!(client.ready().await.expect("answers").status, "ok");
    let url = "https://8.8.8.8/hook";
    let hook = json!({"url": url, "events": ["ping"], "filter": {"a.b": {"$gt": 1.50}}});
    let hook = client.create_webhook(&hook).await.expect("made");
    assert!(hook.signing_secret.is_some());
    let read = client.webhook(hook.id).await.expect("there");
    assert_eq!((read.signing_secret, read.filter), (None, hook.filter));
    let patched = client.patch_webhook(hook.id, &json!({"timeout": "5s"})).await.expect("changed");
    assert_eq!(patched.timeout.to_string(), "5s");
    let rotated = client.rotate_webhook_secret(hook.id, Some("0s")).await.expect("rotated");
    assert_eq!(rotated.previous, []);
    assert_ne!(Some(rotated.signing_secret), hook.signing_secret);
    let station = client.create_station(&json!({"station_id": "RDAM 123-é"})).await.expect("made");
    assert_eq!(client.station(&station.station_id).await.expect("there"), station);
    for _ in 0..4 {
        client.create_webhook(&json!({"url": url, "enabled": false})).await.expect("made");
    }
    let all: Vec<Webhook> =
        client.all("webhooks", &[("limit", "2"), ("order", "asc")]).await.expect("walked");
    assert_eq!(all.iter().map(|hook| hook.id).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);

    let mut charger = gateway.charger("RDAM%20123-%C3%A9").await;
    charger.still_serves().await;
    let named = [("station_id", station.station_id.as_str()), ("event", "Heart*")];
    let event = client.events(&named).await.expect("listed").data.pop().expect("a heartbeat");
    assert_eq!(client.event(event.id).await.expect("there").payload.get(), "{}");
    let deliveries = client.event_deliveries(event.id, true).await.expect("listed");
    let not_matched = deliveries.not_matched.expect("explained");
    assert_eq!((deliveries.data.len(), not_matched.len()), (4, 1));
    assert_eq!((not_matched[0].webhook_id, not_matched[0].reason.as_str()), (1, "event_type"));
    assert!(deliveries.data.iter().all(|delivery| delivery.status == DeliveryStatus::Discarded));
    let path = format!("events/{}/deliveries", event.id);
    let walked: Vec<Delivery> = client.all(&path, &[("limit", "3")]).await.expect("walked");
    let ids = |rows: &[Delivery]| rows.iter().map(|row| row.id).collect::<Vec<_>>();
    assert_eq!(ids(&walked), ids(&deliveries.data), "in pages as in one");
    let page = gateway.get(&format!("/{path}?limit=3")).await;
    assert_eq!(page["data"].as_array().map(Vec::len), Some(3), "{page}");
    assert!(page["next_cursor"].is_string(), "{page}");

    let refused = client.create_webhook(&json!({"colour": "red"})).await.expect_err("wrong");
    let ClientError::Refused(problem) = refused else { panic!("{refused}") };
    assert_eq!((problem.status, problem.errors.len()), (422, 2));
    client.delete_webhook(hook.id).await.expect("gone");
    assert_eq!(client.webhook(hook.id).await.expect_err("gone").status(), Some(404));
    let stranger = Client::new(&gateway.url(""), "chk_nobody").expect("a client");
    assert_eq!(stranger.webhooks(&[]).await.expect_err("refused").status(), Some(401));
}

#[tokio::test]
async fn an_endpoint_is_tested_verified_and_sent_to_again() {
    let gateway = start(|_| {}).await;
    let client = client(&gateway);
    let receiver = Receiver::start().await;
    receiver.status.store(500, SeqCst);
    let hook = json!({"url": receiver.url(), "verify": true, "events": ["Heartbeat"]});
    let refused = client.create_webhook(&hook).await.expect_err("500 is no 2xx");
    assert_eq!(refused.status(), Some(400), "{refused}");
    assert_eq!(client.webhooks(&[]).await.expect("listed").data.len(), 0);
    receiver.status.store(204, SeqCst);
    let hook = client.create_webhook(&hook).await.expect("204 is a 2xx");
    let tested = client.test_webhook(hook.id, Some("StartTransaction")).await.expect("tested");
    assert_eq!((tested.ok, tested.status_code, tested.error), (true, Some(204), None));
    assert_eq!(client.deliveries(&[]).await.expect("listed").data.len(), 0, "a test makes no delivery row");

    let mut charger = gateway.charger("CP").await;
    charger.still_serves().await;
    let delivered = eventually("the heartbeat is delivered", || async {
        client.deliveries(&[("status", "success")]).await.expect("listed").data.pop()
    })
    .await;
    assert_eq!((delivered.attempts.len(), delivered.sequence), (1, Some(1)));
    let refused = client.resend(delivered.id, false).await.expect_err("it has arrived");
    assert_eq!(refused.status(), Some(409), "{refused}");
    client.resend(delivered.id, true).await.expect("on its way again");
    let again = eventually("it arrives again", || async {
        let delivery = client.delivery(delivered.id).await.expect("there");
        (delivery.status == DeliveryStatus::Success && delivery.attempts.len() == 2).then_some(delivery)
    })
    .await;
    assert_eq!((again.attempts[1].number, again.attempts[1].trigger.as_str()), (2, "resend"));
    let (status, body) =
        gateway.api("POST", &format!("/events/{}/resend?force=true", delivered.event_id), None).await;
    assert_eq!((status, &body["deliveries"]), (202, &json!([delivered.id.to_string()])));
    eventually("it arrives a third time", || async { (receiver.seen.load(SeqCst) >= 6).then_some(()) }).await;
}

#[tokio::test]
async fn a_station_is_told_why_its_socket_is_closed() {
    let gateway = start(|_| {}).await;
    for (method, path, body, code, reason) in [
        ("POST", "/stations/CP/disconnect", None, 1000, "requested"),
        ("PATCH", "/stations/CP", Some(json!({"blocked": true})), 1008, "blocked"),
        ("PATCH", "/stations/CP", Some(json!({"blocked": false})), 0, ""),
        ("DELETE", "/stations/CP", None, 1008, "removed"),
    ] {
        if code == 0 {
            assert_eq!(gateway.api(method, path, body).await.0, 200);
            continue;
        }
        let mut charger = gateway.charger("CP").await;
        charger.still_serves().await;
        let (status, answer) = gateway.api(method, path, body).await;
        assert!((200..300).contains(&status), "{method} {path}: {answer}");
        let frame = charger.closed().await.expect("a close frame");
        assert_eq!((u16::from(frame.code), frame.reason.as_str()), (code, reason));
        eventually("the event tells it too", || async {
            let events = gateway.events_of("CP", "StationDisconnected").await;
            let payload = &events.last()?["payload"];
            (payload["reason"] == reason && payload["code"] == code).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn a_long_poll_is_answered_by_the_next_event() {
    let gateway = start(|_| {}).await;
    let client = client(&gateway);
    let mut charger = gateway.charger("CP").await;
    charger.still_serves().await;
    let last =
        client.events(&[("limit", "1")]).await.expect("listed").data.pop().expect("an event").id.to_string();
    let wait = [("after", last.as_str()), ("order", "asc"), ("wait", "60s"), ("event", "StatusNotification")];
    let polled = client.events(&wait);
    let spoken = async {
        // An event that was not asked for does not end the wait.
        charger.still_serves().await;
        let status = json!({"connectorId": 1, "errorCode": "NoError", "status": "Available"});
        charger.call("StatusNotification", status).await;
    };
    let (polled, ()) = tokio::join!(polled, spoken);
    let events = polled.expect("answered").data;
    assert_eq!(events.iter().map(|event| event.event.as_str()).collect::<Vec<_>>(), ["StatusNotification"]);
    let connectors = client.connectors("CP").await.expect("listed").data;
    assert_eq!((connectors[0].connector_id, connectors[0].status.as_deref()), (1, Some("Available")));
}

#[tokio::test]
async fn a_connected_station_is_seen_hung_up_on_and_removed() {
    let gateway = start(|_| {}).await;
    let client = client(&gateway);
    let mut charger = gateway.charger("CP").await;
    charger.still_serves().await;
    let station = client.station("CP").await.expect("there");
    assert!(station.connected && station.last_seen_at >= station.connected_at, "{station:?}");
    assert_eq!(client.stations(&[("connected", "true")]).await.expect("listed").data.len(), 1);

    client.disconnect_station("CP").await.expect("hung up");
    assert_eq!(charger.closed().await.map(|frame| u16::from(frame.code)), Some(1000));
    eventually("it is gone", || async {
        let refused = client.disconnect_station("CP").await.err()?;
        (refused.status() == Some(409)).then_some(())
    })
    .await;

    let mut charger = gateway.charger("CP").await;
    charger.still_serves().await;
    client.delete_station("CP").await.expect("removed");
    assert_eq!(charger.closed().await.map(|frame| u16::from(frame.code)), Some(1008));
    assert_eq!(client.station("CP").await.expect_err("removed").status(), Some(404));
    assert!(!gateway.events("CP").await.is_empty(), "its events stay");
}

#[tokio::test]
async fn transactions_are_polled_by_their_last_change() {
    let gateway = start(|_| {}).await;
    let client = client(&gateway);
    let mut charger = gateway.charger("CP").await;
    charger.boot().await;
    let mut numbers = Vec::new();
    for connector in 1..=5 {
        let start = json!({"connectorId": connector, "idTag": "TAG", "meterStart": 0, "timestamp": "2026-04-14T12:00:00Z"});
        let started = charger.call("StartTransaction", start).await;
        numbers.push(started["transactionId"].as_i64().expect("a number"));
    }
    let stop = json!({"transactionId": numbers[1], "meterStop": 10, "timestamp": "2026-04-14T13:00:00Z"});
    charger.call("StopTransaction", stop).await;

    let listed = async |parameters: &[(&str, &str)]| {
        let rows: Vec<Transaction> = client.all("transactions", parameters).await.expect("walked");
        rows.iter().map(|row| row.transaction_id).collect::<Vec<_>>()
    };
    let newest_first: Vec<i64> = numbers.iter().rev().copied().collect();
    assert_eq!(listed(&[("limit", "2")]).await, newest_first);
    assert_eq!(listed(&[("status", "completed")]).await, [numbers[1]]);
    assert_eq!(listed(&[("connector_id", "3"), ("id_tag", "tag")]).await, [numbers[2]]);
    assert_eq!(listed(&[("stopped_since", "2026-04-14T13:00:00Z")]).await, [numbers[1]]);
    let since = [("updated_since", "2020-01-01T00:00:00Z"), ("order", "asc"), ("limit", "2")];
    let by_change = listed(&since).await;
    assert_eq!(by_change.last(), Some(&numbers[1]), "the one that changed last comes last");
    let mut sorted = by_change.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, numbers, "without gap or repeat");
    let page: Value = gateway.get("/transactions?limit=2&order=asc&updated_since=2020-01-01T00:00:00Z").await;
    let cursor = page["next_cursor"].as_str().expect("more");
    let (status, _) = gateway.api("GET", &format!("/transactions?order=asc&cursor={cursor}"), None).await;
    assert_eq!(status, 422, "a cursor is good for what it was sorted by");
}

#[tokio::test]
async fn a_caller_who_hangs_up_leaves_an_entry_in_the_audit_log() {
    let gateway = start(|_| {}).await;
    let mut charger = gateway.booted("CP").await;
    let body = json!({"action": "ClearCache"});
    let answered = gateway.api("POST", "/stations/CP/commands", Some(body));
    tokio::select! {
        answer = answered => panic!("nobody has obeyed: {answer:?}"),
        // The command has left, so it is on record; the caller goes without waiting for its end.
        frame = charger.receive() => assert!(frame.contains("ClearCache"), "{frame}"),
    }
    let log = gateway.get("/audit?action=commands_send").await;
    let entry = &log["data"][0];
    assert_eq!((&entry["resource_id"], &entry["status"]), (&json!("CP"), &Value::Null));
    assert_eq!(
        (&entry["remote_addr"], &entry["requested_by"]["name"]),
        (&json!("127.0.0.1"), &json!("admin"))
    );
}
