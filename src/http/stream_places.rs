//! How many streams of events may be open at once, and are.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

use super::ApiState;
use super::problem::{ErrorAnswer, Result};

/// How many streams may be open at once, and are.
#[derive(Debug, Clone, Default)]
pub(super) struct Places(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    most: AtomicUsize,
    taken: AtomicUsize,
}

impl Places {
    /// So many may be.
    pub(super) fn new(most: usize) -> Self {
        let places = Self::default();
        places.set(most);
        places
    }

    /// So many may be from now on. Streams that are open stay, also if they are more.
    pub(super) fn set(&self, most: usize) {
        self.0.most.store(most, Relaxed);
    }

    /// One of them, if it is free.
    pub(super) fn take(&self) -> Option<Place> {
        let place = Place(self.0.clone());
        // Taken first and given back by the drop: two who come at once do not both find the last one.
        let before = place.0.taken.fetch_add(1, Relaxed);
        (before < self.0.most.load(Relaxed)).then_some(place)
    }
}

/// The place of one open stream among those that may be open at once.
pub(super) struct Place(Arc<Counts>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Relaxed);
    }
}

impl Place {
    /// # Errors
    /// 503 if all are taken.
    pub(super) fn take(state: &ApiState) -> Result<Self> {
        let full = || ErrorAnswer::unavailable("too many streams are open (limits.streams): try again later");
        state.limits.streams.take().ok_or_else(full)
    }
}
