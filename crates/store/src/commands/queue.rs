//! Commands on their way: created, claimed by the station's connection, and ended, each in one transaction.
//!
//! The queue is the table. A command is `sent` before its frame leaves, so that whatever is killed when, none
//! is ever sent twice: one that was under way at a crash has the status `connection_lost`, because nobody
//! knows how far it came. **Invariant**: a command ends once, and its event is in the transaction that ends
//! it.
//!
//! A station's past commands may be very many, the open ones are few. Left alone SQLite walks through the
//! past, so the statements here name the index of what is open.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use serde_json::value::RawValue;

use crate::access::tag_rules::TagRules;
use crate::command_result::SentCommand;
use crate::commands::bulk_counts;
use crate::commands::consequences;
use crate::commands::end::{end_each, finish};
use crate::commands::list::by_id;
use crate::commands::outcome::CommandOutcome;
use crate::commands::readiness::{NotReady, Readiness};
use crate::commands::refused_tag;
use crate::commands::row::CommandRow;
use crate::engine::sql::params;
use crate::engine::tx::Tx;
use crate::error::{Result, StoreError};
use crate::other_nodes::Left;
use crate::other_nodes::tell_node_of;
use crate::secrecy::vault::cell;
use crate::signals::told::StationNews;
use crate::signals::{CommandEnd, Signals};
use crate::station_state::password_change;
use crate::{Priority, Scope, Store};
use vocabulary::api::command::{Command, CommandStatus, RequestedBy};
use vocabulary::clock::Timestamp;
use vocabulary::id::{BulkCommandId, CommandId, StationId};
use vocabulary::ocpp::command::CommandAction;
use vocabulary::ocpp::outgoing::Outgoing;

/// Commands that may wait for one station.
const QUEUED_PER_STATION: i64 = 1_000;

/// A command that is to be created; its payload is checked and compact.
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

/// What became of a command that was to be created.
pub enum Creation {
    /// It is queued.
    Created {
        /// As it was created.
        command: Box<Command>,
        /// Tells of its end, however soon that is.
        end: CommandEnd,
        /// Whether the station is connected and may be asked this.
        now: bool,
    },
    /// The station cannot take it now, and it may not wait; nothing was written.
    NotReady(NotReady),
    /// There is no such station.
    UnknownStation,
}

/// What a connection may send next.
#[derive(Debug)]
pub enum NextCommand {
    /// This one; it is on record as sent.
    Send(Outgoing),
    /// There are some, but the station must boot before it may be asked them.
    NotYet,
    /// There is none.
    Nothing,
}

/// What became of a command that was to be canceled.
#[derive(Debug, Clone)]
pub enum Cancellation {
    /// It will never be sent.
    Canceled(Box<Command>),
    /// It was sent, or has ended, in this status.
    TooLate(CommandStatus),
    /// There is none.
    Unknown,
}

impl Store {
    /// Creates a command. Its station's connection, if there is one, has to be told.
    pub async fn create_command(&self, new: NewCommand) -> Result<Creation> {
        let signals = self.inner.signals.clone();
        let scope = Scope::Station(new.station_id.clone());
        let store = self.clone();
        self.write(Priority::Api, scope, move |w| create(w, &new, store.inner.tags.get(), &signals)).await
    }

    /// The next command that the station's connection of this generation may send, on record as sent from
    /// now on. Commands whose time is over are ended on the way.
    pub async fn claim_command(&self, station: StationId, generation: u64) -> Result<NextCommand> {
        self.write(Priority::Inbound, Scope::Station(station.clone()), move |w| {
            claim(w, &station, generation as i64)
        })
        .await
    }

    /// Cancels a command, if it was not sent.
    pub async fn cancel_command(&self, id: CommandId) -> Result<Cancellation> {
        self.write(Priority::Api, Scope::Installation, move |w| {
            let Some(row) = CommandRow::by_id(w, id)? else { return Ok(Cancellation::Unknown) };
            if row.status != CommandStatus::Queued {
                return Ok(Cancellation::TooLate(row.status));
            }
            finish(w, row, CommandOutcome::without_answer(CommandStatus::Canceled))?;
            Ok(by_id(w, id)?
                .map_or(Cancellation::Unknown, |command| Cancellation::Canceled(Box::new(command))))
        })
        .await
    }

    /// Whether time has brought something: a command that waited too long, a remote start without result.
    /// `now` is of the monotonic clock.
    pub async fn commands_overdue(&self, now: Timestamp) -> Result<bool> {
        self.read(move |db| {
            db.one(
                "SELECT EXISTS (SELECT 1 FROM commands WHERE status = 'queued' AND expires_at_ms <= ?1)
                     OR EXISTS (SELECT 1 FROM commands WHERE outcome_due_ms <= ?1)",
                params![now],
                |row| row.get(0),
            )
        })
        .await
    }

    /// Ends what [`Store::commands_overdue`] found, a bounded number at a time.
    pub async fn settle_overdue_commands(&self) -> Result<()> {
        self.write(Priority::Outcome, Scope::Installation, |w| {
            let overdue = "SELECT id FROM commands WHERE status = 'queued' AND expires_at_ms <= ?1 LIMIT 500";
            let now = w.monotonic;
            end_each(w, overdue, params![now], CommandStatus::Expired)?;
            crate::sessions::remote_start::settle_overdue(w)
        })
        .await
    }
}

/// A command that waits to be sent.
pub(super) struct Enqueued {
    pub(super) id: CommandId,
    /// Whether the station may be asked it now.
    pub(super) now: bool,
}

/// Why there is no command; nothing was written.
pub(super) enum NotEnqueued {
    UnknownStation,
    NotReady(NotReady),
}

/// Creates a command, if its station can take it now, or it may wait and there is room for it. By `tags` one
/// that starts a session is warned of a tag that the station would refuse.
pub(super) fn enqueue(
    w: &mut Tx<'_>,
    new: &NewCommand,
    bulk_id: Option<BulkCommandId>,
    tags: Option<&TagRules>,
) -> Result<std::result::Result<Enqueued, NotEnqueued>> {
    let Some(readiness) = Readiness::of(w, &new.station_id)? else {
        return Ok(Err(NotEnqueued::UnknownStation));
    };
    if queued(w, &new.station_id)? >= QUEUED_PER_STATION {
        return Ok(Err(NotEnqueued::NotReady(NotReady::Full)));
    }
    let ready = readiness.takes(new.action);
    if let Err(not_ready) = ready
        && new.queue_for.is_none()
    {
        return Ok(Err(NotEnqueued::NotReady(not_ready)));
    }
    let mut warnings = new.action.warnings(&new.payload);
    if let Some(tags) = tags {
        warnings.extend(refused_tag::warning(w, tags, &new.station_id, &new.action.purpose(&new.payload)?)?);
    }
    let id = insert(w, new, bulk_id, readiness.generation, &warnings)?;
    if w.is_shared() {
        tell_node_of(w, &new.station_id, StationNews::Commands)?;
    }
    Ok(Ok(Enqueued { id, now: ready.is_ok() }))
}

fn create(
    w: &mut Tx<'_>,
    new: &NewCommand,
    tags: Option<&TagRules>,
    signals: &Arc<Signals>,
) -> Result<Creation> {
    let Enqueued { id, now } = match enqueue(w, new, None, tags)? {
        Ok(enqueued) => enqueued,
        Err(NotEnqueued::UnknownStation) => return Ok(Creation::UnknownStation),
        Err(NotEnqueued::NotReady(why)) => return Ok(Creation::NotReady(why)),
    };
    let command = by_id(w, id)?.ok_or_else(|| StoreError::Corrupt(format!("command {id} is gone")))?;
    // Before the commit, and so before anybody can claim it: its end cannot be missed.
    let end = signals.clone().command_end(id);
    Ok(Creation::Created { command: Box::new(command), end, now })
}

/// Creates a command that the gateway itself requests and that may wait for its station; false if too many
/// wait for it, or it is gone.
pub(crate) fn create_own(w: &mut Tx<'_>, new: &NewCommand) -> Result<bool> {
    Ok(enqueue(w, new, None, None)?.is_ok())
}

/// How many commands wait for the station.
fn queued(w: &Tx<'_>, station: &StationId) -> Result<i64> {
    w.one(
        "SELECT count(*) FROM commands INDEXED BY commands_queued
         WHERE station_id = ?1 AND status = 'queued'",
        params![station],
        |row| row.get(0),
    )
}

fn insert(
    w: &mut Tx<'_>,
    new: &NewCommand,
    bulk_id: Option<BulkCommandId>,
    generation: i64,
    warnings: &[String],
) -> Result<CommandId> {
    let id = CommandId::from_value(w.mint.next(w.now));
    let shown = new.action.shown(&new.payload);
    let hides = new.action.has_secret(&new.payload);
    let sealed = hides.then(|| w.vault.seal(cell::COMMAND_PAYLOAD, id, new.payload.get())).transpose()?;
    w.run(
        "INSERT INTO commands (id, station_id, owner_id, action, payload, timeout_ms, queue, metadata,
             requested_by_id, requested_by_name, status, generation, expires_at_ms, created_at_ms,
             sealed_payload, warnings, bulk_id)
         VALUES (?1, ?2, (SELECT owner_id FROM stations WHERE station_id = ?2), ?3, ?4, ?5, ?6, ?7, ?8, ?9,
                 'queued', ?10, ?11, ?12, ?13, ?14, ?15)",
        params![
            id,
            new.station_id,
            new.action.as_str(),
            shown,
            new.timeout.as_millis() as i64,
            new.queue_for.is_some(),
            new.metadata,
            new.requested_by.id,
            new.requested_by.name,
            generation,
            w.monotonic.after(new.queue_for.unwrap_or(new.timeout)),
            w.now,
            sealed,
            (!warnings.is_empty()).then(|| serde_json::to_string(warnings)).transpose()?,
            bulk_id,
        ],
    )?;
    if let Some(verifier) = &new.key_verifier {
        password_change::ordered(w, id, &new.station_id, verifier)?;
    }
    Ok(id)
}

fn claim(w: &mut Tx<'_>, station: &StationId, generation: i64) -> Result<NextCommand> {
    let Some(readiness) = Readiness::of(w, station)? else { return Ok(NextCommand::Nothing) };
    if !readiness.connected || readiness.generation != generation {
        return Ok(NextCommand::Nothing);
    }
    let overdue = "SELECT id FROM commands INDEXED BY commands_queued
                   WHERE station_id = ?2 AND status = 'queued' AND expires_at_ms <= ?1 ORDER BY seq";
    let now = w.monotonic;
    end_each(w, overdue, params![now, station], CommandStatus::Expired)?;
    let next = next_ready(w, station, &readiness)?;
    if let NextCommand::Send(Outgoing { id, action, payload, .. }) = &next {
        let bulk_id: Option<BulkCommandId> = w.one(
            "UPDATE commands SET status = 'sent', sent_at_ms = ?2, generation = ?3, sealed_payload = NULL
             WHERE id = ?1 RETURNING bulk_id",
            params![id, w.now, generation],
            |row| row.get(0),
        )?;
        if let Some(bulk_id) = bulk_id {
            bulk_counts::sent(w, bulk_id)?;
        }
        consequences::sent(w, &SentCommand { id: *id, station, action: *action, payload })?;
    }
    Ok(next)
}

/// The oldest command that the station may be asked now: what it may not be asked yet lets the others pass.
fn next_ready(w: &Tx<'_>, station: &StationId, readiness: &Readiness) -> Result<NextCommand> {
    let mut next = NextCommand::Nothing;
    w.each(
        "SELECT action, id, payload, timeout_ms, sealed_payload FROM commands INDEXED BY commands_queued
         WHERE station_id = ?1 AND status = 'queued' AND (queue = 1 OR generation = ?2) ORDER BY seq",
        params![station, readiness.generation],
        |row| {
            let action: CommandAction = row.parsed(0)?;
            if readiness.takes(action).is_err() {
                next = NextCommand::NotYet;
                return Ok(ControlFlow::Continue(()));
            }
            let timeout = Duration::from_millis(row.get(3)?);
            let id: CommandId = row.get(1)?;
            let payload = match row.maybe_sealed(4, w.vault, (cell::COMMAND_PAYLOAD, &id))? {
                Some(text) => RawValue::from_string(text).map_err(|error| row.unreadable(4, error))?,
                None => row.get(2)?,
            };
            next = NextCommand::Send(Outgoing { id, action, payload, timeout });
            Ok(ControlFlow::Break(()))
        },
    )?;
    Ok(next)
}

/// Whether something waits for the station's new connection.
pub(crate) fn is_any_queued(w: &Tx<'_>, station: &StationId) -> Result<bool> {
    w.one(
        "SELECT EXISTS (SELECT 1 FROM commands INDEXED BY commands_queued
                        WHERE station_id = ?1 AND status = 'queued')",
        params![station],
        |row| row.get(0),
    )
}

/// A connection has ended: what it had sent is lost, and what was created for it alone.
pub(crate) fn connection_lost(w: &mut Tx<'_>, station: &StationId, generation: u64) -> Result<()> {
    let lost = "SELECT id FROM (
                    SELECT id, seq FROM commands INDEXED BY commands_sent
                    WHERE station_id = ?1 AND status = 'sent' AND generation = ?2
                    UNION ALL
                    SELECT id, seq FROM commands INDEXED BY commands_queued
                    WHERE station_id = ?1 AND status = 'queued' AND queue = 0 AND generation = ?2) AS lost
                ORDER BY seq";
    end_each(w, lost, params![station, generation], CommandStatus::ConnectionLost)
}

/// A station is gone for good: what waits for it will never be sent.
pub(crate) fn station_removed(w: &mut Tx<'_>, station: &StationId) -> Result<()> {
    let waiting = "SELECT id FROM commands INDEXED BY commands_queued
                   WHERE station_id = ?1 AND status = 'queued' ORDER BY seq";
    end_each(w, waiting, params![station], CommandStatus::Canceled)
}

/// What a node has left open. What may wait for its station goes on waiting.
pub(crate) fn settle(w: &mut Tx<'_>, left: Left) -> Result<()> {
    // The upper half of a connection's generation is the epoch of its node.
    let lost = "SELECT id FROM (SELECT id, seq, generation FROM commands WHERE status = 'sent'
                                UNION ALL
                                SELECT id, seq, generation FROM commands WHERE status = 'queued' AND queue = 0)
                    AS lost
                WHERE ?1 IS NULL OR generation >> 32 = ?1 ORDER BY seq";
    end_each(w, lost, params![left.epoch], CommandStatus::ConnectionLost)
}

#[cfg(test)]
mod tests;
