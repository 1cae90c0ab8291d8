//! `Retry-After`: when a receiver wants to be asked again (RFC 9110, 10.2.3).

use std::time::Duration;

use chrono::{DateTime, NaiveDateTime};

use vocabulary::clock::Timestamp;

/// What a `Retry-After` header asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryAfter {
    /// Not before this much time has passed.
    Delay(Duration),
    /// Not before this moment.
    At(Timestamp),
}

impl RetryAfter {
    /// Reads whole seconds or an HTTP date in any of its three forms; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
            // More seconds than fit are still "very late"; the caller caps them.
            return Some(Self::Delay(Duration::from_secs(text.parse().unwrap_or(u32::MAX.into()))));
        }
        let date = DateTime::parse_from_rfc2822(text).map(|date| date.timestamp()).ok().or_else(|| {
            ["%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"]
                .iter()
                .find_map(|form| NaiveDateTime::parse_from_str(text, form).ok())
                .map(|date| date.and_utc().timestamp())
        })?;
        Some(Self::At(Timestamp::from_unix_ms(date.checked_mul(1_000)?)))
    }

    /// How long to wait from `now` on; `None` if that moment has passed. Not capped.
    pub fn wait(self, now: Timestamp) -> Option<Duration> {
        let wait = match self {
            Self::Delay(delay) => delay,
            Self::At(moment) => moment.since(now),
        };
        (!wait.is_zero()).then_some(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_dates_are_read_and_the_rest_is_not() {
        let noon = Timestamp::from_unix_ms(784_111_777_000);
        let at = Some(RetryAfter::At(noon));
        assert_eq!(RetryAfter::parse("120"), Some(RetryAfter::Delay(Duration::from_secs(120))));
        assert_eq!(RetryAfter::parse(" 120 "), Some(RetryAfter::Delay(Duration::from_secs(120))));
        assert_eq!(RetryAfter::parse("Sun, 06 Nov 1994 08:49:37 GMT"), at);
        assert_eq!(RetryAfter::parse("Sunday, 06-Nov-94 08:49:37 GMT"), at);
        assert_eq!(RetryAfter::parse("Sun Nov  6 08:49:37 1994"), at);
        for garbage in ["", "soon", "-5", "1.5", "12 s", "0x10", "Sun, 99 Nov 1994 08:49:37 GMT"] {
            assert_eq!(RetryAfter::parse(garbage), None, "{garbage:?}");
        }
    }

    #[test]
    fn a_wait_counts_from_now_and_the_past_is_none() {
        let now = Timestamp::from_unix_ms(1_000_000);
        let at = |ms| RetryAfter::At(Timestamp::from_unix_ms(ms)).wait(now);
        assert_eq!(at(1_120_000), Some(Duration::from_secs(120)));
        assert_eq!(at(999_000), None);
        assert_eq!(RetryAfter::Delay(Duration::ZERO).wait(now), None);
        let year = RetryAfter::parse("31536000").and_then(|retry| retry.wait(now));
        assert_eq!(year, Some(Duration::from_secs(31_536_000)));
        assert!(RetryAfter::parse("99999999999999999999").and_then(|retry| retry.wait(now)).is_some());
    }
}
