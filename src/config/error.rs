//! What is wrong with a configuration: every fault, with where it stands.

use std::fmt;
use std::path::PathBuf;

use vocabulary::similar_name::nearest;

/// Everything that is wrong with a configuration; at least one fault. Shown one to a line.
#[derive(Debug)]
pub struct ConfigError {
    /// The faults, in the order file, environment, command line, then rules over the whole.
    pub faults: Vec<Fault>,
}

/// One fault.
#[derive(Debug)]
pub struct Fault {
    /// Who said it.
    pub source: Source,
    /// The key it is about as `table.key`, where it is about one.
    pub key: Option<String>,
    /// What is wrong.
    pub reason: Reason,
}

/// Where a setting comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Nobody set it.
    Default,
    /// The configuration file, with the line counted from 1.
    File {
        /// The file as it was named.
        path: PathBuf,
        /// The line, where one is to blame.
        line: Option<usize>,
    },
    /// An environment variable.
    Variable(String),
    /// An option of the command line.
    Option(&'static str),
}

/// Why a setting is refused.
#[derive(Debug, thiserror::Error)]
pub enum Reason {
    /// The file cannot be read.
    #[error("cannot be read: {0}")]
    Unreadable(#[from] std::io::Error),
    /// The file is no TOML.
    #[error("is not valid TOML: {0}")]
    Syntax(String),
    /// No such table, key or variable.
    #[error("unknown {what}{}", hint(.nearest))]
    Unknown {
        /// `table`, `key` or `variable`.
        what: &'static str,
        /// The name that was most likely meant.
        nearest: Option<String>,
    },
    /// A key that stands outside any table.
    #[error("stands outside a table: every key belongs under a heading such as [ocpp]")]
    Outside,
    /// The value cannot be read, or is out of range.
    #[error("{0}")]
    Invalid(String),
    /// A choice with a default that is safe on loopback only.
    #[error(
        "must be set: the OCPP listener {listen} can be reached from other machines, \
         so say explicitly what strangers may do ({choices})"
    )]
    MustBeExplicit {
        /// The address of the listener.
        listen: std::net::SocketAddr,
        /// The values there are.
        choices: &'static str,
    },
}

fn hint(nearest: &Option<String>) -> String {
    nearest.as_ref().map(|name| format!("; did you mean {name}?")).unwrap_or_default()
}

impl Reason {
    /// There is no `what` of this name among `known`.
    pub(super) fn unknown<'a>(
        what: &'static str,
        name: &str,
        known: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        Self::Unknown { what, nearest: nearest(name, known).map(str::to_owned) }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("configuration"),
            Self::File { path, line: Some(line) } => write!(f, "{}:{line}", path.display()),
            Self::File { path, line: None } => write!(f, "{}", path.display()),
            Self::Variable(name) => write!(f, "environment variable {name}"),
            Self::Option(name) => write!(f, "option {name}"),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.key {
            Some(key) => write!(f, "{}: {key}: {}", self.source, self.reason),
            None => write!(f, "{}: {}", self.source, self.reason),
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.faults.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            fmt::Display::fmt(fault, f)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}
