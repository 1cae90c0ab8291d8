//! Canceling a replay: it takes back the deliveries that were not attempted since it made them due.

use std::ops::ControlFlow;

use super::making::{BeforeReplay, end};
use super::row_of;
use crate::deliveries::direct_url::LANE;
use crate::engine::sql::params;
use crate::engine::tx::{Read, Tx};
use crate::error::Result;
use crate::{DeliveryRow, Priority, Scope, Store};
use vocabulary::api::replay::ReplayStatus;
use vocabulary::delivery::DiscardReason;
use vocabulary::id::{ReplayId, WebhookId};

/// Deliveries taken back in one step, so that a replay to many webhooks blocks nobody.
const TAKE_BACK_STEP: usize = 1_000;

/// The result of a request to cancel a replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CanceledReplay {
    /// It is canceled, and its deliveries without a new attempt are taken back.
    Canceled,
    /// It has ended, and no delivery is left to take back.
    Ended,
    /// The caller may see no such replay.
    NotFound,
}

impl Store {
    /// Ends a replay, and takes back the deliveries that were not attempted since it made them due: those it
    /// created are discarded, and those it reopened are restored.
    ///
    /// From the first commit on the replay makes no more deliveries due. Many deliveries need several
    /// commits; if this stops between them, [`Store::replay_step`] takes back the rest.
    pub async fn cancel_replay(&self, id: ReplayId, visible_to: Option<String>) -> Result<CanceledReplay> {
        let begun = self.write(Priority::Api, Scope::Installation, move |w| {
            let Some(replay) = row_of(w, id, visible_to)? else {
                return Ok(Err(CanceledReplay::NotFound));
            };
            if !end(w, replay, ReplayStatus::Canceled)? && !revoke(w, replay)? {
                return Ok(Err(CanceledReplay::Ended));
            }
            w.run("UPDATE replays SET takes_back = 1 WHERE seq = ?1", params![replay])?;
            w.after_commit.replays = true;
            Ok(Ok((replay, take_back(w, replay)?)))
        });
        let (replay, mut more) = match begun.await? {
            Ok(begun) => begun,
            Err(refused) => return Ok(refused),
        };
        while more {
            more = self.take_back_step(replay).await?;
        }
        Ok(CanceledReplay::Canceled)
    }

    /// Takes back some deliveries of a canceled replay (row); true if there may be more.
    pub(super) async fn take_back_step(&self, replay: i64) -> Result<bool> {
        self.write(Priority::Api, Scope::Installation, move |w| take_back(w, replay)).await
    }
}

/// A delivery that was not attempted since a replay made it due.
struct Untried {
    row: DeliveryRow,
    lane: Option<WebhookId>,
    /// `None`: the replay created it.
    before: Option<BeforeReplay>,
}

/// At most `limit` of a replay's deliveries that were not attempted since it made them due.
fn untried(db: &Read<'_>, replay: i64, limit: usize) -> Result<Vec<Untried>> {
    let sql = format!(
        "SELECT seq, {LANE}, attempts, before_replay FROM deliveries INDEXED BY deliveries_of_replays
         WHERE replay_seq = ?1 AND status = 'scheduled' ORDER BY seq"
    );
    let mut found = Vec::new();
    db.each(&sql, params![replay], |row| {
        let before: Option<BeforeReplay> = row.maybe_json(3)?;
        if row.get::<i64>(2)? == before.as_ref().map_or(0, |before| before.attempts) {
            found.push(Untried { row: row.get(0)?, lane: row.get(1)?, before });
        }
        Ok(if found.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    })?;
    Ok(found)
}

/// A completed replay can still be canceled, as long as one of its deliveries was not attempted.
fn revoke(w: &Tx<'_>, replay: i64) -> Result<bool> {
    if untried(w, replay, 1)?.is_empty() {
        return Ok(false);
    }
    let revoked =
        w.run("UPDATE replays SET status = 'canceled' WHERE seq = ?1 AND status = 'done'", params![replay])?;
    Ok(revoked > 0)
}

fn take_back(w: &mut Tx<'_>, replay: i64) -> Result<bool> {
    if !w.has("SELECT 1 FROM replays WHERE seq = ?1 AND takes_back = 1", params![replay])? {
        return Ok(false);
    }
    let untried = untried(w, replay, TAKE_BACK_STEP)?;
    let (taken_back, more) = (untried.len(), untried.len() >= TAKE_BACK_STEP);
    for Untried { row, lane, before } in untried {
        match before {
            Some(before) => w.run(
                "UPDATE deliveries SET status = ?2, trigger = ?3, bulk = ?4, step = ?5, scheduled_at_ms = ?6,
                        completed_at_ms = ?7, order_station = ?8, due_at_ms = NULL, replay_seq = NULL,
                        before_replay = NULL
                 WHERE seq = ?1",
                params![
                    row,
                    before.status.as_str(),
                    before.trigger.as_str(),
                    before.bulk,
                    before.step,
                    before.scheduled_at_ms,
                    before.completed_at_ms,
                    before.order_station,
                ],
            )?,
            None => w.run(
                "UPDATE deliveries SET status = 'discarded', discarded_because = ?2, completed_at_ms = ?3,
                        order_station = NULL, due_at_ms = NULL, replay_seq = NULL
                 WHERE seq = ?1",
                params![row, DiscardReason::Canceled.as_str(), w.now],
            )?,
        };
        w.after_commit.lanes.extend(lane);
    }
    w.run(
        "UPDATE replays SET done = done - ?2, takes_back = ?3 WHERE seq = ?1",
        params![replay, taken_back, more],
    )?;
    Ok(more)
}
