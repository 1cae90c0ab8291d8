//! The order of forwarding: one event of a station at a time, in their order, and a limited number over all
//! stations. Pure.

use std::collections::{HashMap, VecDeque};

use super::Numbered;
use vocabulary::event::Event;

/// Events that are forwarded at once, each of another station.
const AT_ONCE: usize = 16;

/// Events that may wait behind others of their stations; beyond that nothing more is read.
const WAITING_MAX: usize = 1_000;

/// Events under way, and those that wait behind them, by station. Events without station count as those of
/// one more station.
#[derive(Debug, Default)]
pub(super) struct StationOrder {
    under_way: HashMap<Option<String>, VecDeque<Numbered>>,
    waiting: usize,
}

impl StationOrder {
    /// Whether another event may be taken.
    pub(super) fn has_room(&self) -> bool {
        self.under_way.len() < AT_ONCE && self.waiting < WAITING_MAX
    }

    /// Takes an event, and returns it if it may be forwarded at once.
    pub(super) fn take(&mut self, numbered: Numbered) -> Option<Numbered> {
        let station = numbered.event.station_id.clone();
        if let Some(behind) = self.under_way.get_mut(&station) {
            behind.push_back(numbered);
            self.waiting += 1;
            return None;
        }
        self.under_way.insert(station, VecDeque::new());
        Some(numbered)
    }

    /// An event is done: returns the next one of its station.
    pub(super) fn ended(&mut self, event: &Event) -> Option<Numbered> {
        let next = self.under_way.get_mut(&event.station_id).and_then(VecDeque::pop_front);
        match next {
            Some(_) => self.waiting -= 1,
            None => drop(self.under_way.remove(&event.station_id)),
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbered(sequence: i64, station: Option<&str>) -> Numbered {
        let event = serde_json::json!({
            "id": vocabulary::id::EventId::from_value(sequence as u128), "event": "a.b", "category": "custom",
            "protocol": null, "station_id": station, "station_seq": null, "owner_id": null,
            "timestamp": "2026-04-14T12:00:00.000Z", "occurred_at": null, "transaction_id": null, "payload": {},
            "message_id": null, "response": null, "violations": [], "duplicate_of": null, "idempotency_key": null,
            "test": false,
        });
        let event: vocabulary::api::event::Event = serde_json::from_value(event).expect("an event");
        Numbered { sequence, event }
    }

    #[test]
    fn a_station_keeps_its_order_and_holds_up_no_other() {
        let mut order = StationOrder::default();
        let a1 = order.take(numbered(1, Some("A"))).expect("goes at once");
        assert!(order.take(numbered(2, Some("A"))).is_none() && order.take(numbered(3, Some("A"))).is_none());
        let b1 = order.take(numbered(4, Some("B"))).expect("another station");
        assert!(order.take(numbered(5, None)).is_some() && order.take(numbered(6, None)).is_none());
        assert!(order.ended(&b1.event).is_none());
        let a2 = order.ended(&a1.event).expect("the next one");
        let a3 = order.ended(&a2.event).expect("the next one");
        assert_eq!((a2.sequence, a3.sequence), (2, 3));
        assert!(order.ended(&a3.event).is_none());
        assert!(order.take(numbered(7, Some("A"))).is_some(), "nothing is under way");
    }

    #[test]
    fn there_are_bounds() {
        let mut order = StationOrder::default();
        for n in 0..AT_ONCE {
            assert!(order.has_room());
            assert!(order.take(numbered(n as i64, Some(&n.to_string()))).is_some());
        }
        assert!(!order.has_room(), "so many at once");
        let mut order = StationOrder::default();
        let first = order.take(numbered(0, Some("A"))).expect("goes at once");
        for n in 0..WAITING_MAX {
            assert!(order.has_room());
            assert!(order.take(numbered(n as i64, Some("A"))).is_none());
        }
        assert!(!order.has_room(), "so many wait");
        assert!(order.ended(&first.event).is_some() && order.has_room());
    }
}
