//! What a station and the gateway said to each other: a view over events and commands, not a log of its own.
//!
//! A charger's CALL and the answer to it are one event; a message that was refused is another; the answer to
//! a CALL of ours is in the event of the command's end. The CALL itself is in the command, at the time it was
//! sent.

use std::collections::VecDeque;

use rusqlite::{Row, Rows, params_from_iter};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::Store;
use crate::engine::embedded::raw_cells as cells;
use crate::engine::sql::Value;
use crate::error::{Result, StoreError};
use crate::listing::{Conditions, Listed, PAGE_BYTES, Slice};
use vocabulary::api::message::{Direction, FrameType, Message};
use vocabulary::clock::Timestamp;
use vocabulary::id::{CommandId, StationId};
use vocabulary::ocpp::Violation;
use vocabulary::ocpp::outgoing;

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

/// The name under which the end of a `DataTransfer` of ours is told: as an event it needs one of its own.
const DATA_TRANSFER_SENT: &str = "DataTransferSent";
const DATA_TRANSFER: &str = "DataTransfer";

/// A command's position: when it was sent, and below the milliseconds 21 bits that tell commands of one
/// millisecond apart. To the letter the expression of the index `commands_on_the_wire`.
const POSITION: &str = "((sent_at_ms << 21) | (seq & 2097151))";

impl Store {
    /// One page of a station's messages. Its position is that of the last event's half and of the last command.
    pub async fn messages(
        &self,
        station: StationId,
        filter: MessageFilter,
        slice: Slice,
    ) -> Result<Listed<Message>> {
        let Listed { rows, next } = self.messages_after(station, filter, slice).await?;
        Ok(Listed { rows: rows.into_iter().map(|(message, _)| message).collect(), next })
    }

    /// A station's messages behind a position, each with its own.
    pub async fn messages_after(
        &self,
        station: StationId,
        filter: MessageFilter,
        slice: Slice,
    ) -> Result<Listed<(Message, (i64, i64))>> {
        self.read(move |conn| {
            let (first, beyond, direction) = match slice.ascending {
                true => ((-1, -1), ">", "ASC"),
                false => ((i64::MAX, i64::MAX), "<", "DESC"),
            };
            let (event_at, command_at) = slice.after.unwrap_or(first);
            let mut events = Conditions::default();
            events.and_if("station_id = ?", Some(station.as_str().to_owned()));
            events.and_if("+owner_id = ?", filter.owner_id.clone());
            // Both halves of the event in the middle of which the last page ended are looked at again.
            events.and(format!("seq {beyond}= ?"), [Value::from(event_at.div_euclid(2))]);
            events.and("(category IN ('ocpp', 'command') OR +event = 'MessageRejected') AND test = 0", []);
            if let Some(action) = &filter.action {
                let sent = if action == DATA_TRANSFER { DATA_TRANSFER_SENT } else { action };
                events.and("+event IN (?, ?)", [action.clone().into(), sent.to_owned().into()]);
            }
            events.and_at("timestamp_ms >= ?", filter.since);
            events.and_at("timestamp_ms < ?", filter.until);
            let mut commands = Conditions::default();
            commands.and_if("station_id = ?", Some(station.as_str().to_owned()));
            commands.and_if("+owner_id = ?", filter.owner_id.clone());
            commands.and("sent_at_ms IS NOT NULL", []);
            commands.and(format!("{POSITION} {beyond} ?"), [Value::from(command_at)]);
            commands.and_if("action = ?", filter.action.clone());
            commands.and_at("sent_at_ms >= ?", filter.since);
            commands.and_at("sent_at_ms < ?", filter.until);

            let mut events_read = conn.prepare_cached(&format!(
                "SELECT seq, id, event, category, timestamp_ms, transaction_id, payload, message_id, response, violations
                 FROM events WHERE {} ORDER BY seq {direction}",
                events.text()
            ))?;
            let mut commands_read = conn.prepare_cached(&format!(
                "SELECT {POSITION}, id, action, payload, sent_at_ms FROM commands INDEXED BY commands_on_the_wire
                 WHERE {} ORDER BY {POSITION} {direction}",
                commands.text()
            ))?;
            let mut merge = Merge {
                events: events_read.query(params_from_iter(events.into_values()))?,
                halves: VecDeque::new(),
                commands: commands_read.query(params_from_iter(commands.into_values()))?,
                command: None,
                ascending: slice.ascending,
                event_at,
                command_at,
            };
            let (mut rows, mut last, mut bytes) = (Vec::new(), (0, 0), 0);
            while let Some(message) = merge.next()? {
                if filter.direction.is_some_and(|direction| direction != message.direction) {
                    continue;
                }
                if rows.len() == slice.limit as usize || bytes >= PAGE_BYTES {
                    return Ok(Listed { rows, next: Some(last) });
                }
                last = (merge.event_at, merge.command_at);
                bytes += message.raw.as_ref().map_or(0, String::len);
                rows.push((message, last));
            }
            Ok(Listed { rows, next: None })
        })
        .await
    }

    /// The position behind everything that a station's messages have come to: where following begins.
    pub async fn newest_message(&self, station: StationId) -> Result<(i64, i64)> {
        self.read(move |conn| {
            let event: i64 = conn
                .prepare_cached("SELECT coalesce(max(seq), 0) FROM events WHERE station_id = ?1")?
                .query_row([station.as_str()], |row| row.get(0))?;
            let command: i64 = conn
                .prepare_cached(&format!(
                    "SELECT coalesce(max({POSITION}), 0) FROM commands INDEXED BY commands_on_the_wire
                     WHERE station_id = ?1 AND sent_at_ms IS NOT NULL"
                ))?
                .query_row([station.as_str()], |row| row.get(0))?;
            Ok((event * 2 + 1, command))
        })
        .await
    }
}

/// A message on its way into a page.
struct Half {
    position: i64,
    /// What comes first of the same millisecond: what the charger asked, our CALLs, the answers to them.
    rank: u8,
    message: Message,
}

/// Two sources, each in its order, as one.
struct Merge<'s> {
    events: Rows<'s>,
    halves: VecDeque<Half>,
    commands: Rows<'s>,
    command: Option<Half>,
    ascending: bool,
    event_at: i64,
    command_at: i64,
}

impl Merge<'_> {
    fn next(&mut self) -> Result<Option<Message>> {
        while self.halves.is_empty()
            && let Some(row) = self.events.next()?
        {
            let mut halves = of_event(row)?;
            halves.retain(|half| match self.ascending {
                true => half.position > self.event_at,
                false => half.position < self.event_at,
            });
            if !self.ascending {
                halves.reverse();
            }
            self.halves.extend(halves);
        }
        if self.command.is_none()
            && let Some(row) = self.commands.next()?
        {
            self.command = Some(of_command(row)?);
        }
        let event_is_next = match (self.halves.front(), &self.command) {
            (Some(event), Some(command)) => {
                let event_is_older = (event.message.at, event.rank) < (command.message.at, command.rank);
                event_is_older == self.ascending
            }
            (event, _) => event.is_some(),
        };
        let half = if event_is_next { self.halves.pop_front() } else { self.command.take() };
        Ok(half.map(|half| {
            let at = if event_is_next { &mut self.event_at } else { &mut self.command_at };
            *at = half.position;
            half.message
        }))
    }
}

fn of_command(row: &Row<'_>) -> Result<Half> {
    let id: CommandId = cells::parsed(row, 1)?;
    let action: String = row.get(2)?;
    let message_id = outgoing::message_id(id);
    let payload = cells::raw(row, 3)?;
    let message = Message {
        id: id.to_string(),
        at: cells::moment(row, 4)?,
        direction: Direction::Outbound,
        r#type: Some(FrameType::Call),
        message_id: Some(message_id.text()),
        raw: Some(format!("[2,{},\"{action}\",{payload}]", message_id.as_json())),
        action: Some(action),
        event_id: None,
    };
    Ok(Half { position: row.get(0)?, rank: 1, message })
}

/// An event's row, as far as it tells of messages.
struct Told {
    seq: i64,
    id: String,
    event: String,
    at: Timestamp,
    transaction_id: Option<i64>,
    payload: Box<RawValue>,
    message_id: Option<String>,
    response: Option<Box<RawValue>>,
    violations: Vec<Violation>,
}

fn of_event(row: &Row<'_>) -> Result<Vec<Half>> {
    let category: String = row.get(3)?;
    let told = Told {
        seq: row.get(0)?,
        id: row.get(1)?,
        event: row.get(2)?,
        at: cells::moment(row, 4)?,
        transaction_id: row.get(5)?,
        payload: cells::raw(row, 6)?,
        message_id: row.get(7)?,
        response: cells::maybe_raw(row, 8)?,
        violations: cells::maybe_json(row, 9)?.unwrap_or_default(),
    };
    match category.as_str() {
        "ocpp" => Ok(told.served()),
        "command" => told.answer_to_us(),
        _ => told.rejected(),
    }
}

/// The payload of a `MessageRejected`.
#[derive(Deserialize)]
struct Rejected {
    raw: Option<String>,
}

/// The payload of a command's end.
#[derive(Deserialize)]
struct CommandEnded<'a> {
    status: Option<&'a str>,
    #[serde(borrow)]
    response: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<ErrorAnswer<'a>>,
}

/// A CALLERROR, of ours or of a charger.
#[derive(Deserialize)]
struct ErrorAnswer<'a> {
    #[serde(borrow)]
    code: &'a RawValue,
    #[serde(borrow)]
    description: &'a RawValue,
    #[serde(borrow)]
    details: &'a RawValue,
}

/// What is kept of an answer that cannot be read.
#[derive(Deserialize)]
struct Unreadable {
    raw: String,
}

fn corrupt(error: serde_json::Error) -> StoreError {
    StoreError::Corrupt(format!("an event's payload: {error}"))
}

impl Told {
    fn half(&self, part: i64, direction: Direction, kind: Option<FrameType>, raw: Option<String>) -> Half {
        let (suffix, rank) = match direction {
            Direction::Inbound => ("in", 0),
            Direction::Outbound => ("out", 0),
        };
        let message = Message {
            id: format!("{}.{suffix}", self.id),
            at: self.at,
            direction,
            r#type: kind,
            action: None,
            message_id: self.message_id.clone(),
            raw,
            event_id: Some(self.id.clone()),
        };
        Half { position: self.seq * 2 + part, rank, message }
    }

    /// The message id as it stands in a frame. A number is noted as odd, which tells it from a string of
    /// digits.
    fn id_json(&self) -> String {
        let text = self.message_id.as_deref().unwrap_or_default();
        match self.violations.iter().any(|odd| odd.problem.starts_with("message_id: a number")) {
            true => text.to_owned(),
            false => serde_json::Value::from(text).to_string(),
        }
    }

    /// What a charger asked, and what it was answered.
    fn served(self) -> Vec<Half> {
        let (id, action) = (self.id_json(), self.event.as_str());
        let call = format!("[2,{id},\"{action}\",{}]", self.as_it_came());
        let mut halves = vec![self.half(0, Direction::Inbound, Some(FrameType::Call), Some(call))];
        if let Some(response) = &self.response {
            let result = format!("[3,{id},{response}]");
            halves.push(self.half(1, Direction::Outbound, Some(FrameType::CallResult), Some(result)));
        }
        for half in &mut halves {
            half.message.action = Some(self.event.clone());
        }
        halves
    }

    /// The payload without the number that a start was given, which stands at its end.
    fn as_it_came(&self) -> String {
        let payload = self.payload.get();
        let number = self.transaction_id.filter(|_| self.event == "StartTransaction");
        let bare = number.and_then(|number| payload.strip_suffix(&format!("\"transactionId\":{number}}}")));
        match bare {
            Some(bare) => format!("{}}}", bare.strip_suffix(',').unwrap_or(bare)),
            None => payload.to_owned(),
        }
    }

    /// A message that could not be served, and the CALLERROR to it, if there was one.
    fn rejected(self) -> Result<Vec<Half>> {
        let Rejected { raw } = serde_json::from_str(self.payload.get()).map_err(corrupt)?;
        let kind = raw.as_deref().and_then(FrameType::of);
        let mut halves = vec![self.half(0, Direction::Inbound, kind, raw)];
        if let Some(response) = &self.response {
            let ErrorAnswer { code, description, details } =
                serde_json::from_str(response.get()).map_err(corrupt)?;
            let error = format!("[4,{},{code},{description},{details}]", self.id_json());
            halves.push(self.half(1, Direction::Outbound, Some(FrameType::CallError), Some(error)));
        }
        Ok(halves)
    }

    /// The answer to a CALL of ours, if there was one.
    fn answer_to_us(self) -> Result<Vec<Half>> {
        let ended: CommandEnded<'_> = serde_json::from_str(self.payload.get()).map_err(corrupt)?;
        let id = self.id_json();
        let (kind, raw) = match (ended.status, ended.response, ended.error) {
            (Some("completed"), Some(response), _) => {
                (Some(FrameType::CallResult), format!("[3,{id},{response}]"))
            }
            (Some("error"), _, Some(error)) => {
                match serde_json::from_str::<Unreadable>(error.details.get()) {
                    Ok(Unreadable { raw }) if error.code.get() == "\"MalformedResponse\"" => {
                        (FrameType::of(&raw), raw)
                    }
                    _ => {
                        let ErrorAnswer { code, description, details } = error;
                        (Some(FrameType::CallError), format!("[4,{id},{code},{description},{details}]"))
                    }
                }
            }
            _ => return Ok(Vec::new()),
        };
        let mut half = self.half(0, Direction::Inbound, kind, Some(raw));
        half.rank = 2;
        let action = if self.event == DATA_TRANSFER_SENT { DATA_TRANSFER } else { self.event.as_str() };
        half.message.action = Some(action.to_owned());
        Ok(vec![half])
    }
}
