//! What a station and the gateway said to each other: a view over events and commands, not a log of its own.
//!
//! A charger's CALL and the answer to it are one event; a message that was refused is another; the answer to
//! a CALL of ours is in the event of the command's end. The CALL itself is in the command, at the time it was
//! sent.

mod command_message;
mod event_messages;
mod merge;
mod source;

use std::fmt;
use std::str::FromStr;

use crate::Store;
use crate::engine::tx::Read;
use crate::error::Result;
use crate::listing::{Listed, PAGE_BYTES, Slice};
use merge::Merge;
use vocabulary::api::message::{Direction, Message};
use vocabulary::clock::Timestamp;
use vocabulary::id::StationId;

/// Which messages of a station are wanted; what is not given does not matter.
#[derive(Debug, Clone, Default)]
pub struct MessageFilter {
    /// Whose station it was then.
    pub owner_id: Option<String>,
    /// Which way they went.
    pub direction: Option<Direction>,
    /// What they ask, or answer.
    pub action: Option<String>,
    /// They went over the wire then or later.
    pub since: Option<Timestamp>,
    /// They went over the wire before that.
    pub until: Option<Timestamp>,
}

/// How far a reader of a station's messages has come. They come from two tables, each in an order of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessagePosition {
    /// The last message of an event: twice the event's position, and one more for the second message of it.
    pub(crate) event: i64,
    /// The last command, by the time at which it was sent.
    pub(crate) command: i64,
}

/// A message, and how far somebody has come who has read up to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlacedMessage {
    /// The message.
    pub message: Message,
    /// Where the next one is looked for.
    pub position: MessagePosition,
}

/// Messages in their order.
#[derive(Debug)]
pub struct MessagePage {
    /// The messages.
    pub messages: Vec<PlacedMessage>,
    /// There are more behind the last one.
    pub more: bool,
}

impl Store {
    /// One page of a station's messages.
    pub async fn messages(
        &self,
        station: StationId,
        filter: MessageFilter,
        slice: Slice,
    ) -> Result<Listed<Message>> {
        let page = self.read(move |db| page(db, &station, &filter, &slice)).await?;
        let next = page.messages.last().filter(|_| page.more).map(|last| last.position.into());
        Ok(Listed { rows: page.messages.into_iter().map(|placed| placed.message).collect(), next })
    }

    /// At most `limit` of a station's messages behind a position, the oldest first.
    pub async fn messages_after(
        &self,
        station: StationId,
        filter: MessageFilter,
        position: MessagePosition,
        limit: u32,
    ) -> Result<MessagePage> {
        let slice = Slice { ascending: true, after: Some(position.into()), limit };
        self.read(move |db| page(db, &station, &filter, &slice)).await
    }

    /// The position behind everything that a station's messages have come to: where following begins.
    pub async fn newest_message(&self, station: StationId) -> Result<MessagePosition> {
        self.read(move |db| {
            Ok(MessagePosition {
                event: event_messages::newest(db, &station)?,
                command: command_message::newest(db, &station)?,
            })
        })
        .await
    }
}

/// Reads on until the page is full or there is nothing more.
fn page(db: &Read<'_>, station: &StationId, filter: &MessageFilter, slice: &Slice) -> Result<MessagePage> {
    let mut merge = Merge::new(db, station, filter, slice);
    let (mut messages, mut bytes) = (Vec::new(), 0);
    while let Some(placed) = merge.next()? {
        if filter.direction.is_some_and(|direction| direction != placed.message.direction) {
            continue;
        }
        if messages.len() == slice.limit as usize || bytes >= PAGE_BYTES {
            return Ok(MessagePage { messages, more: true });
        }
        bytes += placed.message.raw.as_ref().map_or(0, String::len);
        messages.push(placed);
    }
    Ok(MessagePage { messages, more: false })
}

impl MessagePosition {
    /// Before all messages, in the order that is asked for.
    fn start(ascending: bool) -> Self {
        let edge = if ascending { -1 } else { i64::MAX };
        Self { event: edge, command: edge }
    }
}

impl From<(i64, i64)> for MessagePosition {
    fn from((event, command): (i64, i64)) -> Self {
        Self { event, command }
    }
}

impl From<MessagePosition> for (i64, i64) {
    fn from(position: MessagePosition) -> Self {
        (position.event, position.command)
    }
}

/// As the ids of a stream spell it.
impl fmt::Display for MessagePosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.event, self.command)
    }
}

/// A text that is no position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a position in a station's messages")]
pub struct NoMessagePosition;

impl FromStr for MessagePosition {
    type Err = NoMessagePosition;

    fn from_str(text: &str) -> std::result::Result<Self, NoMessagePosition> {
        let number = |text: &str| text.parse().ok().filter(|number: &i64| *number >= 0);
        let (event, command) = text.split_once('-').ok_or(NoMessagePosition)?;
        match (number(event), number(command)) {
            (Some(event), Some(command)) => Ok(Self { event, command }),
            _ => Err(NoMessagePosition),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_reads_back() {
        let position = "17-42".parse::<MessagePosition>();
        assert_eq!(position, Ok(MessagePosition { event: 17, command: 42 }));
        assert_eq!(position.map(|position| position.to_string()).as_deref(), Ok("17-42"));
        for text in ["", "17", "17-", "-1-2", "a-b", "1--2"] {
            assert_eq!(text.parse::<MessagePosition>(), Err(NoMessagePosition), "{text}");
        }
    }
}
