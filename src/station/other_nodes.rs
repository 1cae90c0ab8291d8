//! What other nodes ask of this one's connections, and what becomes of them when this node is fenced.

use std::sync::Arc;

use tracing::warn;

use super::Stations;
use super::registry::{Leave, Rules};
use store::StationNews;
use vocabulary::api::station::Station;
use vocabulary::id::StationId;
use vocabulary::log_limit::limited;

/// Passes on what other nodes ask, until the engine stops.
pub(super) async fn listen(stations: Arc<Stations>) {
    loop {
        tokio::select! {
            news = stations.store.station_news() => {
                for (station, news) in news {
                    pass_on(&stations, &station, news).await;
                }
            }
            () = stations.stop.cancelled() => return,
        }
    }
}

async fn pass_on(stations: &Stations, station: &StationId, news: StationNews) {
    let registry = &stations.registry;
    let why = match news {
        StationNews::Commands => return registry.tell_of_commands(station),
        StationNews::Rules => {
            match stations.store.station(station.clone()).await {
                Ok(Some(known)) => registry.change_rules(station, rules(&known)),
                Ok(None) => {}
                Err(error) => {
                    limited!(warn: station.id = %station, "changed rules of {station} could not be read: {error}")
                }
            }
            return;
        }
        StationNews::TakenOver => Leave::Replaced,
        StationNews::Requested => Leave::Requested,
        StationNews::Blocked => Leave::Blocked,
        StationNews::Removed => Leave::Removed,
    };
    registry.ask_to_leave(station, why);
}

fn rules(station: &Station) -> Rules {
    Rules {
        validation: station.validation,
        ping: station.ping,
        zone: station.time_zone.as_deref().and_then(|name| name.parse().ok()),
    }
}

/// Counts connections under each number that this node gets, and closes all of them when it was fenced: what
/// they brought would be refused.
pub(super) async fn follow_epoch(stations: Arc<Stations>) {
    let mut epochs = stations.store.epochs();
    loop {
        tokio::select! {
            changed = epochs.changed() => if changed.is_err() { return },
            () = stations.stop.cancelled() => return,
        }
        let epoch = *epochs.borrow_and_update();
        match epoch {
            0 => {
                warn!(
                    "{} connections are closed: other nodes have taken over",
                    stations.registry.connected()
                );
                stations.registry.ask_all_to_leave(Leave::Fenced);
            }
            _ => stations.registry.begin_epoch(epoch),
        }
    }
}
