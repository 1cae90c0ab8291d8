//! Whether stations can be reached, as that changes.

use crate::engine::sql::params;
use crate::engine::tx::Tx;
use crate::error::Result;
use vocabulary::clock::Timestamp;
use vocabulary::history::Presence;
use vocabulary::id::StationId;

/// Keeps that a station is there, or away, since `at`, if it was otherwise until then. One that cannot be
/// reached is away since then, however it stays away.
pub(crate) fn note(w: &mut Tx<'_>, station: &StationId, presence: Presence, at: Timestamp) -> Result<()> {
    let mut newest = newest(w, station)?;
    if newest.is_some_and(|(_, since)| since > w.now) {
        // Our clock was set back since.
        super::changed_from(w, station, w.now);
        w.run("DELETE FROM presence_history WHERE station_id = ?1 AND at_ms > ?2", params![station, w.now])?;
        newest = self::newest(w, station)?;
    }
    if newest.is_some_and(|(known, _)| known.is_online() == presence.is_online()) {
        return Ok(());
    }
    let since = newest.map_or(at, |(_, since)| at.clamp(since, w.now));
    super::changed_from(w, station, since);
    w.run(
        "INSERT INTO presence_history (station_id, at_ms, presence)
         SELECT s.station_id, CAST(?2 AS BIGINT), CAST(?3 AS TEXT) FROM stations s WHERE s.station_id = ?1
         ON CONFLICT (station_id, at_ms) DO UPDATE SET presence = excluded.presence",
        params![station, since, presence.as_str()],
    )?;
    Ok(())
}

fn newest(w: &Tx<'_>, station: &StationId) -> Result<Option<(Presence, Timestamp)>> {
    w.maybe(
        "SELECT presence, at_ms FROM presence_history WHERE station_id = ?1 ORDER BY at_ms DESC LIMIT 1",
        params![station],
        |row| Ok((row.word(0)?, row.get(1)?)),
    )
}
