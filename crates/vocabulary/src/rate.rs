//! Rates as people write them: `10/s`, `600/m`.

use std::fmt;
use std::str::FromStr;

/// A rate as it is written: `10/s` or `600/m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    count: u32,
    per: Per,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Per {
    Second,
    Minute,
}

impl RateLimit {
    /// How many a second, on average.
    pub fn per_second(self) -> f64 {
        let seconds = match self.per {
            Per::Second => 1.0,
            Per::Minute => 60.0,
        };
        f64::from(self.count) / seconds
    }
}

/// A text that is no rate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a rate: write a whole number above 0 and /s or /m, such as 10/s")]
pub struct InvalidRate(String);

impl FromStr for RateLimit {
    type Err = InvalidRate;

    fn from_str(text: &str) -> Result<Self, InvalidRate> {
        let invalid = || InvalidRate(text.to_owned());
        let (count, unit) = text.split_once('/').ok_or_else(invalid)?;
        let per = match unit {
            "s" => Per::Second,
            "m" => Per::Minute,
            _ => return Err(invalid()),
        };
        // `parse` would take a plus sign too.
        let digits = count.bytes().all(|byte| byte.is_ascii_digit());
        match count.parse() {
            Ok(count) if count > 0 && digits => Ok(Self { count, per }),
            _ => Err(invalid()),
        }
    }
}

impl fmt::Display for RateLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = match self.per {
            Per::Second => "s",
            Per::Minute => "m",
        };
        write!(f, "{}/{unit}", self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_read_and_write_alike() {
        for text in ["10/s", "600/m", "1/m"] {
            assert_eq!(text.parse::<RateLimit>().expect(text).to_string(), text);
        }
        for text in ["", "10", "0/s", "-1/s", "+1/s", "10/h", "1.5/s", "10/s ", "/s"] {
            assert!(text.parse::<RateLimit>().is_err(), "{text:?}");
        }
    }
}
