//! What commands change beside themselves, in the transaction that sends or ends them.

use crate::command_result::{CommandVerdict, EndedCommand, SentCommand};
use crate::engine::tx::Tx;
use crate::error::Result;
use crate::sessions::{remote_start, reservations};
use crate::station_state::{
    boot_loops, certificate_renewal, configuration, local_list, password_change, unsupported_actions,
};
use vocabulary::ocpp::v16::FromCentralSystem;

/// What follows from a command's being sent.
pub(crate) fn sent(w: &mut Tx<'_>, command: &SentCommand<'_>) -> Result<()> {
    boot_loops::sent(w, command)?;
    match command.action {
        FromCentralSystem::ChangeConfiguration => password_change::sent(w, command.id, command.station),
        FromCentralSystem::CertificateSigned => certificate_renewal::sent(w, command),
        _ => Ok(()),
    }
}

/// What follows from a command's end, or from an answer that came after it.
pub(crate) fn ended(w: &mut Tx<'_>, command: &EndedCommand<'_>) -> Result<()> {
    use FromCentralSystem as Action;
    let verdict = command.verdict();
    unsupported_actions::note(w, command)?;
    boot_loops::ended(w, command, verdict)?;
    match command.action {
        Action::RemoteStartTransaction if verdict == CommandVerdict::Accepted => {
            remote_start::accepted(w, command)
        }
        Action::ReserveNow => reservations::reserved(w, command, verdict),
        Action::CancelReservation => reservations::canceled(w, command, verdict),
        Action::GetConfiguration => configuration::told(w, command),
        Action::ChangeConfiguration => {
            password_change::ended(w, command, verdict)?;
            configuration::changed(w, command, verdict)
        }
        Action::CertificateSigned => certificate_renewal::ended(w, command, verdict),
        Action::SendLocalList if verdict == CommandVerdict::Accepted => local_list::accepted(w, command),
        Action::GetLocalListVersion => local_list::told(w, command),
        _ => Ok(()),
    }
}
