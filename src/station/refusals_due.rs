//! Refusals that are not on record yet: of each identity, and of each address that named nobody. They are
//! written down once a second, so that a flood costs no more than a few rows a second.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;

use super::refusal_log::Cause;
use store::{Refusal, RefusedConnection, Rejected};
use vocabulary::clock::Timestamp;

/// Identities, and addresses, that are counted within a second; further ones are not written down.
const MAX: usize = 200;

/// Refusals since the last ones were written down.
#[derive(Default)]
pub(super) struct RefusalsDue {
    identities: HashMap<String, Refusal>,
    addresses: HashMap<IpAddr, RefusedConnection>,
    /// Some were written down one by one: room has to be made for those who come next.
    written: bool,
}

fn has_room<K: Hash + Eq, V>(known: &HashMap<K, V>, key: &K) -> bool {
    known.len() < MAX || known.contains_key(key)
}

impl RefusalsDue {
    /// One of them was written down by itself.
    pub(super) fn note_written(&mut self) {
        self.written = true;
    }

    /// Counts a refused handshake.
    pub(super) fn note(&mut self, now: Timestamp, rejected: &Rejected) {
        let status = Some(rejected.http_status);
        self.note_identity(now, &rejected.identity, rejected.reason, status, &rejected.remote_addr);
    }

    /// Counts a refusal of an identity.
    pub(super) fn note_identity(
        &mut self,
        now: Timestamp,
        identity: &str,
        reason: &'static str,
        http_status: Option<u16>,
        remote_addr: &str,
    ) {
        let identity = identity.to_owned();
        if !has_room(&self.identities, &identity) {
            return;
        }
        let refusal = self.identities.entry(identity.clone()).or_insert_with(|| Refusal {
            identity,
            reason,
            http_status,
            remote_addr: String::new(),
            count: 0,
            first_at: now,
            last_at: now,
        });
        (refusal.reason, refusal.http_status, refusal.last_at) = (reason, http_status, now);
        refusal.remote_addr = remote_addr.to_owned();
        refusal.count += 1;
    }

    /// Counts a connection that named nobody.
    pub(super) fn note_address(&mut self, now: Timestamp, address: IpAddr, cause: Cause) {
        if !has_room(&self.addresses, &address) {
            return;
        }
        let refused = self.addresses.entry(address).or_insert_with(|| RefusedConnection {
            address: address.to_string(),
            reason: cause.as_str(),
            words: String::new(),
            count: 0,
            first_at: now,
            last_at: now,
        });
        (refused.reason, refused.words, refused.last_at) = (cause.as_str(), cause.words().into_owned(), now);
        refused.count += 1;
    }

    /// What there is to write down; `None`: nothing.
    pub(super) fn take(&mut self) -> Option<(Vec<Refusal>, Vec<RefusedConnection>)> {
        let taken = std::mem::take(self);
        if !taken.written && taken.identities.is_empty() && taken.addresses.is_empty() {
            return None;
        }
        Some((taken.identities.into_values().collect(), taken.addresses.into_values().collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_identities_is_a_few_rows() {
        let now = Timestamp::from_unix_ms(0);
        let mut due = RefusalsDue::default();
        assert!(due.take().is_none());
        for nth in 0..10_000 {
            due.note_identity(
                now,
                &format!("CP_{}", nth % 1_000),
                "unknown_station",
                Some(404),
                "192.0.2.1:1",
            );
            due.note_address(now, [192, 0, (nth % 250) as u8, 1].into(), Cause::NotHttp);
        }
        let (identities, addresses) = due.take().expect("some");
        assert_eq!((identities.len(), addresses.len()), (MAX, MAX));
        assert!(identities.iter().all(|refusal| refusal.count == 10));
        assert!(due.take().is_none());
        due.note_written();
        assert!(due.take().is_some(), "room is to be made");
    }
}
