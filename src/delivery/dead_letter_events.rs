//! Events of dead letters. Floods are folded: the first few a minute get an event each, the others one event
//! a minute with their number. Pure: the moment is passed in.

use std::collections::BTreeMap;
use std::time::Duration;

use store::DeliveryFailure;
use vocabulary::clock::Timestamp;
use vocabulary::id::WebhookId;

/// Dead letters in each window that get an event each.
const SINGLES: usize = 10;

const WINDOW: Duration = Duration::from_secs(60);

/// The dead letters of one webhook.
#[derive(Debug, Default)]
pub(super) struct FoldedEvents {
    window: Option<Window>,
    held: Option<FoldedFailures>,
}

/// Dead letters that share one event.
#[derive(Debug)]
pub(super) struct FoldedFailures {
    /// The last of them.
    pub(super) last: DeliveryFailure,
    pub(super) count: u64,
}

#[derive(Debug, Clone, Copy)]
struct Window {
    began_at: Timestamp,
    singles: usize,
}

impl FoldedEvents {
    /// How many dead letters may get an event each now.
    pub(super) fn singles_left(&mut self, now: Timestamp) -> usize {
        let window = match self.window {
            // While dead letters are held, the window goes on until they are taken.
            Some(window) if self.held.is_some() || now < window.began_at.after(WINDOW) => window,
            _ => Window { began_at: now, singles: 0 },
        };
        self.window = Some(window);
        SINGLES.saturating_sub(window.singles)
    }

    /// Counts dead letters that got an event each.
    pub(super) fn told(&mut self, count: usize) {
        if let Some(window) = &mut self.window {
            window.singles += count;
        }
    }

    /// Holds a dead letter for the shared event.
    pub(super) fn hold(&mut self, failure: DeliveryFailure) {
        let count = self.held.take().map_or(0, |held| held.count);
        self.held = Some(FoldedFailures { last: failure, count: count + 1 });
    }

    /// When the shared event is due.
    pub(super) fn due_at(&self) -> Option<Timestamp> {
        let window = self.window.filter(|_| self.held.is_some())?;
        Some(window.began_at.after(WINDOW))
    }

    /// The held dead letters, if they are due. The flood is taken to go on in the next window, so it has no
    /// single events.
    pub(super) fn take(&mut self, now: Timestamp) -> Option<FoldedFailures> {
        if self.due_at().is_none_or(|due_at| now < due_at) {
            return None;
        }
        self.window = Some(Window { began_at: now, singles: SINGLES });
        self.held.take()
    }
}

/// The dead letters of all webhooks, folded.
#[derive(Debug, Default)]
pub(super) struct DeadLetterEvents(BTreeMap<WebhookId, FoldedEvents>);

impl DeadLetterEvents {
    /// The dead letters of one webhook.
    pub(super) fn of(&mut self, webhook_id: WebhookId) -> &mut FoldedEvents {
        self.0.entry(webhook_id).or_default()
    }

    /// The held dead letters that are due.
    pub(super) fn take_due(&mut self, now: Timestamp) -> Vec<FoldedFailures> {
        self.0.values_mut().filter_map(|fold| fold.take(now)).collect()
    }

    /// All held dead letters, due or not.
    pub(super) fn take_all(&mut self) -> Vec<FoldedFailures> {
        self.0.values_mut().filter_map(|fold| fold.held.take()).collect()
    }

    /// When the next one is due.
    pub(super) fn due_at(&self) -> Option<Timestamp> {
        self.0.values().filter_map(FoldedEvents::due_at).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vocabulary::api::delivery::DeliveryError;
    use vocabulary::delivery::ErrorCode;
    use vocabulary::id::{DeliveryId, EventId};

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_unix_ms(ms)
    }

    fn failure() -> DeliveryFailure {
        DeliveryFailure {
            delivery_id: DeliveryId::from_value(1),
            event_id: EventId::from_value(2),
            webhook_id: 3,
            attempts: 8,
            last_error: DeliveryError { code: ErrorCode::Timeout, message: String::new() },
        }
    }

    /// One failure: true if it gets an event of its own.
    fn fail(fold: &mut FoldedEvents, now: Timestamp) -> bool {
        if fold.singles_left(now) > 0 {
            fold.told(1);
            return true;
        }
        fold.hold(failure());
        false
    }

    #[test]
    fn ten_a_minute_are_single_and_the_rest_is_counted() {
        let mut fold = FoldedEvents::default();
        let single = (0..25).filter(|n| fail(&mut fold, at(n * 100))).count();
        assert_eq!(single, 10);
        assert_eq!(fold.due_at(), Some(at(60_000)));
        assert!(fold.take(at(59_999)).is_none());
        assert_eq!(fold.take(at(60_000)).expect("due").count, 15);
        assert!(!fail(&mut fold, at(61_000)), "the flood goes on: one a minute");
        assert_eq!(fold.take(at(120_000)).expect("due").count, 1);
        assert!(fold.take(at(180_000)).is_none());
        assert!(fail(&mut fold, at(180_000)), "a quiet minute ends it");
    }
}
