//! What commands change beside themselves, in the transaction that sends or ends them.

use serde_json::Value;
use serde_json::value::RawValue;

use crate::commands::end::MALFORMED;
use crate::engine::embedded::writer::Writing;
use crate::error::Result;
use crate::sessions::{remote_start, reservations};
use crate::station_state::{
    boot_loops, certificate_renewal, configuration, local_list, password_change, unsupported_actions,
};
use vocabulary::api::command::CommandError;
use vocabulary::id::{CommandId, StationId};
use vocabulary::ocpp::v16::{FromCentralSystem, command};

/// A command whose frame leaves after this commit.
pub(crate) struct SentCommand<'a> {
    pub(crate) id: CommandId,
    pub(crate) station: &'a StationId,
    pub(crate) action: FromCentralSystem,
    pub(crate) payload: &'a RawValue,
}

/// A command that has come to its end, or has been answered after it.
pub(crate) struct EndedCommand<'a> {
    pub(crate) id: CommandId,
    pub(crate) station: &'a StationId,
    pub(crate) action: FromCentralSystem,
    /// As it may be shown.
    pub(crate) payload: &'a RawValue,
    /// The payload of the CALLRESULT, in time or late.
    pub(crate) response: Option<&'a RawValue>,
    /// Whether the charger does what was asked; `None` without an answer.
    pub(crate) accepted: Option<bool>,
    /// Why it failed, where there is no CALLRESULT.
    pub(crate) error: Option<&'a CommandError>,
    /// Its frame left: the charger may have done it even without an answer.
    pub(crate) was_sent: bool,
    /// The answer came after the end: what was assumed then can be put right.
    pub(crate) late: bool,
    /// The transaction that a remote start began before it was answered.
    pub(crate) transaction_id: Option<i64>,
}

/// What is known of what a charger has made of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It does what was asked.
    Accepted,
    /// It does not: it said so, or knows no such message.
    Refused,
    /// It was asked, and nobody knows.
    Unknown,
    /// It was never asked.
    NeverSent,
}

impl EndedCommand<'_> {
    pub(crate) fn verdict(&self) -> Verdict {
        match (self.response, self.error) {
            (Some(_), _) if self.accepted == Some(true) => Verdict::Accepted,
            // An answer without the verdict it should have says nothing.
            (Some(_), _) => self.response_value().map_or(Verdict::Unknown, |response| {
                command::status(&response).map_or(Verdict::Unknown, |_| Verdict::Refused)
            }),
            (None, Some(error)) if error.code == MALFORMED => Verdict::Unknown,
            (None, Some(_)) => Verdict::Refused,
            (None, None) if self.was_sent => Verdict::Unknown,
            (None, None) => Verdict::NeverSent,
        }
    }

    /// Whether the charger's own verdict is this word.
    pub(crate) fn answered(&self, status: &str) -> bool {
        self.response_value().is_some_and(|response| command::reads_as(&response, status))
    }

    /// The answer, if it can be read.
    pub(crate) fn response_value(&self) -> Option<Value> {
        serde_json::from_str(self.response?.get()).ok()
    }
}

/// What follows from a command's being sent.
pub(crate) fn sent(w: &mut Writing<'_>, command: &SentCommand<'_>) -> Result<()> {
    boot_loops::sent(w, command)?;
    match command.action {
        FromCentralSystem::ChangeConfiguration => password_change::sent(w, command.id, command.station),
        FromCentralSystem::CertificateSigned => certificate_renewal::sent(w, command),
        _ => Ok(()),
    }
}

/// What follows from a command's end, or from an answer that came after it.
pub(crate) fn ended(w: &mut Writing<'_>, command: &EndedCommand<'_>) -> Result<()> {
    use FromCentralSystem as Action;
    let verdict = command.verdict();
    unsupported_actions::note(w, command)?;
    boot_loops::ended(w, command, verdict)?;
    match command.action {
        Action::RemoteStartTransaction if verdict == Verdict::Accepted => remote_start::accepted(w, command),
        Action::ReserveNow => reservations::reserved(w, command, verdict),
        Action::CancelReservation => reservations::canceled(w, command, verdict),
        Action::GetConfiguration => configuration::told(w, command),
        Action::ChangeConfiguration => {
            password_change::ended(w, command, verdict)?;
            configuration::changed(w, command, verdict)
        }
        Action::CertificateSigned => certificate_renewal::ended(w, command, verdict),
        Action::SendLocalList if verdict == Verdict::Accepted => local_list::accepted(w, command),
        Action::GetLocalListVersion => local_list::told(w, command),
        _ => Ok(()),
    }
}
