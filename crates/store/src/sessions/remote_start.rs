//! What comes of remote starts: `Accepted` only means that the charger will try. The transaction exists once
//! its `StartTransaction` has come, which names no command; it is recognised by connector and tag.

use std::time::Duration;

use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use crate::command_result::{EndedCommand, purpose};
use crate::engine::sql::params;
use crate::engine::tx::Tx;
use crate::error::Result;
use crate::log::append::{self, AppendOptions};
use crate::sessions::transactions;
use vocabulary::api::command::RemoteStartOutcome;
use vocabulary::clock::Timestamp;
use vocabulary::event::{Category, NewEvent};
use vocabulary::id::{CommandId, StationId};
use vocabulary::ocpp::authorization::is_same_id_tag;
use vocabulary::ocpp::command::CommandAction;
use vocabulary::ocpp::fact::SessionStarted;
use vocabulary::ocpp::purpose::{Purpose, RemoteStart};
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
pub(crate) fn accepted(w: &mut Tx<'_>, command: &EndedCommand<'_>, asked: &RemoteStart) -> Result<()> {
    if let Some(transaction_id) = command.transaction_id {
        return settle(w, command.id, command.action, command.station, Some(transaction_id));
    }
    if command.late
        && let Some(transaction_id) = started_meanwhile(w, command.id, asked)?
    {
        link(w, command.id, transaction_id)?;
        return settle(w, command.id, command.action, command.station, Some(transaction_id));
    }
    w.run(
        "UPDATE commands SET outcome_due_ms = ?2 WHERE id = ?1",
        params![command.id, w.monotonic.after(OPEN_FOR)],
    )?;
    Ok(())
}

/// The transaction that a remote start has brought about between its end without an answer and the late one:
/// when it started nobody knew that the charger had accepted.
fn started_meanwhile(w: &Tx<'_>, id: CommandId, asked: &RemoteStart) -> Result<Option<i64>> {
    let started: Vec<(i64, Option<i64>, Option<String>)> = w.all(
        "SELECT t.transaction_id, t.connector_id, t.id_tag
         FROM commands c
         JOIN transactions t ON t.station_id = c.station_id
         JOIN stations s ON s.station_id = c.station_id
         WHERE c.id = ?1 AND t.command_id IS NULL AND t.created_at_ms >= c.sent_at_ms
           AND (c.sent_at_ms <= t.started_at_ms + ?2
                    - CASE WHEN s.clock_skew_ms > 0 THEN s.clock_skew_ms ELSE 0 END
                OR (s.clock_skew_ms < -?2
                    AND abs(t.started_at_ms - t.created_at_ms - s.clock_skew_ms) <= ?2))
         ORDER BY t.transaction_id",
        params![id, CLOCKS_DIFFER_BY.as_millis() as i64],
        |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
    )?;
    let meant =
        started.iter().find(|(_, connector_id, id_tag)| is_about(asked, *connector_id, id_tag.as_deref()));
    Ok(meant.map(|(transaction_id, ..)| *transaction_id))
}

/// Whether a remote start is about this connector and tag; chargers add stray bytes to tags.
fn is_about(asked: &RemoteStart, connector_id: Option<i64>, id_tag: Option<&str>) -> bool {
    let same_tag = id_tag.is_some_and(|id_tag| is_same_id_tag(&asked.id_tag, id_tag));
    same_tag && (asked.connector_id.is_none() || asked.connector_id == connector_id)
}

/// Ties a transaction and the command that it comes of to each other.
fn link(w: &mut Tx<'_>, id: CommandId, transaction_id: i64) -> Result<()> {
    let stamp = transactions::next_stamp(w)?;
    w.run(
        "UPDATE transactions SET command_id = ?2, updated_at_ms = ?3, change_seq = ?4
         WHERE transaction_id = ?1",
        params![transaction_id, id, stamp.at, stamp.seq],
    )?;
    w.run("UPDATE commands SET transaction_id = ?2 WHERE id = ?1", params![id, transaction_id])?;
    Ok(())
}

/// A transaction has started: the oldest remote start that can have meant it has its outcome, and the
/// transaction its command. One whose answer is still waited for has it when that comes.
pub(crate) fn transaction_started(
    w: &mut Tx<'_>,
    station: &StationId,
    start: &SessionStarted,
    transaction_id: i64,
    time: &StartTime,
) -> Result<()> {
    let Some(open) = oldest_open(w, station, start, time.latest_sent_ms())? else { return Ok(()) };
    link(w, open.id, transaction_id)?;
    match open.is_answered {
        true => settle(w, open.id, open.action, station, Some(transaction_id)),
        false => Ok(()),
    }
}

/// A remote start that no transaction has followed yet.
struct OpenRemoteStart {
    id: CommandId,
    is_answered: bool,
    action: CommandAction,
    payload: Box<RawValue>,
}

/// The oldest remote start that can mean this transaction.
fn oldest_open(
    w: &Tx<'_>,
    station: &StationId,
    start: &SessionStarted,
    latest_sent_ms: i64,
) -> Result<Option<OpenRemoteStart>> {
    let all_open = w.all(
        "SELECT id, status <> 'sent', action, payload FROM
             (SELECT * FROM commands INDEXED BY commands_awaiting_outcome
              WHERE station_id = ?1 AND outcome_due_ms IS NOT NULL AND outcome_due_ms > ?2
              UNION ALL
              SELECT * FROM commands INDEXED BY commands_sent
              WHERE station_id = ?1 AND status = 'sent' AND transaction_id IS NULL) AS open
         WHERE sent_at_ms <= ?3 ORDER BY seq",
        params![station, w.monotonic, latest_sent_ms],
        |row| {
            let (id, is_answered) = (row.get(0)?, row.get(1)?);
            Ok(OpenRemoteStart { id, is_answered, action: row.parsed(2)?, payload: row.get(3)? })
        },
    )?;
    for open in all_open {
        // A command whose payload cannot be read keeps no start from being served.
        let Ok(Purpose::StartSession(asked)) = purpose(open.id, open.action, &open.payload) else { continue };
        if is_about(&asked, start.connector_id, start.id_tag.as_deref()) {
            return Ok(Some(open));
        }
    }
    Ok(None)
}

/// Gives up waiting for transactions that are overdue, a bounded number at a time.
pub(crate) fn settle_overdue(w: &mut Tx<'_>) -> Result<()> {
    let overdue: Vec<(CommandId, CommandAction, StationId)> = w.all(
        "SELECT id, action, station_id FROM commands WHERE outcome_due_ms <= ?1 LIMIT 500",
        params![w.monotonic],
        |row| Ok((row.parsed(0)?, row.parsed(1)?, row.parsed(2)?)),
    )?;
    for (id, action, station) in overdue {
        settle(w, id, action, &station, None)?;
    }
    Ok(())
}

/// Settles the outcome of a remote start, with its event.
fn settle(
    w: &mut Tx<'_>,
    id: CommandId,
    action: CommandAction,
    station: &StationId,
    transaction_id: Option<i64>,
) -> Result<()> {
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
    w.run(
        "UPDATE commands SET outcome = ?2, outcome_due_ms = NULL WHERE id = ?1",
        params![id, outcome.as_str()],
    )?;
    let payload = to_raw_value(&Payload { command_id: id, outcome, transaction_id })?;
    let event = NewEvent {
        transaction_id,
        protocol: Some(action.protocol()),
        ..NewEvent::about_station(Category::Command, "RemoteStartOutcome", station, w.now, payload)
    };
    append::append(w, &event, AppendOptions::default()).map(drop)
}
