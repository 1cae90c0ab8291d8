//! The result of a change to something that somebody has read before.

/// The result of a change to a webhook or a station.
#[derive(Debug, Clone)]
pub enum Changed<T> {
    /// It was changed.
    Done(T),
    /// Nothing was changed: somebody else has changed it since it was read.
    Stale,
    /// Nothing was changed: it does not exist.
    Unknown,
}
