//! Connections that replace each other, and stations that fall silent.

use super::takeovers::{TAKEOVER_WINDOW, TAKEOVERS_MAX};
use super::*;

fn id() -> StationId {
    StationId::new("CP_1").expect("legal")
}

fn register(registry: &Registry, now: Timestamp) -> Registration {
    registry.register(&id(), registry.next_generation(), now)
}

fn silence(offline: bool, last_seen: Option<Timestamp>) -> SilenceChange {
    SilenceChange { station: id(), offline, last_seen }
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
    assert_eq!(registry.unreported_takeovers(T0.after(Duration::from_secs(59))), []);
    let minute = T0.after(TAKEOVER_WINDOW);
    assert_eq!(registry.unreported_takeovers(minute), [UnreportedTakeovers { station: id(), count: 9 }]);
    assert_eq!(takeovers(TAKEOVERS_MAX + 1, minute), 0, "it goes on");
    let later = minute.after(TAKEOVER_WINDOW);
    assert_eq!(registry.unreported_takeovers(later), [UnreportedTakeovers { station: id(), count: 1 }]);
    assert_eq!(registry.unreported_takeovers(later.after(TAKEOVER_WINDOW)), []);
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
    assert_eq!(registry.silences(later, limit), [silence(true, Some(T0))]);
    assert_eq!(registry.silences(later, limit), []);
    registration.last_seen.mark(later);
    assert_eq!(registry.silences(later, limit), [silence(false, Some(later))]);
}

#[test]
fn of_who_was_not_heard_of_since_the_start_nobody_here_knows_when_it_was() {
    let registry = Registry::default();
    registry.watch([id()], T0);
    let limit = Duration::from_secs(10);
    let later = T0.after(limit);
    assert_eq!(registry.silences(later, limit), [silence(true, None)]);
    register(&registry, later);
    assert_eq!(registry.silences(later, limit), [silence(false, Some(later))]);
}
