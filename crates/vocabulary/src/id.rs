//! Typed identifiers: what names an event, a delivery, a command, a station.
//!
//! Minted ids are a prefix and 26 characters of Crockford base32 over 128 bits: 48 bits of Unix
//! milliseconds, then 80 bits of chance. They sort by the moment they were minted, as text too.

mod serial_number;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;

pub use serial_number::{InvalidSerialNumber, SerialNumber};

/// Crockford's alphabet in lower case: no `i`, `l`, `o`, `u`, and in ascending byte order.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const TEXT_LEN: usize = 26;

/// A text that is not an id of the kind that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an id of the form {prefix}_…: 26 characters of 0-9 and a-z are expected after it")]
pub struct InvalidId {
    prefix: &'static str,
}

fn encode(value: u128) -> String {
    (0..TEXT_LEN).rev().map(|digit| ALPHABET[(value >> (5 * digit)) as usize & 31] as char).collect()
}

fn decode(text: &str) -> Option<u128> {
    if text.len() != TEXT_LEN || text.as_bytes()[0] > b'7' {
        return None;
    }
    text.bytes().try_fold(0u128, |value, byte| {
        let digit = ALPHABET.iter().position(|&letter| letter == byte)?;
        Some(value << 5 | digit as u128)
    })
}

/// Hands out ids that only ever grow, whatever the clock does.
///
/// The store owns one and seeds it with the newest id it finds, so that order holds over restarts.
#[derive(Debug, Default)]
pub struct IdMint {
    last: u128,
}

impl IdMint {
    /// A mint whose next id is greater than `last`.
    pub fn after(last: u128) -> Self {
        Self { last }
    }

    /// What it has given last.
    pub fn last(&self) -> u128 {
        self.last
    }

    /// The next id: the time of `now` if that is later than the last one, else the last one plus one.
    pub fn next(&mut self, now: Timestamp) -> u128 {
        let mut chance = [0u8; 16];
        // Chance only spreads ids of different installations; without it they are still unique here.
        let _ = getrandom::fill(&mut chance[6..]);
        let fresh = (now.unix_ms().max(0) as u128) << 80 | u128::from_be_bytes(chance);
        self.last = fresh.max(self.last + 1);
        self.last
    }
}

/// The least 128-bit value of an id that is minted at `moment` or later. All moments after the year 10889
/// have the same one: there are 48 bits for the milliseconds.
pub fn least_at(moment: Timestamp) -> u128 {
    (moment.unix_ms().clamp(0, (1 << 48) - 1) as u128) << 80
}

/// Declares an id type with its prefix; `FromStr` refuses every other prefix.
macro_rules! typed_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u128);

        impl $name {
            /// The id with this 128-bit value, as an [`IdMint`] gives it.
            pub fn from_value(value: u128) -> Self {
                Self(value)
            }

            /// The 128-bit value: greater for what was minted later.
            pub fn value(self) -> u128 {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "_{}"), encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                text.strip_prefix(concat!($prefix, "_"))
                    .and_then(decode)
                    .map(Self)
                    .ok_or(InvalidId { prefix: $prefix })
            }
        }

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
    };
}

typed_id!(
    /// Names an event, everywhere: in the API, in a webhook's `webhook-id`, in a cursor.
    EventId, "evt"
);
typed_id!(
    /// Names one delivery: one event on its way to one webhook.
    DeliveryId, "dlv"
);
typed_id!(
    /// Names a command that was, or will be, sent to a station.
    CommandId, "cmd"
);
typed_id!(
    /// Names a bulk command: one request that is a command to each of many stations.
    BulkCommandId, "blk"
);
typed_id!(
    /// Names one question to the authorisation endpoint.
    AuthorizationId, "auth"
);
typed_id!(
    /// Names a replay, or a bulk resend.
    ReplayId, "rpl"
);
typed_id!(
    /// Names a reservation (OCPP's own number for it is its `reservation_id`).
    ReservationId, "rsv"
);
typed_id!(
    /// Names an API key (not the key itself).
    ApiKeyId, "key"
);

/// A webhook's number: given once, never again.
pub type WebhookId = i64;

/// A charging station's identity, as it is provisioned: 1 to 64 characters, none of them a control
/// character, `/` or `:`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StationId(Arc<str>);

/// Why a text is no station identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidStationId {
    /// Nothing at all.
    #[error("a station identity has at least one character")]
    Empty,
    /// More than 64 characters.
    #[error("a station identity has at most {} characters", StationId::MAX_CHARS)]
    TooLong,
    /// A control character, `/` or `:`.
    #[error("a station identity has no control characters, no '/' and no ':'")]
    Forbidden,
}

impl StationId {
    /// The longest identity, in characters.
    pub const MAX_CHARS: usize = 64;

    /// Checks `text` once, without the blanks around it; the type stands for the check from here on.
    ///
    /// # Errors
    /// Says which rule the text breaks.
    pub fn new(text: &str) -> Result<Self, InvalidStationId> {
        let text = text.trim();
        if text.is_empty() {
            return Err(InvalidStationId::Empty);
        }
        if text.chars().count() > Self::MAX_CHARS {
            return Err(InvalidStationId::TooLong);
        }
        if text.chars().any(|c| c.is_control() || c == '/' || c == ':') {
            return Err(InvalidStationId::Forbidden);
        }
        Ok(Self(text.into()))
    }

    /// Whether it may be given to no station: paths with it lead elsewhere (`/stations/import`,
    /// `/stations/summary`, and what clients make of `.` and `..`). Read from where it was stored, it stays
    /// one.
    pub fn is_reserved(&self) -> bool {
        matches!(self.as_str(), "import" | "summary" | "." | "..")
    }

    /// The identity's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for StationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for StationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StationId({})", self.0)
    }
}

impl FromStr for StationId {
    type Err = InvalidStationId;

    fn from_str(text: &str) -> Result<Self, InvalidStationId> {
        Self::new(text)
    }
}

impl Serialize for StationId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for StationId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_grow_even_when_the_clock_steps_back() {
        let mut mint = IdMint::default();
        let first = EventId::from_value(mint.next(Timestamp::from_unix_ms(2_000)));
        let second = EventId::from_value(mint.next(Timestamp::from_unix_ms(1_000)));
        let third = EventId::from_value(mint.next(Timestamp::from_unix_ms(3_000)));
        assert!(first < second && second < third);
        assert!(first.to_string() < second.to_string() && second.to_string() < third.to_string());
    }

    #[test]
    fn the_least_id_of_a_moment_is_between_those_minted_before_and_then() {
        let at = Timestamp::from_unix_ms;
        let minted = |unix_ms| IdMint::default().next(at(unix_ms));
        assert!(minted(1_999) < least_at(at(2_000)) && least_at(at(2_000)) <= minted(2_000));
        assert_eq!((least_at(at(-1)), least_at(at(i64::MAX))), (0, least_at(at((1 << 48) - 1))));
    }

    #[test]
    fn an_id_reads_back_and_refuses_another_prefix() {
        let id = EventId::from_value(IdMint::default().next(Timestamp::from_unix_ms(1_776_170_096_789)));
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!(id.to_string().replace("evt", "dlv").parse::<EventId>().is_err());
        assert!("evt_zzzzzzzzzzzzzzzzzzzzzzzzzz".parse::<EventId>().is_err(), "more than 128 bits");
    }

    #[test]
    fn station_identities_are_checked_by_characters() {
        assert!(StationId::new("RDAM 123").is_ok());
        assert!(StationId::new(&"é".repeat(64)).is_ok());
        assert_eq!(StationId::new(&"é".repeat(65)), Err(InvalidStationId::TooLong));
        assert_eq!(StationId::new("a/b"), Err(InvalidStationId::Forbidden));
        assert_eq!(StationId::new("a\u{7}b"), Err(InvalidStationId::Forbidden));
        assert_eq!(StationId::new(""), Err(InvalidStationId::Empty));
        assert_eq!(StationId::new(" \t"), Err(InvalidStationId::Empty));
        assert_eq!(StationId::new("\tRDAM 123 ").expect("legal").as_str(), "RDAM 123");
        let reserved = |text| StationId::new(text).expect("legal").is_reserved();
        assert!(["import", "summary", ".", ".."].into_iter().all(reserved));
        assert!(!["IMPORT", "imports", "...", ".a", "CP.1"].into_iter().any(reserved));
    }
}
