//! Remote starts that were accepted, and what came of them.

use std::time::Duration;

use super::super::answer::{Answer, at, kwh, of_command as command_fact, of_session, quoted, span};
use super::super::facts::{CableWait, CommandFacts, Seen, StationFacts};
use super::tags;
use vocabulary::api::command::{Command, CommandStatus, RemoteStartOutcome};
use vocabulary::api::why::{Fact, Verdict};
use vocabulary::clock::Timestamp;
use vocabulary::ocpp::authorization::AuthorizationStatus;

/// A driver whose start failed this lately may still stand at the charger.
const LATELY: Duration = Duration::from_secs(3_600);

const ACTION: &str = "RemoteStartTransaction";

/// A member of a command's payload.
fn payload(command: &Command, member: &str) -> serde_json::Value {
    let payload: serde_json::Value = serde_json::from_str(command.payload.get()).unwrap_or_default();
    payload[member].clone()
}

/// Whether it was accepted, and nothing has begun.
fn came_to_nothing(command: &Command) -> bool {
    command.action == ACTION
        && command.status == CommandStatus::Completed
        && command.accepted == Some(true)
        && command.outcome != Some(RemoteStartOutcome::Started)
        && command.transaction_id.is_none()
}

/// What is known around a remote start.
struct Start<'a> {
    now: Timestamp,
    command: &'a Command,
    accepted_at: Timestamp,
    wait: CableWait,
    /// Reports of its connector since a little before, the oldest first.
    statuses: Vec<&'a Seen>,
    /// The connector's status on record.
    status_now: Option<&'a str>,
    /// The tag was refused after it was accepted.
    refusal: Option<&'a Seen>,
}

impl Start<'_> {
    fn begins(&self) -> Fact {
        let tag = payload(self.command, "idTag");
        let text = format!("The remote start for {} was accepted", quoted(tag.as_str().unwrap_or("a tag")));
        command_fact(self.command, self.accepted_at, text)
    }

    /// Statuses that the connector had from the acceptance on.
    fn had(&self) -> Vec<&str> {
        let before = self.statuses.iter().rev().find(|seen| seen.at <= self.accepted_at);
        let after = self.statuses.iter().filter(|seen| seen.at > self.accepted_at);
        let mut had: Vec<&str> =
            before.into_iter().chain(after).filter_map(|seen| seen.text("status")).collect();
        if had.is_empty() {
            had.extend(self.status_now);
        }
        had
    }

    fn answer(&self) -> Option<Answer> {
        let waited = self.now.since(self.accepted_at);
        let is_over = self.command.outcome == Some(RemoteStartOutcome::NotStarted);
        if !is_over && waited < Duration::from_secs(self.wait.seconds) {
            let left = Duration::from_secs(self.wait.seconds).saturating_sub(waited);
            let summary = format!(
                "The remote start was accepted at {} ({}); the charger waits for a cable for another {}.",
                at(self.accepted_at, self.now),
                self.command.id,
                span(left)
            );
            return Some(
                Answer::new(Verdict::Waiting, summary)
                    .fact(self.begins())
                    .next("Plug the cable in, on both sides, until it clicks"),
            );
        }
        Some(match self.refusal {
            Some(refused) => self.tag_was_refused(refused),
            None => self.nothing_began(),
        })
    }

    fn tag_was_refused(&self, refused: &Seen) -> Answer {
        let status = refused.tag_status().unwrap_or("Invalid");
        let (verdict, words) = tags::verdict_of(status, refused.id_tag_reason.as_deref());
        let tag = quoted(refused.text("idTag").unwrap_or_default());
        let summary = format!(
            "The remote start was accepted at {} ({}), but its tag {tag} was then answered {status}: {words}.",
            at(self.accepted_at, self.now),
            self.command.id
        );
        Answer::new(verdict, summary)
            .fact(self.begins())
            .fact(refused.fact(format!("{} with {tag} was answered {status}", refused.event)))
            .next(format!("See what is known of the tag: GET /id-tags/{tag}/why"))
    }

    fn nothing_began(&self) -> Answer {
        let wait =
            format!("{} s{}", self.wait.seconds, if self.wait.known { "" } else { " (the usual time-out)" });
        let told = self.statuses.iter().map(|seen| {
            let error = seen.text("errorCode").filter(|code| *code != "NoError");
            let error = error.map(|code| format!(" ({})", quoted(code))).unwrap_or_default();
            seen.fact(format!(
                "The connector reported {}{error}",
                quoted(seen.text("status").unwrap_or("nothing"))
            ))
        });
        let began = format!(
            "The remote start was accepted at {} ({}), no StartTransaction followed within {wait}",
            at(self.accepted_at, self.now),
            self.command.id
        );
        let had = self.had();
        let other = had.iter().find(|status| !matches!(**status, "Available" | "Reserved")).copied();
        let outcome = (Verdict::NotStarted, String::new());
        let (verdict, why) = match (other, had.is_empty()) {
            (None, false) => (
                Verdict::NoCable,
                "the connector was Available the whole time, so no cable was seen".to_owned(),
            ),
            (None, true) => (
                Verdict::NoCable,
                "the connector has reported nothing meanwhile: most likely no cable was plugged in"
                    .to_owned(),
            ),
            (Some("Faulted"), _) => (Verdict::Faulted, "the connector is Faulted".to_owned()),
            (Some("Unavailable"), _) => (Verdict::Unavailable, "the connector is out of service".to_owned()),
            (Some("Preparing" | "SuspendedEV"), _) => {
                (outcome.0, "a cable was plugged in, but the car did not ask for power".to_owned())
            }
            (Some(status), _) => (outcome.0, format!("the connector was {}", quoted(status))),
        };
        let answer = Answer::new(verdict, format!("{began}; {why}.")).fact(self.begins()).facts(told);
        match verdict {
            Verdict::NoCable => answer
                .next("Plug the cable in, on both sides, then send the remote start again")
                .next("If the cable was plugged in, the charger did not notice: try the other connector, then a Reset"),
            Verdict::NotStarted => answer
                .next("Unplug, plug in again, and send the remote start once more")
                .next("Look whether the car waits for a time of its own (a charging timer), or is full"),
            _ => answer.next(format!("See why: GET /stations/{}/why", self.command.station_id)),
        }
    }
}

/// A connector's reports among events.
fn statuses_of<'a>(events: impl Iterator<Item = &'a Seen>, connector_id: Option<i64>) -> Vec<&'a Seen> {
    let fits = |seen: &&'a Seen| {
        let number = seen.number("connectorId");
        seen.is("StatusNotification")
            && match connector_id {
                Some(wanted) => number == Some(wanted),
                None => number != Some(0),
            }
    };
    events.filter(fits).collect()
}

/// Whether the tag of a remote start was refused.
fn is_refusal(seen: &Seen, command: &Command, accepted_at: Timestamp) -> bool {
    let tag = payload(command, "idTag");
    (seen.is("Authorize") || seen.is("StartTransaction"))
        && seen.at >= accepted_at
        && seen.tag_status().is_some_and(|status| status != "Accepted")
        && seen.text("idTag").zip(tag.as_str()).is_some_and(|(one, other)| one.eq_ignore_ascii_case(other))
}

/// "It does not charge": the station's last remote start came to nothing.
pub(super) fn of_station(facts: &StationFacts) -> Option<Answer> {
    let command = facts.commands.iter().find(|command| command.action == ACTION)?;
    let accepted_at = command.completed_at?;
    let started_since = facts.events.iter().any(|seen| seen.is("StartTransaction") && seen.at >= accepted_at);
    if !came_to_nothing(command) || started_since || facts.now.since(accepted_at) > LATELY {
        return None;
    }
    let connector_id = payload(command, "connectorId").as_i64();
    let known = facts.connectors.iter().find(|connector| connector_id == Some(connector.connector_id));
    let start = Start {
        now: facts.now,
        command,
        accepted_at,
        wait: CableWait::of(facts.connection_timeout_s),
        statuses: statuses_of(facts.events.iter().rev().filter(|seen| seen.at > accepted_at), connector_id),
        status_now: known.and_then(|connector| connector.status.as_deref()),
        refusal: facts.events.iter().find(|seen| is_refusal(seen, command, accepted_at)),
    };
    start.answer()
}

/// A session came of it, and its tag was refused when it began.
pub(super) fn session_refused(facts: &CommandFacts) -> Option<Answer> {
    let command = &facts.command;
    let accepted_at = command.completed_at.unwrap_or(command.created_at);
    let session =
        facts.sessions.iter().find(|session| Some(session.transaction_id) == command.transaction_id)?;
    if command.action != ACTION || session.id_tag_status == AuthorizationStatus::Accepted {
        return None;
    }
    let (number, status) = (session.transaction_id, session.id_tag_status);
    let (verdict, words) =
        tags::verdict_of(status.as_str(), session.id_tag_reason.map(|reason| reason.as_str()));
    let tag = quoted(session.id_tag.as_deref().unwrap_or_default());
    let energy = match session.energy_wh {
        Some(wh) => format!(" It ended with {}.", kwh(wh)),
        None => String::new(),
    };
    let summary = format!(
        "The remote start was accepted at {} ({}) and session {number} began, but its tag {tag} was answered \
         {status}: {words}.{energy}",
        at(accepted_at, facts.now),
        command.id
    );
    let start = facts
        .events
        .iter()
        .find(|seen| seen.is("StartTransaction") && seen.transaction_id == Some(number))
        .map(|seen| seen.fact(format!("StartTransaction with {tag} was answered {status}")));
    Some(
        Answer::new(verdict, summary)
            .fact(command_fact(command, accepted_at, format!("The remote start for {tag} was accepted")))
            .fact(of_session(session, session.started_at.unwrap_or(accepted_at), "The session began"))
            .fact(start)
            .fact(session.stopped_at.map(|end| of_session(session, end, "The session ended")))
            .next(format!("See what is known of the tag: GET /id-tags/{tag}/why")),
    )
}

pub(super) fn of_command(facts: &CommandFacts) -> Option<Answer> {
    let command = &facts.command;
    if !came_to_nothing(command) {
        return None;
    }
    let accepted_at = command.completed_at.unwrap_or(command.created_at);
    let known = facts.connectors.iter().find(|connector| facts.connector_id == Some(connector.connector_id));
    // What the connector is now says nothing of a command of yesterday.
    let is_recent = facts.now.since(accepted_at) < LATELY;
    let within = |seen: &&Seen| seen.at <= accepted_at.after(Duration::from_secs(300));
    let start = Start {
        now: facts.now,
        command,
        accepted_at,
        wait: CableWait::of(facts.connection_timeout_s),
        statuses: statuses_of(facts.events.iter().filter(within), facts.connector_id),
        status_now: known.filter(|_| is_recent).and_then(|connector| connector.status.as_deref()),
        refusal: facts.events.iter().find(|seen| is_refusal(seen, command, accepted_at)),
    };
    start.answer()
}
