//! Whether a station is served: what its boot is answered with.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Whether a station is served (`boot_status`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BootStatus {
    /// It is.
    #[default]
    Accepted,
    /// Not yet: it may be configured, but starts nothing.
    Pending,
    /// It is not, and is to stay silent.
    Rejected,
}

impl BootStatus {
    /// Every status.
    pub const ALL: [Self; 3] = [Self::Accepted, Self::Pending, Self::Rejected];

    /// The status as the API spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Pending => "pending",
            Self::Rejected => "rejected",
        }
    }

    /// The status as it is spelled in a frame.
    pub fn wire(self) -> &'static str {
        match self {
            Self::Accepted => "Accepted",
            Self::Pending => "Pending",
            Self::Rejected => "Rejected",
        }
    }
}

impl fmt::Display for BootStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
