//! The scopes of API keys that operations need.

/// The scope that an API key needs for an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RequiredScope {
    Read,
    Write,
    Command,
    /// Commands of some kind. The request itself says which (`Caller::may_send`).
    SomeCommand,
    Admin,
}

impl RequiredScope {
    /// The scope of this name.
    pub(super) fn named(scope: &str) -> Option<Self> {
        match scope {
            "read" => Some(Self::Read),
            "write" => Some(Self::Write),
            "command" => Some(Self::Command),
            "command:ACTION" => Some(Self::SomeCommand),
            "admin" => Some(Self::Admin),
            _ => None,
        }
    }

    /// Its name in the OpenAPI document.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Command => "command",
            Self::SomeCommand => "command:ACTION",
            Self::Admin => "admin",
        }
    }
}
