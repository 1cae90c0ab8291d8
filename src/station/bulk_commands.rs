//! Carries out bulk commands: each at its own rate, in short steps, all of them side by side.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tracing::warn;

use super::Stations;
use store::{OpenBulkCommand, Result};
use vocabulary::bucket::Bucket;
use vocabulary::clock::Timestamp;
use vocabulary::log_limit::limited;
use vocabulary::rate::RateLimit;

/// The shortest rest between two steps. At higher rates a step makes several commands.
const REST_MIN: Duration = Duration::from_millis(20);

/// How much of a rate may be made up for after a rest that was longer.
const BURST_S: f64 = 0.1;

/// Pause after a failure of the store, or of one bulk command.
const AFTER_FAILURE: Duration = Duration::from_secs(2);

/// How long after the start a station may take to find the gateway again before it counts as away.
const RECONNECT_WITHIN: Duration = Duration::from_secs(60);

/// Pause while the next station is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Carries out every open bulk command until the engine stops. The rest is done after the next start.
pub(super) async fn run(stations: Arc<Stations>) {
    let (began, started_at) = (Instant::now(), stations.clock.now());
    let mut round = Round { stations: &stations, paces: HashMap::new(), started_at: Some(started_at) };
    while !stations.stop.is_cancelled() {
        // One node carries them out for all.
        if !stations.store.leads() {
            tokio::select! {
                () = tokio::time::sleep(AFTER_FAILURE) => continue,
                () = stations.stop.cancelled() => return,
            }
        }
        if began.elapsed() > RECONNECT_WITHIN {
            round.started_at = None;
        }
        let rest = round.run().await.unwrap_or_else(|error| {
            limited!(warn: "bulk commands rest: {error}");
            Some(AFTER_FAILURE)
        });
        tokio::select! {
            () = stations.store.bulk_commands_changed() => {}
            () = rested(rest) => {}
            () = stations.stop.cancelled() => return,
        }
    }
}

struct Round<'a> {
    stations: &'a Stations,
    /// By their rows.
    paces: HashMap<i64, Pace>,
    /// As long as stations that were there before the start are waited for.
    started_at: Option<Timestamp>,
}

impl Round<'_> {
    /// One step of each that has a token; how long to rest then, `None`: until there is one again.
    async fn run(&mut self) -> Result<Option<Duration>> {
        let open = self.stations.store.open_bulk_commands().await?;
        self.paces.retain(|row, _| open.iter().any(|bulk| bulk.row == *row));
        let mut rest = None;
        for bulk in open {
            if self.stations.stop.is_cancelled() {
                break;
            }
            let wait = match self.step(&bulk).await {
                Ok(wait) => wait,
                Err(error) => {
                    // It does not hold up the others.
                    limited!(warn: "bulk command {} rests: {error}", bulk.row);
                    self.pace(&bulk).pause(Instant::now());
                    Some(AFTER_FAILURE)
                }
            };
            rest = [rest, wait].into_iter().flatten().min();
        }
        Ok(rest.map(|rest| rest.max(REST_MIN)))
    }

    fn pace(&mut self, bulk: &OpenBulkCommand) -> &mut Pace {
        self.paces.entry(bulk.row).or_insert_with(|| Pace::of(&bulk.rate, Instant::now()))
    }

    /// Takes the stations whose turn it is; how long until the next one's, `None`: there is none any more.
    async fn step(&mut self, bulk: &OpenBulkCommand) -> Result<Option<Duration>> {
        let (stations, started_at) = (self.stations, self.started_at);
        let pace = self.pace(bulk);
        // What is canceled makes no commands: it waits for no token.
        if let Some(wait) = pace.wait(Instant::now()).filter(|_| !bulk.is_canceled) {
            return Ok(Some(wait));
        }
        let step = stations.store.bulk_step(bulk.row, pace.bucket.available(), started_at).await?;
        pace.bucket.take(step.commanded.len());
        for station in &step.commanded {
            stations.registry.tell_of_commands(station);
        }
        let until_next = pace.bucket.until_next();
        Ok(step.more.then_some(if step.waits { until_next.max(LOOK_EVERY) } else { until_next }))
    }
}

/// The tokens of one bulk command. It begins with one, whether it is new or was left by the last run, so that
/// restarts make nothing faster.
struct Pace {
    bucket: Bucket,
    at: Instant,
    not_before: Option<Instant>,
}

impl Pace {
    /// As the rate is written; a text that is none is read as the slowest one.
    fn of(rate: &str, now: Instant) -> Self {
        let per_second = rate.parse().map_or(1.0 / 60.0, RateLimit::per_second);
        let burst = (per_second * BURST_S).max(1.0);
        let mut bucket = Bucket::new(per_second, burst);
        bucket.owe(bucket.available() - 1);
        Self { bucket, at: now, not_before: None }
    }

    /// How long until there is a token, unless there is one.
    fn wait(&mut self, now: Instant) -> Option<Duration> {
        if let Some(begin) = self.not_before.filter(|begin| *begin > now) {
            return Some(begin - now);
        }
        self.not_before = None;
        self.bucket.gather(now - self.at);
        self.at = now;
        (self.bucket.available() == 0).then(|| self.bucket.until_next())
    }

    /// Rests after a failure.
    fn pause(&mut self, now: Instant) {
        self.not_before = Some(now + AFTER_FAILURE);
    }
}

async fn rested(rest: Option<Duration>) {
    match rest {
        Some(rest) => sleep(rest).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_holds_from_the_first_moment_on() {
        for (rate, expected) in [("10/s", 21), ("600/m", 21), ("1000/s", 2_001), ("30/m", 2)] {
            let began = Instant::now();
            let (mut pace, mut now, mut made) = (Pace::of(rate, began), began, 0);
            while now <= began + Duration::from_secs(2) {
                match pace.wait(now) {
                    Some(wait) => now += wait.max(REST_MIN),
                    None => {
                        made += pace.bucket.available();
                        pace.bucket.take(pace.bucket.available());
                    }
                }
            }
            assert!((expected * 9 / 10..=expected).contains(&made), "{rate}: {made}, not {expected}");
        }
    }
}
