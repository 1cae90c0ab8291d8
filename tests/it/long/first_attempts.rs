//! What a first attempt costs: from a charger's call to the request at the endpoint.

use std::time::Duration;

use serde_json::json;
use tokio::time::sleep;

use super::endpoint::{Conduct, Endpoint};
use super::load::Load;
use super::site::Site;
use super::{quantile, slack, summary, tell, turn};

const CASE: &str = "first attempts";

#[tokio::test(flavor = "multi_thread")]
async fn a_first_attempt_follows_its_event_at_once_at_any_load() {
    let Some(_turn) = turn(CASE).await else { return };
    let site = Site::started();
    let endpoint = Endpoint::start(Conduct::Prompt).await;
    site.webhook(&endpoint.url, json!({"max_in_flight": 100})).await;
    for (chargers, per_second) in [(1, 10), (20, slack(200, 40)), (100, slack(1_000, 100))] {
        let load = Load::start(site.place.ocpp, chargers, per_second).await;
        sleep(Duration::from_secs(1)).await;
        drop(load.take());
        drop(endpoint.take_ages());
        sleep(Duration::from_secs(15)).await;
        let (answers, ages) = (load.take(), endpoint.take_ages());
        load.stop().await;
        tell(
            CASE,
            &format!("at {per_second}/s answers {}; at the endpoint {}", summary(&answers), summary(&ages)),
        );
        let bound = slack(Duration::from_millis(250), Duration::from_secs(2));
        assert!(quantile(&ages, 0.99) < bound, "{}", summary(&ages));
    }
}
