//! The version of the local authorisation list that each station has.

use crate::command_result::EndedCommand;
use crate::engine::sql::params;
use crate::engine::tx::Tx;
use crate::error::Result;
use vocabulary::id::StationId;

/// A local list was accepted: the station has that version now.
pub(crate) fn accepted(w: &Tx<'_>, command: &EndedCommand<'_>, version: i64) -> Result<()> {
    note(w, command.station, version)
}

/// The station was asked for its version: 0 for an empty list, -1 where there can be none.
pub(crate) fn told(w: &Tx<'_>, command: &EndedCommand<'_>) -> Result<()> {
    let response = command.response_value();
    match response.and_then(|response| command.action.local_list_version(&response)) {
        Some(version) => note(w, command.station, version),
        None => Ok(()),
    }
}

fn note(w: &Tx<'_>, station: &StationId, version: i64) -> Result<()> {
    w.run("UPDATE stations SET local_list_version = ?2 WHERE station_id = ?1", params![station, version])?;
    Ok(())
}
