//! On real sockets.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::central::{Central, Rule, answer};
use crate::load::{self, Counters, LoadOptions};
use crate::notice::Summary;
use crate::{Acknowledged, ChargerOptions, Notice, Sessions, session};
use vocabulary::id::StationId;

const PATIENCE: Duration = Duration::from_secs(20);

fn quick(central: &Central) -> ChargerOptions {
    let id = StationId::new("RDAM 123").expect("an identity");
    ChargerOptions {
        sessions: Sessions::Count(1),
        session_duration: Duration::from_millis(200),
        sample_interval: Duration::from_millis(40),
        handling: Duration::from_millis(5),
        reconnect_first: Duration::from_millis(20),
        reboot: Duration::from_millis(20),
        connectors: 1,
        seed: Some(1),
        ..ChargerOptions::new(central.endpoint.clone(), id)
    }
}

async fn run(options: ChargerOptions) -> (Summary, Vec<Acknowledged>) {
    let mut acknowledged = Vec::new();
    let work = session::run(options, CancellationToken::new(), |_, notice| {
        if let Notice::Acknowledged(one) = notice {
            acknowledged.push(one.clone());
        }
    });
    let summary = timeout(PATIENCE, work).await.expect("the charger finishes");
    (summary, acknowledged)
}

#[tokio::test]
async fn one_session_runs_from_boot_to_available() {
    let central = Central::start(|heard| Rule::Answer(answer(&heard[heard.len() - 1].0))).await;
    let (summary, acknowledged) = run(quick(&central)).await;
    let actions = central.actions();
    let (head, rest) = actions.split_at(7);
    let expected = [
        "BootNotification",
        "StatusNotification",
        "StatusNotification",
        "StatusNotification",
        "Authorize",
        "StartTransaction",
        "StatusNotification",
    ];
    assert_eq!(head, expected);
    let (samples, tail) = rest.split_at(rest.len() - 3);
    assert_eq!(tail, ["StatusNotification", "StopTransaction", "StatusNotification"]);
    assert!(!samples.is_empty() && samples.iter().all(|action| action == "MeterValues"), "{samples:?}");
    assert_eq!(summary.sent, actions.len() as u64);
    assert_eq!(summary.acknowledged, summary.sent);
    assert_eq!((summary.sessions, summary.connections, summary.retried), (1, 1, 0));
    let told: Vec<_> = central.heard().into_iter().map(|(_, payload)| payload).collect();
    let ledger: Vec<serde_json::Value> =
        acknowledged.iter().map(|one| serde_json::from_str(one.payload.get()).expect("JSON")).collect();
    assert_eq!(ledger, told, "the ledger has what was sent, in order");
}

/// The record of the one transaction: actions without repeats of the same content.
fn record(central: &Central) -> Vec<(String, serde_json::Value)> {
    let mut record: Vec<(String, serde_json::Value)> = Vec::new();
    for (action, payload) in central.heard() {
        let transactional = ["StartTransaction", "MeterValues", "StopTransaction"].contains(&action.as_str());
        if transactional && !record.contains(&(action.clone(), payload.clone())) {
            record.push((action, payload));
        }
    }
    record
}

#[tokio::test]
async fn a_cut_in_the_middle_of_a_session_loses_nothing_and_keeps_the_order() {
    // The start's answer, a meter value's and the stop's are lost, each on its first try.
    let central = Central::start(|heard| {
        let (action, payload) = &heard[heard.len() - 1];
        let tries = heard.iter().filter(|one| *one == &(action.clone(), payload.clone())).count();
        let meters = heard.iter().filter(|(action, _)| action == "MeterValues").count();
        match action.as_str() {
            "StartTransaction" | "StopTransaction" if tries == 1 => Rule::Cut,
            "MeterValues" if tries == 1 && meters == 2 => Rule::Cut,
            action => Rule::Answer(answer(action)),
        }
    })
    .await;
    let (summary, acknowledged) = run(quick(&central)).await;
    assert_eq!((summary.connections, summary.retried, summary.sessions), (4, 3, 1));
    let boots = central.actions().iter().filter(|action| *action == "BootNotification").count();
    assert_eq!(boots, 1, "only who restarted boots again");
    let record = record(&central);
    assert_eq!(record[0].0, "StartTransaction");
    assert_eq!(record[record.len() - 1].0, "StopTransaction");
    let mut last = String::new();
    for (action, payload) in &record[1..record.len() - 1] {
        assert_eq!(action, "MeterValues");
        assert_eq!(payload["transactionId"], 4711, "known before the first sample leaves");
        let at = payload["meterValue"][0]["timestamp"].as_str().expect("a time").to_owned();
        assert!(at > last, "{at} is not after {last}");
        last = at;
    }
    assert_eq!(record[record.len() - 1].1["transactionId"], 4711);
    let distinct: Vec<&str> = acknowledged
        .iter()
        .filter(|one| one.action == "StartTransaction" || one.action == "StopTransaction")
        .map(|one| one.action)
        .collect();
    assert_eq!(distinct, ["StartTransaction", "StopTransaction"], "each acknowledged once");
}

#[tokio::test]
async fn a_pending_charger_boots_again_and_says_nothing_else() {
    let central = Central::start(|heard| match heard {
        [(boot, _)] if boot == "BootNotification" => Rule::Answer(json!({
            "status": "Pending", "currentTime": "2026-04-14T12:00:00Z", "interval": 1,
        })),
        _ => Rule::Answer(answer(&heard[heard.len() - 1].0)),
    })
    .await;
    let (summary, _) = run(quick(&central)).await;
    assert_eq!(central.actions()[..3], ["BootNotification", "BootNotification", "StatusNotification"]);
    assert_eq!((summary.sessions, summary.connections), (1, 1));
}

#[tokio::test]
async fn a_reset_stops_the_session_and_boots_anew() {
    let central = Central::start(|heard| {
        let action = &heard[heard.len() - 1].0;
        let first_sample = heard.iter().filter(|(action, _)| action == "MeterValues").count() == 1;
        match action.as_str() {
            "MeterValues" if first_sample => Rule::AnswerAndAsk(json!({}), "Reset", json!({"type": "Hard"})),
            action => Rule::Answer(answer(action)),
        }
    })
    .await;
    let mut options = quick(&central);
    options.session_duration = PATIENCE;
    let (summary, _) = run(options).await;
    assert_eq!((summary.sessions, summary.connections, summary.commands), (1, 2, 1));
    let actions = central.actions();
    assert_eq!(actions.iter().filter(|action| *action == "BootNotification").count(), 2);
    let (_, stop) =
        central.heard().into_iter().find(|(action, _)| action == "StopTransaction").expect("a stop");
    assert_eq!(stop["reason"], "HardReset");
    let position = |wanted: &str| actions.iter().rposition(|action| action == wanted);
    assert!(position("BootNotification") < position("StopTransaction"), "the stop waits for the new life");
}

#[tokio::test]
async fn load_is_answered_counted_and_recorded() {
    let central = Central::start(|heard| Rule::Answer(answer(&heard[heard.len() - 1].0))).await;
    let ledger = Arc::new(Mutex::new(Vec::new()));
    let book = Arc::clone(&ledger);
    let options = LoadOptions {
        duration: Duration::from_millis(300),
        ledger: Some(Arc::new(move |one: Acknowledged| book.lock().expect("not poisoned").push(one))),
        ..LoadOptions::new(central.endpoint.clone(), "SIM", 5)
    };
    let counters = Arc::new(Counters::default());
    let work = load::run(options, counters, CancellationToken::new());
    let report = timeout(PATIENCE, work).await.expect("the load ends").expect("legal identities");
    assert_eq!((report.connected, report.connections, report.disconnections), (5, 5, 0));
    assert_eq!((report.errors, report.unanswered), (0, 0));
    assert!(report.answered > 50, "{report}");
    assert!(report.latency_ms.p50 <= report.latency_ms.p99 && report.latency_ms.max > 0.0);
    let ledger = ledger.lock().expect("not poisoned");
    assert_eq!(ledger.len(), central.heard().len());
    assert!(ledger.iter().any(|one| one.station_id.as_str() == "SIM_00005"));
}

#[tokio::test]
async fn the_rate_is_that_of_all_chargers_together() {
    let central = Central::start(|heard| Rule::Answer(answer(&heard[heard.len() - 1].0))).await;
    let options = LoadOptions {
        duration: Duration::from_millis(1_000),
        rate: 100.0,
        ..LoadOptions::new(central.endpoint.clone(), "SIM", 10)
    };
    let work = load::run(options, Arc::new(Counters::default()), CancellationToken::new());
    let report = timeout(PATIENCE, work).await.expect("the load ends").expect("legal identities");
    assert!((50..=110).contains(&report.sent), "{report}");
}
