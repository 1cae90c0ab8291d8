//! Time zones by their IANA names, from a database that is compiled in.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Days, NaiveDate, NaiveTime, Offset, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;

use crate::clock::Timestamp;

/// A time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Zone(Tz);

/// A text that names no time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be the IANA name of a time zone, such as Europe/Berlin")]
pub struct UnknownZone;

impl Zone {
    /// The zone without seasons that everything is kept in.
    pub const UTC: Self = Self(Tz::UTC);

    /// When a day begins: at midnight, or where the clocks leave that out, at the first time that they show.
    pub fn begin_of(self, day: NaiveDate) -> Timestamp {
        let quarters = (0..96).map(|quarter| day.and_time(NaiveTime::MIN) + TimeDelta::minutes(15 * quarter));
        let first = quarters.into_iter().find_map(|time| self.0.from_local_datetime(&time).earliest());
        // A zone that has left out a whole day goes on with the next one.
        let utc = first.map_or_else(
            || (day + Days::new(1)).and_time(NaiveTime::MIN).and_utc(),
            |first| first.with_timezone(&Utc),
        );
        Timestamp::from_unix_ms(utc.timestamp_millis())
    }

    /// How far its clocks are ahead of UTC at this moment, in seconds.
    pub fn offset_s(self, at: Timestamp) -> i32 {
        let at = DateTime::<Utc>::from_timestamp_millis(at.unix_ms()).unwrap_or_default();
        self.0.offset_from_utc_datetime(&at.naive_utc()).fix().local_minus_utc()
    }

    /// When the day began there that this moment is in.
    pub fn day_began_at(self, at: Timestamp) -> Timestamp {
        let utc = DateTime::<Utc>::from_timestamp_millis(at.unix_ms()).unwrap_or_default();
        self.begin_of(utc.with_timezone(&self.0).date_naive())
    }
}

impl FromStr for Zone {
    type Err = UnknownZone;

    /// Reads a name in its own letter case.
    fn from_str(name: &str) -> Result<Self, UnknownZone> {
        name.parse().map(Self).map_err(|_| UnknownZone)
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_follow_the_season() {
        let berlin: Zone = "Europe/Berlin".parse().expect("a zone");
        let at = |text: &str| berlin.offset_s(text.parse().expect("a time"));
        assert_eq!(at("2026-01-15T12:00:00Z"), 3_600);
        assert_eq!(at("2026-07-15T12:00:00Z"), 7_200);
        assert_eq!(at("2026-03-29T00:59:59Z"), 3_600);
        assert_eq!(at("2026-03-29T01:00:00Z"), 7_200);
        let day = |text: &str| berlin.day_began_at(text.parse().expect("a time")).to_string();
        assert_eq!(day("2026-07-15T21:59:59Z"), "2026-07-14T22:00:00.000Z");
        assert_eq!(day("2026-07-15T22:00:00Z"), "2026-07-15T22:00:00.000Z");
        let beirut: Zone = "Asia/Beirut".parse().expect("a zone");
        let begins_at_one = beirut.day_began_at("2024-03-31T10:00:00Z".parse().expect("a time"));
        assert_eq!(begins_at_one.to_string(), "2024-03-30T22:00:00.000Z");
        let nepal: Zone = "Asia/Kathmandu".parse().expect("a zone");
        assert_eq!(nepal.offset_s(Timestamp::from_unix_ms(0)), 19_800, "before 1986");
        for name in ["", "Europe/Atlantis", "europe/berlin", "+02:00", "CEST "] {
            assert_eq!(name.parse::<Zone>(), Err(UnknownZone), "{name:?}");
        }
        assert_eq!("Etc/GMT-3".parse::<Zone>().expect("a zone").to_string(), "Etc/GMT-3");
    }
}
