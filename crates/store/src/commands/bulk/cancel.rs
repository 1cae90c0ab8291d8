//! Canceling a bulk command: what is not sent never is.

use super::list::row_of;
use crate::commands::bulk_counts;
use crate::commands::end::end_each;
use crate::engine::sql::params;
use crate::engine::tx::Tx;
use crate::error::Result;
use crate::{Priority, Scope, Store};
use vocabulary::api::bulk_command::BulkStatus;
use vocabulary::api::command::CommandStatus;
use vocabulary::id::BulkCommandId;

/// Queued commands that are canceled in one step: each has an event with its deliveries.
const STEP: usize = 100;

/// The result of a request to cancel a bulk command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CanceledBulk {
    /// It is canceled. Commands that were sent are still answered.
    Canceled,
    /// It has ended.
    Ended,
    /// The caller may see no such bulk command.
    NotFound,
}

impl Store {
    /// Cancels a bulk command: from this commit on it makes no more commands. Those that are queued are
    /// canceled too, the first of them now and the rest in steps ([`Store::bulk_step`]).
    pub async fn cancel_bulk_command(
        &self,
        id: BulkCommandId,
        visible_to: Option<String>,
    ) -> Result<CanceledBulk> {
        self.write(Priority::Api, Scope::Installation, move |w| {
            let Some(row) = row_of(w, id, visible_to)? else { return Ok(CanceledBulk::NotFound) };
            let ended = "SELECT 1 FROM bulk_commands WHERE seq = ?1 AND completed_at_ms IS NOT NULL";
            if w.has(ended, params![row])? {
                return Ok(CanceledBulk::Ended);
            }
            stop(w, row)?;
            cancel_queued(w, row, id)?;
            w.after_commit.bulk_commands = true;
            Ok(CanceledBulk::Canceled)
        })
        .await
    }
}

/// Cancels every bulk command whose row `select` names; the next start cancels what is queued of them.
pub(crate) fn stop_each(w: &Tx<'_>, select: &str) -> Result<()> {
    let rows: Vec<i64> = w.all(select, &[], |row| row.get(0))?;
    rows.into_iter().try_for_each(|row| stop(w, row))
}

/// No station of it has its turn any more; one that is not running stays as it is.
fn stop(w: &Tx<'_>, row: i64) -> Result<()> {
    let stopped = w.maybe(
        "UPDATE bulk_commands SET status = ?2, is_open = 1, sealed_payload = NULL, key_verifier = NULL
         WHERE seq = ?1 AND status = ?3 RETURNING id, matched - position",
        params![row, BulkStatus::Canceled.as_str(), BulkStatus::Running.as_str()],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    let Some((id, waiting)) = stopped else { return Ok(()) };
    if waiting > 0 {
        bulk_counts::skipped(w, id, waiting)?;
    }
    Ok(())
}

/// Cancels some of what is queued of a canceled bulk command; true if there may be more.
pub(super) fn cancel_queued(w: &mut Tx<'_>, row: i64, id: BulkCommandId) -> Result<bool> {
    let queued = "SELECT id FROM commands INDEXED BY commands_queued_of_bulk
                  WHERE bulk_id = ?1 AND status = 'queued' ORDER BY seq LIMIT ?2";
    end_each(w, queued, params![id, STEP], CommandStatus::Canceled)?;
    let more = w.has(queued, params![id, 1])?;
    if !more {
        w.run("UPDATE bulk_commands SET is_open = 0 WHERE seq = ?1", params![row])?;
    }
    Ok(more)
}
