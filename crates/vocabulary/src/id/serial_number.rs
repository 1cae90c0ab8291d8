//! The number of a certificate: what tells it from the others of its issuer.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The serial number of a certificate (RFC 5280, 4.1.2.2), in hex: lower case, and no zeros in front.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct SerialNumber(Box<str>);

/// A text that is no serial number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "not the serial number of a certificate: hex digits, with or without colons, at most {}",
    SerialNumber::MAX_DIGITS
)]
pub struct InvalidSerialNumber;

impl SerialNumber {
    /// The most digits, zeros in front not counted: twice what a number may have (20 bytes), because some
    /// have more.
    pub const MAX_DIGITS: usize = 80;

    /// The number of these bytes, most significant first.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        Self::from_digits(&hex::encode(bytes))
    }

    fn from_digits(digits: &str) -> Self {
        let digits = digits.trim_start_matches('0');
        Self(if digits.is_empty() { "0" } else { digits }.into())
    }

    /// The number's digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SerialNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for SerialNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SerialNumber({})", self.0)
    }
}

/// However tools write it: in either case, with zeros or `0x` in front, with colons or spaces between.
impl FromStr for SerialNumber {
    type Err = InvalidSerialNumber;

    fn from_str(text: &str) -> Result<Self, InvalidSerialNumber> {
        let text = text.trim();
        let text = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")).unwrap_or(text);
        let digits: String = text.chars().filter(|c| !matches!(c, ':' | ' ')).collect();
        if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(InvalidSerialNumber);
        }
        let number = Self::from_digits(&digits.to_ascii_lowercase());
        if number.0.len() > Self::MAX_DIGITS { Err(InvalidSerialNumber) } else { Ok(number) }
    }
}

impl Serialize for SerialNumber {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for SerialNumber {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_the_same_however_it_is_written() {
        let number = SerialNumber::from_bytes(&[0, 0x0f, 0xa0, 0x01]);
        for text in ["fa001", "0FA001", "00:0f:a0:01", "0x0fa001", " 0F A0 01 ", "00fa001"] {
            assert_eq!(text.parse(), Ok(number.clone()), "{text}");
        }
        assert_eq!(number.to_string(), "fa001");
        assert_eq!("00:00".parse::<SerialNumber>().map(|zero| zero.to_string()).as_deref(), Ok("0"));
        assert_eq!(SerialNumber::from_bytes(&[]).as_str(), "0");
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for text in ["", " ", ":", "0x", "12g4", "-12", "12-34", &"1".repeat(81)] {
            assert_eq!(text.parse::<SerialNumber>(), Err(InvalidSerialNumber), "{text:?}");
        }
        assert!(format!("{}{}", "0".repeat(20), "1".repeat(80)).parse::<SerialNumber>().is_ok());
    }
}
