//! What commands change beside themselves, in the transaction that sends or ends them.

use crate::command_result::{CommandVerdict, EndedCommand, SentCommand};
use crate::engine::tx::Tx;
use crate::error::Result;
use crate::history::downtime_causes;
use crate::sessions::{remote_start, reservations};
use crate::station_state::{
    boot_loops, certificate_renewal, configuration, local_list, password_change, unsupported_actions,
};
use vocabulary::ocpp::purpose::Purpose;

/// What follows from a command's being sent.
pub(crate) fn sent(w: &mut Tx<'_>, command: &SentCommand<'_>) -> Result<()> {
    boot_loops::sent(w, command)?;
    match command.purpose()? {
        Purpose::SetConfiguration(_) => password_change::sent(w, command.id, command.station),
        Purpose::SendCertificate { chain } => certificate_renewal::sent(w, command, &chain),
        _ => Ok(()),
    }
}

/// What follows from a command's end, or from an answer that came after it.
pub(crate) fn ended(w: &mut Tx<'_>, command: &EndedCommand<'_>) -> Result<()> {
    let verdict = command.verdict();
    unsupported_actions::note(w, command)?;
    boot_loops::ended(w, command, verdict)?;
    match command.purpose()? {
        Purpose::StartSession(asked) if verdict == CommandVerdict::Accepted => {
            remote_start::accepted(w, command, &asked)
        }
        Purpose::Reserve(asked) => reservations::reserve_ended(w, command, &asked, verdict),
        Purpose::CancelReservation { reservation_id } => {
            reservations::cancel_ended(w, command, reservation_id, verdict)
        }
        Purpose::ChangeAvailability { connector_id, operative } => {
            downtime_causes::availability_ended(w, command, connector_id, operative)
        }
        Purpose::ReadConfiguration => configuration::told(w, command),
        Purpose::SetConfiguration(asked) => {
            password_change::ended(w, command, verdict)?;
            configuration::changed(w, command, &asked, verdict)
        }
        Purpose::SendCertificate { .. } => certificate_renewal::ended(w, command, verdict),
        Purpose::SendLocalList { version } if verdict == CommandVerdict::Accepted => {
            local_list::accepted(w, command, version)
        }
        Purpose::ReadLocalListVersion => local_list::told(w, command),
        _ => Ok(()),
    }
}
