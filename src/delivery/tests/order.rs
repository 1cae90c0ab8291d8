//! Each station's events in order, for webhooks that want it so.

use std::time::Duration;

use super::harness::house;
use super::receiver::{Answer, Receiver};
use crate::delivery::{LaneViews, wait_reason};
use store::seed::SeedWebhook;
use vocabulary::clock::Clock;
use vocabulary::delivery::DeliveryStatus;

#[tokio::test]
async fn each_stations_events_come_in_order_and_others_flow_on() {
    let (_dir, house) = house().await;
    // The third request fails: its station waits for the retry, the other does not.
    let receiver = Receiver::start(|nth| Answer::Status(if nth == 2 { 500 } else { 200 })).await;
    let seed = SeedWebhook { ordering: "station", ..SeedWebhook::to(&receiver.url) };
    let webhook = house.store.seed_webhook(seed).await.expect("stored");
    house.store.seed_events("CP_1", 25).await.expect("stored");
    house.store.seed_events("CP_2", 25).await.expect("stored");
    house.wait_for(webhook, DeliveryStatus::Success, 50).await;
    let order_of = |station: &str| -> Vec<i64> {
        let mut seen = Vec::new();
        for request in receiver.so_far() {
            let body: serde_json::Value = serde_json::from_str(&request.body).expect("JSON");
            if body["station_id"] == station {
                seen.push(body["payload"]["n"].as_i64().expect("a number"));
            }
        }
        // A retry repeats its number.
        seen.dedup();
        seen
    };
    assert_eq!(order_of("CP_1"), (0..25).collect::<Vec<_>>());
    assert_eq!(order_of("CP_2"), (0..25).collect::<Vec<_>>());
    assert_eq!(receiver.so_far().len(), 51);
    house.close().await;
}

#[tokio::test]
async fn an_event_that_has_blocked_its_station_too_long_is_overtaken() {
    let (_dir, house) = house().await;
    let receiver = Receiver::start(|nth| Answer::Status(if nth == 0 { 500 } else { 200 })).await;
    let seed = SeedWebhook {
        ordering: "station",
        ordering_max_wait_ms: 300,
        retry_schedule: r#"["1h"]"#,
        ..SeedWebhook::to(&receiver.url)
    };
    let webhook = house.store.seed_webhook(seed).await.expect("stored");
    house.store.seed_events("CP_1", 4).await.expect("stored");
    let waiting = house.wait_for(webhook, DeliveryStatus::Retry, 1).await;
    assert!(waiting[1].behind_another, "the second waits for the first");
    let lanes = LaneViews::new();
    assert_eq!(wait_reason::wait_reason(&waiting[1], &lanes, Clock::System.now()), Some("order"));
    let all = house.wait_for(webhook, DeliveryStatus::Success, 3).await;
    assert_eq!(all[0].status, DeliveryStatus::Retry, "it keeps its own time");
    let blocked = all[1].attempts[0].started_at.since(all[0].attempts[0].started_at);
    assert!(blocked >= Duration::from_millis(300), "{blocked:?}");
    house.close().await;
}
