//! A token bucket: so much per second, and a burst of it.

use std::time::Duration;

use tokio::time::Instant;

/// Hands out tokens at a rate; what is not used gathers up to the burst.
#[derive(Debug)]
pub struct Pace {
    per_second: f64,
    burst: f64,
    tokens: f64,
    at: Instant,
}

impl Pace {
    /// A full bucket.
    pub fn new(per_second: f64, burst: f64, now: Instant) -> Self {
        Self { per_second, burst, tokens: burst, at: now }
    }

    /// Takes a token.
    ///
    /// # Errors
    /// How long until there is one, with nothing taken.
    pub fn take(&mut self, now: Instant) -> Result<(), Duration> {
        let gathered = now.saturating_duration_since(self.at).as_secs_f64() * self.per_second;
        self.tokens = (self.tokens + gathered).min(self.burst);
        self.at = now;
        if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            return Ok(());
        }
        Err(Duration::from_secs_f64((1.0 - self.tokens) / self.per_second))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_the_rate_holds() {
        let start = Instant::now();
        let mut pace = Pace::new(10.0, 3.0, start);
        for _ in 0..3 {
            assert_eq!(pace.take(start), Ok(()));
        }
        let wait = pace.take(start).expect_err("empty");
        assert!((0.099..0.101).contains(&wait.as_secs_f64()), "{wait:?}");
        assert_eq!(pace.take(start + Duration::from_millis(101)), Ok(()));
    }
}
