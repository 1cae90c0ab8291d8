//! The settings that are of types of the language, of libraries, or of the vocabulary.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use http::HeaderName;
use ipnet::IpNet;

use super::{Given, Setting, TextSetting};
use crate::units::{ByteSize, Span};

impl TextSetting for Span {
    const FORM: &'static str = "a duration such as \"30s\"";
}

impl TextSetting for ByteSize {
    const FORM: &'static str = "a size such as \"64KiB\"";
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
            Given::Whole { digits, radix } => Self::from_str_radix(digits, radix).map_err(|_| expected()),
            other => Err(format!("{}, not {}", expected(), other.kind())),
        }
    }
}

impl Setting for bool {
    fn read(given: Given<'_>) -> Result<Self, String> {
        match given {
            Given::Truth(value) => Ok(value),
            Given::Text(text) if text.trim() == "true" => Ok(true),
            Given::Text(text) if text.trim() == "false" => Ok(false),
            _ => Err("true or false is expected, without quotes".to_owned()),
        }
    }
}

/// A list: one in files too, separated by commas in a text; an empty text is the empty list.
impl<T: Setting> Setting for Vec<T> {
    fn read(given: Given<'_>) -> Result<Self, String> {
        match given {
            Given::List(items) => items.into_iter().map(T::read).collect(),
            Given::Text(text) if text.trim().is_empty() => Ok(Self::new()),
            Given::Text(text) => text.split(',').map(|item| T::read(Given::Text(item))).collect(),
            other => Err(format!("a list such as [\"…\", \"…\"] is expected, not {}", other.kind())),
        }
    }
}

/// A setting that is absent unless somebody gives it.
impl<T: Setting> Setting for Option<T> {
    fn read(given: Given<'_>) -> Result<Self, String> {
        T::read(given).map(Some)
    }
}
