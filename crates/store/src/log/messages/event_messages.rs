//! The messages that an event tells of: what a charger asked with what it was answered, what was refused, and
//! answers to CALLs of ours.

use std::ops::ControlFlow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::source::{CHUNK_BYTES, CHUNK_ROWS, Chunk, Order, Rank, SourceMessage};
use crate::command_result;
use crate::engine::sql::{params, values_of};
use crate::engine::tx::Read;
use crate::error::{Result, StoreError};
use crate::listing::Conditions;
use crate::log::event_row;
use vocabulary::api::command::CommandStatus;
use vocabulary::api::message::{Direction, FrameType, Message};
use vocabulary::event::{Category, Event};
use vocabulary::id::StationId;

/// The name under which the end of a `DataTransfer` of ours is told: as an event it needs one of its own.
const DATA_TRANSFER_SENT: &str = "DataTransferSent";
const DATA_TRANSFER: &str = "DataTransfer";

/// The messages of the events that come next behind a position.
pub(super) fn read(db: &Read<'_>, order: &Order<'_>, position: i64) -> Result<Chunk> {
    let conditions = conditions(order, position);
    let sql = format!(
        "SELECT {} FROM events e WHERE {} ORDER BY seq {} LIMIT {CHUNK_ROWS}",
        event_row::COLUMNS,
        conditions.text(),
        order.direction()
    );
    let mut chunk = Chunk { messages: Vec::new(), reaches: position, more: false };
    let (mut rows, mut bytes) = (0, 0);
    db.each(&sql, &values_of(&conditions.into_values()), |row| {
        rows += 1;
        bytes += row.weight()?;
        let event = event_row::read(row)?;
        let mut messages = of_event(&event)?;
        if order.ascending {
            messages.retain(|message| message.position > position);
            chunk.reaches = place(&event, 1);
        } else {
            messages.retain(|message| message.position < position);
            messages.reverse();
            chunk.reaches = place(&event, 0);
        }
        chunk.messages.extend(messages);
        Ok(if bytes >= CHUNK_BYTES { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    chunk.more = rows == CHUNK_ROWS || bytes >= CHUNK_BYTES;
    Ok(chunk)
}

fn conditions(order: &Order<'_>, position: i64) -> Conditions {
    let filter = order.filter;
    // An event of which the second message is still wanted is read again.
    let (event, second) = (position.div_euclid(2), position.rem_euclid(2));
    let bound = if order.ascending { event - 1 + second } else { event + second };
    let mut conditions = Conditions::default();
    conditions.and("station_id = ?", [order.station.into()]);
    conditions.and_if("+owner_id = ?", filter.owner_id.as_ref());
    conditions.and(format!("seq {} ?", order.beyond()), [bound.into()]);
    conditions.and("(category IN ('ocpp', 'command') OR +event = 'MessageRejected') AND test = 0", []);
    if let Some(action) = &filter.action {
        let sent = if action == DATA_TRANSFER { DATA_TRANSFER_SENT } else { action };
        conditions.and("+event IN (?, ?)", [action.into(), sent.into()]);
    }
    conditions.and_at("timestamp_ms >= ?", filter.since);
    conditions.and_at("timestamp_ms < ?", filter.until);
    conditions
}

/// The position behind a station's last event.
pub(super) fn newest(db: &Read<'_>, station: &StationId) -> Result<i64> {
    let sql = "SELECT coalesce(max(seq), 0) FROM events WHERE station_id = ?1";
    Ok(db.one(sql, params![station], |row| row.get::<i64>(0))? * 2 + 1)
}

/// Where a message of an event stands: the first is number 0, the second 1.
fn place(event: &Event, number: i64) -> i64 {
    event.position.number() * 2 + number
}

/// The payload of a `MessageRejected`.
#[derive(Deserialize)]
struct Rejected {
    raw: Option<String>,
}

/// The payload of a command's end.
#[derive(Deserialize)]
struct CommandEnded<'a> {
    status: Option<CommandStatus>,
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

fn of_event(event: &Event) -> Result<Vec<SourceMessage>> {
    match event.category {
        Category::Ocpp => Ok(served(event)),
        Category::Command => answer_to_us(event),
        _ => rejected(event),
    }
}

/// What a charger sent.
fn inbound(event: &Event, kind: Option<FrameType>, raw: Option<String>) -> SourceMessage {
    SourceMessage {
        position: place(event, 0),
        rank: Rank::Call,
        message: message(event, Direction::Inbound, kind, raw),
    }
}

/// What the charger was answered.
fn answer(event: &Event, kind: FrameType, raw: String) -> SourceMessage {
    SourceMessage {
        position: place(event, 1),
        rank: Rank::Sent,
        message: message(event, Direction::Outbound, Some(kind), Some(raw)),
    }
}

fn message(event: &Event, direction: Direction, kind: Option<FrameType>, raw: Option<String>) -> Message {
    let suffix = match direction {
        Direction::Inbound => "in",
        Direction::Outbound => "out",
    };
    Message {
        id: format!("{}.{suffix}", event.id),
        at: event.timestamp,
        direction,
        r#type: kind,
        action: None,
        message_id: event.message_id.clone(),
        raw,
        event_id: Some(event.id.to_string()),
    }
}

/// The message id as it stands in a frame. A number is noted as odd, which tells it from a string of digits.
fn id_json(event: &Event) -> String {
    let text = event.message_id.as_deref().unwrap_or_default();
    match event.violations.iter().any(|odd| odd.problem.starts_with("message_id: a number")) {
        true => text.to_owned(),
        false => serde_json::Value::from(text).to_string(),
    }
}

/// What a charger asked, and what it was answered.
fn served(event: &Event) -> Vec<SourceMessage> {
    let (id, action) = (id_json(event), event.event.as_str());
    let call = format!("[2,{id},\"{action}\",{}]", as_it_came(event));
    let mut messages = vec![inbound(event, Some(FrameType::Call), Some(call))];
    if let Some(response) = &event.response {
        messages.push(answer(event, FrameType::CallResult, format!("[3,{id},{response}]")));
    }
    for served in &mut messages {
        served.message.action = Some(event.event.clone());
    }
    messages
}

/// The payload without the number that a start was given, which stands at its end.
fn as_it_came(event: &Event) -> String {
    let payload = event.payload.get();
    let number = event.transaction_id.filter(|_| event.event == "StartTransaction");
    let bare = number.and_then(|number| payload.strip_suffix(&format!("\"transactionId\":{number}}}")));
    match bare {
        Some(bare) => format!("{}}}", bare.strip_suffix(',').unwrap_or(bare)),
        None => payload.to_owned(),
    }
}

/// A message that could not be served, and the CALLERROR to it, if there was one.
fn rejected(event: &Event) -> Result<Vec<SourceMessage>> {
    let Rejected { raw } = serde_json::from_str(event.payload.get()).map_err(corrupt)?;
    let kind = raw.as_deref().and_then(FrameType::of);
    let mut messages = vec![inbound(event, kind, raw)];
    if let Some(response) = &event.response {
        let ErrorAnswer { code, description, details } =
            serde_json::from_str(response.get()).map_err(corrupt)?;
        let error = format!("[4,{},{code},{description},{details}]", id_json(event));
        messages.push(answer(event, FrameType::CallError, error));
    }
    Ok(messages)
}

/// The answer to a CALL of ours, if there was one.
fn answer_to_us(event: &Event) -> Result<Vec<SourceMessage>> {
    let ended: CommandEnded<'_> = serde_json::from_str(event.payload.get()).map_err(corrupt)?;
    let id = id_json(event);
    let (kind, raw) = match (ended.status, ended.response, ended.error) {
        (Some(CommandStatus::Completed), Some(response), _) => {
            (Some(FrameType::CallResult), format!("[3,{id},{response}]"))
        }
        (Some(CommandStatus::Error), _, Some(error)) => match unreadable(&error) {
            Some(raw) => (FrameType::of(&raw), raw),
            None => {
                let ErrorAnswer { code, description, details } = error;
                (Some(FrameType::CallError), format!("[4,{id},{code},{description},{details}]"))
            }
        },
        _ => return Ok(Vec::new()),
    };
    let mut answer = inbound(event, kind, Some(raw));
    answer.rank = Rank::Answer;
    let action = if event.event == DATA_TRANSFER_SENT { DATA_TRANSFER } else { event.event.as_str() };
    answer.message.action = Some(action.to_owned());
    Ok(vec![answer])
}

/// The text of an answer that could not be read.
fn unreadable(error: &ErrorAnswer<'_>) -> Option<String> {
    let unreadable: Unreadable = serde_json::from_str(error.details.get()).ok()?;
    let code: String = serde_json::from_str(error.code.get()).ok()?;
    (code == command_result::MALFORMED).then_some(unreadable.raw)
}
