//! The settings of how long what is kept.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use vocabulary::setting::{Broken, Rules, TextSetting, table};
use vocabulary::units::{ByteSize, Span};

table! {
    /// `[retention]`: how long what is kept.
    pub struct Retention {
        /// Events, with their deliveries, from their arrival on.
        events: Keep = Keep::days(30),
        /// Events of these types, instead.
        by_type: Vec<KeepType> = vec![KeepType { event: "Heartbeat".to_owned(), keep: Keep::days(1) }],
        /// Deliveries, from their end on; at most as long as their event.
        deliveries: Keep = Keep::days(30),
        /// How far back the messages of a station are shown; they go with their events and commands.
        messages: Keep = Keep::days(30),
        /// Commands, from their end on.
        commands: Keep = Keep::days(90),
        /// Entries of the audit log.
        audit: Keep = Keep::days(400),
        /// What connectors and stations have been, which reports are made of.
        history: Keep = Keep::days(400),
        /// Transactions with their meter values, from their end on.
        transactions: Keep = Keep::Forever,
        /// Beyond this size of the database the oldest events and commands go before their time; `None`: no
        /// limit.
        max_database_size: Option<ByteSize> = None,
    }
}

impl Rules for Retention {
    fn check(&self, broken: &mut Broken) {
        let mut types: Vec<&str> = self.by_type.iter().map(|rule| rule.event.as_str()).collect();
        types.sort_unstable();
        broken.unless(types.is_sorted_by(|a, b| a < b), "by_type", "names an event type twice");
        let holds = self.max_database_size.is_none_or(|size| size >= ByteSize(16 << 20));
        broken.unless(holds, "max_database_size", "must be at least 16MiB");
    }
}

impl TextSetting for Keep {
    const FORM: &'static str = "a duration such as \"30d\", or \"forever\"";
}

impl TextSetting for KeepType {
    const FORM: &'static str = "an event type and a duration such as \"Heartbeat=1d\"";
}

/// How long something is kept: `30d`, or `forever`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// Until somebody deletes it.
    Forever,
    /// So long.
    For(Span),
}

/// How long events of one type are kept: `Heartbeat=1d`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeepType {
    /// The type's name.
    pub event: String,
    /// How long.
    pub keep: Keep,
}

/// A text that does not say how long something is kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} {1}")]
pub struct InvalidKeep(String, &'static str);

impl Keep {
    /// For so many days.
    pub const fn days(days: u64) -> Self {
        Self::For(Span::seconds(days * 86_400))
    }

    /// How long; `None` is forever.
    pub fn limit(self) -> Option<Duration> {
        match self {
            Self::Forever => None,
            Self::For(span) => Some(span.0),
        }
    }
}

impl fmt::Display for Keep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Forever => f.write_str("forever"),
            Self::For(span) => span.fmt(f),
        }
    }
}

impl FromStr for Keep {
    type Err = InvalidKeep;

    fn from_str(text: &str) -> Result<Self, InvalidKeep> {
        if text == "forever" {
            return Ok(Self::Forever);
        }
        match text.parse::<Span>() {
            Ok(span) if span > Span::seconds(0) => Ok(Self::For(span)),
            _ => Err(InvalidKeep(
                text.to_owned(),
                "is not how long to keep something: write a duration such as 30d, or forever",
            )),
        }
    }
}

impl FromStr for KeepType {
    type Err = InvalidKeep;

    fn from_str(text: &str) -> Result<Self, InvalidKeep> {
        let wrong = || {
            InvalidKeep(
                text.to_owned(),
                "is not an event type and how long to keep it: write it such as Heartbeat=1d",
            )
        };
        let (event, keep) = text.split_once('=').ok_or_else(wrong)?;
        let event = event.trim();
        if event.is_empty() || event.contains('*') {
            return Err(wrong());
        }
        Ok(Self { event: event.to_owned(), keep: keep.trim().parse()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_long_something_is_kept_is_read_as_it_is_written() {
        for text in ["forever", "30d", "400d", "90m"] {
            assert_eq!(text.parse::<Keep>().expect(text).to_string(), text);
        }
        let heartbeats = "Heartbeat=1d".parse::<KeepType>().expect("a rule");
        assert_eq!((heartbeats.event.as_str(), heartbeats.keep), ("Heartbeat", Keep::days(1)));
        for text in ["", "0s", "30", "never"] {
            assert!(text.parse::<Keep>().is_err(), "{text}");
        }
        for text in ["Heartbeat", "=1d", "*=1d", "Heartbeat=", "Heartbeat=soon"] {
            assert!(text.parse::<KeepType>().is_err(), "{text}");
        }
    }
}
