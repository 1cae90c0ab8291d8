//! Endpoints that hang, and what the others notice of it.

use std::time::Duration;

use serde_json::json;
use tokio::time::sleep;

use super::endpoint::{Conduct, Endpoint};
use super::load::Load;
use super::site::Site;
use super::{DEBUG, Times, quantile, slack, summary, tell, times, turn};
use crate::harness::eventually;

/// Each way is measured so often, by turns: what else happens on the machine happens to both.
const ROUNDS: usize = 7;

/// Healthy latencies with the others quiet, and with them hanging.
struct Compared {
    quiet: Times,
    hanging: Times,
    /// Of each round: 99th percentile with, over without.
    ratios: Vec<f64>,
    memory_mib: u64,
}

/// Events go to all of `webhooks`, of which some hang for as long as a send may take, or are paused.
async fn compare(webhooks: usize, hang: usize, events_per_second: usize) -> Compared {
    let site = Site::started();
    let (mut healthy, mut sick) = (Vec::new(), Vec::new());
    for nth in 0..webhooks {
        // Everywhere among the others.
        let hangs = nth * hang / webhooks != (nth + 1) * hang / webhooks;
        let endpoint = Endpoint::start(Conduct::Prompt).await;
        // Longer than a round: the breaker does not come to anybody's help.
        let id = site.webhook(&endpoint.url, json!({"timeout": "60s"})).await;
        if hangs {
            site.tell_webhook(id, "pause").await;
            sick.push((id, endpoint));
        } else {
            healthy.push(endpoint);
        }
    }
    let load = Load::start(site.place.ocpp, 20, events_per_second).await;
    let measured = async || {
        // What was under way before does not count.
        sleep(Duration::from_millis(500)).await;
        healthy.iter().for_each(|endpoint| drop(endpoint.take_ages()));
        sleep(Duration::from_secs(5)).await;
        let mut ages = times();
        healthy.iter().for_each(|endpoint| ages.add(endpoint.take_ages()).expect("the same kind"));
        ages
    };
    let mut compared = Compared { quiet: times(), hanging: times(), ratios: Vec::new(), memory_mib: 0 };
    for _ in 0..ROUNDS {
        let without = measured().await;
        for (id, endpoint) in &sick {
            endpoint.conduct(Conduct::Hangs);
            site.tell_webhook(*id, "resume").await;
        }
        eventually("all of them hold sends", || async {
            sick.iter().all(|(_, endpoint)| endpoint.seen().under_way > 0).then_some(())
        })
        .await;
        let with = measured().await;
        for (id, endpoint) in &sick {
            site.tell_webhook(*id, "pause").await;
            endpoint.conduct(Conduct::Prompt);
        }
        eventually("what hung has ended", || async {
            sick.iter().all(|(_, endpoint)| endpoint.seen().under_way == 0).then_some(())
        })
        .await;
        let p99 = |times: &Times| quantile(times, 0.99).as_secs_f64();
        compared.ratios.push(p99(&with) / p99(&without));
        compared.quiet.add(without).expect("the same kind");
        compared.hanging.add(with).expect("the same kind");
    }
    compared.memory_mib = site.memory_mib();
    load.stop().await;
    compared
}

fn judge(case: &str, hang: usize, webhooks: usize, compared: &Compared) {
    let mut ratios = compared.ratios.clone();
    ratios.sort_by(f64::total_cmp);
    let median = ratios[ROUNDS / 2];
    tell(
        case,
        &format!(
            "healthy ones without {}; with {hang} of {webhooks} hanging {}; p99 × {median:.2} ({:.2} to {:.2}); {} MiB",
            summary(&compared.quiet),
            summary(&compared.hanging),
            ratios[0],
            ratios[ROUNDS - 1],
            compared.memory_mib
        ),
    );
    // On a busy machine the figure itself goes up and down by more than a tenth: who cannot be heard over
    // that is not noticed. Those who wait for a permit wait for seconds.
    let (bound, unheard) = if DEBUG { (1.5, 50) } else { (1.1, 1) };
    let rise = quantile(&compared.hanging, 0.99).saturating_sub(quantile(&compared.quiet, 0.99));
    assert!(median < bound || rise < Duration::from_millis(unheard), "{:?}", compared.ratios);
}

#[tokio::test(flavor = "multi_thread")]
async fn delivery_case_11_one_of_twenty_hangs_and_the_others_do_not_notice() {
    const CASE: &str = "delivery case 11";
    let Some(_turn) = turn(CASE).await else { return };
    let compared = compare(20, 1, slack(50, 8)).await;
    judge(CASE, 1, 20, &compared);
}

#[tokio::test(flavor = "multi_thread")]
async fn delivery_case_12_half_of_a_hundred_hang_and_the_other_half_is_as_before() {
    const CASE: &str = "delivery case 12";
    let Some(_turn) = turn(CASE).await else { return };
    let compared = compare(100, 50, slack(10, 2)).await;
    judge(CASE, 50, 100, &compared);
}
