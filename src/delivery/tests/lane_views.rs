//! Deliveries as they are shown: lists, and why each one waits.

use std::time::Duration;

use super::harness::{DEADLINE, house};
use super::receiver::{Answer, Receiver};
use crate::delivery::breaker::State;
use crate::delivery::wait_reason;
use store::seed::SeedWebhook;
use store::{DeliveryFilter, DeliveryRow, Slice};
use vocabulary::clock::Clock;
use vocabulary::delivery::DeliveryStatus;

#[tokio::test]
async fn a_list_is_filtered_and_paged() {
    let (_dir, house) = house().await;
    let receiver = Receiver::start(|nth| Answer::Status(if nth == 0 { 500 } else { 200 })).await;
    let seed = SeedWebhook { retry_schedule: "[]", max_in_flight: 1, ..SeedWebhook::to(&receiver.url) };
    let webhook = house.store.seed_webhook(seed).await.expect("stored");
    let events = house.store.seed_events("CP_1", 3).await.expect("stored");
    house.store.seed_events("CP_2", 2).await.expect("stored");
    house.wait_for(webhook, DeliveryStatus::Success, 4).await;
    let list = async |filter: DeliveryFilter, after: Option<DeliveryRow>| {
        let after = after.map(|row| (row.number(), 0));
        let slice = Slice { limit: 2, after, ascending: false };
        house.store.deliveries(filter, slice).await.expect("a list").rows
    };
    let first = list(DeliveryFilter::default(), None).await;
    assert_eq!(first.iter().map(|d| d.sequence).collect::<Vec<_>>(), [Some(5), Some(4)]);
    let second = list(DeliveryFilter::default(), Some(first[1].row)).await;
    assert_eq!(second.iter().map(|d| d.sequence).collect::<Vec<_>>(), [Some(3), Some(2)]);
    let failed = DeliveryFilter { status: vec![DeliveryStatus::Failed], ..DeliveryFilter::default() };
    assert_eq!(list(failed, None).await.len(), 1);
    let station = DeliveryFilter { station_id: Some("CP_2".into()), ..DeliveryFilter::default() };
    assert_eq!(list(station, None).await.len(), 2);
    let text = DeliveryFilter { q: Some("\"N\":2".into()), ..DeliveryFilter::default() };
    assert_eq!(list(text, None).await.len(), 1, "any letter case");
    let event = DeliveryFilter { event_id: Some(events[1]), ..DeliveryFilter::default() };
    assert_eq!(list(event, None).await[0].event_id, events[1]);
    let of_event = house.store.deliveries_of_event(events[1], None).await.expect("a list");
    assert_eq!(of_event.len(), 1);
    let both = vec![DeliveryStatus::Failed, DeliveryStatus::Retry];
    let other = DeliveryFilter { status: both, webhook_id: Some(webhook + 1), ..DeliveryFilter::default() };
    assert!(list(other, None).await.is_empty());
    house.close().await;
}

#[tokio::test]
async fn a_delivery_tells_what_it_waits_for() {
    let (_dir, house) = house().await;
    let receiver = Receiver::always(Answer::Status(500)).await;
    let seed = SeedWebhook { retry_schedule: r#"["1h"]"#, ..SeedWebhook::to(&receiver.url) };
    let webhook = house.store.seed_webhook(seed).await.expect("stored");
    house.store.seed_events("CP_1", 1).await.expect("stored");
    let all = house.wait_for(webhook, DeliveryStatus::Retry, 1).await;
    let mut views = house.engine.views();
    let there = views.wait_for(|views| views.contains_key(&webhook));
    let lanes = tokio::time::timeout(DEADLINE, there).await.expect("it is published").expect("alive").clone();
    let now = Clock::System.now();
    assert_eq!(wait_reason::wait_reason(&all[0], &lanes, now), Some("schedule"));
    let later = now.after(Duration::from_secs(7_200));
    assert_eq!(wait_reason::wait_reason(&all[0], &lanes, later), Some("slot"));
    let mut open = lanes;
    open.get_mut(&webhook).expect("its lane").breaker =
        State::Open { since: now, probe_at: later, interval: Duration::from_secs(30) };
    assert_eq!(wait_reason::wait_reason(&all[0], &open, later), Some("breaker"));
    house.close().await;
}
