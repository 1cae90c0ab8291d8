//! The end of a command: its row, its event and what follows from it, in one transaction.
//!
//! **Invariant**: [`finish`] is the only way to an end, and a command ends once.

use std::time::Duration;

use serde::Serialize;
use serde_json::json;
use serde_json::value::{RawValue, to_raw_value};

use crate::command_result::EndedCommand;
use crate::commands::bulk_counts;
use crate::commands::consequences;
use crate::commands::outcome::CommandOutcome;
use crate::commands::row::CommandRow;
use crate::engine::sql::{Param, params};
use crate::engine::tx::Tx;
use crate::error::Result;
use crate::log::append::{self, AppendOptions};
use crate::station_state::flags::{Change, UNRESPONSIVE, Until};
use crate::station_state::rejected_messages;
use crate::{Priority, Scope, Store};
use vocabulary::api::command::{CommandError, CommandStatus};
use vocabulary::clock::Timestamp;
use vocabulary::event::{Category, NewEvent};
use vocabulary::id::{CommandId, StationId};
use vocabulary::ocpp::outgoing::{self, EndedCall, Unexpected};

/// How long after its end a command still takes an answer (quirk Q27).
const LATE_FOR: Duration = Duration::from_secs(600);

/// Time-outs in a row after which a station is flagged as not answering (quirk Q29).
const UNANSWERED_IN_A_ROW: i64 = 3;

impl Store {
    /// Ends a command that was sent. One that has ended otherwise meanwhile keeps its end.
    pub async fn end_command(&self, station: StationId, ended: EndedCall) -> Result<()> {
        self.write(Priority::Inbound, Scope::Station(station), move |w| {
            let Some(row) = CommandRow::sent(w, ended.id)? else { return Ok(()) };
            let outcome = CommandOutcome::of_call(row.action, ended.end, ended.violations);
            finish(w, row, outcome)
        })
        .await
    }

    /// Keeps an answer that nobody waits for: with its command if that ended without one less than ten
    /// minutes ago, else as a `MessageRejected`.
    pub async fn unexpected_answer(
        &self,
        station: StationId,
        unexpected: Unexpected,
        received_at: Timestamp,
    ) -> Result<()> {
        self.write(Priority::Inbound, Scope::Station(station.clone()), move |w| {
            match keep_late(w, &station, &unexpected)? {
                true => Ok(()),
                false => rejected_messages::keep(w, &station, unexpected.rejection, received_at),
            }
        })
        .await
    }
}

/// Ends every command that `select` names, without an answer.
pub(crate) fn end_each(
    w: &mut Tx<'_>,
    select: &str,
    values: &[Param<'_>],
    status: CommandStatus,
) -> Result<()> {
    let ids: Vec<CommandId> = w.all(select, values, |row| row.parsed(0))?;
    for id in ids {
        if let Some(row) = CommandRow::by_id(w, id)? {
            finish(w, row, CommandOutcome::without_answer(status))?;
        }
    }
    Ok(())
}

/// Ends a command: its row, its event, and what follows from it.
pub(crate) fn finish(w: &mut Tx<'_>, row: CommandRow, outcome: CommandOutcome) -> Result<()> {
    let outcome = outcome.without_secrets(&row);
    let violations =
        (!outcome.violations.is_empty()).then(|| serde_json::to_string(&outcome.violations)).transpose()?;
    w.run(
        "UPDATE commands SET status = ?2, response = ?3, accepted = ?4, error = ?5, violations = ?6,
                             completed_at_ms = ?7, sealed_payload = NULL
         WHERE id = ?1",
        params![
            row.id,
            outcome.status.as_str(),
            outcome.response,
            outcome.accepted,
            outcome.error.as_ref().map(serde_json::to_string).transpose()?,
            violations,
            w.now,
        ],
    )?;
    if let Some(bulk_id) = row.bulk_id {
        bulk_counts::ended(w, bulk_id, &outcome)?;
    }
    append_event(w, &row, &outcome)?;
    let mut flags = Change::default();
    flags.violations(&outcome.violations);
    if outcome.response.is_some() || outcome.error.is_some() {
        flags.over(Until::Answer);
    }
    flags.write_unread(w, &row.station)?;
    if outcome.status == CommandStatus::Timeout {
        flag_if_unresponsive(w, &row.station)?;
    }
    consequences::ended(w, &ended(&row, &outcome, row.status == CommandStatus::Sent, false))?;
    w.after_commit.commands_ended.push(row.id);
    Ok(())
}

/// As what follows from it sees the command: whether its frame left, and whether the answer came after the
/// end.
fn ended<'a>(
    row: &'a CommandRow,
    outcome: &'a CommandOutcome,
    was_sent: bool,
    late: bool,
) -> EndedCommand<'a> {
    EndedCommand {
        id: row.id,
        station: &row.station,
        action: row.action,
        payload: &row.payload,
        response: outcome.response.as_deref(),
        accepted: outcome.accepted,
        error: outcome.error.as_ref(),
        was_sent,
        late,
        transaction_id: row.transaction_id,
    }
}

fn append_event(w: &mut Tx<'_>, row: &CommandRow, outcome: &CommandOutcome) -> Result<()> {
    #[derive(Serialize)]
    struct Payload<'a> {
        command_id: CommandId,
        status: CommandStatus,
        request: &'a RawValue,
        response: Option<&'a RawValue>,
        error: Option<&'a CommandError>,
        metadata: Option<&'a RawValue>,
    }
    let payload = Payload {
        command_id: row.id,
        status: outcome.status,
        request: &row.payload,
        response: outcome.response.as_deref(),
        error: outcome.error.as_ref(),
        metadata: row.metadata.as_deref(),
    };
    let name = row.action.event_type();
    let event = NewEvent {
        protocol: Some(row.action.protocol()),
        message_id: Some(outgoing::message_id(row.id).text()),
        violations: outcome.violations.clone(),
        ..NewEvent::about_station(Category::Command, name, &row.station, w.now, to_raw_value(&payload)?)
    };
    append::append(w, &event, AppendOptions::default()).map(drop)
}

/// Flags a station whose last calls all went unanswered (quirk Q29).
fn flag_if_unresponsive(w: &mut Tx<'_>, station: &StationId) -> Result<()> {
    let silent: i64 = w.one(
        "SELECT count(*) FROM (SELECT status FROM commands
             WHERE station_id = ?1 AND sent_at_ms IS NOT NULL AND status <> 'sent'
             ORDER BY seq DESC LIMIT ?2) AS last
         WHERE status = 'timeout'",
        params![station, UNANSWERED_IN_A_ROW],
        |row| row.get(0),
    )?;
    if silent < UNANSWERED_IN_A_ROW {
        return Ok(());
    }
    let mut flags = Change::default();
    flags.seen(UNRESPONSIVE);
    flags.write_unread(w, station)
}

/// Keeps an answer with the command it is to, if that ended without one a short while ago.
fn keep_late(w: &mut Tx<'_>, station: &StationId, unexpected: &Unexpected) -> Result<bool> {
    let Some(id) = outgoing::command_of(&unexpected.message_id) else { return Ok(false) };
    let Some(row) = CommandRow::by_id(w, id)? else { return Ok(false) };
    let unanswered = matches!(row.status, CommandStatus::Timeout | CommandStatus::ConnectionLost);
    let recent = row.completed_at.is_some_and(|ended| w.now.since(ended) < LATE_FOR);
    if row.station != *station || !unanswered || !recent || row.answered_late {
        return Ok(false);
    }
    let outcome =
        CommandOutcome::of_call(row.action, unexpected.answer.clone(), Vec::new()).without_secrets(&row);
    let response = match (&outcome.response, &outcome.error) {
        (Some(response), _) => response.clone(),
        (None, error) => to_raw_value(&json!({ "error": error }))?,
    };
    w.run("UPDATE commands SET late_response = ?2 WHERE id = ?1", params![id, response.get()])?;
    let mut flags = Change::default();
    flags.over(Until::Answer);
    flags.write_unread(w, station)?;
    consequences::ended(w, &ended(&row, &outcome, true, true))?;
    Ok(true)
}
