//! A rate limit: a token bucket on the monotonic clock.

use std::time::Duration;

use tokio::time::Instant;

use vocabulary::bucket::Bucket;

/// A rate: so many a second in the long run, and so many at once.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Rate {
    pub(super) per_second: f64,
    pub(super) burst: f64,
}

/// Hands out tokens at a rate; unused ones gather up to the burst.
#[derive(Debug)]
pub(super) struct RateLimiter {
    bucket: Bucket,
    rate: Rate,
    at: Instant,
}

impl RateLimiter {
    /// A full bucket.
    pub(super) fn new(per_second: f64, burst: f64, now: Instant) -> Self {
        Self::at(Rate { per_second, burst }, now)
    }

    /// A full bucket.
    pub(super) fn at(rate: Rate, now: Instant) -> Self {
        Self { bucket: Bucket::new(rate.per_second, rate.burst), rate, at: now }
    }

    /// Changes the rate and keeps the tokens.
    pub(super) fn follow(&mut self, rate: Rate, now: Instant) {
        if self.rate != rate {
            self.gather(now);
            self.bucket.change_rate(rate.per_second, rate.burst);
            self.rate = rate;
        }
    }

    /// Takes a token.
    ///
    /// # Errors
    /// How long until there is one; nothing was taken.
    pub(super) fn take(&mut self, now: Instant) -> Result<(), Duration> {
        if !self.has_any(now) {
            return Err(self.bucket.until_next());
        }
        self.bucket.take(1);
        Ok(())
    }

    /// Takes more tokens; missing ones become a debt.
    pub(super) fn owe(&mut self, count: usize) {
        self.bucket.owe(count);
    }

    /// Whether there is a token.
    pub(super) fn has_any(&mut self, now: Instant) -> bool {
        self.gather(now);
        self.bucket.available() > 0
    }

    /// Whether the bucket is full.
    pub(super) fn is_full(&mut self, now: Instant) -> bool {
        self.gather(now);
        self.bucket.is_full()
    }

    fn gather(&mut self, now: Instant) {
        self.bucket.gather(now.saturating_duration_since(self.at));
        self.at = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_the_rate_holds() {
        let start = Instant::now();
        let mut limiter = RateLimiter::new(10.0, 3.0, start);
        for _ in 0..3 {
            assert_eq!(limiter.take(start), Ok(()));
        }
        let wait = limiter.take(start).expect_err("empty");
        assert!((0.099..0.101).contains(&wait.as_secs_f64()), "{wait:?}");
        assert_eq!(limiter.take(start + Duration::from_millis(101)), Ok(()));
    }

    #[test]
    fn another_rate_holds_from_then_on() {
        let start = Instant::now();
        let mut limiter = RateLimiter::new(1.0, 3.0, start);
        limiter.owe(3);
        assert!(limiter.take(start).expect_err("empty") > Duration::from_millis(990));
        limiter.follow(Rate { per_second: 100.0, burst: 50.0 }, start);
        assert!(limiter.take(start).expect_err("no tokens are given for it") < Duration::from_millis(11));
        assert_eq!(limiter.take(start + Duration::from_millis(11)), Ok(()));
        let later = start + Duration::from_secs(60);
        assert!(limiter.is_full(later), "the new burst");
        limiter.follow(Rate { per_second: 1.0, burst: 1.0 }, later);
        assert_eq!(limiter.take(later), Ok(()));
        assert!(limiter.take(later).is_err(), "what is beyond the new burst is gone");
    }
}
