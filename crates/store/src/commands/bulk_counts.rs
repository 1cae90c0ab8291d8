//! What a bulk command counts, in the transactions that send and end its commands.
//!
//! The counts are in its row, so that reading one of thousands of stations costs what any row costs, and
//! they stay right after retention has removed the commands. **Invariant**: a bulk command ends in the
//! transaction that counts the last of its stations.

use crate::commands::outcome::CommandOutcome;
use crate::engine::sql::params;
use crate::engine::tx::Tx;
use crate::error::Result;
use vocabulary::api::command::CommandStatus;
use vocabulary::id::BulkCommandId;

/// Stations for which nothing more will come.
#[derive(Default)]
struct Ended {
    accepted: usize,
    rejected: usize,
    failed: usize,
    skipped: usize,
}

/// One of its commands leaves after this commit.
pub(super) fn sent(w: &Tx<'_>, id: BulkCommandId) -> Result<()> {
    w.run("UPDATE bulk_commands SET sent = sent + 1 WHERE id = ?1", params![id])?;
    Ok(())
}

/// One of its commands has ended.
pub(super) fn ended(w: &Tx<'_>, id: BulkCommandId, outcome: &CommandOutcome) -> Result<()> {
    let mut ended = Ended::default();
    match (outcome.status, outcome.accepted) {
        (CommandStatus::Canceled, _) => ended.skipped = 1,
        (CommandStatus::Completed, Some(true)) => ended.accepted = 1,
        (CommandStatus::Completed, _) => ended.rejected = 1,
        _ => ended.failed = 1,
    }
    count(w, id, &ended)
}

/// So many of its stations are sent nothing.
pub(super) fn skipped(w: &Tx<'_>, id: BulkCommandId, skipped: usize) -> Result<()> {
    count(w, id, &Ended { skipped, ..Ended::default() })
}

fn count(w: &Tx<'_>, id: BulkCommandId, ended: &Ended) -> Result<()> {
    let Ended { accepted, rejected, failed, skipped } = ended;
    let new = accepted + rejected + failed + skipped;
    w.run(
        "UPDATE bulk_commands
         SET accepted = accepted + ?2, rejected = rejected + ?3, failed = failed + ?4, skipped = skipped + ?5,
             status = CASE WHEN status = 'running' AND accepted + rejected + failed + skipped + ?6 = matched
                           THEN 'done' ELSE status END,
             completed_at_ms = CASE WHEN accepted + rejected + failed + skipped + ?6 = matched
                                    THEN coalesce(completed_at_ms, ?7) END
         WHERE id = ?1",
        params![id, accepted, rejected, failed, skipped, new, w.now],
    )?;
    Ok(())
}
