//! One object of a payload, its fields read as what they are meant to be (quirks Q5 to Q10, Q13).

use std::fmt;

use serde_json::{Map, Value};

use crate::clock::Timestamp;
use crate::ocpp::Violation;
use crate::ocpp::decimal::Decimal;
use crate::ocpp::time;
use crate::ocpp::violations::Violations;
use crate::zone::Zone;

/// What reading a message takes along: when it came, and what has been odd so far.
#[derive(Debug)]
pub(super) struct Reader {
    /// When the message arrived.
    pub received_at: Timestamp,
    /// What the station's clock may show where a time names no zone.
    pub zone: Option<Zone>,
    /// What the schema does not see: it is noted here while reading.
    pub violations: Violations,
    /// The newest time so far as the station's clock shows it, also one that cannot be true.
    pub clock_shows: Option<Timestamp>,
}

/// Where an object stands in its payload. Written out only when there is something to say about it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Path<'a> {
    /// The payload itself.
    Root,
    /// A field of an object.
    Field(&'a Path<'a>, &'a str),
    /// An element of an array.
    Index(&'a Path<'a>, usize),
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Field(Self::Root, name) => f.write_str(name),
            Self::Field(parent, name) => write!(f, "{parent}.{name}"),
            Self::Index(Self::Root, index) => write!(f, "{index}"),
            Self::Index(parent, index) => write!(f, "{parent}.{index}"),
        }
    }
}

impl Reader {
    /// Begins to read a message.
    pub(super) fn new(received_at: Timestamp, zone: Option<Zone>) -> Self {
        Self { received_at, zone, violations: Violations::default(), clock_shows: None }
    }

    /// Notes what is odd about the place `path`.
    pub(super) fn note(&mut self, path: &Path<'_>, problem: impl Into<String>) {
        if !self.violations.is_full() {
            self.violations.push(Violation::field(path.to_string(), problem));
        }
    }
}

/// The fields of one object.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fields<'a> {
    /// The object itself; `None` if there is none to read.
    pub object: Option<&'a Map<String, Value>>,
    /// Where it stands.
    pub path: Path<'a>,
}

impl<'a> Fields<'a> {
    /// The field, unless it is absent or null (quirk Q8).
    pub(super) fn get(&self, name: &str) -> Option<&'a Value> {
        self.object?.get(name).filter(|value| !value.is_null())
    }

    /// Where the field `name` stands.
    pub(super) fn path_of(&'a self, name: &'a str) -> Path<'a> {
        Path::Field(&self.path, name)
    }

    /// A text, or what was sent in its place, as text.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.get(name).and_then(text_of)
    }

    /// A text that the specification demands; an empty one is kept and noted (quirk Q7).
    pub(super) fn required_text(&self, name: &str, reader: &mut Reader) -> Option<String> {
        let text = self.text(name)?;
        if text.is_empty() {
            reader.note(&self.path_of(name), "empty");
        }
        Some(text)
    }

    /// A text that may be left out; an empty one is as good as none (quirk Q7).
    pub(super) fn optional_text(&self, name: &str) -> Option<String> {
        self.text(name).filter(|text| !text.is_empty())
    }

    /// An exact whole number: a connector or a transaction is never rounded.
    pub(super) fn integer(&self, name: &str, reader: &mut Reader) -> Option<i64> {
        let text = number_text(self.get(name)?)?;
        if let Ok(integer) = text.parse() {
            return Some(integer);
        }
        let integer = Decimal::parse(text).and_then(Decimal::as_integer);
        let problem = match integer {
            Some(integer) => format!("integer_spelling: read as {integer}"),
            None => "not_an_integer".to_owned(),
        };
        reader.note(&self.path_of(name), problem);
        integer
    }

    /// An energy register in Wh, rounded to whole ones, with a decimal comma too.
    pub(super) fn register_wh(&self, name: &str, reader: &mut Reader) -> Option<i64> {
        let text = number_text(self.get(name)?)?;
        let wh = match text.parse() {
            Ok(wh) => Some(wh),
            Err(_) => {
                let decimal = parse_with_comma(text);
                let (exact, rounded) =
                    (decimal.and_then(Decimal::as_integer), decimal.and_then(Decimal::rounded));
                let problem = match (exact, rounded) {
                    (Some(wh), _) => format!("integer_spelling: read as {wh}"),
                    (None, Some(wh)) => format!("rounded: read as {wh}"),
                    (None, None) => "not_an_integer".to_owned(),
                };
                reader.note(&self.path_of(name), problem);
                exact.or(rounded)
            }
        }?;
        if wh < 0 {
            reader.note(&self.path_of(name), "implausible: a register below zero");
        }
        Some(wh)
    }

    /// Whether a number is there that is no whole one.
    pub(super) fn has_decimals(&self, name: &str) -> bool {
        self.get(name)
            .and_then(number_text)
            .and_then(parse_with_comma)
            .is_some_and(|number| number.as_integer().is_none())
    }

    /// A time, where one can be read.
    pub(super) fn time(&self, name: &str, reader: &mut Reader) -> Option<Timestamp> {
        let value = self.get(name)?;
        let text = scalar_text(value)?;
        let read = time::read(text, reader.received_at, reader.zone);
        if let Some(oddity) = read.oddity {
            reader.note(&self.path_of(name), oddity);
        }
        reader.clock_shows = reader.clock_shows.max(read.shown);
        read.moment
    }

    /// A word of a closed list in its canonical spelling, whatever its case; an unknown one as it came.
    pub(super) fn word(&self, name: &str, known: &[&'static str]) -> Option<String> {
        let text = self.get(name).and_then(scalar_text)?;
        let word = canonical(text, known).unwrap_or(text);
        (!word.is_empty()).then(|| word.to_owned())
    }
}

/// The spelling of `text` in `known`, ignoring case and surrounding blanks (quirk Q11).
pub(super) fn canonical(text: &str, known: &[&'static str]) -> Option<&'static str> {
    known.iter().copied().find(|word| *word == text).or_else(|| {
        let trimmed = text.trim();
        known.iter().copied().find(|word| word.eq_ignore_ascii_case(trimmed))
    })
}

/// A decimal whose point may be a comma, if that is its only one and there is no point (quirk Q6).
pub(super) fn parse_with_comma(text: &str) -> Option<Decimal> {
    match text.split_once(',') {
        Some((whole, fraction)) if !text.contains('.') && !fraction.contains(',') => {
            Decimal::parse(&format!("{whole}.{fraction}"))
        }
        _ => Decimal::parse(text),
    }
}

/// A string, number or boolean as text, numbers with exactly the digits that were sent.
pub(super) fn scalar_text(value: &Value) -> Option<&str> {
    match value {
        Value::String(text) => Some(text),
        Value::Number(number) => Some(number.as_str()),
        Value::Bool(true) => Some("true"),
        Value::Bool(false) => Some("false"),
        _ => None,
    }
}

fn text_of(value: &Value) -> Option<String> {
    scalar_text(value).map(str::to_owned)
}

/// The text of a number, or of a string that may hold one; nothing for an empty string.
fn number_text(value: &Value) -> Option<&str> {
    match value {
        Value::String(_) | Value::Number(_) => {
            scalar_text(value).map(str::trim).filter(|text| !text.is_empty())
        }
        _ => None,
    }
}
