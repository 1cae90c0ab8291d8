//! The end of a command: its row, its event and what follows from it, in one transaction.
//!
//! **Invariant**: [`finish`] is the only way to an end, and a command ends once.

use crate::command_result::MALFORMED;
use crate::station_state::rejected_messages;
use std::time::Duration;

use rusqlite::{OptionalExtension, params};
use serde::Serialize;
use serde_json::json;
use serde_json::value::{RawValue, to_raw_value};

use crate::command_result::EndedCommand;
use crate::commands::consequences;
use crate::engine::embedded::raw_cells as cells;
use crate::engine::tx::Tx;
use crate::error::Result;
use crate::log::append;
use crate::log::append::Manner;
use crate::station_state::flags::{Change, UNRESPONSIVE, Until};
use crate::{Priority, Scope, Store};
use vocabulary::api::command::{CommandError, CommandStatus};
use vocabulary::clock::Timestamp;
use vocabulary::event::{Category, NewEvent};
use vocabulary::id::{CommandId, StationId};
use vocabulary::ocpp::HIDDEN;
use vocabulary::ocpp::Violation;
use vocabulary::ocpp::command::CommandAction;
use vocabulary::ocpp::frame::empty_object;
use vocabulary::ocpp::outgoing::{self, CallEnd, EndedCall, Unexpected};
use vocabulary::ocpp::violations::Violations;

/// How long after its end a command still takes an answer (quirk Q27).
const LATE_FOR: Duration = Duration::from_secs(600);

/// Time-outs in a row after which a station is flagged as not answering (quirk Q29).
const UNANSWERED_IN_A_ROW: i64 = 3;

/// The most that is kept of an answer that cannot be read, in characters.
const RAW_CHARS_MAX: usize = 16 << 10;

impl Store {
    /// Ends a command that was sent. One that has ended otherwise meanwhile keeps its end.
    pub async fn end_command(&self, ended: EndedCall) -> Result<()> {
        self.write(Priority::Inbound, Scope::Installation, move |w| {
            let Some(row) = Row::sent(w, ended.id)? else { return Ok(()) };
            let end = End::of_call(row.action, ended.end, ended.violations);
            finish(w, row, end)
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
        self.write(Priority::Inbound, Scope::Installation, move |w| {
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
    values: impl rusqlite::Params,
    status: CommandStatus,
) -> Result<()> {
    let ids: Vec<CommandId> = w
        .conn
        .prepare_cached(select)?
        .query_map(values, |row| cells::parsed(row, 0))?
        .collect::<rusqlite::Result<_>>()?;
    for id in ids {
        if let Some(row) = Row::by_id(w, id)? {
            finish(w, row, End::without_answer(status))?;
        }
    }
    Ok(())
}

/// A command's row, as far as its end depends on it.
pub(crate) struct Row {
    pub(crate) id: CommandId,
    pub(crate) station: StationId,
    pub(crate) action: CommandAction,
    pub(crate) status: CommandStatus,
    /// As it may be shown.
    payload: Box<RawValue>,
    metadata: Option<Box<RawValue>>,
    completed_at: Option<Timestamp>,
    answered_late: bool,
    /// The transaction that began while the answer was waited for.
    pub(crate) transaction_id: Option<i64>,
}

impl Row {
    pub(crate) fn by_id(w: &Tx<'_>, id: CommandId) -> Result<Option<Self>> {
        let found = w
            .conn
            .prepare_cached(
                "SELECT station_id, action, status, payload, metadata, completed_at_ms, late_response IS NOT NULL,
                        transaction_id
                 FROM commands WHERE id = ?1",
            )?
            .query_row([id.to_string()], |row| {
                let action = cells::parsed(row, 1)?;
                Ok(Self {
                    id,
                    station: cells::parsed(row, 0)?,
                    action,
                    status: cells::word(row, 2)?,
                    payload: cells::raw(row, 3)?,
                    metadata: cells::maybe_raw(row, 4)?,
                    completed_at: cells::maybe_moment(row, 5)?,
                    answered_late: row.get(6)?,
                    transaction_id: row.get(7)?,
                })
            })
            .optional()?;
        Ok(found)
    }

    fn sent(w: &Tx<'_>, id: CommandId) -> Result<Option<Self>> {
        Ok(Self::by_id(w, id)?.filter(|row| row.status == CommandStatus::Sent))
    }
}

/// How a command ended.
pub(crate) struct End {
    status: CommandStatus,
    response: Option<Box<RawValue>>,
    accepted: Option<bool>,
    error: Option<CommandError>,
    violations: Vec<Violation>,
}

impl End {
    pub(crate) fn without_answer(status: CommandStatus) -> Self {
        Self { status, response: None, accepted: None, error: None, violations: Vec::new() }
    }

    fn of_call(action: CommandAction, end: CallEnd, mut oddities: Vec<Violation>) -> Self {
        let refused = |error| Self {
            status: CommandStatus::Error,
            accepted: Some(false),
            error: Some(error),
            ..Self::without_answer(CommandStatus::Error)
        };
        let mut ended = match end {
            CallEnd::TimedOut => Self::without_answer(CommandStatus::Timeout),
            CallEnd::Answered(response) => {
                // Numbers too long for any type, say, are still JSON: then nothing is known of the answer.
                let value = serde_json::from_str(response.get()).unwrap_or_default();
                oddities.extend(action.response_violations(&value));
                Self {
                    status: CommandStatus::Completed,
                    accepted: Some(action.is_accepted(&value)),
                    response: Some(action.shown_response(&response)),
                    error: None,
                    violations: Vec::new(),
                }
            }
            CallEnd::Refused(error) => refused(CommandError {
                code: error.code,
                description: error.description,
                details: error.details,
            }),
            CallEnd::Malformed { raw } => refused(CommandError {
                code: MALFORMED.to_owned(),
                description: "the answer cannot be read".to_owned(),
                details: raw_detail(&raw),
            }),
        };
        let mut violations = Violations::default();
        oddities.into_iter().for_each(|oddity| violations.push(oddity));
        ended.violations = violations.into_vec();
        ended
    }

    /// A charger may repeat what it was sent; the secret it was sent is not shown in that either.
    fn without(mut self, row: &Row) -> Self {
        if !row.action.hides_secret(&row.payload) {
            return self;
        }
        if let Some(response) = self.response.as_mut().filter(|_| !self.violations.is_empty()) {
            *response = row.action.without_possible_secret(response);
        }
        if let Some(error) = &mut self.error {
            error.description = HIDDEN.to_owned();
            error.details = empty_object();
        }
        self
    }
}

fn raw_detail(raw: &str) -> Box<RawValue> {
    let raw: String = raw.chars().take(RAW_CHARS_MAX).collect();
    to_raw_value(&json!({ "raw": raw })).unwrap_or_else(|_| empty_object())
}

/// Ends a command: its row, its event, and what follows from it.
pub(crate) fn finish(w: &mut Tx<'_>, row: Row, end: End) -> Result<()> {
    let end = end.without(&row);
    let violations =
        (!end.violations.is_empty()).then(|| serde_json::to_string(&end.violations)).transpose()?;
    w.conn
        .prepare_cached(
            "UPDATE commands SET status = ?2, response = ?3, accepted = ?4, error = ?5, violations = ?6,
                                 completed_at_ms = ?7, sealed_payload = NULL
             WHERE id = ?1",
        )?
        .execute(params![
            row.id.to_string(),
            end.status.as_str(),
            end.response.as_deref().map(RawValue::get),
            end.accepted,
            end.error.as_ref().map(serde_json::to_string).transpose()?,
            violations,
            w.now.unix_ms(),
        ])?;
    append_event(w, &row, &end)?;
    let mut flags = Change::default();
    flags.violations(&end.violations);
    if end.response.is_some() || end.error.is_some() {
        flags.over(Until::Answer);
    }
    flags.write_unread(w, &row.station)?;
    if end.status == CommandStatus::Timeout {
        note_silence(w, &row.station)?;
    }
    let ended = EndedCommand {
        id: row.id,
        station: &row.station,
        action: row.action,
        payload: &row.payload,
        response: end.response.as_deref(),
        accepted: end.accepted,
        error: end.error.as_ref(),
        was_sent: row.status == CommandStatus::Sent,
        late: false,
        transaction_id: row.transaction_id,
    };
    consequences::ended(w, &ended)?;
    w.after_commit.commands_ended.push(row.id);
    Ok(())
}

fn append_event(w: &mut Tx<'_>, row: &Row, end: &End) -> Result<()> {
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
        status: end.status,
        request: &row.payload,
        response: end.response.as_deref(),
        error: end.error.as_ref(),
        metadata: row.metadata.as_deref(),
    };
    let name = row.action.event_type();
    let event = NewEvent {
        protocol: Some(row.action.protocol()),
        message_id: Some(outgoing::message_id(row.id).text()),
        violations: end.violations.clone(),
        ..NewEvent::about_station(Category::Command, name, &row.station, w.now, to_raw_value(&payload)?)
    };
    append::append(w, &event, Manner::default()).map(drop)
}

/// Flags a station whose last calls all went unanswered (quirk Q29).
fn note_silence(w: &mut Tx<'_>, station: &StationId) -> Result<()> {
    let silent: i64 = w
        .conn
        .prepare_cached(
            "SELECT count(*) FROM (SELECT status FROM commands
                 WHERE station_id = ?1 AND sent_at_ms IS NOT NULL AND status <> 'sent'
                 ORDER BY seq DESC LIMIT ?2)
             WHERE status = 'timeout'",
        )?
        .query_row(params![station.as_str(), UNANSWERED_IN_A_ROW], |row| row.get(0))?;
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
    let Some(row) = Row::by_id(w, id)? else { return Ok(false) };
    let unanswered = matches!(row.status, CommandStatus::Timeout | CommandStatus::ConnectionLost);
    let recent = row.completed_at.is_some_and(|ended| w.now.since(ended) < LATE_FOR);
    if row.station != *station || !unanswered || !recent || row.answered_late {
        return Ok(false);
    }
    let end = End::of_call(row.action, unexpected.answer.clone(), Vec::new()).without(&row);
    let response = match (&end.response, &end.error) {
        (Some(response), _) => response.clone(),
        (None, error) => to_raw_value(&json!({ "error": error }))?,
    };
    w.conn
        .prepare_cached("UPDATE commands SET late_response = ?2 WHERE id = ?1")?
        .execute(params![id.to_string(), response.get()])?;
    let mut flags = Change::default();
    flags.over(Until::Answer);
    flags.write_unread(w, station)?;
    let answered = EndedCommand {
        id,
        station,
        action: row.action,
        payload: &row.payload,
        response: end.response.as_deref(),
        accepted: end.accepted,
        error: end.error.as_ref(),
        was_sent: true,
        late: true,
        transaction_id: row.transaction_id,
    };
    consequences::ended(w, &answered)?;
    Ok(true)
}
