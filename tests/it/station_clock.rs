//! What the times in a charger's messages tell of its clock, and what they do not: a message that waited in
//! an offline queue is late, and the clock is right all the same.

use std::time::Duration;

use serde_json::{Value, json};
use vocabulary::clock::{Clock, Timestamp};

use crate::golden::NOW;
use crate::harness::{Charger, Running, start_by};

const HOUR: Duration = Duration::from_secs(3_600);
const HOUR_MS: i64 = 3_600_000;

/// Long ago: a clock without battery, soon after the power has come.
const NEVER_SET: Timestamp = Timestamp::from_unix_ms(90_000);

async fn living_by(clock: &Clock) -> Running {
    start_by(clock.clone(), tempfile::tempdir().expect("a directory"), |_| {}).await
}

fn status(connector: i64, at: Timestamp) -> Value {
    json!({"connectorId": connector, "errorCode": "NoError", "status": "Available", "timestamp": at})
}

/// A status of connector 1, ten milliseconds after the one before.
async fn tells(clock: &Clock, charger: &mut Charger, at: impl Fn(Timestamp) -> Timestamp) {
    clock.advance(Duration::from_millis(10));
    charger.call("StatusNotification", status(1, at(clock.now()))).await;
}

/// The skew that is known, and the flags that tell of it.
async fn known(gateway: &Running) -> (Option<i64>, Vec<String>) {
    let station = gateway.get("/stations/CP").await;
    let flags: Vec<String> = serde_json::from_value(station["flags"].clone()).expect("texts");
    let of_clock = flags.into_iter().filter(|flag| flag.starts_with("clock"));
    (station["clock_skew_ms"].as_i64(), of_clock.collect())
}

#[tokio::test]
async fn what_waited_in_a_queue_says_nothing_about_the_clock() {
    let clock = Clock::manual(NOW);
    let gateway = living_by(&clock).await;
    let mut charger = gateway.booted("CP").await;
    // Before anything live, and after it: alone, one of each connector at once, and one after the other.
    for live in [None, Some(0)] {
        for ages_s in
            [vec![(1, 3_600)], vec![(0, 1_800), (1, 1_800), (2, 1_800)], vec![(1, 900), (1, 600), (1, 60)]]
        {
            for (connector, age_s) in ages_s {
                clock.advance(Duration::from_millis(10));
                let at = clock.now().before(Duration::from_secs(age_s));
                charger.call("StatusNotification", status(connector, at)).await;
                assert_eq!(known(&gateway).await, (live, vec![]), "{age_s} s old");
            }
        }
        tells(&clock, &mut charger, |now| now).await;
        assert_eq!(known(&gateway).await, (Some(0), vec![]));
    }
    let odd = gateway.events_of("CP", "StatusNotification").await;
    assert!(odd.iter().all(|event| event["violations"] == json!([])), "{odd:?}");
}

#[tokio::test]
async fn a_clock_that_is_off_is_seen_told_and_right_again_once_it_was_set() {
    let clock = Clock::manual(NOW);
    let gateway = living_by(&clock).await;
    let mut charger = gateway.booted("CP").await;
    let skewed = ["clock_skew".to_owned()];
    for (skew_ms, live) in [(-HOUR_MS, 3), (2 * HOUR_MS, 1)] {
        let shows = |now: Timestamp| Timestamp::from_unix_ms(now.unix_ms() + skew_ms);
        for _ in 0..live {
            tells(&clock, &mut charger, shows).await;
        }
        assert_eq!(known(&gateway).await, (Some(skew_ms), skewed.to_vec()));
        let told = gateway.events_of("CP", "StatusNotification").await.pop().expect("an event");
        let side = if skew_ms > 0 { "ahead" } else { "behind" };
        let expected = format!("clock_skew: the station's clock is {} s {side}", skew_ms.abs() / 1_000);
        assert_eq!(told["violations"][0]["problem"], expected);
        // One that waited changes nothing.
        tells(&clock, &mut charger, |now| shows(now).before(HOUR)).await;
        assert_eq!(known(&gateway).await, (Some(skew_ms), skewed.to_vec()));
        tells(&clock, &mut charger, |now| now.before(Duration::from_millis(40))).await;
        assert_eq!(known(&gateway).await, (Some(-40), vec![]));
    }
}

#[tokio::test]
async fn a_session_on_a_clock_that_is_behind_shows_it_over_time() {
    let clock = Clock::manual(NOW);
    let gateway = living_by(&clock).await;
    let mut charger = gateway.booted("CP").await;
    let own = |clock: &Clock| clock.now().before(HOUR);
    charger.call("StatusNotification", status(1, own(&clock))).await;
    clock.advance(Duration::from_secs(10));
    let start = json!({"connectorId": 1, "idTag": "T", "meterStart": 5, "timestamp": own(&clock)});
    let number = charger.call("StartTransaction", start).await["transactionId"].clone();
    assert_eq!(known(&gateway).await, (None, vec![]));
    clock.advance(Duration::from_secs(21));
    let value = json!([{"timestamp": own(&clock), "sampledValue": [{"value": "7"}]}]);
    charger
        .call("MeterValues", json!({"connectorId": 1, "transactionId": number, "meterValue": value}))
        .await;
    assert_eq!(known(&gateway).await, (Some(-HOUR_MS), vec!["clock_skew".to_owned()]));
}

#[tokio::test]
async fn a_clock_that_was_never_set_is_known_until_it_is() {
    let clock = Clock::manual(NOW);
    let gateway = living_by(&clock).await;
    let mut charger = gateway.booted("CP").await;
    tells(&clock, &mut charger, |_| NEVER_SET).await;
    let (skew_ms, flags) = known(&gateway).await;
    assert!(skew_ms.is_some_and(|skew_ms| skew_ms < -50 * 365 * 24 * HOUR_MS), "{skew_ms:?}");
    assert_eq!(flags, ["clock:never_set"]);
    tells(&clock, &mut charger, |now| now).await;
    assert_eq!(known(&gateway).await, (Some(0), vec![]));
    // A session from before it was set comes out of the queue later.
    let start = json!({"connectorId": 1, "idTag": "T", "meterStart": 5, "timestamp": NEVER_SET});
    charger.call("StartTransaction", start).await;
    assert_eq!(known(&gateway).await, (Some(0), vec![]));
}
