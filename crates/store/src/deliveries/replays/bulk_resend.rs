//! Bulk resends over several webhooks, lane by lane: each lane has a limited number of them waiting, and none
//! waits for another.

use std::collections::{BTreeMap, HashMap};

use super::making::{ReplayStep, STEP, WINDOWS_PER_STEP, room};
use super::search::{self, Candidate, Lanes, OfLane, Search};
use crate::engine::tx::Read;
use crate::error::Result;
use crate::{DeliveryRow, Store};
use vocabulary::id::WebhookId;

/// The progress of a bulk resend over several webhooks. Only the row behind which something is left is
/// stored: a search that continues from there skips the deliveries that are under way already.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResendWalk {
    /// Everything up to this row was searched, apart from the held lanes.
    front: i64,
    /// Lanes that had enough waiting deliveries, each with the row behind which its search continues.
    held: BTreeMap<WebhookId, i64>,
}

impl ResendWalk {
    /// The row behind which there may be something left.
    fn position(&self) -> i64 {
        self.held.values().copied().fold(self.front, i64::min)
    }
}

/// The deliveries among `found` that their lanes have room for; lanes without room are held from there on.
fn fitting(
    db: &Read<'_>,
    found: Vec<OfLane>,
    held: &mut BTreeMap<WebhookId, i64>,
) -> Result<Vec<DeliveryRow>> {
    let mut rooms = HashMap::new();
    let mut fit = Vec::new();
    for OfLane { row, lane } in found {
        if held.contains_key(&lane) {
            continue;
        }
        let left = match rooms.get_mut(&lane) {
            Some(left) => left,
            None => rooms.entry(lane).or_insert(room(db, lane)?),
        };
        if *left == 0 {
            held.insert(lane, row.number() - 1);
        } else {
            *left -= 1;
            fit.push(row);
        }
    }
    Ok(fit)
}

impl Store {
    /// Runs one step of a bulk resend (row), behind the row `position` or behind the progress of `walk`.
    ///
    /// # Errors
    /// Only the store's own: the step has no effect, and may be repeated.
    pub(super) async fn resend_step(
        &self,
        replay: i64,
        search: Search,
        position: i64,
        walk: &mut ResendWalk,
    ) -> Result<ReplayStep> {
        let mut next = walk.clone();
        next.front = next.front.max(position);
        let (mut rows, mut windows) = (Vec::new(), WINDOWS_PER_STEP);
        // Held lanes come first: their deliveries are the oldest.
        for (&lane, &from) in &walk.held {
            if windows == 0 || rows.len() >= STEP {
                break;
            }
            let (of_lane, limit) = (Search { end: next.front, ..search.clone() }, STEP - rows.len());
            let window = self.read(move |db| match room(db, lane)? {
                0..STEP => Ok(None),
                _ => search::deliveries(db, &of_lane, &Lanes::Only(lane), from, limit).map(Some),
            });
            let Some(window) = window.await? else { continue };
            windows -= 1;
            rows.extend(window.found.into_iter().map(|found| found.row));
            match window.reaches < next.front {
                true => next.held.insert(lane, window.reaches),
                false => next.held.remove(&lane),
            };
        }
        while rows.is_empty() && windows > 0 && next.front < search.end {
            windows -= 1;
            let (search, mut ahead) = (search.clone(), next);
            let window = self.read(move |db| {
                let free = Lanes::Except(ahead.held.keys().copied().collect());
                let window = search::deliveries(db, &search, &free, ahead.front, STEP)?;
                let rows = fitting(db, window.found, &mut ahead.held)?;
                ahead.front = window.reaches;
                Ok((rows, ahead))
            });
            (rows, next) = window.await?;
        }
        let has_come = next.position();
        if rows.is_empty() && has_come < search.end {
            let moved = next != *walk;
            *walk = next;
            return Ok(if moved { ReplayStep::Made } else { ReplayStep::Waits });
        }
        let candidates = rows.into_iter().map(Candidate::Reopen).collect();
        let step = self.make_step(replay, search, candidates, has_come).await?;
        *walk = next;
        Ok(step)
    }
}
