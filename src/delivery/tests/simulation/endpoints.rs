//! Endpoints that nobody dials: whether they take a delivery is chance, and they remember what they took.

use std::collections::BTreeMap;

use super::chance::Dice;
use store::Claimed;
use vocabulary::event::Event;
use vocabulary::id::WebhookId;

/// One webhook's endpoint.
pub(super) struct Endpoint {
    pub(super) events: &'static str,
    pub(super) in_order: bool,
    /// It fails once in so many requests; 0: always; 1 is never asked for.
    fails_once_in: usize,
    /// Requests that an outage still swallows.
    down_for: usize,
    /// How often each event came, by its id.
    pub(super) received: BTreeMap<String, u32>,
    /// The newest `station_seq` of each station that came by itself, where they come in order.
    newest: BTreeMap<String, i64>,
    /// Events that its webhook was made behind, and deleted behind, by their row.
    pub(super) made_behind: i64,
    pub(super) deleted_behind: Option<i64>,
}

impl Endpoint {
    pub(super) fn new(events: &'static str, in_order: bool, fails_once_in: usize, made_behind: i64) -> Self {
        Self {
            events,
            in_order,
            fails_once_in,
            down_for: 0,
            received: BTreeMap::new(),
            newest: BTreeMap::new(),
            made_behind,
            deleted_behind: None,
        }
    }

    /// A request arrives; whether it is answered 2xx.
    pub(super) fn asked(&mut self, dice: &mut Dice, event: &Event) -> bool {
        if self.fails_once_in == 0 {
            return false;
        }
        if self.down_for == 0 && dice.one_in(60) {
            self.down_for = 5 + dice.below(15);
        }
        if self.down_for > 0 {
            self.down_for -= 1;
            return false;
        }
        if dice.one_in(self.fails_once_in) {
            return false;
        }
        *self.received.entry(event.id.to_string()).or_default() += 1;
        true
    }

    /// The outages are over: it takes what comes, if it ever did.
    pub(super) fn heal(&mut self) {
        self.down_for = 0;
        if self.fails_once_in > 0 {
            self.fails_once_in = usize::MAX;
        }
    }

    /// A delivery has succeeded for good: where order is promised, it is not older than the one before.
    pub(super) fn check_order(&mut self, webhook_id: WebhookId, delivery: &Claimed, event: &Event) {
        let (true, "event", Some(station), Some(seq)) =
            (self.in_order, delivery.trigger.as_str(), &event.station_id, event.station_seq)
        else {
            return;
        };
        let before = self.newest.insert(station.clone(), seq);
        assert!(
            before.is_none_or(|before| before < seq),
            "webhook {webhook_id}, {station}: {before:?} before {seq}"
        );
    }
}
