//! Sessions in which no power flows: because of the car, or because of the station.

use super::super::answer::{self, Answer, ago, at, of_command, quoted, state};
use super::super::facts::{Seen, SessionFacts, StationFacts};
use vocabulary::api::command::Command;
use vocabulary::api::transaction::{Status, Transaction};
use vocabulary::api::why::{Fact, Verdict};
use vocabulary::clock::Timestamp;

/// Which side holds the power back, by the status of a connector.
fn side(status: &str) -> Option<Verdict> {
    match status {
        "SuspendedEV" => Some(Verdict::SuspendedByCar),
        "SuspendedEVSE" => Some(Verdict::SuspendedByStation),
        _ => None,
    }
}

/// The newest charging profile that was set for a connector before a moment, and not cleared since.
fn profile(commands: &[Command], connector_id: Option<i64>, before: Timestamp) -> Option<&Command> {
    let is_about = |command: &&Command| {
        let payload: serde_json::Value = serde_json::from_str(command.payload.get()).unwrap_or_default();
        let number = payload["connectorId"].as_i64();
        command.accepted == Some(true)
            && command.created_at <= before
            && (number.is_none() || number == Some(0) || number == connector_id)
    };
    let is_wanted =
        |command: &&Command| matches!(command.action.as_str(), "SetChargingProfile" | "ClearChargingProfile");
    let last = commands.iter().filter(is_wanted).find(is_about)?;
    (last.action == "SetChargingProfile").then_some(last)
}

/// Since when, where, and by which report.
struct Suspended<'a> {
    verdict: Verdict,
    since: Timestamp,
    report: Option<&'a Seen>,
    now: Timestamp,
    session: Option<&'a Transaction>,
    station_id: &'a str,
    connector_id: Option<i64>,
    profile: Option<&'a Command>,
}

impl<'a> Suspended<'a> {
    /// A session that gets no power since then, by the station as long as nothing else is said.
    fn of(session: &'a Transaction, commands: &'a [Command], since: Timestamp, now: Timestamp) -> Self {
        Self {
            verdict: Verdict::SuspendedByStation,
            since,
            report: None,
            now,
            session: Some(session),
            station_id: &session.station_id,
            connector_id: session.connector_id,
            profile: profile(commands, session.connector_id, since),
        }
    }

    fn cause(&self) -> String {
        match (self.verdict, self.profile) {
            (Verdict::SuspendedByCar, _) => {
                "the car takes no power: it is full, waits for a time of its own, or protects its battery".to_owned()
            }
            (_, Some(profile)) => format!(
                "the station gives no power; a charging profile was set at {} ({})",
                at(profile.created_at, self.now),
                profile.id
            ),
            (_, None) => {
                "the station gives no power: by a limit of its own (load management, a schedule, a local fault); no \
                 charging profile was set by this gateway"
                    .to_owned()
            }
        }
    }

    fn reported(&self) -> Fact {
        let status = if self.verdict == Verdict::SuspendedByCar { "SuspendedEV" } else { "SuspendedEVSE" };
        match self.report {
            Some(seen) => seen.fact(format!("The connector reported {status}")),
            None => state(self.since, format!("The connector is {status}")),
        }
    }

    fn answer(&self, summary: String) -> Answer {
        let began = self.session.map(|session| {
            answer::of_session(session, session.started_at.unwrap_or(session.updated_at), "The session began")
        });
        let answer = Answer::new(self.verdict, summary).fact(began).fact(self.reported());
        if self.verdict == Verdict::SuspendedByCar {
            return answer
                .next("Look at the car: its state of charge, charging timer and limit; unplug and plug in to wake it")
                .next("If the car asks for power and gets none, the pilot line or the cable may be at fault");
        }
        match self.profile {
            Some(profile) => answer
                .fact(of_command(profile, profile.created_at, "A charging profile was set"))
                .next(format!("If that is not wanted: ClearChargingProfile to {}", self.station_id))
                .next(format!("Ask what limit is in force: GetCompositeSchedule to {}", self.station_id)),
            None => answer
                .next(format!(
                    "Ask what limit is in force: GetCompositeSchedule {{\"connectorId\": {}, \"duration\": 3600}} to {}",
                    self.connector_id.unwrap_or(1),
                    self.station_id
                ))
                .next("Look at the load management of the site, and at the charger's own schedule"),
        }
    }
}

/// A session that runs and gets nothing now.
pub(super) fn of_session(facts: &SessionFacts) -> Option<Answer> {
    let session = &facts.session;
    if session.status != Status::Active {
        return None;
    }
    let connector = facts.connector.as_ref()?;
    let status = connector.status.as_deref()?;
    let report = facts.statuses.iter().find(|seen| seen.text("status") == Some(status));
    let suspended = Suspended {
        verdict: side(status)?,
        report,
        ..Suspended::of(session, &facts.commands, connector.since, facts.now)
    };
    let summary = format!(
        "Session {} is open, and no power flows since {} ({}): {}.",
        session.transaction_id,
        at(suspended.since, facts.now),
        ago(suspended.since, facts.now),
        suspended.cause()
    );
    Some(suspended.answer(summary))
}

/// A session that is over, and in which nothing was charged.
pub(super) fn without_energy(facts: &SessionFacts) -> Option<Answer> {
    let session = &facts.session;
    if session.status != Status::Completed || session.energy_wh != Some(0) {
        return None;
    }
    let report = facts.statuses.iter().find(|seen| seen.text("status").and_then(side).is_some());
    let verdict = report.and_then(|seen| side(seen.text("status")?));
    let Some((report, verdict)) = report.zip(verdict) else {
        return Some(nothing_flowed(facts));
    };
    let suspended = Suspended {
        verdict,
        since: report.at,
        report: Some(report),
        now: facts.now,
        session: Some(session),
        station_id: &session.station_id,
        connector_id: session.connector_id,
        profile: profile(&facts.commands, session.connector_id, report.at),
    };
    let summary =
        format!("Session {} ended without any energy: {}.", session.transaction_id, suspended.cause());
    Some(suspended.answer(summary))
}

fn nothing_flowed(facts: &SessionFacts) -> Answer {
    let session = &facts.session;
    let reason = session.stop_reason.as_deref().unwrap_or("Local");
    let summary = format!(
        "Session {} ended without any energy (stop reason {reason}); no status of its connector tells who held the \
         power back.",
        session.transaction_id
    );
    let stop = facts.events.iter().rev().find(|seen| seen.is("StopTransaction"));
    Answer::new(Verdict::NoEnergy, summary)
        .fact(began(facts))
        .facts(facts.statuses.iter().take(5).map(|seen| {
            seen.fact(format!("The connector reported {}", quoted(seen.text("status").unwrap_or("nothing"))))
        }))
        .fact(stop.map(|seen| seen.fact("It was stopped")))
        .next("If the driver was there for a while, look at the next session on this connector; if it is the same, the \
               charger needs a look")
}

fn began(facts: &SessionFacts) -> Fact {
    let session = &facts.session;
    answer::of_session(session, session.started_at.unwrap_or(facts.created_at), "The session began")
}

/// A station on which a session runs and gets nothing.
pub(super) fn of_station(facts: &StationFacts) -> Option<Answer> {
    let held = facts.sessions.iter().filter(|session| !session.orphaned).find_map(|session| {
        let connector =
            facts.connectors.iter().find(|connector| Some(connector.connector_id) == session.connector_id)?;
        Some((session, connector, side(connector.status.as_deref()?)?))
    });
    let (session, connector, verdict) = held?;
    let report = facts.events.iter().find(|seen| {
        seen.is("StatusNotification") && seen.number("connectorId") == Some(connector.connector_id)
    });
    let suspended =
        Suspended { verdict, report, ..Suspended::of(session, &facts.commands, connector.since, facts.now) };
    let summary = format!(
        "{} works; on connector {} session {} gets no power since {}: {}.",
        session.station_id,
        connector.connector_id,
        session.transaction_id,
        at(suspended.since, facts.now),
        suspended.cause()
    );
    Some(suspended.answer(summary))
}
