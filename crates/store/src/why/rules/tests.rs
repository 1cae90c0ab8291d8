//! Golden answers: facts in, answer out. Every `.json` file in `tests/golden/why/` is one case: `about` says
//! what it is about, `kind` and `facts` are given, `answer` comes of them. Facts name only what matters; the
//! rest is as [`with_defaults`] has it. A new case needs no answer: with `UPDATE_GOLDEN=1` the test writes
//! it, to be read before it is committed.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::super::facts::{CommandFacts, SessionFacts, StationFacts, TagFacts};
use vocabulary::api::delivery::Delivery;
use vocabulary::api::why::{Verdict, Why};
use vocabulary::clock::Timestamp;

/// When every question is asked.
const NOW: &str = "2026-04-14T12:34:56.789Z";

/// When things are made, unless a file says otherwise.
const MADE: &str = "2026-04-01T08:00:00.000Z";

fn station() -> Value {
    json!({"station_id": "CP", "connected": true, "connected_at": "2026-04-14T08:00:00.000Z",
           "last_seen_at": "2026-04-14T12:34:50.000Z", "remote_addr": "192.0.2.7:40000",
           "booted_at": "2026-04-14T08:00:01.000Z", "booted_as": "accepted",
           "min_security_profile": 0, "boot_status": "accepted", "blocked": false, "ping": true,
           "password_set": false, "flags": [], "abilities": [], "metadata": {}, "created_at": MADE,
           "updated_at": MADE})
}

fn connector() -> Value {
    json!({"station_id": "CP", "connected": true, "connector_id": 1, "status": "Available",
           "since": "2026-04-14T12:00:00.000Z", "error_code": "NoError",
           "updated_at": "2026-04-14T12:00:00.000Z"})
}

fn command() -> Value {
    json!({"id": "cmd_01jrs0m6nxk3v1c8d9e0f2g4h6", "station_id": "CP", "action": "Reset", "payload": {},
           "requested_by": {"id": "key_01jrs0m6nxk3v1c8d9e0f2g4h6", "name": "support"}, "status": "completed",
           "accepted": true, "violations": [], "timeout": "30s", "queue": false,
           "created_at": "2026-04-14T12:00:00.000Z", "expires_at": "2026-04-14T12:00:30.000Z",
           "sent_at": "2026-04-14T12:00:00.100Z", "completed_at": "2026-04-14T12:00:01.000Z"})
}

fn session() -> Value {
    json!({"transaction_id": 483_920_175, "station_id": "CP", "connector_id": 1, "id_tag": "TAG",
           "id_tag_status": "Accepted", "status": "active", "orphaned": false, "inferred": false,
           "started_at": "2026-04-14T12:00:00.000Z", "revision": 0, "updated_at": "2026-04-14T12:00:00.000Z",
           "meter_start": 1_000, "energy_quality": "missing"})
}

fn delivery() -> Value {
    json!({"id": "dlv_01jrs0m6nxk3v1c8d9e0f2g4h6", "event_id": "evt_01jrs0m6nxk3v1c8d9e0f2g4h6",
           "event": "StartTransaction", "webhook_id": 3, "sequence": 1, "url": "https://example.com/hook",
           "payload": {}, "status": "retry", "attempts": [], "created_at": "2026-04-14T12:00:00.000Z"})
}

fn tag() -> Value {
    json!({"id_tag": "TAG", "status": "Accepted", "active_transactions": 0, "created_at": MADE, "updated_at": MADE})
}

/// `given` over `defaults`, member by member.
fn over(defaults: Value, given: &Value) -> Value {
    match (defaults, given) {
        (Value::Object(mut members), Value::Object(given)) => {
            for (name, value) in given {
                members.insert(name.clone(), value.clone());
            }
            Value::Object(members)
        }
        (_, given) => given.clone(),
    }
}

/// A member of the facts, and what it is like if nothing is said.
type Member = (&'static str, fn() -> Value);

/// The facts with everything that they do not name.
fn with_defaults(given: &Value) -> Value {
    let mut facts = over(json!({"now": NOW}), given);
    let members: [Member; 12] = [
        ("station", station),
        ("connector", connector),
        ("connectors", connector),
        ("command", command),
        ("commands", command),
        ("others", command),
        ("session", session),
        ("sessions", session),
        ("follower", session),
        ("charging", session),
        ("tag", tag),
        ("elsewhere", tag),
    ];
    for (member, default) in members {
        match facts.get(member) {
            Some(Value::Array(rows)) => {
                facts[member] = rows.iter().map(|row| over(default(), row)).collect();
            }
            Some(row @ Value::Object(_)) => facts[member] = over(default(), row),
            _ => {}
        }
    }
    let mut count = 0;
    for member in ["events", "statuses", "shown"] {
        for row in facts.get_mut(member).and_then(Value::as_array_mut).into_iter().flatten() {
            count += 1;
            *row = over(json!({"id": format!("evt_{count}")}), row);
        }
    }
    facts
}

fn read<T: serde::de::DeserializeOwned>(facts: Value) -> T {
    // By its text: raw JSON is read from no value.
    serde_json::from_str(&facts.to_string()).unwrap_or_else(|error| panic!("{error}: {facts:#}"))
}

fn answer(kind: &str, given: &Value) -> Why {
    let facts = with_defaults(given);
    match kind {
        "station" => {
            let facts = over(json!({"identity": "CP"}), &facts);
            super::station(&read::<StationFacts>(facts))
        }
        "session" => {
            let facts = over(json!({"created_at": "2026-04-14T12:00:00.500Z"}), &facts);
            super::session(&read::<SessionFacts>(facts))
        }
        "command" => super::command(&read::<CommandFacts>(facts)),
        "tag" => {
            let facts = over(json!({"id_tag": "TAG", "accepts_unknown": false}), &facts);
            super::tag(&read::<TagFacts>(facts))
        }
        "delivery" => {
            let now: Timestamp = NOW.parse().expect("a moment");
            super::delivery(&read::<Delivery>(over(delivery(), given)), now)
        }
        other => panic!("{other}"),
    }
}

fn cases() -> Vec<PathBuf> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/why");
    let entries = fs::read_dir(folder).expect("the folder of golden answers");
    let mut cases: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    cases.sort();
    cases
}

#[test]
fn every_golden_case_has_its_answer() {
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let mut wrong = Vec::new();
    let mut told = BTreeSet::new();
    for path in cases() {
        let name = path.file_stem().and_then(|stem| stem.to_str()).expect("a name").to_owned();
        let text = fs::read_to_string(&path).expect("text");
        let mut case: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        let why = answer(case["kind"].as_str().expect("a kind"), &case["facts"]);
        told.insert(why.verdict.as_str());
        assert_eq!(why.next.is_empty(), why.verdict.is_ordinary(), "{name}: what can be done");
        assert!(why.facts.is_sorted_by_key(|fact| fact.at), "{name}: the newest fact is last");
        assert!(why.summary.ends_with('.') && !why.summary.contains(".."), "{name}: {}", why.summary);
        let why = serde_json::to_value(&why).expect("JSON");
        if case["answer"] == why {
            continue;
        }
        if update {
            case["answer"] = why;
            let text = serde_json::to_string_pretty(&case).expect("JSON");
            fs::write(&path, text + "\n").expect("writes");
        } else {
            wrong.push(format!("{name}: {why:#}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let untold: Vec<_> = Verdict::WORDS.iter().filter(|verdict| !told.contains(**verdict)).collect();
    assert!(untold.is_empty(), "verdicts without a golden case: {untold:?}");
}
