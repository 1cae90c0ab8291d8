//! Commands on their way: made, claimed by the station's connection, and ended, each in one transaction.
//!
//! The queue is the table. A command is `sent` before its frame leaves, so that whatever is killed when, none
//! is ever sent twice: one that was under way at a crash has the status `connection_lost`, because nobody
//! knows how far it came. **Invariant**: a command ends once, and its event is in the transaction that ends it.
//!
//! A station's past commands may be very many, the open ones are few. Left alone SQLite walks through the past,
//! so the statements here name the index of what is open.

use std::sync::Arc;
use std::time::Duration;

use rusqlite::{OptionalExtension, params};
use serde_json::value::RawValue;

use crate::command_result::SentCommand;
use crate::commands::consequences;
use crate::commands::end::{End, Row, end_each, finish};
use crate::commands::list::by_id;
use crate::engine::embedded::raw_cells as cells;
use crate::engine::tx::Tx;
use crate::error::{Result, StoreError};
use crate::secrecy::vault::cell;
use crate::signals::{CommandEnd, Signals};
use crate::station_state::password_change;
use crate::{Priority, Scope, Store};
use vocabulary::api::command::{Command, CommandStatus, RequestedBy};
use vocabulary::clock::Timestamp;
use vocabulary::id::{CommandId, StationId};
use vocabulary::ocpp::boot_status::BootStatus;
use vocabulary::ocpp::command::CommandAction;
use vocabulary::ocpp::outgoing::Outgoing;

/// Commands that may wait for one station.
const QUEUED_PER_STATION: i64 = 1_000;

/// A command that is to be made; its payload is checked and compact.
#[derive(Clone)]
pub struct NewCommand {
    /// For which station.
    pub station_id: StationId,
    /// What is asked.
    pub action: CommandAction,
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
pub enum Ordered {
    /// It is queued.
    Made {
        /// As it was made.
        command: Box<Command>,
        /// Tells of its end, however soon that is.
        end: CommandEnd,
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
    fn of(w: &Tx<'_>, station: &StationId) -> Result<Option<Self>> {
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

    fn takes(&self, action: CommandAction) -> std::result::Result<(), Unfit> {
        match self.standing {
            _ if !self.connected => Err(Unfit::NotConnected),
            None => Err(Unfit::NeverBooted),
            Some(BootStatus::Rejected) => Err(Unfit::Rejected),
            Some(BootStatus::Pending) if action.needs_acceptance() => Err(Unfit::Pending),
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

impl Store {
    /// Makes a command. Its station's connection, if there is one, has to be told.
    pub async fn order_command(&self, new: NewCommand) -> Result<Ordered> {
        let signals = self.inner.signals.clone();
        self.write(Priority::Api, Scope::Installation, move |w| order(w, &new, &signals)).await
    }

    /// The next command that the station's connection of this generation may send, on record as sent from
    /// now on. Commands whose time is over are ended on the way.
    pub async fn claim_command(&self, station: StationId, generation: u64) -> Result<Turn> {
        self.write(Priority::Inbound, Scope::Installation, move |w| claim(w, &station, generation as i64))
            .await
    }

    /// Calls a command back, if it was not sent.
    pub async fn cancel_command(&self, id: CommandId) -> Result<CalledBack> {
        self.write(Priority::Api, Scope::Installation, move |w| {
            let Some(row) = Row::by_id(w, id)? else { return Ok(CalledBack::Unknown) };
            if row.status != CommandStatus::Queued {
                return Ok(CalledBack::TooLate(row.status));
            }
            finish(w, row, End::without_answer(CommandStatus::Canceled))?;
            Ok(by_id(w.conn, id)?.map_or(CalledBack::Unknown, |command| CalledBack::Done(Box::new(command))))
        })
        .await
    }

    /// Whether time has brought something: a command that waited too long, a remote start without result. `now` is
    /// what [`Store::monotonic`] says.
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
    pub async fn settle_overdue_commands(&self) -> Result<()> {
        self.write(Priority::Outcome, Scope::Installation, |w| {
            let overdue = "SELECT id FROM commands WHERE status = 'queued' AND expires_at_ms <= ?1 LIMIT 500";
            end_each(w, overdue, params![w.monotonic.unix_ms()], CommandStatus::Expired)?;
            crate::sessions::remote_start::give_up(w)
        })
        .await
    }
}

fn order(w: &mut Tx<'_>, new: &NewCommand, signals: &Arc<Signals>) -> Result<Ordered> {
    let Some(readiness) = Readiness::of(w, &new.station_id)? else { return Ok(Ordered::UnknownStation) };
    if queued(w, &new.station_id)? >= QUEUED_PER_STATION {
        return Ok(Ordered::Refused(Unfit::Full));
    }
    let fit = readiness.takes(new.action);
    if let Err(unfit) = fit
        && new.queue_for.is_none()
    {
        return Ok(Ordered::Refused(unfit));
    }
    let id = insert(w, new, readiness.generation)?;
    let made = by_id(w.conn, id)?.ok_or_else(|| StoreError::Corrupt(format!("command {id} is gone")))?;
    // Before the commit, and so before anybody can claim it: its end cannot be missed.
    let end = signals.clone().command_end(id);
    Ok(Ordered::Made { command: Box::new(made), end, now: fit.is_ok() })
}

/// Makes a command that nobody has asked for and that may wait for its station; false if too many wait for it, or
/// it is gone.
pub(crate) fn order_unasked(w: &mut Tx<'_>, new: &NewCommand) -> Result<bool> {
    let Some(readiness) = Readiness::of(w, &new.station_id)? else { return Ok(false) };
    if queued(w, &new.station_id)? >= QUEUED_PER_STATION {
        return Ok(false);
    }
    insert(w, new, readiness.generation)?;
    Ok(true)
}

/// How many commands wait for the station.
fn queued(w: &Tx<'_>, station: &StationId) -> Result<i64> {
    let waiting = w
        .conn
        .prepare_cached("SELECT count(*) FROM commands INDEXED BY commands_queued WHERE station_id = ?1 AND status = 'queued'")?
        .query_row([station.as_str()], |row| row.get(0))?;
    Ok(waiting)
}

fn insert(w: &mut Tx<'_>, new: &NewCommand, generation: i64) -> Result<CommandId> {
    let id = CommandId::from_value(w.mint.next(w.now));
    let shown = new.action.shown(&new.payload);
    let hides = new.action.has_secret(&new.payload);
    let sealed = hides.then(|| w.vault.seal(cell::COMMAND_PAYLOAD, id, new.payload.get())).transpose()?;
    let warnings = new.action.warnings(&new.payload);
    w.conn
        .prepare_cached(
            "INSERT INTO commands (id, station_id, owner_id, action, payload, timeout_ms, queue, metadata,
                 requested_by_id, requested_by_name, status, generation, expires_at_ms, created_at_ms, sealed_payload,
                 warnings)
             SELECT ?1, station_id, owner_id, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 'queued', ?10, ?11, ?12, ?13, ?14
             FROM stations WHERE station_id = ?2",
        )?
        .execute(params![
            id.to_string(),
            new.station_id.as_str(),
            new.action.as_str(),
            shown.get(),
            new.timeout.as_millis() as i64,
            new.queue_for.is_some(),
            new.metadata.as_deref().map(RawValue::get),
            new.requested_by.id.to_string(),
            new.requested_by.name,
            generation,
            w.monotonic.after(new.queue_for.unwrap_or(new.timeout)).unix_ms(),
            w.now.unix_ms(),
            sealed,
            (!warnings.is_empty()).then(|| serde_json::to_string(&warnings)).transpose()?,
        ])?;
    if let Some(verifier) = &new.key_verifier {
        password_change::ordered(w, id, &new.station_id, verifier)?;
    }
    Ok(id)
}

fn claim(w: &mut Tx<'_>, station: &StationId, generation: i64) -> Result<Turn> {
    let Some(readiness) = Readiness::of(w, station)? else { return Ok(Turn::Nothing) };
    if !readiness.connected || readiness.generation != generation {
        return Ok(Turn::Nothing);
    }
    let overdue = "SELECT id FROM commands INDEXED BY commands_queued
                   WHERE station_id = ?2 AND status = 'queued' AND expires_at_ms <= ?1 ORDER BY seq";
    end_each(w, overdue, params![w.monotonic.unix_ms(), station.as_str()], CommandStatus::Expired)?;
    let Next { id, action, payload, timeout } = match next_fit(w, station, &readiness)? {
        Ok(next) => next,
        Err(turn) => return Ok(turn),
    };
    w.conn
        .prepare_cached(
            "UPDATE commands SET status = 'sent', sent_at_ms = ?2, generation = ?3, sealed_payload = NULL WHERE id = ?1",
        )?
        .execute(params![id.to_string(), w.now.unix_ms(), generation])?;
    consequences::sent(w, &SentCommand { id, station, action, payload: &payload })?;
    Ok(Turn::Send(Outgoing { id, action, payload, timeout }))
}

/// A command that is to be sent next.
struct Next {
    id: CommandId,
    action: CommandAction,
    payload: Box<RawValue>,
    timeout: Duration,
}

/// The oldest command that the station may be asked now: what it may not be asked yet lets the others pass.
fn next_fit(
    w: &Tx<'_>,
    station: &StationId,
    readiness: &Readiness,
) -> Result<std::result::Result<Next, Turn>> {
    let mut statement = w.conn.prepare_cached(
        "SELECT action, id, payload, timeout_ms, sealed_payload FROM commands INDEXED BY commands_queued
         WHERE station_id = ?1 AND status = 'queued' AND (queue = 1 OR generation = ?2) ORDER BY seq",
    )?;
    let mut queued = statement.query(params![station.as_str(), readiness.generation])?;
    let mut turn = Turn::Nothing;
    while let Some(row) = queued.next()? {
        let action: CommandAction = cells::parsed(row, 0)?;
        if readiness.takes(action).is_err() {
            turn = Turn::NotYet;
            continue;
        }
        let timeout = Duration::from_millis(row.get::<_, i64>(3)?.max(0) as u64);
        let id: CommandId = cells::parsed(row, 1)?;
        let payload = match cells::maybe_sealed(row, 4, w.vault, (cell::COMMAND_PAYLOAD, &id))? {
            Some(text) => RawValue::from_string(text)
                .map_err(|error| StoreError::Corrupt(format!("command {id}: {error}")))?,
            None => cells::raw(row, 2)?,
        };
        return Ok(Ok(Next { id, action, payload, timeout }));
    }
    Ok(Err(turn))
}

/// Whether something waits for the station's new connection.
pub(crate) fn waiting(w: &Tx<'_>, station: &StationId) -> Result<bool> {
    let waiting = w
        .conn
        .prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM commands INDEXED BY commands_queued
                            WHERE station_id = ?1 AND status = 'queued')",
        )?
        .query_row([station.as_str()], |row| row.get(0))?;
    Ok(waiting)
}

/// A connection has ended: what it had sent is lost, and what was made for it alone.
pub(crate) fn connection_lost(w: &mut Tx<'_>, station: &StationId, generation: u64) -> Result<()> {
    let lost = "SELECT id FROM (
                    SELECT id, seq FROM commands INDEXED BY commands_sent
                    WHERE station_id = ?1 AND status = 'sent' AND generation = ?2
                    UNION ALL
                    SELECT id, seq FROM commands INDEXED BY commands_queued
                    WHERE station_id = ?1 AND status = 'queued' AND queue = 0 AND generation = ?2)
                ORDER BY seq";
    end_each(w, lost, params![station.as_str(), generation as i64], CommandStatus::ConnectionLost)
}

/// A station is gone for good: what waits for it will never be sent.
pub(crate) fn station_removed(w: &mut Tx<'_>, station: &StationId) -> Result<()> {
    let waiting = "SELECT id FROM commands INDEXED BY commands_queued
                   WHERE station_id = ?1 AND status = 'queued' ORDER BY seq";
    end_each(w, waiting, params![station.as_str()], CommandStatus::Canceled)
}

/// What the last run left open. What may wait for its station goes on waiting.
pub(crate) fn settle(w: &mut Tx<'_>) -> Result<()> {
    let lost = "SELECT id FROM (SELECT id, seq FROM commands WHERE status = 'sent'
                                UNION ALL
                                SELECT id, seq FROM commands WHERE status = 'queued' AND queue = 0)
                ORDER BY seq";
    end_each(w, lost, params![], CommandStatus::ConnectionLost)
}

#[cfg(test)]
mod tests;
