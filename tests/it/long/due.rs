//! A start with a million deliveries due.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::time::sleep;

use super::endpoint::{Conduct, Endpoint};
use super::load::{Load, connect, say};
use super::seed::{self, Deliveries, Past};
use super::site::Site;
use super::{slack, summary, tell, turn};

const CASE: &str = "delivery case 9";

#[tokio::test(flavor = "multi_thread")]
async fn delivery_case_9_million_due_at_the_start_keep_no_charger_waiting() {
    let Some(_turn) = turn(CASE).await else { return };
    let mut site = Site::started();
    let endpoint = Endpoint::start(Conduct::Prompt).await;
    let mut shared = Vec::new();
    for _ in 0..100 {
        shared.push(site.webhook(&endpoint.url, json!({})).await);
    }
    let alone = site.webhook(&endpoint.url, json!({})).await;
    let ordered = site.webhook(&endpoint.url, json!({"ordering": "station"})).await;
    site.kill();
    let seeding = Instant::now();
    for (events, webhooks, deliveries) in [
        (400_000, shared, Deliveries::Due),
        (300_000, vec![alone], Deliveries::Due),
        (300_000, vec![ordered], Deliveries::DueInOrder),
    ] {
        // An hour ago: nothing is too old for its schedule.
        let at_ms = vocabulary::clock::Clock::System.now().before(Duration::from_secs(3_600)).unix_ms();
        seed::write(&site.database(), &Past { events, webhooks, deliveries, at_ms });
    }
    tell(CASE, &format!("a million due rows were made in {:.0} s", seeding.elapsed().as_secs_f64()));

    let began = Instant::now();
    site.start(&[]);
    let ready = began.elapsed();
    let mut charger = connect(site.place.ocpp, "FIRST").await;
    say(&mut charger).await;
    let served = began.elapsed();

    let load = Load::start(site.place.ocpp, 20, slack(200, 40)).await;
    let (before, watched) = (endpoint.seen().requests, Instant::now());
    sleep(Duration::from_secs(20)).await;
    let came = endpoint.seen().requests - before;
    let rate = came as f64 / watched.elapsed().as_secs_f64();
    let answers = load.take();
    load.stop().await;
    let (memory, peak) = (site.memory_mib(), site.memory_peak_mib());
    tell(
        CASE,
        &format!(
            "ready after {:.2} s, the first charger served after {:.2} s; then {rate:.0} delivered/s, answers meanwhile {}; {memory} MiB, at most {peak}",
            ready.as_secs_f64(),
            served.as_secs_f64(),
            summary(&answers)
        ),
    );
    assert!(served < slack(Duration::from_secs(2), Duration::from_secs(6)), "served after {served:?}");
    assert!(came > 0, "they are delivered");
    assert!(peak < 400, "{peak} MiB");
}
