//! What a connector is shown as: what its newest status tells, by the charger's own time as far as that can
//! be relied on.

use std::time::Duration;

use serde_json::{Value, json};
use vocabulary::clock::{Clock, Timestamp};

use crate::golden::NOW;
use crate::harness::{Charger, Running, start_by};

async fn living_by(clock: &Clock) -> Running {
    start_by(clock.clone(), tempfile::tempdir().expect("a directory"), |_| {}).await
}

async fn tells(charger: &mut Charger, connector: i64, status: &str, at: Option<Timestamp>) {
    let mut payload = json!({"connectorId": connector, "errorCode": "NoError", "status": status});
    if let Some(at) = at {
        payload["timestamp"] = json!(at);
    }
    charger.call("StatusNotification", payload).await;
}

async fn shown(gateway: &Running) -> Vec<Value> {
    let connectors = gateway.get("/stations/CP/connectors").await;
    connectors["data"].as_array().expect("a list").iter().map(|one| one["status"].clone()).collect()
}

fn off_by(clock: &Clock, ms: i64) -> Option<Timestamp> {
    Some(Timestamp::from_unix_ms(clock.now().unix_ms() + ms))
}

const MINUTE_MS: i64 = 60_000;

#[tokio::test]
async fn an_older_status_out_of_a_queue_does_not_overwrite_a_newer_one() {
    let clock = Clock::manual(NOW);
    let gateway = living_by(&clock).await;
    let mut charger = gateway.booted("CP").await;
    tells(&mut charger, 1, "Charging", off_by(&clock, 0)).await;
    clock.advance(Duration::from_secs(1));
    for (status, ago) in [("Available", 60), ("Preparing", 5)] {
        tells(&mut charger, 1, status, off_by(&clock, -ago * MINUTE_MS)).await;
        assert_eq!(shown(&gateway).await, ["Charging"]);
    }
    // Another connector has a time of its own, and a queue is in order.
    for (status, ago) in [("Available", 60), ("Faulted", 5)] {
        tells(&mut charger, 2, status, off_by(&clock, -ago * MINUTE_MS)).await;
        assert_eq!(shown(&gateway).await, ["Charging", status]);
    }
    // Of one moment the last one counts, and so does one that names none.
    let moment = off_by(&clock, 0);
    for status in ["SuspendedEV", "Charging", "Finishing"] {
        tells(&mut charger, 1, status, moment).await;
        assert_eq!(shown(&gateway).await, [status, "Faulted"]);
    }
    tells(&mut charger, 1, "Available", None).await;
    assert_eq!(shown(&gateway).await, ["Available", "Faulted"]);
    assert_eq!(gateway.events_of("CP", "StatusNotification").await.len(), 9, "each is an event");
}

#[tokio::test]
async fn a_clock_that_is_set_does_not_freeze_a_connector() {
    let clock = Clock::manual(NOW);
    let gateway = living_by(&clock).await;
    let mut charger = gateway.booted("CP").await;
    // The charger's, which was ahead for years; then the gateway's own, which was.
    tells(&mut charger, 1, "Charging", off_by(&clock, 3_000_000 * MINUTE_MS)).await;
    clock.advance(Duration::from_secs(1));
    tells(&mut charger, 1, "Finishing", off_by(&clock, 0)).await;
    assert_eq!(shown(&gateway).await, ["Finishing"]);
    clock.set(-90 * MINUTE_MS);
    clock.advance(Duration::from_secs(2));
    tells(&mut charger, 1, "Available", off_by(&clock, 0)).await;
    assert_eq!(shown(&gateway).await, ["Available"]);
    // One that is set back by mistake, as soon as that is certain; what waited in its queue is still older.
    clock.advance(Duration::from_secs(2));
    for status in ["Preparing", "Charging", "SuspendedEV"] {
        clock.advance(Duration::from_secs(5));
        tells(&mut charger, 1, status, off_by(&clock, -60 * MINUTE_MS)).await;
    }
    assert_eq!(shown(&gateway).await, ["SuspendedEV"]);
    clock.advance(Duration::from_secs(5));
    tells(&mut charger, 1, "Faulted", off_by(&clock, -75 * MINUTE_MS)).await;
    assert_eq!(shown(&gateway).await, ["SuspendedEV"]);
    tells(&mut charger, 1, "Charging", off_by(&clock, -60 * MINUTE_MS)).await;
    assert_eq!(shown(&gateway).await, ["Charging"]);
}
