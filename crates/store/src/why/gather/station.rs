//! What is known of a station.

use super::{events, refusals};
use crate::commands::list as commands;
use crate::engine::sql::params;
use crate::engine::tx::Read;
use crate::error::Result;
use crate::sessions::transaction_list;
use crate::stations::{connector_list, list as stations};
use crate::why::facts::{StationFacts, StationNow};
use vocabulary::api::station::Connector;
use vocabulary::api::transaction::Transaction;
use vocabulary::clock::Timestamp;
use vocabulary::id::StationId;

/// Newest commands of a station that are looked at.
const COMMANDS: u32 = 30;

/// Active sessions of a station that are looked at.
const SESSIONS: i64 = 20;

/// The station as it is now, if the asker may see it.
pub(super) fn now(db: &Read<'_>, id: &StationId, visible_to: Option<&str>) -> Result<Option<StationNow>> {
    let station = stations::by_id(db, id)?;
    let is_visible = |owner: Option<&str>| visible_to.is_none() || visible_to == owner;
    let Some(station) = station.filter(|station| is_visible(station.owner_id.as_deref())) else {
        return Ok(None);
    };
    let (silent, booted_at, booted_as) = db.one(
        "SELECT offline, booted_at_ms, booted_as FROM stations WHERE station_id = ?1",
        params![id],
        |row| Ok((row.get(0)?, row.get(1)?, row.maybe_word(2)?)),
    )?;
    Ok(Some(StationNow { station, silent, booted_at, booted_as }))
}

/// The connectors of a station.
pub(super) fn connectors(db: &Read<'_>, id: &StationId, visible_to: Option<&str>) -> Result<Vec<Connector>> {
    connector_list::of_station(db, id, visible_to.map(str::to_owned))
}

/// The sessions that are active on a station.
pub(super) fn active(
    db: &Read<'_>,
    id: &StationId,
    visible_to: Option<&str>,
    now: Timestamp,
) -> Result<Vec<Transaction>> {
    let active: Vec<i64> = db.all(
        "SELECT transaction_id FROM transactions
         WHERE station_id = ?1 AND status = 'active' AND (?2 IS NULL OR owner_id = ?2)
         ORDER BY transaction_id DESC LIMIT ?3",
        params![id, visible_to, SESSIONS],
        |row| row.get(0),
    )?;
    let mut sessions = Vec::new();
    for transaction_id in active {
        sessions.extend(transaction_list::by_id(db, transaction_id, now)?);
    }
    Ok(sessions)
}

/// How long the station waits for a cable, if its configuration is known.
pub(super) fn connection_timeout_s(db: &Read<'_>, id: &StationId) -> Result<Option<u64>> {
    let value: Option<Option<String>> = db.maybe(
        "SELECT value FROM configuration_keys
         WHERE station_id = ?1 AND folded_key = 'connectiontimeout' AND known = 1",
        params![id],
        |row| row.get(0),
    )?;
    Ok(value.flatten().and_then(|value| value.trim().parse().ok()))
}

/// All of it; `None`: nobody knows the identity, or the asker may not.
pub(crate) fn facts(
    db: &Read<'_>,
    id: &StationId,
    visible_to: Option<&str>,
    now: Timestamp,
) -> Result<Option<StationFacts>> {
    let identity = id.to_string();
    let station = self::now(db, id, visible_to)?;
    if station.is_none() && visible_to.is_some() {
        return Ok(None);
    }
    let mut refused = refusals::of_identity(db, &identity, visible_to)?;
    let Some(station) = station else {
        let exact = refused.filter(|refused| refused.identity == identity);
        return match exact {
            Some(refused) => Ok(Some(StationFacts {
                events: events::newest(db, &identity, None)?,
                refused: Some(refused),
                station: None,
                ..StationFacts::of(identity, now)
            })),
            None => Ok(None),
        };
    };
    if let (None, Some(name)) = (&refused, &station.certificate_name) {
        refused = refusals::of_identity(db, name, visible_to)?;
    }
    Ok(Some(StationFacts {
        connectors: connectors(db, id, visible_to)?,
        refused,
        refused_addresses: refusals::of_addresses(db, &station, visible_to, now)?,
        events: events::newest(db, &identity, visible_to)?,
        commands: commands::newest_of_station(db, id, visible_to, COMMANDS)?,
        sessions: active(db, id, visible_to, now)?,
        connection_timeout_s: connection_timeout_s(db, id)?,
        station: Some(station),
        ..StationFacts::of(identity, now)
    }))
}
