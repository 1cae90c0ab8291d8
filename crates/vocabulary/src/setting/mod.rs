//! Settings: how one value is read, and how an engine declares the table of those that it uses.
//!
//! Each engine declares its tables in a file of its own (`settings.rs`) with [`table!`](macro@table): names,
//! types, defaults. `config` merges what file, environment and command line say over all of them; it is the
//! only one that knows where a value comes from.

mod node;
mod server;
mod table;
mod values;

use std::fmt::Display;
use std::str::FromStr;

pub use node::{InvalidNodeName, Node, NodeName};
pub use server::Server;
pub use table::{Broken, Rules, Table};

#[doc(inline)]
pub use crate::__setting_words as setting_words;
#[doc(inline)]
pub use crate::__settings_table as table;

/// A value as somebody gave it. Not `Debug`: it may be a secret.
#[derive(Clone)]
pub enum Given<'a> {
    /// In the environment or on the command line, where everything is text.
    Text(&'a str),
    /// In a file, in quotes.
    Quoted(&'a str),
    /// In a file: a whole number, without separators between its digits.
    Whole {
        /// The digits.
        digits: &'a str,
        /// What they are to the base of.
        radix: u32,
    },
    /// In a file: true or false.
    Truth(bool),
    /// In a file: one after the other.
    List(Vec<Given<'a>>),
    /// In a file: something that no setting is written as; what it is called.
    Other(&'static str),
}

impl<'a> Given<'a> {
    /// The text, where the setting is written as one in files too.
    ///
    /// # Errors
    /// It is none; `what` says what is expected.
    pub fn text(&self, what: &str) -> Result<&'a str, String> {
        match self {
            Self::Text(text) => Ok(text.trim()),
            Self::Quoted(text) => Ok(text),
            other => Err(format!("{what} is expected, in quotes, not {}", other.kind())),
        }
    }

    /// What it is called in errors.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) | Self::Quoted(_) => "a string",
            Self::Whole { .. } => "a bare number",
            Self::Truth(_) => "a boolean",
            Self::List(_) => "a list",
            Self::Other(kind) => kind,
        }
    }
}

/// A type that settings can have.
pub trait Setting: Sized {
    /// Reads a value.
    ///
    /// # Errors
    /// What to write instead.
    fn read(given: Given<'_>) -> Result<Self, String>;
}

/// A setting that is written as a text and read by its `FromStr`, whose error says what to write instead.
pub trait TextSetting: FromStr<Err: Display> {
    /// What is expected, with an example.
    const FORM: &'static str;
}

impl<T: TextSetting> Setting for T {
    fn read(given: Given<'_>) -> Result<Self, String> {
        given.text(T::FORM)?.parse().map_err(|error: T::Err| error.to_string())
    }
}
