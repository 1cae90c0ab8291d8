//! Which node sends the deliveries of which webhook. A lane is held by one node; which one it is to be
//! follows from the numbers of the lane and of the active nodes (rendezvous hashing), so that few lanes move
//! when a node comes or goes.

use std::collections::BTreeSet;

use crate::engine::sql::params;
use crate::engine::tx::{Read, Tx};
use crate::error::Result;
use crate::{Priority, Scope, Store};
use vocabulary::id::WebhookId;

/// Frees the lanes that a node had.
pub(crate) fn free(w: &mut Tx<'_>, epoch: i64) -> Result<()> {
    w.run("DELETE FROM lane_leases WHERE epoch = ?1", params![epoch]).map(drop)
}

/// How many lanes a node has; all there are where it is the only one.
pub(crate) fn count_of(db: &Read<'_>, is_shared: bool, epoch: i64) -> Result<u64> {
    match is_shared {
        true => db.one("SELECT count(*) FROM lane_leases WHERE epoch = ?1", params![epoch], |row| row.get(0)),
        false => count_of_all(db),
    }
}

/// How many lanes there are.
pub(crate) fn count_of_all(db: &Read<'_>) -> Result<u64> {
    let all = "SELECT (SELECT count(*) FROM webhooks) + (SELECT count(*) FROM origins)";
    db.one(all, &[], |row| row.get(0))
}

/// The node that a lane belongs to, of these.
fn desired(lane: WebhookId, nodes: &[i64]) -> Option<i64> {
    nodes.iter().copied().max_by_key(|epoch| (weight(lane, *epoch), *epoch))
}

/// Spreads pairs evenly (the finish of SplitMix64).
fn weight(lane: WebhookId, epoch: i64) -> u64 {
    let mut mixed = (lane as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ (epoch as u64).rotate_left(32);
    for (shift, factor) in [(30, 0xBF58_476D_1CE4_E5B9), (27, 0x94D0_49BB_1331_11EB)] {
        mixed = (mixed ^ (mixed >> shift)).wrapping_mul(factor);
    }
    mixed ^ (mixed >> 31)
}

/// What has to be done about lanes.
#[derive(Debug, Default)]
struct Moves {
    take: Vec<WebhookId>,
    give: Vec<WebhookId>,
}

impl Store {
    /// Takes the lanes that belong to this node and nobody has, and gives back those that belong to others,
    /// once nothing of them is under way here. True if some are still to be given back.
    pub(crate) async fn arrange_lanes(&self) -> Result<bool> {
        let membership = self.inner.membership.clone();
        let (me, draining) = (membership.epoch(), membership.is_draining());
        let held = membership.held();
        let moves = self.read(move |db| find_moves(db, me, draining, &held)).await?;
        if !moves.take.is_empty() {
            let taken = moves.take.clone();
            let taken: Vec<WebhookId> = self
                .write(Priority::Outcome, Scope::Installation, move |w| {
                    let mut ours = Vec::new();
                    for lane in taken {
                        let free = "INSERT INTO lane_leases (webhook_id, epoch) VALUES (?1, ?2)
                                    ON CONFLICT (webhook_id) DO UPDATE SET epoch = excluded.epoch
                                    WHERE lane_leases.epoch = excluded.epoch OR NOT EXISTS
                                        (SELECT 1 FROM nodes n WHERE n.epoch = lane_leases.epoch AND n.status <> 'lost')";
                        if w.run(free, params![lane, w.epoch])? == 1 {
                            ours.push(lane);
                        }
                    }
                    Ok(ours)
                })
                .await?;
            for lane in &taken {
                membership.hold(*lane);
            }
            self.inner.signals.lanes_changed(taken);
        }
        let mut waits = false;
        for lane in moves.give {
            if membership.holds(lane) {
                membership.let_go(lane);
                self.inner.signals.lanes_changed([lane]);
            }
            let given = self.write(Priority::Outcome, Scope::Webhook(lane), move |w| give_back(w, lane));
            waits |= !given.await?;
        }
        Ok(waits)
    }
}

fn find_moves(db: &Read<'_>, me: i64, draining: bool, held: &BTreeSet<WebhookId>) -> Result<Moves> {
    let nodes: Vec<i64> =
        db.all("SELECT epoch FROM nodes WHERE status = 'active' ORDER BY epoch", &[], |row| row.get(0))?;
    let nodes: Vec<i64> = nodes.into_iter().filter(|epoch| !(draining && *epoch == me)).collect();
    let lanes: Vec<(WebhookId, Option<i64>)> = db.all(
        "SELECT l.id, (SELECT ll.epoch FROM lane_leases ll
                       JOIN nodes n ON n.epoch = ll.epoch AND n.status <> 'lost' WHERE ll.webhook_id = l.id)
         FROM (SELECT id FROM webhooks UNION ALL SELECT -id FROM origins) AS l ORDER BY l.id",
        &[],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    let mut moves = Moves::default();
    for (lane, holder) in lanes {
        let belongs_to = desired(lane, &nodes);
        if holder == Some(me) {
            match belongs_to {
                Some(other) if other != me => moves.give.push(lane),
                // Ours by the table, which a restart of the lanes in memory has forgotten.
                _ if !held.contains(&lane) && !draining => moves.take.push(lane),
                _ => {}
            }
        } else if holder.is_none() && belongs_to == Some(me) {
            moves.take.push(lane);
        }
    }
    Ok(moves)
}

/// False while some of its deliveries are under way.
fn give_back(w: &mut Tx<'_>, lane: WebhookId) -> Result<bool> {
    let column = if lane < 0 { "origin_id" } else { "webhook_id" };
    let under_way = format!("SELECT 1 FROM deliveries WHERE status = 'processing' AND {column} = ?1 LIMIT 1");
    if w.has(&under_way, params![lane.abs()])? {
        return Ok(false);
    }
    w.run("DELETE FROM lane_leases WHERE webhook_id = ?1 AND epoch = ?2", params![lane, w.epoch])?;
    w.after_commit.nodes = true;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_are_spread_evenly_and_few_move_when_a_node_comes_or_goes() {
        let lanes: Vec<WebhookId> = (-100..900).filter(|lane| *lane != 0).collect();
        let of = |nodes: &[i64]| -> Vec<i64> {
            lanes.iter().map(|lane| desired(*lane, nodes).expect("a node")).collect()
        };
        let (three, two) = (of(&[7, 8, 12]), of(&[7, 12]));
        for node in [7, 8, 12] {
            let share = three.iter().filter(|of| **of == node).count();
            assert!((250..420).contains(&share), "{node} has {share} of {}", lanes.len());
        }
        let moved = three.iter().zip(&two).filter(|(before, after)| before != after);
        assert!(moved.clone().all(|(before, _)| *before == 8), "only those of the node that is gone");
        assert_eq!(desired(1, &[]), None);
    }
}
