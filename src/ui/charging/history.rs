//! What happened in a session, in order: from the card at the reader to what was told of it at its end, and
//! its corrections.

use maud::{Markup, html};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::ui::components::time_line::{Mark, Step};
use crate::ui::components::{command, table, time, units};
use crate::ui::links;
use vocabulary::api::command::Command;
use vocabulary::api::event::Event;
use vocabulary::api::transaction::{Status, Transaction};
use vocabulary::clock::Timestamp;

/// A charger's clock that is further off than this is worth a word, in seconds.
const CLOCK_OFF_S: u64 = 60;

/// Everything that is known of its course.
pub(in crate::ui) struct History<'a> {
    pub(in crate::ui) session: &'a Transaction,
    /// Its events, what its connector has reported, and the card at the reader.
    pub(in crate::ui) events: Vec<&'a Event>,
    /// The remote start that began it, and remote stops.
    pub(in crate::ui) commands: Vec<&'a Command>,
}

impl History<'_> {
    /// The steps, as they arrived. What is still to come is the last.
    pub(in crate::ui) fn steps(&self, now: Timestamp) -> Vec<Step> {
        let events = self.events.iter().map(|event| (event.timestamp, of_event(event, now)));
        let commands = self.commands.iter().map(|command| (command.created_at, of_command(command, now)));
        let mut steps: Vec<(Timestamp, Step)> = commands.chain(events).collect();
        steps.sort_by_key(|(at, _)| *at);
        let mut steps: Vec<Step> = steps.into_iter().map(|(_, step)| step).collect();
        if self.session.status == Status::Active {
            let words = match self.session.orphaned {
                true => "Its StopTransaction has not come, and another session has begun on its connector.",
                false => "Its StopTransaction is still to come.",
            };
            steps.push(Step { mark: Mark::Ahead, at: html! {}, text: html! { (words) } });
        }
        steps
    }
}

/// Of what a connector has reported before, during and after a session, what belongs to it: from the cable
/// that was plugged in to the connector that is free again.
pub(in crate::ui) fn of_this_session(
    reports: impl IntoIterator<Item = Event>,
    began: Timestamp,
    ended: Option<Timestamp>,
) -> Vec<Event> {
    let mut found = Vec::new();
    for report in reports {
        let is_free = read(Some(&report.payload))["status"] == "Available";
        if report.timestamp < began && is_free {
            found.clear();
            continue;
        }
        let is_over = is_free && ended.is_some_and(|ended| report.timestamp >= ended);
        found.push(report);
        if is_over {
            break;
        }
    }
    found
}

fn of_event(event: &Event, now: Timestamp) -> Step {
    let (mark, words) = told(event);
    let by_its_clock = event.occurred_at.filter(|at| {
        let off = event.timestamp.since(*at).max(at.since(event.timestamp));
        off.as_secs() > CLOCK_OFF_S
    });
    let text = html! {
        (words) " " (table::link(&links::event(event.id), &event.event))
        @if let Some(at) = by_its_clock { span.muted { ", by its clock at " (time::clock(at, now)) } }
        @if event.duplicate_of.is_some() { span.muted { ", sent once more" } }
    };
    Step { mark, at: time::clock(event.timestamp, now), text }
}

fn of_command(command: &Command, now: Timestamp) -> Step {
    let failed = command.status.is_final() && command.accepted != Some(true);
    let text = html! {
        (command.action) " asked by " b { (command.requested_by.name) } ": " (command::answer(command)) " "
        (table::link(&links::command(command.id), "command"))
    };
    Step {
        mark: if failed { Mark::Failed } else { Mark::Done },
        at: time::clock(command.created_at, now),
        text,
    }
}

/// An event in words, without its name.
fn told(event: &Event) -> (Mark, Markup) {
    let payload = read(Some(&event.payload));
    let verdict = read(event.response.as_deref())["idTagInfo"]["status"].as_str().map(str::to_owned);
    let refused = verdict.as_deref().is_some_and(|verdict| verdict != "Accepted");
    let text = |name: &str| payload[name].as_str().unwrap_or_default().to_owned();
    let wh = |name: &str| payload[name].as_i64().map(|wh| format!(", meter at {}", units::watt_hours(wh)));
    let mark = if refused { Mark::Failed } else { Mark::Done };
    match event.event.as_str() {
        "Authorize" => {
            (mark, html! { "Card " (table::mono(text("idTag"))) ": " (verdict.unwrap_or_default()) })
        }
        "StartTransaction" => (
            mark,
            html! { "The session begins" @if let Some(meter) = wh("meterStart") { (meter) } @if refused { ", tag " (verdict.unwrap_or_default()) } },
        ),
        "StopTransaction" => (
            Mark::Done,
            html! { "The charger ends it: " (payload["reason"].as_str().unwrap_or("Local")) @if let Some(meter) = wh("meterStop") { (meter) } },
        ),
        "StatusNotification" => status(&text("status"), &text("errorCode")),
        "TransactionCompleted" => (Mark::Done, html! { b { "Completed" } (energy(&payload)) }),
        "TransactionCorrected" => {
            (Mark::Done, html! { b { "Corrected" } (energy(&payload)) (changed(&payload)) })
        }
        "RemoteStartOutcome" if text("outcome") == "not_started" => {
            (Mark::Failed, html! { "No session began after the remote start" })
        }
        _ => (Mark::Done, html! {}),
    }
}

fn status(status: &str, error: &str) -> (Mark, Markup) {
    let error = Some(error).filter(|code| !matches!(*code, "" | "NoError"));
    let mark = if error.is_some() || status == "Faulted" { Mark::Failed } else { Mark::Done };
    (mark, html! { "Connector " (status) @if let Some(error) = error { " (" (error) ")" } })
}

/// What the session came to, as it was told.
fn energy(payload: &Value) -> Markup {
    let quality = payload["energy_quality"].as_str().unwrap_or_default();
    html! {
        @match payload["energy_wh"].as_i64() {
            Some(wh) => { ": " (units::energy(wh)) ", " (quality) },
            None => { ": energy " (quality) },
        }
    }
}

fn changed(payload: &Value) -> Markup {
    let names = payload["changed"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let names: Vec<String> = names.map(|name| name.replace('_', " ")).collect();
    html! { @if !names.is_empty() { "; other than before: " (names.join(", ")) } }
}

fn read(json: Option<&RawValue>) -> Value {
    json.and_then(|json| serde_json::from_str(json.get()).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::ui::charging::sample::session;

    fn event(number: u64, name: &str, at: &str, payload: &Value, response: &Value) -> Event {
        let id = format!("evt_{number:026}");
        let event = json!({"id": id, "event": name, "category": "ocpp", "timestamp": at, "violations": [],
            "payload": payload, "response": response, "test": false});
        serde_json::from_value(event).expect("an event")
    }

    fn shown(history: &History<'_>) -> Vec<String> {
        let now = "2026-04-14T12:00:00Z".parse().expect("a time");
        history.steps(now).iter().map(|step| step.text.clone().into_string()).collect()
    }

    #[test]
    fn a_session_is_told_from_the_card_to_its_correction() {
        let accepted = json!({"idTagInfo": {"status": "Accepted"}});
        let events = [
            event(3, "StopTransaction", "2026-04-14T11:00:00Z", &json!({"meterStop": 9_000}), &json!({})),
            event(1, "Authorize", "2026-04-14T10:00:00Z", &json!({"idTag": "04A2"}), &accepted),
            event(2, "StartTransaction", "2026-04-14T10:00:01Z", &json!({"meterStart": 1_000}), &accepted),
            event(
                4,
                "TransactionCompleted",
                "2026-04-14T11:00:00Z",
                &json!({"energy_wh": 8_000, "energy_quality": "metered"}),
                &json!(null),
            ),
            event(
                5,
                "TransactionCorrected",
                "2026-04-14T11:10:00Z",
                &json!({"energy_wh": null, "energy_quality": "estimated", "changed": ["stop_reason"]}),
                &json!(null),
            ),
        ];
        let completed = session(&json!({"status": "completed"}));
        let told =
            shown(&History { session: &completed, events: events.iter().collect(), commands: Vec::new() });
        let begins = [
            "Card ",
            "The session begins, meter at 1,000 Wh",
            "The charger ends it: Local, meter at 9,000 Wh",
            "<b>Completed</b>: 8.00 kWh, metered",
            "<b>Corrected</b>: energy estimated; other than before: stop reason",
        ];
        assert_eq!(told.len(), begins.len());
        for (step, begin) in told.iter().zip(begins) {
            assert!(step.starts_with(begin), "{step}");
            assert!(step.contains("href=\"/ui/events/evt_"), "{step}");
        }
    }

    #[test]
    fn a_connector_has_other_sessions_before_and_after() {
        let report = |second: u64, status: &str| {
            let at = format!("2026-04-14T10:00:{second:02}Z");
            event(second, "StatusNotification", &at, &json!({"status": status}), &json!({}))
        };
        let told = ["Charging", "Available", "Preparing", "Charging", "Finishing", "Available", "Preparing"];
        let reports: Vec<Event> =
            told.into_iter().zip(1..).map(|(status, second)| report(second, status)).collect();
        let at =
            |second: u64| -> Timestamp { format!("2026-04-14T10:00:{second:02}Z").parse().expect("a time") };
        let statuses = |ended| {
            let kept = of_this_session(reports.clone(), at(4), ended);
            kept.iter().map(|event| event.timestamp.unix_ms() / 1_000 % 60).collect::<Vec<_>>()
        };
        assert_eq!(statuses(Some(at(5))), [3, 4, 5, 6]);
        assert_eq!(statuses(None), [3, 4, 5, 6, 7], "it still runs");
    }

    #[test]
    fn what_failed_and_what_is_to_come_is_marked() {
        let blocked = json!({"idTagInfo": {"status": "Blocked"}});
        let late = event(1, "StartTransaction", "2026-04-14T10:00:01Z", &json!({}), &blocked);
        let late = Event { occurred_at: Some("2026-04-14T08:00:00Z".parse().expect("a time")), ..late };
        let fault = json!({"status": "Faulted", "errorCode": "GroundFailure"});
        let fault = event(2, "StatusNotification", "2026-04-14T10:05:00Z", &fault, &json!({}));
        let active = session(&json!({"orphaned": true}));
        let history = History { session: &active, events: vec![&late, &fault], commands: Vec::new() };
        let now = "2026-04-14T12:00:00Z".parse().expect("a time");
        let marks: Vec<Mark> = history.steps(now).iter().map(|step| step.mark).collect();
        assert_eq!(marks, [Mark::Failed, Mark::Failed, Mark::Ahead]);
        let told = shown(&history);
        assert!(told[0].contains("tag Blocked") && told[0].contains("by its clock at"), "{}", told[0]);
        assert!(told[1].contains("Connector Faulted (GroundFailure)") && told[2].contains("another session"));
    }
}
