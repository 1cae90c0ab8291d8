//! Numbers that a batch counts in memory while it holds the log's head: nobody else counts them until its
//! commit, so each is read once and then written along with what it numbers.
//!
//! **Invariant**: what is counted here was also sent to the database in the same job
//! ([`Tx::send`](crate::engine::tx::Tx::send)), and goes with it if that job is taken back.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::hash::Hash;

use vocabulary::id::WebhookId;

/// A webhook's count of its deliveries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WebhookCount {
    /// The number of the newest one.
    pub(crate) last: i64,
    /// They go in order, station by station.
    pub(crate) in_order: bool,
}

/// The newest change of a transaction: its moment in Unix milliseconds, and its place among those of it.
pub(crate) type ChangeStamp = (i64, i64);

/// What was counted before the newest count.
#[derive(Debug)]
enum Before {
    Event(i64),
    Station(Box<str>, Option<i64>),
    Webhook(WebhookId, Option<WebhookCount>),
    Stamp(Option<ChangeStamp>),
    Transaction(Option<i64>),
}

/// What a batch has counted.
#[derive(Debug, Default)]
pub(crate) struct Counted {
    newest_event: Cell<i64>,
    stations: RefCell<HashMap<Box<str>, i64>>,
    webhooks: RefCell<HashMap<WebhookId, WebhookCount>>,
    stamp: Cell<Option<ChangeStamp>>,
    transaction: Cell<Option<i64>>,
    /// How to take it back, the newest last.
    before: RefCell<Vec<Before>>,
}

impl Counted {
    /// Nothing yet, behind this row of the log.
    pub(crate) fn behind(newest_event: i64) -> Self {
        Self { newest_event: Cell::new(newest_event), ..Self::default() }
    }

    /// Forgets what was counted, because it was changed in the database; goes on behind this row of the log.
    pub(crate) fn begin_anew(&self, newest_event: i64) {
        self.newest_event.set(newest_event);
        self.stations.borrow_mut().clear();
        self.webhooks.borrow_mut().clear();
        self.stamp.set(None);
        self.transaction.set(None);
        self.before.borrow_mut().clear();
    }

    /// The row of the newest event.
    pub(crate) fn newest_event(&self) -> i64 {
        self.newest_event.get()
    }

    /// The row of the next event.
    pub(crate) fn next_event(&self) -> i64 {
        let next = self.newest_event.get() + 1;
        self.note(Before::Event(self.newest_event.replace(next)));
        next
    }

    /// The number of a station's newest event, if that is known.
    pub(crate) fn station(&self, station: &str) -> Option<i64> {
        self.stations.borrow().get(station).copied()
    }

    /// A station's newest event has this number.
    pub(crate) fn set_station(&self, station: &str, last: i64) {
        let before = self.stations.borrow_mut().insert(station.into(), last);
        self.note(Before::Station(station.into(), before));
    }

    /// How far a webhook has counted, if that is known.
    pub(crate) fn webhook(&self, webhook_id: WebhookId) -> Option<WebhookCount> {
        self.webhooks.borrow().get(&webhook_id).copied()
    }

    /// A webhook has counted so far.
    pub(crate) fn set_webhook(&self, webhook_id: WebhookId, count: WebhookCount) {
        let before = self.webhooks.borrow_mut().insert(webhook_id, count);
        self.note(Before::Webhook(webhook_id, before));
    }

    /// A webhook was changed: it is read anew.
    pub(crate) fn forget_webhook(&self, webhook_id: WebhookId) {
        let before = self.webhooks.borrow_mut().remove(&webhook_id);
        self.note(Before::Webhook(webhook_id, before));
    }

    /// The newest change of a transaction, if that is known.
    pub(crate) fn stamp(&self) -> Option<ChangeStamp> {
        self.stamp.get()
    }

    /// The newest change of a transaction is this one.
    pub(crate) fn set_stamp(&self, stamp: ChangeStamp) {
        self.note(Before::Stamp(self.stamp.replace(Some(stamp))));
    }

    /// The number of the newest transaction, if that is known.
    pub(crate) fn transaction(&self) -> Option<i64> {
        self.transaction.get()
    }

    /// The newest transaction has this number.
    pub(crate) fn set_transaction(&self, number: i64) {
        self.note(Before::Transaction(self.transaction.replace(Some(number))));
    }

    fn note(&self, before: Before) {
        self.before.borrow_mut().push(before);
    }

    /// Where it has come to, for [`Counted::take_back`].
    pub(crate) fn mark(&self) -> usize {
        self.before.borrow().len()
    }

    /// Takes back what was counted since.
    pub(crate) fn take_back(&self, mark: usize) {
        fn put<K: Eq + Hash, V>(all: &RefCell<HashMap<K, V>>, key: K, before: Option<V>) {
            match before {
                Some(before) => all.borrow_mut().insert(key, before),
                None => all.borrow_mut().remove(&key),
            };
        }
        for before in self.before.borrow_mut().drain(mark..).rev() {
            match before {
                Before::Event(newest) => self.newest_event.set(newest),
                Before::Station(station, before) => put(&self.stations, station, before),
                Before::Webhook(webhook_id, before) => put(&self.webhooks, webhook_id, before),
                Before::Stamp(before) => self.stamp.set(before),
                Before::Transaction(before) => self.transaction.set(before),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_job_has_counted_is_taken_back_with_it() {
        let counted = Counted::behind(7);
        counted.set_station("A", 3);
        let mark = counted.mark();
        assert_eq!(counted.next_event(), 8);
        counted.set_station("A", 4);
        counted.set_station("B", 1);
        counted.set_webhook(1, WebhookCount { last: 5, in_order: false });
        counted.set_stamp((9, 1));
        counted.take_back(mark);
        assert_eq!((counted.station("A"), counted.station("B")), (Some(3), None));
        assert_eq!((counted.webhook(1), counted.stamp()), (None, None));
        assert_eq!(counted.next_event(), 8);
    }
}
