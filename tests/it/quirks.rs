//! The quirks of real chargers that are no frames: handshakes, sockets, time. Those that are frames stand
//! under `tests/golden/1.6/`; each has one or the other.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use futures_util::{FutureExt, SinkExt, StreamExt};
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use vocabulary::clock::Clock;
use vocabulary::units::Span;

use crate::golden::{NOW, files, name};
use crate::harness::{Charger, DEADLINE, Running, eventually, start, start_by};
use crate::scripted::{ask, obey};

const OCPP16: (&str, &str) = ("Sec-WebSocket-Protocol", "ocpp1.6");

#[test]
fn every_quirk_has_its_frames_or_its_test() {
    let mut told = BTreeSet::new();
    for file in files("golden").iter().chain(&files("talk")) {
        let number = name(file).strip_prefix('Q').and_then(|rest| rest.split_once('-'));
        told.extend(number.map(|(number, _)| number.parse::<u32>().expect("a number")));
    }
    let sources =
        std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it")).expect("a folder");
    for source in sources.map(|entry| entry.expect("an entry").path()).filter(|path| path.is_file()) {
        let text = std::fs::read_to_string(source).expect("text");
        let numbers =
            text.split("fn q").skip(1).filter_map(|rest| rest.split_once('_')?.0.parse::<u32>().ok());
        told.extend(numbers);
    }
    let missing: Vec<u32> = (1..=47).filter(|number| !told.contains(number)).collect();
    assert!(missing.is_empty(), "{missing:?}: quirks without a golden file or a test");
}

async fn flags(gateway: &Running, station: &str) -> Vec<String> {
    let station = gateway.get(&format!("/stations/{station}")).await;
    serde_json::from_value(station["flags"].clone()).expect("a list of texts")
}

#[tokio::test]
async fn q29_a_charger_that_answers_no_call_is_said_to_be_so_and_served_all_the_same() {
    let gateway = start(|_| {}).await;
    let mut charger = gateway.booted("MUTE").await;
    for silent in 1..=3 {
        let asking = ask(&gateway, "MUTE", json!({"action": "ClearCache", "timeout": "200ms"}));
        charger.called().await;
        let (status, command) = asking.await.expect("asks to the end");
        assert_eq!((status, &command["status"]), (504, &json!("timeout")), "{command}");
        charger.still_serves().await;
        let told = flags(&gateway, "MUTE").await.contains(&"unresponsive".to_owned());
        assert_eq!(told, silent == 3, "after {silent} without an answer");
    }
    // Some answer only when their own call was answered: nothing stands in the way of that.
    let asking = ask(&gateway, "MUTE", json!({"action": "ClearCache"}));
    let called = charger.called().await;
    charger.still_serves().await;
    charger.answer(&called.id, json!({"status": "Accepted"})).await;
    assert_eq!(asking.await.expect("asks to the end").1["accepted"], true);
}

#[tokio::test]
async fn q43_a_remote_start_that_nothing_follows_has_not_started() {
    let clock = Clock::manual(NOW);
    let gateway = start_by(clock.clone(), tempfile::tempdir().expect("a directory"), |_| {}).await;
    let mut charger = gateway.booted("CP").await;
    let payload = json!({"idTag": "TAG", "connectorId": 1});
    let verdict = json!({"status": "Accepted"});
    let command = obey(&gateway, &mut charger, "CP", "RemoteStartTransaction", payload, verdict).await;
    assert!(command["outcome"].is_null());
    clock.advance(Duration::from_secs(181));
    let outcome = eventually("the outcome is told", || async {
        gateway.events_of("CP", "RemoteStartOutcome").await.pop()
    })
    .await;
    assert_eq!(outcome["payload"]["command_id"], command["id"]);
    assert_eq!(outcome["payload"]["outcome"], "not_started");
    // It comes after all: a transaction like any other.
    let late =
        json!({"connectorId": 1, "idTag": "TAG", "meterStart": 0, "timestamp": "2026-04-14T12:40:00Z"});
    let number = charger.call("StartTransaction", late).await["transactionId"].clone();
    let transaction = gateway.get(&format!("/transactions/{number}")).await;
    assert_eq!((&transaction["status"], &transaction["command_id"]), (&json!("active"), &json!(null)));
}

#[tokio::test]
async fn q34_odd_paths_and_subprotocols_are_taken_and_flagged() {
    let gateway = start(|_| {}).await;
    let (status, _) = gateway.api("POST", "/stations", Some(json!({"station_id": "WALLBOX_A"}))).await;
    assert_eq!(status, 201);
    // Blanks come out of spreadsheets as well as out of forms on chargers.
    let (status, made) = gateway.api("POST", "/stations", Some(json!({"station_id": " WALLBOX_B "}))).await;
    assert_eq!((status, &made["station_id"]), (201, &json!("WALLBOX_B")), "{made}");
    let any_case = ("Sec-WebSocket-Protocol", "OCPP1.6");
    for (path, offered, station, expected) in [
        ("/ocpp/PLAIN", vec![OCPP16], "PLAIN", vec![]),
        ("///ocpp//DOUBLED", vec![OCPP16], "DOUBLED", vec!["odd_path"]),
        ("/ocpp/TRAILING/", vec![OCPP16], "TRAILING", vec!["odd_path"]),
        ("/ocpp/%20BLANKS%09%20", vec![OCPP16], "BLANKS", vec!["odd_path"]),
        ("/ocpp/INSIDE%20OF", vec![OCPP16], "INSIDE%20OF", vec![]),
        ("/ocpp/WALLBOX_B%0D%0A", vec![OCPP16], "WALLBOX_B", vec!["odd_path"]),
        ("/ocpp/wallbox_a", vec![OCPP16], "WALLBOX_A", vec!["identity_in_other_case"]),
        ("/ocpp/NONE", vec![], "NONE", vec!["missing_subprotocol"]),
        ("/ocpp/SPELLED", vec![any_case], "SPELLED", vec![]),
        ("/ocpp/LINES", vec![OCPP16, ("Sec-WebSocket-Protocol", "ocpp0.1")], "LINES", vec![]),
    ] {
        let mut charger = Charger::connect(gateway.ocpp(), path, &offered).await.expect("welcome");
        charger.still_serves().await;
        let mut expected = expected;
        expected.push("before_boot");
        assert_eq!(flags(&gateway, station).await, expected, "{path}");
    }
}

#[tokio::test]
async fn q35_two_chargers_with_one_identity_are_told_of() {
    let gateway = start(|_| {}).await;
    let mut newest = gateway.charger("TWINS").await;
    for takeover in 1..=6 {
        let old = std::mem::replace(&mut newest, gateway.charger("TWINS").await);
        newest.still_serves().await;
        let flapping = flags(&gateway, "TWINS").await.contains(&"flapping".to_owned());
        assert_eq!(flapping, takeover > 5, "takeover {takeover}");
        drop(old);
    }
    newest.still_serves().await;
    assert_eq!(gateway.get("/stations/TWINS").await["connected"], true, "the newest stays");
}

#[tokio::test]
async fn q36_a_storm_is_let_in_at_its_pace() {
    let gateway = start(|config| config.limits.handshakes_per_second = 5).await;
    let put_off = AtomicU32::new(0);
    let mut inside = Vec::new();
    for number in 0..10 {
        let path = format!("/ocpp/STORM_{number}");
        let charger = eventually("comes in at last", || async {
            let refused = match Charger::connect(gateway.ocpp(), &path, &[OCPP16]).await {
                Ok(charger) => return Some(charger),
                Err(refused) => refused,
            };
            assert_eq!(refused.status(), 503);
            let wait: u32 =
                refused.headers()["retry-after"].to_str().expect("text").parse().expect("seconds");
            assert!(wait > 0);
            put_off.fetch_add(1, Relaxed);
            None
        })
        .await;
        inside.push(charger);
    }
    assert!(put_off.into_inner() > 0, "ten at once were more than five a second");
    for charger in &mut inside {
        // The gateway asks nothing of those that come back: the first word is the answer to theirs.
        charger.still_serves().await;
    }
}

#[tokio::test]
async fn q37_a_charger_that_cannot_bear_pings_gets_none() {
    let gateway = start(|config| config.ocpp.ping_interval = Span(Duration::from_millis(20))).await;
    let (status, _) =
        gateway.api("POST", "/stations", Some(json!({"station_id": "SHY", "ping": false}))).await;
    assert_eq!(status, 201);
    let mut shy = gateway.charger("SHY").await;
    let mut other = gateway.charger("OTHER").await;
    for _ in 0..5 {
        let message = timeout(DEADLINE, other.socket.next()).await.expect("in time").expect("open");
        assert!(matches!(message, Ok(Message::Ping(_))), "{message:?}");
        // Answers the ping.
        other.socket.flush().await.expect("sends");
    }
    assert!(shy.socket.next().now_or_never().is_none(), "nothing was said to it");
    shy.still_serves().await;
}

#[tokio::test]
async fn q37_without_a_pong_any_message_is_a_sign_of_life_and_nothing_at_all_is_the_end() {
    let gateway = start(|config| config.ocpp.ping_interval = Span(Duration::from_millis(100))).await;
    let charger = gateway.charger("DEAF").await;
    // The bare stream: nobody answers pings any more.
    let mut stream = charger.socket.into_inner();
    let began = tokio::time::Instant::now();
    // A masked heartbeat, its mask being zeros.
    let text = br#"[2,"1","Heartbeat",{}]"#;
    let mut frame = vec![0x81, 0x80 | text.len() as u8, 0, 0, 0, 0];
    frame.extend(text);
    while began.elapsed() < Duration::from_millis(600) {
        stream.write_all(&frame).await.expect("still open");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(gateway.get("/stations/DEAF").await["connected"], true, "it talks");
    let ended = eventually("it is taken for dead", || async {
        gateway.events_of("DEAF", "StationDisconnected").await.pop()
    })
    .await;
    assert_eq!(ended["payload"]["reason"], "ping_timeout");
}

#[tokio::test]
async fn q38_a_compressed_frame_without_negotiation_is_1002() {
    let gateway = start(|_| {}).await;
    let mut charger = gateway.charger("PACKED").await;
    charger.still_serves().await;
    // The first reserved bit says "compressed"; nobody has agreed to that.
    let frame = [0xc1, 0x80 | 4, 0, 0, 0, 0, 0x2a, 0x4e, 0x05, 0x00];
    charger.socket.get_mut().write_all(&frame).await.expect("sends");
    assert_eq!(charger.closed().await.map(|frame| frame.code.into()), Some(1002u16));
    let ended = eventually("the end is an event", || async {
        gateway.events_of("PACKED", "StationDisconnected").await.pop()
    })
    .await;
    assert_eq!(ended["payload"]["code"], 1002, "{ended}");
}
