//! Patterns over event types and station identities; `*` stands for any run of characters.

use std::fmt;
use std::str::FromStr;

use crate::event::{self, Category, UnknownEventType};

/// The longest pattern, in bytes.
pub const MAX_PATTERN_BYTES: usize = 128;

/// Why a text is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPattern {
    /// A name without `*` that no event has.
    #[error(transparent)]
    Unknown(#[from] UnknownEventType),
    /// Nothing at all.
    #[error("a pattern has at least one character")]
    Empty,
    /// Longer than [`MAX_PATTERN_BYTES`].
    #[error("a pattern has at most {MAX_PATTERN_BYTES} bytes")]
    TooLong,
}

fn check_length(text: &str) -> Result<(), InvalidPattern> {
    match text.len() {
        0 => Err(InvalidPattern::Empty),
        1..=MAX_PATTERN_BYTES => Ok(()),
        _ => Err(InvalidPattern::TooLong),
    }
}

/// Whether `text` fits `glob`. Compares bytes, and goes back to the last `*` only, so that its time is
/// at worst the product of both lengths.
pub fn glob_fits(glob: &[u8], text: &[u8]) -> bool {
    let (mut at, mut read) = (0, 0);
    let mut last_star: Option<(usize, usize)> = None;
    while read < text.len() {
        match glob.get(at) {
            Some(b'*') => {
                last_star = Some((at, read));
                at += 1;
            }
            Some(byte) if *byte == text[read] => {
                at += 1;
                read += 1;
            }
            _ => match last_star {
                Some((star, taken)) => {
                    // Let the star take one byte more, and try again behind it.
                    last_star = Some((star, taken + 1));
                    (at, read) = (star + 1, taken + 1);
                }
                None => return false,
            },
        }
    }
    glob[at..].iter().all(|byte| *byte == b'*')
}

/// One entry of a webhook's `events`, or of an event filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventPattern {
    /// `*`: every category but `webhook`.
    All,
    /// `ocpp.*`: a whole category.
    Category(Category),
    /// One event type, or custom name.
    Exact(String),
    /// Any other text with `*`.
    Glob(String),
}

impl EventPattern {
    /// Whether an event of this type and category fits.
    pub fn fits(&self, event: &str, category: Category) -> bool {
        match self {
            Self::All => category != Category::Webhook,
            Self::Category(wanted) => *wanted == category,
            Self::Exact(name) => name == event,
            Self::Glob(glob) => glob_fits(glob.as_bytes(), event.as_bytes()),
        }
    }
}

impl FromStr for EventPattern {
    type Err = InvalidPattern;

    /// A name without `*` must be an event type or a legal custom name; any text with `*` is a pattern.
    fn from_str(text: &str) -> Result<Self, InvalidPattern> {
        check_length(text)?;
        if text == "*" {
            return Ok(Self::All);
        }
        if let Some(category) = text.strip_suffix(".*").and_then(|name| name.parse().ok()) {
            return Ok(Self::Category(category));
        }
        if text.contains('*') {
            return Ok(Self::Glob(text.to_owned()));
        }
        event::category_of(text)?;
        Ok(Self::Exact(text.to_owned()))
    }
}

impl fmt::Display for EventPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("*"),
            Self::Category(category) => write!(f, "{category}.*"),
            Self::Exact(text) | Self::Glob(text) => f.write_str(text),
        }
    }
}

/// One entry of a webhook's `stations`: an identity in which `*` stands for any run of characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StationGlob(String);

impl StationGlob {
    /// Whether the station fits; letter case counts.
    pub fn fits(&self, station_id: &str) -> bool {
        glob_fits(self.0.as_bytes(), station_id.as_bytes())
    }
}

impl FromStr for StationGlob {
    type Err = InvalidPattern;

    fn from_str(text: &str) -> Result<Self, InvalidPattern> {
        check_length(text)?;
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for StationGlob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_any_run_of_characters() {
        for (glob, text, fits) in [
            ("Start*", "StartTransaction", true),
            ("Start*", "Start", true),
            ("Start*", "RemoteStartTransaction", false),
            ("*Transaction", "StopTransaction", true),
            ("*Transaction", "TransactionCompleted", false),
            ("S*T*n", "StartTransaction", true),
            ("*a*a*b", "aaaaaaaaaaaaaaaaaaaac", false),
            ("**", "", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("É*", "Éa", true),
            ("W?", "Wx", false),
        ] {
            assert_eq!(glob_fits(glob.as_bytes(), text.as_bytes()), fits, "{glob} {text}");
        }
    }

    #[test]
    fn event_patterns_read_and_write_alike() {
        for text in ["*", "ocpp.*", "custom.*", "Start*", "invoice.*", "invoice.paid", "ping", "Zzz*"] {
            assert_eq!(text.parse::<EventPattern>().expect(text).to_string(), text);
        }
        assert_eq!("webhook.*".parse(), Ok(EventPattern::Category(Category::Webhook)));
        assert_eq!("invoice.*".parse(), Ok(EventPattern::Glob("invoice.*".to_owned())));
    }

    #[test]
    fn a_name_without_star_must_exist() {
        let error = "StartTransaktion".parse::<EventPattern>().expect_err("a slip").to_string();
        assert!(error.contains("did you mean \"StartTransaction\"?"), "{error}");
        assert_eq!("".parse::<EventPattern>(), Err(InvalidPattern::Empty));
        assert_eq!("*".repeat(129).parse::<EventPattern>(), Err(InvalidPattern::TooLong));
        assert_eq!("".parse::<StationGlob>(), Err(InvalidPattern::Empty));
    }

    #[test]
    fn all_is_every_category_but_webhook() {
        let fits = |pattern: &str, event, category| {
            pattern.parse::<EventPattern>().expect(pattern).fits(event, category)
        };
        assert!(fits("*", "ping", Category::Custom) && fits("*", "Heartbeat", Category::Ocpp));
        assert!(!fits("*", "DeliveryFailed", Category::Webhook));
        assert!(fits("webhook.*", "DeliveryFailed", Category::Webhook));
        assert!(fits("Delivery*", "DeliveryFailed", Category::Webhook), "named, if only in part");
        assert!(fits("ocpp.*", "Heartbeat", Category::Ocpp) && !fits("ocpp.*", "Reset", Category::Command));
    }
}
