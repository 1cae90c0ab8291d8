//! The machine's clock is set while the gateway runs: what waits goes on waiting as long as it had to. The
//! numbers in the names are those of the list of delivery cases.

use std::time::Duration;

use serde_json::{Value, json};
use store::test_store::is_shared;
use vocabulary::clock::{Clock, Timestamp};

use crate::deliveries::{deliveries, delivery, has, time, webhook};
use crate::harness::{Running, eventually, is_of_embedded, start_by};
use crate::receiver::{Answer, Receiver};
use crate::replays::beats;

const NOW: Timestamp = Timestamp::from_unix_ms(1_776_168_000_000);
const TEN_MINUTES_MS: i64 = 600_000;

async fn living_by(clock: &Clock) -> Running {
    start_by(clock.clone(), tempfile::tempdir().expect("a directory"), |_| {}).await
}

/// How long a delivery still has to wait, by the clock as it stands.
fn waits_for(clock: &Clock, delivery: &Value) -> Duration {
    time(&delivery["next_attempt_at"]).since(clock.now())
}

/// Everything the engine wants to do at this moment is done: a delivery made now has arrived.
async fn is_done(gateway: &Running, witness: &Receiver, seen: usize) {
    let event = json!({"event": "witness.seen", "payload": {}, "url": witness.url});
    assert_eq!(gateway.api("POST", "/events", Some(event)).await.0, 202);
    witness.wait_for(seen).await;
}

#[tokio::test]
async fn delivery_case_10_retries_keep_their_wait_when_the_clock_is_set() {
    if is_of_embedded("what waits is shown by the database's clock, which no node can set") {
        return;
    }
    let clock = Clock::manual(NOW);
    let mut gateway = living_by(&clock).await;
    let receiver = Receiver::start(|nth| Answer::Status(if nth < 4 { 500 } else { 200 })).await;
    let witness = Receiver::always(Answer::Status(200)).await;
    let hook = webhook(&gateway, &receiver.url, json!({"retry_schedule": ["5m", "30m"]})).await;
    let mut charger = gateway.charger("CP").await;
    beats(&mut charger, 4).await;
    let waiting = eventually("all wait for a retry", || async {
        let all = deliveries(&gateway, &hook).await;
        (all.len() == 4 && all.iter().all(|one| one["status"] == "retry")).then_some(all)
    })
    .await;
    let waits: Vec<Duration> = waiting.iter().map(|one| waits_for(&clock, one)).collect();
    let mut seen = 0;
    let mut look = async |gateway: &Running, why: &str| {
        seen += 1;
        is_done(gateway, &witness, seen).await;
        assert_eq!(receiver.so_far().len(), 4, "{why}: nothing was fired");
        let all = eventually("the wall is shown", || async {
            let all = deliveries(gateway, &hook).await;
            all.iter().zip(&waits).all(|(one, wait)| waits_for(&clock, one) == *wait).then_some(all)
        })
        .await;
        assert!(all.iter().all(|one| one["waiting_for"] == "schedule"), "{why}: {all:#?}");
    };
    look(&gateway, "before").await;
    clock.set(TEN_MINUTES_MS);
    look(&gateway, "ten minutes ahead").await;
    // Over a restart, too.
    drop(charger);
    gateway = gateway.restart_by(&clock).await;
    look(&gateway, "ahead, and started anew").await;
    clock.set(-2 * TEN_MINUTES_MS);
    look(&gateway, "ten minutes back").await;
    gateway = gateway.restart_by(&clock).await;
    look(&gateway, "back, and started anew").await;
    // And when their time has come they go, each once.
    clock.advance(Duration::from_secs(331));
    let done = eventually("all arrive", || async {
        let all = deliveries(&gateway, &hook).await;
        all.iter().all(|one| one["status"] == "success").then_some(all)
    })
    .await;
    for one in done {
        let attempts = one["attempts"].as_array().expect("attempts");
        assert_eq!(attempts.len(), 2, "{one}");
        assert_eq!(time(&attempts[1]["started_at"]), clock.now(), "told by the wall: {one}");
    }
    assert_eq!(receiver.so_far().len(), 8);
}

#[tokio::test]
async fn delivery_case_10_events_keep_their_order_and_tell_the_wall() {
    let clock = Clock::manual(NOW);
    let gateway = living_by(&clock).await;
    let receiver = Receiver::always(Answer::Status(200)).await;
    let hook = webhook(&gateway, &receiver.url, json!({})).await;
    let mut charger = gateway.charger("CP").await;
    let mut shown = Vec::new();
    for by_ms in [0, TEN_MINUTES_MS, -2 * TEN_MINUTES_MS, TEN_MINUTES_MS] {
        clock.set(by_ms);
        charger.still_serves().await;
        shown.push(clock.now());
    }
    let events = gateway.events_of("CP", "Heartbeat").await;
    let ids: Vec<&str> = events.iter().filter_map(|event| event["id"].as_str()).collect();
    assert!(ids.is_sorted() && ids.len() == 4, "{ids:?}");
    let told: Vec<Timestamp> = events.iter().map(|event| time(&event["timestamp"])).collect();
    assert_eq!(told, shown);
    delivery(&gateway, &hook, has("success")).await;
    receiver.wait_for(4).await;
}

#[tokio::test]
async fn delivery_case_10_breakers_and_paces_go_on() {
    let clock = Clock::manual(NOW);
    let gateway = living_by(&clock).await;
    let receiver = Receiver::always(Answer::Status(500)).await;
    let witness = Receiver::always(Answer::Status(200)).await;
    let hook = webhook(&gateway, &receiver.url, json!({"retry_schedule": ["10m"], "max_in_flight": 1})).await;
    let paced = Receiver::always(Answer::Status(200)).await;
    webhook(&gateway, &paced.url, json!({"rate_limit": "1/m"})).await;
    let mut charger = gateway.charger("CP").await;
    beats(&mut charger, 7).await;
    let path = format!("/webhooks/{}/stats", hook["id"]);
    let open = eventually("the breaker opens", || async {
        Some(gateway.get(&path).await["breaker"].clone()).filter(|breaker| breaker["state"] == "open")
    })
    .await;
    paced.wait_for(1).await;
    for (nth, by_ms) in [TEN_MINUTES_MS, -2 * TEN_MINUTES_MS, TEN_MINUTES_MS].into_iter().enumerate() {
        clock.set(by_ms);
        is_done(&gateway, &witness, nth + 1).await;
    }
    assert_eq!((receiver.so_far().len(), paced.so_far().len()), (5, 1), "nothing went earlier");
    assert_eq!(gateway.get(&path).await["breaker"], open, "the clock is right again");
    clock.set(-TEN_MINUTES_MS);
    clock.advance(Duration::from_secs(61));
    // Nor later: the probe goes, and the next one of the minute.
    receiver.wait_for(6).await;
    paced.wait_for(2).await;
}

#[tokio::test]
async fn delivery_case_10_a_queued_command_neither_expires_early_nor_waits_longer() {
    let clock = Clock::manual(NOW);
    let gateway = living_by(&clock).await;
    let mut charger = gateway.booted("CP").await;
    charger.socket.close(None).await.expect("closes");
    drop(charger);
    eventually("it is gone", || async {
        (gateway.get("/stations/CP").await["connected"] == false).then_some(())
    })
    .await;
    let order = async || {
        let body = json!({"action": "ClearCache", "payload": {}, "queue": true, "expires_in": "5m"});
        let (status, command) = gateway.api("POST", "/stations/CP/commands", Some(body)).await;
        assert_eq!((status, &command["status"]), (202, &json!("queued")), "{command}");
        command
    };
    let path = |command: &Value| format!("/commands/{}", command["id"].as_str().expect("an id"));
    let kept = order().await;
    let expires_at = time(&kept["expires_at"]);
    assert_eq!(expires_at, NOW.after(Duration::from_secs(300)));
    clock.set(TEN_MINUTES_MS);
    let late = order().await;
    let shown = gateway.get(&path(&kept)).await;
    // The clock of a node is its own affair: what waits is shown by the database's, which nobody has set.
    let set_by = if is_shared() { 0 } else { 600 };
    assert_eq!(time(&shown["expires_at"]), expires_at.after(Duration::from_secs(set_by)), "{shown}");
    // Whoever is sent it learns whether its time is over.
    let mut charger = gateway.booted("CP").await;
    for command in [&kept, &late] {
        let call: Value = serde_json::from_str(&charger.receive().await).expect("JSON");
        assert_eq!(call[2], "ClearCache");
        charger.send(&json!([3, call[1], {"status": "Accepted"}]).to_string()).await;
        eventually("it is completed", || async {
            (gateway.get(&path(command)).await["status"] == "completed").then_some(())
        })
        .await;
    }
    charger.socket.close(None).await.expect("closes");
    drop(charger);
    eventually("it is gone", || async {
        (gateway.get("/stations/CP").await["connected"] == false).then_some(())
    })
    .await;
    let stale = order().await;
    clock.set(-TEN_MINUTES_MS);
    clock.advance(Duration::from_secs(301));
    eventually("it has expired, though the wall is behind", || async {
        (gateway.get(&path(&stale)).await["status"] == "expired").then_some(())
    })
    .await;
}

#[tokio::test]
async fn delivery_case_10_a_station_that_speaks_is_not_taken_for_offline() {
    let clock = Clock::manual(NOW);
    let gateway = start_by(clock.clone(), tempfile::tempdir().expect("a directory"), |config| {
        config.stations.offline_after = Some(vocabulary::units::Span(Duration::from_secs(300)));
    })
    .await;
    let mut charger = gateway.charger("CP").await;
    charger.still_serves().await;
    clock.set(TEN_MINUTES_MS);
    assert_eq!(time(&gateway.get("/stations/CP").await["last_seen_at"]), clock.now(), "shown by the wall");
    clock.advance(Duration::from_secs(299));
    // Another one, which is looked at in the same moment, is quiet for longer.
    let silent = gateway.charger("SILENT").await;
    charger.still_serves().await;
    clock.set(-2 * TEN_MINUTES_MS);
    clock.advance(Duration::from_secs(200));
    charger.still_serves().await;
    clock.advance(Duration::from_secs(101));
    eventually("the silent one is offline", || async {
        gateway.events_of("SILENT", "StationOffline").await.first().cloned()
    })
    .await;
    assert_eq!(gateway.events_of("CP", "StationOffline").await, Vec::<Value>::new());
    drop(silent);
}
