//! How one value is read, from a TOML file or from a text.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use http::HeaderName;
use ipnet::IpNet;
use outbound::destination::PrivateUrl;
use toml::de::DeValue;

use super::log_level::LogLevel;
use crate::retention::{Keep, KeepType};
use crate::station::Admission;
use crate::station::handshake::MissingSubprotocol;
use outbound::signature::SigningSecret;
use store::SecretsKey;
use vocabulary::ocpp::Validation;
use vocabulary::ocpp::authorization::UnknownIdTag;
use vocabulary::units::{ByteSize, Span};

/// A value as somebody gave it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Given<'a> {
    /// In a TOML file, where it has a type.
    Toml(&'a DeValue<'a>),
    /// In the environment or on the command line, where everything is text.
    Text(&'a str),
}

/// A type that settings can have.
pub(super) trait Setting: Sized {
    /// Reads a value; the error says what to write instead.
    fn read(given: Given<'_>) -> Result<Self, String>;
}

impl Given<'_> {
    /// The text, where the setting is written as one in TOML too.
    fn text(&self, what: &str) -> Result<&str, String> {
        match self {
            Self::Text(text) => Ok(text.trim()),
            Self::Toml(value) => {
                value.as_str().ok_or_else(|| format!("{what} is expected, in quotes, not {}", kind(value)))
            }
        }
    }
}

fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) | DeValue::Float(_) => "a bare number",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

fn parsed<T>(given: Given<'_>, what: &str) -> Result<T, String>
where
    T: FromStr,
    T::Err: std::fmt::Display,
{
    given.text(what)?.parse().map_err(|error: T::Err| error.to_string())
}

impl Setting for Span {
    fn read(given: Given<'_>) -> Result<Self, String> {
        parsed(given, "a duration such as \"30s\"")
    }
}

impl Setting for ByteSize {
    fn read(given: Given<'_>) -> Result<Self, String> {
        parsed(given, "a size such as \"64KiB\"")
    }
}

impl Setting for Keep {
    fn read(given: Given<'_>) -> Result<Self, String> {
        parsed(given, "a duration such as \"30d\", or \"forever\"")
    }
}

impl Setting for KeepType {
    fn read(given: Given<'_>) -> Result<Self, String> {
        parsed(given, "an event type and a duration such as \"Heartbeat=1d\"")
    }
}

impl Setting for PrivateUrl {
    fn read(given: Given<'_>) -> Result<Self, String> {
        let text = given.text("a URL such as \"https://example.com/authorize\"")?;
        text.parse().map_err(|error| {
            format!("not a valid URL ({error}): write an absolute one such as https://example.com/authorize")
        })
    }
}

impl Setting for SigningSecret {
    fn read(given: Given<'_>) -> Result<Self, String> {
        parsed(given, "a signing secret such as \"whsec_…\"")
    }
}

impl Setting for SecretsKey {
    fn read(given: Given<'_>) -> Result<Self, String> {
        parsed(given, "a key such as \"openssl rand -hex 32\" makes")
    }
}

impl Setting for SocketAddr {
    fn read(given: Given<'_>) -> Result<Self, String> {
        let text = given.text("an address such as \"127.0.0.1:9000\"")?;
        text.parse().map_err(|_| {
            format!(
                "{text:?} is no address: write IP and port, such as 127.0.0.1:9000, 0.0.0.0:9000 or [::]:9000"
            )
        })
    }
}

impl Setting for IpNet {
    fn read(given: Given<'_>) -> Result<Self, String> {
        let text = given.text("a network such as \"10.0.0.0/8\"")?;
        text.parse().or_else(|_| text.parse::<IpAddr>().map(Self::from)).map_err(|_| {
            format!("{text:?} is no network: write an address and a prefix length, such as 10.0.0.0/8")
        })
    }
}

impl Setting for HeaderName {
    fn read(given: Given<'_>) -> Result<Self, String> {
        let text = given.text("a header's name such as \"X-Client-Cert\"")?;
        text.parse().map_err(|_| format!("{text:?} is no header's name: write one such as X-Client-Cert"))
    }
}

impl Setting for LogLevel {
    fn read(given: Given<'_>) -> Result<Self, String> {
        parsed(given, "a level such as \"info\"")
    }
}

impl Setting for String {
    fn read(given: Given<'_>) -> Result<Self, String> {
        given.text("a text").map(str::to_owned)
    }
}

impl Setting for PathBuf {
    fn read(given: Given<'_>) -> Result<Self, String> {
        match given.text("a path")? {
            "" => Err("a path is expected, not an empty text".to_owned()),
            path => Ok(path.into()),
        }
    }
}

impl Setting for u32 {
    fn read(given: Given<'_>) -> Result<Self, String> {
        let expected = || format!("a whole number from 0 to {} is expected", Self::MAX);
        match given {
            Given::Text(text) => text.trim().parse().map_err(|_| expected()),
            Given::Toml(DeValue::Integer(number)) => {
                Self::from_str_radix(number.as_str(), number.radix()).map_err(|_| expected())
            }
            Given::Toml(other) => Err(format!("{}, not {}", expected(), kind(other))),
        }
    }
}

impl Setting for bool {
    fn read(given: Given<'_>) -> Result<Self, String> {
        match given {
            Given::Toml(DeValue::Boolean(value)) => Ok(*value),
            Given::Text(text) if text.trim() == "true" => Ok(true),
            Given::Text(text) if text.trim() == "false" => Ok(false),
            _ => Err("true or false is expected, without quotes".to_owned()),
        }
    }
}

/// A list: an array in TOML, separated by commas in a text; an empty text is the empty list.
impl<T: Setting> Setting for Vec<T> {
    fn read(given: Given<'_>) -> Result<Self, String> {
        match given {
            Given::Toml(DeValue::Array(items)) => {
                items.iter().map(|item| T::read(Given::Toml(item.get_ref()))).collect()
            }
            Given::Toml(other) => {
                Err(format!("a list such as [\"…\", \"…\"] is expected, not {}", kind(other)))
            }
            Given::Text(text) if text.trim().is_empty() => Ok(Self::new()),
            Given::Text(text) => text.split(',').map(|item| T::read(Given::Text(item))).collect(),
        }
    }
}

/// A setting that is absent unless somebody gives it.
impl<T: Setting> Setting for Option<T> {
    fn read(given: Given<'_>) -> Result<Self, String> {
        T::read(given).map(Some)
    }
}

/// Reads one of a few words.
macro_rules! words {
    ($Type:ty: $($word:literal => $value:path),+) => {
        impl Setting for $Type {
            fn read(given: Given<'_>) -> Result<Self, String> {
                let expected = concat!("one of", $(" \"", $word, "\""),+);
                match given.text(expected)? {
                    $($word => Ok($value),)+
                    other => Err(format!("{other:?} is unknown: {expected} is expected")),
                }
            }
        }
    };
}

words!(Validation: "lenient" => Validation::Lenient, "strict" => Validation::Strict, "off" => Validation::Off);

words!(MissingSubprotocol: "accept" => MissingSubprotocol::Accept, "reject" => MissingSubprotocol::Reject);

words!(
    Admission:
    "accept" => Admission::Accept, "pending" => Admission::Pending, "reject" => Admission::Reject
);

words!(UnknownIdTag: "accept" => UnknownIdTag::Accept, "invalid" => UnknownIdTag::Invalid);

/// How a line of the log looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

words!(LogFormat: "text" => LogFormat::Text, "json" => LogFormat::Json);

#[cfg(test)]
mod tests {
    use super::*;

    fn toml<T: Setting>(text: &str) -> Result<T, String> {
        let value = DeValue::parse(text).expect("TOML");
        T::read(Given::Toml(value.get_ref()))
    }

    #[test]
    fn a_value_reads_alike_from_a_file_and_from_a_text() {
        assert_eq!(toml("\"5m\""), Ok(Span::seconds(300)));
        assert_eq!(Span::read(Given::Text("5m")), Ok(Span::seconds(300)));
        assert_eq!(toml("25_000"), Ok(25_000_u32));
        assert_eq!(u32::read(Given::Text("25000")), Ok(25_000));
        assert_eq!(toml("[\"a\", \"b\"]"), Ok(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(Vec::<String>::read(Given::Text("a, b")), Ok(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(Vec::<String>::read(Given::Text("")), Ok(Vec::new()));
        assert_eq!(toml("true"), Ok(true));
        assert_eq!(bool::read(Given::Text("true")), Ok(true));
    }

    #[test]
    fn a_network_may_be_a_single_address() {
        assert_eq!(toml("\"10.1.2.3\""), Ok("10.1.2.3/32".parse::<IpNet>().expect("a network")));
        assert_eq!(toml("\"fd00::/8\""), Ok("fd00::/8".parse::<IpNet>().expect("a network")));
    }

    #[test]
    fn a_wrong_value_says_what_to_write() {
        for (error, words) in [
            (toml::<Span>("30").expect_err("no unit"), "in quotes, not a bare number"),
            (toml::<Span>("\"30\"").expect_err("no unit"), "ms, s, m, h, d"),
            (toml::<u32>("-1").expect_err("negative"), "0 to 4294967295"),
            (toml::<u32>("\"5\"").expect_err("quoted"), "not a string"),
            (toml::<bool>("\"true\"").expect_err("quoted"), "without quotes"),
            (toml::<SocketAddr>("\"localhost:9000\"").expect_err("a name"), "IP and port"),
            (toml::<Vec<IpNet>>("\"10.0.0.0/8\"").expect_err("no list"), "a list"),
            (toml::<Vec<IpNet>>("[\"10/8\"]").expect_err("short form"), "10.0.0.0/8"),
            (toml::<UnknownIdTag>("\"reject\"").expect_err("a word"), "\"accept\" \"invalid\""),
            (toml::<PathBuf>("\"\"").expect_err("empty"), "empty"),
        ] {
            assert!(error.contains(words), "{error}");
        }
    }
}
