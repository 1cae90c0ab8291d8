//! What has ended a transaction.

/// What has ended a transaction, as `transactions.ended_by` spells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EndedBy {
    /// The charger's own stop.
    Stop,
    /// Somebody's word, while the stop did not come.
    Close,
    /// Nothing had come for long, though another session followed on its connector.
    Orphan,
}

impl EndedBy {
    /// How it is spelled in a row.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Close => "close",
            Self::Orphan => "orphan",
        }
    }
}
