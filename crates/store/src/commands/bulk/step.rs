//! The steps of a bulk command: the next stations have their turn, each with a command or a reason why not.

use std::time::Duration;

use serde_json::value::RawValue;

use super::cancel;
use crate::access::tag_rules::TagRules;
use crate::commands::bulk_counts;
use crate::commands::queue::{NewCommand, NotEnqueued, enqueue};
use crate::commands::readiness::NotReady;
use crate::engine::sql::params;
use crate::engine::tx::Tx;
use crate::error::Result;
use crate::secrecy::vault::cell;
use crate::{Priority, Scope, Store};
use vocabulary::api::bulk_command::{BulkStatus, SkipReason};
use vocabulary::api::command::RequestedBy;
use vocabulary::clock::Timestamp;
use vocabulary::id::{BulkCommandId, CommandId, StationId};
use vocabulary::ocpp::command::CommandAction;

/// Stations that have their turn in one step; those that are skipped are quick.
const STEP: usize = 100;

/// Commands made in one step.
const COMMANDS_MAX: usize = 50;

/// What a step did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BulkStep {
    /// The stations that a command was made for: their connections have to be told.
    pub commanded: Vec<StationId>,
    /// Whether there is more to do.
    pub more: bool,
    /// Whether the next station is waited for.
    pub waits: bool,
}

/// What became of a station's turn.
enum Turn {
    Commanded(CommandId),
    Skipped(SkipReason),
    /// It may be back soon.
    Waits,
}

impl Store {
    /// Runs one step of a bulk command (row), with at most `room` new commands. `started_at` is given for a
    /// while after a start of the gateway, which all stations have yet to find: one that was not seen since
    /// is waited for then, unless it had been away for long before.
    ///
    /// # Errors
    /// Only the store's own: the step has no effect, and may be repeated.
    pub async fn bulk_step(&self, row: i64, room: usize, started_at: Option<Timestamp>) -> Result<BulkStep> {
        let store = self.clone();
        self.write(Priority::Api, Scope::Installation, move |w| match OpenBulk::read(w, row)? {
            None => Ok(BulkStep::default()),
            Some(bulk) if bulk.status == BulkStatus::Canceled => {
                let more = cancel::cancel_queued(w, row, bulk.id)?;
                Ok(BulkStep { more, ..BulkStep::default() })
            }
            Some(bulk) => bulk.step(w, room.min(COMMANDS_MAX), started_at, store.inner.tags.get()),
        })
        .await
    }
}

/// A bulk command whose stations wait for their turn.
struct OpenBulk {
    row: i64,
    id: BulkCommandId,
    owner_id: Option<String>,
    status: BulkStatus,
    action: CommandAction,
    payload: Box<RawValue>,
    key_verifier: Option<String>,
    timeout: Duration,
    queue_for: Option<Duration>,
    metadata: Option<Box<RawValue>>,
    requested_by: RequestedBy,
    position: i64,
}

impl OpenBulk {
    fn read(w: &Tx<'_>, row: i64) -> Result<Option<Self>> {
        w.maybe(
            "SELECT id, owner_id, status, action, payload, sealed_payload, key_verifier, timeout_ms,
                    expires_in_ms, metadata, requested_by_id, requested_by_name, position
             FROM bulk_commands WHERE seq = ?1 AND is_open = 1",
            params![row],
            |found| {
                let id: BulkCommandId = found.get(0)?;
                let payload = match found.maybe_sealed(5, w.vault, (cell::BULK_PAYLOAD, &id))? {
                    Some(text) => RawValue::from_string(text).map_err(|error| found.unreadable(5, error))?,
                    None => found.get(4)?,
                };
                Ok(Self {
                    row,
                    id,
                    owner_id: found.get(1)?,
                    status: found.parsed(2)?,
                    action: found.parsed(3)?,
                    payload,
                    key_verifier: found.get(6)?,
                    timeout: Duration::from_millis(found.get(7)?),
                    queue_for: found.get::<Option<u64>>(8)?.map(Duration::from_millis),
                    metadata: found.get(9)?,
                    requested_by: RequestedBy { id: found.get(10)?, name: found.get(11)? },
                    position: found.get(12)?,
                })
            },
        )
    }

    fn step(
        &self,
        w: &mut Tx<'_>,
        room: usize,
        started_at: Option<Timestamp>,
        tags: Option<&TagRules>,
    ) -> Result<BulkStep> {
        let next: Vec<(i64, StationId)> = w.all(
            "SELECT position, station_id FROM bulk_command_stations
             WHERE bulk_seq = ?1 AND position > ?2 ORDER BY position LIMIT ?3",
            params![self.row, self.position, STEP],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
        let mut step = BulkStep::default();
        let (mut position, mut skipped) = (self.position, 0);
        for (place, station) in next {
            if step.commanded.len() >= room {
                break;
            }
            match self.turn(w, &station, started_at, tags)? {
                Turn::Waits => {
                    step.waits = true;
                    break;
                }
                Turn::Commanded(id) => {
                    self.note(w, place, Some(id), None)?;
                    step.commanded.push(station);
                }
                Turn::Skipped(reason) => {
                    self.note(w, place, None, Some(reason))?;
                    skipped += 1;
                }
            }
            position = place;
        }
        // Once nobody waits for it any more, the secret in it is nobody's business.
        w.run(
            "UPDATE bulk_commands
             SET position = ?2, is_open = CASE WHEN matched > ?2 THEN 1 ELSE 0 END,
                 sealed_payload = CASE WHEN matched > ?2 THEN sealed_payload END,
                 key_verifier = CASE WHEN matched > ?2 THEN key_verifier END
             WHERE seq = ?1",
            params![self.row, position],
        )?;
        if skipped > 0 {
            bulk_counts::skipped(w, self.id, skipped)?;
        }
        step.more = w.has("SELECT 1 FROM bulk_commands WHERE seq = ?1 AND is_open = 1", params![self.row])?;
        Ok(step)
    }

    /// Writes down what became of the turn of the station at this place.
    fn note(
        &self,
        w: &Tx<'_>,
        place: i64,
        command_id: Option<CommandId>,
        skipped: Option<SkipReason>,
    ) -> Result<()> {
        w.run(
            "UPDATE bulk_command_stations SET command_id = ?3, skipped = ?4
             WHERE bulk_seq = ?1 AND position = ?2",
            params![self.row, place, command_id, skipped.map(SkipReason::as_str)],
        )?;
        Ok(())
    }

    fn turn(
        &self,
        w: &mut Tx<'_>,
        station: &StationId,
        started_at: Option<Timestamp>,
        tags: Option<&TagRules>,
    ) -> Result<Turn> {
        // It may have been given to somebody else meanwhile.
        let own = "SELECT 1 FROM stations WHERE station_id = ?1 AND owner_id = ?2";
        if let Some(owner_id) = &self.owner_id
            && !w.has(own, params![station, owner_id])?
        {
            return Ok(Turn::Skipped(SkipReason::Gone));
        }
        let new = NewCommand {
            station_id: station.clone(),
            action: self.action,
            payload: self.payload.clone(),
            timeout: self.timeout,
            queue_for: self.queue_for,
            metadata: self.metadata.clone(),
            key_verifier: self.key_verifier.clone(),
            requested_by: self.requested_by.clone(),
        };
        Ok(match enqueue(w, &new, Some(self.id), tags)? {
            Ok(enqueued) => Turn::Commanded(enqueued.id),
            Err(NotEnqueued::NotReady(NotReady::NotConnected)) if may_be_back(w, station, started_at)? => {
                Turn::Waits
            }
            Err(why) => Turn::Skipped(reason(why)),
        })
    }
}

/// Whether a station that is not connected may not have found the gateway yet.
fn may_be_back(w: &Tx<'_>, station: &StationId, started_at: Option<Timestamp>) -> Result<bool> {
    let Some(started_at) = started_at else { return Ok(false) };
    let was_there = "SELECT 1 FROM stations
                     WHERE station_id = ?1 AND offline = 0 AND blocked = 0 AND last_seen_at_ms < ?2";
    w.has(was_there, params![station, started_at])
}

fn reason(why: NotEnqueued) -> SkipReason {
    match why {
        NotEnqueued::UnknownStation => SkipReason::Gone,
        NotEnqueued::NotReady(NotReady::NotConnected) => SkipReason::NotConnected,
        NotEnqueued::NotReady(NotReady::NeverBooted) => SkipReason::NeverBooted,
        NotEnqueued::NotReady(NotReady::Pending) => SkipReason::Pending,
        NotEnqueued::NotReady(NotReady::Rejected) => SkipReason::Rejected,
        NotEnqueued::NotReady(NotReady::Full) => SkipReason::Full,
    }
}
