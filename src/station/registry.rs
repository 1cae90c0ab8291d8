//! Which stations are connected, and when each was last heard of.
//!
//! **Invariant**: the connection with the newest generation is the station's, no matter in which order others
//! end.

mod takeovers;

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot, watch};

use takeovers::Takeovers;
use vocabulary::clock::Timestamp;
use vocabulary::id::StationId;
use vocabulary::ocpp::Validation;
use vocabulary::zone::Zone;

/// Why a connection is asked to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leave {
    /// A newer connection of the same station replaces it.
    Replaced,
    /// It was requested through the API.
    Requested,
    /// The station was deleted.
    Removed,
    /// The station was blocked.
    Blocked,
    /// The gateway stops.
    Shutdown,
    /// The gateway stops, and other nodes are there to connect to.
    HandedOver,
    /// This node was counted as lost, and others have taken over.
    Fenced,
}

/// When a station was last heard of, by the monotonic clock, as all times here. Its connection and the
/// registry share this.
#[derive(Debug, Clone)]
pub struct LastSeen(Arc<AtomicI64>);

impl LastSeen {
    fn new(at: Timestamp) -> Self {
        Self(Arc::new(AtomicI64::new(at.unix_ms())))
    }

    /// Something was received.
    pub fn mark(&self, at: Timestamp) {
        self.0.store(at.unix_ms(), Relaxed);
    }

    /// When something was received last.
    pub fn get(&self) -> Timestamp {
        Timestamp::from_unix_ms(self.0.load(Relaxed))
    }
}

/// Rules for a station's connection. A change holds from the next message on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// How strictly its messages are read; `None`: as configured for all.
    pub validation: Option<Validation>,
    /// Whether it is pinged.
    pub ping: bool,
    /// The zone of times that the station sends without one.
    pub zone: Option<Zone>,
}

struct Live {
    generation: u64,
    rules: watch::Sender<Option<Rules>>,
    commands: Arc<Notify>,
    leave: Option<oneshot::Sender<Leave>>,
    gone: watch::Receiver<bool>,
    /// The station was deleted: this is its last connection.
    last: bool,
}

impl Live {
    /// Asks it to end because a newer one is there.
    fn replace(&mut self) {
        if let Some(leave) = self.leave.take() {
            let _ = leave.send(Leave::Replaced);
        }
    }
}

struct Entry {
    live: Option<Live>,
    /// Nothing was received from it since the gateway started.
    unheard: bool,
    last_seen: LastSeen,
    offline: bool,
    takeovers: Takeovers,
}

impl Entry {
    fn new(now: Timestamp) -> Self {
        Self {
            live: None,
            unheard: false,
            last_seen: LastSeen::new(now),
            offline: false,
            takeovers: Takeovers::default(),
        }
    }
}

/// Every station that is or was connected since the gateway started.
#[derive(Default)]
pub struct Registry {
    stations: Mutex<HashMap<StationId, Entry>>,
    generations: AtomicU64,
    connected: AtomicU64,
}

/// A station that has gone offline, or is back.
#[derive(Debug, PartialEq, Eq)]
pub struct SilenceChange {
    /// Which station.
    pub station: StationId,
    /// Whether it is offline now.
    pub offline: bool,
    /// When something was last received from it; `None`: not since the gateway started.
    pub last_seen: Option<Timestamp>,
}

/// Takeovers of a station that were counted and not logged one by one.
#[derive(Debug, PartialEq, Eq)]
pub struct UnreportedTakeovers {
    /// Which station.
    pub station: StationId,
    /// How many there were.
    pub count: u32,
}

/// A connection's own end of its registration.
pub struct Registration {
    /// Grows with every connection.
    pub generation: u64,
    /// To be marked with every frame.
    pub last_seen: LastSeen,
    /// Says that the connection is to end, and why.
    pub leave: oneshot::Receiver<Leave>,
    /// Brings changed rules.
    pub rules: watch::Receiver<Option<Rules>>,
    /// Says that the store holds commands for the station.
    pub commands: Arc<Notify>,
    /// Set or dropped once everything of this connection is on disk.
    pub gone: watch::Sender<bool>,
    /// The connection that this one replaces.
    pub predecessor: Option<watch::Receiver<bool>>,
    /// The station's connections replace each other again and again: perhaps two chargers with one identity.
    pub flapping: bool,
    /// A warning of that is due now.
    pub flapping_is_news: bool,
}

impl Registry {
    fn lock(&self) -> MutexGuard<'_, HashMap<StationId, Entry>> {
        self.stations.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts on under the number of the node that this is now: the upper half of every generation.
    pub fn begin_epoch(&self, epoch: i64) {
        self.generations.store((epoch as u64) << 32, Relaxed);
    }

    /// The generation of a connection whose handshake succeeds now. The handshake takes it, because threads
    /// register connections in any order.
    pub fn next_generation(&self) -> u64 {
        self.generations.fetch_add(1, Relaxed) + 1
    }

    /// Makes a new connection the station's and asks the one before to end. A connection that a newer one has
    /// overtaken is asked to end itself, after its received messages are served.
    pub fn register(&self, station: &StationId, generation: u64, now: Timestamp) -> Registration {
        let (leave, told_to_leave) = oneshot::channel();
        let (gone, gone_seen) = watch::channel(false);
        let commands = Arc::new(Notify::new());
        let (rules, changed_rules) = watch::channel(None);
        let mut stations = self.lock();
        let entry = stations.entry(station.clone()).or_insert_with(|| Entry::new(now));
        entry.last_seen.mark(now);
        entry.unheard = false;
        let mut live = Live {
            generation,
            rules,
            commands: commands.clone(),
            leave: Some(leave),
            gone: gone_seen,
            last: false,
        };
        let is_overtaken = entry.live.as_ref().is_some_and(|newer| newer.generation > generation);
        let predecessor = if is_overtaken {
            live.replace();
            None
        } else {
            entry.live.replace(live).map(|mut old| {
                old.replace();
                old.gone
            })
        };
        let flapping = predecessor.is_some() && entry.takeovers.add_is_flapping(now);
        let flapping_is_news = flapping && entry.takeovers.is_news(now);
        if predecessor.is_none() && !is_overtaken {
            self.connected.fetch_add(1, Relaxed);
        }
        let last_seen = entry.last_seen.clone();
        Registration {
            generation,
            last_seen,
            leave: told_to_leave,
            rules: changed_rules,
            commands,
            gone,
            predecessor,
            flapping,
            flapping_is_news,
        }
    }

    /// Removes a connection, unless a newer one has replaced it.
    pub fn unregister(&self, station: &StationId, generation: u64) {
        let mut stations = self.lock();
        let live = stations
            .get_mut(station)
            .and_then(|entry| entry.live.take_if(|live| live.generation == generation));
        if let Some(live) = live {
            self.connected.fetch_sub(1, Relaxed);
            if live.last {
                stations.remove(station);
            }
        }
    }

    /// Tells a station's connection that the store holds commands for it.
    pub fn tell_of_commands(&self, station: &StationId) {
        if let Some(live) = self.lock().get(station).and_then(|entry| entry.live.as_ref()) {
            live.commands.notify_one();
        }
    }

    /// Sends changed rules to a station's connection.
    pub fn change_rules(&self, station: &StationId, rules: Rules) {
        if let Some(live) = self.lock().get(station).and_then(|entry| entry.live.as_ref()) {
            live.rules.send_replace(Some(rules));
        }
    }

    /// Asks a station's connection to end; false if there is none.
    pub fn ask_to_leave(&self, station: &StationId, why: Leave) -> bool {
        let mut stations = self.lock();
        let Some(live) = stations.get_mut(station).and_then(|entry| entry.live.as_mut()) else {
            return false;
        };
        live.last |= why == Leave::Removed;
        live.leave.take().is_some_and(|leave| leave.send(why).is_ok())
    }

    /// Asks every connection to end.
    pub fn ask_all_to_leave(&self, why: Leave) {
        for entry in self.lock().values_mut() {
            if let Some(leave) = entry.live.as_mut().and_then(|live| live.leave.take()) {
                let _ = leave.send(why);
            }
        }
    }

    /// Which stations are connected now.
    pub fn connected_stations(&self) -> Vec<StationId> {
        let stations = self.lock();
        stations.iter().filter(|(_, entry)| entry.live.is_some()).map(|(id, _)| id.clone()).collect()
    }

    /// How many stations are connected now.
    pub fn connected(&self) -> u64 {
        self.connected.load(Relaxed)
    }

    /// When the station was last heard of since the gateway started, pongs included.
    pub fn last_seen(&self, station: &StationId) -> Option<Timestamp> {
        self.lock().get(station).map(|entry| entry.last_seen.get())
    }

    /// Starts the offline timers of stations that the store knows from earlier runs.
    pub fn watch(&self, stations: impl IntoIterator<Item = StationId>, now: Timestamp) {
        let mut known = self.lock();
        for station in stations {
            known.entry(station).or_insert_with(|| Entry { unheard: true, ..Entry::new(now) });
        }
    }

    /// Starts the offline timers of stations anew that have no connection here: they were connected
    /// elsewhere, and are no more. Those whose timers run already are left alone.
    pub fn watch_again(&self, stations: impl IntoIterator<Item = StationId>, now: Timestamp) {
        let mut known = self.lock();
        for station in stations {
            let entry = known.entry(station).or_insert_with(|| Entry { unheard: true, ..Entry::new(now) });
            if entry.live.is_none() && entry.offline {
                (entry.offline, entry.unheard) = (false, true);
                entry.last_seen.mark(now);
            }
        }
    }

    /// Forgets a station that was deleted.
    pub fn forget(&self, station: &StationId) {
        let mut stations = self.lock();
        if stations.get(station).is_some_and(|entry| entry.live.is_none()) {
            stations.remove(station);
        }
    }

    /// Stations for which a warning of repeated takeovers is due.
    pub fn unreported_takeovers(&self, now: Timestamp) -> Vec<UnreportedTakeovers> {
        let mut stations = self.lock();
        let unreported = stations.iter_mut().filter_map(|(station, entry)| {
            Some(UnreportedTakeovers { count: entry.takeovers.unreported(now)?, station: station.clone() })
        });
        unreported.collect()
    }

    /// Stations that have gone offline, or are back, since this was last asked. A station is offline once
    /// nothing was received from it for `offline_after`.
    pub fn silences(&self, now: Timestamp, offline_after: Duration) -> Vec<SilenceChange> {
        let mut changed = Vec::new();
        for (station, entry) in self.lock().iter_mut() {
            let last_seen = entry.last_seen.get();
            let offline = now.since(last_seen) >= offline_after;
            if offline != entry.offline {
                entry.offline = offline;
                let last_seen = (!entry.unheard).then_some(last_seen);
                changed.push(SilenceChange { station: station.clone(), offline, last_seen });
            }
        }
        changed
    }
}

#[cfg(test)]
mod tests;
