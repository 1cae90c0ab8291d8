//! Which session a stop ends whose number is of no use: −1, 0 or none where the start's answer was lost, or
//! one that nobody has given.
//!
//! Tag, meter and time are weighed against each open session. What contradicts one excludes it; if several
//! are left, the tag or the meter has to single one out, or the stop stays unattached. Orphans are candidates
//! too, but only for a stop that lies between their start and the one that has followed, by time and by
//! meter: there it bounds their energy on both sides, and nothing else can have been meant.

mod choice;

use crate::access::id_tags;
use crate::engine::sql::params;
use crate::engine::tx::Read;
use crate::error::Result;
use choice::{Follower, OpenSession, StopData, TagFit, choose};
use vocabulary::clock::Timestamp;
use vocabulary::id::StationId;
use vocabulary::ocpp::authorization::is_same_id_tag;
use vocabulary::ocpp::fact::SessionEnded;
use vocabulary::ocpp::time;

/// Open sessions of one station that are looked at, newest first; a station has a handful.
const CANDIDATES_MAX: usize = 64;

/// A transaction, and where it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TransactionRef {
    pub(super) transaction_id: i64,
    pub(super) connector_id: Option<i64>,
}

/// Finds the open session of `station` that `stop` can only mean.
pub(super) fn infer(
    db: &Read<'_>,
    station: &StationId,
    owner_id: Option<&str>,
    stop: &SessionEnded,
    occurred_at: Option<Timestamp>,
) -> Result<Option<TransactionRef>> {
    let candidates = candidates(db, station, owner_id, stop)?;
    let data = StopData {
        names_a_number: stop.transaction_id.is_some_and(is_a_number),
        meter_wh: stop.meter_stop_wh.filter(|wh| *wh != 0),
        at_ms: occurred_at.map(Timestamp::unix_ms),
        resolution_ms: stop.timestamp_text.as_deref().map_or(1, time::resolution_ms),
    };
    Ok(choose(&data, &candidates))
}

/// Whether a transaction can have this number. −1, as firmware with unsigned ones writes it too, and 0 are
/// none.
pub(super) fn is_a_number(number: i64) -> bool {
    (1..=i64::from(i32::MAX)).contains(&number)
}

fn candidates(
    db: &Read<'_>,
    station: &StationId,
    owner_id: Option<&str>,
    stop: &SessionEnded,
) -> Result<Vec<OpenSession>> {
    let sessions = db.all(
        "SELECT transaction_id, connector_id, id_tag,
                CASE WHEN start_untimed = 1 THEN NULL ELSE started_at_ms END, meter_start_wh,
                last_register_wh, last_register_at_ms, orphaned
         FROM transactions INDEXED BY transactions_active
         WHERE station_id = ?1 AND status = 'active' ORDER BY orphaned, transaction_id DESC LIMIT ?2",
        params![station, CANDIDATES_MAX],
        |row| {
            let session = OpenSession {
                transaction: TransactionRef { transaction_id: row.get(0)?, connector_id: row.get(1)? },
                tag: TagFit::Unknown,
                started_at_ms: row.get(3)?,
                meter_start_wh: row.get(4)?,
                register_wh: row.get(5)?,
                register_at_ms: row.get(6)?,
                follower: None,
            };
            Ok((session, row.get::<Option<String>>(2)?, row.get::<bool>(7)?))
        },
    )?;
    let complete = |(session, id_tag, is_orphan): (OpenSession, Option<String>, bool)| {
        let tag = tag_fit(db, owner_id, stop.id_tag.as_deref(), id_tag.as_deref())?;
        let follower = if is_orphan { Some(follower(db, station, session.transaction)?) } else { None };
        Ok(OpenSession { tag, follower, ..session })
    };
    sessions.into_iter().map(complete).collect()
}

fn tag_fit(
    db: &Read<'_>,
    owner_id: Option<&str>,
    stopped: Option<&str>,
    started: Option<&str>,
) -> Result<TagFit> {
    let is_named = |tag: &&str| is_same_id_tag(tag, tag);
    let (Some(stopped), Some(started)) = (stopped.filter(is_named), started.filter(is_named)) else {
        return Ok(TagFit::Unknown);
    };
    if is_same_id_tag(stopped, started) {
        return Ok(TagFit::Same);
    }
    Ok(match id_tags::share_a_group(db, owner_id, stopped, started)? {
        true => TagFit::Group,
        false => TagFit::Other,
    })
}

/// The start that made an orphan of this session.
fn follower(db: &Read<'_>, station: &StationId, orphan: TransactionRef) -> Result<Follower> {
    let next = db.maybe(
        "SELECT started_at_ms, meter_start_wh FROM transactions INDEXED BY transactions_by_start
         WHERE station_id = ?1 AND connector_id IS NOT DISTINCT FROM ?2 AND transaction_id > ?3
         ORDER BY transaction_id LIMIT 1",
        params![station, orphan.connector_id, orphan.transaction_id],
        |row| Ok(Follower { started_at_ms: row.get(0)?, meter_start_wh: row.get(1)? }),
    )?;
    Ok(next.unwrap_or(Follower { started_at_ms: None, meter_start_wh: None }))
}
