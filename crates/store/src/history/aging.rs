//! History that is past its time goes station by station. What held at the border stays, so that the time
//! behind it is known.

use crate::engine::sql::params;
use crate::engine::tx::Tx;
use crate::error::Result;
use vocabulary::clock::Timestamp;
use vocabulary::id::StationId;

/// Rows removed at once, of each table.
const AT_ONCE: usize = 50;

/// That a station `s` has rows that nothing needs which began at `?2` or later.
pub(crate) const HAS_OLD_ROWS: &str = "(
    EXISTS (SELECT 1 FROM connectors c WHERE c.station_id = s.station_id
            AND (SELECT h.at_ms FROM connector_history h
                 WHERE h.station_id = c.station_id AND h.connector_id = c.connector_id
                 ORDER BY h.at_ms LIMIT 1 OFFSET 1) <= ?2)
    OR (SELECT p.at_ms FROM presence_history p WHERE p.station_id = s.station_id
        ORDER BY p.at_ms LIMIT 1 OFFSET 1) <= ?2
    OR (SELECT d.at_ms FROM downtime_causes d WHERE d.station_id = s.station_id
        ORDER BY d.at_ms LIMIT 1) <= ?2)";

/// Removes some of a station's rows that are past their time; whether none is left.
pub(crate) fn remove_some(w: &Tx<'_>, station: &StationId, before: Timestamp) -> Result<bool> {
    let mut done = true;
    let connectors: Vec<i64> =
        w.all("SELECT connector_id FROM connectors WHERE station_id = ?1", params![station], |row| {
            row.get(0)
        })?;
    for connector_id in connectors {
        let removed = w.run(
            "DELETE FROM connector_history WHERE station_id = ?1 AND connector_id = ?2 AND at_ms IN (
                 SELECT h.at_ms FROM connector_history h WHERE h.station_id = ?1 AND h.connector_id = ?2
                    AND h.at_ms < (SELECT max(n.at_ms) FROM connector_history n
                                   WHERE n.station_id = ?1 AND n.connector_id = ?2 AND n.at_ms <= ?3)
                 ORDER BY h.at_ms LIMIT ?4)",
            params![station, connector_id, before, AT_ONCE],
        )?;
        done &= removed < AT_ONCE;
    }
    let removed = w.run(
        "DELETE FROM presence_history WHERE station_id = ?1 AND at_ms IN (
             SELECT p.at_ms FROM presence_history p WHERE p.station_id = ?1
                AND p.at_ms < (SELECT max(n.at_ms) FROM presence_history n
                               WHERE n.station_id = ?1 AND n.at_ms <= ?2)
             ORDER BY p.at_ms LIMIT ?3)",
        params![station, before, AT_ONCE],
    )?;
    done &= removed < AT_ONCE;
    // An order that is older than everything else excludes nothing any more.
    w.run("DELETE FROM downtime_causes WHERE station_id = ?1 AND at_ms <= ?2", params![station, before])?;
    Ok(done)
}

/// Notes that rows of these stations, given by `seq`, may have been removed.
pub(crate) fn note_removed(w: &mut Tx<'_>, stations: &[i64]) -> Result<()> {
    for seq in stations {
        let station =
            w.maybe("SELECT station_id FROM stations WHERE seq = ?1", params![*seq], |row| row.get(0))?;
        if let Some(station) = station {
            super::changed_from(w, &station, Timestamp::from_unix_ms(0));
        }
    }
    Ok(())
}
