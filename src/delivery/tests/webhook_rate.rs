//! How many requests are sent at once, how fast, and how many an endpoint gets that is down.

use std::time::{Duration, Instant};

use super::harness::{house, settings};
use super::receiver::{Answer, Received, Receiver};
use store::seed::SeedWebhook;
use store::{Resent, Store};
use vocabulary::clock::Clock;
use vocabulary::delivery::{DeliveryStatus, ErrorCode};

/// The most requests that were under way at a time.
fn most_at_once(received: &[Received]) -> usize {
    let at_once = received.iter().enumerate().map(|(nth, request)| nth + 1 - request.answered_before);
    at_once.max().unwrap_or(0)
}

#[tokio::test]
async fn an_endpoint_that_hangs_delays_no_other() {
    let (_dir, house) = house().await;
    let hanging = Receiver::always(Answer::Silence).await;
    let healthy = Receiver::always(Answer::Status(200)).await;
    let greedy = SeedWebhook { max_in_flight: 1_000, timeout_ms: 60_000, ..SeedWebhook::to(&hanging.url) };
    for _ in 0..3 {
        house.store.seed_webhook(greedy.clone()).await.expect("stored");
    }
    let webhook = house.store.seed_webhook(SeedWebhook::to(&healthy.url)).await.expect("stored");
    let began = Instant::now();
    house.store.seed_events("CP_1", 200).await.expect("stored");
    house.wait_for(webhook, DeliveryStatus::Success, 200).await;
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    let held: usize = house.engine.views().borrow().values().map(|lane| lane.in_flight).sum();
    assert!(held < settings().max_in_flight as usize, "hanging endpoints hold {held} permits");
    assert!(most_at_once(&hanging.so_far()) > 16, "yet they are given what is free");
    house.close().await;
}

#[tokio::test]
async fn no_more_is_under_way_than_a_webhook_allows() {
    let (_dir, house) = house().await;
    let receiver = Receiver::always(Answer::Status(200)).await;
    let seed = SeedWebhook { max_in_flight: 3, ..SeedWebhook::to(&receiver.url) };
    let webhook = house.store.seed_webhook(seed).await.expect("stored");
    house.store.seed_events("CP_1", 200).await.expect("stored");
    house.wait_for(webhook, DeliveryStatus::Success, 200).await;
    let most = most_at_once(&receiver.so_far());
    assert!((1..=3).contains(&most), "{most}");
    house.close().await;
}

#[tokio::test]
async fn a_rate_limit_holds() {
    let (_dir, house) = house().await;
    let receiver = Receiver::always(Answer::Status(200)).await;
    let seed = SeedWebhook { rate_limit: Some("20/s"), ..SeedWebhook::to(&receiver.url) };
    let webhook = house.store.seed_webhook(seed).await.expect("stored");
    // The first request may be slow to arrive, but none is sent before there are events.
    let began = Instant::now();
    house.store.seed_events("CP_1", 50).await.expect("stored");
    house.wait_for(webhook, DeliveryStatus::Success, 50).await;
    let took = receiver.so_far()[49].at - began;
    assert!(took >= Duration::from_millis(1_450), "20 at once, 30 more at 20 a second: {took:?}");
    house.close().await;
}

#[tokio::test]
async fn an_open_breaker_probes_one_at_a_time_and_spends_no_attempts() {
    let (_dir, house) = house().await;
    // Down for its first seven requests: five open the breaker, two are probes.
    let receiver = Receiver::start(|nth| Answer::Status(if nth < 7 { 500 } else { 200 })).await;
    let seed = SeedWebhook {
        max_in_flight: 1,
        retry_schedule: r#"["200ms","5s","5s","5s","5s","5s","5s","5s","5s"]"#,
        ..SeedWebhook::to(&receiver.url)
    };
    let webhook = house.store.seed_webhook(seed).await.expect("stored");
    house.store.seed_events("CP_1", 40).await.expect("stored");
    house.until_breaker_opens(webhook).await;
    let all = house.wait_for(webhook, DeliveryStatus::Success, 40).await;
    let spent: usize = all.iter().map(|delivery| delivery.attempts.len()).sum();
    assert_eq!(spent, 47, "forty deliveries and seven failures");
    let received = receiver.so_far();
    assert!(received[5].at - received[4].at >= Duration::from_millis(180), "the first probe waits");
    assert!(received[6].at - received[5].at >= Duration::from_millis(360), "the second twice as long");
    house.close().await;
}

#[tokio::test]
async fn what_outlives_its_schedule_behind_an_open_breaker_is_a_dead_letter() {
    let (dir, house) = house().await;
    let receiver = Receiver::always(Answer::Status(500)).await;
    let seed = SeedWebhook {
        max_in_flight: 1,
        retry_schedule: r#"["100ms","200ms"]"#,
        ..SeedWebhook::to(&receiver.url)
    };
    let webhook = house.store.seed_webhook(seed).await.expect("stored");
    house.store.seed_events("CP_1", 30).await.expect("stored");
    let all = house.wait_for(webhook, DeliveryStatus::Failed, 30).await;
    let open = all
        .iter()
        .filter(|d| d.last_error.as_ref().is_some_and(|error| error.code == ErrorCode::CircuitOpen));
    assert!(open.count() >= 15, "{all:#?}");
    assert!(receiver.so_far().len() < 40, "attempts were spared: {}", receiver.so_far().len());
    assert_eq!(
        house.store.seed_number("SELECT count(*) FROM events WHERE event = 'DeliveryFailed'").await,
        10,
        "a flood of dead letters is folded"
    );
    house.close().await;
    // What was held is told at the end: it stands for all that have no event of their own.
    let store = Store::open(dir.path(), Clock::System).expect("a store");
    let counted = "SELECT sum(payload ->> 'count') FROM events WHERE event = 'DeliveryFailed'";
    assert_eq!(store.seed_number(counted).await, 30);
    assert_eq!(store.seed_number("SELECT count(*) FROM events WHERE event = 'DeliveryFailed'").await, 11);
    store.close();
}

#[tokio::test]
async fn a_resend_passes_an_open_breaker() {
    let (_dir, house) = house().await;
    let receiver = Receiver::start(|nth| Answer::Status(if nth < 5 { 500 } else { 200 })).await;
    let seed = SeedWebhook { retry_schedule: "[]", ..SeedWebhook::to(&receiver.url) };
    let webhook = house.store.seed_webhook(seed).await.expect("stored");
    house.store.seed_events("CP_1", 5).await.expect("stored");
    let all = house.wait_for(webhook, DeliveryStatus::Failed, 5).await;
    // With an empty schedule the next probe is thirty seconds away.
    house.until_breaker_opens(webhook).await;
    let resent = house.store.resend(all[0].id, false, None).await.expect("answered");
    assert_eq!(resent, Resent::Resent);
    house.wait_for(webhook, DeliveryStatus::Success, 1).await;
    house.close().await;
}
