//! Checks every second which stations have gone offline or are back, and publishes what was folded: refusals,
//! and lines of the log.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::time::{MissedTickBehavior, interval};
use tracing::warn;

use super::Stations;
use super::registry::{SilenceChange, UnreportedTakeovers};
use vocabulary::id::StationId;
use vocabulary::log_limit::limited;

const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How often the leading node looks for stations that no node has a connection of any more.
const LOOK_AROUND_EVERY: Duration = Duration::from_secs(10);

pub(super) async fn watch(stations: Arc<Stations>) {
    match stations.store.stations_to_watch().await {
        // Offline timers start anew when the gateway starts.
        Ok(known) => stations.registry.watch(known, stations.monotonic.now()),
        Err(error) => warn!("stations of earlier runs are not watched: {error}"),
    }
    let mut looked_at = Instant::now();
    let mut ticks = interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = stations.stop.cancelled() => {
                // Folded refusals that are not logged now would be lost.
                stations.tell_of_refused(stations.monotonic.now().after(Duration::from_secs(3_600)));
                stations.record_refusals().await;
                return;
            }
        }
        let now = stations.monotonic.now();
        if stations.store.is_shared() && stations.store.leads() && looked_at.elapsed() >= LOOK_AROUND_EVERY {
            looked_at = Instant::now();
            match stations.store.stations_to_watch().await {
                Ok(known) => stations.registry.watch_again(known, now),
                Err(error) => limited!(warn: "stations of other nodes are not watched: {error}"),
            }
        }
        let silences = stations.registry.silences(now, stations.settings.offline_after());
        // All at once: when a site's network fails, its stations share a few commits.
        join_all(silences.into_iter().map(|change| record(&stations, change))).await;
        stations.tell_of_refused(now);
        stations.record_refusals().await;
        for UnreportedTakeovers { station, count } in stations.registry.unreported_takeovers(now) {
            tell_of_takeovers(&station, count);
        }
        let folded = stations.refusal_events().sweep(now);
        for rejected in folded {
            if let Err(error) = stations.store.rejected_many(rejected).await {
                limited!(warn: "refused connections could not be recorded: {error}");
            }
        }
    }
}

/// Warns of a station whose connections replace each other: `count` times since the last warning.
pub(super) fn tell_of_takeovers(station: &StationId, count: u32) {
    let times = match count {
        1 => String::new(),
        _ => format!(" ({count} times since this was told last)"),
    };
    warn!(station.id = %station, "connections of {station} replace one another all the time: two chargers with one identity?{times}");
}

async fn record(stations: &Stations, change: SilenceChange) {
    let SilenceChange { station, offline, last_seen } = change;
    let last_seen = last_seen.map(|moment| stations.monotonic.to_wall(moment));
    if let Err(error) = stations.store.set_offline(station.clone(), offline, last_seen).await {
        limited!(warn: station.id = %station, "the silence of {station} could not be recorded: {error}");
    }
}
