//! Bulk commands: one request that becomes a command to each of many stations, in short steps.
//!
//! The stations are chosen when it is requested: a row for each, in the order of their turns. A step takes
//! the next few: the command, the station's row and the position are in one transaction. So whatever is
//! killed when, the next start goes on behind the last station that had its turn, and none has two.

pub(crate) mod cancel;
pub(crate) mod list;
pub(crate) mod step;

use std::time::Duration;

use serde_json::value::RawValue;

use crate::engine::sql::params;
use crate::engine::tx::Tx;
use crate::error::Result;
use crate::secrecy::vault::cell;
use crate::{Priority, Scope, Store};
use vocabulary::api::bulk_command::{BulkCommand, BulkStatus, WhenOffline};
use vocabulary::api::command::RequestedBy;
use vocabulary::id::{BulkCommandId, StationId};
use vocabulary::ocpp::command::CommandAction;
use vocabulary::rate::RateLimit;

/// Bulk commands that may be under way at once. Each is looked at in every round of the engine.
const OPEN_MAX: i64 = 100;

/// From here on the rows of the stations take long enough that chargers should not wait for them.
const MANY_STATIONS: usize = 1_000;

/// A bulk command that is to be created; its payload is checked and compact.
#[derive(Clone)]
pub struct NewBulkCommand {
    /// The customer that the key is bound to: only its stations are reached.
    pub owner_id: Option<String>,
    /// For which stations, in the order of their turns; none is in it twice.
    pub stations: Vec<StationId>,
    /// The filter that chose them, as JSON text.
    pub filter: Option<String>,
    /// What is asked.
    pub action: CommandAction,
    /// As it is sent.
    pub payload: Box<RawValue>,
    /// How many commands are made in a time.
    pub rate: RateLimit,
    /// How long an answer is waited for.
    pub timeout: Duration,
    /// How long a command may wait to be sent, if it may wait for its station.
    pub queue_for: Option<Duration>,
    /// What the integrator keeps with each command.
    pub metadata: Option<Box<RawValue>>,
    /// The argon2id verifier (PHC string) of the password that it tells the stations to use.
    pub key_verifier: Option<String>,
    /// Who asks.
    pub requested_by: RequestedBy,
}

/// What became of a bulk command that was to be created.
#[derive(Debug, Clone)]
pub enum BulkCreation {
    /// It is under way; one for no station at all is done.
    Created(Box<BulkCommand>),
    /// Too many are under way already; nothing was written.
    TooMany,
}

/// A bulk command that has something to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenBulkCommand {
    /// Its row.
    pub row: i64,
    /// The rate of its commands, as it is written.
    pub rate: String,
    /// Whether it only cancels what is queued of it.
    pub is_canceled: bool,
}

impl Store {
    /// Creates a bulk command; its steps follow ([`Store::bulk_step`]).
    pub async fn create_bulk_command(&self, new: NewBulkCommand) -> Result<BulkCreation> {
        let priority = if new.stations.len() > MANY_STATIONS { Priority::Bulky } else { Priority::Api };
        self.write(priority, Scope::Installation, move |w| {
            let open = "SELECT count(*) FROM bulk_commands INDEXED BY bulk_commands_open WHERE is_open = 1";
            if w.one(open, &[], |row| row.get::<i64>(0))? >= OPEN_MAX {
                return Ok(BulkCreation::TooMany);
            }
            let (row, id) = insert(w, &new)?;
            for (place, station) in new.stations.iter().enumerate() {
                w.run(
                    "INSERT INTO bulk_command_stations (bulk_seq, position, station_id) VALUES (?1, ?2, ?3)",
                    params![row, place + 1, station],
                )?;
            }
            w.after_commit.bulk_commands = true;
            list::by_id(w, id).map(Box::new).map(BulkCreation::Created)
        })
        .await
    }

    /// The bulk commands that have something to do, the oldest first.
    pub async fn open_bulk_commands(&self) -> Result<Vec<OpenBulkCommand>> {
        let sql = "SELECT seq, rate, status = 'canceled' FROM bulk_commands INDEXED BY bulk_commands_open
                   WHERE is_open = 1 ORDER BY seq";
        self.read(move |db| {
            db.all(sql, &[], |row| {
                Ok(OpenBulkCommand { row: row.get(0)?, rate: row.get(1)?, is_canceled: row.get(2)? })
            })
        })
        .await
    }

    /// Waits until a bulk command was created or canceled. For one waiter only.
    pub async fn bulk_commands_changed(&self) {
        self.inner.signals.bulk_commands_changed().await;
    }
}

/// Its row, without those of its stations.
fn insert(w: &mut Tx<'_>, new: &NewBulkCommand) -> Result<(i64, BulkCommandId)> {
    let id = BulkCommandId::from_value(w.mint.next(w.now));
    let is_open = !new.stations.is_empty();
    let status = if is_open { BulkStatus::Running } else { BulkStatus::Done };
    let hides = is_open && new.action.has_secret(&new.payload);
    let sealed = hides.then(|| w.vault.seal(cell::BULK_PAYLOAD, id, new.payload.get())).transpose()?;
    let warnings = new.action.warnings(&new.payload);
    let offline = if new.queue_for.is_some() { WhenOffline::Queue } else { WhenOffline::Skip };
    let row = w.insert_counted(
        "INSERT INTO bulk_commands (id, owner_id, filter, action, payload, sealed_payload, key_verifier,
             warnings, rate, offline, timeout_ms, expires_in_ms, metadata, requested_by_id, requested_by_name,
             status, is_open, matched, created_at_ms, completed_at_ms)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20)",
        params![
            id,
            new.owner_id,
            new.filter,
            new.action.as_str(),
            new.action.shown(&new.payload),
            sealed,
            new.key_verifier.as_ref().filter(|_| is_open),
            (!warnings.is_empty()).then(|| serde_json::to_string(&warnings)).transpose()?,
            new.rate.to_string(),
            offline.as_str(),
            new.timeout.as_millis() as i64,
            new.queue_for.map(|time| time.as_millis() as i64),
            new.metadata,
            new.requested_by.id,
            new.requested_by.name,
            status.as_str(),
            is_open,
            new.stations.len(),
            w.now,
            (!is_open).then_some(w.now),
        ],
    )?;
    Ok((row, id))
}

#[cfg(test)]
mod tests;
