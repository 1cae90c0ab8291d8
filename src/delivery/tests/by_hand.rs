//! Requests of operators: resends, cancels and test sends.

use super::harness::{house, poster};
use super::receiver::{Answer, Receiver};
use crate::delivery::{test_webhook, verify};
use store::seed::{SECRET, SeedWebhook};
use store::{Canceled, Resent};
use vocabulary::clock::Clock;
use vocabulary::delivery::DeliveryStatus;
use vocabulary::id::DeliveryId;

#[tokio::test]
async fn a_resend_goes_on_counting_and_needs_force_after_success() {
    let (_dir, house) = house().await;
    let receiver = Receiver::start(|nth| Answer::Status(if nth < 2 { 500 } else { 200 })).await;
    let webhook = house.store.seed_webhook(SeedWebhook::to(&receiver.url)).await.expect("stored");
    house.store.seed_events("CP_1", 1).await.expect("stored");
    let id = house.wait_for(webhook, DeliveryStatus::Failed, 1).await[0].id;
    let resend = async |force| house.store.resend(id, force, None).await.expect("answered");
    assert_eq!(resend(false).await, Resent::Resent);
    house.wait_for(webhook, DeliveryStatus::Success, 1).await;
    assert_eq!(resend(false).await, Resent::NeedsForce);
    assert_eq!(resend(true).await, Resent::Resent);
    receiver.wait_for(4).await;
    let all = house.wait_for(webhook, DeliveryStatus::Success, 1).await;
    assert_eq!(all[0].attempts.iter().map(|a| a.number).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert_eq!(
        all[0].attempts.iter().map(|a| a.trigger.as_str()).collect::<Vec<_>>(),
        ["event", "event", "resend", "resend"]
    );
    assert_eq!(receiver.so_far()[2].header("x-webhook-trigger"), "resend");
    let unknown = DeliveryId::from_value(7);
    assert_eq!(house.store.resend(unknown, true, None).await.expect("answered"), Resent::NotFound);
    house.close().await;
}

#[tokio::test]
async fn what_has_not_ended_can_be_canceled_and_not_resent() {
    let (_dir, house) = house().await;
    let receiver = Receiver::always(Answer::Status(500)).await;
    let seed = SeedWebhook { retry_schedule: r#"["1h"]"#, ..SeedWebhook::to(&receiver.url) };
    let webhook = house.store.seed_webhook(seed).await.expect("stored");
    house.store.seed_events("CP_1", 1).await.expect("stored");
    let id = house.wait_for(webhook, DeliveryStatus::Retry, 1).await[0].id;
    assert_eq!(house.store.resend(id, true, None).await.expect("answered"), Resent::NotTerminal);
    let elsewhere = Some("another owner".to_owned());
    assert_eq!(house.store.cancel(id, elsewhere.clone()).await.expect("answered"), Canceled::NotFound);
    assert!(house.store.delivery(id, elsewhere).await.expect("read").is_none());
    assert_eq!(house.store.cancel(id, None).await.expect("answered"), Canceled::Canceled);
    assert_eq!(house.store.cancel(id, None).await.expect("answered"), Canceled::Terminal);
    let all = house.wait_for(webhook, DeliveryStatus::Discarded, 1).await;
    assert!(all[0].completed_at.is_some() && all[0].next_attempt_at.is_none());
    house.close().await;
}

#[tokio::test]
async fn a_test_send_tells_at_once_and_leaves_no_delivery() {
    let (_dir, house) = house().await;
    let receiver = Receiver::always(Answer::Status(200)).await;
    let webhook = house.store.seed_webhook(SeedWebhook::to(&receiver.url)).await.expect("stored");
    let tested = test_webhook(&house.store, &poster(), &Clock::System, webhook, "StartTransaction")
        .await
        .expect("stored")
        .expect("there is such a webhook");
    assert_eq!(tested.outcome.status(), Some(200));
    let received = receiver.wait_for(1).await;
    assert_eq!(received[0].header("x-webhook-trigger"), "test");
    assert_eq!(received[0].header("x-webhook-sequence"), "");
    assert_eq!(received[0].header("webhook-id"), tested.event_id.to_string());
    assert!(received[0].body.contains("\"isTest\":true") && received[0].body.contains("meterStart"));
    assert!(house.deliveries(webhook).await.is_empty());
    assert_eq!(house.store.seed_number("SELECT count(*) FROM events WHERE test = 1").await, 1);
    let nobody = test_webhook(&house.store, &poster(), &Clock::System, 99, "ping").await.expect("stored");
    assert!(nobody.is_none());
    house.close().await;
}

#[tokio::test]
async fn a_verification_stores_nothing() {
    let (_dir, house) = house().await;
    let receiver = Receiver::always(Answer::Status(500)).await;
    let input = serde_json::from_value(serde_json::json!({"url": receiver.url})).expect("a webhook");
    let secret = SECRET.parse().expect("a secret");
    let tested = verify(&input, secret, &poster(), &Clock::System).await;
    assert!(!tested.outcome.is_success());
    assert_eq!(receiver.wait_for(1).await[0].header("x-webhook-event"), "ping");
    assert_eq!(house.store.seed_number("SELECT count(*) FROM events").await, 0);
    house.close().await;
}
