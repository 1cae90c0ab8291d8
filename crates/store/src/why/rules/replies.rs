//! Stations that do not answer commands.

use super::super::answer::{Answer, at, of_command};
use super::super::facts::StationFacts;
use vocabulary::api::command::{Command, CommandStatus};
use vocabulary::api::why::Verdict;

/// So many commands in a row without an answer are no accident.
const UNANSWERED: usize = 2;

pub(super) fn not_answering(facts: &StationFacts) -> Option<Answer> {
    let station = facts.station.as_ref()?;
    let sent = facts.commands.iter().filter(|command| command.sent_at.is_some() && command.status.is_final());
    let unanswered: Vec<&Command> = sent
        .take_while(|command| command.status == CommandStatus::Timeout && command.late_response.is_none())
        .collect();
    let enough = if station.has_flag("unresponsive") { 1 } else { UNANSWERED };
    if unanswered.len() < enough {
        return None;
    }
    let first = unanswered.last()?;
    let summary = format!(
        "{} is connected and sends messages, but has not answered its last {} commands, the first one at {} ({}).",
        station.station_id,
        unanswered.len(),
        at(first.created_at, facts.now),
        first.id
    );
    let told = unanswered.iter().take(10).map(|command| {
        let text = format!("{} was not answered within {}", command.action, command.timeout);
        of_command(command, command.sent_at.unwrap_or(command.created_at), text)
    });
    Some(
        Answer::new(Verdict::NotAnswering, summary)
            .facts(told)
            .next(format!(
                "Disconnect it, which ends what hangs in many firmwares: POST /stations/{}/disconnect",
                station.station_id
            ))
            .next("If it goes on, switch the charger off and on, and ask the vendor about its firmware"),
    )
}
