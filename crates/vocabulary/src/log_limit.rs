//! Lines of the log that a fault of the store would repeat by the thousand: a full disk, or a locked
//! database, is met by every charger and every request. One of each kind is written a second; the next one
//! says how many were left out (`left_out`).

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Between two lines of one kind.
const ONE_EVERY: Duration = Duration::from_secs(1);

/// When a line of one kind was written last, and how many were left out since.
#[derive(Debug, Default)]
pub struct LogLimit(Mutex<(Option<Instant>, u64)>);

impl LogLimit {
    /// None was written yet.
    pub const fn new() -> Self {
        Self(Mutex::new((None, 0)))
    }

    /// Whether one may be written now: how many were left out before it. `None`: it is left out itself.
    pub fn admit(&self, now: Instant) -> Option<u64> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (last, left_out) = &mut *state;
        if last.is_some_and(|last| now.saturating_duration_since(last) < ONE_EVERY) {
            *left_out += 1;
            return None;
        }
        *last = Some(now);
        Some(std::mem::take(left_out))
    }
}

/// Writes a line of `tracing`, one a second at most of those that are written here. Its level is one of
/// `tracing`'s macros that is in scope.
#[macro_export]
macro_rules! limited {
    ($level:ident: $($line:tt)+) => {{
        static LIMIT: $crate::log_limit::LogLimit = $crate::log_limit::LogLimit::new();
        match LIMIT.admit(::std::time::Instant::now()) {
            Some(0) => $level!($($line)+),
            Some(left_out) => $level!(left_out, $($line)+),
            None => {}
        }
    }};
}

pub use limited;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_a_second_is_written_and_the_next_tells_of_those_between() {
        let (limit, start) = (LogLimit::new(), Instant::now());
        let at = |ms: u64| start + Duration::from_millis(ms);
        assert_eq!(limit.admit(at(0)), Some(0));
        assert_eq!([1, 500, 999].map(|ms| limit.admit(at(ms))), [None; 3]);
        assert_eq!(limit.admit(at(1_000)), Some(3));
        assert_eq!(limit.admit(at(1_001)), None);
        assert_eq!(limit.admit(at(60_000)), Some(1));
        assert_eq!(limit.admit(at(61_000)), Some(0));
    }
}
