//! A delivery's life: sent, tried again, given up, or discarded.

use std::time::{Duration, Instant};

use super::harness::{DEADLINE, House, house, settings};
use super::receiver::{Answer, Receiver};
use outbound::signature;
use store::seed::{SECRET, SeedWebhook};
use store::{Resent, Store};
use vocabulary::clock::Clock;
use vocabulary::delivery::{DeliveryStatus, ErrorCode};

#[tokio::test]
async fn an_event_arrives_signed_and_numbered() {
    let (_dir, house) = house().await;
    let receiver = Receiver::always(Answer::Status(204)).await;
    let webhook = house.store.seed_webhook(SeedWebhook::to(&receiver.url)).await.expect("stored");
    let events = house.store.seed_events("CP_1", 3).await.expect("stored");
    let received = receiver.wait_for(3).await;
    let all = house.wait_for(webhook, DeliveryStatus::Success, 3).await;
    let mut sequences: Vec<_> = received.iter().map(|r| r.header("x-webhook-sequence").to_owned()).collect();
    sequences.sort();
    assert_eq!(sequences, ["1", "2", "3"]);
    for request in &received {
        assert_eq!(request.header("x-webhook-attempt"), "1");
        assert_eq!(request.header("x-webhook-trigger"), "event");
        assert!(events.iter().any(|id| id.to_string() == request.header("webhook-id")));
        assert!(request.body.contains(request.header("webhook-id")), "{}", request.body);
        signature::verify_standard(
            &SECRET.parse().expect("a secret"),
            request.header("webhook-id"),
            request.header("webhook-timestamp").parse().expect("a number"),
            request.body.as_bytes(),
            request.header("webhook-signature"),
            Clock::System.now(),
            Duration::from_secs(60),
        )
        .expect("it verifies");
    }
    let first = &all[0];
    assert_eq!(first.attempts.len(), 1);
    assert_eq!(first.attempts[0].status_code, Some(204));
    assert!(first.attempts[0].duration_ms.is_some() && first.completed_at.is_some());
    house.close().await;
}

#[tokio::test]
async fn a_500_then_200_gets_exactly_one_more_try_at_the_scheduled_time() {
    let (_dir, house) = house().await;
    let receiver = Receiver::start(|nth| Answer::Status(if nth == 0 { 500 } else { 200 })).await;
    let seed = SeedWebhook { retry_schedule: r#"["400ms","1h"]"#, ..SeedWebhook::to(&receiver.url) };
    let webhook = house.store.seed_webhook(seed).await.expect("stored");
    house.store.seed_events("CP_1", 1).await.expect("stored");
    let waiting = house.wait_for(webhook, DeliveryStatus::Retry, 1).await;
    let due_at = waiting[0].next_attempt_at.expect("it waits for a moment");
    let done = house.wait_for(webhook, DeliveryStatus::Success, 1).await;
    let attempts = &done[0].attempts;
    assert_eq!(attempts.iter().map(|a| a.status_code).collect::<Vec<_>>(), [Some(500), Some(200)]);
    assert_eq!(attempts[0].error.as_ref().map(|error| error.code), Some(ErrorCode::HttpStatus));
    let gap = attempts[1].started_at.since(attempts[0].started_at);
    assert!(gap >= Duration::from_millis(360), "400 ms less a tenth: {gap:?}");
    assert!(attempts[1].started_at >= due_at, "not before it is due");
    let received = receiver.so_far();
    assert_eq!(received.len(), 2, "exactly one more try");
    assert_eq!(received[0].header("webhook-id"), received[1].header("webhook-id"));
    assert_eq!(received[1].header("x-webhook-attempt"), "2");
    assert_eq!(received[1].header("x-webhook-sequence"), "1");
    house.close().await;
}

#[tokio::test]
async fn a_used_up_schedule_is_a_dead_letter_that_others_are_told_of() {
    let (_dir, house) = house().await;
    let failing = Receiver::always(Answer::Status(503)).await;
    let watching = Receiver::always(Answer::Status(200)).await;
    let webhook = house.store.seed_webhook(SeedWebhook::to(&failing.url)).await.expect("stored");
    let watcher = SeedWebhook { events: "webhook.*", ..SeedWebhook::to(&watching.url) };
    house.store.seed_webhook(watcher).await.expect("stored");
    house.store.seed_events("CP_1", 1).await.expect("stored");
    let dead = house.wait_for(webhook, DeliveryStatus::Failed, 1).await;
    assert_eq!(dead[0].attempts.len(), 2);
    assert_eq!(dead[0].last_error.as_ref().map(|error| error.code), Some(ErrorCode::HttpStatus));
    let told = watching.wait_for(1).await;
    assert_eq!(told[0].header("x-webhook-event"), "DeliveryFailed");
    let body: serde_json::Value = serde_json::from_str(&told[0].body).expect("JSON");
    assert_eq!(body["payload"]["delivery_id"], dead[0].id.to_string());
    assert_eq!(body["payload"]["attempts"], 2);
    assert_eq!(body["payload"]["count"], 1);
    let letters = "SELECT count(*) FROM failed_deliveries";
    assert_eq!(house.store.seed_number(letters).await, 1);
    house.close().await;
}

#[tokio::test]
async fn an_attempt_that_a_stop_cut_off_is_shown_and_made_again() {
    let dir = tempfile::tempdir().expect("a directory");
    let receiver = Receiver::start(|nth| if nth == 0 { Answer::Silence } else { Answer::Status(200) }).await;
    let house = House::open(dir.path(), &settings());
    let webhook = house.store.seed_webhook(SeedWebhook::to(&receiver.url)).await.expect("stored");
    house.store.seed_events("CP_1", 1).await.expect("stored");
    receiver.wait_for(1).await;
    house.close().await;

    let house = House::open(dir.path(), &settings());
    let all = house.wait_for(webhook, DeliveryStatus::Success, 1).await;
    let codes: Vec<_> = all[0].attempts.iter().map(|a| a.error.as_ref().map(|e| e.code.as_str())).collect();
    assert_eq!(codes, [Some("outcome_unknown"), None]);
    let received = receiver.so_far();
    assert_eq!(received.len(), 2, "one more send");
    assert_eq!(received[0].header("webhook-id"), received[1].header("webhook-id"));
    assert_eq!(received[1].header("x-webhook-attempt"), "2");
    house.close().await;
}

#[tokio::test]
async fn a_410_disables_the_webhook_and_discards_what_waits() {
    let (_dir, house) = house().await;
    let gone = Receiver::always(Answer::Status(410)).await;
    let watching = Receiver::always(Answer::Status(200)).await;
    let seed = SeedWebhook { max_in_flight: 1, ..SeedWebhook::to(&gone.url) };
    let webhook = house.store.seed_webhook(seed).await.expect("stored");
    let watcher = SeedWebhook { events: "webhook.*", ..SeedWebhook::to(&watching.url) };
    house.store.seed_webhook(watcher).await.expect("stored");
    house.store.seed_events("CP_1", 20).await.expect("stored");
    let all = house.wait_for(webhook, DeliveryStatus::Discarded, 19).await;
    assert_eq!(all[0].status, DeliveryStatus::Failed);
    assert_eq!(gone.so_far().len(), 1, "nothing is sent any more");
    let told = watching.wait_for(2).await;
    let mut names: Vec<_> = told.iter().map(|request| request.header("x-webhook-event")).collect();
    names.sort_unstable();
    assert_eq!(names, ["DeliveryFailed", "WebhookDisabled"]);
    let status = house.store.seed_text("SELECT status FROM webhooks WHERE id = 1").await;
    assert_eq!(status, "auto_disabled");
    let resent = house.store.resend(all[1].id, false, None).await.expect("answered");
    assert_eq!(resent, Resent::WebhookDisabled);
    house.close().await;
}

#[tokio::test]
async fn a_retry_after_is_honoured() {
    let (_dir, house) = house().await;
    let receiver = Receiver::start(|nth| match nth {
        0 => Answer::With(429, "Retry-After: 1"),
        _ => Answer::Status(200),
    })
    .await;
    let webhook = house.store.seed_webhook(SeedWebhook::to(&receiver.url)).await.expect("stored");
    house.store.seed_events("CP_1", 1).await.expect("stored");
    house.wait_for(webhook, DeliveryStatus::Success, 1).await;
    let received = receiver.so_far();
    assert!(received[1].at - received[0].at >= Duration::from_millis(990));
    house.close().await;
}

#[tokio::test]
async fn a_backlog_is_discarded_in_steps_when_its_webhook_is_deleted() {
    let dir = tempfile::tempdir().expect("a directory");
    let receiver = Receiver::always(Answer::Status(200)).await;
    let store = Store::open(dir.path(), Clock::System).expect("a store");
    let webhook = store.seed_webhook(SeedWebhook::to(&receiver.url)).await.expect("stored");
    let ordered = SeedWebhook { ordering: "station", ..SeedWebhook::to(&receiver.url) };
    store.seed_webhook(ordered).await.expect("stored");
    store.seed_events("CP_1", 1_500).await.expect("stored");
    store.seed_run("DELETE FROM webhooks").await;
    assert_eq!(store.orphaned_lanes().await.expect("read"), [1, 2]);
    // The engine finds them when it starts.
    let house = House::start(store, &settings());
    let began = Instant::now();
    while house.store.seed_number("SELECT count(*) FROM deliveries WHERE status = 'discarded'").await < 3_000
    {
        assert!(began.elapsed() < DEADLINE, "not all are discarded");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(receiver.so_far().is_empty(), "nothing is sent");
    let gone = &house.deliveries(webhook).await[0];
    assert_eq!((gone.url.as_deref(), gone.status), (None, DeliveryStatus::Discarded));
    let resent = house.store.resend(gone.id, false, None).await.expect("answered");
    assert_eq!(resent, Resent::WebhookDeleted);
    house.close().await;
}

#[tokio::test]
async fn a_change_of_one_webhook_reads_no_other() {
    let (_dir, house) = house().await;
    let receiver = Receiver::always(Answer::Status(204)).await;
    let webhook = house.store.seed_webhook(SeedWebhook::to(&receiver.url)).await.expect("stored");
    house.store.seed_webhook(SeedWebhook::to("http://127.0.0.1:9/")).await.expect("stored");
    house.store.seed_events("CP_1", 1).await.expect("stored");
    house.wait_for(webhook, DeliveryStatus::Success, 1).await;
    // Whoever reads the other one from here on finds nothing that can be read.
    house.store.seed_run("UPDATE webhooks SET filter = '{', retry_schedule = '[' WHERE id = 2").await;
    house.store.pause_webhook(webhook, None).await.expect("the writer compiles this one alone");
    house.store.seed_events("CP_1", 1).await.expect("stored");
    house.store.resume_webhook(webhook).await.expect("resumed");
    house.wait_for(webhook, DeliveryStatus::Success, 2).await;
    house.close().await;
}
