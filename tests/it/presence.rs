//! Coming, going and falling silent: of chargers, of the gateway, and of the disk under it.

use std::process::Command;
use std::time::Duration;

use chargehook::config::Config;
use rusqlite::Connection;
use serde_json::{Value, json};
use vocabulary::clock::Clock;
use vocabulary::units::Span;

use crate::crash::Place;
use crate::golden::NOW;
use crate::harness::{ADMIN_KEY, Charger, Running, eventually, http_client, is_of_embedded, start, start_by};

const OCPP16: (&str, &str) = ("Sec-WebSocket-Protocol", "ocpp1.6");

fn impatient(config: &mut Config) {
    config.stations.offline_after = Some(Span(Duration::from_secs(1)));
    config.ocpp.ping_interval = Span(Duration::ZERO);
}

/// Waits until the newest events of the station are these.
async fn ends_with(gateway: &Running, station: &str, expected: &[&str]) {
    eventually(&format!("{station} ends with {expected:?}"), || async {
        let events = gateway.events(station).await;
        let names: Vec<_> = events.iter().filter_map(|event| event["event"].as_str()).collect();
        names.ends_with(expected).then_some(())
    })
    .await;
}

#[tokio::test]
async fn silence_and_its_end_are_told_with_an_open_socket_without_one_and_over_a_restart() {
    let gateway = start(impatient).await;
    let mut charger = gateway.charger("CP").await;
    ends_with(&gateway, "CP", &["StationConnected", "StationOffline"]).await;
    charger.still_serves().await;
    ends_with(&gateway, "CP", &["Heartbeat", "StationOnline", "StationOffline"]).await;
    drop(charger);
    ends_with(&gateway, "CP", &["StationOffline", "StationDisconnected"]).await;

    let gateway = gateway.restart(impatient).await;
    let charger = gateway.charger("CP").await;
    ends_with(&gateway, "CP", &["StationConnected", "StationOnline", "StationOffline"]).await;
    drop(charger);
    ends_with(&gateway, "CP", &["StationOffline", "StationDisconnected"]).await;
    let mut charger = gateway.charger("CP").await;
    charger.still_serves().await;
    ends_with(&gateway, "CP", &["StationOnline", "Heartbeat"]).await;
    let events = gateway.events("CP").await;
    assert!(events.iter().zip(1..).all(|(event, seq)| event["station_seq"] == seq), "no gaps: {events:?}");
}

#[tokio::test]
async fn case_87_what_cannot_be_stored_is_not_answered_and_the_socket_is_closed() {
    if is_of_embedded("its file is locked by somebody else") {
        return;
    }
    let gateway = start(|_| {}).await;
    let mut charger = gateway.charger("CP").await;
    charger.still_serves().await;
    // To the gateway a disk that cannot be written and a lock that is never given up look the same.
    let thief = Connection::open(gateway.database()).expect("opens");
    thief.execute_batch("BEGIN IMMEDIATE").expect("takes the lock");
    let start = json!({"connectorId": 1, "idTag": "T", "meterStart": 1, "timestamp": "2026-04-14T12:00:00Z"});
    charger.send(&json!([2, "1", "StartTransaction", start]).to_string()).await;
    // `closed` passes over other messages, so an answer is looked for by hand.
    let first =
        futures_util::StreamExt::next(&mut charger.socket).await.expect("something").expect("a message");
    let tokio_tungstenite::tungstenite::Message::Close(Some(frame)) = first else { panic!("{first:?}") };
    assert_eq!(u16::from(frame.code), 1011);
    let response = http_client().get(gateway.url("/readyz")).send().await.expect("an answer");
    assert_eq!(response.status(), 503);
    let health: Value = response.json().await.expect("JSON");
    assert!(
        health["reasons"][0]
            .as_str()
            .is_some_and(|reason| reason.starts_with("store: the store could not commit")),
        "{health}"
    );

    thief.execute_batch("ROLLBACK").expect("gives the lock up");
    ends_with(&gateway, "CP", &["Heartbeat", "StationDisconnected"]).await;
    assert_eq!(gateway.get("/stations/CP").await["connected"], false);
    let mut charger = gateway.charger("CP").await;
    let started = charger.call("StartTransaction", start).await;
    assert!(started["transactionId"].is_i64(), "{started}");
    assert_eq!(gateway.events_of("CP", "StartTransaction").await.len(), 1, "nothing half-written was left");
    assert_eq!(http_client().get(gateway.url("/readyz")).send().await.expect("an answer").status(), 200);
}

/// The newest end of a connection of the station, over the API of the gateway's own process.
async fn newest_end(place: &Place) -> Value {
    let url = format!("http://{}/api/v1/events?event=StationDisconnected&station_id=CP", place.api);
    let response = http_client().get(url).header("X-API-Key", ADMIN_KEY).send().await.expect("an answer");
    let events: Value = response.json().await.expect("JSON");
    events["data"][0]["payload"].clone()
}

#[tokio::test]
async fn a_stopping_gateway_says_goodbye_and_a_killed_one_is_told_of_by_the_next() {
    let dir = tempfile::tempdir().expect("a directory");
    let place = Place::new(dir.path());

    let mut process = place.serve();
    let mut charger = Charger::connect(place.ocpp, "/ocpp/CP", &[OCPP16]).await.expect("connects");
    charger.still_serves().await;
    let told = Command::new("kill").arg(process.child.id().to_string()).status().expect("kill runs");
    assert!(told.success());
    assert_eq!(charger.closed().await.map(|frame| frame.code.into()), Some(1001u16));
    assert_eq!(process.child.wait().expect("ends").code(), Some(0));

    let process = place.serve();
    let end = newest_end(&place).await;
    assert_eq!((&end["code"], &end["reason"]), (&json!(1001), &json!("shutdown")));
    let mut charger = Charger::connect(place.ocpp, "/ocpp/CP", &[OCPP16]).await.expect("connects");
    charger.still_serves().await;
    process.kill();

    let _process = place.serve();
    let end = newest_end(&place).await;
    assert_eq!((&end["code"], &end["reason"]), (&json!(null), &json!("gateway_stopped")));
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_log_that_cannot_be_written_stops_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let place = Place::new(dir.path());
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("Linux has it");
    let _process = place.start(place.command().args(["--log-level", "debug"]).stderr(full));
    let mut charger = Charger::connect(place.ocpp, "/ocpp/CP", &[OCPP16]).await.expect("connects");
    charger.still_serves().await;
}

#[tokio::test]
async fn the_silence_tells_when_a_station_was_seen_last_over_a_restart_too() {
    let clock = Clock::manual(NOW);
    let gateway = start_by(clock.clone(), tempfile::tempdir().expect("a directory"), |_| {}).await;
    for station in ["GONE", "HERE"] {
        gateway.charger(station).await.still_serves().await;
    }
    clock.advance(Duration::from_secs(60));
    let mut charger = gateway.charger("HERE").await;
    charger.still_serves().await;
    let seen = clock.now();
    clock.advance(Duration::from_secs(120));
    drop(charger);
    let gateway = gateway.restart_by(&clock).await;
    // Timers start anew, and what they tell is older.
    clock.advance(Duration::from_secs(899));
    gateway.charger("WITNESS").await.still_serves().await;
    assert_eq!(gateway.events_of("GONE", "StationOffline").await.len(), 0);
    clock.advance(Duration::from_secs(900));
    for (station, expected) in [("GONE", NOW), ("HERE", seen)] {
        let told = eventually("the silence is told", || async {
            gateway.events_of(station, "StationOffline").await.pop()
        })
        .await;
        assert_eq!(told["payload"]["last_seen_at"], json!(expected), "{station}");
        assert_eq!(gateway.get(&format!("/stations/{station}")).await["last_seen_at"], json!(expected));
    }
}
