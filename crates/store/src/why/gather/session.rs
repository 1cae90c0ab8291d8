//! What is known of a charging session.

use std::time::Duration;

use super::events;
use super::station;
use crate::commands::list as commands;
use crate::engine::sql::params;
use crate::engine::tx::Read;
use crate::error::Result;
use crate::sessions::transaction_list;
use crate::why::facts::{Seen, SessionFacts};
use vocabulary::api::transaction::{Status, Transaction};
use vocabulary::clock::Timestamp;
use vocabulary::id::StationId;

/// Newest commands of its station that are looked at.
const COMMANDS: u32 = 50;

/// Reports of its connector that are told.
const STATUSES: usize = 20;

/// A report that comes so long after the stop still belongs to the session.
const AFTER_STOP: Duration = Duration::from_secs(5);

/// What the row has beside what the API shows.
struct Beside {
    created_at: Timestamp,
    completed_at: Option<Timestamp>,
    ended_by: Option<String>,
    meter_decimals: bool,
    meter_before_wh: Option<i64>,
    start: i64,
    stop: Option<i64>,
}

fn beside(db: &Read<'_>, transaction_id: i64) -> Result<Beside> {
    db.one(
        "SELECT created_at_ms, completed_at_ms, ended_by, meter_decimals, meter_before_wh, start_event_seq,
                stop_event_seq FROM transactions WHERE transaction_id = ?1",
        params![transaction_id],
        |row| {
            Ok(Beside {
                created_at: row.get(0)?,
                completed_at: row.get(1)?,
                ended_by: row.get(2)?,
                meter_decimals: row.get(3)?,
                meter_before_wh: row.get(4)?,
                start: row.get(5)?,
                stop: row.get(6)?,
            })
        },
    )
}

/// All of it; `None`: there is no such session, or the asker may not see it.
pub(crate) fn facts(
    db: &Read<'_>,
    transaction_id: i64,
    visible_to: Option<&str>,
    now: Timestamp,
) -> Result<Option<SessionFacts>> {
    let session = transaction_list::by_id(db, transaction_id, now)?;
    let is_visible =
        |session: &Transaction| visible_to.is_none() || visible_to == session.owner_id.as_deref();
    let Some(session) = session.filter(is_visible) else { return Ok(None) };
    let beside = beside(db, transaction_id)?;
    let metered_at = db.one(
        "SELECT max(received_at_ms) FROM (
             SELECT received_at_ms FROM meter_values WHERE transaction_id = ?1 ORDER BY at_ms DESC LIMIT 50) AS m",
        params![transaction_id],
        |row| row.get(0),
    )?;
    let mut events = events::of_session(db, transaction_id, visible_to)?;
    let known: Vec<String> = events.iter().map(|seen| seen.id.clone()).collect();
    let ends: Vec<i64> = [beside.start].into_iter().chain(beside.stop).collect();
    events.extend(
        events::at_positions(db, &ends, visible_to)?.into_iter().filter(|seen| !known.contains(&seen.id)),
    );
    events.sort_by_key(|seen| seen.at);
    let id = StationId::new(&session.station_id).ok();
    let (mut station, mut connector, mut own_commands, mut statuses) = (None, None, Vec::new(), Vec::new());
    if let Some(id) = &id {
        station = station::now(db, id, visible_to)?;
        if station.is_some() {
            let connectors = station::connectors(db, id, visible_to)?;
            connector = connectors.into_iter().find(|found| Some(found.connector_id) == session.connector_id);
        }
        own_commands = commands::newest_of_station(db, id, visible_to, COMMANDS)?;
        let until = over_at(db, &session, &beside)?;
        let around = events::between(db, &session.station_id, visible_to, beside.created_at, until)?;
        let of_connector =
            |seen: &Seen| seen.is("StatusNotification") && seen.number("connectorId") == session.connector_id;
        statuses = around.into_iter().filter(of_connector).take(STATUSES).collect();
    }
    if let (Some(command_id), false) =
        (session.command_id, own_commands.iter().any(|own| Some(own.id) == session.command_id))
    {
        own_commands.extend(commands::by_id(db, command_id)?);
    }
    Ok(Some(SessionFacts {
        now,
        created_at: beside.created_at,
        ended_by: beside.ended_by,
        meter_decimals: beside.meter_decimals,
        meter_before_wh: beside.meter_before_wh,
        events,
        metered_at,
        statuses,
        station,
        connector,
        follower: follower(db, &session, beside.created_at, visible_to, now)?,
        commands: own_commands,
        session,
    }))
}

/// When reports of its connector are not its own any more: a little after its stop, or when the next session
/// began there. `None`: they still are.
fn over_at(db: &Read<'_>, session: &Transaction, beside: &Beside) -> Result<Option<Timestamp>> {
    let next: Option<Timestamp> = db.one(
        "SELECT min(created_at_ms) FROM transactions
         WHERE station_id = ?1 AND connector_id IS NOT DISTINCT FROM ?2 AND start_event_seq > ?3",
        params![session.station_id, session.connector_id, beside.start],
        |row| row.get(0),
    )?;
    // Its stop may have come late, or been made up. What its clock is off shows at its start.
    let off = session.started_at.map(|start| beside.created_at.since(start)).unwrap_or_default();
    let stopped =
        beside.completed_at.map(|end| session.stopped_at.map_or(end, |stop| stop.after(off).min(end)));
    let ends = [stopped.map(|end| end.after(AFTER_STOP)), next];
    Ok(ends.into_iter().flatten().min())
}

/// The session that began next on its connector, if that has orphaned it.
fn follower(
    db: &Read<'_>,
    session: &Transaction,
    created_at: Timestamp,
    visible_to: Option<&str>,
    now: Timestamp,
) -> Result<Option<Transaction>> {
    if !session.orphaned && session.status == Status::Completed {
        return Ok(None);
    }
    let next: Option<i64> = db.maybe(
        "SELECT transaction_id FROM transactions
         WHERE station_id = ?1 AND connector_id IS NOT DISTINCT FROM ?2 AND transaction_id <> ?3
           AND start_event_seq > (SELECT own.start_event_seq FROM transactions own WHERE own.transaction_id = ?3)
           AND started_at_ms >= ?4 AND (?5 IS NULL OR owner_id = ?5)
         ORDER BY started_at_ms, start_event_seq LIMIT 1",
        params![
            session.station_id,
            session.connector_id,
            session.transaction_id,
            session.started_at.unwrap_or(created_at),
            visible_to
        ],
        |row| row.get(0),
    )?;
    match next {
        Some(next) => transaction_list::by_id(db, next, now),
        None => Ok(None),
    }
}
