//! What commands change beside themselves, in the transaction that sends or ends them.

use serde_json::value::RawValue;
use tracing::debug;

use super::error::Result;
use super::remote_start;
use super::writer::Writing;
use crate::api::command::CommandStatus;
use crate::id::{CommandId, StationId};
use crate::ocpp::v16::FromCentralSystem;

/// A command whose frame leaves after this commit.
pub(super) struct SentCommand<'a> {
    pub(super) id: CommandId,
    pub(super) station: &'a StationId,
    pub(super) action: FromCentralSystem,
    /// As it is sent, secrets and all: it is kept nowhere else from here on.
    #[expect(dead_code, reason = "no command that is known here changes anything by being sent")]
    pub(super) payload: &'a RawValue,
}

/// A command that has come to its end, or has been answered after it.
#[expect(dead_code, reason = "what follows from other commands than remote starts will ask for all of it")]
pub(super) struct EndedCommand<'a> {
    pub(super) id: CommandId,
    pub(super) station: &'a StationId,
    pub(super) action: FromCentralSystem,
    /// As it may be shown.
    pub(super) payload: &'a RawValue,
    /// How it ended. A late answer leaves it at `timeout` or `connection_lost`.
    pub(super) status: CommandStatus,
    /// The payload of the CALLRESULT, in time or late.
    pub(super) response: Option<&'a RawValue>,
    /// Whether the charger does what was asked; `None` without an answer.
    pub(super) accepted: Option<bool>,
    /// The answer came after the end: what was assumed then can be put right.
    pub(super) late: bool,
    /// The transaction that a remote start began before it was answered.
    pub(super) transaction_id: Option<i64>,
}

/// What follows from a command's being sent.
pub(super) fn sent(_w: &mut Writing<'_>, command: &SentCommand<'_>) -> Result<()> {
    debug!(station.id = %command.station, "{} is on record as sent: {}", command.id, command.action);
    Ok(())
}

/// What follows from a command's end, or from an answer that came after it.
pub(super) fn ended(w: &mut Writing<'_>, command: &EndedCommand<'_>) -> Result<()> {
    if command.action == FromCentralSystem::RemoteStartTransaction && command.accepted == Some(true) {
        remote_start::accepted(w, command)?;
    }
    Ok(())
}
