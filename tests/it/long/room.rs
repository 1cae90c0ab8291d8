//! A thousand large deliveries to an endpoint that hangs: what they hold in memory.

use serde_json::json;
use tokio::time::{Duration, sleep};

use super::endpoint::{Conduct, Endpoint};
use super::site::Site;
use super::{tell, turn};

const CASE: &str = "large deliveries";

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_large_deliveries_that_hang_stay_within_their_room() {
    let Some(_turn) = turn(CASE).await else { return };
    let site = Site::started();
    let endpoint = Endpoint::start(Conduct::Hangs).await;
    let limits = json!({"events": ["large.*"], "max_in_flight": 1_000, "timeout": "60s"});
    let webhook = site.webhook(&endpoint.url, limits).await;
    site.tell_webhook(webhook, "pause").await;
    let text = "x".repeat(1_000_000);
    for _ in 0..300 {
        let body = json!({"event": "large.one", "broadcast": true, "payload": {"text": text}});
        assert_eq!(site.api("POST", "/events", Some(body)).await.0, 202);
    }
    let before = site.memory_mib();
    site.tell_webhook(webhook, "resume").await;
    sleep(Duration::from_secs(10)).await;
    let (after, under_way) = (site.memory_mib(), endpoint.seen().under_way);
    tell(CASE, &format!("{before} MiB before, {after} MiB with {under_way} of 1 MB under way"));
    assert!(after < before + 64 + 64, "64 MiB is the room, the rest is the sockets' and the heap's");
}
