//! The power of all sessions over the last hour, a value a minute. It is kept in memory only: it begins anew
//! with every start, and costs the store one short read a minute.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use store::Store;
use vocabulary::api::overview::PowerAt;
use vocabulary::clock::{Clock, Timestamp};
use vocabulary::log_limit::limited;

/// How often one looks.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// Values that are kept.
const VALUES_MAX: usize = 60;

/// What was looked at, the oldest first.
#[derive(Debug, Default)]
pub struct PowerHistory {
    values: Mutex<VecDeque<Value>>,
}

#[derive(Debug)]
struct Value {
    at: Timestamp,
    by_owner: BTreeMap<Option<String>, i64>,
}

impl PowerHistory {
    /// The power of all sessions, or of one customer's, the oldest value first.
    pub fn of(&self, owner_id: Option<&str>) -> Vec<PowerAt> {
        let values = self.values.lock().unwrap_or_else(PoisonError::into_inner);
        let power_at = |value: &Value| {
            let of_owner =
                |(owner, _): &(&Option<String>, &i64)| owner_id.is_none() || owner.as_deref() == owner_id;
            PowerAt { at: value.at, power_w: value.by_owner.iter().filter(of_owner).map(|(_, w)| w).sum() }
        };
        values.iter().map(power_at).collect()
    }

    fn add(&self, at: Timestamp, by_owner: BTreeMap<Option<String>, i64>) {
        let mut values = self.values.lock().unwrap_or_else(PoisonError::into_inner);
        if values.len() == VALUES_MAX {
            values.pop_front();
        }
        values.push_back(Value { at, by_owner });
    }
}

/// Looks now and every minute, until `stop`.
pub fn start(store: Store, clock: Clock, stop: CancellationToken) -> (Arc<PowerHistory>, JoinHandle<()>) {
    let history = Arc::new(PowerHistory::default());
    let kept = history.clone();
    let task = tokio::spawn(async move {
        let mut ticks = interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = stop.cancelled() => return,
            }
            match store.power_by_owner().await {
                Ok(by_owner) => kept.add(clock.now(), by_owner),
                Err(error) => limited!(warn: "the power of sessions could not be read: {error}"),
            }
        }
    });
    (history, task)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_is_kept_and_each_customer_sees_its_own() {
        let history = PowerHistory::default();
        for minute in 0..70 {
            let of = |owner: &str, power_w| (Some(owner.to_owned()), power_w);
            let at = Timestamp::from_unix_ms(minute * 60_000);
            history.add(at, [of("a", minute), of("b", 1_000), (None, 10_000)].into());
        }
        let power = |owner| history.of(owner).into_iter().map(|value| value.power_w).collect::<Vec<_>>();
        assert_eq!(power(Some("a")), (10..70).collect::<Vec<_>>());
        assert_eq!(power(Some("b")), [1_000; 60]);
        assert_eq!(power(Some("c")), [0; 60]);
        assert_eq!((history.of(None)[0].at.unix_ms(), power(None)[59]), (600_000, 11_069));
    }
}
