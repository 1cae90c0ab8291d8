//! The rate at which a lane may send: a webhook's `rate_limit`. Pure: the moment is passed in.

use std::time::Duration;

use vocabulary::bucket::Bucket;
use vocabulary::clock::Timestamp;
use vocabulary::rate::RateLimit;

/// The tokens of a webhook's [`RateLimit`]. The burst is one second's worth, at least one.
#[derive(Debug, Clone)]
pub struct WebhookRate {
    limit: RateLimit,
    bucket: Bucket,
    at: Timestamp,
}

impl WebhookRate {
    /// A full bucket.
    pub fn new(limit: RateLimit, now: Timestamp) -> Self {
        let per_second = limit.per_second();
        Self { limit, bucket: Bucket::new(per_second, per_second.max(1.0)), at: now }
    }

    /// The rate.
    pub fn limit(&self) -> RateLimit {
        self.limit
    }

    /// How many deliveries may be sent at `now`.
    pub fn available(&mut self, now: Timestamp) -> usize {
        self.bucket.gather(now.since(self.at));
        // After a clock has stepped back, tokens gather from the new time on.
        self.at = now;
        self.bucket.available()
    }

    /// Takes `count` tokens.
    pub fn take(&mut self, count: usize) {
        self.bucket.take(count);
    }

    /// Returns tokens that were not used.
    pub fn give_back(&mut self, count: usize) {
        self.bucket.give_back(count);
    }

    /// Whether it was empty at the last look.
    pub fn is_empty(&self) -> bool {
        self.bucket.available() == 0
    }

    /// When there will be a token, as of `now`.
    pub fn next_token_at(&self, now: Timestamp) -> Timestamp {
        let wait_ms = (self.bucket.until_next().as_secs_f64() * 1_000.0).ceil();
        now.after(Duration::from_millis(wait_ms as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_unix_ms(ms)
    }

    #[test]
    fn never_more_than_the_rate_and_one_second_of_it() {
        let mut rate = WebhookRate::new("10/s".parse().expect("a rate"), at(0));
        let mut sent = 0;
        for ms in 0..=3_000 {
            let available = rate.available(at(ms));
            rate.take(available);
            sent += available;
        }
        assert!((39..=40).contains(&sent), "10 at once and 10 a second: {sent}");
    }

    #[test]
    fn a_slow_rate_tells_when_the_next_may_go() {
        let mut rate = WebhookRate::new("6/m".parse().expect("a rate"), at(0));
        assert_eq!(rate.available(at(0)), 1);
        rate.take(1);
        assert_eq!(rate.next_token_at(at(0)), at(10_000));
        assert_eq!(rate.available(at(9_000)), 0);
        let next = rate.next_token_at(at(9_000));
        assert_eq!(rate.available(next), 1);
        rate.take(1);
        rate.give_back(1);
        assert_eq!(rate.available(at(1_000_000)), 1, "no more than its capacity");
    }

    #[test]
    fn a_clock_that_steps_back_neither_stops_nor_floods_it() {
        let mut rate = WebhookRate::new("1/s".parse().expect("a rate"), at(600_000));
        rate.take(1);
        assert_eq!(rate.available(at(0)), 0);
        assert_eq!(rate.available(at(1_000)), 1);
    }
}
