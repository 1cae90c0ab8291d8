//! What of `[limits]` is in force, and what is counted by it.

use super::request_rates::RequestRates;
use super::settings::ApiLimits;
use super::stream_places::Places;
use vocabulary::adjustable::Adjustable;

/// The limits of the API, which may change while it answers.
#[derive(Debug)]
pub struct LimitsInForce {
    table: Adjustable<ApiLimits>,
    /// How many requests each key makes.
    pub(super) requests: RequestRates,
    /// Places for streams of server-sent events and for long-polls.
    pub(super) streams: Places,
}

impl LimitsInForce {
    /// Begins with these.
    pub fn new(limits: ApiLimits) -> Self {
        Self {
            table: Adjustable::new(limits),
            requests: RequestRates::new(limits.api_requests_per_second, limits.api_bad_keys_per_second),
            streams: Places::new(limits.streams as usize),
        }
    }

    /// As they are now.
    pub fn get(&self) -> ApiLimits {
        self.table.get()
    }

    /// As they are from now on, for those who are known or connected too.
    pub fn set(&self, limits: ApiLimits) {
        self.table.set(limits);
        self.requests.set(limits.api_requests_per_second, limits.api_bad_keys_per_second);
        self.streams.set(limits.streams as usize);
    }
}
