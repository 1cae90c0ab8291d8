//! Deliveries that somebody sends again or cancels.

use serde_json::{Value, json};

use crate::deliveries::{deliveries, delivery, has, heartbeat, webhook};
use crate::harness::{Running, start};
use crate::receiver::{Answer, Receiver};

async fn post(gateway: &Running, delivery: &Value, verb: &str) -> (u16, Value) {
    let id = delivery["id"].as_str().expect("an id");
    gateway.api("POST", &format!("/deliveries/{id}/{verb}"), None).await
}

#[tokio::test]
async fn what_is_cancelled_is_discarded_and_not_sent_whatever_it_was_doing() {
    let gateway = start(|_| {}).await;
    let silent = Receiver::always(Answer::Silence).await;
    let failing = Receiver::always(Answer::Status(500)).await;
    let good = Receiver::always(Answer::Status(200)).await;
    let limits = json!({"timeout": "2s", "retry_schedule": ["1h"]});
    let hanging = webhook(&gateway, &silent.url, limits.clone()).await;
    let retrying = webhook(&gateway, &failing.url, limits.clone()).await;
    let paused = webhook(&gateway, &good.url, limits).await;
    gateway.api("POST", &format!("/webhooks/{}/pause", paused["id"]), None).await;
    let _charger = heartbeat(&gateway).await;
    silent.wait_for(1).await;
    for (hook, status) in [(&hanging, "processing"), (&retrying, "retry"), (&paused, "scheduled")] {
        let live = delivery(&gateway, hook, has(status)).await;
        let (code, discarded) = post(&gateway, &live, "cancel").await;
        assert_eq!((code, &discarded["status"]), (200, &json!("discarded")), "{status}: {discarded}");
        assert!(discarded["completed_at"].is_string() && discarded["next_attempt_at"].is_null());
        let (code, problem) = post(&gateway, &live, "cancel").await;
        assert_eq!((code, &problem["status"]), (409, &json!(409)), "{status}");
    }
    assert_eq!(gateway.api("POST", "/deliveries/dlv_1/cancel", None).await.0, 404);
    gateway.api("POST", &format!("/webhooks/{}/resume", paused["id"]), None).await;
    // The outcome of what was under way is shown, and changes nothing.
    let ended = delivery(&gateway, &hanging, |one| one["attempts"][0]["duration_ms"].is_u64()).await;
    assert_eq!(
        (&ended["status"], &ended["attempts"][0]["error"]["code"]),
        (&json!("discarded"), &json!("timeout"))
    );
    assert_eq!((good.so_far().len(), failing.so_far().len(), silent.so_far().len()), (0, 1, 1));

    // It can be brought back like anything that has ended.
    let (code, back) = post(&gateway, &deliveries(&gateway, &paused).await[0], "resend").await;
    // It may be on its way already.
    assert!(code == 202 && back["status"] != "discarded", "{back}");
    delivery(&gateway, &paused, has("success")).await;
    assert_eq!(good.wait_for(1).await[0].header("x-webhook-trigger"), "resend");
}
