//! Commands to the station: one at a time, between two of its messages. The store is their queue; here is
//! only a flag that it may hold some.

use std::time::Duration;

use tokio::time::Instant;
use tracing::{debug, warn};

use super::Connection;
use crate::station::closing::Closing;
use crate::station::session::Input;
use store::NextCommand;
use vocabulary::log_limit::limited;

/// Pause after a failure of the store before the next command is claimed.
const CLAIM_AGAIN: Duration = Duration::from_secs(1);

/// When commands may be sent, and whether there are any.
pub(super) struct Calls {
    /// The store may hold commands for the station.
    pub(super) waiting: bool,
    /// All commands wait for the station's next boot.
    pub(super) until_boot: bool,
    /// Nothing is sent before that.
    pub(super) not_before: Option<Instant>,
    /// When the gateway stops waiting for the answer to the open CALL.
    pub(super) deadline: Option<Instant>,
}

impl Calls {
    pub(super) fn new(waiting: bool, not_before: Instant) -> Self {
        Self { waiting, until_boot: false, not_before: Some(not_before), deadline: None }
    }

    /// The next time something is due: an answer that has not come, or a command to send.
    pub(super) fn next_wake(&self) -> Option<Instant> {
        self.deadline.or(self.not_before.filter(|_| self.waiting))
    }
}

impl Connection {
    /// Whether a command should be claimed now.
    pub(super) fn may_call(&self) -> bool {
        let calls = &self.calls;
        calls.waiting
            && !calls.until_boot
            && self.session.may_call()
            && calls.not_before.is_none_or(|moment| moment <= Instant::now())
    }

    /// Sends the next command, if there is one that may be sent.
    pub(super) async fn call_next(&mut self) -> Option<Closing> {
        self.calls.not_before = None;
        match self.stations.store.claim_command(self.station.clone(), self.registration.generation).await {
            Ok(NextCommand::Send(command)) => {
                debug!(station.id = %self.station, "{} is sent {}", self.station, command.action);
                let timeout = command.timeout;
                let end = self.act(self.now(), Input::Command(command)).await;
                // The timeout counts from the end of the sending.
                self.calls.deadline = (!self.session.may_call()).then(|| Instant::now() + timeout);
                return end;
            }
            Ok(NextCommand::NotYet) => self.calls.until_boot = true,
            Ok(NextCommand::Nothing) => self.calls.waiting = false,
            Err(error) => {
                limited!(warn: station.id = %self.station, "no command could be claimed for {}: {error}", self.station);
                self.calls.not_before = Some(Instant::now() + CLAIM_AGAIN);
            }
        }
        None
    }
}
