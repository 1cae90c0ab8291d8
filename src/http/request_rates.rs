//! Limits requests per API key, and requests with bad keys per address.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use vocabulary::bucket::Bucket;
use vocabulary::clock::Timestamp;

/// Keys, and addresses, that have a rate of their own; further ones share one.
const APART_MAX: usize = 10_000;

/// A full bucket can be forgotten, and a second without a request fills one.
const AT_REST: Duration = Duration::from_secs(1);

/// SHA-256 of an API key.
type KeyHash = [u8; 32];

/// The rates of requests, each with a burst of one second: of each key (`limits.api_requests_per_second`),
/// and of each address with keys that are not valid (`limits.api_bad_keys_per_second`).
#[derive(Debug)]
pub(super) struct RequestRates {
    keys: Mutex<Rates<KeyHash>>,
    strangers: Mutex<Rates<IpAddr>>,
}

impl RequestRates {
    /// The limits a second: requests of every key, and requests with a bad key of every address; at least
    /// one.
    pub(super) fn new(per_key: u32, bad_keys_per_address: u32) -> Self {
        Self {
            keys: Mutex::new(Rates::new(per_key)),
            strangers: Mutex::new(Rates::new(bad_keys_per_address)),
        }
    }

    /// Changes the limits, also for known keys and addresses.
    pub(super) fn set(&self, per_key: u32, bad_keys_per_address: u32) {
        lock(&self.keys).set(per_key);
        lock(&self.strangers).set(bad_keys_per_address);
    }

    /// Whether a key from this address is looked up. A key that was valid a moment ago always is, so that
    /// nobody suffers from another one at the same address who guesses keys.
    pub(super) fn may_present(&self, key: &KeyHash, address: Option<IpAddr>, now: Timestamp) -> bool {
        let Some(address) = address else { return true };
        lock(&self.keys).known(key) || lock(&self.strangers).has_left(network(address), now)
    }

    /// Counts a bad key from this address.
    pub(super) fn was_bad(&self, key: &KeyHash, address: Option<IpAddr>, now: Timestamp) {
        lock(&self.keys).forget(key);
        if let Some(address) = address {
            lock(&self.strangers).take(network(address), now);
        }
    }

    /// Counts a request with a valid key; false if the key has made too many. A long-poll or a stream is one
    /// request.
    pub(super) fn admit(&self, key: &KeyHash, now: Timestamp) -> bool {
        lock(&self.keys).take(*key, now)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An IPv6 client has a whole /64.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from(u128::from(address) & !u128::from(u64::MAX)).into(),
        v4 => v4,
    }
}

/// A rate for each of many clients.
#[derive(Debug)]
struct Rates<K> {
    per_second: f64,
    of: HashMap<Option<K>, (Bucket, Timestamp)>,
    swept: Option<Timestamp>,
}

impl<K: Eq + Hash + Clone> Rates<K> {
    fn new(per_second: u32) -> Self {
        Self { per_second: f64::from(per_second.max(1)), of: HashMap::new(), swept: None }
    }

    /// Changes the rate of all clients.
    fn set(&mut self, per_second: u32) {
        let per_second = f64::from(per_second.max(1));
        if self.per_second != per_second {
            self.per_second = per_second;
            self.of.values_mut().for_each(|(bucket, _)| bucket.change_rate(per_second, per_second));
        }
    }

    fn known(&self, one: &K) -> bool {
        self.of.contains_key(&Some(one.clone()))
    }

    fn forget(&mut self, one: &K) {
        self.of.remove(&Some(one.clone()));
    }

    /// Takes a token of its bucket, if there is one.
    fn take(&mut self, one: K, now: Timestamp) -> bool {
        let bucket = self.bucket(one, now);
        let left = bucket.available() > 0;
        if left {
            bucket.take(1);
        }
        left
    }

    /// Whether there is a token. A client that has taken none is not remembered.
    fn has_left(&mut self, one: K, now: Timestamp) -> bool {
        let known = self.of.contains_key(&Some(one.clone()));
        (!known && self.of.len() < APART_MAX) || self.bucket(one, now).available() > 0
    }

    fn bucket(&mut self, one: K, now: Timestamp) -> &mut Bucket {
        let mut entry = Some(one);
        if self.of.len() >= APART_MAX && !self.of.contains_key(&entry) {
            // Not on every request of a flood.
            if self.swept.is_none_or(|swept| now.since(swept) >= AT_REST) {
                self.swept = Some(now);
                self.of.retain(|_, (_, last)| now.since(*last) < AT_REST);
            }
            entry = entry.filter(|_| self.of.len() < APART_MAX);
        }
        let (bucket, last) =
            self.of.entry(entry).or_insert_with(|| (Bucket::new(self.per_second, self.per_second), now));
        bucket.gather(now.since(*last));
        *last = now;
        bucket
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_unix_ms(1_776_170_096_789 + ms)
    }

    fn key(number: usize) -> KeyHash {
        let mut hash = [0; 32];
        hash[..8].copy_from_slice(&number.to_be_bytes());
        hash
    }

    #[test]
    fn each_key_has_its_own_rate_and_comes_to_rest() {
        let rates = RequestRates::new(10, 1);
        assert!((0..10).all(|_| rates.admit(&key(1), at(0))), "a burst of one second");
        assert!(!rates.admit(&key(1), at(0)) && !rates.admit(&key(1), at(99)), "and not one more");
        assert!(rates.admit(&key(2), at(0)), "another key is not slowed down");
        assert!(rates.admit(&key(1), at(101)) && !rates.admit(&key(1), at(101)), "then the rate holds");
        assert!(!rates.admit(&key(1), at(50)), "a clock that was set back gives nothing");
        for number in 0..3 * APART_MAX {
            rates.admit(&key(number), at(60_000 + number as i64));
        }
        assert!(lock(&rates.keys).of.len() <= APART_MAX + 1, "keys at rest are forgotten");
    }

    #[test]
    fn guessing_runs_dry_for_its_address_and_for_no_valid_key() {
        let rates = RequestRates::new(10, 5);
        let guesser = Some("203.0.113.9".parse().expect("an address"));
        rates.admit(&key(1), at(0));
        for guess in 100..105 {
            assert!(rates.may_present(&key(guess), guesser, at(0)));
            rates.was_bad(&key(guess), guesser, at(0));
        }
        assert!(!rates.may_present(&key(105), guesser, at(0)), "not even looked up");
        assert!(rates.may_present(&key(1), guesser, at(0)), "a key that was valid is");
        assert!(rates.may_present(&key(105), guesser, at(201)), "after a fifth of a second");
        assert!(rates.may_present(&key(105), Some("203.0.113.10".parse().expect("an address")), at(0)));
        rates.was_bad(&key(1), guesser, at(0));
        assert!(
            !rates.may_present(&key(1), guesser, at(0)),
            "one that was revoked is a guess like any other"
        );
    }

    #[test]
    fn a_flood_of_addresses_takes_no_more_memory_than_its_limit() {
        let rates = RequestRates::new(10, 2);
        let address = |number: u32| Some(IpAddr::from(number.to_be_bytes()));
        for number in 0..2 * APART_MAX as u32 {
            rates.was_bad(&key(1), address(number), at(0));
        }
        assert_eq!(lock(&rates.strangers).of.len(), APART_MAX + 1);
        assert!(!rates.may_present(&key(1), address(u32::MAX), at(0)), "what is too much shares one rate");
        assert!(rates.may_present(&key(1), address(u32::MAX), at(5_000)));
        let (one, other) = ("2001:db8::1", "2001:db8::ffff:0:0:1");
        for _ in 0..2 {
            rates.was_bad(&key(1), Some(one.parse().expect("an address")), at(9_000));
        }
        assert!(!rates.may_present(&key(1), Some(other.parse().expect("an address")), at(9_000)), "one /64");
    }
}
