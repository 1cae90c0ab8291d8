//! A token bucket: how a rate is kept, for chargers that send and for webhooks that are sent to. Pure: it is
//! told how much time has passed.

use std::time::Duration;

/// Tokens that gather at a rate, up to a burst: in any time `t` no more than `rate · t + burst` go.
#[derive(Debug, Clone)]
pub struct Bucket {
    per_second: f64,
    burst: f64,
    tokens: f64,
}

impl Bucket {
    /// A full bucket. The rate must be above zero, and the burst at least 1.
    pub fn new(per_second: f64, burst: f64) -> Self {
        Self { per_second, burst, tokens: burst }
    }

    /// Gathers at another rate from now on, up to another burst.
    pub fn change_rate(&mut self, per_second: f64, burst: f64) {
        *self = Self { per_second, burst, tokens: self.tokens.min(burst) };
    }

    /// Takes in that this much time has passed.
    pub fn gather(&mut self, passed: Duration) {
        self.tokens = (self.tokens + passed.as_secs_f64() * self.per_second).min(self.burst);
    }

    /// Whole tokens there are.
    pub fn available(&self) -> usize {
        self.tokens as usize
    }

    /// Whether no more would gather.
    pub fn is_full(&self) -> bool {
        self.tokens >= self.burst
    }

    /// Takes tokens that are there.
    pub fn take(&mut self, count: usize) {
        self.tokens = (self.tokens - count as f64).max(0.0);
    }

    /// Takes tokens whether they are there or not; what is missing has to gather first.
    pub fn owe(&mut self, count: usize) {
        self.tokens -= count as f64;
    }

    /// Puts back what was not used after all.
    pub fn give_back(&mut self, count: usize) {
        self.tokens = (self.tokens + count as f64).min(self.burst);
    }

    /// How long until there is a token; zero if there is one.
    pub fn until_next(&self) -> Duration {
        Duration::from_secs_f64((1.0 - self.tokens).max(0.0) / self.per_second)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_the_rate_holds() {
        let mut bucket = Bucket::new(10.0, 3.0);
        assert_eq!(bucket.available(), 3);
        bucket.take(3);
        assert_eq!(bucket.available(), 0);
        assert_eq!(bucket.until_next(), Duration::from_millis(100));
        bucket.gather(Duration::from_millis(101));
        assert_eq!((bucket.available(), bucket.until_next()), (1, Duration::ZERO));
        bucket.gather(Duration::from_secs(60));
        bucket.give_back(1);
        assert_eq!(bucket.available(), 3, "no more than the burst");
        bucket.owe(5);
        assert_eq!((bucket.available(), bucket.until_next()), (0, Duration::from_millis(300)));
    }
}
