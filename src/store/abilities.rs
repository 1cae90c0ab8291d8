//! What a station has shown it cannot do: remembered as its flag `unsupported:Action` until it does it.

use rusqlite::OptionalExtension;

use super::effects::EndedCommand;
use super::error::Result;
use super::oddities::{add_flags, remove_flag};
use super::writer::Writing;
use crate::ocpp::v16::command;

/// Takes note of what a command's end says about its action.
pub(super) fn note(w: &Writing<'_>, command: &EndedCommand<'_>) -> Result<()> {
    let response = command.response_value();
    let code = command.error.map(|error| error.code.as_str());
    let Some(supported) = command::supported(command.action, response.as_ref(), code) else { return Ok(()) };
    let flags: Option<String> = w
        .conn
        .prepare_cached("SELECT flags FROM stations WHERE station_id = ?1")?
        .query_row([command.station.as_str()], |row| row.get(0))
        .optional()?;
    let Some(flags) = flags else { return Ok(()) };
    let flag = format!("unsupported:{}", command.action);
    if supported {
        // It may have learned it with new firmware.
        remove_flag(w, command.station, &flags, &flag)
    } else {
        add_flags(w, command.station, &flags, std::iter::once(flag.as_str()))
    }
}
