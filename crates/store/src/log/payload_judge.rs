//! What is wanted of payloads: it is judged while the rows are read, since no index knows it.

use std::cell::Cell;

use serde_json::Value;

use crate::listing::Fits;
use crate::search_words::Wanted;
use vocabulary::subscription::Filter;

/// Events, and bytes of their payloads, that one request judges by a filter. What fits may be rare, and who
/// asks for it should not make the gateway read all of its log at once: the page ends there, with what was
/// found so far.
const EVENTS_MAX: usize = 10_000;
const BYTES_MAX: usize = 16 << 20;

/// How much a request may still judge by a filter.
#[derive(Debug, Clone, Copy)]
pub(crate) struct JudgedLimit {
    events: usize,
    bytes: usize,
}

impl Default for JudgedLimit {
    fn default() -> Self {
        Self { events: EVENTS_MAX, bytes: BYTES_MAX }
    }
}

/// Judges the payloads of one look at the log.
pub(crate) struct PayloadJudge {
    wanted: Option<Wanted>,
    filter: Option<Filter>,
    left: Cell<JudgedLimit>,
    has_judged: Cell<bool>,
}

impl PayloadJudge {
    /// A judge of these words and this filter; `None` if both are missing.
    pub(crate) fn new(wanted: Option<Wanted>, filter: Option<Filter>, left: JudgedLimit) -> Option<Self> {
        let asks = wanted.is_some() || filter.is_some();
        asks.then(|| Self { wanted, filter, left: Cell::new(left), has_judged: Cell::new(false) })
    }

    /// Whether a payload is wanted. At least one is judged in each look.
    pub(crate) fn judge(&self, payload: &str) -> Fits {
        if let Some(wanted) = &self.wanted
            && !wanted.is_in(payload)
        {
            return Fits::No;
        }
        let Some(filter) = &self.filter else { return Fits::Yes };
        let JudgedLimit { events, bytes } = self.left.get();
        if (events == 0 || bytes == 0) && self.has_judged.get() {
            return Fits::Enough;
        }
        self.has_judged.set(true);
        let left =
            JudgedLimit { events: events.saturating_sub(1), bytes: bytes.saturating_sub(payload.len()) };
        self.left.set(left);
        serde_json::from_str::<Value>(payload).is_ok_and(|payload| filter.fits(&payload)).into()
    }

    /// How much the request may still judge.
    pub(crate) fn left(&self) -> JudgedLimit {
        self.left.get()
    }
}
