//! What is known of a command.

use std::time::Duration;

use super::{events, station};
use crate::commands::list as commands;
use crate::engine::tx::Read;
use crate::error::Result;
use crate::sessions::transaction_list;
use crate::why::facts::CommandFacts;
use vocabulary::api::command::Command;
use vocabulary::clock::Timestamp;
use vocabulary::id::{CommandId, StationId};

/// Commands of its station around it that are looked at.
const OTHERS: u32 = 20;

/// What came so long before it was ordered still tells something.
const BEFORE: Duration = Duration::from_secs(3_600);

/// What came so long after it was sent is not its doing, but for updates of firmware, whose reports are rare.
const AFTER: Duration = Duration::from_secs(24 * 3_600);

/// All of it; `None`: there is no such command, or the asker may not see it.
pub(crate) fn facts(
    db: &Read<'_>,
    id: CommandId,
    visible_to: Option<&str>,
    now: Timestamp,
) -> Result<Option<CommandFacts>> {
    let command = commands::by_id(db, id)?;
    let is_visible = |command: &Command| visible_to.is_none() || visible_to == command.owner_id.as_deref();
    let Some(command) = command.filter(is_visible) else { return Ok(None) };
    let payload: serde_json::Value = serde_json::from_str(command.payload.get()).unwrap_or_default();
    let mut facts = CommandFacts {
        now,
        connector_id: payload["connectorId"].as_i64(),
        station: None,
        connectors: Vec::new(),
        events: Vec::new(),
        others: Vec::new(),
        sessions: Vec::new(),
        connection_timeout_s: None,
        command,
    };
    let Ok(station_id) = StationId::new(&facts.command.station_id) else { return Ok(Some(facts)) };
    let began = facts.command.created_at;
    let until = facts.command.sent_at.unwrap_or(began).after(AFTER);
    facts.events =
        events::between(db, &facts.command.station_id, visible_to, began.before(BEFORE), Some(until))?;
    facts.events.reverse();
    facts.others = commands::newest_of_station(db, &station_id, visible_to, OTHERS)?;
    facts.others.retain(|other| other.id != id);
    facts.station = station::now(db, &station_id, visible_to)?;
    if facts.station.is_some() {
        facts.connectors = station::connectors(db, &station_id, visible_to)?;
        facts.connection_timeout_s = station::connection_timeout_s(db, &station_id)?;
    }
    facts.sessions = station::active(db, &station_id, visible_to, now)?;
    if let Some(transaction_id) = facts.command.transaction_id {
        facts.sessions.retain(|session| session.transaction_id != transaction_id);
        facts.sessions.extend(transaction_list::by_id(db, transaction_id, now)?);
    } else if let Some(connector_id) = facts.connector_id.filter(|id| *id > 0) {
        facts.sessions.retain(|session| session.connector_id == Some(connector_id));
    }
    Ok(Some(facts))
}
