//! Replays of what webhooks missed, and bulk resends.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use serde_json::{Value, json};
use vocabulary::clock::Clock;

use crate::deliveries::{deliveries, webhook};
use crate::harness::{Charger, Running, eventually, start};
use crate::receiver::{Answer, Receiver};

const LONG_AGO: &str = "2020-01-01T00:00:00Z";

/// A receiver whose answers can be changed.
pub(crate) async fn changeable(status: u16) -> (Receiver, Arc<AtomicU16>) {
    let answer = Arc::new(AtomicU16::new(status));
    let asked = answer.clone();
    (Receiver::start(move |_| Answer::Status(asked.load(Ordering::SeqCst))).await, answer)
}

async fn replay(gateway: &Running, hook: &Value, only: &str, more: Value) -> (u16, Value) {
    let mut body = json!({"since": LONG_AGO, "only": only});
    for (name, value) in more.as_object().expect("members") {
        body[name] = value.clone();
    }
    gateway.api("POST", &format!("/webhooks/{}/replay", hook["id"]), Some(body)).await
}

/// Waits until a replay has ended.
async fn ended(gateway: &Running, replay: &Value) -> Value {
    let path = format!("/replays/{}", replay["id"].as_str().unwrap_or_else(|| panic!("{replay}")));
    eventually("the replay has ended", || async {
        Some(gateway.get(&path).await).filter(|replay| replay["status"] != "running")
    })
    .await
}

pub(crate) async fn beats(charger: &mut Charger, count: usize) {
    for _ in 0..count {
        charger.still_serves().await;
    }
}

async fn counts(gateway: &Running, hook: &Value) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for one in deliveries(gateway, hook).await {
        *counts.entry(one["status"].as_str().expect("a status").to_owned()).or_default() += 1;
    }
    counts
}

/// Waits until this many of a webhook's deliveries have this status.
pub(crate) async fn wait_for(gateway: &Running, hook: &Value, status: &str, count: usize) {
    eventually(&format!("{count} are {status}"), || async {
        (counts(gateway, hook).await.get(status) == Some(&count)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_failed_is_brought_back_and_told_apart() {
    let gateway = start(|_| {}).await;
    let (receiver, answer) = changeable(500).await;
    // More than five in a row would open the breaker.
    let hook = webhook(&gateway, &receiver.url, json!({"retry_schedule": []})).await;
    let mut charger = gateway.charger("CP").await;
    beats(&mut charger, 4).await;
    wait_for(&gateway, &hook, "failed", 4).await;
    answer.store(200, Ordering::SeqCst);
    beats(&mut charger, 1).await;
    wait_for(&gateway, &hook, "success", 1).await;

    let (status, dry) = replay(&gateway, &hook, "failed", json!({"dry_run": true})).await;
    assert_eq!((status, &dry["matched"]), (200, &json!(4)), "{dry}");
    let elsewhere = json!({"dry_run": true, "events": ["Boot*", "transaction.*"]});
    assert_eq!(replay(&gateway, &hook, "failed", elsewhere).await.1["matched"], 0);
    let earlier = json!({"dry_run": true, "until": "2020-01-02T00:00:00Z"});
    assert_eq!(replay(&gateway, &hook, "all", earlier).await.1["matched"], 0);
    assert_eq!(receiver.so_far().len(), 5, "a dry run sends nothing");

    let (status, begun) = replay(&gateway, &hook, "failed", json!({"events": ["Heartbeat"]})).await;
    assert_eq!((status, &begun["matched"]), (202, &json!(4)), "{begun}");
    assert_eq!(begun["requested_by"]["name"], "admin", "{begun}");
    wait_for(&gateway, &hook, "success", 5).await;
    let done = ended(&gateway, &begun).await;
    assert_eq!((&done["status"], &done["done"], &done["matched"]), (&json!("done"), &json!(4), &json!(4)));
    let received = receiver.wait_for(9).await;
    for one in &received[5..] {
        assert_eq!((one.header("x-webhook-trigger"), one.header("x-webhook-attempt")), ("replay", "2"));
    }
    let mut sequences: Vec<_> = received[5..].iter().map(|one| one.header("x-webhook-sequence")).collect();
    sequences.sort_unstable();
    assert_eq!(sequences, ["1", "2", "3", "4"]);
    let listed = gateway.get(&format!("/replays?webhook_id={}&status=done", hook["id"])).await;
    assert_eq!(listed["data"], json!([done]));
}

#[tokio::test]
async fn delivery_case_38_a_replay_of_what_is_missing_run_twice_doubles_nothing() {
    let gateway = start(|_| {}).await;
    let receiver = Receiver::always(Answer::Status(200)).await;
    let mut charger = gateway.charger("CP").await;
    // Before there is a webhook, while it is disabled, while it wants something else, and as it should be.
    beats(&mut charger, 3).await;
    let hook = webhook(&gateway, &receiver.url, json!({"enabled": false})).await;
    let path = format!("/webhooks/{}", hook["id"]);
    beats(&mut charger, 3).await;
    assert_eq!(replay(&gateway, &hook, "missing", json!({})).await.0, 409, "it is disabled");
    gateway.api("PATCH", &path, Some(json!({"enabled": true, "events": ["BootNotification"]}))).await;
    beats(&mut charger, 3).await;
    gateway.api("PATCH", &path, Some(json!({"events": ["Heartbeat"]}))).await;
    beats(&mut charger, 3).await;
    wait_for(&gateway, &hook, "success", 3).await;

    let both = tokio::join!(
        replay(&gateway, &hook, "missing", json!({})),
        replay(&gateway, &hook, "missing", json!({}))
    );
    let mut made = 0;
    for (status, begun) in [both.0, both.1] {
        assert_eq!(status, 202, "{begun}");
        let done = ended(&gateway, &begun).await;
        assert!(done["done"].as_u64() <= done["matched"].as_u64(), "{done}");
        made += done["done"].as_u64().expect("a number");
    }
    assert_eq!(made, 9);
    wait_for(&gateway, &hook, "success", 12).await;
    let (_, again) = replay(&gateway, &hook, "missing", json!({})).await;
    assert_eq!((&again["matched"], &again["status"]), (&json!(0), &json!("done")));
    let received = receiver.wait_for(12).await;
    let mut ids: Vec<_> = received.iter().map(|one| one.header("webhook-id")).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!((ids.len(), received.len()), (12, 12), "each once");
    let mut sequences: Vec<u32> =
        received.iter().map(|one| one.header("x-webhook-sequence").parse().expect("a number")).collect();
    sequences.sort_unstable();
    assert_eq!(sequences, (1..=12).collect::<Vec<_>>(), "what was never made gets the next numbers");
    let (_, all) = replay(&gateway, &hook, "all", json!({"dry_run": true})).await;
    assert_eq!(all["matched"], 12);
}

#[tokio::test]
async fn a_replay_keeps_behind_live_events_goes_on_after_a_restart_and_can_be_cancelled() {
    let gateway = start(|_| {}).await;
    let receiver = Receiver::always(Answer::Status(200)).await;
    let mut charger = gateway.charger("CP").await;
    beats(&mut charger, 900).await;
    let hook = webhook(&gateway, &receiver.url, json!({"max_in_flight": 1, "rate_limit": "1/s"})).await;
    let (status, begun) = replay(&gateway, &hook, "missing", json!({})).await;
    assert_eq!((status, &begun["matched"]), (202, &json!(900)));
    let path = format!("/replays/{}", begun["id"].as_str().expect("an id"));
    // It does not run ahead of what can be sent.
    let ahead = eventually("some are made", || async {
        gateway.get(&path).await["done"].as_u64().filter(|done| *done >= 200)
    })
    .await;
    assert!(ahead <= 402, "{ahead} are made of which a few are sent");
    let before = receiver.so_far().len();
    beats(&mut charger, 1).await;
    let live = eventually("the live event is there", || async {
        receiver.so_far().iter().position(|one| one.header("x-webhook-trigger") == "event")
    })
    .await;
    assert!(live <= before + 2, "it came as number {live}, though only {before} were before it");

    let gateway = gateway.restart(|_| {}).await;
    let resting = gateway.get(&path).await;
    assert_eq!(resting["status"], "running", "{resting}");
    gateway.api("PATCH", &format!("/webhooks/{}", hook["id"]), Some(json!({"rate_limit": null}))).await;
    eventually("it goes on", || async {
        gateway.get(&path).await["done"].as_u64().filter(|done| *done > resting["done"].as_u64().unwrap_or(0))
    })
    .await;
    gateway.api("POST", &format!("/webhooks/{}/pause", hook["id"]), None).await;
    let still_runs = gateway.get(&path).await["status"] == "running";
    let (status, canceled) = gateway.api("POST", &format!("{path}/cancel"), None).await;
    assert_eq!(status, if still_runs { 200 } else { 409 }, "{canceled}");
    assert_eq!(gateway.api("POST", &format!("{path}/cancel"), None).await.0, 409);
    gateway.api("POST", &format!("/webhooks/{}/resume", hook["id"]), None).await;
    let done = gateway.get(&path).await;
    let made = done["done"].as_u64().expect("a number") as usize;
    // All that was made arrives, and nothing else.
    eventually("what was made has arrived", || async {
        let got = receiver.so_far().iter().filter(|one| one.header("x-webhook-trigger") == "replay").count();
        (got >= made).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_bulk_resend_takes_a_filter_and_needs_force_for_what_has_arrived() {
    let gateway = start(|_| {}).await;
    let (receiver, answer) = changeable(500).await;
    let hook = webhook(&gateway, &receiver.url, json!({"retry_schedule": []})).await;
    let mut charger = gateway.charger("CP").await;
    beats(&mut charger, 3).await;
    wait_for(&gateway, &hook, "failed", 3).await;
    answer.store(200, Ordering::SeqCst);
    beats(&mut charger, 2).await;
    wait_for(&gateway, &hook, "success", 2).await;
    let id = &hook["id"];
    for (query, field) in [
        ("", "webhook_id"),
        ("station_id=CP", "webhook_id"),
        ("webhook_id=1&status=success", "force"),
        ("webhook_id=1&status=retry", "status"),
        ("webhook_id=1&event=Hartbeat", "event"),
        ("webhook_id=1&limit=3", "limit"),
    ] {
        let (status, problem) = gateway.api("POST", &format!("/deliveries/resend?{query}"), None).await;
        assert_eq!((status, &problem["errors"][0]["field"]), (422, &json!(field)), "{query}: {problem}");
    }
    for (query, matched) in [
        (format!("webhook_id={id}"), 3),
        (format!("webhook_id={id}&station_id=OTHER"), 0),
        (format!("since={}", Clock::System.now().after(std::time::Duration::from_secs(60))), 0),
        (format!("since={LONG_AGO}&status=failed&status=success&force=true"), 5),
        (format!("since={LONG_AGO}&event=ocpp.*&q=nowhere"), 0),
    ] {
        let (status, dry) =
            gateway.api("POST", &format!("/deliveries/resend?dry_run=true&{query}"), None).await;
        assert_eq!((status, &dry["matched"]), (200, &json!(matched)), "{query}: {dry}");
    }
    let (status, begun) = gateway.api("POST", &format!("/deliveries/resend?webhook_id={id}"), None).await;
    assert_eq!((status, &begun["matched"], &begun["selection"]["kind"]), (202, &json!(3), &json!("resend")));
    wait_for(&gateway, &hook, "success", 5).await;
    assert_eq!(ended(&gateway, &begun).await["done"], 3);
    let received = receiver.wait_for(8).await;
    assert!(received[5..].iter().all(|one| one.header("x-webhook-trigger") == "resend"));
    assert_eq!(gateway.get("/replays").await["data"].as_array().map(Vec::len), Some(1));
}

async fn paused(gateway: &Running, hook: &Value, action: &str) {
    let (status, answer) = gateway.api("POST", &format!("/webhooks/{}/{action}", hook["id"]), None).await;
    assert_eq!(status, 200, "{answer}");
}

async fn cancel(gateway: &Running, replay: &Value) -> (u16, Value) {
    let path = format!("/replays/{}/cancel", replay["id"].as_str().unwrap_or_else(|| panic!("{replay}")));
    gateway.api("POST", &path, None).await
}

#[tokio::test]
async fn a_cancelled_replay_takes_back_what_it_has_made_and_nothing_was_tried_of() {
    let gateway = start(|_| {}).await;
    let (receiver, answer) = changeable(500).await;
    let mut charger = gateway.charger("CP").await;
    beats(&mut charger, 2).await;
    let wanted = json!({"retry_schedule": [], "events": ["Heartbeat"]});
    let hook = webhook(&gateway, &receiver.url, wanted).await;
    beats(&mut charger, 2).await;
    wait_for(&gateway, &hook, "failed", 2).await;
    answer.store(200, Ordering::SeqCst);
    beats(&mut charger, 1).await;
    wait_for(&gateway, &hook, "success", 1).await;
    paused(&gateway, &hook, "pause").await;
    let before = deliveries(&gateway, &hook).await;

    let missing = replay(&gateway, &hook, "missing", json!({})).await.1;
    assert_eq!(ended(&gateway, &missing).await["done"], 2);
    let all = replay(&gateway, &hook, "all", json!({})).await.1;
    assert_eq!(ended(&gateway, &all).await["done"], 3);
    wait_for(&gateway, &hook, "scheduled", 5).await;
    let (status, canceled) = cancel(&gateway, &all).await;
    assert_eq!((status, &canceled["status"], &canceled["done"]), (200, &json!("canceled"), &json!(0)));
    let after = deliveries(&gateway, &hook).await;
    let kept: Vec<_> = before.iter().filter(|one| after.contains(one)).collect();
    assert_eq!(kept.len(), 3, "what was brought back is what it was: {after:?}");
    assert_eq!(counts(&gateway, &hook).await["scheduled"], 2, "another replay's go on");
    assert_eq!(cancel(&gateway, &all).await.0, 409);

    let (status, canceled) = cancel(&gateway, &missing).await;
    assert_eq!((status, &canceled["status"], &canceled["done"]), (200, &json!("canceled"), &json!(0)));
    let made: Vec<_> =
        deliveries(&gateway, &hook).await.into_iter().filter(|one| one["status"] == "discarded").collect();
    assert_eq!(made.len(), 2);
    assert!(made.iter().all(|one| one["discarded_because"] == "canceled"), "{made:?}");
    paused(&gateway, &hook, "resume").await;
    beats(&mut charger, 1).await;
    wait_for(&gateway, &hook, "success", 2).await;
    assert_eq!(receiver.so_far().len(), 4, "two that failed, one that arrived, and the live one");

    // Nothing is lost by it: asked for again, all of it is brought back, once.
    let again = replay(&gateway, &hook, "all", json!({})).await.1;
    assert_eq!(again["matched"], 6);
    wait_for(&gateway, &hook, "success", 6).await;
    assert_eq!(receiver.wait_for(10).await.len(), 10);
    assert_eq!(cancel(&gateway, &again).await.0, 409, "nothing is left to take back");
}

#[tokio::test]
async fn a_bulk_resend_that_is_cancelled_while_it_is_sent_neither_loses_nor_doubles() {
    const ALL: usize = 40;
    let gateway = start(|_| {}).await;
    let receiver = Receiver::always(Answer::Status(200)).await;
    let hook = webhook(&gateway, &receiver.url, json!({"max_in_flight": 1})).await;
    let other = webhook(&gateway, &receiver.url, json!({})).await;
    let mut charger = gateway.charger("CP").await;
    beats(&mut charger, ALL).await;
    for hook in [&hook, &other] {
        wait_for(&gateway, hook, "success", ALL).await;
    }
    let untouched = deliveries(&gateway, &other).await;
    let pace = json!({"rate_limit": "20/s"});
    gateway.api("PATCH", &format!("/webhooks/{}", hook["id"]), Some(pace)).await;
    paused(&gateway, &other, "pause").await;
    let path = format!("/deliveries/resend?since={LONG_AGO}&status=success&force=true");
    let (status, begun) = gateway.api("POST", &path, None).await;
    assert_eq!((status, &begun["matched"]), (202, &json!(2 * ALL)), "{begun}");
    let some = 2 * ALL + 3;
    eventually("some have arrived", || async { (receiver.so_far().len() > some).then_some(()) }).await;
    let (status, canceled) = cancel(&gateway, &begun).await;
    assert_eq!((status, &canceled["status"]), (200, &json!("canceled")), "{canceled}");
    let done = canceled["done"].as_u64().expect("a number") as usize;
    assert!((4..ALL).contains(&done), "{done}");
    // What was under way arrives, and all of it is as it was or has been tried once more.
    wait_for(&gateway, &hook, "success", ALL).await;
    let tries = |row: &Value| row["attempts"].as_array().map_or(0, Vec::len);
    let again = deliveries(&gateway, &hook).await.iter().filter(|row| tries(row) == 2).count();
    assert_eq!(again, done);
    assert_eq!(deliveries(&gateway, &other).await, untouched, "the other webhook's are taken back too");
    assert_eq!(receiver.so_far().len(), 2 * ALL + done, "each that was tried arrived once");
}
