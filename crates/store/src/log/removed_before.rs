//! How far retention has come: what is older and cannot be found may have been removed.

use crate::engine::sql::params;
use crate::engine::tx::{Read, Tx};
use crate::error::Result;
use crate::{LogPosition, Store};
use vocabulary::clock::Timestamp;
use vocabulary::id::{BulkCommandId, CommandId, DeliveryId, EventId, ReplayId};

/// What retention removes, each with a horizon of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HorizonOf {
    /// Events that were removed by any rule.
    Events,
    /// Events that were removed by the rule for all: before it the log is not complete.
    Log,
    /// Deliveries that were removed by any rule.
    Deliveries,
    /// Deliveries that were removed before their events: before it nothing tells which events had one.
    Outcomes,
    Commands,
    Transactions,
    Replays,
    BulkCommands,
}

/// The newest one that was removed.
struct Horizon {
    /// Its row, or a transaction's number.
    row: i64,
    /// Its id, as it is spelled: ids are given in order.
    id: String,
}

/// Something that is looked for and not found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// An event.
    Event(EventId),
    /// A delivery.
    Delivery(DeliveryId),
    /// A command.
    Command(CommandId),
    /// A transaction.
    Transaction(i64),
    /// A replay.
    Replay(ReplayId),
    /// A bulk command.
    BulkCommand(BulkCommandId),
}

/// Where somebody goes on reading who names the last event that they have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResumePoint {
    /// Behind this position.
    Behind(LogPosition),
    /// Events that came after it were removed.
    Removed,
    /// There never was such an event.
    Unknown,
}

impl Store {
    /// Whether retention may have removed it: ids are given in order, and newer ones were removed.
    pub async fn may_be_removed(&self, missing: Missing) -> Result<bool> {
        self.read(move |db| {
            let (kind, id) = match missing {
                Missing::Event(id) => (HorizonOf::Events, id.to_string()),
                Missing::Delivery(id) => (HorizonOf::Deliveries, id.to_string()),
                Missing::Command(id) => (HorizonOf::Commands, id.to_string()),
                Missing::Replay(id) => (HorizonOf::Replays, id.to_string()),
                Missing::BulkCommand(id) => (HorizonOf::BulkCommands, id.to_string()),
                Missing::Transaction(number) => {
                    let newest = horizon(db, HorizonOf::Transactions)?;
                    return Ok(newest.is_some_and(|newest| number <= newest.row));
                }
            };
            Ok(horizon(db, kind)?.is_some_and(|newest| id <= newest.id))
        })
        .await
    }

    /// The newest event that the rule for all events has removed; the start of the log if there is none.
    pub async fn log_horizon(&self) -> Result<LogPosition> {
        self.read(|db| position(db, HorizonOf::Log)).await
    }

    /// Since when the log is complete, as far as retention goes; `None`: from its beginning.
    pub async fn log_complete_since(&self) -> Result<Option<Timestamp>> {
        self.read(|db| {
            let newest = horizon(db, HorizonOf::Log)?.and_then(|newest| newest.id.parse::<EventId>().ok());
            // An id begins with its moment, in milliseconds.
            Ok(newest.map(|id| Timestamp::from_unix_ms((id.value() >> 80) as i64)))
        })
        .await
    }

    /// Where somebody goes on who has this event and asks for what came after it.
    pub async fn resume_point(&self, id: EventId) -> Result<ResumePoint> {
        self.read(move |db| {
            let id = id.to_string();
            if has_passed(db, &id)? {
                return Ok(ResumePoint::Removed);
            }
            let known = db.maybe("SELECT seq FROM events WHERE id = ?1", params![id], |row| row.get(0))?;
            if let Some(position) = known {
                return Ok(ResumePoint::Behind(position));
            }
            if horizon(db, HorizonOf::Events)?.is_none_or(|newest| id > newest.id) {
                return Ok(ResumePoint::Unknown);
            }
            // A rule of its own type has removed it. Its neighbours are there, and so is whatever came after
            // it.
            let next: Option<LogPosition> =
                db.maybe("SELECT seq FROM events WHERE id > ?1 ORDER BY id LIMIT 1", params![id], |row| {
                    row.get(0)
                })?;
            Ok(next.map_or(ResumePoint::Unknown, |next| {
                ResumePoint::Behind(LogPosition::from_number(next.number() - 1))
            }))
        })
        .await
    }
}

impl HorizonOf {
    fn as_str(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Log => "log",
            Self::Deliveries => "deliveries",
            Self::Outcomes => "outcomes",
            Self::Commands => "commands",
            Self::Transactions => "transactions",
            Self::Replays => "replays",
            Self::BulkCommands => "bulk_commands",
        }
    }
}

/// Whether the rule for all events has removed one that is newer than this.
pub(crate) fn has_passed(db: &Read<'_>, event_id: &str) -> Result<bool> {
    Ok(horizon(db, HorizonOf::Log)?.is_some_and(|newest| event_id < newest.id.as_str()))
}

/// The newest event that any rule has removed; the start of the log if there is none.
pub(crate) fn of_events(db: &Read<'_>) -> Result<LogPosition> {
    position(db, HorizonOf::Events)
}

/// The newest delivery that was removed before its event.
pub(crate) fn of_outcomes(db: &Read<'_>) -> Result<Option<DeliveryId>> {
    db.maybe("SELECT id FROM horizons WHERE kind = 'outcomes'", &[], |row| row.get(0))
}

fn position(db: &Read<'_>, kind: HorizonOf) -> Result<LogPosition> {
    Ok(horizon(db, kind)?.map_or(LogPosition::START, |newest| LogPosition::from_number(newest.row)))
}

fn horizon(db: &Read<'_>, kind: HorizonOf) -> Result<Option<Horizon>> {
    db.maybe("SELECT seq, id FROM horizons WHERE kind = ?1", params![kind.as_str()], |row| {
        Ok(Horizon { row: row.get(0)?, id: row.get(1)? })
    })
}

/// Notes that this one was removed; horizons never go back.
pub(crate) fn advance(w: &Tx<'_>, kind: HorizonOf, row: i64, id: &str) -> Result<()> {
    w.run(
        "INSERT INTO horizons (kind, seq, id) VALUES (?1, ?2, ?3)
         ON CONFLICT (kind) DO UPDATE SET seq = excluded.seq, id = excluded.id
             WHERE excluded.seq > horizons.seq",
        params![kind.as_str(), row, id],
    )?;
    Ok(())
}
