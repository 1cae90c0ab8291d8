//! Bulk resends over several webhooks, lane by lane: each has only so much of it waiting, and none waits for another.

use std::collections::{BTreeMap, HashMap};

use rusqlite::Connection;

use crate::Store;
use crate::deliveries::direct_url::{DIRECT_IN_BULK, is_origin};
use crate::deliveries::replay_search;
use crate::deliveries::replay_search::{Lanes, Search};
use crate::deliveries::replays::{AHEAD, ReplayStep, STEP, WINDOWS_PER_STEP};
use crate::error::Result;
use crate::log::waiting_deliveries::BULK_WAITING;
use vocabulary::id::WebhookId;

/// How far a bulk resend over several webhooks has come. Of it only the row is stored behind which there is something
/// left: whoever goes on from there finds that the rest is under way.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResendWalk {
    /// Everything up to this row was looked at, but for what is held.
    front: i64,
    /// Lanes that had enough waiting, each with the row behind which it goes on.
    held: BTreeMap<WebhookId, i64>,
}

impl ResendWalk {
    /// The row behind which there may be something left.
    fn position(&self) -> i64 {
        self.held.values().copied().fold(self.front, i64::min)
    }
}

/// How many more deliveries of replays a lane may have waiting.
pub(crate) fn room(conn: &Connection, lane: WebhookId) -> Result<usize> {
    let (condition, number) = match is_origin(lane) {
        true => (format!("origin_id = ?1 AND {DIRECT_IN_BULK}"), -lane),
        false => (format!("webhook_id = ?1 AND {BULK_WAITING}"), lane),
    };
    let waiting: i64 = conn
        .prepare_cached(&format!(
            "SELECT count(*) FROM (SELECT 1 FROM deliveries WHERE {condition} AND status = 'scheduled' LIMIT {AHEAD})"
        ))?
        .query_row([number], |row| row.get(0))?;
    Ok(AHEAD.saturating_sub(waiting.max(0) as usize))
}

/// Of `rows`, each with its lane, those that their lanes have room for; lanes that have none are held from there on.
fn fitting(
    conn: &Connection,
    rows: Vec<(i64, WebhookId)>,
    held: &mut BTreeMap<WebhookId, i64>,
) -> Result<Vec<i64>> {
    let mut rooms = HashMap::new();
    let mut fit = Vec::new();
    for (row, lane) in rows {
        if held.contains_key(&lane) {
            continue;
        }
        let left = match rooms.get_mut(&lane) {
            Some(left) => left,
            None => rooms.entry(lane).or_insert(room(conn, lane)?),
        };
        if *left == 0 {
            held.insert(lane, row - 1);
        } else {
            *left -= 1;
            fit.push(row);
        }
    }
    Ok(fit)
}

impl Store {
    /// Goes one step on with the bulk resend `seq` behind row `position`, or further where `walk` has been further.
    ///
    /// # Errors
    /// Only the store's own: the step is not made, and may be made again.
    pub(crate) async fn resend_step(
        &self,
        seq: i64,
        search: Search,
        position: i64,
        walk: &mut ResendWalk,
    ) -> Result<ReplayStep> {
        let mut next = walk.clone();
        next.front = next.front.max(position);
        let (mut rows, mut windows) = (Vec::new(), WINDOWS_PER_STEP);
        // What was held comes first: it is what was asked for earliest.
        for (&lane, &from) in &walk.held {
            if windows == 0 || rows.len() >= STEP {
                break;
            }
            let (of_lane, limit) = (Search { end: next.front, ..search.clone() }, STEP - rows.len());
            let found = self
                .read(move |conn| match room(conn, lane)? {
                    0..STEP => Ok(None),
                    _ => replay_search::deliveries(conn, &of_lane, &Lanes::Only(lane), from, limit).map(Some),
                })
                .await?;
            let Some((found, reaches)) = found else { continue };
            windows -= 1;
            rows.extend(found.into_iter().map(|(row, _)| row));
            match reaches < next.front {
                true => next.held.insert(lane, reaches),
                false => next.held.remove(&lane),
            };
        }
        while rows.is_empty() && windows > 0 && next.front < search.end {
            windows -= 1;
            let (search, mut ahead) = (search.clone(), next);
            (rows, next) = self
                .read(move |conn| {
                    let free = Lanes::Except(ahead.held.keys().copied().collect());
                    let (found, reaches) =
                        replay_search::deliveries(conn, &search, &free, ahead.front, STEP)?;
                    let rows = fitting(conn, found, &mut ahead.held)?;
                    ahead.front = reaches;
                    Ok((rows, ahead))
                })
                .await?;
        }
        let has_come = next.position();
        if rows.is_empty() && has_come < search.end {
            let moved = next != *walk;
            *walk = next;
            return Ok(if moved { ReplayStep::Made } else { ReplayStep::Waits });
        }
        let step = self.make_step(seq, search, rows, has_come).await?;
        *walk = next;
        Ok(step)
    }
}
