//! One webhook far behind, and another one that was made just now.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::time::sleep;

use super::endpoint::{Conduct, Endpoint};
use super::load::{connect, say};
use super::seed::{self, Deliveries, Past};
use super::site::Site;
use super::{quantile, slack, summary, tell, times, turn};
use crate::harness::eventually;

const CASE: &str = "delivery case 13";

#[tokio::test(flavor = "multi_thread")]
async fn delivery_case_13_backlog_of_half_a_million_does_not_delay_a_new_webhook() {
    let Some(_turn) = turn(CASE).await else { return };
    let mut site = Site::started();
    let behind = Endpoint::start(Conduct::Slow(Duration::from_millis(200))).await;
    let webhook = site.webhook(&behind.url, json!({"timeout": "30s", "max_in_flight": 500})).await;
    site.kill();
    let at_ms = vocabulary::clock::Clock::System.now().before(Duration::from_secs(3_600)).unix_ms();
    let past = Past { events: 500_000, webhooks: vec![webhook], deliveries: Deliveries::Due, at_ms };
    seed::write(&site.database(), &past);
    site.start(&[]);
    let mut charger = connect(site.place.ocpp, "CP").await;
    for (name, conduct) in [("slow", Conduct::Slow(Duration::from_millis(200))), ("hanging", Conduct::Hangs)]
    {
        behind.conduct(conduct);
        eventually("its sends are under way", || async { (behind.seen().under_way > 10).then_some(()) })
            .await;
        let mut all = times();
        let mut first = Duration::ZERO;
        for round in 0..5 {
            let fresh = Endpoint::start(Conduct::Prompt).await;
            site.webhook(&fresh.url, json!({})).await;
            for nth in 0..20 {
                let began = Instant::now();
                say(&mut charger).await;
                while fresh.seen().accepted <= nth {
                    assert!(
                        began.elapsed() < Duration::from_secs(20),
                        "round {round}, event {nth} did not come"
                    );
                    sleep(Duration::from_millis(2)).await;
                }
            }
            let ages = fresh.take_ages();
            first = first.max(quantile(&ages, 1.0));
            all.add(&ages).expect("the same kind");
        }
        let left =
            site.number("SELECT count(*) FROM deliveries WHERE webhook_id = 1 AND completed_at_ms IS NULL");
        tell(
            CASE,
            &format!(
                "behind one that is {name} and has {left} waiting, new webhooks' events arrive after {}; {} MiB",
                summary(&all),
                site.memory_mib()
            ),
        );
        assert!(left > 400_000, "it is still behind: {left}");
        assert!(first < slack(Duration::from_secs(1), Duration::from_secs(3)), "after {first:?}");
    }
}
