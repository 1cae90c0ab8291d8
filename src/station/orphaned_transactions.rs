//! Completes transactions whose stop will not come any more: another one has started on their connector, and
//! nothing was received about them for too long.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tracing::warn;

use super::Stations;
use vocabulary::log_limit::limited;

/// Time between two checks, at most and at least. A check is one read of an index.
const LOOK_EVERY: Duration = Duration::from_secs(60);
const LOOK_EVERY_MIN: Duration = Duration::from_millis(100);

pub(super) async fn watch(stations: Arc<Stations>) {
    let orphan_after = stations.settings.transactions.orphan_after.0;
    let mut ticks = interval((orphan_after / 4).clamp(LOOK_EVERY_MIN, LOOK_EVERY));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = stations.stop.cancelled() => return,
        }
        if !stations.store.leads() {
            continue;
        }
        // The work is done in small steps, so that chargers' messages are written between them.
        while !stations.stop.is_cancelled() {
            match stations.store.complete_orphans(stations.clock.now().before(orphan_after)).await {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    limited!(warn: "orphaned transactions could not be completed: {error}");
                    break;
                }
            }
        }
    }
}
