//! The statuses of connectors, as they change.

use crate::engine::job::Foreseen;
use crate::engine::sql::params;
use crate::engine::tx::Tx;
use crate::error::Result;
use vocabulary::clock::Timestamp;
use vocabulary::id::StationId;
use vocabulary::ocpp::fact::ConnectorStatus;

/// The error code of a connector without error.
const NO_ERROR: &str = "NoError";

/// A status that holds from some moment on.
pub(crate) struct Held {
    at: Timestamp,
    status: String,
    error_code: Option<String>,
}

impl Held {
    fn is(&self, status: &str, error_code: Option<&str>) -> bool {
        self.status == status && self.error_code.as_deref() == error_code
    }
}

/// What [`newest`] reads.
pub(crate) fn foreseen(station: &StationId, connector_id: i64) -> Foreseen {
    Foreseen::new(HELD_AT, params![station, connector_id, ALWAYS])
}

/// The newest status of a connector that is on record.
pub(crate) fn newest(w: &Tx<'_>, station: &StationId, connector_id: i64) -> Result<Option<Held>> {
    held_at(w, station, connector_id, ALWAYS)
}

/// Whether there is a status on record and it is from before a moment, or of it.
pub(crate) fn is_behind(held: Option<&Held>, at: Timestamp) -> bool {
    held.is_some_and(|held| held.at <= at)
}

/// Keeps what a connector tells, if it is another status than it had at that moment. `held` is its newest
/// one on record. `is_newest`: nothing newer is known of the connector; else it came out of a queue, and
/// what came before the first status that is on record is not kept. Where `held` is behind, nobody asks for
/// it.
pub(crate) fn note(
    w: &mut Tx<'_>,
    station: &StationId,
    told: &ConnectorStatus,
    at: Timestamp,
    (mut held, is_newest): (Option<Held>, bool),
) -> Result<()> {
    let (Some(connector_id), Some(status)) = (told.connector_id, told.status.as_deref()) else {
        return Ok(());
    };
    let error_code = told.error_code.as_deref().filter(|code| *code != NO_ERROR);
    if held.as_ref().is_some_and(|held| held.at > at) {
        if is_newest {
            // Our clock was set back since.
            super::changed_from(w, station, at);
            w.run(
                "DELETE FROM connector_history WHERE station_id = ?1 AND connector_id = ?2 AND at_ms > ?3",
                params![station, connector_id, at],
            )?;
        }
        held = held_at(w, station, connector_id, at)?;
    }
    match &held {
        Some(held) if held.is(status, error_code) => return Ok(()),
        None if !is_newest => return Ok(()),
        _ => {}
    }
    super::changed_from(w, station, at);
    w.send(
        "INSERT INTO connector_history (station_id, connector_id, at_ms, status, error_code)
         SELECT s.station_id, CAST(?2 AS BIGINT), CAST(?3 AS BIGINT), CAST(?4 AS TEXT), CAST(?5 AS TEXT)
         FROM stations s WHERE s.station_id = ?1
         ON CONFLICT (station_id, connector_id, at_ms) DO UPDATE
         SET status = excluded.status, error_code = excluded.error_code",
        params![station, connector_id, at, status, error_code],
    )
}

const HELD_AT: &str = "SELECT at_ms, status, error_code FROM connector_history
         WHERE station_id = ?1 AND connector_id = ?2 AND at_ms <= ?3 ORDER BY at_ms DESC LIMIT 1";

/// Behind all moments.
const ALWAYS: Timestamp = Timestamp::from_unix_ms(i64::MAX);

/// The status that a connector had at a moment.
fn held_at(w: &Tx<'_>, station: &StationId, connector_id: i64, at: Timestamp) -> Result<Option<Held>> {
    w.maybe(HELD_AT, params![station, connector_id, at], |row| {
        Ok(Held { at: row.get(0)?, status: row.get(1)?, error_code: row.get(2)? })
    })
}
