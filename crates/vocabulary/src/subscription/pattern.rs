//! Patterns over event types and station identities; `*` stands for any run of characters.

use std::fmt;
use std::str::FromStr;

use crate::event::{self, Category, UnknownEventType};
use crate::id::StationId;
use crate::similar_name::{near, near_fit};

/// The longest pattern, in bytes.
pub const MAX_PATTERN_BYTES: usize = 128;

/// Why a text is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPattern {
    /// A name without `*` that no event has.
    #[error(transparent)]
    Unknown(#[from] UnknownEventType),
    /// Text with `*` that no event type fits, and no custom name can.
    #[error("{pattern:?} fits no event type, and no custom name{}", did_you_mean(nearest))]
    FitsNothing {
        /// What was asked for.
        pattern: String,
        /// What comes near it.
        nearest: Option<String>,
    },
    /// Text that no identity of a station can fit.
    #[error(
        "no station can fit it: an identity has at most {} characters, no control characters, no '/' and no ':'",
        StationId::MAX_CHARS
    )]
    FitsNoStation,
    /// Nothing at all.
    #[error("a pattern has at least one character")]
    Empty,
    /// Longer than [`MAX_PATTERN_BYTES`].
    #[error("a pattern has at most {MAX_PATTERN_BYTES} bytes")]
    TooLong,
}

fn did_you_mean(nearest: &Option<String>) -> String {
    nearest.as_ref().map(|nearest| format!("; did you mean {nearest:?}?")).unwrap_or_default()
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

impl EventPattern {
    /// A pattern that is asked for now, and not read from where it was stored: one that nothing can ever fit
    /// is a slip.
    ///
    /// # Errors
    /// As `FromStr`, and [`InvalidPattern::FitsNothing`].
    pub fn asked(text: &str) -> Result<Self, InvalidPattern> {
        let pattern: Self = text.parse()?;
        match &pattern {
            Self::Glob(glob) if !fits_a_type(glob) && !may_fit_custom_names(glob) => {
                Err(InvalidPattern::FitsNothing { pattern: glob.clone(), nearest: nearest_pattern(glob) })
            }
            _ => Ok(pattern),
        }
    }

    /// What to tell of a pattern that may not do what it was meant to: custom names alone can fit it.
    pub fn warning(&self) -> Option<String> {
        match self {
            Self::Glob(glob) if !fits_a_type(glob) => Some(format!(
                "{glob:?} fits none of the gateway's event types, only custom names such as invoice.paid can fit it{}",
                did_you_mean(&nearest_pattern(glob))
            )),
            _ => None,
        }
    }
}

/// What there is to tell of a list of patterns.
pub fn warnings(patterns: &[String]) -> Vec<String> {
    patterns.iter().filter_map(|text| text.parse::<EventPattern>().ok()?.warning()).collect()
}

fn fits_a_type(glob: &str) -> bool {
    event::types().any(|(_, name)| glob_fits(glob.as_bytes(), name.as_bytes()))
}

/// Whether there is a custom name (see [`event::is_custom_name`]) that fits a text with at least one `*`.
fn may_fit_custom_names(glob: &str) -> bool {
    let legal = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'.' | b'*');
    // A `*` beside a point can be the part that must be there, and one without a point can bring it.
    let parts = !glob.starts_with('.') && !glob.ends_with('.') && !glob.contains("..");
    // A first part with a `*` in it can always be something else than a category.
    let first = glob.split_once('.').map(|(first, _)| first);
    let foreign = first.is_none_or(|first| first.contains('*') || first.parse::<Category>().is_err());
    glob.bytes().all(legal) && parts && foreign
}

/// The category or event type that a pattern comes near.
fn nearest_pattern(glob: &str) -> Option<String> {
    // Names stand without their category: `ocpp.Boot*` is `Boot*`.
    let within = glob.split_once('.').filter(|(first, _)| first.parse::<Category>().is_ok());
    let says_more = |name: &str| name.contains(|c: char| c != '*') && fits_a_type(name);
    if let Some((_, name)) = within.filter(|(_, name)| says_more(name)) {
        return Some(name.to_owned());
    }
    let first = glob.split_once('.').map(|(first, _)| first).filter(|first| !first.contains('*'));
    let category = first.and_then(|first| near(first, Category::ALL.map(Category::as_str)));
    if let Some(category) = category {
        return Some(format!("{category}.*"));
    }
    near_fit(glob, event::types().map(|(_, name)| name)).map(str::to_owned)
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
    /// A pattern that is asked for now, and not read from where it was stored: one that no station can ever
    /// fit is a slip.
    ///
    /// # Errors
    /// As `FromStr`, and [`InvalidPattern::FitsNoStation`].
    pub fn asked(text: &str) -> Result<Self, InvalidPattern> {
        let glob: Self = text.parse()?;
        let least = text.replace('*', "");
        let possible = least.is_empty() || StationId::new(&least).is_ok();
        if possible { Ok(glob) } else { Err(InvalidPattern::FitsNoStation) }
    }

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
    fn a_pattern_that_nothing_can_fit_is_refused_and_one_for_custom_names_alone_is_told_of() {
        for (text, nearest) in [
            ("Strat*", Some("StartTransaction")),
            ("*tNotificaton", Some("BootNotification")),
            ("ocpp.Boot*", Some("Boot*")),
            ("OCPP.*", Some("ocpp.*")),
            ("Zzz*", None),
            ("ocpp.*x", Some("ocpp.*")),
            ("ocpp.**", Some("ocpp.*")),
            (".x*", None),
            ("a..*", None),
            ("x*.", None),
            ("in voice.*", None),
        ] {
            let refused = EventPattern::asked(text).expect_err(text);
            let nearest = nearest.map(str::to_owned);
            assert_eq!(refused, InvalidPattern::FitsNothing { pattern: text.to_owned(), nearest });
            assert!(text.parse::<EventPattern>().is_ok(), "{text} is read where it was stored");
        }
        for (text, nearest) in [
            ("ocp.*", Some("ocpp.*")),
            ("webhooks.*", Some("webhook.*")),
            ("start*", Some("StartTransaction")),
            ("invoice.*", None),
            ("*.paid", None),
            ("ocpp*.x", None),
            ("acme-*", None),
        ] {
            let warning = EventPattern::asked(text).expect(text).warning().expect(text);
            assert_eq!(warning.contains("did you mean"), nearest.is_some(), "{warning}");
            assert!(nearest.is_none_or(|nearest| warning.contains(&format!("{nearest:?}"))), "{warning}");
        }
        for text in
            ["*", "**", "ocpp.*", "custom.*", "Start*", "*Notification", "pin*", "invoice.paid", "Reset"]
        {
            assert_eq!(EventPattern::asked(text).expect(text).warning(), None, "{text}");
        }
        assert!(
            EventPattern::asked("ocpp.StartTransaction")
                .expect_err("no name")
                .to_string()
                .contains("mean \"Start")
        );
    }

    #[test]
    fn a_pattern_of_stations_must_fit_one_that_could_be() {
        let long = format!("*{}*", "x".repeat(65));
        for text in ["CP/*", "cp:*", "a\u{7}*", "/", long.as_str()] {
            assert_eq!(StationGlob::asked(text), Err(InvalidPattern::FitsNoStation), "{text}");
            assert!(text.parse::<StationGlob>().is_ok());
        }
        for text in ["*", "**", "WALLBOX_?*", "RDAM [1]", "é*"] {
            assert!(StationGlob::asked(text).is_ok(), "{text}");
        }
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
