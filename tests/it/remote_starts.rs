//! Which session a remote start has begun, whatever the charger's clock shows.

use std::time::Duration;

use serde_json::{Value, json};
use vocabulary::clock::{Clock, Timestamp};

use crate::golden::NOW;
use crate::harness::{Charger, Running, start_by};
use crate::scripted::obey;

const HOUR_MS: i64 = 3_600_000;

async fn living_by(clock: &Clock) -> Running {
    start_by(clock.clone(), tempfile::tempdir().expect("a directory"), |_| {}).await
}

fn off_by(clock: &Clock, ms: i64) -> Timestamp {
    Timestamp::from_unix_ms(clock.now().unix_ms() + ms)
}

async fn status(clock: &Clock, charger: &mut Charger, ms: i64) {
    clock.advance(Duration::from_millis(50));
    let at = off_by(clock, ms);
    let status = json!({"connectorId": 1, "errorCode": "NoError", "status": "Preparing", "timestamp": at});
    charger.call("StatusNotification", status).await;
}

async fn remote_start(gateway: &Running, charger: &mut Charger) -> Value {
    let payload = json!({"idTag": "TAG", "connectorId": 1});
    let accepted = json!({"status": "Accepted"});
    obey(gateway, charger, "CP", "RemoteStartTransaction", payload, accepted).await["id"].clone()
}

/// A session that begins and ends at this time: the command it is said to come of.
async fn session(gateway: &Running, charger: &mut Charger, at: Timestamp) -> Value {
    let start = json!({"connectorId": 1, "idTag": "TAG", "meterStart": 10, "timestamp": at});
    let number = charger.call("StartTransaction", start).await["transactionId"].clone();
    charger.call("StopTransaction", json!({"transactionId": number, "meterStop": 20, "timestamp": at})).await;
    gateway.get(&format!("/transactions/{number}")).await["command_id"].clone()
}

#[tokio::test]
async fn a_session_out_of_the_queue_is_not_the_one_that_was_asked_for() {
    // What the station has told of its clock before: nothing, in a queue, lately, and that it was ahead.
    for told_ms in
        [vec![], vec![-HOUR_MS], vec![-HOUR_MS, -HOUR_MS + 60_000, -30_000], vec![0], vec![2 * HOUR_MS]]
    {
        let clock = Clock::manual(NOW);
        let gateway = living_by(&clock).await;
        let mut charger = gateway.booted("CP").await;
        let mut ahead_ms = 0;
        for ms in &told_ms {
            status(&clock, &mut charger, *ms).await;
            ahead_ms = (*ms).max(0);
        }
        let command = remote_start(&gateway, &mut charger).await;
        clock.advance(Duration::from_secs(1));
        let queued = off_by(&clock, ahead_ms - HOUR_MS);
        assert_eq!(session(&gateway, &mut charger, queued).await, Value::Null, "{told_ms:?}");
        let asked_for = off_by(&clock, ahead_ms);
        assert_eq!(session(&gateway, &mut charger, asked_for).await, command, "{told_ms:?}");
    }
}

#[tokio::test]
async fn a_clock_that_is_known_to_be_wrong_hides_no_session_that_was_asked_for() {
    let clock = Clock::manual(NOW);
    let gateway = living_by(&clock).await;
    let mut charger = gateway.booted("CP").await;
    let never_set = -NOW.unix_ms() + 90_000;
    for (ahead_ms, live) in [(-HOUR_MS, 3), (HOUR_MS, 1), (never_set, 1), (-30_000, 3)] {
        for _ in 0..live {
            status(&clock, &mut charger, ahead_ms).await;
        }
        let command = remote_start(&gateway, &mut charger).await;
        clock.advance(Duration::from_secs(2));
        if ahead_ms != never_set {
            let queued = off_by(&clock, ahead_ms - 600_000);
            assert_eq!(session(&gateway, &mut charger, queued).await, Value::Null, "{ahead_ms}");
        }
        let asked_for = off_by(&clock, ahead_ms);
        assert_eq!(session(&gateway, &mut charger, asked_for).await, command, "{ahead_ms}");
    }
}
