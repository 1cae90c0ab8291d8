//! The versions of OCPP that are spoken.

use std::fmt;
use std::str::FromStr;

/// A version of OCPP.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// OCPP 1.6 (JSON) with the security extension. What is stored without a version is of this one.
    #[default]
    V16,
}

impl Protocol {
    /// Every version, the oldest first.
    pub const ALL: [Self; 1] = [Self::V16];

    /// The version as the handshake, events and their receivers spell it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V16 => "ocpp1.6",
        }
    }

    /// The version as people call it.
    pub fn title(self) -> &'static str {
        match self {
            Self::V16 => "OCPP 1.6",
        }
    }
}

/// A text that names no version that is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a version of OCPP that is spoken")]
pub struct UnknownProtocol;

impl FromStr for Protocol {
    type Err = UnknownProtocol;

    fn from_str(text: &str) -> Result<Self, UnknownProtocol> {
        Self::ALL.into_iter().find(|protocol| protocol.as_str() == text).ok_or(UnknownProtocol)
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
