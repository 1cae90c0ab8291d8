//! The handshake, question by question, and what follows a refusal.

use chargehook::station::Admission;
use chargehook::station::handshake::MissingSubprotocol;
use futures_util::SinkExt;
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use crate::harness::{Charger, Running, eventually, start};

const OCPP16: (&str, &str) = ("Sec-WebSocket-Protocol", "ocpp1.6");

async fn knock(gateway: &Running, path: &str, headers: &[(&str, &str)]) -> u16 {
    match Charger::connect(gateway.ocpp(), path, headers).await {
        Ok(_) => 101,
        Err(response) => response.status().as_u16(),
    }
}

#[tokio::test]
async fn case_7_and_8_the_identity_is_decoded_and_odd_slashes_are_overlooked() {
    let gateway = start(|_| {}).await;
    for (path, station) in [
        ("/ocpp/RDAM%20123", "RDAM%20123"),
        ("//x/CP1/", "CP1"),
        ("/ocpp/site-7/CP_1", "CP_1"),
        ("/CP_2?token=x", "CP_2"),
    ] {
        assert_eq!(knock(&gateway, path, &[OCPP16]).await, 101, "{path}");
        let events = eventually("the connection is on record", || async {
            Some(gateway.events(station).await).filter(|events| events.len() >= 2)
        })
        .await;
        assert_eq!(events[0]["event"], "StationDiscovered", "{path}");
        assert_eq!(events[1]["event"], "StationConnected", "{path}");
        assert_eq!((&events[0]["station_seq"], &events[1]["station_seq"]), (&json!(1), &json!(2)));
    }
    for path in ["/", "/ocpp", "/ocpp/", "/ocpp/%ff", "/ocpp/%zz", "/ocpp/a%3Ab", "/ocpp/a%00b"] {
        assert_eq!(knock(&gateway, path, &[OCPP16]).await, 404, "{path}");
    }
}

#[tokio::test]
async fn listed_paths_are_the_only_ones() {
    let gateway = start(|config| config.ocpp.paths = vec!["/ocpp".into()]).await;
    assert_eq!(knock(&gateway, "/ocpp/CP_1", &[OCPP16]).await, 101);
    assert_eq!(knock(&gateway, "/ocpp/site-7/CP_2", &[OCPP16]).await, 101);
    assert_eq!(knock(&gateway, "/other/CP_1", &[OCPP16]).await, 404);
}

#[tokio::test]
async fn case_9_to_11_subprotocols() {
    let gateway = start(|_| {}).await;
    let offer = |value| [("Sec-WebSocket-Protocol", value)];
    assert_eq!(knock(&gateway, "/ocpp/A", &offer("ocpp0.1")).await, 400);
    let welcomed =
        Charger::connect(gateway.ocpp(), "/ocpp/A", &offer("ocpp0.1, ocpp1.6")).await.expect("welcome");
    assert_eq!(welcomed.response.headers()["sec-websocket-protocol"], "ocpp1.6");
    let mut without = Charger::connect(gateway.ocpp(), "/ocpp/B", &[]).await.expect("welcome");
    assert!(!without.response.headers().contains_key("sec-websocket-protocol"));
    without.still_serves().await;
    assert_eq!(gateway.get("/stations/B").await["flags"][0], "missing_subprotocol");
    let rejected = gateway.events_of("A", "StationRejected").await;
    assert_eq!(rejected[0]["payload"]["reason"], "unknown_subprotocol");
    assert_eq!(rejected[0]["payload"]["http_status"], 400);
    assert!(rejected[0]["station_seq"].is_null());

    let strict = start(|config| config.ocpp.missing_subprotocol = MissingSubprotocol::Reject).await;
    assert_eq!(knock(&strict, "/ocpp/B", &[]).await, 400);
}

#[tokio::test]
async fn case_6_strangers_are_taken_in_held_or_turned_away() {
    let reject = start(|config| config.stations.unknown = Admission::Reject).await;
    assert_eq!(knock(&reject, "/ocpp/STRANGER", &[OCPP16]).await, 404);
    let events = reject.events_of("STRANGER", "StationRejected").await;
    assert_eq!(events[0]["payload"]["reason"], "unknown_station");
    let (status, _) = reject.api("POST", "/stations", Some(json!({"station_id": "KNOWN"}))).await;
    assert_eq!(status, 201);
    assert_eq!(knock(&reject, "/ocpp/KNOWN", &[OCPP16]).await, 101);
    assert_eq!(
        knock(&reject, "/ocpp/known", &[OCPP16]).await,
        101,
        "another letter case of a registered one"
    );

    let pending = start(|config| config.stations.unknown = Admission::Pending).await;
    let mut charger = pending.charger("NEW").await;
    assert_eq!(charger.boot().await, "Pending");
    assert_eq!(pending.get("/stations/NEW").await["boot_status"], "pending");
}

#[tokio::test]
async fn case_12_to_16_a_password_must_be_right() {
    use base64::Engine;
    let gateway = start(|_| {}).await;
    let key = "0001020304050607FFFFFFFFFFFFFFFFFFFF3AFF";
    let body = json!({"station_id": "AL1000", "password": key});
    let (status, station) = gateway.api("POST", "/stations", Some(body)).await;
    assert_eq!((status, &station["password_set"]), (201, &json!(true)), "{station}");
    assert!(!station.to_string().contains(key));

    assert_eq!(knock(&gateway, "/ocpp/AL1000", &[OCPP16]).await, 401);
    let refused = Charger::connect(gateway.ocpp(), "/ocpp/AL1000", &[OCPP16]).await.err().expect("refused");
    assert!(refused.headers()["www-authenticate"].to_str().expect("text").starts_with("Basic "));
    let basic = |user: &str, password: &[u8]| {
        let mut credentials = format!("{user}:").into_bytes();
        credentials.extend(password);
        format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(credentials))
    };
    let bytes = hex::decode(key).expect("hex");
    for (credentials, expected) in [
        (basic("AL1000", &bytes), 101),
        (basic("AL1000", key.as_bytes()), 101),
        (basic("AL1000", key.to_lowercase().as_bytes()), 101),
        (basic("AL1000", b"wrong"), 401),
        (basic("AL1001", &bytes), 401),
        ("Bearer x".to_owned(), 401),
    ] {
        let status = knock(&gateway, "/ocpp/AL1000", &[OCPP16, ("Authorization", &credentials)]).await;
        assert_eq!(status, expected, "{credentials}");
    }
    let connected = gateway.events_of("AL1000", "StationConnected").await;
    assert_eq!(connected[0]["payload"]["security_profile"], 1);
    assert_eq!(gateway.get("/stations/AL1000").await["flags"], json!(["hex_password"]));
}

#[tokio::test]
async fn a_blocked_station_is_forbidden_and_plain_http_is_told_to_upgrade() {
    let gateway = start(|_| {}).await;
    gateway.api("POST", "/stations", Some(json!({"station_id": "BAD", "blocked": true}))).await;
    assert_eq!(knock(&gateway, "/ocpp/BAD", &[OCPP16]).await, 403);
    let response = crate::harness::http_client()
        .get(format!("http://{}/ocpp/CP_1", gateway.ocpp()))
        .send()
        .await
        .expect("an answer");
    assert_eq!(response.status(), 426);
    assert_eq!(response.headers()["upgrade"], "websocket");
}

#[tokio::test]
async fn too_many_connections_are_told_to_come_back() {
    let gateway = start(|config| config.limits.connections = 1).await;
    let _first = gateway.charger("A").await;
    let refused = Charger::connect(gateway.ocpp(), "/ocpp/B", &[OCPP16]).await.err().expect("refused");
    assert_eq!(refused.status(), 503);
    assert!(refused.headers().contains_key("retry-after"));

    let gateway = start(|config| config.limits.handshakes_per_second = 1).await;
    let _first = gateway.charger("A").await;
    assert_eq!(knock(&gateway, "/ocpp/B", &[OCPP16]).await, 503);
}

#[tokio::test]
async fn case_84_a_new_connection_takes_over() {
    let gateway = start(|_| {}).await;
    let mut old = gateway.charger("CP").await;
    old.still_serves().await;
    let mut new = gateway.charger("CP").await;
    assert_eq!(old.closed().await.map(|frame| frame.code.into()), Some(1000u16));
    new.still_serves().await;
    let ended = eventually("the old connection's end is an event", || async {
        gateway.events_of("CP", "StationDisconnected").await.pop()
    })
    .await;
    assert_eq!(ended["payload"]["replaced"], true);
    assert_eq!(gateway.get("/stations/CP").await["connected"], true);
    let seqs: Vec<_> = gateway.events("CP").await.iter().map(|event| event["station_seq"].clone()).collect();
    assert_eq!(seqs, (1..=seqs.len()).map(|seq| json!(seq)).collect::<Vec<_>>(), "no gaps");
}

#[tokio::test]
async fn a_flood_of_refusals_is_folded() {
    let gateway = start(|config| config.stations.unknown = Admission::Reject).await;
    for _ in 0..30 {
        assert_eq!(knock(&gateway, "/ocpp/FLOOD", &[OCPP16]).await, 404);
    }
    assert_eq!(gateway.events_of("FLOOD", "StationRejected").await.len(), 10);
}

#[tokio::test]
async fn refused_connections_leave_nothing_open() {
    let gateway = start(|config| config.limits.connections = 2).await;
    for _ in 0..10 {
        assert_eq!(knock(&gateway, "/ocpp/", &[OCPP16]).await, 404);
    }
    eventually("the refused ones are not counted any more", || async {
        (knock(&gateway, "/ocpp/CP", &[OCPP16]).await == 101).then_some(())
    })
    .await;
}

#[tokio::test]
async fn http_1_0_has_no_websockets() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let gateway = start(|_| {}).await;
    let mut stream = tokio::net::TcpStream::connect(gateway.ocpp()).await.expect("connects");
    let request = "GET /ocpp/OLD HTTP/1.0\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    stream.write_all(request.as_bytes()).await.expect("sends");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer, and the end of the connection");
    assert!(answer.starts_with("HTTP/1.0 426 "), "{answer}");
}

#[tokio::test]
async fn a_takeover_in_mid_traffic_loses_nothing() {
    let gateway = start(|_| {}).await;
    let mut old = gateway.charger("CP").await;
    for id in 0..300 {
        let call = format!(r#"[2,"{id}","DataTransfer",{{"vendorId":"v","data":"{id}"}}]"#);
        old.socket.feed(Message::text(call)).await.expect("queues");
    }
    old.socket.flush().await.expect("sends");
    // The old connection is in the middle of them now, and has most of them still unread.
    old.receive().await;
    let mut new = gateway.charger("CP").await;
    new.still_serves().await;
    for id in 1..300 {
        assert!(old.receive().await.starts_with(&format!(r#"[3,"{id}","#)), "answer {id}");
    }
    assert_eq!(old.closed().await.map(|frame| frame.code.into()), Some(1000u16));
    let events = gateway.events("CP").await;
    let names: Vec<_> = events.iter().map(|event| event["event"].as_str().expect("a name")).collect();
    assert_eq!(names[..2], ["StationDiscovered", "StationConnected"]);
    assert!(names[2..302].iter().all(|name| *name == "DataTransfer"), "{names:?}");
    assert_eq!(names[302..], ["StationDisconnected", "StationConnected", "Heartbeat"], "in this order");
    assert_eq!(events[302]["payload"]["replaced"], true);
    assert!(events.iter().zip(1..).all(|(event, seq)| event["station_seq"] == seq), "no gaps");
}

#[tokio::test]
async fn a_charger_that_vanishes_has_lost_its_connection() {
    let gateway = start(|_| {}).await;
    let mut charger = gateway.charger("CP").await;
    charger.still_serves().await;
    drop(charger);
    let ended = eventually("the end is an event", || async {
        gateway.events_of("CP", "StationDisconnected").await.pop()
    })
    .await;
    assert_eq!(
        (&ended["payload"]["code"], &ended["payload"]["reason"]),
        (&json!(null), &json!("connection_lost"))
    );
}
