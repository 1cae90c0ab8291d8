//! What is logged: a level, and levels of their own for parts of this program.
//!
//! A filter that is merely well-formed is not enough: a slip such as `inof` is the name of some part that
//! there is not, and would silence everything, errors included. So every name must be one that can be logged
//! under.

use std::fmt;
use std::str::FromStr;

use tracing::Level;

use vocabulary::similar_name::nearest;

/// Everything that is logged under names of this crate's begins with it.
const OURS: &str = env!("CARGO_PKG_NAME");

/// The modules of this crate stand here.
const CRATE: &str = include_str!("../lib.rs");

/// The floors below this crate. Each logs under a name of its own, `chargehook_store`, and is found by
/// `chargehook::store` as well.
const FLOORS: [&str; 5] = ["charger_sim", "outbound", "store", "tls", "vocabulary"];

/// Libraries that log. Below `info` nothing of theirs is written, see `telemetry`.
const LIBRARIES: [&str; 13] = [
    "axum",
    "hyper",
    "hyper_util",
    "mio",
    "reqwest",
    "rustls",
    "rustls_platform_verifier",
    "tokio",
    "tokio_rustls",
    "tokio_tungstenite",
    "tokio_util",
    "tower",
    "tungstenite",
];

const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];

const FORMS: &str = "a level (error, warn, info, debug, trace, off), or directives such as \
                     info,chargehook::delivery=debug";

/// `log.level`, in the spelling of `tracing`'s filters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLevel(String);

/// A text that is no filter: which part of it, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidLogLevel(String);

impl LogLevel {
    /// Everything from this level on.
    pub fn from_level(level: Level) -> Self {
        Self(level.as_str().to_ascii_lowercase())
    }

    /// The filter's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for LogLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for LogLevel {
    type Err = InvalidLogLevel;

    fn from_str(text: &str) -> Result<Self, InvalidLogLevel> {
        let parts: Vec<&str> = text.split(',').map(str::trim).collect();
        let mut general = None;
        let mut directives = Vec::new();
        for part in parts {
            match part.split_once('=') {
                Some((target, level)) => {
                    let (target, level) = (target.trim(), level.trim());
                    let target = known_target(part, target)?;
                    let level = known_level(level).ok_or_else(|| wrong_level(part, level))?;
                    directives.push(format!("{target}={level}"));
                }
                None => general = Some(known_level(part).ok_or_else(|| no_directive(part))?),
            }
        }
        // Whoever names parts alone has not asked for silence about the rest: a slip must not hide errors.
        let general = general.unwrap_or("error").to_owned();
        Ok(Self(std::iter::once(general).chain(directives).collect::<Vec<_>>().join(",")))
    }
}

fn known_level(text: &str) -> Option<&'static str> {
    LEVELS.into_iter().find(|level| level.eq_ignore_ascii_case(text))
}

/// The name that is written in the filter for a name that something is logged under.
fn known_target(part: &str, target: &str) -> Result<String, InvalidLogLevel> {
    let (first, rest) = target.split_once("::").map_or((target, None), |(first, rest)| (first, Some(rest)));
    let crates = || std::iter::once(OURS).chain(LIBRARIES);
    let is_floor = first.strip_prefix(OURS).and_then(|rest| rest.strip_prefix('_'));
    if !crates().any(|known| known == first) && !is_floor.is_some_and(|floor| FLOORS.contains(&floor)) {
        return Err(unknown(part, first, nearest(first, crates()).map(str::to_owned)));
    }
    let is_path = |path: &str| {
        path.split("::").all(|name| {
            !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        })
    };
    match rest {
        Some(path) if !is_path(path) => Err(unknown(part, target, None)),
        Some(path) if first == OURS => {
            let module = path.split("::").next().unwrap_or_default();
            match modules().any(|known| known == module) {
                true if FLOORS.contains(&module) => Ok(format!("{OURS}_{path}")),
                true => Ok(target.to_owned()),
                false => {
                    let near = nearest(module, modules()).map(|known| format!("{OURS}::{known}"));
                    Err(unknown(part, target, near))
                }
            }
        }
        _ => Ok(target.to_owned()),
    }
}

/// The modules of this crate, and the floors below it.
fn modules() -> impl Iterator<Item = &'static str> {
    let own = CRATE
        .lines()
        .filter_map(|line| line.trim_start_matches("pub ").strip_prefix("mod ")?.strip_suffix(';'));
    own.chain(FLOORS)
}

fn hint(near: Option<&str>) -> String {
    near.map(|near| format!("; did you mean {near}?")).unwrap_or_default()
}

fn no_directive(part: &str) -> InvalidLogLevel {
    let near = nearest(part, LEVELS);
    InvalidLogLevel(match part {
        "" => format!("a level is missing: write {FORMS}"),
        _ => format!("{part:?} is no level: write {FORMS}{}", hint(near)),
    })
}

fn wrong_level(part: &str, level: &str) -> InvalidLogLevel {
    InvalidLogLevel(format!(
        "{level:?} in {part:?} is no level: it is one of {}{}",
        LEVELS.join(", "),
        hint(nearest(level, LEVELS))
    ))
}

fn unknown(part: &str, name: &str, near: Option<String>) -> InvalidLogLevel {
    InvalidLogLevel(format!(
        "nothing is logged under the name {name:?} in {part:?}: write {FORMS}{}",
        hint(near.as_deref())
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_directives_of_what_there_is_are_read() {
        for (text, filter) in [
            ("info", "info"),
            ("DEBUG", "debug"),
            ("Warn", "warn"),
            ("off", "off"),
            ("info,chargehook::delivery=debug", "info,chargehook::delivery=debug"),
            (" INFO , chargehook = TRACE ", "info,chargehook=trace"),
            ("chargehook::store::engine=debug,warn", "warn,chargehook_store::engine=debug"),
            ("chargehook_store=debug", "error,chargehook_store=debug"),
            ("trace,hyper=trace,reqwest::connect=debug", "trace,hyper=trace,reqwest::connect=debug"),
            ("chargehook::delivery=debug", "error,chargehook::delivery=debug"),
            ("off,chargehook=info", "off,chargehook=info"),
        ] {
            let read: LogLevel = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(read.as_str(), filter, "{text}");
            tracing_subscriber::EnvFilter::try_new(read.as_str()).expect("a filter");
        }
    }

    #[test]
    fn whatever_would_silence_errors_by_a_slip_is_refused_with_the_nearest_word() {
        for (text, words) in [
            ("inof", "did you mean info?"),
            ("chargehook=debgu", "did you mean debug?"),
            ("debug,foo", "\"foo\" is no level"),
            ("debug,chargehok=trace", "did you mean chargehook?"),
            ("chargehook::delivry=debug", "did you mean chargehook::delivery?"),
            ("info,hyperr=warn", "did you mean hyper?"),
            ("", "a level is missing"),
            ("info,", "a level is missing"),
            ("5", "\"5\" is no level"),
            ("chargehook", "is no level"),
            ("chargehook::delivery", "is no level"),
            ("chargehook=", "\"\" in \"chargehook=\" is no level"),
            ("=debug", "under the name \"\""),
            ("a=b=c", "under the name \"a\""),
            ("chargehook=debug=info", "is no level"),
            ("chargehook::=debug", "under the name"),
            ("chargehook[span]=debug", "under the name"),
            ("[{station.id=CP}]=debug", "under the name"),
        ] {
            let error = text.parse::<LogLevel>().expect_err(text).to_string();
            assert!(error.contains(words), "{text}: {error}");
        }
    }

    #[test]
    fn the_modules_are_those_of_the_crate() {
        let all: Vec<_> = modules().collect();
        for module in ["config", "delivery", "serve", "station", "store"] {
            assert!(all.contains(&module), "{module}: {all:?}");
        }
    }
}
