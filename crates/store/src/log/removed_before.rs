//! How far retention has come: what is older and cannot be found may have been removed.

use rusqlite::{Connection, OptionalExtension, params};

use crate::Store;
use crate::engine::embedded::raw_cells as cells;
use crate::engine::tx::Tx;
use crate::error::Result;
use vocabulary::clock::Timestamp;
use vocabulary::id::{CommandId, DeliveryId, EventId, ReplayId};

/// What a horizon is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Horizon {
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
}

/// Where a poller stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Behind this row.
    Behind(i64),
    /// Events behind it are removed.
    Overtaken,
    /// There never was such an event.
    Unknown,
}

impl Store {
    /// Whether retention may have removed it: ids are given in order, and newer ones were removed.
    pub async fn may_be_removed(&self, missing: Missing) -> Result<bool> {
        self.read(move |conn| {
            let (kind, id) = match missing {
                Missing::Event(id) => (Horizon::Events, id.to_string()),
                Missing::Delivery(id) => (Horizon::Deliveries, id.to_string()),
                Missing::Command(id) => (Horizon::Commands, id.to_string()),
                Missing::Replay(id) => (Horizon::Replays, id.to_string()),
                Missing::Transaction(number) => {
                    let newest = of(conn, Horizon::Transactions)?;
                    return Ok(newest.is_some_and(|(seq, _)| number <= seq));
                }
            };
            Ok(of(conn, kind)?.is_some_and(|(_, newest)| id <= newest))
        })
        .await
    }

    /// The newest event's row that the rule for all events has removed; 0 if there is none.
    pub async fn log_horizon(&self) -> Result<i64> {
        self.read(|conn| Ok(of(conn, Horizon::Log)?.map_or(0, |(seq, _)| seq))).await
    }

    /// Since when the log is complete, as far as retention goes; `None`: from its beginning.
    pub async fn log_complete_since(&self) -> Result<Option<Timestamp>> {
        self.read(|conn| {
            let newest = of(conn, Horizon::Log)?.and_then(|(_, id)| id.parse::<EventId>().ok());
            // An id begins with its moment, in milliseconds.
            Ok(newest.map(|id| Timestamp::from_unix_ms((id.value() >> 80) as i64)))
        })
        .await
    }

    /// Where somebody stands who has this event and asks for what came after it.
    pub async fn standing(&self, id: EventId) -> Result<Standing> {
        self.read(move |conn| {
            let text = id.to_string();
            if has_passed(conn, &text)? {
                return Ok(Standing::Overtaken);
            }
            let seq = conn
                .prepare_cached("SELECT seq FROM events WHERE id = ?1")?
                .query_row([&text], |row| row.get(0))
                .optional()?;
            if let Some(seq) = seq {
                return Ok(Standing::Behind(seq));
            }
            // Removed by a rule of its own type: whatever came after it, its neighbours are there.
            if of(conn, Horizon::Events)?.is_some_and(|(_, newest)| text <= newest) {
                let next: Option<i64> = conn
                    .prepare_cached("SELECT seq FROM events WHERE id > ?1 ORDER BY id LIMIT 1")?
                    .query_row([&text], |row| row.get(0))
                    .optional()?;
                return Ok(next.map_or(Standing::Unknown, |next| Standing::Behind(next - 1)));
            }
            Ok(Standing::Unknown)
        })
        .await
    }
}

impl Horizon {
    fn as_str(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Log => "log",
            Self::Deliveries => "deliveries",
            Self::Outcomes => "outcomes",
            Self::Commands => "commands",
            Self::Transactions => "transactions",
            Self::Replays => "replays",
        }
    }
}

/// Whether the rule for all events has removed one that is newer than this.
pub(crate) fn has_passed(conn: &Connection, event_id: &str) -> Result<bool> {
    Ok(of(conn, Horizon::Log)?.is_some_and(|(_, newest)| event_id < newest.as_str()))
}

/// The newest event's row that any rule has removed; 0 if there is none.
pub(crate) fn of_events(conn: &Connection) -> Result<i64> {
    Ok(of(conn, Horizon::Events)?.map_or(0, |(seq, _)| seq))
}

/// The newest delivery that was removed before its event.
pub(crate) fn of_outcomes(conn: &Connection) -> Result<Option<DeliveryId>> {
    let id = conn
        .prepare_cached("SELECT id FROM horizons WHERE kind = 'outcomes'")?
        .query_row([], |row| cells::parsed(row, 0))
        .optional()?;
    Ok(id)
}

fn of(conn: &Connection, kind: Horizon) -> Result<Option<(i64, String)>> {
    let found = conn
        .prepare_cached("SELECT seq, id FROM horizons WHERE kind = ?1")?
        .query_row([kind.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    Ok(found)
}

/// Notes that this one was removed; horizons never go back.
pub(crate) fn advance(w: &Tx<'_>, kind: Horizon, seq: i64, id: &str) -> Result<()> {
    w.conn
        .prepare_cached(
            "INSERT INTO horizons (kind, seq, id) VALUES (?1, ?2, ?3)
             ON CONFLICT (kind) DO UPDATE SET seq = excluded.seq, id = excluded.id WHERE excluded.seq > seq",
        )?
        .execute(params![kind.as_str(), seq, id])?;
    Ok(())
}
