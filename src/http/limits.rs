//! The limits of the API in force, and what is counted by them.

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
    /// Starts with these limits.
    pub fn new(limits: ApiLimits) -> Self {
        Self {
            table: Adjustable::new(limits),
            requests: RequestRates::new(limits.api_requests_per_second, limits.api_bad_keys_per_second),
            streams: Places::new(limits.streams as usize),
        }
    }

    /// The limits now.
    pub fn get(&self) -> ApiLimits {
        self.table.get()
    }

    /// Changes the limits, also for known keys and open connections.
    pub fn set(&self, limits: ApiLimits) {
        self.table.set(limits);
        self.requests.set(limits.api_requests_per_second, limits.api_bad_keys_per_second);
        self.streams.set(limits.streams as usize);
    }
}
