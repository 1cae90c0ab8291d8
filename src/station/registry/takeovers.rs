//! Connections of one station that replace each other again and again (quirk Q35).

use std::collections::VecDeque;
use std::time::Duration;

use vocabulary::clock::Timestamp;

/// More takeovers than this in a minute look like two chargers with one identity.
pub(super) const TAKEOVERS_MAX: usize = 5;
pub(super) const TAKEOVER_WINDOW: Duration = Duration::from_secs(60);

/// The takeovers of one station.
#[derive(Default)]
pub(super) struct Takeovers {
    /// When the latest ones were, oldest first.
    latest: VecDeque<Timestamp>,
    /// The last warning that there are too many.
    warned: Option<Warned>,
}

struct Warned {
    at: Timestamp,
    /// How many takeovers there were since.
    unreported: u32,
}

impl Takeovers {
    /// Counts a takeover. True if there were too many in the last minute.
    pub(super) fn add_is_flapping(&mut self, now: Timestamp) -> bool {
        self.latest.push_back(now);
        if self.latest.len() <= TAKEOVERS_MAX {
            return false;
        }
        self.latest.pop_front().is_some_and(|first| now.since(first) < TAKEOVER_WINDOW)
    }

    /// Takes in one takeover of too many. True if there is to be a warning at once; otherwise it is counted
    /// for a later one.
    pub(super) fn is_news(&mut self, now: Timestamp) -> bool {
        match &mut self.warned {
            Some(warned) => {
                warned.unreported += 1;
                false
            }
            None => {
                self.warned = Some(Warned { at: now, unreported: 0 });
                true
            }
        }
    }

    /// How many takeovers are to be warned of now; `None` if no warning is due.
    pub(super) fn unreported(&mut self, now: Timestamp) -> Option<u32> {
        let Warned { unreported, .. } =
            self.warned.take_if(|warned| now.since(warned.at) >= TAKEOVER_WINDOW)?;
        if unreported == 0 {
            return None;
        }
        // While they go on, they go on being counted.
        self.warned = Some(Warned { at: now, unreported: 0 });
        Some(unreported)
    }
}
