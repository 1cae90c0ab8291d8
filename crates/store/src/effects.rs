//! What commands change beside themselves, in the transaction that sends or ends them.

use serde_json::Value;
use serde_json::value::RawValue;

use super::command_end::MALFORMED;
use super::error::Result;
use super::writer::Writing;
use super::{
    abilities, boots, certificate_renewal, configuration, key_rotation, local_list, remote_start,
    reservations,
};
use vocabulary::api::command::CommandError;
use vocabulary::id::{CommandId, StationId};
use vocabulary::ocpp::v16::{FromCentralSystem, command};

/// A command whose frame leaves after this commit.
pub(super) struct SentCommand<'a> {
    pub(super) id: CommandId,
    pub(super) station: &'a StationId,
    pub(super) action: FromCentralSystem,
    pub(super) payload: &'a RawValue,
}

/// A command that has come to its end, or has been answered after it.
pub(super) struct EndedCommand<'a> {
    pub(super) id: CommandId,
    pub(super) station: &'a StationId,
    pub(super) action: FromCentralSystem,
    /// As it may be shown.
    pub(super) payload: &'a RawValue,
    /// The payload of the CALLRESULT, in time or late.
    pub(super) response: Option<&'a RawValue>,
    /// Whether the charger does what was asked; `None` without an answer.
    pub(super) accepted: Option<bool>,
    /// Why it failed, where there is no CALLRESULT.
    pub(super) error: Option<&'a CommandError>,
    /// Its frame left: the charger may have done it even without an answer.
    pub(super) was_sent: bool,
    /// The answer came after the end: what was assumed then can be put right.
    pub(super) late: bool,
    /// The transaction that a remote start began before it was answered.
    pub(super) transaction_id: Option<i64>,
}

/// What is known of what a charger has made of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
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
    pub(super) fn verdict(&self) -> Verdict {
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
    pub(super) fn answered(&self, status: &str) -> bool {
        self.response_value().is_some_and(|response| command::reads_as(&response, status))
    }

    /// The answer, if it can be read.
    pub(super) fn response_value(&self) -> Option<Value> {
        serde_json::from_str(self.response?.get()).ok()
    }
}

/// What follows from a command's being sent.
pub(super) fn sent(w: &mut Writing<'_>, command: &SentCommand<'_>) -> Result<()> {
    boots::sent(w, command)?;
    match command.action {
        FromCentralSystem::ChangeConfiguration => key_rotation::sent(w, command.id, command.station),
        FromCentralSystem::CertificateSigned => certificate_renewal::sent(w, command),
        _ => Ok(()),
    }
}

/// What follows from a command's end, or from an answer that came after it.
pub(super) fn ended(w: &mut Writing<'_>, command: &EndedCommand<'_>) -> Result<()> {
    use FromCentralSystem as Action;
    let verdict = command.verdict();
    abilities::note(w, command)?;
    boots::ended(w, command, verdict)?;
    match command.action {
        Action::RemoteStartTransaction if verdict == Verdict::Accepted => remote_start::accepted(w, command),
        Action::ReserveNow => reservations::reserved(w, command, verdict),
        Action::CancelReservation => reservations::canceled(w, command, verdict),
        Action::GetConfiguration => configuration::told(w, command),
        Action::ChangeConfiguration => {
            key_rotation::ended(w, command, verdict)?;
            configuration::changed(w, command, verdict)
        }
        Action::CertificateSigned => certificate_renewal::ended(w, command, verdict),
        Action::SendLocalList if verdict == Verdict::Accepted => local_list::accepted(w, command),
        Action::GetLocalListVersion => local_list::told(w, command),
        _ => Ok(()),
    }
}
