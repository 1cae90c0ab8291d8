//! Commands on their way: made, claimed by the station's connection, and ended, each in one transaction.
//!
//! The queue is the table. A command is `sent` before its frame leaves, so that whatever is killed when, none
//! is ever sent twice: one that was under way at a crash has the status `connection_lost`, because nobody
//! knows how far it came. **Invariant**: a command ends once, and its event is in the transaction that ends it.

use std::time::Duration;

use rusqlite::{OptionalExtension, params};
use serde::Serialize;
use serde_json::json;
use serde_json::value::{RawValue, to_raw_value};

use super::command_list::{self, by_id};
use super::connections::{add_flags, to_json};
use super::effects::{self, EndedCommand, SentCommand};
use super::error::{Result, StoreError};
use super::events::{self, Manner};
use super::writer::Writing;
use super::{Priority, Store, cells, key_rotation};
use crate::api::command::{Command, CommandError, CommandStatus, RequestedBy};
use crate::clock::Timestamp;
use crate::event::{self, Category, NewEvent};
use crate::id::{CommandId, StationId};
use crate::ocpp::Violation;
use crate::ocpp::frame::empty_object;
use crate::ocpp::outgoing::{self, CallEnd, Ended, Outgoing, Unexpected};
use crate::ocpp::v16::answer::BootStatus;
use crate::ocpp::v16::{FromCentralSystem, command};
use crate::ocpp::violations::Violations;

/// Commands that may wait for one station.
const QUEUED_PER_STATION: i64 = 1_000;

/// How long after its end a command still takes an answer (quirk Q27).
const LATE_FOR: Duration = Duration::from_secs(600);

/// Time-outs in a row after which a station is flagged as not answering (quirk Q29).
const UNANSWERED_IN_A_ROW: i64 = 3;

/// The code of an answer that cannot be read.
pub(super) const MALFORMED: &str = "MalformedResponse";

/// The most that is kept of an answer that cannot be read, in characters.
const RAW_CHARS_MAX: usize = 16 << 10;

/// A command that is to be made; its payload is checked and compact.
#[derive(Clone)]
pub struct NewCommand {
    /// For which station.
    pub station_id: StationId,
    /// What is asked.
    pub action: FromCentralSystem,
    /// As it is sent.
    pub payload: Box<RawValue>,
    /// How long its answer is waited for, and its turn if it may not wait for the station.
    pub timeout: Duration,
    /// How long it may wait to be sent, if it may wait for the station.
    pub queue_for: Option<Duration>,
    /// What the integrator keeps with it.
    pub metadata: Option<Box<RawValue>>,
    /// The argon2id verifier (PHC string) of the password that it tells the station to use.
    pub key_verifier: Option<String>,
    /// Who asks.
    pub requested_by: RequestedBy,
}

/// What became of a command that was to be made.
#[derive(Debug, Clone)]
pub enum Ordered {
    /// It is queued; `now` tells whether the station can take it as soon as it is its turn.
    Made {
        /// As it was made.
        command: Box<Command>,
        /// Whether the station is connected and may be asked this.
        now: bool,
    },
    /// The station cannot take it now, and it may not wait; nothing was written.
    Refused(Unfit),
    /// There is no such station.
    UnknownStation,
}

/// Why a station cannot take a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfit {
    /// It has no connection.
    NotConnected,
    /// It has never sent a `BootNotification`.
    NeverBooted,
    /// Its boot was answered `Pending`, and it may start and stop nothing.
    Pending,
    /// Its boot was answered `Rejected`.
    Rejected,
    /// Too many wait for it already.
    Full,
}

/// What a connection may send next.
#[derive(Debug)]
pub enum Turn {
    /// This one; it is on record as sent.
    Send(Outgoing),
    /// There are some, but the station must boot before it may be asked them.
    NotYet,
    /// There is none.
    Nothing,
}

/// What became of a command that was to be called back.
#[derive(Debug, Clone)]
pub enum CalledBack {
    /// It will never be sent.
    Done(Box<Command>),
    /// It was sent, or has ended, in this status.
    TooLate(CommandStatus),
    /// There is none.
    Unknown,
}

/// Whom a station takes commands from, as far as it is known.
struct Readiness {
    connected: bool,
    generation: i64,
    /// The stricter of what its last boot was answered with and what the next one will be; `None`: it never
    /// booted.
    standing: Option<BootStatus>,
}

impl Readiness {
    fn of(w: &Writing<'_>, station: &StationId) -> Result<Option<Self>> {
        let found = w
            .conn
            .prepare_cached(
                "SELECT connected, connection_generation, boot_status, booted_as FROM stations WHERE station_id = ?1",
            )?
            .query_row([station.as_str()], |row| {
                let (next, last) = (cells::word(row, 2)?, cells::maybe_word(row, 3)?);
                let standing = last.map(|last| stricter(next, last));
                Ok(Self { connected: row.get(0)?, generation: row.get(1)?, standing })
            })
            .optional()?;
        Ok(found)
    }

    fn takes(&self, action: FromCentralSystem) -> std::result::Result<(), Unfit> {
        match self.standing {
            _ if !self.connected => Err(Unfit::NotConnected),
            None => Err(Unfit::NeverBooted),
            Some(BootStatus::Rejected) => Err(Unfit::Rejected),
            Some(BootStatus::Pending) if starts_or_stops(action) => Err(Unfit::Pending),
            Some(BootStatus::Pending | BootStatus::Accepted) => Ok(()),
        }
    }
}

/// A charger that was told `Pending` stays so until its next boot, whatever it would be told now; one that is
/// not wanted any more is not asked, whatever it was told.
fn stricter(one: BootStatus, other: BootStatus) -> BootStatus {
    let rank = |status| match status {
        BootStatus::Accepted => 0,
        BootStatus::Pending => 1,
        BootStatus::Rejected => 2,
    };
    if rank(one) >= rank(other) { one } else { other }
}

/// What a `Pending` station must not be asked (OCPP 1.6 §4.2).
fn starts_or_stops(action: FromCentralSystem) -> bool {
    matches!(action, FromCentralSystem::RemoteStartTransaction | FromCentralSystem::RemoteStopTransaction)
}

impl Store {
    /// Makes a command. Its station's connection has to be told, unless [`Ordered::Made`] says that it cannot
    /// take it now.
    ///
    /// # Errors
    /// Only the store's own.
    pub async fn order_command(&self, new: NewCommand) -> Result<Ordered> {
        self.write(Priority::Api, move |w| order(w, &new)).await
    }

    /// The next command that the station's connection of this generation may send, on record as sent from
    /// now on. Commands whose time is over are ended on the way.
    ///
    /// # Errors
    /// Only the store's own: nothing was claimed.
    pub async fn claim_command(&self, station: StationId, generation: u64) -> Result<Turn> {
        self.write(Priority::Inbound, move |w| claim(w, &station, generation as i64)).await
    }

    /// Ends a command that was sent. One that has ended otherwise meanwhile keeps its end.
    ///
    /// # Errors
    /// Only the store's own.
    pub async fn end_command(&self, ended: Ended) -> Result<()> {
        self.write(Priority::Inbound, move |w| {
            let Some(row) = Row::sent(w, ended.id)? else { return Ok(()) };
            let end = End::of_call(row.action, ended.end, ended.violations);
            finish(w, row, end)
        })
        .await
    }

    /// Keeps an answer that nobody waits for: with its command if that ended without one less than ten
    /// minutes ago, else as a `MessageRejected`.
    ///
    /// # Errors
    /// Only the store's own.
    pub async fn unexpected_answer(
        &self,
        station: StationId,
        unexpected: Unexpected,
        received_at: Timestamp,
    ) -> Result<()> {
        self.write(Priority::Inbound, move |w| match keep_late(w, &station, &unexpected)? {
            true => Ok(()),
            false => super::calls::keep_rejected(w, &station, unexpected.rejection, received_at),
        })
        .await
    }

    /// Calls a command back, if it was not sent.
    ///
    /// # Errors
    /// Only the store's own.
    pub async fn cancel_command(&self, id: CommandId) -> Result<CalledBack> {
        self.write(Priority::Api, move |w| {
            let Some(row) = Row::by_id(w, id)? else { return Ok(CalledBack::Unknown) };
            if row.status != CommandStatus::Queued {
                return Ok(CalledBack::TooLate(row.status));
            }
            finish(w, row, End::without_answer(CommandStatus::Canceled))?;
            Ok(by_id(w.conn, id)?.map_or(CalledBack::Unknown, |command| CalledBack::Done(Box::new(command))))
        })
        .await
    }

    /// Whether time has brought something: a command that waited too long, a remote start without result.
    ///
    /// # Errors
    /// Only the store's own.
    pub async fn commands_overdue(&self, now: Timestamp) -> Result<bool> {
        self.read(move |conn| {
            let overdue = conn
                .prepare_cached(
                    "SELECT EXISTS (SELECT 1 FROM commands WHERE status = 'queued' AND expires_at_ms <= ?1)
                         OR EXISTS (SELECT 1 FROM commands WHERE outcome_due_ms <= ?1)",
                )?
                .query_row([now.unix_ms()], |row| row.get(0))?;
            Ok(overdue)
        })
        .await
    }

    /// Ends what [`Store::commands_overdue`] found, a bounded number at a time.
    ///
    /// # Errors
    /// Only the store's own.
    pub async fn settle_overdue_commands(&self) -> Result<()> {
        self.write(Priority::Outcome, |w| {
            let overdue = "SELECT id FROM commands WHERE status = 'queued' AND expires_at_ms <= ?1 LIMIT 500";
            end_each(w, overdue, params![w.now.unix_ms()], CommandStatus::Expired)?;
            super::remote_start::give_up(w)
        })
        .await
    }
}

fn order(w: &mut Writing<'_>, new: &NewCommand) -> Result<Ordered> {
    let Some(readiness) = Readiness::of(w, &new.station_id)? else { return Ok(Ordered::UnknownStation) };
    let waiting: i64 = w
        .conn
        .prepare_cached("SELECT count(*) FROM commands WHERE station_id = ?1 AND status = 'queued'")?
        .query_row([new.station_id.as_str()], |row| row.get(0))?;
    if waiting >= QUEUED_PER_STATION {
        return Ok(Ordered::Refused(Unfit::Full));
    }
    let fit = readiness.takes(new.action);
    if let Err(unfit) = fit
        && new.queue_for.is_none()
    {
        return Ok(Ordered::Refused(unfit));
    }
    let id = CommandId::from_value(w.mint.next(w.now));
    w.conn
        .prepare_cached(
            "INSERT INTO commands (id, station_id, owner_id, action, payload, timeout_ms, queue, metadata,
                 requested_by_id, requested_by_name, status, generation, expires_at_ms, created_at_ms)
             SELECT ?1, station_id, owner_id, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 'queued', ?10, ?11, ?12
             FROM stations WHERE station_id = ?2",
        )?
        .execute(params![
            id.to_string(),
            new.station_id.as_str(),
            new.action.as_str(),
            new.payload.get(),
            new.timeout.as_millis() as i64,
            new.queue_for.is_some(),
            new.metadata.as_deref().map(RawValue::get),
            new.requested_by.id.to_string(),
            new.requested_by.name,
            readiness.generation,
            w.now.after(new.queue_for.unwrap_or(new.timeout)).unix_ms(),
            w.now.unix_ms(),
        ])?;
    if let Some(verifier) = &new.key_verifier {
        key_rotation::ordered(w, id, &new.station_id, verifier)?;
    }
    let made = by_id(w.conn, id)?.ok_or_else(|| StoreError::Corrupt(format!("command {id} is gone")))?;
    Ok(Ordered::Made { command: Box::new(made), now: fit.is_ok() })
}

fn claim(w: &mut Writing<'_>, station: &StationId, generation: i64) -> Result<Turn> {
    let Some(readiness) = Readiness::of(w, station)? else { return Ok(Turn::Nothing) };
    if !readiness.connected || readiness.generation != generation {
        return Ok(Turn::Nothing);
    }
    let overdue =
        "SELECT id FROM commands WHERE station_id = ?2 AND status = 'queued' AND expires_at_ms <= ?1";
    end_each(w, overdue, params![w.now.unix_ms(), station.as_str()], CommandStatus::Expired)?;
    let queued: Vec<(String, FromCentralSystem)> = w
        .conn
        .prepare_cached(
            "SELECT id, action FROM commands WHERE station_id = ?1 AND status = 'queued' ORDER BY seq",
        )?
        .query_map([station.as_str()], |row| Ok((row.get(0)?, cells::word(row, 1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    if queued.is_empty() {
        return Ok(Turn::Nothing);
    }
    // What may not be asked yet lets the others pass.
    let Some((id, action)) = queued.into_iter().find(|(_, action)| readiness.takes(*action).is_ok()) else {
        return Ok(Turn::NotYet);
    };
    let (payload, timeout_ms): (String, i64) = w
        .conn
        .prepare_cached("SELECT payload, timeout_ms FROM commands WHERE id = ?1")?
        .query_row([&id], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let payload = RawValue::from_string(payload).map_err(|error| StoreError::Corrupt(error.to_string()))?;
    let id: CommandId = id.parse().map_err(|_| StoreError::Corrupt(format!("command {id}")))?;
    w.conn
        .prepare_cached(
            "UPDATE commands SET status = 'sent', sent_at_ms = ?2, generation = ?3, payload = ?4 WHERE id = ?1",
        )?
        .execute(params![
            id.to_string(),
            w.now.unix_ms(),
            generation,
            command::shown(action, &payload).get()
        ])?;
    effects::sent(w, &SentCommand { id, station, action })?;
    Ok(Turn::Send(Outgoing { id, action, payload, timeout: Duration::from_millis(timeout_ms.max(0) as u64) }))
}

/// Whether something waits for the station's new connection.
pub(super) fn waiting(w: &Writing<'_>, station: &StationId) -> Result<bool> {
    let waiting = w
        .conn
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM commands WHERE station_id = ?1 AND status = 'queued')")?
        .query_row([station.as_str()], |row| row.get(0))?;
    Ok(waiting)
}

/// A connection has ended: what it had sent is lost, and what was made for it alone.
pub(super) fn connection_lost(w: &mut Writing<'_>, station: &StationId, generation: u64) -> Result<()> {
    let lost = "SELECT id FROM commands WHERE station_id = ?1 AND generation = ?2
                 AND (status = 'sent' OR status = 'queued' AND queue = 0) ORDER BY seq";
    end_each(w, lost, params![station.as_str(), generation as i64], CommandStatus::ConnectionLost)
}

/// A station is gone for good: what waits for it will never be sent.
pub(super) fn station_removed(w: &mut Writing<'_>, station: &StationId) -> Result<()> {
    let waiting = "SELECT id FROM commands WHERE station_id = ?1 AND status = 'queued' ORDER BY seq";
    end_each(w, waiting, params![station.as_str()], CommandStatus::Canceled)
}

/// What the last run left open. What may wait for its station goes on waiting.
pub(super) fn settle(w: &mut Writing<'_>) -> Result<()> {
    let lost =
        "SELECT id FROM commands WHERE status = 'sent' OR status = 'queued' AND queue = 0 ORDER BY seq";
    end_each(w, lost, params![], CommandStatus::ConnectionLost)
}

/// Ends every command that `select` names, without an answer.
fn end_each(
    w: &mut Writing<'_>,
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
pub(super) struct Row {
    pub(super) id: CommandId,
    pub(super) station: StationId,
    pub(super) action: FromCentralSystem,
    pub(super) status: CommandStatus,
    payload: Box<RawValue>,
    metadata: Option<Box<RawValue>>,
    completed_at: Option<Timestamp>,
    answered_late: bool,
    /// The transaction that began while the answer was waited for.
    pub(super) transaction_id: Option<i64>,
}

impl Row {
    fn by_id(w: &Writing<'_>, id: CommandId) -> Result<Option<Self>> {
        let found = w
            .conn
            .prepare_cached(
                "SELECT station_id, action, status, payload, metadata, completed_at_ms, late_response IS NOT NULL,
                        transaction_id
                 FROM commands WHERE id = ?1",
            )?
            .query_row([id.to_string()], |row| {
                Ok(Self {
                    id,
                    station: cells::parsed(row, 0)?,
                    action: cells::word(row, 1)?,
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

    fn sent(w: &Writing<'_>, id: CommandId) -> Result<Option<Self>> {
        Ok(Self::by_id(w, id)?.filter(|row| row.status == CommandStatus::Sent))
    }
}

/// How a command ended.
struct End {
    status: CommandStatus,
    response: Option<Box<RawValue>>,
    accepted: Option<bool>,
    error: Option<CommandError>,
    violations: Vec<Violation>,
}

impl End {
    fn without_answer(status: CommandStatus) -> Self {
        Self { status, response: None, accepted: None, error: None, violations: Vec::new() }
    }

    fn of_call(action: FromCentralSystem, end: CallEnd, mut oddities: Vec<Violation>) -> Self {
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
                oddities.extend(command::response_violations(action, &value));
                Self {
                    status: CommandStatus::Completed,
                    accepted: Some(command::accepted(action, &value)),
                    response: Some(command::shown_response(action, &response)),
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
        let shown = command::shown(row.action, &row.payload);
        if row.action != FromCentralSystem::ChangeConfiguration || !shown.get().contains(command::HIDDEN) {
            return self;
        }
        // Whatever is not in the schema may be the secret.
        if let Some(response) = self.response.as_mut().filter(|_| !self.violations.is_empty()) {
            let value = serde_json::from_str(response.get()).unwrap_or_default();
            let status = command::status(&value);
            *response = to_raw_value(&json!({ "status": status })).unwrap_or_else(|_| empty_object());
        }
        if let Some(error) = &mut self.error {
            error.description = command::HIDDEN.to_owned();
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
fn finish(w: &mut Writing<'_>, row: Row, end: End) -> Result<()> {
    let end = end.without(&row);
    let shown = command::shown(row.action, &row.payload);
    let violations =
        (!end.violations.is_empty()).then(|| command_list::json_text(&end.violations)).transpose()?;
    w.conn
        .prepare_cached(
            "UPDATE commands SET status = ?2, response = ?3, accepted = ?4, error = ?5, violations = ?6, payload = ?7,
                                 completed_at_ms = ?8
             WHERE id = ?1",
        )?
        .execute(params![
            row.id.to_string(),
            end.status.as_str(),
            end.response.as_deref().map(RawValue::get),
            end.accepted,
            end.error.as_ref().map(command_list::json_text).transpose()?,
            violations,
            shown.get(),
            w.now.unix_ms(),
        ])?;
    append_event(w, &row, &end, &shown)?;
    if !end.violations.is_empty() {
        flag(w, &row.station, end.violations.iter().map(Violation::code))?;
    }
    if end.status == CommandStatus::Timeout {
        note_silence(w, &row.station)?;
    }
    let ended = EndedCommand {
        id: row.id,
        station: &row.station,
        action: row.action,
        payload: &shown,
        response: end.response.as_deref(),
        accepted: end.accepted,
        error: end.error.as_ref(),
        was_sent: row.status == CommandStatus::Sent,
        late: false,
        transaction_id: row.transaction_id,
    };
    effects::ended(w, &ended)?;
    w.effects.commands_ended.push(row.id);
    Ok(())
}

fn append_event(w: &mut Writing<'_>, row: &Row, end: &End, shown: &RawValue) -> Result<()> {
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
        request: shown,
        response: end.response.as_deref(),
        error: end.error.as_ref(),
        metadata: row.metadata.as_deref(),
    };
    let name = event::command_type(row.action);
    let event = NewEvent {
        message_id: Some(outgoing::message_id(row.id).text()),
        violations: end.violations.clone(),
        ..NewEvent::about_station(Category::Command, name, &row.station, w.now, to_json(&payload)?)
    };
    events::append(w, &event, Manner::default()).map(drop)
}

/// Flags a station whose last calls all went unanswered (quirk Q29).
fn note_silence(w: &mut Writing<'_>, station: &StationId) -> Result<()> {
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
    flag(w, station, ["unresponsive"].into_iter())
}

/// Adds what was odd to the flags of a station, if it is still there.
fn flag<'a>(w: &Writing<'_>, station: &StationId, seen: impl Iterator<Item = &'a str>) -> Result<()> {
    let flags: Option<String> = w
        .conn
        .prepare_cached("SELECT flags FROM stations WHERE station_id = ?1")?
        .query_row([station.as_str()], |row| row.get(0))
        .optional()?;
    match flags {
        Some(flags) => add_flags(w, station, &flags, seen),
        None => Ok(()),
    }
}

/// Keeps an answer with the command it is to, if that ended without one a short while ago.
fn keep_late(w: &mut Writing<'_>, station: &StationId, unexpected: &Unexpected) -> Result<bool> {
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
        (None, error) => to_json(&json!({ "error": error }))?,
    };
    w.conn
        .prepare_cached("UPDATE commands SET late_response = ?2 WHERE id = ?1")?
        .execute(params![id.to_string(), response.get()])?;
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
    effects::ended(w, &answered)?;
    Ok(true)
}
