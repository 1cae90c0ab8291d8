//! Bulk commands and their stations, as they are looked up and listed.

use std::time::Duration;

use crate::Store;
use crate::engine::row::Row;
use crate::engine::sql::{params, values_of};
use crate::engine::tx::Read;
use crate::error::Result;
use crate::listing::{Conditions, Listed, Slice, page};
use vocabulary::api::bulk_command::{BulkCommand, BulkResult, BulkStation, BulkStatus, SkipReason};
use vocabulary::api::command::{CommandStatus, RequestedBy};
use vocabulary::clock::Timestamp;
use vocabulary::id::BulkCommandId;
use vocabulary::ocpp::command::CommandAction;
use vocabulary::units::Span;

/// Which bulk commands are listed. A field that is `None` does not restrict the list.
#[derive(Debug, Clone, Default)]
pub struct BulkFilter {
    /// Those that this owner can see.
    pub owner_id: Option<String>,
    /// What is asked.
    pub action: Option<CommandAction>,
    /// How far they have come.
    pub status: Option<BulkStatus>,
    /// Requested at or after this.
    pub since: Option<Timestamp>,
    /// Requested before this.
    pub until: Option<Timestamp>,
}

/// Which stations of a bulk command are listed.
#[derive(Debug, Clone, Copy)]
pub struct BulkStationFilter {
    /// The bulk command.
    pub bulk_id: BulkCommandId,
    /// What it has come to there.
    pub result: Option<BulkResult>,
}

const SELECT: &str = "SELECT b.seq, b.id, b.owner_id, b.status, b.action, b.payload, b.warnings, b.filter, b.rate,
        b.offline, b.timeout_ms, b.expires_in_ms, b.metadata, b.matched, b.sent, b.accepted, b.rejected, b.failed,
        b.skipped, b.requested_by_id, b.requested_by_name, b.created_at_ms, b.completed_at_ms
    FROM bulk_commands b";

const STATIONS: &str =
    "SELECT s.position, s.station_id, s.skipped, s.command_id, c.status, c.accepted, b.status
    FROM bulk_command_stations s
    JOIN bulk_commands b ON b.seq = s.bulk_seq
    LEFT JOIN commands c ON c.id = s.command_id";

impl Store {
    /// A bulk command, if it exists and `visible_to` may see it.
    pub async fn bulk_command(
        &self,
        id: BulkCommandId,
        visible_to: Option<String>,
    ) -> Result<Option<BulkCommand>> {
        self.read(move |db| match row_of(db, id, visible_to)? {
            Some(_) => by_id(db, id).map(Some),
            None => Ok(None),
        })
        .await
    }

    /// One page of the bulk commands.
    pub async fn bulk_commands(&self, filter: BulkFilter, slice: Slice) -> Result<Listed<BulkCommand>> {
        self.read(move |db| {
            let mut conditions = Conditions::default();
            conditions.and_if("b.owner_id = ?", filter.owner_id);
            conditions.and_if("b.action = ?", filter.action.map(CommandAction::as_str));
            conditions.and_if("b.status = ?", filter.status.map(BulkStatus::as_str));
            let spell = |least| BulkCommandId::from_value(least).to_string();
            let arrived = ("bulk_commands", "b", "created_at_ms");
            conditions.and_arrived(arrived, filter.since, filter.until, spell);
            page(db, SELECT, &["b.seq"], conditions, &slice, read)
        })
        .await
    }

    /// One page of the stations of a bulk command, in the order of their turns.
    pub async fn bulk_stations(
        &self,
        filter: BulkStationFilter,
        slice: Slice,
    ) -> Result<Listed<BulkStation>> {
        self.read(move |db| {
            let mut conditions = Conditions::default();
            conditions
                .and("s.bulk_seq = (SELECT seq FROM bulk_commands WHERE id = ?)", [filter.bulk_id.into()]);
            if let Some(result) = filter.result {
                conditions.and(condition(result), []);
            }
            page(db, STATIONS, &["s.position"], conditions, &slice, read_station)
        })
        .await
    }
}

/// That a station has this result; [`result_of`] says the same of a row.
fn condition(result: BulkResult) -> &'static str {
    match result {
        BulkResult::Waiting => "s.command_id IS NULL AND s.skipped IS NULL AND b.status <> 'canceled'",
        BulkResult::Queued => "c.status = 'queued'",
        BulkResult::Sent => "c.status = 'sent'",
        BulkResult::Accepted => "c.status = 'completed' AND c.accepted = 1",
        BulkResult::Rejected => "c.status = 'completed' AND c.accepted = 0",
        BulkResult::Failed => {
            "s.command_id IS NOT NULL
             AND (c.status IS NULL OR c.status IN ('error', 'timeout', 'connection_lost', 'expired'))"
        }
        BulkResult::Skipped => {
            "(s.skipped IS NOT NULL OR c.status = 'canceled'
              OR (s.command_id IS NULL AND b.status = 'canceled'))"
        }
    }
}

fn result_of(
    skipped: Option<SkipReason>,
    has_command: bool,
    command: Option<(CommandStatus, Option<bool>)>,
    bulk: BulkStatus,
) -> (BulkResult, Option<SkipReason>) {
    let result = match command {
        Some((CommandStatus::Canceled, _)) => return (BulkResult::Skipped, Some(SkipReason::Canceled)),
        Some((CommandStatus::Queued, _)) => BulkResult::Queued,
        Some((CommandStatus::Sent, _)) => BulkResult::Sent,
        Some((CommandStatus::Completed, Some(true))) => BulkResult::Accepted,
        Some((CommandStatus::Completed, _)) => BulkResult::Rejected,
        Some(_) => BulkResult::Failed,
        None if skipped.is_some() => return (BulkResult::Skipped, skipped),
        // Retention has removed its command.
        None if has_command => BulkResult::Failed,
        None if bulk == BulkStatus::Canceled => return (BulkResult::Skipped, Some(SkipReason::Canceled)),
        None => BulkResult::Waiting,
    };
    (result, None)
}

/// The row of a bulk command that `visible_to` may see.
pub(super) fn row_of(db: &Read<'_>, id: BulkCommandId, visible_to: Option<String>) -> Result<Option<i64>> {
    let mut conditions = Conditions::default();
    conditions.and("id = ?", [id.into()]);
    conditions.and_if("owner_id = ?", visible_to);
    let sql = format!("SELECT seq FROM bulk_commands WHERE {}", conditions.text());
    db.maybe(&sql, &values_of(&conditions.into_values()), |row| row.get(0))
}

pub(super) fn by_id(db: &Read<'_>, id: BulkCommandId) -> Result<BulkCommand> {
    db.one(&format!("{SELECT} WHERE b.id = ?1"), params![id], read)
}

fn read(row: &Row<'_>) -> Result<BulkCommand> {
    let span = |ms: i64| Span(Duration::from_millis(ms.max(0) as u64));
    Ok(BulkCommand {
        id: row.get(1)?,
        owner_id: row.get(2)?,
        status: row.parsed(3)?,
        action: row.get(4)?,
        payload: row.get(5)?,
        warnings: row.maybe_json(6)?.unwrap_or_default(),
        filter: row.get(7)?,
        rate: row.get(8)?,
        offline: row.parsed(9)?,
        timeout: span(row.get(10)?),
        expires_in: row.get::<Option<i64>>(11)?.map(span),
        metadata: row.get(12)?,
        matched: row.get(13)?,
        sent: row.get(14)?,
        accepted: row.get(15)?,
        rejected: row.get(16)?,
        failed: row.get(17)?,
        skipped: row.get(18)?,
        requested_by: RequestedBy { id: row.get(19)?, name: row.get(20)? },
        created_at: row.get(21)?,
        completed_at: row.get(22)?,
    })
}

fn read_station(row: &Row<'_>) -> Result<BulkStation> {
    let command_id = row.get(3)?;
    let command = match row.maybe_word(4)? {
        Some(status) => Some((status, row.get(5)?)),
        None => None,
    };
    let (skipped, bulk) = (row.maybe_parsed(2)?, row.parsed(6)?);
    let (result, reason) = result_of(skipped, Option::is_some(&command_id), command, bulk);
    Ok(BulkStation { station_id: row.get(1)?, result, reason, command_id })
}
