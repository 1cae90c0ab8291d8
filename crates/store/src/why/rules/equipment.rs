//! Connectors that report a fault, or are out of service.

use super::super::answer::{Answer, ago, at, of_command, of_session, state};
use super::super::causes;
use super::super::facts::{Seen, SessionFacts, StationFacts};
use vocabulary::api::command::Command;
use vocabulary::api::station::Connector;
use vocabulary::api::transaction::Status;
use vocabulary::api::why::{Fact, Verdict};
use vocabulary::clock::Timestamp;

fn name(connector: &Connector) -> String {
    match connector.connector_id {
        0 => "The station as a whole".to_owned(),
        number => format!("Connector {number}"),
    }
}

fn with_status<'a>(facts: &'a StationFacts, status: &str) -> Vec<&'a Connector> {
    facts.connectors.iter().filter(|connector| connector.status.as_deref() == Some(status)).collect()
}

/// The report with which a connector came to its present status: the oldest of its newest ones that agree.
fn first_report<'a>(facts: &'a StationFacts, connector: &Connector) -> Option<&'a Seen> {
    let of_connector = |seen: &&Seen| {
        seen.is("StatusNotification") && seen.number("connectorId") == Some(connector.connector_id)
    };
    let agrees = |seen: &&Seen| seen.text("status") == connector.status.as_deref();
    facts.events.iter().filter(of_connector).take_while(agrees).last()
}

/// The report that a connector's status is from, or its row.
fn reported(facts: &StationFacts, connector: &Connector, text: String) -> Fact {
    match first_report(facts, connector) {
        Some(seen) => seen.fact(text),
        None => state(since(facts, connector), text),
    }
}

/// Since when a connector is as it is: by the station's own time, or by the arrival of its report if that
/// time lies before the station was ever seen, or its clock is wrong.
fn since(facts: &StationFacts, connector: &Connector) -> Timestamp {
    let Some(station) = &facts.station else { return connector.since };
    let is_doubtful = station.has_flag("clock_skew") || station.has_flag("clock:never_set");
    let first_seen = station.created_at;
    if !is_doubtful && connector.since >= first_seen {
        return connector.since;
    }
    first_report(facts, connector).map_or(connector.updated_at, |seen| seen.at)
}

fn fault_of(connector: &Connector) -> String {
    causes::fault(
        connector.error_code.as_deref(),
        connector.vendor_error_code.as_deref(),
        connector.info.as_deref(),
    )
}

pub(super) fn faulted(facts: &StationFacts) -> Option<Answer> {
    let station = facts.station.as_ref()?;
    let faulted = with_status(facts, "Faulted");
    let first = faulted.first()?;
    let began = since(facts, first);
    let summary = format!(
        "{} of {} is Faulted since {} ({}): {}.",
        name(first),
        station.station_id,
        at(began, facts.now),
        ago(began, facts.now),
        fault_of(first)
    );
    let told = faulted.iter().map(|connector| {
        reported(facts, connector, format!("{} is Faulted: {}", name(connector), fault_of(connector)))
    });
    Some(
        Answer::new(Verdict::Faulted, summary)
            .facts(told)
            .next(format!("Try a restart: Reset {{\"type\": \"Soft\"}} to {}, then Hard", station.station_id))
            .next("If the fault comes back, somebody has to look at the charger; give the vendor the error code"),
    )
}

pub(super) fn unavailable(facts: &StationFacts) -> Option<Answer> {
    let station = facts.station.as_ref()?;
    let out = with_status(facts, "Unavailable");
    let first = out.first()?;
    let began = since(facts, first);
    let order = facts.commands.iter().find(|command| takes_out(command, first.connector_id));
    let who = match order {
        Some(order) => format!(
            "a ChangeAvailability of {:?} has taken it out of service at {} ({})",
            order.requested_by.name,
            at(order.completed_at.unwrap_or(order.created_at), facts.now),
            order.id
        ),
        None => {
            "no command of this gateway has done that: the charger itself, its installer or its firmware has"
                .to_owned()
        }
    };
    let summary = format!(
        "{} of {} is Unavailable since {} ({}): {who}.",
        name(first),
        station.station_id,
        at(began, facts.now),
        ago(began, facts.now)
    );
    let told =
        out.iter().map(|connector| reported(facts, connector, format!("{} is Unavailable", name(connector))));
    let asked =
        order.map(|order| of_command(order, order.created_at, "This command has made it Inoperative"));
    Some(Answer::new(Verdict::Unavailable, summary).facts(told).fact(asked).next(format!(
        "Put it back: ChangeAvailability {{\"connectorId\": {}, \"type\": \"Operative\"}} to {}",
        first.connector_id, station.station_id
    )))
}

/// Whether a command has taken a connector out of service.
fn takes_out(command: &Command, connector_id: i64) -> bool {
    if command.action != "ChangeAvailability" || command.accepted != Some(true) {
        return false;
    }
    let payload: serde_json::Value = serde_json::from_str(command.payload.get()).unwrap_or_default();
    let number = payload["connectorId"].as_i64();
    payload["type"] == "Inoperative" && (number == Some(0) || number == Some(connector_id))
}

/// A session on a connector that reports a fault.
pub(super) fn session_faulted(facts: &SessionFacts) -> Option<Answer> {
    let session = &facts.session;
    let connector =
        facts.connector.as_ref().filter(|connector| connector.status.as_deref() == Some("Faulted"))?;
    if session.status != Status::Active {
        return None;
    }
    let summary = format!(
        "Session {} does not charge: connector {} is Faulted since {}: {}.",
        session.transaction_id,
        connector.connector_id,
        at(connector.since, facts.now),
        fault_of(connector)
    );
    let report = facts.statuses.iter().find(|seen| seen.text("status") == Some("Faulted"));
    let told = report.map(|seen| seen.fact("The connector reported Faulted"));
    Some(
        Answer::new(Verdict::Faulted, summary)
            .fact(of_session(session, session.started_at.unwrap_or(facts.created_at), "The session began"))
            .fact(told.or_else(|| Some(state(connector.since, "The connector is Faulted"))))
            .next(format!(
                "Unplug and plug in again; else end the session (RemoteStopTransaction) and Reset {}",
                session.station_id
            )),
    )
}
