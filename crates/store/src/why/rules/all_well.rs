//! Nothing is wrong: what was looked at.

use super::super::answer::{Answer, ago, at, kw, kwh, of_command, of_session, quoted, state};
use super::super::facts::{CommandFacts, Seen, SessionFacts, StationFacts, TagFacts};
use super::admission;
use vocabulary::api::command::CommandStatus;
use vocabulary::api::why::Verdict;

pub(super) fn station(facts: &StationFacts) -> Answer {
    let Some(station) = &facts.station else {
        let summary = format!("Nothing is known of {}.", quoted(&facts.identity));
        return Answer::new(Verdict::Ok, summary);
    };
    let since = station.connected_at.unwrap_or(facts.now);
    let summary = format!(
        "Nothing is wrong with {}: it is connected since {}, its boot was accepted, no connector is faulted or out of \
         service, and {}.",
        station.station_id,
        at(since, facts.now),
        answers(facts)
    );
    let unanswered = facts.commands.iter().find(|command| command.status == CommandStatus::Timeout);
    let newest = |event: &str| facts.events.iter().find(|seen| seen.is(event));
    let connectors = facts.connectors.iter().map(|connector| {
        let status = quoted(connector.status.as_deref().unwrap_or("nothing so far"));
        state(connector.updated_at, format!("Connector {} reports {status}", connector.connector_id))
    });
    let running = facts.sessions.iter().map(|session| {
        of_session(session, session.started_at.unwrap_or(session.updated_at), "This session is running")
    });
    let answered = facts.commands.iter().find(|command| command.status == CommandStatus::Completed);
    let imposter = facts.refused.as_ref().filter(|refused| refused.last_at > since).map(|refused| {
        let text = format!(
            "Meanwhile a connection with its identity from {} was refused ({})",
            refused.remote_addr, refused.reason
        );
        admission::of_refusal(facts, refused, text)
    });
    Answer::new(Verdict::Ok, summary)
        .fact(newest("StationConnected").map(|seen| seen.fact("It connected")))
        .fact(newest("BootNotification").map(|seen: &Seen| {
            seen.fact(format!(
                "It booted, and was answered {}",
                seen.response["status"].as_str().unwrap_or("nothing")
            ))
        }))
        .facts(connectors)
        .facts(running)
        .fact(answered.map(|command| {
            of_command(
                command,
                command.completed_at.unwrap_or(command.created_at),
                format!("It answered {}", command.action),
            )
        }))
        .fact(unanswered.map(|command| {
            let end = command.completed_at.unwrap_or(command.created_at);
            of_command(command, end, format!("It did not answer {} in time", command.action))
        }))
        .fact(imposter)
        .fact(station.last_seen_at.map(|seen| state(seen, "It was last heard of")))
}

/// What is told of its clock and its answers: nothing is said of answers that were never asked for.
fn answers(facts: &StationFacts) -> &'static str {
    let has = |status: CommandStatus| facts.commands.iter().any(|command| command.status == status);
    match (has(CommandStatus::Timeout), has(CommandStatus::Completed)) {
        (true, true) => "its clock is as it should be; it has answered commands lately, but not each of them",
        (true, false) => "its clock is as it should be; but it has not answered its last command in time",
        (false, true) => "its clock and its answers to commands are as they should be",
        (false, false) => "its clock is as it should be",
    }
}

pub(super) fn session(facts: &SessionFacts) -> Answer {
    let session = &facts.session;
    let status = facts.connector.as_ref().and_then(|connector| connector.status.as_deref());
    let status =
        status.map(|status| format!(" Its connector reports {}.", quoted(status))).unwrap_or_default();
    let energy =
        session.energy_so_far_wh.map(|wh| format!(" So far it came to {}.", kwh(wh))).unwrap_or_default();
    let power = session.power_w.map(|w| format!(" It charges with {}.", kw(w))).unwrap_or_default();
    let summary = format!(
        "Nothing is wrong with session {}: it runs for {}, and its station is connected.{status}{power}{energy}",
        session.transaction_id,
        ago(facts.created_at, facts.now)
    );
    let start = facts.events.iter().find(|seen| seen.is("StartTransaction"));
    Answer::new(Verdict::Ok, summary)
        .fact(start.map(|seen| seen.fact("Its start came, and its id tag was accepted")))
        .fact(of_session(session, session.started_at.unwrap_or(facts.created_at), "The session began"))
        .facts(facts.statuses.iter().take(3).map(|seen| {
            seen.fact(format!("The connector reported {}", quoted(seen.text("status").unwrap_or("nothing"))))
        }))
        .fact(facts.metered_at.map(|metered| state(metered, "Its newest meter value came")))
}

pub(super) fn command(facts: &CommandFacts) -> Answer {
    let command = &facts.command;
    let end = command.completed_at.unwrap_or(command.created_at);
    let came_of_it = match command.transaction_id {
        Some(id) => format!(" Session {id} came of it."),
        None => String::new(),
    };
    let hint = command.hint.as_deref().map(|hint| format!(" Mind: {hint}.")).unwrap_or_default();
    let summary = format!(
        "Nothing is wrong: {} has answered {} at {}, and does it.{came_of_it}{hint}",
        command.station_id,
        command.action,
        at(end, facts.now)
    );
    let session =
        facts.sessions.iter().find(|session| Some(session.transaction_id) == command.transaction_id);
    Answer::new(Verdict::Ok, summary)
        .fact(of_command(
            command,
            command.created_at,
            format!("It was ordered by {:?}", command.requested_by.name),
        ))
        .fact(of_command(command, end, "It was answered"))
        .fact(session.map(|session| {
            of_session(session, session.started_at.unwrap_or(session.updated_at), "The session began")
        }))
}

pub(super) fn tag(facts: &TagFacts) -> Answer {
    let until = facts.tag.as_ref().and_then(|tag| tag.expiry_date);
    let until = until.map(|date| format!(" until {}", at(date, facts.now))).unwrap_or_default();
    let limit = match facts.tag.as_ref().and_then(|tag| tag.max_active_transactions) {
        Some(most) => {
            format!("it is in {} of {most} sessions that it may be in at once", facts.charging.len())
        }
        None => "there is no limit on its sessions".to_owned(),
    };
    let summary =
        format!("Nothing is wrong with {}: it is registered as Accepted{until}, and {limit}.", facts.id_tag);
    let told = facts.shown.iter().take(5).map(|shown| {
        let seen = &shown.seen;
        let station = seen.station_id.as_deref().unwrap_or("a station");
        seen.fact(format!(
            "{} at {station} was answered {}",
            seen.event,
            seen.tag_status().unwrap_or("nothing")
        ))
    });
    Answer::new(Verdict::Ok, summary)
        .fact(
            facts
                .tag
                .as_ref()
                .map(|tag| state(tag.updated_at, format!("It is registered as {}", tag.status))),
        )
        .facts(facts.charging.iter().take(5).map(|session| {
            let text = format!("It is charging on {}", session.station_id);
            of_session(session, session.started_at.unwrap_or(session.updated_at), text)
        }))
        .facts(told)
}
