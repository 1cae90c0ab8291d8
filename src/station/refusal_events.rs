//! Folds floods of refused connections: the first few of an address are published one by one, the others are
//! counted and published once a minute.

use std::collections::HashMap;
use std::net::IpAddr;

use store::Rejected;
use vocabulary::clock::Timestamp;

/// Refusals per address and minute that are published one by one.
const SINGLE: u32 = 10;
const WINDOW_MS: i64 = 60_000;

/// Addresses that are counted separately; all further ones are counted together.
const MAX_ADDRESSES: usize = 10_000;

struct Window {
    began: Timestamp,
    told: u32,
    /// The newest refusal that was not published, with the number that it stands for.
    folded: Option<Rejected>,
}

/// The refusals of each address in the last minute.
#[derive(Default)]
pub(super) struct RefusalEvents {
    windows: HashMap<Option<IpAddr>, Window>,
}

impl RefusalEvents {
    /// Counts a refusal; returns it if it is to be published by itself.
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

    /// The refusals to publish for windows that are over. A window in which something was folded begins anew,
    /// and folds on.
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
