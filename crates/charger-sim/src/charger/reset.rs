//! Going down and coming back: resets, power cuts, new keys.

use std::time::Duration;

use serde_json::Value;

use super::{Charger, Link, Output, Reboot};
use crate::connector::Phase;
use crate::messages::{Reason, ResetResponseStatus, spelling};
use crate::notice::{Notice, millis};
use vocabulary::clock::Timestamp;

/// A soft reset waits so long for what is still to be said.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

impl Charger {
    /// Answers `Reset`: transactions are stopped, then the charger restarts.
    pub(crate) fn reset(&mut self, now: Timestamp, payload: &Value) -> ResetResponseStatus {
        if self.firmware.is_installing() {
            return ResetResponseStatus::Rejected;
        }
        let hard = payload["type"] == "Hard";
        let reason = if hard { Reason::HardReset } else { Reason::SoftReset };
        for index in 0..self.connectors.len() {
            self.stop(now, index, reason.clone(), None);
        }
        // A hard reset takes what is still to be said along into the next life; a soft one says it first.
        let at_latest = if hard { now } else { now.after(PATIENCE) };
        self.reboot = Some(Reboot { at_latest, reason: spelling(&reason), boot: true });
        ResetResponseStatus::Accepted
    }

    /// The power is gone for `down`. What was being charged is recorded, and told after the boot.
    pub(crate) fn lose_power(&mut self, now: Timestamp, down: Duration) {
        for index in 0..self.connectors.len() {
            self.stop(now, index, Reason::PowerLoss, None);
            // Who had not begun yet has to show the tag again.
            let connector = &mut self.connectors[index];
            if !matches!(connector.phase, Phase::Finishing) {
                connector.phase = Phase::Idle;
            }
        }
        self.cut(now, down, "the power is gone");
        self.begin_next_life();
    }

    /// The network is gone for `down`; the charger itself goes on.
    pub(crate) fn lose_network(&mut self, now: Timestamp, down: Duration) {
        self.cut(now, down, "the network is gone");
    }

    fn cut(&mut self, now: Timestamp, down: Duration, reason: &str) {
        self.out.push(Output::Cut);
        self.forget_socket(now);
        self.reboot = None;
        self.link = Link::Down { dial_at: now.after(down) };
        let queued = self.outbox.queued_transactional();
        self.notice(Notice::Disconnected { reason: reason.to_owned(), queued, retry_ms: millis(down) });
    }

    /// What the charger knows only until it is switched off is gone.
    pub(crate) fn begin_next_life(&mut self) {
        self.registration = super::Registration::NotBooted;
        self.configuration.reboot();
        self.switch_firmware();
    }
}
