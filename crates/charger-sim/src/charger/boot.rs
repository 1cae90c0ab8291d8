//! How the charger boots, and what follows once it is accepted.

use std::time::Duration;

use serde_json::Value;

use super::Charger;
use crate::messages::requests;
use crate::notice::Notice;
use crate::outbox::{About, Message};
use vocabulary::clock::Timestamp;

/// A retry of a boot that was not accepted never comes sooner, whatever the answer said.
const BOOT_RETRY_MIN: Duration = Duration::from_millis(200);
/// Where the answer leaves the wait to the charger (`interval` 0).
pub(super) const BOOT_RETRY_DEFAULT: Duration = Duration::from_secs(10);
/// What the central system said to the last boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Registration {
    NotBooted,
    Pending,
    Rejected,
    Accepted,
}

impl Charger {
    pub(crate) fn push_boot(&mut self, triggered: bool) {
        if self.outbox.has(About::Boot) {
            return;
        }
        let options = &self.options;
        let version = self.firmware.version.as_deref().unwrap_or(env!("CARGO_PKG_VERSION"));
        let request = requests::boot(options.id.as_str(), &options.vendor, &options.model, version);
        let mut message = Message::new(&request, About::Boot);
        message.triggered = triggered;
        self.outbox.push_front(message);
    }

    pub(super) fn booted(&mut self, now: Timestamp, response: &Value) {
        let status = response["status"].as_str().unwrap_or("Rejected").to_owned();
        let interval_s = response["interval"].as_u64().unwrap_or(0);
        self.registration = match status.as_str() {
            "Accepted" => Registration::Accepted,
            "Pending" => Registration::Pending,
            _ => Registration::Rejected,
        };
        self.notice(Notice::Registered { status, interval_s });
        if self.registration != Registration::Accepted {
            let wait = match interval_s {
                0 => BOOT_RETRY_DEFAULT,
                seconds => Duration::from_secs(seconds).max(BOOT_RETRY_MIN),
            };
            self.boot_due = Some(now.after(wait));
            return;
        }
        self.failures = 0;
        self.boot_due = None;
        if interval_s > 0 {
            self.configuration.store("HeartbeatInterval", interval_s.to_string());
        }
        self.schedule_heartbeat(now);
        self.schedule_aligned(now);
        self.report_statuses_first(now);
        self.report_installed(now);
        self.begin_plan(now);
        self.ask_again_for_tags();
    }

    pub(crate) fn schedule_heartbeat(&mut self, now: Timestamp) {
        let interval = self.configuration.seconds("HeartbeatInterval");
        self.heartbeat_due = (!interval.is_zero()).then(|| now.after(interval));
    }
}
