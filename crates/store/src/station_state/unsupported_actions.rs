//! What a station has shown it cannot do: remembered as `unsupported:Action` among its `abilities` until it
//! does it, or boots with another firmware.

use crate::command_result::EndedCommand;
use crate::engine::sql::params;
use crate::engine::tx::Tx;
use crate::error::Result;
use vocabulary::id::StationId;

/// Takes note of what a command's end says about its action.
pub(crate) fn note(w: &Tx<'_>, command: &EndedCommand<'_>) -> Result<()> {
    let response = command.response_value();
    let code = command.error.map(|error| error.code.as_str());
    let Some(supported) = command.action.is_supported(response.as_ref(), code) else { return Ok(()) };
    let known: Option<String> =
        w.maybe("SELECT abilities FROM stations WHERE station_id = ?1", params![command.station], |row| {
            row.get(0)
        })?;
    let Some(known) = known else { return Ok(()) };
    let mut abilities: Vec<String> = serde_json::from_str(&known).unwrap_or_default();
    let lacking = format!("unsupported:{}", command.action);
    match (supported, abilities.contains(&lacking)) {
        (true, true) => abilities.retain(|ability| *ability != lacking),
        (false, false) => abilities.push(lacking),
        _ => return Ok(()),
    }
    write(w, command.station, &serde_json::to_string(&abilities)?)
}

/// It has another firmware, which may have learned what the one before could not do.
pub(crate) fn forget(w: &Tx<'_>, station: &StationId) -> Result<()> {
    write(w, station, "[]")
}

fn write(w: &Tx<'_>, station: &StationId, abilities: &str) -> Result<()> {
    w.run("UPDATE stations SET abilities = ?2 WHERE station_id = ?1", params![station, abilities])?;
    Ok(())
}
