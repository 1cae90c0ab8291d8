//! How webhooks are doing.

use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use crate::deliveries::{deliveries, webhook};
use crate::harness::{eventually, start};
use crate::replays::{beats, changeable, wait_for};

#[tokio::test]
async fn a_webhooks_numbers_follow_its_deliveries() {
    let gateway = start(|_| {}).await;
    let (receiver, answer) = changeable(200).await;
    let hook = webhook(&gateway, &receiver.url, json!({"retry_schedule": ["2s"]})).await;
    let path = format!("/webhooks/{}/stats", hook["id"]);
    let fresh = gateway.get(&path).await;
    assert_eq!((&fresh["success_rate"], &fresh["latency_ms"]["p50"]), (&Value::Null, &Value::Null));
    assert_eq!((&fresh["backlog"], &fresh["oldest_due_at"]), (&json!(0), &Value::Null));
    assert_eq!((&fresh["window"], &fresh["breaker"]["state"]), (&json!("24h"), &json!("closed")));

    let mut charger = gateway.charger("CP").await;
    beats(&mut charger, 3).await;
    wait_for(&gateway, &hook, "success", 3).await;
    answer.store(500, Ordering::SeqCst);
    beats(&mut charger, 6).await;
    let open = eventually("the breaker is open", || async {
        let stats = gateway.get(&path).await;
        (stats["breaker"]["state"] == "open" && stats["backlog"] == 6).then_some(stats)
    })
    .await;
    assert!(open["breaker"]["next_probe_at"].is_string() && open["breaker"]["since"].is_string(), "{open}");
    let all = deliveries(&gateway, &hook).await;
    let oldest = all.iter().filter_map(|one| one["next_attempt_at"].as_str()).min();
    assert_eq!(open["oldest_due_at"].as_str(), oldest, "{open}");
    assert_eq!(open["success_rate"], 1.0, "what may still arrive does not count");

    let hour = format!("{path}?window=1h");
    let hourly = eventually("some are given up", || async {
        Some(gateway.get(&hour).await).filter(|stats| stats["counts"]["failed"].as_u64() > Some(0))
    })
    .await;
    assert_eq!((&hourly["counts"]["success"], &hourly["window"]), (&json!(3), &json!("1h")));
    let failed = hourly["counts"]["failed"].as_u64().expect("a number");
    let rate = hourly["success_rate"].as_f64().expect("a rate");
    assert!((rate - 3.0 / (3 + failed) as f64).abs() < 1e-9, "{hourly}");
    assert!(hourly["latency_ms"]["p50"].as_u64() <= hourly["latency_ms"]["p95"].as_u64());
    assert!(hourly["latency_ms"]["p95"].as_u64() < Some(10_000), "{hourly}");
    for (path, status) in [(format!("{path}?window=soon"), 422), ("/webhooks/99/stats".to_owned(), 404)] {
        assert_eq!(gateway.api("GET", &path, None).await.0, status, "{path}");
    }
}
