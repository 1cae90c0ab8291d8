//! Ends commands that have waited too long for their station, and remote starts that have waited too long for
//! their transaction. It checks twice a second.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tracing::warn;

use super::Stations;
use vocabulary::log_limit::limited;

const LOOK_EVERY: Duration = Duration::from_millis(500);

pub(super) async fn watch(stations: Arc<Stations>) {
    let mut ticks = interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = stations.stop.cancelled() => return,
        }
        if !stations.store.leads() {
            continue;
        }
        let settled = match stations.store.commands_overdue(stations.monotonic.now()).await {
            Ok(false) => continue,
            Ok(true) => stations.store.settle_overdue_commands().await,
            Err(error) => Err(error),
        };
        if let Err(error) = settled {
            limited!(warn: "commands whose time is over could not be ended yet: {error}");
        }
    }
}
