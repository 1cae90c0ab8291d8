//! Cases of a central system's test list, by their numbers: what a gateway has to bear without losing
//! anything or making anybody wait.

use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use store::test_store::rows;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use vocabulary::units::ByteSize;

use crate::crash::Place;
use crate::golden::{files, given, unquoted};
use crate::harness::{Charger, DEADLINE, Running, eventually, start};
use crate::receiver::{Answer, Receiver};

const OCPP16: (&str, &str) = ("Sec-WebSocket-Protocol", "ocpp1.6");

fn start_payload(timestamp: &str) -> Value {
    json!({"connectorId": 1, "idTag": "TAG", "meterStart": 1000, "timestamp": timestamp})
}

/// A stop with so many bytes of signed data that it is over a megabyte or two.
fn large_stop(number: &Value, bytes: usize) -> Value {
    let value = "x".repeat(8 << 10);
    let values: Vec<_> = (0..bytes / (8 << 10))
        .map(|_| {
            json!({"timestamp": "2026-04-14T12:30:00Z",
                "sampledValue": [{"value": value, "format": "SignedData", "context": "Transaction.End"}]})
        })
        .collect();
    json!({"transactionId": number, "meterStop": 2000, "timestamp": "2026-04-14T13:00:00Z", "transactionData": values})
}

#[tokio::test]
async fn case_44_two_megabytes_of_transaction_data() {
    let gateway = start(|_| {}).await;
    let body = json!({"station_id": "LARGE", "message_size": "4MiB"});
    assert_eq!(gateway.api("POST", "/stations", Some(body)).await.0, 201);
    for (station, fits) in [("LARGE", true), ("PLAIN", false)] {
        let mut charger = gateway.booted(station).await;
        let started = charger.call("StartTransaction", start_payload("2026-04-14T12:00:00Z")).await;
        let number = &started["transactionId"];
        let stop = large_stop(number, 2 << 20);
        let transaction = format!("/transactions/{number}");
        if fits {
            assert_eq!(charger.call("StopTransaction", stop.clone()).await, json!({}));
            let event = gateway.events_of(station, "StopTransaction").await.pop().expect("an event");
            assert_eq!(event["payload"], stop, "kept whole");
            assert_eq!(gateway.get(&transaction).await["status"], "completed");
        } else {
            let text = json!([2, "stop", "StopTransaction", stop]).to_string();
            // The gateway has seen enough before the last byte is out.
            let _ = charger.socket.send(Message::text(text.clone())).await;
            assert_eq!(charger.closed().await.map(|frame| frame.code.into()), Some(1009u16));
            let rejected = gateway.events_of(station, "MessageRejected").await.pop().expect("an event");
            assert_eq!(rejected["payload"]["reason"], "too_large");
            assert!(rejected["payload"]["raw"].is_null(), "of its size only");
            assert_eq!(rejected["payload"]["size"], text.len());
            assert_eq!(gateway.get(&transaction).await["status"], "active");
            let flags = gateway.get("/stations/PLAIN").await["flags"].clone();
            assert!(flags.as_array().expect("a list").contains(&json!("too_large")), "{flags}");
        }
    }
}

#[tokio::test]
async fn case_44_a_raised_limit_holds_for_all_as_well() {
    let gateway = start(|config| config.limits.message_size = ByteSize(3 << 20)).await;
    let mut charger = gateway.booted("CP").await;
    assert_eq!(charger.call("StopTransaction", large_stop(&json!(1), 2 << 20)).await, json!({}));
}

#[tokio::test(flavor = "multi_thread")]
async fn case_88_killed_between_the_commit_and_the_answer() {
    let dir = tempfile::tempdir().expect("a directory");
    let place = Place::new(dir.path());
    let process = place.serve();
    let mut charger = Charger::connect(place.ocpp, "/ocpp/CP", &[OCPP16]).await.expect("connects");
    charger.boot().await;
    let payload = start_payload("2026-04-14T12:00:00Z");
    charger.send(&json!([2, "1", "StartTransaction", payload]).to_string()).await;
    // The charger reads no answer; to it, none has come.
    let starts = || {
        let sql = "SELECT transaction_id, duplicate_of IS NULL FROM events WHERE event = 'StartTransaction'";
        let found: Vec<[Value; 2]> = rows(&place.data_dir, sql, &[]);
        found.into_iter().map(|[id, first]| (id.as_i64().expect("a number"), first == 1)).collect::<Vec<_>>()
    };
    let stored = eventually("the start is on disk", || async { starts().first().copied() }).await;
    process.kill();
    drop(charger);

    let _process = place.serve();
    let mut charger = Charger::connect(place.ocpp, "/ocpp/CP", &[OCPP16]).await.expect("connects");
    let retried = charger.call("StartTransaction", payload).await;
    assert_eq!(retried["transactionId"], stored.0);
    assert_eq!(retried["idTagInfo"]["status"], "Accepted");
    assert_eq!(starts(), [(stored.0, true), (stored.0, false)], "one event, and one that repeats it");
    assert_eq!(rows(&place.data_dir, "SELECT count(*) FROM transactions", &[]), [[json!(1)]]);
}

#[tokio::test]
async fn case_89_a_dead_receiver_slows_no_charger_and_gets_everything_in_order() {
    let gateway = start(|_| {}).await;
    // Says nothing, then refuses, then takes all.
    let receiver = Receiver::start(|nth| match nth {
        0 => Answer::Silence,
        1..=3 => Answer::Status(503),
        _ => Answer::Status(200),
    })
    .await;
    let schedule = vec!["200ms"; 20];
    let hook = json!({"url": receiver.url, "events": ["Heartbeat"], "ordering": "station", "timeout": "1s",
        "retry_schedule": schedule});
    let (made, webhook) = gateway.api("POST", "/webhooks", Some(hook)).await;
    assert_eq!(made, 201, "{webhook}");
    let mut chargers = [gateway.booted("A").await, gateway.booted("B").await];
    for _ in 0..20 {
        for charger in &mut chargers {
            let asked = Instant::now();
            charger.still_serves().await;
            assert!(asked.elapsed() < Duration::from_secs(1), "answered after {:?}", asked.elapsed());
        }
    }
    let delivered = eventually("all of them are delivered", || async {
        let listed = gateway.get("/deliveries?status=success&limit=500").await;
        (listed["data"].as_array()?.len() == 40).then_some(())
    });
    delivered.await;
    for station in ["A", "B"] {
        let mut order: Vec<u64> = receiver
            .so_far()
            .iter()
            .map(|request| serde_json::from_str::<Value>(&request.body).expect("JSON"))
            .filter(|event| event["station_id"] == station)
            .map(|event| event["station_seq"].as_u64().expect("a number"))
            .collect();
        order.dedup();
        assert!(order.is_sorted(), "{station}: {order:?}");
        assert_eq!(order.len(), 20, "{station}: {order:?}");
    }
}

/// Small deterministic chance.
fn chance(state: &mut u64, below: usize) -> usize {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) as usize % below
}

/// A frame with a few of its bytes changed, doubled or left out.
fn mutated(frame: &str, state: &mut u64) -> Vec<u8> {
    const LIKELY: &[u8] = b"[]{}\",:0123456789\\\0 -.eEtfn\xff\xc3";
    let mut bytes = frame.as_bytes().to_vec();
    for _ in 0..=chance(state, 4) {
        let at = chance(state, bytes.len().max(1));
        match chance(state, 5) {
            0 if at < bytes.len() => drop(bytes.remove(at)),
            1 => bytes.insert(at, LIKELY[chance(state, LIKELY.len())]),
            2 => bytes.truncate(at),
            3 => bytes.extend_from_within(at..),
            _ if at < bytes.len() => bytes[at] = LIKELY[chance(state, LIKELY.len())],
            _ => {}
        }
    }
    bytes
}

#[tokio::test]
async fn case_93_random_and_mutated_frames_cost_no_neighbour_anything() {
    let gateway = start(|config| config.limits.message_burst = 100_000).await;
    let frames: Vec<String> = files("golden")
        .iter()
        .map(|file| unquoted(given(&std::fs::read_to_string(file).expect("a readable file")).1))
        .collect();
    let mut state = 93;
    let mut fuzzed = gateway.booted("FUZZED").await;
    let mut neighbour = gateway.booted("NEIGHBOUR").await;
    let mut closed = 0;
    for round in 0..600 {
        let bytes = match chance(&mut state, 10) {
            0 => (0..chance(&mut state, 200)).map(|_| chance(&mut state, 256) as u8).collect(),
            _ => mutated(&frames[chance(&mut state, frames.len())], &mut state),
        };
        let message = match String::from_utf8(bytes) {
            Ok(text) => Message::text(text),
            Err(not_text) => Message::binary(not_text.into_bytes()),
        };
        let probe = json!([2, format!("probe-{round}"), "Heartbeat", {}]).to_string();
        // What follows a frame that ends the socket is not served on it.
        let _ = fuzzed.socket.send(message).await;
        let _ = fuzzed.socket.send(Message::text(probe)).await;
        if !hears_probe(&mut fuzzed, round).await {
            closed += 1;
            fuzzed = gateway.charger("FUZZED").await;
        }
        if round % 20 == 0 {
            neighbour.still_serves().await;
        }
    }
    assert!(closed < 200, "{closed} of 600 frames ended their socket");
    neighbour.still_serves().await;
    let heartbeats = gateway.events_of("NEIGHBOUR", "Heartbeat").await;
    assert_eq!(heartbeats.len(), 31);
    assert!(heartbeats.iter().all(|event| event["violations"] == json!([]) && event["payload"] == json!({})));
    whole_of("FUZZED", &gateway).await;
}

/// Whether the probe behind a frame is answered, and not the socket closed.
async fn hears_probe(charger: &mut Charger, round: usize) -> bool {
    loop {
        match timeout(DEADLINE, charger.socket.next()).await.expect("something in time") {
            Some(Ok(Message::Text(text))) if text.starts_with(&format!("[3,\"probe-{round}\"")) => {
                return true;
            }
            Some(Ok(Message::Close(frame))) => {
                let code = frame.map(|frame| u16::from(frame.code));
                assert!([Some(1002), Some(1003)].contains(&code), "{code:?}");
                return false;
            }
            Some(Ok(_)) => {}
            other => panic!("round {round}: the socket ended without a close frame: {other:?}"),
        }
    }
}

/// No event of the station is missing among those that were counted.
async fn whole_of(station: &str, gateway: &Running) {
    let sql = "SELECT count(station_seq), max(station_seq) FROM events WHERE station_id = ?1";
    let counted: Vec<[Value; 2]> = rows(gateway.data_dir(), sql, &[station]);
    assert_eq!(counted[0][0], counted[0][1], "no gaps");
    assert!(counted[0][0].as_i64() > Some(600));
}
