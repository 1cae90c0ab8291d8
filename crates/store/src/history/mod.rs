//! What connectors and stations have been, for reports over months: events are removed long before.
//!
//! Rows are written in the transaction that stores the fact, and only where something has changed.
//! **Invariant**: a row belongs to a station that there is, and goes with it.

pub(crate) mod aging;
pub(crate) mod connector_status;
pub(crate) mod downtime_causes;
pub(crate) mod kept_counts;
pub(crate) mod station_presence;
mod uptime;
pub(crate) mod uptime_report;

use crate::engine::sql::params;
use crate::engine::tx::Tx;
use crate::error::Result;
use vocabulary::clock::Timestamp;
use vocabulary::id::StationId;

/// What was written of a station makes its past another one from that moment on.
fn changed_from(w: &mut Tx<'_>, station: &StationId, from: Timestamp) {
    w.after_commit.history.push((station.clone(), from));
}

/// Removes the history of a station that is deleted.
pub(crate) fn forget(w: &mut Tx<'_>, station: &StationId) -> Result<()> {
    changed_from(w, station, Timestamp::from_unix_ms(0));
    w.run("DELETE FROM connector_history WHERE station_id = ?1", params![station])?;
    w.run("DELETE FROM presence_history WHERE station_id = ?1", params![station])?;
    w.run("DELETE FROM downtime_causes WHERE station_id = ?1", params![station])?;
    Ok(())
}
