//! The version of the local authorisation list that each station has.

use serde::Deserialize;
use serde_json::Value;

use crate::command_result::EndedCommand;
use crate::engine::sql::params;
use crate::engine::tx::Tx;
use crate::error::{Result, StoreError};
use vocabulary::id::StationId;
use vocabulary::ocpp::v16::command;

/// What a `SendLocalList` asks for; it was checked before it was sent.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SendLocalList {
    list_version: i64,
}

/// A `SendLocalList` was accepted: the station has that version now.
pub(crate) fn accepted(w: &Tx<'_>, command: &EndedCommand<'_>) -> Result<()> {
    let asked: SendLocalList = serde_json::from_str(command.payload.get())
        .map_err(|error| StoreError::Corrupt(format!("the payload of {}: {error}", command.id)))?;
    note(w, command.station, asked.list_version)
}

/// A `GetLocalListVersion` was answered: 0 for an empty list, -1 where there can be none.
pub(crate) fn told(w: &Tx<'_>, command: &EndedCommand<'_>) -> Result<()> {
    let version =
        command.response_value().as_ref().and_then(|response: &Value| command::list_version(response));
    match version {
        Some(version) => note(w, command.station, version),
        None => Ok(()),
    }
}

fn note(w: &Tx<'_>, station: &StationId, version: i64) -> Result<()> {
    w.run("UPDATE stations SET local_list_version = ?2 WHERE station_id = ?1", params![station, version])?;
    Ok(())
}
