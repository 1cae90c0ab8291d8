//! Scenarios: those that ship, run to their end on real sockets, and what a failure says.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::central::{Central, Heard, Rule, answer};
use crate::director::Director;
use crate::notice::Summary;
use crate::scenario::Scenario;
use crate::{ChargerOptions, Notice, Sessions, session};
use vocabulary::id::StationId;

const PATIENCE: Duration = Duration::from_secs(60);

/// Runs a scenario: what it did, and the failures it told of.
async fn run(central: &Central, file: &str, text: &str) -> (Summary, Vec<String>) {
    let scenario = Scenario::parse(Path::new(file), text).expect("a scenario");
    let mut options =
        ChargerOptions::new(central.endpoint.clone(), StationId::new("CP").expect("an identity"));
    scenario.apply(&mut options);
    let mut failures = Vec::new();
    let work = session::run_directed(
        options,
        Director::scripted(scenario.steps),
        None,
        CancellationToken::new(),
        |_, notice| {
            if let Notice::StepFailed { line, step, reason } = notice {
                failures.push(format!("line {line}: {step}: {reason}"));
            }
        },
    );
    let (summary, failed) = timeout(PATIENCE, work).await.expect("it ends");
    assert_eq!(failed, failures.len() as u64);
    (summary, failures)
}

/// An ordinary central system that starts a session once a charger is there, and stops it once it runs.
fn remote(heard: &[Heard]) -> Rule {
    let (action, payload) = &heard[heard.len() - 1];
    let ordinary = answer(action);
    match (action.as_str(), payload["connectorId"].as_i64(), payload["status"].as_str()) {
        ("StatusNotification", Some(1), Some("Available")) if heard.len() < 5 => {
            let start = json!({"connectorId": 1, "idTag": "APP_1"});
            Rule::AnswerAndAsk(ordinary, "RemoteStartTransaction", start)
        }
        ("StatusNotification", Some(1), Some("Charging")) => {
            Rule::AnswerAndAsk(ordinary, "RemoteStopTransaction", json!({"transactionId": 4711}))
        }
        _ => Rule::Answer(ordinary),
    }
}

#[tokio::test]
async fn the_scenarios_that_ship_run_to_their_end() {
    let ordinary = |heard: &[Heard]| Rule::Answer(answer(&heard[heard.len() - 1].0));
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        if !name.starts_with("scenario-") {
            continue;
        }
        let central = match name.contains("remote") {
            true => Central::start(remote).await,
            false => Central::start(ordinary).await,
        };
        let text = std::fs::read_to_string(&path).expect("text");
        let (summary, failures) = run(&central, &name, &text).await;
        assert_eq!(failures, [""; 0], "{name}");
        assert!(summary.sessions > 0, "{name}");
        names.push(name);
    }
    assert!(names.len() >= 4, "{names:?}");
}

#[tokio::test]
async fn a_failure_names_line_step_and_reason_and_ends_the_scenario() {
    let central = Central::start(|heard| Rule::Answer(answer(&heard[heard.len() - 1].0))).await;
    let script = |steps: &[&str]| {
        let lines: String = steps.iter().map(|step| format!("  {step:?},\n")).collect();
        format!("[scenario]\nsteps = [\n{lines}]\n")
    };
    for (steps, expected) in [
        (
            &["expect online", "expect status 1 Charging within 50ms", "plug 1"][..],
            "line 4: expect status 1 Charging within 50ms: expected connector 1 to be Charging, but it is Available",
        ),
        (&["plug 7"], "line 3: plug 7: there is no connector 7: this charger has 2"),
        (&["stop 1"], "line 3: stop 1: no transaction runs at connector 1"),
        (
            &["expect online", "expect command Reset within 50ms"],
            "line 4: expect command Reset within 50ms: expected the command Reset, but the central system asked for nothing",
        ),
        (
            &["expect online", "expect sent StartTransaction within 50ms"],
            "line 4: expect sent StartTransaction within 50ms: expected an answered StartTransaction, but the last one since was",
        ),
    ] {
        let (summary, failures) = run(&central, "s.toml", &script(steps)).await;
        assert_eq!(failures.len(), 1, "{failures:?}");
        assert!(failures[0].starts_with(expected), "{}", failures[0]);
        assert_eq!(summary.sessions, 0);
    }
}

#[tokio::test]
async fn lines_from_a_terminal_are_done_and_mistakes_forgiven() {
    let central = Central::start(|heard| Rule::Answer(answer(&heard[heard.len() - 1].0))).await;
    let mut options =
        ChargerOptions::new(central.endpoint.clone(), StationId::new("CP").expect("an identity"));
    options.sessions = Sessions::ByHand;
    let (sender, lines) = mpsc::unbounded_channel();
    for line in [
        "expect online",
        "",
        "dance",
        "plug 1",
        "tag ABC",
        "expect status 1 Charging",
        "status",
        "unplug 1",
        "quit",
    ] {
        sender.send(line.to_owned()).expect("it listens");
    }
    let mut told = Vec::new();
    let work = session::run_directed(
        options,
        Director::live(),
        Some(lines),
        CancellationToken::new(),
        |_, notice| match notice {
            Notice::Reply { text } => told.push(text.clone()),
            Notice::StepFailed { line, reason, .. } => told.push(format!("{line}: {reason}")),
            _ => {}
        },
    );
    let (summary, failures) = timeout(PATIENCE, work).await.expect("it ends");
    assert_eq!((summary.sessions, failures), (1, 1));
    assert!(told[0].starts_with("3: \"dance\" is no step"), "{told:?}");
    assert!(told[1].contains("connector 1: Charging for ABC"), "{told:?}");
    let stop: Vec<Value> = central
        .heard()
        .into_iter()
        .filter_map(|(action, payload)| (action == "StopTransaction").then_some(payload))
        .collect();
    assert_eq!(stop[0]["reason"], "EVDisconnected", "said before it left");
}
