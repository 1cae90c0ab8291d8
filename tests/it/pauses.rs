//! Webhooks that are paused, and what becomes of their deliveries.

use serde_json::{Value, json};

use crate::deliveries::{deliveries, delivery, has, heartbeat, time, webhook};
use crate::harness::{eventually, start};
use crate::receiver::{Answer, Receiver};

#[tokio::test]
async fn what_is_paused_waits_without_an_attempt_over_a_restart_until_it_is_resumed() {
    let gateway = start(|_| {}).await;
    let receiver = Receiver::always(Answer::Status(200)).await;
    let witness = Receiver::always(Answer::Status(200)).await;
    let hook = webhook(&gateway, &receiver.url, json!({})).await;
    webhook(&gateway, &witness.url, json!({})).await;
    let path = format!("/webhooks/{}", hook["id"]);
    let (status, paused) = gateway.api("POST", &format!("{path}/pause"), None).await;
    assert_eq!((status, &paused["status"], &paused["enabled"]), (200, &json!("paused"), &json!(true)));
    assert_eq!((paused["paused_at"].is_string(), &paused["paused_until"]), (true, &Value::Null));
    let mut charger = heartbeat(&gateway).await;
    witness.wait_for(1).await;
    let gateway = gateway.restart(|_| {}).await;
    drop(charger);
    charger = heartbeat(&gateway).await;
    // Whatever went to the other one could have gone here too.
    witness.wait_for(2).await;
    for waiting in deliveries(&gateway, &hook).await {
        assert_eq!((&waiting["status"], &waiting["waiting_for"]), (&json!("scheduled"), &json!("paused")));
        assert_eq!(waiting["attempts"], json!([]));
    }
    let (status, tested) = gateway.api("POST", &format!("{path}/test"), None).await;
    assert_eq!((status, &tested["ok"]), (200, &json!(true)), "a test is no delivery");
    assert_eq!(receiver.so_far().len(), 1, "the test alone");

    let (status, resumed) = gateway.api("POST", &format!("{path}/resume"), None).await;
    assert_eq!((status, &resumed["status"], &resumed["paused_at"]), (200, &json!("active"), &Value::Null));
    let received = receiver.wait_for(3).await;
    assert_eq!([1, 2].map(|nth: usize| received[nth].header("x-webhook-attempt").to_owned()), ["1", "1"]);
    charger.still_serves().await;
    receiver.wait_for(4).await;
    let (status, again) = gateway.api("POST", &format!("{path}/resume"), None).await;
    assert_eq!((status, &again["updated_at"]), (200, &resumed["updated_at"]), "nothing to resume");
}

#[tokio::test]
async fn a_pause_for_a_time_ends_by_itself() {
    let gateway = start(|_| {}).await;
    let receiver = Receiver::always(Answer::Status(200)).await;
    let hook = webhook(&gateway, &receiver.url, json!({})).await;
    let path = format!("/webhooks/{}", hook["id"]);
    let pause = |how_long: &str| Some(json!({"for": how_long}));
    let (_, longer) = gateway.api("POST", &format!("{path}/pause"), pause("2h")).await;
    let lasts = time(&longer["paused_until"]).since(time(&longer["paused_at"]));
    assert!((7_199..=7_200).contains(&lasts.as_secs()), "{lasts:?}, counted from when it was asked for");
    let (status, paused) = gateway.api("POST", &format!("{path}/pause"), pause("1s")).await;
    assert_eq!((status, &paused["paused_at"]), (200, &longer["paused_at"]), "another end, the same pause");
    let _charger = heartbeat(&gateway).await;
    let done = delivery(&gateway, &hook, has("success")).await;
    let began = time(&done["attempts"][0]["started_at"]);
    assert!(began >= time(&paused["paused_until"]), "{paused}: {done}");
    assert_eq!(gateway.get(&path).await["status"], "active");

    for wrong in [json!({"for": "999d"}), json!({"for": "soon"}), json!({"for": 3}), json!({"fro": "1h"})] {
        let (status, problem) = gateway.api("POST", &format!("{path}/pause"), Some(wrong.clone())).await;
        assert_eq!(
            (status, problem["errors"].as_array().map(Vec::len)),
            (422, Some(1)),
            "{wrong}: {problem}"
        );
    }
    gateway.api("PATCH", &path, Some(json!({"enabled": false}))).await;
    for verb in ["pause", "resume"] {
        assert_eq!(gateway.api("POST", &format!("{path}/{verb}"), None).await.0, 409);
        assert_eq!(gateway.api("POST", &format!("/webhooks/99/{verb}"), None).await.0, 404);
    }
}

#[tokio::test]
async fn switching_a_paused_webhook_off_ends_the_pause_and_discards_what_waits() {
    let gateway = start(|_| {}).await;
    let receiver = Receiver::always(Answer::Status(200)).await;
    let hook = webhook(&gateway, &receiver.url, json!({})).await;
    let path = format!("/webhooks/{}", hook["id"]);
    gateway.api("POST", &format!("{path}/pause"), Some(json!({"for": "1h"}))).await;
    let _charger = heartbeat(&gateway).await;
    delivery(&gateway, &hook, has("scheduled")).await;
    let renamed = gateway.api("PATCH", &path, Some(json!({"name": "still paused"}))).await.1;
    assert_eq!((&renamed["status"], renamed["paused_until"].is_string()), (&json!("paused"), true));
    let off = gateway.api("PATCH", &path, Some(json!({"enabled": false}))).await.1;
    assert_eq!((&off["status"], &off["paused_until"]), (&json!("disabled"), &Value::Null), "{off}");
    eventually("what waited is discarded", || async {
        let all = deliveries(&gateway, &hook).await;
        all.iter().all(|one| one["status"] == "discarded").then_some(())
    })
    .await;
    assert!(receiver.so_far().is_empty());
}
