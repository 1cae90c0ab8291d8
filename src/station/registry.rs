//! Which station is connected, and since when nothing was heard of it.
//!
//! **Invariant**: of two connections of one station the newer generation is the station's, in whatever
//! order their ends are noticed.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot, watch};

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
    /// When the latest takeovers were, oldest first.
    takeovers: VecDeque<Timestamp>,
    /// When it was last told that there are too many, and how many there were since.
    told: Option<(Timestamp, u32)>,
}

/// More takeovers than this in a minute look like two chargers with one identity (quirk Q35).
const TAKEOVERS_MAX: usize = 5;
const TAKEOVER_WINDOW: Duration = Duration::from_secs(60);

impl Entry {
    fn new(now: Timestamp) -> Self {
        Self {
            live: None,
            unheard: false,
            last_seen: LastSeen::new(now),
            offline: false,
            takeovers: VecDeque::new(),
            told: None,
        }
    }

    /// Takes in one takeover of too many; true if that is to be told at once, and not in the line of many.
    fn is_news(&mut self, now: Timestamp) -> bool {
        match &mut self.told {
            Some((_, untold)) => {
                *untold += 1;
                false
            }
            None => {
                self.told = Some((now, 0));
                true
            }
        }
    }

    /// How many takeovers are to be told of in one line.
    fn untold(&mut self, now: Timestamp) -> Option<u32> {
        let (_, untold) = self.told.take_if(|(at, _)| now.since(*at) >= TAKEOVER_WINDOW)?;
        // While it goes on, it goes on being folded.
        self.told = (untold > 0).then_some((now, 0));
        self.told.map(|_| untold)
    }

    /// Counts a takeover; true if there were too many of late.
    fn is_flapping(&mut self, now: Timestamp) -> bool {
        self.takeovers.push_back(now);
        if self.takeovers.len() <= TAKEOVERS_MAX {
            return false;
        }
        self.takeovers.pop_front().is_some_and(|first| now.since(first) < TAKEOVER_WINDOW)
    }
}

/// Every station that is connected or was, since the gateway started.
#[derive(Default)]
pub struct Registry {
    stations: Mutex<HashMap<StationId, Entry>>,
    generations: AtomicU64,
    connected: AtomicU64,
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

    /// The generation of a connection whose handshake succeeds now. Given there, because connections come here
    /// in whatever order the threads get to them.
    pub fn next_generation(&self) -> u64 {
        self.generations.fetch_add(1, Relaxed) + 1
    }

    /// Makes a new connection the station's; the one before is asked to leave. One that a newer connection has
    /// overtaken on the way here is asked to leave itself: it only brings what it has received.
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
        let flapping = predecessor.is_some() && entry.is_flapping(now);
        let flapping_is_news = flapping && entry.is_news(now);
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
    pub fn untold_takeovers(&self, now: Timestamp) -> Vec<(StationId, u32)> {
        let mut stations = self.lock();
        let untold = stations.iter_mut().filter_map(|(station, entry)| Some((station, entry.untold(now)?)));
        untold.map(|(station, count)| (station.clone(), count)).collect()
    }

    /// Stations whose silence crossed `offline_after`, or ended, since this was last asked: identity,
    /// whether they are offline now, and when they were last heard of; `None`: not since the gateway started.
    pub fn silences(
        &self,
        now: Timestamp,
        offline_after: Duration,
    ) -> Vec<(StationId, bool, Option<Timestamp>)> {
        let mut changed = Vec::new();
        for (station, entry) in self.lock().iter_mut() {
            let last_seen = entry.last_seen.get();
            let offline = now.since(last_seen) >= offline_after;
            if offline != entry.offline {
                entry.offline = offline;
                changed.push((station.clone(), offline, (!entry.unheard).then_some(last_seen)));
            }
        }
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id() -> StationId {
        StationId::new("CP_1").expect("legal")
    }

    fn register(registry: &Registry, now: Timestamp) -> Registration {
        registry.register(&id(), registry.next_generation(), now)
    }

    const T0: Timestamp = Timestamp::from_unix_ms(1_000_000);

    #[test]
    fn the_newest_connection_wins_whatever_order_they_end_in() {
        let registry = Registry::default();
        let mut old = register(&registry, T0);
        let new = register(&registry, T0);
        assert!(new.generation > old.generation && new.predecessor.is_some());
        assert_eq!(old.leave.try_recv(), Ok(Leave::Replaced));
        registry.unregister(&id(), old.generation);
        assert_eq!(registry.connected(), 1);
        assert!(registry.ask_to_leave(&id(), Leave::Requested));
        registry.unregister(&id(), new.generation);
        assert_eq!(registry.connected(), 0);
        assert!(!registry.ask_to_leave(&id(), Leave::Requested));
    }

    #[test]
    fn a_connection_that_was_overtaken_on_its_way_leaves_by_itself() {
        let registry = Registry::default();
        let (first, second) = (registry.next_generation(), registry.next_generation());
        let mut new = registry.register(&id(), second, T0);
        let mut old = registry.register(&id(), first, T0);
        assert_eq!(old.leave.try_recv(), Ok(Leave::Replaced));
        assert!(new.leave.try_recv().is_err(), "the newer one stays");
        registry.unregister(&id(), old.generation);
        assert_eq!(registry.connected(), 1);
        registry.unregister(&id(), new.generation);
        assert_eq!(registry.connected(), 0);
    }

    #[test]
    fn takeovers_without_end_are_told_once_a_minute() {
        let registry = Registry::default();
        let takeovers = |count: usize, now: Timestamp| {
            (0..count).map(|_| register(&registry, now)).filter(|new| new.flapping_is_news).count()
        };
        assert_eq!(takeovers(TAKEOVERS_MAX + 1, T0), 0, "the first took over from nobody");
        assert_eq!(takeovers(10, T0), 1);
        assert_eq!(registry.untold_takeovers(T0.after(Duration::from_secs(59))), []);
        let minute = T0.after(TAKEOVER_WINDOW);
        assert_eq!(registry.untold_takeovers(minute), [(id(), 9)]);
        assert_eq!(takeovers(TAKEOVERS_MAX + 1, minute), 0, "it goes on");
        let later = minute.after(TAKEOVER_WINDOW);
        assert_eq!(registry.untold_takeovers(later), [(id(), 1)]);
        assert_eq!(registry.untold_takeovers(later.after(TAKEOVER_WINDOW)), []);
        let quiet = later.after(TAKEOVER_WINDOW * 2);
        assert_eq!(takeovers(TAKEOVERS_MAX + 1, quiet), 1, "and begins again");
    }

    #[test]
    fn a_deleted_station_is_forgotten_with_its_last_connection() {
        let registry = Registry::default();
        let connection = register(&registry, T0);
        assert!(registry.ask_to_leave(&id(), Leave::Removed));
        registry.forget(&id());
        assert_eq!(registry.last_seen(&id()), Some(T0), "it is still connected");
        registry.unregister(&id(), connection.generation);
        assert_eq!((registry.last_seen(&id()), registry.connected()), (None, 0));
        // One that comes back meanwhile is another station.
        let old = register(&registry, T0);
        registry.ask_to_leave(&id(), Leave::Removed);
        let new = register(&registry, T0);
        registry.unregister(&id(), old.generation);
        registry.unregister(&id(), new.generation);
        assert_eq!(registry.last_seen(&id()), Some(T0));
    }

    #[test]
    fn silence_is_told_once_and_so_is_its_end() {
        let registry = Registry::default();
        let registration = register(&registry, T0);
        let limit = Duration::from_secs(10);
        assert_eq!(registry.silences(T0.after(Duration::from_secs(9)), limit), []);
        let later = T0.after(Duration::from_secs(10));
        assert_eq!(registry.silences(later, limit), [(id(), true, Some(T0))]);
        assert_eq!(registry.silences(later, limit), []);
        registration.last_seen.mark(later);
        assert_eq!(registry.silences(later, limit), [(id(), false, Some(later))]);
    }

    #[test]
    fn of_who_was_not_heard_of_since_the_start_nobody_here_knows_when_it_was() {
        let registry = Registry::default();
        registry.watch([id()], T0);
        let limit = Duration::from_secs(10);
        let later = T0.after(limit);
        assert_eq!(registry.silences(later, limit), [(id(), true, None)]);
        register(&registry, later);
        assert_eq!(registry.silences(later, limit), [(id(), false, Some(later))]);
    }
}
