//! What both sources of messages have in common.

use super::MessageFilter;
use vocabulary::api::message::Message;
use vocabulary::id::StationId;

/// A message of one of the two sources.
pub(super) struct SourceMessage {
    /// Where it stands in its source.
    pub(super) position: i64,
    pub(super) rank: Rank,
    pub(super) message: Message,
}

/// What comes first of the same millisecond.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    /// What a charger asked.
    Call,
    /// What the gateway sent: a CALL, or an answer.
    Sent,
    /// A charger's answer.
    Answer,
}

/// Rows of a source that are read at once, and bytes of them: the row that goes beyond is the last.
pub(super) const CHUNK_ROWS: usize = 50;
pub(super) const CHUNK_BYTES: usize = 256 << 10;

/// What is read of one source at once.
pub(super) struct Chunk {
    /// In the order that is asked for.
    pub(super) messages: Vec<SourceMessage>,
    /// The position up to which it was read.
    pub(super) reaches: i64,
    /// There may be more behind it.
    pub(super) more: bool,
}

/// What is asked of a source.
pub(super) struct Order<'a> {
    pub(super) station: &'a StationId,
    pub(super) filter: &'a MessageFilter,
    pub(super) ascending: bool,
}

impl Order<'_> {
    /// How a position compares with one that comes before it.
    pub(super) fn beyond(&self) -> &'static str {
        if self.ascending { ">" } else { "<" }
    }

    /// As SQL says it.
    pub(super) fn direction(&self) -> &'static str {
        if self.ascending { "ASC" } else { "DESC" }
    }
}
