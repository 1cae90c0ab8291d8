//! Calendar months, in a time zone.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Datelike, FixedOffset, NaiveDate, Utc};

use crate::clock::Timestamp;
use crate::zone::Zone;

/// A month of a year: `2026-11`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Month {
    year: i32,
    /// From 1 on.
    number: u32,
}

/// A text that names no month.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a month such as 2026-11")]
pub struct InvalidMonth;

/// The years that a month may be of.
const YEARS: std::ops::RangeInclusive<i32> = 1970..=9998;

impl Month {
    /// The month that a moment is in.
    pub fn of(at: Timestamp, zone: Zone) -> Self {
        let utc = DateTime::<Utc>::from_timestamp_millis(at.unix_ms()).unwrap_or_default();
        let offset = FixedOffset::east_opt(zone.offset_s(at));
        let date = offset.map_or(utc.date_naive(), |offset| utc.with_timezone(&offset).date_naive());
        Self { year: date.year(), number: date.month() }
    }

    /// When it begins.
    pub fn begin(self, zone: Zone) -> Timestamp {
        zone.begin_of(NaiveDate::from_ymd_opt(self.year, self.number, 1).unwrap_or_default())
    }

    /// The month after it.
    pub fn next(self) -> Self {
        match self.number {
            12 => Self { year: self.year + 1, number: 1 },
            number => Self { year: self.year, number: number + 1 },
        }
    }

    /// The first month of its year, and of the year `later` years after.
    pub fn first_of_year(self, later: i32) -> Self {
        Self { year: self.year + later, number: 1 }
    }
}

impl FromStr for Month {
    type Err = InvalidMonth;

    fn from_str(text: &str) -> Result<Self, InvalidMonth> {
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let (year, number) = text.split_once('-').ok_or(InvalidMonth)?;
        if year.len() != 4 || number.len() != 2 || !digits(year) || !digits(number) {
            return Err(InvalidMonth);
        }
        let (year, number) =
            (year.parse().map_err(|_| InvalidMonth)?, number.parse().map_err(|_| InvalidMonth)?);
        match YEARS.contains(&year) && (1..=12).contains(&number) {
            true => Ok(Self { year, number }),
            false => Err(InvalidMonth),
        }
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.year, self.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zone(name: &str) -> Zone {
        name.parse().expect("a zone")
    }

    #[test]
    fn a_month_begins_and_ends_in_its_time_zone() {
        let begin =
            |month: &str, name: &str| month.parse::<Month>().expect("a month").begin(zone(name)).to_string();
        assert_eq!(begin("2026-11", "UTC"), "2026-11-01T00:00:00.000Z");
        assert_eq!(begin("2026-11", "Europe/Berlin"), "2026-10-31T23:00:00.000Z");
        assert_eq!(begin("2026-07", "America/Los_Angeles"), "2026-07-01T07:00:00.000Z");
        // That night its clocks went from midnight to one.
        assert_eq!(begin("2017-10", "America/Asuncion"), "2017-10-01T04:00:00.000Z");
        let december: Month = "2026-12".parse().expect("a month");
        assert_eq!(december.next().to_string(), "2027-01");
        assert_eq!(december.first_of_year(1).to_string(), "2027-01");
    }

    #[test]
    fn a_moment_is_in_the_month_that_the_clocks_there_show() {
        let at: Timestamp = "2026-10-31T23:30:00Z".parse().expect("a time");
        assert_eq!(Month::of(at, zone("UTC")).to_string(), "2026-10");
        assert_eq!(Month::of(at, zone("Europe/Berlin")).to_string(), "2026-11");
    }

    #[test]
    fn a_text_that_is_no_month_is_refused() {
        for text in ["", "2026", "2026-13", "2026-00", "2026-1", "26-01", "2026-11-01", "+026-01", "1969-12"]
        {
            assert_eq!(text.parse::<Month>(), Err(InvalidMonth), "{text:?}");
        }
    }
}
