//! What connectors and stations have been, for reports over months: events are removed long before.
//!
//! Rows are written in the transaction that stores the fact, and only where something has changed.
//! **Invariant**: a row belongs to a station that there is, and goes with it.

pub(crate) mod aging;
pub(crate) mod connector_status;
pub(crate) mod downtime_causes;
pub(crate) mod station_presence;
mod uptime;
pub(crate) mod uptime_report;

use crate::engine::sql::params;
use crate::engine::tx::Tx;
use crate::error::Result;
use vocabulary::id::StationId;

/// Removes the history of a station that is deleted.
pub(crate) fn forget(w: &Tx<'_>, station: &StationId) -> Result<()> {
    w.run("DELETE FROM connector_history WHERE station_id = ?1", params![station])?;
    w.run("DELETE FROM presence_history WHERE station_id = ?1", params![station])?;
    w.run("DELETE FROM downtime_causes WHERE station_id = ?1", params![station])?;
    Ok(())
}
