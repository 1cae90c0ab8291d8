//! Folds floods of refused connections: the first few of an address are told one by one, the rest are
//! counted and told once a minute.

use std::collections::HashMap;
use std::net::IpAddr;

use store::Rejected;
use vocabulary::clock::Timestamp;

/// Refusals per address and minute that are told one by one.
const SINGLE: u32 = 10;
const WINDOW_MS: i64 = 60_000;

/// Addresses that are kept apart; what comes from further ones is counted together.
const MAX_ADDRESSES: usize = 10_000;

struct Window {
    began: Timestamp,
    told: u32,
    /// The newest one that was not told, with how many it stands for.
    folded: Option<Rejected>,
}

/// What each address has been refused in the last minute.
#[derive(Default)]
pub(super) struct RefusalEvents {
    windows: HashMap<Option<IpAddr>, Window>,
}

impl RefusalEvents {
    /// Takes one rejection in; returns it if it is to be told by itself.
    pub(super) fn note(&mut self, now: Timestamp, address: IpAddr, rejected: Rejected) -> Option<Rejected> {
        let full = self.windows.len() >= MAX_ADDRESSES;
        let key = Some(address).filter(|address| !full || self.windows.contains_key(&Some(*address)));
        let window = self.windows.entry(key).or_insert(Window { began: now, told: 0, folded: None });
        if window.told < SINGLE {
            window.told += 1;
            return Some(rejected);
        }
        let count = window.folded.as_ref().map_or(0, |folded| folded.count) + 1;
        window.folded = Some(Rejected { count, ..rejected });
        None
    }

    /// What is to be told of windows that are over. Such a window begins anew, still folding, as long as
    /// something was folded in it.
    pub(super) fn sweep(&mut self, now: Timestamp) -> Vec<Rejected> {
        let mut due = Vec::new();
        self.windows.retain(|_, window| {
            if now.unix_ms() - window.began.unix_ms() < WINDOW_MS {
                return true;
            }
            window.began = now;
            let folded = window.folded.take();
            let goes_on = folded.is_some();
            due.extend(folded);
            goes_on
        });
        due
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_flood_is_told_ten_times_and_then_once_a_minute() {
        let address: IpAddr = [192, 0, 2, 1].into();
        let rejected = Rejected {
            identity: "X".into(),
            reason: "unknown_station",
            http_status: 404,
            remote_addr: "192.0.2.1:1".into(),
            count: 1,
        };
        let start = Timestamp::from_unix_ms(0);
        let mut rejections = RefusalEvents::default();
        let told = (0..100).filter(|_| rejections.note(start, address, rejected.clone()).is_some()).count();
        assert_eq!(told, 10);
        assert!(rejections.sweep(start.after(Duration::from_secs(59))).is_empty());
        let minute = start.after(Duration::from_secs(60));
        let counts: Vec<u64> = rejections.sweep(minute).iter().map(|rejected| rejected.count).collect();
        assert_eq!(counts, [90]);
        assert!(rejections.note(minute, address, rejected.clone()).is_none(), "the flood goes on");
        let later = minute.after(Duration::from_secs(60));
        assert_eq!(rejections.sweep(later).len(), 1);
        assert_eq!(rejections.sweep(later.after(Duration::from_secs(60))).len(), 0);
        assert!(
            rejections.note(later.after(Duration::from_secs(61)), address, rejected).is_some(),
            "quiet again"
        );
    }
}
