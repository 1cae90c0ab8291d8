//! How many requests one API key may make.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::bucket::Bucket;
use crate::clock::Timestamp;
use crate::id::ApiKeyId;

/// So many keys are remembered before those that are at rest are forgotten.
const KEYS_MAX: usize = 1_024;

/// The rate of requests of each key (`limits.api_requests_per_second`), with a burst of one second.
#[derive(Debug)]
pub struct RequestRates {
    per_second: u32,
    keys: Mutex<HashMap<ApiKeyId, (Bucket, Timestamp)>>,
}

impl RequestRates {
    /// So many requests a second for every key; at least one.
    pub fn new(per_second: u32) -> Self {
        Self { per_second: per_second.max(1), keys: Mutex::default() }
    }

    /// Takes in a request; false if the key has made too many. A request that waits, or streams, is one.
    pub(super) fn admit(&self, key: ApiKeyId, now: Timestamp) -> bool {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if keys.len() >= KEYS_MAX && !keys.contains_key(&key) {
            // A second at rest fills a bucket, and a full one need not be remembered.
            keys.retain(|_, (_, last)| now.since(*last).as_secs() < 1);
        }
        let rate = f64::from(self.per_second);
        let (bucket, last) = keys.entry(key).or_insert_with(|| (Bucket::new(rate, rate), now));
        bucket.gather(now.since(*last));
        *last = now;
        let admitted = bucket.available() > 0;
        if admitted {
            bucket.take(1);
        }
        admitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_has_its_own_rate_and_comes_to_rest() {
        let start = Timestamp::from_unix_ms(1_776_170_096_789);
        let at = |ms: i64| Timestamp::from_unix_ms(start.unix_ms() + ms);
        let rates = RequestRates::new(10);
        let (one, other) = (ApiKeyId::from_value(1), ApiKeyId::from_value(2));
        assert!((0..10).all(|_| rates.admit(one, start)), "a burst of one second");
        assert!(!rates.admit(one, start) && !rates.admit(one, at(99)), "and not one more");
        assert!(rates.admit(other, start), "another key is not slowed down");
        assert!(rates.admit(one, at(101)) && !rates.admit(one, at(101)), "then the rate holds");
        assert!(!rates.admit(one, at(50)), "a clock that was set back gives nothing");
        for value in 0..2 * KEYS_MAX as u128 {
            rates.admit(ApiKeyId::from_value(value), at(60_000 + value as i64 * 10));
        }
        assert!(rates.keys.lock().expect("whole").len() <= KEYS_MAX, "keys at rest are forgotten");
    }
}
