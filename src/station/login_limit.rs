//! Limits wrong credentials: token buckets per station and address, and per address.
//!
//! A client whose bucket is empty costs one lookup. Failures from one address take nothing from the same
//! station at another address. The tables are bounded: a flood from more addresses than they hold makes them
//! forget entries, not grow.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};

use tokio::time::Instant;

use super::rate_limiter::RateLimiter;
use vocabulary::id::StationId;

/// Pairs of station and address that are remembered: some megabytes.
const PAIRS_MAX: usize = 20_000;
const ADDRESSES_MAX: usize = 10_000;

/// An address may have this many times the failures of one station, over all stations: a site behind one
/// address has more than one charger.
const STATIONS_PER_ADDRESS: f64 = 10.0;

/// Failures of the last minutes.
pub(super) struct LoginLimit {
    per_minute: f64,
    pairs: HashMap<(StationId, IpAddr), RateLimiter>,
    addresses: HashMap<IpAddr, RateLimiter>,
}

impl LoginLimit {
    /// Without failures yet. A station at an address may fail `per_minute` times a minute, and as often at
    /// once.
    pub(super) fn new(per_minute: u32) -> Self {
        Self { per_minute: f64::from(per_minute), pairs: HashMap::new(), addresses: HashMap::new() }
    }

    /// Changes the limit. What was counted under another one is forgotten.
    pub(super) fn bear_per_minute(&mut self, per_minute: u32) {
        if self.per_minute != f64::from(per_minute) {
            *self = Self::new(per_minute);
        }
    }

    /// Whether credentials for `station` from `address` may still be checked.
    pub(super) fn allow(&mut self, now: Instant, station: &StationId, address: IpAddr) -> bool {
        let address = counted_as(address);
        let allowed = |limiter: Option<&mut RateLimiter>| limiter.is_none_or(|limiter| limiter.has_any(now));
        allowed(self.addresses.get_mut(&address)) && allowed(self.pairs.get_mut(&(station.clone(), address)))
    }

    /// Counts wrong credentials for `station` from `address`.
    pub(super) fn note(&mut self, now: Instant, station: &StationId, address: IpAddr) {
        let pair = (station.clone(), counted_as(address));
        take_token(&mut self.pairs, PAIRS_MAX, self.per_minute, pair, now);
        self.note_stranger(now, address);
    }

    /// Counts an unknown station from `address`; false if there were too many.
    pub(super) fn note_stranger(&mut self, now: Instant, address: IpAddr) -> bool {
        let per_minute = self.per_minute * STATIONS_PER_ADDRESS;
        take_token(&mut self.addresses, ADDRESSES_MAX, per_minute, counted_as(address), now)
    }
}

/// An IPv6 network of 64 bits belongs to one customer, so it counts as one address.
fn counted_as(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64).into(),
        v4 => v4,
    }
}

fn take_token<K: Hash + Eq + Clone>(
    table: &mut HashMap<K, RateLimiter>,
    max: usize,
    per_minute: f64,
    key: K,
    now: Instant,
) -> bool {
    if table.len() >= max && !table.contains_key(&key) {
        make_room(table, max, now);
    }
    let limiter = table.entry(key).or_insert_with(|| RateLimiter::new(per_minute / 60.0, per_minute, now));
    limiter.take(now).is_ok()
}

/// Removes full buckets, and if that is not enough, some others.
fn make_room<K: Hash + Eq + Clone>(table: &mut HashMap<K, RateLimiter>, max: usize, now: Instant) {
    table.retain(|_, limiter| !limiter.is_full(now));
    // Makes more than one place, so that not every new entry searches the whole table.
    let enough = max - max / 8;
    let others: Vec<K> = table.keys().skip(enough).cloned().collect();
    for key in others {
        table.remove(&key);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn station(id: &str) -> StationId {
        StationId::new(id).expect("legal")
    }

    fn v4(nth: u32) -> IpAddr {
        std::net::Ipv4Addr::from_bits(0x0a00_0000 + nth).into()
    }

    /// How many failures in a row are looked at.
    fn borne(login_limit: &mut LoginLimit, now: Instant, station: &StationId, address: IpAddr) -> usize {
        (0..1_000)
            .take_while(|_| {
                let allowed = login_limit.allow(now, station, address);
                if allowed {
                    login_limit.note(now, station, address);
                }
                allowed
            })
            .count()
    }

    #[test]
    fn a_station_is_slowed_down_at_one_address_and_not_at_another() {
        let (mut login_limit, start) = (LoginLimit::new(10), Instant::now());
        let (a, b) = (station("A"), station("B"));
        assert_eq!(borne(&mut login_limit, start, &a, v4(1)), 10);
        assert!(!login_limit.allow(start, &a, v4(1)));
        assert!(login_limit.allow(start, &a, v4(2)), "another address is another matter");
        assert!(login_limit.allow(start, &b, v4(1)), "and so is another station");
        assert!(!login_limit.allow(start + Duration::from_secs(5), &a, v4(1)));
        assert!(login_limit.allow(start + Duration::from_millis(6_100), &a, v4(1)), "ten a minute");
    }

    #[test]
    fn an_address_has_its_own_bounds_over_all_stations() {
        let (mut login_limit, start) = (LoginLimit::new(10), Instant::now());
        for nth in 0..10 {
            assert_eq!(borne(&mut login_limit, start, &station(&format!("S{nth}")), v4(1)), 10);
        }
        assert!(!login_limit.allow(start, &station("NEW"), v4(1)));
        assert!(login_limit.allow(start, &station("NEW"), v4(2)));
    }

    #[test]
    fn strangers_count_for_their_address() {
        let (mut login_limit, start) = (LoginLimit::new(1), Instant::now());
        let borne = (0..100).take_while(|_| login_limit.note_stranger(start, v4(1))).count();
        assert_eq!(borne, 10);
        assert!(!login_limit.allow(start, &station("A"), v4(1)));
    }

    #[test]
    fn a_v6_network_is_one_address_and_a_mapped_one_is_its_own() {
        let (mut login_limit, start) = (LoginLimit::new(3), Instant::now());
        let at = |text: &str| text.parse::<IpAddr>().expect("an address");
        let a = station("A");
        assert_eq!(borne(&mut login_limit, start, &a, at("2001:db8:0:1::1")), 3);
        assert!(!login_limit.allow(start, &a, at("2001:db8:0:1:ffff::2")));
        assert!(login_limit.allow(start, &a, at("2001:db8:0:2::1")));
        assert_eq!(borne(&mut login_limit, start, &a, at("::ffff:192.0.2.1")), 3);
        assert!(!login_limit.allow(start, &a, at("192.0.2.1")));
    }

    #[test]
    fn the_tables_do_not_grow_beyond_their_bounds() {
        let (mut login_limit, start) = (LoginLimit::new(10), Instant::now());
        let a = station("A");
        for nth in 0..3 * PAIRS_MAX as u32 {
            login_limit.note(start, &a, v4(nth));
        }
        assert!(login_limit.pairs.len() <= PAIRS_MAX && login_limit.addresses.len() <= ADDRESSES_MAX);
        // What has recovered goes first.
        let later = start + Duration::from_secs(3_600);
        assert_eq!(borne(&mut login_limit, later, &a, v4(0)), 10);
        for nth in 1..PAIRS_MAX as u32 {
            login_limit.note(later, &station("B"), v4(nth));
        }
        assert!(!login_limit.allow(later, &a, v4(0)), "still remembered");
    }
}
