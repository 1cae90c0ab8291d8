//! Endpoints that come back after an hour, with everything they missed waiting for them.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::time::sleep;
use vocabulary::clock::{Clock, Timestamp};

use super::endpoint::{Conduct, Endpoint};
use super::seed::{self, Deliveries, Past};
use super::{slack, tell, turn};
use crate::harness::{eventually, start_by};

const CASE: &str = "delivery case 16";
const NOW: Timestamp = Timestamp::from_unix_ms(1_776_168_000_000);
const WEBHOOKS: usize = 10;
/// A breaker opens after so many failures in a row; what is under way then ends as well.
const MAX_IN_FLIGHT: usize = 32;

#[tokio::test(flavor = "multi_thread")]
async fn delivery_case_16_herd_after_an_hour_is_a_probe_and_then_a_ramp() {
    let Some(_turn) = turn(CASE).await else { return };
    let each = slack(5_000, 500);
    let clock = Clock::manual(NOW);
    let gateway = start_by(clock.clone(), tempfile::tempdir().expect("a directory"), |_| {}).await;
    let (mut endpoints, mut webhooks) = (Vec::new(), Vec::new());
    for _ in 0..WEBHOOKS {
        let endpoint = Endpoint::start(Conduct::Refuses).await;
        let (status, made) = gateway
            .api("POST", "/webhooks", Some(json!({"url": endpoint.url, "events": ["DataTransfer"]})))
            .await;
        assert_eq!(status, 201, "{made}");
        webhooks.push(made["id"].as_i64().expect("a number"));
        endpoints.push(endpoint);
    }
    let database = gateway.database();
    let dir = gateway.stop().await;
    let past = Past { events: each * WEBHOOKS, webhooks, deliveries: Deliveries::Due, at_ms: NOW.unix_ms() };
    seed::write(&database, &past);
    let gateway = start_by(clock.clone(), dir, |_| {}).await;

    // Down: a breaker opens, and everybody waits for its probe.
    eventually("all have been tried", || async {
        endpoints.iter().all(|endpoint| endpoint.seen().requests >= 5).then_some(())
    })
    .await;
    for _ in 0..10 {
        let requests = || endpoints.iter().map(|endpoint| endpoint.seen().requests).min();
        let before = requests();
        clock.advance(Duration::from_secs(360));
        eventually("each has been probed", || async {
            // A breaker that opens only now counts from now.
            clock.advance(Duration::from_secs(1));
            (requests() > before).then_some(())
        })
        .await;
    }
    let spent: Vec<u64> = endpoints.iter().map(|endpoint| endpoint.seen().requests).collect();
    let most = spent.iter().max().copied().unwrap_or_default();
    // Two a minute at most.
    assert!(most <= MAX_IN_FLIGHT as u64 + 2 * 60, "an open breaker spends no attempts: {spent:?}");

    tell(CASE, &format!("an hour is over; at most {most} attempts were spent on one endpoint"));
    for endpoint in &endpoints {
        endpoint.seen().most_under_way.clear();
        endpoint.conduct(Conduct::Slow(Duration::from_millis(20)));
    }
    let began = Instant::now();
    eventually("all are back", || async {
        // A probe that was refused a moment ago counts from then.
        clock.advance(Duration::from_secs(1));
        endpoints.iter().all(|endpoint| endpoint.seen().accepted > 0).then_some(())
    })
    .await;
    let accepted = || endpoints.iter().map(|endpoint| endpoint.seen().accepted).sum::<u64>();
    // Those that were tried have times of their own.
    let at_once = (each * WEBHOOKS) as u64 - spent.iter().sum::<u64>();
    while accepted() < at_once {
        assert!(began.elapsed() < Duration::from_secs(180), "{} have arrived", accepted());
        sleep(Duration::from_millis(5)).await;
    }
    let took = began.elapsed();
    eventually("those that were tried have arrived", || async {
        clock.advance(Duration::from_secs(600));
        (accepted() >= (each * WEBHOOKS) as u64).then_some(())
    })
    .await;
    let mut steepest = 0;
    for endpoint in &endpoints {
        let seen = endpoint.seen();
        for (successes, most) in seen.most_under_way.iter().enumerate().take(MAX_IN_FLIGHT) {
            // One probe; then two, and one more for each success. What is accepted is under way a moment
            // longer.
            assert!(*most <= successes + 2, "{most} under way after {successes} successes");
            steepest = steepest.max(*most);
        }
        assert!(seen.most_under_way.iter().all(|most| *most <= MAX_IN_FLIGHT));
        assert_eq!(seen.events.len(), each);
        assert!(seen.events.values().all(|times| *times <= 12), "nothing is sent again and again");
    }
    tell(
        CASE,
        &format!(
            "{WEBHOOKS} endpoints had been down for an hour with {each} waiting each: back, at most {steepest} under way in the first {MAX_IN_FLIGHT} successes; {:.0} delivered/s, all after {:.1} s",
            at_once as f64 / took.as_secs_f64(),
            took.as_secs_f64()
        ),
    );
    drop(gateway);
}
