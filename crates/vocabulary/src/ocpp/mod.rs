//! OCPP as such: frames, schemas, and one module per version of the protocol.
//!
//! Nothing here does I/O or knows the time: what a message means, and what it is to be answered
//! with, follows from its text and the facts that are passed in.

pub mod authorization;
pub mod boot_status;
pub mod command;
mod decimal;
pub mod decision;
mod escapes;
pub mod fact;
pub mod frame;
pub mod message;
pub mod nesting;
pub mod outgoing;
pub mod protocol;
pub mod purpose;
pub mod reading;
pub mod rejection;
pub mod schema;
pub mod station_clock;
pub mod time;
mod unit;
pub mod v16;
pub mod violations;

/// What a connector and its error can be, in every version so far.
pub use v16::request::{CONNECTOR_STATUSES, ERROR_CODES};

use serde::{Deserialize, Serialize};

use crate::setting::setting_words;

/// What is shown in the place of a secret.
pub const HIDDEN: &str = "***";

/// Something about a message that is not as the specification wants it. The message was served all the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Violation {
    /// The dotted path of the field (`meterValue.0.timestamp`); `None` for the message as a whole.
    pub field: Option<String>,
    /// What is odd: a short code (`missing_field`, `before_boot`), a colon and words where words help.
    pub problem: String,
}

impl Violation {
    /// An oddity of one field.
    pub fn field(path: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { field: Some(path.into()), problem: problem.into() }
    }

    /// An oddity of the whole message.
    pub fn message(problem: impl Into<String>) -> Self {
        Self { field: None, problem: problem.into() }
    }

    /// The code alone, without the words behind it.
    pub fn code(&self) -> &str {
        self.problem.split(':').next().unwrap_or_default()
    }
}

/// How strictly messages of a station are read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Validation {
    /// Oddities are recorded, the message is served wherever its meaning is clear.
    #[default]
    Lenient,
    /// Oddities are answered with the CALLERROR the specification names.
    Strict,
    /// Oddities of the schema are not even looked for.
    Off,
}

setting_words!(Validation: "lenient" => Validation::Lenient, "strict" => Validation::Strict, "off" => Validation::Off);

impl Validation {
    /// The mode as the configuration, the API and the store spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Lenient => "lenient",
            Self::Strict => "strict",
            Self::Off => "off",
        }
    }
}
