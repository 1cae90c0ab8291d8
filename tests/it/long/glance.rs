//! What operators look at all day, on a large installation.

use std::time::Duration;

use super::fleet::{self, Sizes};
use super::{quantile, slack, summary, tell, times, turn};

const CASE: &str = "a large installation";

/// What the pages of the dashboard ask for.
const ASKED: &[&str] = &[
    "/stations?limit=50",
    "/stations?online=false&sort=offline_since&limit=50",
    "/stations?metadata.note=other&limit=50",
    "/stations/summary?group_by=vendor,model,firmware_version",
    "/connectors?limit=50",
    "/connectors?status=Unavailable&limit=50",
    "/transactions?status=active&limit=50",
    "/transactions?limit=50",
    "/events?limit=50",
    "/events?q=word777777&limit=50",
    "/deliveries?limit=50",
    "/deliveries?status=failed&limit=50",
    "/failed-deliveries?limit=50",
    "/webhooks?limit=500",
    "/webhooks/1/stats",
    "/commands?limit=50",
    "/audit?limit=50",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_large_installation_is_looked_at_quickly() {
    let Some(_turn) = turn(CASE).await else { return };
    let began = std::time::Instant::now();
    let site = fleet::gateway(&Sizes::LARGE).await;
    tell(CASE, &format!("made and started in {:.0} s", began.elapsed().as_secs_f64()));
    fleet::settled(&site).await;
    tell(CASE, &format!("settled after {:.0} s", began.elapsed().as_secs_f64()));
    // Counted anew each time.
    let mut overviews = times();
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_millis(1_200)).await;
        overviews.add(fleet::ask(&site, "/overview", 1).await).expect("the same kind");
    }
    tell(CASE, &format!("/overview: {}", summary(&overviews)));
    let median = quantile(&overviews, 0.5);
    assert!(median < slack(Duration::from_millis(30), Duration::from_millis(300)), "{median:?}");
    for path in ASKED {
        let times = fleet::ask(&site, path, 40).await;
        tell(CASE, &format!("{path}: {}", summary(&times)));
    }
}
