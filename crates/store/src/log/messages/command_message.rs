//! CALLs of ours: each is a command that was sent.

use std::ops::ControlFlow;

use serde_json::value::RawValue;

use super::source::{CHUNK_BYTES, CHUNK_ROWS, Chunk, Order, Rank, SourceMessage};
use crate::engine::row::Row;
use crate::engine::sql::{params, values_of};
use crate::engine::tx::Read;
use crate::error::Result;
use crate::listing::Conditions;
use vocabulary::api::message::{Direction, FrameType, Message};
use vocabulary::id::{CommandId, StationId};
use vocabulary::ocpp::outgoing;

/// A command's position: when it was sent, and below the milliseconds 21 bits that tell commands of one
/// millisecond apart. To the letter the expression of the index `commands_on_the_wire`.
const POSITION: &str = "((sent_at_ms << 21) | (seq & 2097151))";

/// The commands that were sent next behind a position.
pub(super) fn read(db: &Read<'_>, order: &Order<'_>, position: i64) -> Result<Chunk> {
    let conditions = conditions(order, position);
    let sql = format!(
        "SELECT {POSITION}, id, action, payload, sent_at_ms FROM commands INDEXED BY commands_on_the_wire
         WHERE {} ORDER BY {POSITION} {} LIMIT {CHUNK_ROWS}",
        conditions.text(),
        order.direction()
    );
    let (mut messages, mut bytes, mut reaches) = (Vec::new(), 0, position);
    db.each(&sql, &values_of(&conditions.into_values()), |row| {
        bytes += row.weight()?;
        let message = of_command(row)?;
        reaches = message.position;
        messages.push(message);
        Ok(if bytes >= CHUNK_BYTES { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    let more = messages.len() == CHUNK_ROWS || bytes >= CHUNK_BYTES;
    Ok(Chunk { messages, reaches, more })
}

fn conditions(order: &Order<'_>, position: i64) -> Conditions {
    let filter = order.filter;
    let mut conditions = Conditions::default();
    conditions.and("station_id = ?", [order.station.into()]);
    conditions.and_if("+owner_id = ?", filter.owner_id.as_ref());
    conditions.and("sent_at_ms IS NOT NULL", []);
    conditions.and(format!("{POSITION} {} ?", order.beyond()), [position.into()]);
    conditions.and_if("action = ?", filter.action.as_ref());
    conditions.and_at("sent_at_ms >= ?", filter.since);
    conditions.and_at("sent_at_ms < ?", filter.until);
    conditions
}

/// The position of the last command that was sent.
pub(super) fn newest(db: &Read<'_>, station: &StationId) -> Result<i64> {
    let sql = format!(
        "SELECT coalesce(max({POSITION}), 0) FROM commands INDEXED BY commands_on_the_wire
         WHERE station_id = ?1 AND sent_at_ms IS NOT NULL"
    );
    db.one(&sql, params![station], |row| row.get(0))
}

fn of_command(row: &Row<'_>) -> Result<SourceMessage> {
    let id: CommandId = row.get(1)?;
    let action: String = row.get(2)?;
    let payload: Box<RawValue> = row.get(3)?;
    let message_id = outgoing::message_id(id);
    let message = Message {
        id: id.to_string(),
        at: row.get(4)?,
        direction: Direction::Outbound,
        r#type: Some(FrameType::Call),
        message_id: Some(message_id.text()),
        raw: Some(format!("[2,{},\"{action}\",{payload}]", message_id.as_json())),
        action: Some(action),
        event_id: None,
    };
    Ok(SourceMessage { position: row.get(0)?, rank: Rank::Sent, message })
}
