//! What the gateway itself cannot read: nobody else waits for it, and it costs its receiver nothing.

use std::time::Instant;

use super::harness::{DEADLINE, House, house};
use super::receiver::{Answer, Receiver};
use crate::api::delivery::DeliveryStatus;
use crate::delivery::LaneViews;
use crate::delivery::breaker::State;
use crate::store::Delivery;
use crate::store::seed::SeedWebhook;

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
        assert_eq!(error.code, "unreadable", "{error:?}");
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
