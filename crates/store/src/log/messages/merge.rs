//! Messages from events and from commands, as one list in the order of their times.

use std::collections::VecDeque;

use super::source::{Chunk, Order, Rank, SourceMessage};
use super::{MessageFilter, MessagePosition, PlacedMessage, command_message, event_messages};
use crate::engine::tx::Read;
use crate::error::Result;
use crate::listing::Slice;
use vocabulary::clock::Timestamp;
use vocabulary::id::StationId;

/// Reads what comes next of a source, behind a position.
type ReadChunk = fn(&Read<'_>, &Order<'_>, i64) -> Result<Chunk>;

struct Source {
    read: ReadChunk,
    /// Read, and not yet taken.
    ahead: VecDeque<SourceMessage>,
    /// The position up to which it was read.
    reaches: i64,
    more: bool,
}

impl Source {
    fn new(read: ReadChunk, position: i64) -> Self {
        Self { read, ahead: VecDeque::new(), reaches: position, more: true }
    }

    /// Makes sure that the next message is read, if there is one.
    fn look_ahead(&mut self, db: &Read<'_>, order: &Order<'_>) -> Result<()> {
        while self.ahead.is_empty() && self.more {
            let chunk = (self.read)(db, order, self.reaches)?;
            self.ahead.extend(chunk.messages);
            (self.reaches, self.more) = (chunk.reaches, chunk.more);
        }
        Ok(())
    }

    /// By what its next message is compared with the other source's.
    fn next_at(&self) -> Option<(Timestamp, Rank)> {
        self.ahead.front().map(|next| (next.message.at, next.rank))
    }
}

/// Two sources, each in its order, as one.
pub(super) struct Merge<'a> {
    db: &'a Read<'a>,
    order: Order<'a>,
    events: Source,
    commands: Source,
    position: MessagePosition,
}

impl<'a> Merge<'a> {
    /// Begins where `slice` does.
    pub(super) fn new(
        db: &'a Read<'a>,
        station: &'a StationId,
        filter: &'a MessageFilter,
        slice: &Slice,
    ) -> Self {
        let ascending = slice.ascending;
        let position = slice.after.map_or(MessagePosition::start(ascending), Into::into);
        Self {
            db,
            order: Order { station, filter, ascending },
            events: Source::new(event_messages::read, position.event),
            commands: Source::new(command_message::read, position.command),
            position,
        }
    }

    /// The next message of both.
    pub(super) fn next(&mut self) -> Result<Option<PlacedMessage>> {
        self.events.look_ahead(self.db, &self.order)?;
        self.commands.look_ahead(self.db, &self.order)?;
        let event_is_next = match (self.events.next_at(), self.commands.next_at()) {
            (Some(event), Some(command)) => (event < command) == self.order.ascending,
            (event, _) => event.is_some(),
        };
        let (source, position) = match event_is_next {
            true => (&mut self.events, &mut self.position.event),
            false => (&mut self.commands, &mut self.position.command),
        };
        let Some(next) = source.ahead.pop_front() else { return Ok(None) };
        *position = next.position;
        Ok(Some(PlacedMessage { message: next.message, position: self.position }))
    }
}
