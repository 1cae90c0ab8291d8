//! Rows that the gateway cannot read: they hold up no other delivery, and cost the receiver no attempt.

use std::time::Instant;

use super::harness::{DEADLINE, House, house, settings};
use super::receiver::{Answer, Receiver};
use crate::delivery::LaneViews;
use crate::delivery::breaker::State;
use crate::delivery::wait_reason::wait_reason;
use store::seed::SeedWebhook;
use store::{Delivery, Store, StoreError};
use vocabulary::clock::Clock;
use vocabulary::delivery::{DeliveryStatus, ErrorCode};

impl House {
    /// Waits until this one of the webhook's deliveries has been put back.
    async fn put_back(&self, webhook_id: i64, nth: usize) -> Delivery {
        let began = Instant::now();
        loop {
            let delivery = self.deliveries(webhook_id).await.remove(nth);
            if delivery.last_error.is_some() {
                return delivery;
            }
            assert!(began.elapsed() < DEADLINE, "{delivery:?}");
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }
}

#[tokio::test]
async fn an_event_that_cannot_be_read_costs_its_receivers_no_attempt_and_nobody_else_anything() {
    let (_dir, house) = house().await;
    let receiver = Receiver::always(Answer::Status(204)).await;
    let webhook = house.store.seed_webhook(SeedWebhook::to(&receiver.url)).await.expect("stored");
    let other = house.store.seed_webhook(SeedWebhook::to(&receiver.url)).await.expect("stored");
    for webhook in [webhook, other] {
        house.store.pause_webhook(webhook, None).await.expect("paused");
    }
    house.store.seed_events("CP_1", 3).await.expect("stored");
    house.store.seed_run("UPDATE events SET custom_headers = 'not sealed' WHERE seq = 2").await;
    for webhook in [webhook, other] {
        house.store.resume_webhook(webhook).await.expect("resumed");
    }
    for webhook in [webhook, other] {
        house.wait_for(webhook, DeliveryStatus::Success, 2).await;
        let waits = house.put_back(webhook, 1).await;
        assert_eq!((waits.status, waits.attempts.len()), (DeliveryStatus::Scheduled, 0), "{waits:?}");
        let error = waits.last_error.expect("a reason");
        assert_eq!(error.code, ErrorCode::Unreadable, "{error:?}");
        let is_closed =
            |views: &LaneViews| views.get(&webhook).is_some_and(|lane| matches!(lane.breaker, State::Closed));
        let mut views = house.engine.views();
        tokio::time::timeout(DEADLINE, views.wait_for(is_closed)).await.expect("it is").expect("alive");
    }
    // Somebody puts it right, and does not wait for the next look.
    house.store.seed_run("UPDATE events SET custom_headers = NULL WHERE seq = 2").await;
    house.store.seed_run("UPDATE deliveries SET due_at_ms = 0 WHERE due_at_ms IS NOT NULL").await;
    for webhook in [webhook, other] {
        house.store.pause_webhook(webhook, None).await.expect("paused");
        house.store.resume_webhook(webhook).await.expect("resumed");
        let all = house.wait_for(webhook, DeliveryStatus::Success, 3).await;
        assert_eq!(all[1].attempts.iter().map(|attempt| attempt.number).collect::<Vec<_>>(), [1]);
        assert!(all[1].last_error.is_none(), "it has arrived: {:?}", all[1]);
    }
    house.close().await;
}

/// What may be stored of a webhook that this version does not know, each of another one.
const UNKNOWN: [(&str, &str); 8] = [
    ("format", "'xml'"),
    ("signing_secret", "'in the clear'"),
    ("rate_limit", "'soon'"),
    ("retry_schedule", "'['"),
    ("ordering", "'sideways'"),
    ("status", "'asleep'"),
    ("max_in_flight", "0"),
    ("filter", "'{'"),
];

#[tokio::test]
async fn a_webhook_with_a_setting_that_is_not_known_is_out_of_order_and_no_other_is() {
    let dir = tempfile::tempdir().expect("a directory");
    let receiver = Receiver::always(Answer::Status(204)).await;
    let store = Store::open(dir.path(), Clock::System).expect("a store");
    for _ in 0..=UNKNOWN.len() {
        store.seed_webhook(SeedWebhook::to(&receiver.url)).await.expect("stored");
    }
    store.seed_events("CP_1", 1).await.expect("stored");
    store.seed_run("PRAGMA ignore_check_constraints = ON").await;
    for (id, (column, value)) in (1..).zip(UNKNOWN) {
        store.seed_run(format!("UPDATE webhooks SET {column} = {value} WHERE id = {id}").leak()).await;
    }
    store.close();

    let house = House::open(dir.path(), &settings());
    let healthy = UNKNOWN.len() as i64 + 1;
    house.wait_for(healthy, DeliveryStatus::Success, 1).await;
    house.store.seed_events("CP_1", 1).await.expect("the others are judged as ever");
    house.wait_for(healthy, DeliveryStatus::Success, 2).await;
    let now = house.store.monotonic().now();
    for (id, (column, _)) in (1..).zip(UNKNOWN) {
        let mut views = house.engine.views();
        let is_told = |views: &LaneViews| views.get(&id).is_some_and(|lane| lane.out_of_order);
        tokio::time::timeout(DEADLINE, views.wait_for(is_told)).await.expect(column).expect("alive");
        for delivery in house.deliveries(id).await {
            assert_eq!(
                (delivery.status, delivery.attempts.len()),
                (DeliveryStatus::Scheduled, 0),
                "{column}"
            );
            assert_eq!(wait_reason(&delivery, &views.borrow(), now), Some("settings"), "{column}");
        }
        match house.store.webhook(id).await {
            Err(StoreError::Setting(setting)) => {
                assert_eq!((setting.table, setting.id, setting.column), ("webhooks", id.to_string(), column));
            }
            read => assert!(read.is_ok() && matches!(column, "rate_limit" | "max_in_flight"), "{column}"),
        }
    }
    assert_eq!(receiver.so_far().len(), 2, "nobody got anything in another way than was asked for");
    // One is put right.
    house.store.seed_run("UPDATE webhooks SET format = 'envelope' WHERE id = 1").await;
    house.close().await;
    let house = House::open(dir.path(), &settings());
    house.wait_for(1, DeliveryStatus::Success, 2).await;
    assert!(receiver.so_far()[2].body.contains("createdAt"), "{}", receiver.so_far()[2].body);
    house.close().await;
}
