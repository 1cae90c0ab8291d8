//! The steps of a replay: a read finds the next candidates, and one short write makes them due.

use super::bulk_resend::ResendWalk;
use super::making::{AHEAD, ReplayStep, STEP, WINDOWS_PER_STEP, room};
use super::search::{self, Search};
use crate::Store;
use crate::engine::sql::params;
use crate::engine::tx::Read;
use crate::error::Result;
use vocabulary::id::WebhookId;

impl Store {
    /// Runs one step of a replay (row): makes some of its deliveries due, unless enough of them are. `walk`
    /// is the replay's own, from its last step; an empty one works too, and repeats some of the search.
    ///
    /// # Errors
    /// Only the store's own: the step has no effect, and may be repeated.
    pub async fn replay_step(&self, replay: i64, walk: &mut ResendWalk) -> Result<ReplayStep> {
        let Some(running) = self.read(move |db| running(db, replay)).await? else {
            let more = self.take_back_step(replay).await?;
            return Ok(if more { ReplayStep::Made } else { ReplayStep::Ended });
        };
        let Running { search, mut position, room } = running;
        match room {
            None => return self.resend_step(replay, search, position, walk).await,
            Some(room) if room < STEP.min(AHEAD) => return Ok(ReplayStep::Waits),
            Some(_) => {}
        }
        let mut candidates = Vec::new();
        for _ in 0..WINDOWS_PER_STEP {
            let window = search.clone();
            let found = self.read(move |db| search::next(db, &window, position, STEP)).await?;
            (position, candidates) = (found.position, found.candidates);
            if !candidates.is_empty() || position >= search.end {
                break;
            }
        }
        self.make_step(replay, search, candidates, position).await
    }
}

struct Running {
    search: Search,
    position: i64,
    /// How many of its deliveries may be made due now; `None` if they go to several webhooks.
    room: Option<usize>,
}

fn running(db: &Read<'_>, replay: i64) -> Result<Option<Running>> {
    let found = db.maybe(
        "SELECT selection, owner_id, requested_at_ms, end_position, position, webhook_id FROM replays
         WHERE seq = ?1 AND status = 'running'",
        params![replay],
        |row| {
            let search = Search {
                selection: row.json(0)?,
                visible_to: row.get(1)?,
                requested_at: row.get(2)?,
                end: row.get(3)?,
            };
            Ok((search, row.get(4)?, row.get::<Option<WebhookId>>(5)?))
        },
    )?;
    let Some((search, position, webhook_id)) = found else { return Ok(None) };
    let room = webhook_id.map(|webhook_id| room(db, webhook_id)).transpose()?;
    Ok(Some(Running { search, position, room }))
}
