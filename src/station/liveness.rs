//! Looks every second whether a station has been silent for too long, or speaks again, and flushes
//! folded rejections.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tracing::warn;

use super::Stations;

const LOOK_EVERY: Duration = Duration::from_secs(1);

pub(super) async fn watch(stations: Arc<Stations>) {
    match stations.store.stations_to_watch().await {
        // Offline timers start anew with the gateway.
        Ok(known) => stations.registry.watch(known, stations.clock.now()),
        Err(error) => warn!("stations of earlier runs are not watched: {error}"),
    }
    let mut ticks = interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = stations.stop.cancelled() => return,
        }
        let now = stations.clock.now();
        for (station, offline, last_seen) in stations.registry.silences(now, stations.settings.offline_after)
        {
            if let Err(error) = stations.store.set_offline(station.clone(), offline, Some(last_seen)).await {
                warn!(station.id = %station, "the silence of {station} could not be recorded: {error}");
            }
        }
        let folded = stations.rejections().sweep(now);
        for rejected in folded {
            if let Err(error) = stations.store.rejected(rejected).await {
                warn!("refused connections could not be recorded: {error}");
            }
        }
    }
}
