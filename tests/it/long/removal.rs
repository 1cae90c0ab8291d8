//! Two million rows past their time, and chargers that must not notice their end.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::time::sleep;

use super::endpoint::{Conduct, Endpoint};
use super::load::Load;
use super::seed::{self, Deliveries, Past};
use super::site::Site;
use super::{DEBUG, quantile, slack, summary, tell, turn};

const CASE: &str = "delivery case 39";

/// Each with a delivery and its attempt: three rows.
const EVENTS: usize = 700_000;

const PATIENCE: Duration = Duration::from_secs(900);

#[tokio::test(flavor = "multi_thread")]
async fn delivery_case_39_retention_of_two_million_rows_slows_no_charger() {
    let Some(_turn) = turn(CASE).await else { return };
    let events = slack(EVENTS, EVENTS / 7);
    let mut site = Site::started();
    let endpoint = Endpoint::start(Conduct::Prompt).await;
    let webhook = site.webhook(&endpoint.url, json!({})).await;
    site.kill();
    let long_ago = vocabulary::clock::Clock::System.now().before(Duration::from_secs(40 * 86_400));
    let past = Past {
        events,
        webhooks: vec![webhook],
        deliveries: Deliveries::Delivered,
        at_ms: long_ago.unix_ms(),
    };
    seed::write(&site.database(), &past);
    let bytes = std::fs::metadata(site.database()).expect("a file").len();

    // Without, with, and without again: what else happens on the machine shows in the difference of those.
    let (chargers, rate) = (50, slack(500, 60));
    let quiet = [("CHARGEHOOK_RETENTION_EVENTS", "forever"), ("CHARGEHOOK_RETENTION_DELIVERIES", "forever")];
    site.start(&quiet);
    let load = Load::start(site.place.ocpp, chargers, rate).await;
    sleep(Duration::from_secs(2)).await;
    drop(load.take());
    sleep(Duration::from_secs(20)).await;
    let mut without = load.take();
    load.stop().await;
    site.kill();

    site.start(&[]);
    let began = Instant::now();
    let load = Load::start(site.place.ocpp, chargers, rate).await;
    let old = format!("SELECT count(*) FROM (SELECT 1 FROM events WHERE seq <= {events} LIMIT 1)");
    sleep(Duration::from_secs(2)).await;
    drop(load.take());
    while site.number(&old) > 0 {
        assert!(began.elapsed() < PATIENCE, "still not removed");
        sleep(Duration::from_millis(500)).await;
    }
    let took = began.elapsed();
    let with = load.take();
    sleep(Duration::from_secs(1)).await;
    drop(load.take());
    sleep(Duration::from_secs(20)).await;
    let after = load.take();
    load.stop().await;
    let before = quantile(&without, 0.99);
    without.add(&after).expect("the same kind");
    let p99 = |times: &super::Times| quantile(times, 0.99).as_secs_f64();
    let ratio = p99(&with) / p99(&without);
    tell(
        CASE,
        &format!(
            "{} rows ({} MiB) removed in {:.0} s at {rate} calls/s: answers without {} (p99 {:.1} ms before, {:.1} after), with {}; p99 × {ratio:.2}; {} MiB of memory",
            3 * events,
            bytes >> 20,
            took.as_secs_f64(),
            summary(&without),
            before.as_secs_f64() * 1_000.0,
            p99(&after) * 1_000.0,
            summary(&with),
            site.memory_mib()
        ),
    );
    assert!(ratio < if DEBUG { 1.5 } else { 1.2 }, "× {ratio:.2}");

    let gone = |what: &str, nth: usize| format!("/{what}_{nth:026}/resend");
    for path in [gone("events/evt", 1), gone("deliveries/dlv", events / 2)] {
        let (status, problem): (u16, Value) = site.api("POST", &path, None).await;
        let detail = problem["detail"].as_str().unwrap_or_default();
        assert!(status == 410 && detail.contains("retention"), "{path}: {status} {problem}");
    }
    let left = site.number(&format!("SELECT count(*) FROM deliveries WHERE seq <= {events}"));
    assert_eq!(left, 0, "an event takes its deliveries along");
}
