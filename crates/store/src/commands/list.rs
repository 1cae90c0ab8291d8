//! Commands as they are listed.

use serde_json::value::RawValue;

use crate::Store;
use crate::engine::row::Row;
use crate::engine::sql::{WALL_OFFSET_MS, params};
use crate::engine::tx::Read;
use crate::error::Result;
use crate::listing::{Conditions, Listed, Slice, page};
use vocabulary::api::command::{Command, CommandStatus, RequestedBy};
use vocabulary::clock::Timestamp;
use vocabulary::id::{BulkCommandId, CommandId, StationId};
use vocabulary::ocpp::command::CommandAction;
use vocabulary::units::Span;

/// Which commands are wanted; what is not given does not matter.
#[derive(Debug, Clone, Default)]
pub struct CommandFilter {
    /// The station they are for.
    pub station_id: Option<String>,
    /// The customer the station belonged to.
    pub owner_id: Option<String>,
    /// The bulk command they are part of.
    pub bulk_id: Option<BulkCommandId>,
    /// What is asked.
    pub action: Option<CommandAction>,
    /// How far they have come.
    pub status: Option<CommandStatus>,
    /// They were created then or later.
    pub since: Option<Timestamp>,
    /// They were created before that.
    pub until: Option<Timestamp>,
}

/// The condition of those that wait. Few are open, among all there ever were: their own index names them.
const QUEUED: &str = "seq IN (SELECT seq FROM commands INDEXED BY commands_expiring WHERE status = 'queued')";

/// The same of those that were sent and not answered.
const SENT: &str = "seq IN (SELECT seq FROM commands INDEXED BY commands_sent WHERE status = 'sent')";

/// What [`read`] takes. The moment that a command expires at is kept by the monotonic clock.
fn select() -> String {
    format!(
        "SELECT seq, id, station_id, owner_id, action, payload, requested_by_id, requested_by_name, status,
             response, accepted, error, violations, late_response, outcome, transaction_id, timeout_ms, queue,
             metadata, created_at_ms, expires_at_ms + {WALL_OFFSET_MS}, sent_at_ms, completed_at_ms, warnings,
             bulk_id,
             (SELECT t.id_tag_status FROM transactions t
              WHERE t.transaction_id = commands.transaction_id AND t.id_tag_status <> 'Accepted')
         FROM commands"
    )
}

impl Store {
    /// The command of this id.
    pub async fn command(&self, id: CommandId) -> Result<Option<Command>> {
        self.read(move |db| by_id(db, id)).await
    }

    /// One page of the commands that `filter` wants, in the order they were created.
    pub async fn commands(&self, filter: CommandFilter, slice: Slice) -> Result<Listed<Command>> {
        self.read(move |db| page(db, &select(), &["seq"], conditions(filter), &slice, read)).await
    }
}

fn conditions(filter: CommandFilter) -> Conditions {
    let mut conditions = Conditions::default();
    conditions.and_if("station_id = ?", filter.station_id);
    conditions.and_if("owner_id = ?", filter.owner_id);
    conditions.and_if("bulk_id = ?", filter.bulk_id);
    conditions.and_if("action = ?", filter.action.map(|action| action.as_str().to_owned()));
    match filter.status {
        Some(CommandStatus::Queued) => conditions.and(QUEUED, []),
        Some(CommandStatus::Sent) => conditions.and(SENT, []),
        other => conditions.and_if("status = ?", other.map(|status| status.as_str().to_owned())),
    }
    conditions.and_at("created_at_ms >= ?", filter.since);
    conditions.and_at("created_at_ms < ?", filter.until);
    conditions
}

pub(crate) fn by_id(db: &Read<'_>, id: CommandId) -> Result<Option<Command>> {
    db.maybe(&format!("{} WHERE id = ?1", select()), params![id], read)
}

/// The newest commands of a station that `visible_to` may see, the newest first.
pub(crate) fn newest_of_station(
    db: &Read<'_>,
    station: &StationId,
    visible_to: Option<&str>,
    limit: u32,
) -> Result<Vec<Command>> {
    let sql = format!(
        "{} WHERE station_id = ?1 AND (?2 IS NULL OR owner_id = ?2) ORDER BY seq DESC LIMIT ?3",
        select()
    );
    db.all(&sql, params![station, visible_to, limit], read)
}

fn read(row: &Row<'_>) -> Result<Command> {
    let action: CommandAction = row.parsed(4)?;
    let (response, late_response): (Option<Box<RawValue>>, Option<Box<RawValue>>) =
        (row.get(9)?, row.get(13)?);
    let answer = response.as_ref().or(late_response.as_ref());
    let answer = answer.and_then(|answer| serde_json::from_str(answer.get()).ok());
    let hint = match (row.maybe_text(25)?, row.get::<Option<i64>>(15)?) {
        (Some(status), Some(session)) => {
            Some(format!("tag_refused: session {session} began, and its tag was answered {status}"))
        }
        _ => answer.and_then(|answer| action.hint(&answer)).map(str::to_owned),
    };
    Ok(Command {
        id: row.parsed(1)?,
        station_id: row.get(2)?,
        owner_id: row.get(3)?,
        action: action.as_str().to_owned(),
        payload: row.get(5)?,
        requested_by: RequestedBy { id: row.parsed(6)?, name: row.get(7)? },
        bulk_id: row.get(24)?,
        status: row.word(8)?,
        response,
        accepted: row.get(10)?,
        error: row.maybe_json(11)?,
        violations: row.maybe_json(12)?.unwrap_or_default(),
        warnings: row.maybe_json(23)?.unwrap_or_default(),
        hint,
        late_response,
        outcome: row.maybe_word(14)?,
        transaction_id: row.get(15)?,
        timeout: Span(std::time::Duration::from_millis(row.get::<i64>(16)?.max(0) as u64)),
        queue: row.get(17)?,
        metadata: row.get(18)?,
        created_at: row.get(19)?,
        expires_at: row.get(20)?,
        sent_at: row.get(21)?,
        completed_at: row.get(22)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::embedded::database_file::DatabaseFile;

    #[test]
    fn every_list_follows_an_index_and_sorts_nothing() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut database = DatabaseFile::open(&dir.path().join("t.db")).expect("opens");
        database.migrate().expect("migrates");
        let with = |status| CommandFilter { status: Some(status), ..Default::default() };
        for (filter, wanted) in [
            (CommandFilter::default(), "SEARCH commands USING INTEGER PRIMARY KEY"),
            (CommandFilter { station_id: Some("A".to_owned()), ..Default::default() }, "commands_by_station"),
            (CommandFilter { owner_id: Some("o".to_owned()), ..Default::default() }, "commands_by_owner"),
            (
                CommandFilter { bulk_id: Some(BulkCommandId::from_value(1)), ..Default::default() },
                "commands_of_bulk",
            ),
            (with(CommandStatus::Queued), "INDEX commands_expiring"),
            (with(CommandStatus::Sent), "INDEX commands_sent"),
        ] {
            for ascending in [false, true] {
                let slice = Slice { ascending, after: Some((7, 0)), limit: 50 };
                let select = "EXPLAIN QUERY PLAN SELECT seq FROM commands";
                let steps =
                    page(&database.read(), select, &["seq"], conditions(filter.clone()), &slice, |row| {
                        row.get::<String>(3)
                    })
                    .expect("explains")
                    .rows;
                let text = steps.join("; ");
                assert!(text.contains(wanted), "{filter:?}: {text}");
                assert!(!text.contains("TEMP B-TREE"), "{filter:?}: {text}");
            }
        }
    }
}
