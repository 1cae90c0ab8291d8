//! Events of a station or a session, as far as they tell something.

use serde_json::Value;

use crate::engine::row::Row;
use crate::engine::sql::params;
use crate::engine::tx::Read;
use crate::error::Result;
use crate::why::facts::Seen;
use vocabulary::clock::Timestamp;
use vocabulary::id::EventId;

/// Newest events of a station that are looked at. One that meters all day tells little in more of them.
const WINDOW: i64 = 400;

/// Events of a session at each of its ends that are looked at.
const ENDS: i64 = 20;

/// A longer payload, in characters, tells nothing that a rule knows.
const PAYLOAD_CHARS_MAX: i64 = 16 << 10;

/// The types that rules know, whoever asks.
pub(super) const TELLING: &str = "'StationDiscovered', 'StationConnected', 'StationDisconnected',
    'StationRejected', 'StationOffline', 'StationOnline', 'BootNotification', 'StatusNotification',
    'FirmwareStatusNotification', 'SignedFirmwareStatusNotification', 'DiagnosticsStatusNotification',
    'LogStatusNotification', 'Authorize', 'StartTransaction', 'StopTransaction'";

const COLUMNS: &str = "e.id, e.event, e.timestamp_ms, e.station_id, e.transaction_id, e.payload, e.response,
    e.id_tag_reason";

/// Whose events are told: `None` is everybody's.
pub(super) type VisibleTo<'a> = Option<&'a str>;

pub(super) fn read(row: &Row<'_>) -> Result<Seen> {
    // What a charger has sent as its payload may be anything.
    let json =
        |text: Option<&str>| text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or(Value::Null);
    Ok(Seen {
        id: row.get(0)?,
        event: row.get(1)?,
        at: row.get(2)?,
        station_id: row.get(3)?,
        transaction_id: row.get(4)?,
        payload: json(row.maybe_text(5)?),
        response: json(row.maybe_text(6)?),
        id_tag_reason: row.get(7)?,
    })
}

/// Events of a station of these types (SQL words), the newest first, among the newest of all that lie in
/// these positions.
fn of_station_between(
    db: &Read<'_>,
    station: &str,
    to: VisibleTo<'_>,
    types: &str,
    (from, until): (i64, i64),
) -> Result<Vec<Seen>> {
    let sql = of_station_sql(types);
    db.all(&sql, params![station, from, until, WINDOW, to, PAYLOAD_CHARS_MAX], read)
}

fn of_station_sql(types: &str) -> String {
    format!(
        "SELECT {COLUMNS} FROM events e
         WHERE e.seq IN (
             SELECT n.seq FROM (
                 SELECT seq, event, owner_id, duplicate_of FROM events
                 WHERE station_id = ?1 AND seq >= ?2 AND seq <= ?3 ORDER BY seq DESC LIMIT ?4) AS n
             WHERE n.event IN ({types}) AND n.duplicate_of IS NULL AND (?5 IS NULL OR n.owner_id = ?5))
           AND length(e.payload) <= ?6
         ORDER BY e.seq DESC"
    )
}

/// A station's newest events that tell something, the newest first.
pub(super) fn newest(db: &Read<'_>, station: &str, to: VisibleTo<'_>) -> Result<Vec<Seen>> {
    of_station_between(db, station, to, TELLING, (0, i64::MAX))
}

/// A station's events that tell something and lie between two moments, the newest first.
pub(super) fn between(
    db: &Read<'_>,
    station: &str,
    to: VisibleTo<'_>,
    since: Timestamp,
    until: Option<Timestamp>,
) -> Result<Vec<Seen>> {
    let first = first_since(db, since)?.unwrap_or(i64::MAX);
    let last = match until {
        Some(until) => first_since(db, until)?.unwrap_or(i64::MAX),
        None => i64::MAX,
    };
    of_station_between(db, station, to, TELLING, (first, last))
}

/// Where the first event stands that came at this moment or later; ids are given in order, and begin with
/// their moment.
pub(super) fn first_since(db: &Read<'_>, moment: Timestamp) -> Result<Option<i64>> {
    let least = EventId::from_value(vocabulary::id::least_at(moment));
    db.maybe("SELECT seq FROM events WHERE id >= ?1 ORDER BY id LIMIT 1", params![least], |row| row.get(0))
}

/// A session's events but for its meter values: the first ones and the newest ones, in order.
pub(super) fn of_session(db: &Read<'_>, transaction_id: i64, to: VisibleTo<'_>) -> Result<Vec<Seen>> {
    db.all(&of_session_sql(), params![transaction_id, ENDS, to, PAYLOAD_CHARS_MAX], read)
}

fn of_session_sql() -> String {
    let part = |order: &str| {
        format!(
            "SELECT n.seq FROM (
                 SELECT seq, event, owner_id, duplicate_of FROM events
                 WHERE transaction_id = ?1 ORDER BY seq {order} LIMIT ?2) AS n
             WHERE n.event <> 'MeterValues' AND n.duplicate_of IS NULL AND (?3 IS NULL OR n.owner_id = ?3)"
        )
    };
    format!(
        "SELECT {COLUMNS} FROM events e
         WHERE e.seq IN ({} UNION {}) AND length(e.payload) <= ?4 ORDER BY e.seq",
        part("ASC"),
        part("DESC")
    )
}

/// The events at these positions, in order.
pub(super) fn at_positions(db: &Read<'_>, positions: &[i64], to: VisibleTo<'_>) -> Result<Vec<Seen>> {
    let mut found = Vec::new();
    for position in positions {
        let sql =
            format!("SELECT {COLUMNS} FROM events e WHERE e.seq = ?1 AND (?2 IS NULL OR e.owner_id = ?2)");
        found.extend(db.maybe(&sql, params![position, to], read)?);
    }
    Ok(found)
}

/// Events of one type, the newest first, among the newest of that type in the installation.
pub(super) fn newest_of_type(
    db: &Read<'_>,
    event: &str,
    to: VisibleTo<'_>,
) -> Result<Vec<(Seen, Option<String>)>> {
    db.all(&of_type_sql(), params![event, WINDOW, to, PAYLOAD_CHARS_MAX], |row| Ok((read(row)?, row.get(8)?)))
}

fn of_type_sql() -> String {
    format!(
        "SELECT {COLUMNS}, e.owner_id FROM events e
         WHERE e.seq IN (
             SELECT n.seq FROM (
                 SELECT seq, owner_id, duplicate_of FROM events WHERE event = ?1 ORDER BY seq DESC LIMIT ?2) AS n
             WHERE n.duplicate_of IS NULL AND (?3 IS NULL OR n.owner_id = ?3))
           AND length(e.payload) <= ?4
         ORDER BY e.seq DESC"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::embedded::database_file::DatabaseFile;

    #[test]
    fn a_million_events_are_not_read_for_an_answer() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut database = DatabaseFile::open(&dir.path().join("t.db")).expect("opens");
        database.migrate().expect("migrates");
        let nothing: Option<&str> = None;
        for (sql, index, values) in [
            (of_station_sql(TELLING), "events_by_station", params!["CP", 0, 9, 9, nothing, 9]),
            (of_session_sql(), "events_by_transaction", params![1, 9, nothing, 9]),
            (of_type_sql(), "events_by_type", params!["Authorize", 9, nothing, 9]),
        ] {
            let steps =
                database.read().all(&format!("EXPLAIN QUERY PLAN {sql}"), values, |row| row.get::<String>(3));
            let steps = steps.expect("explains").join("; ");
            assert!(steps.contains(index) && steps.contains("SEARCH e USING INTEGER PRIMARY KEY"), "{steps}");
            assert!(!steps.contains("SCAN events") && !steps.contains("SCAN e"), "{steps}");
        }
    }
}
