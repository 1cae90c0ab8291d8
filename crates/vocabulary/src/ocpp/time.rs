//! The times that chargers send, read as far as their meaning is clear (quirks Q1 to Q4).
//!
//! Read by hand rather than by a list of formats: it has to tell what was odd, and it runs for
//! every sampled value.

use std::time::Duration;

use chrono::NaiveDate;

use crate::clock::Timestamp;
use crate::zone::Zone;

/// What a clock without a battery shows after a power cut lies before this; OCPP 1.6 is younger.
const EARLIEST_PLAUSIBLE: Timestamp = Timestamp::from_unix_ms(1_262_304_000_000); // 2010-01-01
/// No mistaken time zone puts a clock further ahead than this.
const AHEAD_MAX: Duration = Duration::from_secs(24 * 3_600);
/// A time without zone that comes this near to its arrival, read as the station's own, is the station's own.
const LOCAL_TIME_TOLERANCE_MS: u64 = 15 * 60 * 1_000;

const DAY_MS: i64 = 86_400_000;

/// The oddity of a time that names a day before OCPP 1.6.
const NEVER_SET: &str = "implausible: a clock that was never set";

/// A time as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read {
    /// The moment it names; `None` if there is none, or none that can be true.
    pub moment: Option<Timestamp>,
    /// The moment that the text names, also one that cannot be true; `None` if there is none.
    pub shown: Option<Timestamp>,
    /// What was odd about it: the `problem` of a [`Violation`](crate::ocpp::Violation).
    pub oddity: Option<&'static str>,
}

/// A time's parts, before anybody asks whether such a day exists.
struct Parts {
    unix_ms_as_utc: i64,
    /// The length of the smallest unit that is written.
    resolution_ms: i64,
    offset_minutes: Option<i64>,
    /// Written exactly as RFC 3339 wants it.
    exact: bool,
}

/// Reads a time that arrived at `received_at` from a station whose own clock, where it names no zone, may
/// be set to the time of `zone`.
pub fn read(text: &str, received_at: Timestamp, zone: Option<Zone>) -> Read {
    let odd = |shown, oddity| Read { moment: shown, shown, oddity: Some(oddity) };
    let trimmed = text.trim();
    if trimmed.is_empty() {
        return odd(None, "time_unreadable: empty");
    }
    if trimmed.bytes().all(|b| b.is_ascii_digit() || b == b'.' || b == b'-') {
        // 20260414 might be a day, 1776170096 seconds, 1776170096789 milliseconds: not ours to guess.
        return odd(None, "time_unreadable: a number or a day where a date and time are due");
    }
    let Some(parts) = parse(trimmed.as_bytes()) else {
        return odd(None, "time_unreadable: not a date and time of this calendar");
    };
    let as_utc = Timestamp::from_unix_ms(parts.unix_ms_as_utc);
    let (moment, oddity) = match parts.offset_minutes {
        Some(minutes) => {
            let moment = Timestamp::from_unix_ms(parts.unix_ms_as_utc - minutes * 60_000);
            let exact = parts.exact && trimmed.len() == text.len();
            (moment, (!exact).then_some("time_format: not as RFC 3339 writes it"))
        }
        None => match zone.and_then(|zone| local_time(parts.unix_ms_as_utc, received_at, zone)) {
            Some(as_local) => (as_local, Some("time_without_zone: read as the station's local time")),
            None => (as_utc, Some("time_without_zone: read as UTC")),
        },
    };
    if moment < EARLIEST_PLAUSIBLE {
        return Read { moment: None, ..odd(Some(moment), NEVER_SET) };
    }
    if moment > received_at.after(AHEAD_MAX) {
        return odd(Some(moment), "implausible: more than a day after its arrival");
    }
    Read { moment: Some(moment), shown: Some(moment), oddity }
}

/// Whether a text names a day that a clock without a battery shows after a power cut.
pub fn is_never_set(text: &str) -> bool {
    // Such a day is told before anything that depends on the arrival.
    read(text, EARLIEST_PLAUSIBLE, None).oddity == Some(NEVER_SET)
}

/// The length of the smallest unit that a time is written in: two moments within one cannot be told apart.
/// One millisecond for a text that names no time.
pub fn resolution_ms(text: &str) -> i64 {
    parse(text.trim().as_bytes()).map_or(1, |parts| parts.resolution_ms)
}

/// The moment at which clocks of `zone` showed this, if that is near its arrival. Where they are put forward
/// or back the station's may have followed already, or not yet: what fits its arrival best is meant.
fn local_time(unix_ms_as_utc: i64, received_at: Timestamp, zone: Zone) -> Option<Timestamp> {
    let tolerance = Duration::from_millis(LOCAL_TIME_TOLERANCE_MS);
    [received_at, received_at.before(tolerance), received_at.after(tolerance)]
        .into_iter()
        .map(|at| zone.offset_s(at))
        .filter(|offset_s| *offset_s != 0)
        .map(|offset_s| Timestamp::from_unix_ms(unix_ms_as_utc - i64::from(offset_s) * 1_000))
        .min_by_key(|moment| skew_ms(*moment, received_at).unsigned_abs())
        .filter(|moment| skew_ms(*moment, received_at).unsigned_abs() <= LOCAL_TIME_TOLERANCE_MS)
}

/// How far a time is ahead of its arrival, in milliseconds; negative if it is behind.
fn skew_ms(occurred_at: Timestamp, received_at: Timestamp) -> i64 {
    occurred_at.unix_ms().saturating_sub(received_at.unix_ms())
}

/// The text as it is consumed from the left.
struct Cursor<'a>(&'a [u8]);

impl Cursor<'_> {
    /// A number of exactly `digits` digits.
    fn number(&mut self, digits: usize) -> Option<i64> {
        let taken = self.0.get(..digits)?;
        let value = taken
            .iter()
            .try_fold(0, |value, byte| byte.is_ascii_digit().then(|| value * 10 + i64::from(byte - b'0')))?;
        self.0 = &self.0[digits..];
        Some(value)
    }

    /// One of these bytes, if it comes next.
    fn one_of(&mut self, bytes: &[u8]) -> Option<u8> {
        let first = *self.0.first()?;
        bytes.contains(&first).then(|| {
            self.0 = &self.0[1..];
            first
        })
    }
}

fn parse(text: &[u8]) -> Option<Parts> {
    let mut rest = Cursor(text);
    let mut exact = true;
    let year = rest.number(4)?;
    rest.one_of(b"-")?;
    let month = rest.number(2)?;
    rest.one_of(b"-")?;
    let day = rest.number(2)?;
    exact &= !rest.one_of(b"Tt ")?.is_ascii_whitespace();
    let hour = rest.number(2)?;
    rest.one_of(b":")?;
    let minute = rest.number(2)?;
    let mut second = 0;
    let mut ms = 0;
    let mut resolution_ms = 60_000;
    if rest.one_of(b":").is_some() {
        second = rest.number(2)?;
        resolution_ms = 1_000;
        if let Some(point) = rest.one_of(b".,") {
            let digits = rest.0.iter().take_while(|byte| byte.is_ascii_digit()).count();
            exact &= point == b'.' && digits > 0;
            for place in [100, 10, 1].into_iter().take(digits) {
                ms += rest.number(1)? * place;
                resolution_ms = place;
            }
            rest.0 = &rest.0[digits.saturating_sub(3)..];
        }
    } else {
        exact = false;
    }
    if hour > 23 || minute > 59 || second > 59 {
        return None; // 24:00 and leap seconds name moments that other texts name better (quirk Q4)
    }
    let offset_minutes = read_offset(&mut rest, &mut exact)?;
    if !rest.0.is_empty() {
        return None;
    }
    let date = NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, month as u32, day as u32)?;
    let days = i64::from(date.to_epoch_days());
    let unix_ms_as_utc = days * DAY_MS + ((hour * 60 + minute) * 60 + second) * 1_000 + ms;
    Some(Parts { unix_ms_as_utc, resolution_ms, offset_minutes, exact })
}

/// Minutes ahead of UTC: `Z`, `+02`, `+0200`, `+02:00`; `Some(None)` where nothing follows.
fn read_offset(rest: &mut Cursor<'_>, exact: &mut bool) -> Option<Option<i64>> {
    while rest.one_of(b" ").is_some() {
        *exact = false;
    }
    if rest.0.is_empty() {
        return Some(None);
    }
    let sign = match rest.one_of(b"Zz+-")? {
        b'+' => 1,
        b'-' => -1,
        _ => return Some(Some(0)),
    };
    let hours = rest.number(2)?;
    *exact &= rest.one_of(b":").is_some();
    let minutes = if rest.0.is_empty() {
        *exact = false;
        0
    } else {
        rest.number(2)?
    };
    (hours <= 23 && minutes <= 59).then_some(Some(sign * (hours * 60 + minutes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECEIVED: &str = "2026-04-14T12:34:56.789Z";
    fn at(text: &str) -> Timestamp {
        text.parse().expect("RFC 3339")
    }

    /// Moment and oddity's code in a few words.
    #[track_caller]
    fn check(text: &str, expected: &str) {
        let told = |zone| {
            let Read { moment, oddity, .. } = read(text, at(RECEIVED), zone);
            let code = oddity.map_or("", |oddity| oddity.split(':').next().unwrap_or_default());
            format!("{} {code}", moment.map_or("none".into(), |moment| moment.to_string()))
        };
        assert_eq!(told(None).trim_end(), expected, "{text:?}");
    }

    #[test]
    fn plain_times() {
        check("2026-04-14T12:34:56Z", "2026-04-14T12:34:56.000Z");
        check("2026-04-14T12:34:56.7Z", "2026-04-14T12:34:56.700Z");
        check("2026-04-14T12:34:56.123456789Z", "2026-04-14T12:34:56.123Z");
        check("2026-04-14t12:34:56z", "2026-04-14T12:34:56.000Z");
        check("2026-04-14T14:34:56+02:00", "2026-04-14T12:34:56.000Z");
        check("2026-04-14T00:34:56-05:30", "2026-04-14T06:04:56.000Z");
        check("2024-02-29T00:00:00Z", "2024-02-29T00:00:00.000Z");
    }

    #[test]
    fn odd_spellings_are_read() {
        check("2026-04-14T14:34:56+02", "2026-04-14T12:34:56.000Z time_format");
        check("2026-04-14T14:34:56+0200", "2026-04-14T12:34:56.000Z time_format");
        check("2026-04-14 12:34:56Z", "2026-04-14T12:34:56.000Z time_format");
        check("2026-04-14T12:34:56,5Z", "2026-04-14T12:34:56.500Z time_format");
        check("2026-04-14T12:34:56.Z", "2026-04-14T12:34:56.000Z time_format");
        check(" 2026-04-14T12:34:56Z\r\n", "2026-04-14T12:34:56.000Z time_format");
        check("2026-04-14T12:34Z", "2026-04-14T12:34:00.000Z time_format");
        check("2026-04-14T12:34:56", "2026-04-14T12:34:56.000Z time_without_zone");
    }

    #[test]
    fn what_names_no_moment_is_none() {
        for text in [
            "",
            "  ",
            "now",
            "1776170096",
            "1776170096789",
            "20260414",
            "2026-04-14",
            "2026-02-31T00:00:00Z",
            "2026-04-14T24:00:00Z",
            "2026-04-14T23:59:60Z",
            "2026-13-01T00:00:00Z",
            "2026-04-14T12:34:56+25:00",
            "2026-04-14T12:34:56Zulu",
            "2026-04-14T12:34:56é",
            "é026-04-14T12:34:56Z",
        ] {
            check(text, "none time_unreadable");
        }
        check("1970-01-01T00:00:12Z", "none implausible");
        check("2000-01-01T00:00:12", "none implausible");
        check("0001-01-01T00:00:00Z", "none implausible");
        check("2099-01-01T00:00:00Z", "2099-01-01T00:00:00.000Z implausible");
    }

    #[test]
    fn a_time_is_as_fine_as_it_is_written() {
        for (text, expected_ms) in [
            ("2026-04-14T12:34:56.789Z", 1),
            ("2026-04-14T12:34:56.78Z", 10),
            ("2026-04-14T12:34:56.7+02:00", 100),
            (" 2026-04-14T12:34:56.123456Z", 1),
            ("2026-04-14T12:34:56Z", 1_000),
            ("2026-04-14T12:34:56.Z", 1_000),
            ("2026-04-14T12:34", 60_000),
            ("now", 1),
        ] {
            assert_eq!(resolution_ms(text), expected_ms, "{text}");
        }
        for (text, never_set) in [
            ("1970-01-01T00:00:12Z", true),
            ("2000-01-01 00:00", true),
            ("2015-01-01T00:00:00Z", false),
            ("2099-01-01T00:00:00Z", false),
            ("0", false),
            ("", false),
        ] {
            assert_eq!(is_never_set(text), never_set, "{text}");
        }
    }

    #[test]
    fn a_time_without_zone_is_local_where_that_fits_its_arrival() {
        let berlin: Zone = "Europe/Berlin".parse().expect("a zone");
        let meant = |text: &str, received: &str| {
            let read = read(text, at(received), Some(berlin));
            (
                read.moment.map(|moment| moment.to_string()).unwrap_or_default(),
                read.oddity.unwrap_or_default(),
            )
        };
        let local = "time_without_zone: read as the station's local time";
        let utc = "time_without_zone: read as UTC";
        for (text, received, moment, oddity) in [
            ("2026-04-14T14:30:00", RECEIVED, "2026-04-14T12:30:00.000Z", local),
            ("2026-04-14T12:30:00", RECEIVED, "2026-04-14T12:30:00.000Z", utc),
            ("2026-01-14T13:00:00", "2026-01-14T12:00:00Z", "2026-01-14T12:00:00.000Z", local),
            ("2026-01-14T14:00:00", "2026-01-14T12:00:00Z", "2026-01-14T14:00:00.000Z", utc),
            ("2026-04-14T14:49:56", RECEIVED, "2026-04-14T12:49:56.000Z", local),
            ("2026-04-14T14:49:57", RECEIVED, "2026-04-14T14:49:57.000Z", utc),
            ("2026-04-14T14:19:56", RECEIVED, "2026-04-14T14:19:56.000Z", utc),
            // Clocks are put forward at 01:00 UTC: sent before, or by a clock that has not followed.
            ("2026-03-29T01:59:00", "2026-03-29T01:01:00Z", "2026-03-29T00:59:00.000Z", local),
            ("2026-03-29T02:02:00", "2026-03-29T01:02:00Z", "2026-03-29T01:02:00.000Z", local),
            ("2026-03-29T03:02:00", "2026-03-29T01:02:00Z", "2026-03-29T01:02:00.000Z", local),
            // And back: the same text is two moments, an hour apart.
            ("2026-10-25T02:50:00", "2026-10-25T00:50:05Z", "2026-10-25T00:50:00.000Z", local),
            ("2026-10-25T02:50:00", "2026-10-25T01:50:05Z", "2026-10-25T01:50:00.000Z", local),
            // With a zone in the text, the station's does not matter.
            ("2026-04-14T14:30:00Z", RECEIVED, "2026-04-14T14:30:00.000Z", ""),
        ] {
            assert_eq!(meant(text, received), (moment.to_owned(), oddity), "{text} at {received}");
        }
    }
}
