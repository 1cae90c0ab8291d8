//! Which station is connected, and since when nothing was heard of it.
//!
//! **Invariant**: of two connections of one station the newer generation is the station's, in whatever
//! order their ends are noticed.

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
    /// A newer connection of the same station is here.
    Replaced,
    /// Somebody asked for it.
    Requested,
    /// The station was deleted.
    Removed,
    /// The station was blocked.
    Blocked,
    /// The gateway stops.
    Shutdown,
}

/// When a station was last heard of, by the monotonic clock (as all moments here); shared
/// between its connection and the registry.
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

/// How a station's conversation is led; what is changed of it holds from the next message on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// How strictly its messages are read; `None`: as configured for all.
    pub validation: Option<Validation>,
    /// Whether it is pinged.
    pub ping: bool,
    /// The zone of its times without zone.
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
    /// Asks it to make room for a newer one.
    fn replace(&mut self) {
        if let Some(leave) = self.leave.take() {
            let _ = leave.send(Leave::Replaced);
        }
    }
}

struct Entry {
    live: Option<Live>,
    /// It is watched since the gateway started, and nothing was heard of it since.
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

/// Every station that is connected or was, since the gateway started.
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
pub struct UntoldTakeovers {
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
    /// Tells when to leave, and why.
    pub leave: oneshot::Receiver<Leave>,
    /// Tells what rules hold from now on, once they were changed.
    pub rules: watch::Receiver<Option<Rules>>,
    /// Tells that commands wait in the store.
    pub commands: Arc<Notify>,
    /// Dropped or set once everything of this connection is on disk.
    pub gone: watch::Sender<bool>,
    /// The connection this one replaces, until it is gone.
    pub predecessor: Option<watch::Receiver<bool>>,
    /// The station's connections replace one another all the time: two chargers with one identity?
    pub flapping: bool,
    /// That is to be told of now, and not with others in one line.
    pub flapping_is_news: bool,
}

impl Registry {
    fn lock(&self) -> MutexGuard<'_, HashMap<StationId, Entry>> {
        self.stations.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The generation of a connection whose handshake succeeds now. Given there, because connections come
    /// here in whatever order the threads get to them.
    pub fn next_generation(&self) -> u64 {
        self.generations.fetch_add(1, Relaxed) + 1
    }

    /// Makes a new connection the station's; the one before is asked to leave. One that a newer connection
    /// has overtaken on the way here is asked to leave itself: it only brings what it has received.
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

    /// Takes a connection out again, unless a newer one has its place.
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

    /// Tells a station's connection, if there is one, that commands wait for it in the store.
    pub fn tell_of_commands(&self, station: &StationId) {
        if let Some(live) = self.lock().get(station).and_then(|entry| entry.live.as_ref()) {
            live.commands.notify_one();
        }
    }

    /// Tells a station's connection what rules hold from now on, if it has one.
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

    /// Stations that are connected now.
    pub fn connected(&self) -> u64 {
        self.connected.load(Relaxed)
    }

    /// When the station was last heard of since the gateway started, pongs included.
    pub fn last_seen(&self, station: &StationId) -> Option<Timestamp> {
        self.lock().get(station).map(|entry| entry.last_seen.get())
    }

    /// Begins to watch stations that the store knows from earlier runs: their timers start now.
    pub fn watch(&self, stations: impl IntoIterator<Item = StationId>, now: Timestamp) {
        let mut known = self.lock();
        for station in stations {
            known.entry(station).or_insert_with(|| Entry { unheard: true, ..Entry::new(now) });
        }
    }

    /// Forgets a station that was deleted.
    pub fn forget(&self, station: &StationId) {
        let mut stations = self.lock();
        if stations.get(station).is_some_and(|entry| entry.live.is_none()) {
            stations.remove(station);
        }
    }

    /// Stations of whose takeovers it is time to tell in one line, and how many there were.
    pub fn untold_takeovers(&self, now: Timestamp) -> Vec<UntoldTakeovers> {
        let mut stations = self.lock();
        let untold = stations.iter_mut().filter_map(|(station, entry)| {
            Some(UntoldTakeovers { count: entry.takeovers.untold(now)?, station: station.clone() })
        });
        untold.collect()
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
