//! Durations and sizes as people write them: `30s`, `64KiB`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;

/// A duration written as a whole number and a unit: `ms`, `s`, `m`, `h` or `d`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(pub Duration);

/// A size in bytes, written as a whole number and a unit: `B`, `KiB`, `MiB` or `GiB`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(pub u64);

/// A text that is no duration or size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a {what}: write a whole number and one of the units {units}, such as {example}")]
pub struct InvalidQuantity {
    text: String,
    what: &'static str,
    units: &'static str,
    example: &'static str,
}

const SPAN_UNITS_MS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];
const SIZE_UNITS: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

fn parse(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit.trim_start())?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

/// Writes `value` in the largest unit that divides it, so that reading it back loses nothing.
fn write(f: &mut fmt::Formatter<'_>, value: u64, units: &[(&str, u64)], zero_unit: &str) -> fmt::Result {
    match units.iter().find(|(_, factor)| value > 0 && value.is_multiple_of(*factor)) {
        Some((unit, factor)) => write!(f, "{}{unit}", value / factor),
        None => write!(f, "{value}{zero_unit}"),
    }
}

impl Span {
    /// A span of whole seconds.
    pub const fn seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = match self.0.as_secs() {
            // A single day is spelled as schedules spell it: 24h.
            86_400 => &SPAN_UNITS_MS[1..],
            _ => &SPAN_UNITS_MS[..],
        };
        write(f, self.0.as_millis() as u64, units, "s")
    }
}

impl FromStr for Span {
    type Err = InvalidQuantity;

    fn from_str(text: &str) -> Result<Self, InvalidQuantity> {
        parse(text, &SPAN_UNITS_MS).map(Duration::from_millis).map(Self).ok_or_else(|| InvalidQuantity {
            text: text.to_owned(),
            what: "duration",
            units: "ms, s, m, h, d",
            example: "30s",
        })
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write(f, self.0, &SIZE_UNITS, "B")
    }
}

impl FromStr for ByteSize {
    type Err = InvalidQuantity;

    fn from_str(text: &str) -> Result<Self, InvalidQuantity> {
        parse(text, &SIZE_UNITS).map(Self).ok_or_else(|| InvalidQuantity {
            text: text.to_owned(),
            what: "size",
            units: "B, KiB, MiB, GiB",
            example: "64KiB",
        })
    }
}

/// The moment that a text tells: RFC 3339, or a duration (`2h`) back from `now`.
pub fn moment(text: &str, now: Timestamp) -> Option<Timestamp> {
    match text.parse::<Span>() {
        // Nothing that is asked for lies before the clocks of computers.
        Ok(ago) => Some(now.before(ago.0).max(Timestamp::from_unix_ms(0))),
        Err(_) => text.parse().ok(),
    }
}

macro_rules! serde_as_text {
    ($($name:ident),*) => {$(
        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

serde_as_text!(Span, ByteSize);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_read_and_write_alike() {
        for text in ["0s", "250ms", "30s", "90s", "5m", "2h", "24h", "5d", "400d"] {
            assert_eq!(text.parse::<Span>().expect(text).to_string(), text);
        }
        for text in ["0B", "1B", "64KiB", "1MiB", "3GiB", "1000B"] {
            assert_eq!(text.parse::<ByteSize>().expect(text).to_string(), text);
        }
        assert_eq!("1d".parse::<Span>().expect("a day").to_string(), "24h");
        assert_eq!("60s".parse::<Span>().expect("a minute").to_string(), "1m");
    }

    #[test]
    fn a_moment_is_a_time_or_how_long_ago_it_was() {
        let now: Timestamp = "2026-04-14T12:00:00Z".parse().expect("RFC 3339");
        let read = |text| moment(text, now).map(|moment| moment.to_string());
        for (text, expected) in [
            ("2h", Some("2026-04-14T10:00:00.000Z")),
            ("0s", Some("2026-04-14T12:00:00.000Z")),
            ("7d", Some("2026-04-07T12:00:00.000Z")),
            ("999999999d", Some("1970-01-01T00:00:00.000Z")),
            ("2026-01-01T01:00:00+01:00", Some("2026-01-01T00:00:00.000Z")),
            ("yesterday", None),
            ("-2h", None),
            ("2", None),
            ("", None),
        ] {
            assert_eq!(read(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn a_wrong_quantity_says_what_to_write() {
        let error = "30".parse::<Span>().expect_err("no unit").to_string();
        assert!(error.contains("30s") && error.contains("ms, s, m, h, d"), "{error}");
        assert!("-1s".parse::<Span>().is_err());
        assert!("99999999999999999999d".parse::<Span>().is_err());
        assert!("1KB".parse::<ByteSize>().is_err());
    }
}
