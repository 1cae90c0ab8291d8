//! What comes of remote starts: `Accepted` only means that the charger will try. The transaction exists once
//! its `StartTransaction` has come, which names no command; it is recognised by connector and tag.

use std::time::Duration;

use rusqlite::{Row, params};
use serde::Serialize;
use serde_json::value::to_raw_value;

use crate::command_result::EndedCommand;
use crate::engine::embedded::raw_cells as cells;
use crate::engine::tx::Tx;
use crate::error::Result;
use crate::log::append;
use crate::log::append::Manner;
use crate::sessions::transactions;
use vocabulary::api::command::RemoteStartOutcome;
use vocabulary::clock::Timestamp;
use vocabulary::event::{Category, NewEvent};
use vocabulary::id::{CommandId, StationId};
use vocabulary::ocpp::authorization::is_same_id_tag;
use vocabulary::ocpp::fact::SessionStarted;
use vocabulary::ocpp::station_clock;

/// How long an accepted remote start may take to become a transaction: longer than any charger waits for
/// its cable to be plugged in.
const OPEN_FOR: Duration = Duration::from_secs(180);

/// How much earlier than the command a start it brought about can claim to be: chargers' clocks are not
/// exact.
const CLOCKS_DIFFER_BY: Duration = Duration::from_secs(60);

/// The time that a start claims, and what is known of the clock that it is of.
pub(crate) struct StartTime {
    /// The charger's own, if it can be true.
    pub(crate) occurred_at: Option<Timestamp>,
    /// What its clock shows.
    pub(crate) clock_shows: Option<Timestamp>,
    /// When the message came.
    pub(crate) received_at: Timestamp,
    /// How far the clock is ahead, if that is known.
    pub(crate) clock_skew_ms: Option<i64>,
}

impl StartTime {
    /// The latest command that such a start can come of, by when it was sent.
    ///
    /// A start out of the charger's offline queue is older than the command, and not its doing. How wrong the
    /// clock is never lets an older one pass: of a clock that is behind it is one that was sent at once, by
    /// that very clock.
    fn latest_sent_ms(&self) -> i64 {
        let Some(occurred_at) = self.occurred_at else {
            // Of before its clock was set, where that is by now; else the order of arrival has to do.
            let is_set = self.clock_skew_ms.is_some_and(|ahead_ms| !station_clock::was_never_set(ahead_ms));
            return if is_set && self.clock_shows.is_some() { i64::MIN } else { i64::MAX };
        };
        let ahead_ms = self.clock_skew_ms.unwrap_or(0);
        let offset_ms = occurred_at.unix_ms().saturating_sub(self.received_at.unix_ms());
        let differ_ms = CLOCKS_DIFFER_BY.as_millis() as i64;
        if ahead_ms < -differ_ms && offset_ms.abs_diff(ahead_ms) <= differ_ms as u64 {
            return i64::MAX;
        }
        occurred_at.after(CLOCKS_DIFFER_BY).unix_ms().saturating_sub(ahead_ms.max(0))
    }
}

/// A remote start was accepted: its outcome is open, unless the transaction has come before the answer.
pub(crate) fn accepted(w: &mut Tx<'_>, command: &EndedCommand<'_>) -> Result<()> {
    if let Some(transaction_id) = command.transaction_id {
        return conclude(w, command.id, command.station, Some(transaction_id));
    }
    if command.late
        && let Some(transaction_id) = begun_meanwhile(w, command.id)?
    {
        meant(w, command.id, transaction_id)?;
        return conclude(w, command.id, command.station, Some(transaction_id));
    }
    w.conn
        .prepare_cached("UPDATE commands SET outcome_due_ms = ?2 WHERE id = ?1")?
        .execute(params![command.id.to_string(), w.monotonic.after(OPEN_FOR).unix_ms()])?;
    Ok(())
}

/// The transaction that a remote start has brought about between its end without an answer and the late one:
/// when it began nobody knew that the charger had accepted.
fn begun_meanwhile(w: &Tx<'_>, id: CommandId) -> Result<Option<i64>> {
    let mut begun = w.conn.prepare_cached(
        "SELECT t.transaction_id, json_extract(c.payload, '$.idTag'), t.id_tag
             FROM commands c
             JOIN transactions t ON t.station_id = c.station_id
             JOIN stations s ON s.station_id = c.station_id
             WHERE c.id = ?1 AND t.command_id IS NULL AND t.created_at_ms >= c.sent_at_ms
               AND (c.sent_at_ms <= t.started_at_ms + ?2 - max(coalesce(s.clock_skew_ms, 0), 0)
                    OR (s.clock_skew_ms < -?2
                        AND abs(t.started_at_ms - t.created_at_ms - s.clock_skew_ms) <= ?2))
               AND coalesce(json_extract(c.payload, '$.connectorId'), t.connector_id) IS t.connector_id
             ORDER BY t.transaction_id",
    )?;
    let mut rows = begun.query(params![id.to_string(), CLOCKS_DIFFER_BY.as_millis() as i64])?;
    while let Some(row) = rows.next()? {
        if names_this_tag(row, 1, row.get::<_, Option<String>>(2)?.as_deref())? {
            return Ok(Some(row.get(0)?));
        }
    }
    Ok(None)
}

/// Whether a command, whose tag stands in this column, is about the tag of a start: chargers add stray bytes
/// to it.
fn names_this_tag(row: &Row<'_>, column: usize, id_tag: Option<&str>) -> Result<bool> {
    let asked: Option<String> = row.get(column)?;
    Ok(asked.as_deref().zip(id_tag).is_some_and(|(asked, id_tag)| is_same_id_tag(asked, id_tag)))
}

/// Ties a transaction and the command that it comes of to each other.
fn meant(w: &mut Tx<'_>, id: CommandId, transaction_id: i64) -> Result<()> {
    let stamp = transactions::stamp(w)?;
    w.conn
        .prepare_cached(
            "UPDATE transactions SET command_id = ?2, updated_at_ms = ?3, change_seq = ?4 WHERE transaction_id = ?1",
        )?
        .execute(params![transaction_id, id.to_string(), stamp.at_ms, stamp.seq])?;
    w.conn
        .prepare_cached("UPDATE commands SET transaction_id = ?2 WHERE id = ?1")?
        .execute(params![id.to_string(), transaction_id])?;
    Ok(())
}

/// A transaction has begun: the oldest remote start that can have meant it has its outcome, and the
/// transaction its command. One whose answer is still waited for has it when that comes.
pub(crate) fn begun(
    w: &mut Tx<'_>,
    station: &StationId,
    start: &SessionStarted,
    transaction_id: i64,
    time: &StartTime,
) -> Result<()> {
    let wanted = oldest_open(w, station, start, time.latest_sent_ms())?;
    let Some((id, unanswered)) = wanted else { return Ok(()) };
    meant(w, id, transaction_id)?;
    match unanswered {
        true => Ok(()),
        false => conclude(w, id, station, Some(transaction_id)),
    }
}

/// The oldest remote start that can mean this transaction, and whether its answer is still waited for.
fn oldest_open(
    w: &Tx<'_>,
    station: &StationId,
    start: &SessionStarted,
    latest_sent_ms: i64,
) -> Result<Option<(CommandId, bool)>> {
    let mut open = w.conn.prepare_cached(
        "SELECT id, status = 'sent', json_extract(payload, '$.idTag') FROM
               (SELECT * FROM commands INDEXED BY commands_awaiting_outcome
                WHERE station_id = ?1 AND outcome_due_ms IS NOT NULL AND outcome_due_ms > ?2
                UNION ALL
                SELECT * FROM commands INDEXED BY commands_sent
                WHERE station_id = ?1 AND status = 'sent' AND transaction_id IS NULL)
             WHERE action = 'RemoteStartTransaction' AND sent_at_ms <= ?3
               AND coalesce(json_extract(payload, '$.connectorId'), ?4) IS ?4
             ORDER BY seq",
    )?;
    let mut rows =
        open.query(params![station.as_str(), w.monotonic.unix_ms(), latest_sent_ms, start.connector_id])?;
    while let Some(row) = rows.next()? {
        if names_this_tag(row, 2, start.id_tag.as_deref())? {
            return Ok(Some((cells::parsed(row, 0)?, row.get(1)?)));
        }
    }
    Ok(None)
}

/// Gives up waiting for transactions that are overdue, a bounded number at a time.
pub(crate) fn give_up(w: &mut Tx<'_>) -> Result<()> {
    let overdue: Vec<(CommandId, StationId)> = w
        .conn
        .prepare_cached("SELECT id, station_id FROM commands WHERE outcome_due_ms <= ?1 LIMIT 500")?
        .query_map([w.monotonic.unix_ms()], |row| Ok((cells::parsed(row, 0)?, cells::parsed(row, 1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    for (id, station) in overdue {
        conclude(w, id, &station, None)?;
    }
    Ok(())
}

/// Settles the outcome of a remote start, with its event.
fn conclude(w: &mut Tx<'_>, id: CommandId, station: &StationId, transaction_id: Option<i64>) -> Result<()> {
    #[derive(Serialize)]
    struct Payload {
        command_id: CommandId,
        outcome: RemoteStartOutcome,
        transaction_id: Option<i64>,
    }
    let outcome = match transaction_id {
        Some(_) => RemoteStartOutcome::Started,
        None => RemoteStartOutcome::NotStarted,
    };
    w.conn
        .prepare_cached("UPDATE commands SET outcome = ?2, outcome_due_ms = NULL WHERE id = ?1")?
        .execute(params![id.to_string(), outcome.as_str()])?;
    let payload = to_raw_value(&Payload { command_id: id, outcome, transaction_id })?;
    let event = NewEvent {
        transaction_id,
        ..NewEvent::about_station(Category::Command, "RemoteStartOutcome", station, w.now, payload)
    };
    append::append(w, &event, Manner::default()).map(drop)
}
