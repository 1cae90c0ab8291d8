//! The charger's socket coming and going, and how long it waits in between.

use std::time::Duration;

use super::{Charger, Link, Registration};
use crate::chance::Chance;
use crate::notice::{Notice, millis};
use crate::options::ChargerOptions;
use crate::outbox::About;
use vocabulary::clock::Timestamp;

impl Charger {
    /// Waits longer after each failure; jitter keeps a thousand chargers from coming back as one.
    pub(super) fn redial(&mut self, now: Timestamp) -> u64 {
        let wait = backoff(&self.options, self.failures, &mut self.chance);
        self.failures += 1;
        self.link = Link::Down { dial_at: now.after(wait) };
        millis(wait)
    }

    pub(super) fn connected(&mut self, now: Timestamp) {
        self.link = Link::Up;
        self.trial = None;
        self.timeouts_in_a_row = 0;
        self.notice(Notice::Connected);
        let ping = self.configuration.seconds("WebSocketPingInterval");
        self.ping_due = (!ping.is_zero()).then(|| now.after(ping));
        // Who was accepted before and has not restarted does not boot again (OCPP-J 1.6, 5.4).
        if self.registration == Registration::Accepted {
            self.failures = 0;
            self.schedule_heartbeat(now);
            self.report_changed_statuses(now);
            self.ask_again_for_tags();
        } else {
            self.push_boot(false);
        }
    }

    pub(super) fn disconnected(&mut self, now: Timestamp, reason: String) {
        self.forget_socket(now);
        match self.reboot.take() {
            Some(reboot) => {
                let down = if reboot.boot { self.options.reboot } else { Duration::ZERO };
                self.link = Link::Down { dial_at: now.after(down) };
                if reboot.boot {
                    self.begin_next_life();
                }
                self.notice(Notice::Rebooting { reason: reboot.reason, reboot_ms: millis(down) });
            }
            None => {
                let retry_ms = self.redial(now);
                let queued = self.outbox.queued_transactional();
                self.notice(Notice::Disconnected { reason, queued, retry_ms });
            }
        }
    }

    /// What was said to the socket that is gone, and what was to be said to it.
    pub(crate) fn forget_socket(&mut self, now: Timestamp) {
        let asked = self.outbox.outstanding.as_ref().map(|outstanding| outstanding.message.about);
        if self.outbox.disconnected() {
            self.forget_what_was_told();
        }
        self.heartbeat_due = None;
        self.ping_due = None;
        self.boot_due = None;
        if let Some(About::Authorize { connector }) = asked {
            self.authorize_offline(now, connector);
        }
    }

    /// Takes the new password and comes back with it.
    pub(crate) fn change_password(&mut self, now: Timestamp, text: &str) {
        self.password = Some(hex::decode(text).unwrap_or_else(|_| text.as_bytes().to_vec()));
        self.reconnect(now, "the AuthorizationKey was changed");
    }
}

/// The wait before dialling for the `failures`-th time again: doubling, between half and the whole of it.
fn backoff(options: &ChargerOptions, failures: u32, chance: &mut Chance) -> Duration {
    let doubled = options.reconnect_first.saturating_mul(1 << failures.min(16));
    doubled.min(options.reconnect_max).mul_f64(chance.between(0.5, 1.0))
}
