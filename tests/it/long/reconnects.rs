//! Ten thousand chargers at once, and webhooks that want to hear of each.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::endpoint::{Conduct, Endpoint};
use super::site::Site;
use super::{Times, quantile, record, slack, summary, tell, times, turn};
use crate::storm::{WINDOW, Weather, storm};

const CASE: &str = "delivery case 18";

/// What each event is told to.
const WEBHOOKS: usize = 10;

fn boots(weather: &Weather) -> Times {
    let mut all = times();
    weather.boots.lock().expect("sound").iter().for_each(|took| record(&mut all, *took));
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn delivery_case_18_ten_thousand_reconnects_do_not_wait_for_the_fan_out() {
    let Some(_turn) = turn(CASE).await else { return };
    let count = slack(10_000, 2_000);
    let mut site = Site::new();
    let discovered = count.to_string();
    let settings = [("CHARGEHOOK_LIMITS_DISCOVERED_PER_MINUTE", discovered.as_str())];
    site.start(&settings);
    let endpoint = Endpoint::start(Conduct::Slow(Duration::from_millis(50))).await;
    let mut told = Vec::new();
    // Strangers; then known, and told to nobody; then told to all.
    for (which, fan_out) in [("strangers", false), ("nobody is told", false), ("all are told", true)] {
        if fan_out {
            for _ in 0..WEBHOOKS {
                let wants = json!({"events": ["BootNotification", "station.*"]});
                site.webhook(&endpoint.url, wants).await;
            }
        }
        site.kill();
        site.start(&settings);
        let idle = site.memory_mib();
        let (weather, end) = (Arc::new(Weather::default()), CancellationToken::new());
        let took = storm(&site.place, count, 0, WINDOW, &weather, &end).await;
        let boots = boots(&weather);
        let memory = site.memory_mib();
        let waiting = site.number("SELECT count(*) FROM deliveries WHERE completed_at_ms IS NULL");
        tell(
            CASE,
            &format!(
                "{count} reconnect within {} s, {which}: back after {:.1} s, knock to boot {}; {waiting} deliveries wait; {idle} MiB before, {memory} after",
                WINDOW.as_secs(),
                took.as_secs_f64(),
                summary(&boots)
            ),
        );
        // 25 KiB each, and what the deliveries need.
        assert!(memory < idle + count as u64 * 25 / 1024 + 150, "{memory} MiB");
        told.push(boots);
        site.kill();
        end.cancel();
        site.start(&settings);
    }
    let p99 = |which: usize| quantile(&told[which], 0.99);
    let allowed = p99(1) * 2 + slack(Duration::from_millis(500), Duration::from_secs(3));
    assert!(p99(2) < allowed, "{:?} without, {:?} with", p99(1), p99(2));
}
