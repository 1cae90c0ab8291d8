//! Commands that wait, were not answered, or were refused.

use super::super::answer::{Answer, at, of_command, of_session, quoted, span, state};
use super::super::facts::CommandFacts;
use vocabulary::api::command::CommandStatus;
use vocabulary::api::why::{Fact, Verdict};
use vocabulary::ocpp::boot_status::BootStatus;

fn asked(facts: &CommandFacts) -> Fact {
    let command = &facts.command;
    of_command(
        command,
        command.created_at,
        format!("{} was ordered by {:?}", command.action, command.requested_by.name),
    )
}

/// Whether the station is there: since it left, or when it was last heard of.
fn heard(facts: &CommandFacts) -> Option<Fact> {
    let station = facts.station.as_ref()?;
    if station.is_online() {
        return Some(state(station.last_seen_at?, "The station is connected"));
    }
    // A station that has left was last heard of before: the one must not stand before the other.
    let left = station.disconnected_at.filter(|_| !station.connected);
    let since = left.or(station.offline_since).max(station.last_seen_at)?;
    Some(state(since, "The station is not connected"))
}

/// Events around the connection, as facts.
fn connection(facts: &CommandFacts) -> impl Iterator<Item = Fact> + '_ {
    facts.events.iter().filter_map(|seen| match seen.event.as_str() {
        "StationConnected" => Some(seen.fact("The station connected")),
        "StationDisconnected" => Some(seen.fact(format!(
            "The station disconnected: {}",
            quoted(seen.text("reason").unwrap_or("no reason"))
        ))),
        _ => None,
    })
}

pub(super) fn waiting(facts: &CommandFacts) -> Option<Answer> {
    let command = &facts.command;
    let id = &command.station_id;
    let until = at(command.expires_at, facts.now);
    let (why, next) = match command.status {
        CommandStatus::Queued => why_queued(facts),
        CommandStatus::Sent => {
            let sent = command.sent_at.unwrap_or(command.created_at);
            let due = at(sent.after(command.timeout.0), facts.now);
            (
                format!("it was sent at {}, and its answer is waited for until {due}", at(sent, facts.now)),
                "Wait: it ends by itself, with the answer or a time-out".to_owned(),
            )
        }
        _ => return None,
    };
    let ends = match command.status {
        CommandStatus::Queued => format!(" If its turn does not come before {until}, it expires."),
        _ => String::new(),
    };
    let ahead = facts.others.iter().filter(|other| other.status == CommandStatus::Sent);
    let summary = format!("{} to {id} is under way: {why}.{ends}", command.action);
    Some(
        Answer::new(Verdict::Waiting, summary)
            .fact(asked(facts))
            .facts(ahead.map(|other| {
                of_command(
                    other,
                    other.sent_at.unwrap_or(other.created_at),
                    format!("{} waits for its answer", other.action),
                )
            }))
            .fact(heard(facts))
            .next(next),
    )
}

/// What a queued command waits for, and what to do.
fn why_queued(facts: &CommandFacts) -> (String, String) {
    let id = &facts.command.station_id;
    let see = format!("See why: GET /stations/{id}/why");
    let Some(station) = &facts.station else {
        return ("its station is not registered any more".to_owned(), see);
    };
    if !station.connected {
        return ("its station is not connected".to_owned(), see);
    }
    if station.booted_at.is_none() {
        return ("its station has not sent a BootNotification yet".to_owned(), see);
    }
    if station.booted_as.is_some_and(|status| status != BootStatus::Accepted) {
        return ("its station is not accepted yet".to_owned(), see);
    }
    if facts.others.iter().any(|other| other.status == CommandStatus::Sent) {
        let words = "another command of the station waits for its answer, and only one may be open at a time";
        return (words.to_owned(), "Wait: its turn comes when the other one has ended".to_owned());
    }
    ("its turn comes in a moment".to_owned(), "Wait a moment, and ask again".to_owned())
}

pub(super) fn canceled(facts: &CommandFacts) -> Option<Answer> {
    let command = &facts.command;
    if command.status != CommandStatus::Canceled {
        return None;
    }
    let end = command.completed_at.unwrap_or(command.created_at);
    let summary = format!(
        "{} to {} was canceled at {} before it was sent: the charger has never seen it.",
        command.action,
        command.station_id,
        at(end, facts.now)
    );
    Some(
        Answer::new(Verdict::Canceled, summary)
            .fact(asked(facts))
            .fact(of_command(command, end, "It was canceled"))
            .next("Send it again if it is still wanted; the audit log (GET /audit) says who has canceled it"),
    )
}

pub(super) fn expired(facts: &CommandFacts) -> Option<Answer> {
    let command = &facts.command;
    if command.status != CommandStatus::Expired {
        return None;
    }
    let end = command.completed_at.unwrap_or(command.expires_at);
    let was_there = facts.station.as_ref().is_some_and(|station| {
        station.connected_at.is_some_and(|came| came <= command.created_at) && station.connected
    });
    let why = match (command.queue, was_there) {
        (true, false) => "the station did not come back in that time",
        _ => "other commands of the station were not answered in that time, and only one may be open at once",
    };
    let summary = format!(
        "{} to {} expired at {}, {} after it was ordered, and was never sent: {why}.",
        command.action,
        command.station_id,
        at(end, facts.now),
        span(end.since(command.created_at))
    );
    Some(
        Answer::new(Verdict::Expired, summary)
            .fact(asked(facts))
            .facts(connection(facts))
            .fact(of_command(command, end, "It expired"))
            .fact(heard(facts))
            .next(format!("See how the station is: GET /stations/{}/why", command.station_id))
            .next("Send it again, with queue: true and a longer expires_in if it may wait"),
    )
}

pub(super) fn connection_lost(facts: &CommandFacts) -> Option<Answer> {
    let command = &facts.command;
    if command.status != CommandStatus::ConnectionLost {
        return None;
    }
    let end = command.completed_at.unwrap_or(command.created_at);
    let known = match command.sent_at {
        Some(_) => "whether the charger has obeyed is not known",
        None => "it was never sent",
    };
    let summary = format!(
        "{} to {}: the connection ended at {} before an answer came; {known}.",
        command.action,
        command.station_id,
        at(end, facts.now)
    );
    Some(
        Answer::new(Verdict::ConnectionLost, summary)
            .fact(asked(facts))
            .fact(command.sent_at.map(|sent| of_command(command, sent, "It was sent")))
            .facts(connection(facts))
            .fact(of_command(command, end, "Its connection was lost"))
            .next(format!("See how the station is: GET /stations/{}/why", command.station_id))
            .next("Look at what the charger did (its status, its sessions) before you send it again"),
    )
}

pub(super) fn timeout(facts: &CommandFacts) -> Option<Answer> {
    let command = &facts.command;
    if command.status != CommandStatus::Timeout {
        return None;
    }
    let sent = command.sent_at.unwrap_or(command.created_at);
    let end = command.completed_at.unwrap_or(sent);
    let late = match &command.late_response {
        Some(_) => " An answer came later; it is in late_response.",
        None => "",
    };
    let others = facts.others.iter().filter(|other| other.status == CommandStatus::Timeout).count();
    let more = match others {
        0 => String::new(),
        1 => " Another command around it was not answered either.".to_owned(),
        count => format!(" {count} other commands around it were not answered either."),
    };
    let summary = format!(
        "{} was sent to {} at {} and not answered within {}; whether the charger has obeyed is not known.{late}{more}",
        command.action,
        command.station_id,
        at(sent, facts.now),
        command.timeout
    );
    Some(
        Answer::new(Verdict::Timeout, summary)
            .fact(asked(facts))
            .fact(of_command(command, sent, "It was sent"))
            .fact(of_command(command, end, "The time for its answer was over"))
            .facts(connection(facts))
            .fact(heard(facts))
            .next(format!("See whether the station answers at all: GET /stations/{}/why", command.station_id))
            .next("Send it again, with a longer timeout if this charger is slow"),
    )
}

pub(super) fn charger_said_no(facts: &CommandFacts) -> Option<Answer> {
    let command = &facts.command;
    let end = command.completed_at.unwrap_or(command.created_at);
    let said = match (command.status, command.accepted, &command.error) {
        (CommandStatus::Error, _, Some(error)) => {
            let words = quoted(&error.description);
            let words = if words.is_empty() { String::new() } else { format!(" ({words:?})") };
            format!("{}{words}", quoted(&error.code))
        }
        (CommandStatus::Error, _, None) => "an error".to_owned(),
        (CommandStatus::Completed, Some(false), _) => status_of(facts).unwrap_or_else(|| "no".to_owned()),
        _ => return None,
    };
    let (cause, next) = cause_of(facts, &said);
    let summary = format!(
        "{} has answered {} at {} with {said}{}.",
        command.station_id,
        command.action,
        at(end, facts.now),
        cause.map(|cause| format!(": {cause}")).unwrap_or_default()
    );
    let running = facts.sessions.iter().map(|session| {
        of_session(session, session.started_at.unwrap_or(session.updated_at), "This session was running")
    });
    let statuses =
        facts.events.iter().rev().filter(|seen| seen.is("StatusNotification") && seen.at <= end).take(2);
    let answer = Answer::new(Verdict::ChargerSaidNo, summary)
        .fact(asked(facts))
        .facts(running)
        .facts(statuses.map(|seen| {
            seen.fact(format!(
                "Connector {} reported {}",
                seen.number("connectorId").unwrap_or(0),
                quoted(seen.text("status").unwrap_or("nothing"))
            ))
        }))
        .fact(of_command(command, end, format!("It was answered {said}")))
        .next(next);
    Some(match &command.hint {
        Some(hint) => answer.next(hint.clone()),
        None => answer,
    })
}

/// The status that the charger has answered.
fn status_of(facts: &CommandFacts) -> Option<String> {
    let response: serde_json::Value = serde_json::from_str(facts.command.response.as_ref()?.get()).ok()?;
    response["status"].as_str().map(quoted)
}

/// Why the charger may have refused, as far as facts tell, and what to do.
fn cause_of(facts: &CommandFacts, said: &str) -> (Option<String>, String) {
    let command = &facts.command;
    if said.starts_with("NotSupported")
        || said.starts_with("NotImplemented")
        || said == "UnknownKey"
        || said == "UnknownMessageId"
    {
        let next = "This charger cannot do that: look at its manual, or for newer firmware".to_owned();
        return (Some("it does not know this command, or this key".to_owned()), next);
    }
    if said.starts_with("MalformedResponse") {
        return (
            Some("its answer cannot be read".to_owned()),
            "Report the raw answer (GET /stations/{id}/messages) to the vendor"
                .replace("{id}", &command.station_id),
        );
    }
    let connector =
        facts.connectors.iter().find(|connector| Some(connector.connector_id) == facts.connector_id);
    let status = connector.and_then(|connector| connector.status.as_deref());
    let see = format!("See how the station is: GET /stations/{}/why", command.station_id);
    match (command.action.as_str(), status) {
        (_, Some(status @ ("Faulted" | "Unavailable"))) => {
            (Some(format!("its connector {} is {status}", facts.connector_id.unwrap_or(0))), see)
        }
        ("RemoteStartTransaction", _) if !facts.sessions.is_empty() => {
            let session = &facts.sessions[0];
            (
                Some(format!("session {} is running there", session.transaction_id)),
                "End the session that runs, or choose another connector".to_owned(),
            )
        }
        ("RemoteStopTransaction", _) => {
            let wanted = payload_number(facts, "transactionId");
            let runs = facts.sessions.iter().any(|session| Some(session.transaction_id) == wanted);
            match (runs, wanted) {
                (false, Some(wanted)) => (
                    Some(format!("session {wanted} does not run there any more")),
                    format!("See what became of the session: GET /transactions/{wanted}/why"),
                ),
                _ => (None, see),
            }
        }
        ("UnlockConnector", _) => (None, "Have somebody pull the cable, or end the session first".to_owned()),
        _ => (None, see),
    }
}

fn payload_number(facts: &CommandFacts, member: &str) -> Option<i64> {
    let payload: serde_json::Value = serde_json::from_str(facts.command.payload.get()).ok()?;
    payload[member].as_i64()
}
