//! Why connectors may have been down: what operators have ordered, and what stations have told.

use crate::command_result::{CommandVerdict, EndedCommand};
use crate::engine::sql::params;
use crate::engine::tx::Tx;
use crate::error::Result;
use vocabulary::clock::Timestamp;
use vocabulary::history::DowntimeCause;
use vocabulary::id::StationId;
use vocabulary::ocpp::fact::SessionEnded;

/// The reason of a stop that is for want of power.
const POWER_LOSS: &str = "PowerLoss";

/// Keeps that a station has accepted to take a connector out of service, or to put it back.
pub(crate) fn availability_ended(
    w: &mut Tx<'_>,
    command: &EndedCommand<'_>,
    connector_id: i64,
    operative: bool,
) -> Result<()> {
    let cause = if operative { DowntimeCause::Operative } else { DowntimeCause::Inoperative };
    match command.verdict() {
        // Also where it was so already: a station may have gone back into service by itself meanwhile.
        CommandVerdict::Accepted => insert(w, command.station, w.now, connector_id, cause),
        _ => Ok(()),
    }
}

/// Keeps that a station has had no power, if that is why a session ended.
pub(crate) fn session_ended(
    w: &mut Tx<'_>,
    station: &StationId,
    stop: &SessionEnded,
    at: Timestamp,
) -> Result<()> {
    match stop.reason.as_deref() {
        // All of the station was without it, whichever connector the session was on.
        Some(POWER_LOSS) => insert(w, station, at, 0, DowntimeCause::PowerLoss),
        _ => Ok(()),
    }
}

fn insert(
    w: &mut Tx<'_>,
    station: &StationId,
    at: Timestamp,
    connector_id: i64,
    cause: DowntimeCause,
) -> Result<()> {
    // It may explain an absence that began before.
    super::changed_from(w, station, Timestamp::from_unix_ms(0));
    w.run(
        "INSERT INTO downtime_causes (station_id, at_ms, connector_id, cause)
         SELECT s.station_id, CAST(?2 AS BIGINT), CAST(?3 AS BIGINT), CAST(?4 AS TEXT)
         FROM stations s WHERE s.station_id = ?1
         ON CONFLICT (station_id, at_ms, connector_id, cause) DO NOTHING",
        params![station, at, connector_id, cause.as_str()],
    )?;
    Ok(())
}
