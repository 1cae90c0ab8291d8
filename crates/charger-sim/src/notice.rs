//! What a simulated charger tells those who watch it.

use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

use vocabulary::clock::Timestamp;
use vocabulary::id::StationId;
use vocabulary::ocpp::frame;

/// A CALL that was answered with a CALLRESULT: from here on the central system may never lose it.
#[derive(Debug, Clone, Serialize)]
pub struct Acknowledged {
    /// Who sent it.
    pub station_id: StationId,
    /// What it was.
    pub action: &'static str,
    /// The id of the CALL that was answered; a message that was sent again has another one than at first.
    pub message_id: String,
    /// The payload exactly as it was sent.
    pub payload: Box<RawValue>,
    /// The answer's payload exactly as it came.
    pub response: Box<RawValue>,
    /// When the CALL that was answered went out.
    pub sent_at: Timestamp,
    /// When the answer came.
    pub answered_at: Timestamp,
    /// How often the message had gone out before, unanswered.
    pub retries: u32,
}

/// Something that happened to a simulated charger, or that it did.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "notice", rename_all = "snake_case")]
#[expect(missing_docs, reason = "the fields say what the variants' docs leave open")]
pub enum Notice {
    /// The WebSocket stands.
    Connected,
    /// No WebSocket came about.
    DialFailed { error: String, retry_ms: u64 },
    /// The WebSocket is gone; `queued` transaction messages wait for the next one.
    Disconnected { reason: String, queued: usize, retry_ms: u64 },
    /// A CALL went out.
    Sent { action: &'static str, message_id: String, payload: Box<RawValue>, retry: bool },
    /// A CALL was answered with a CALLRESULT.
    Acknowledged(Acknowledged),
    /// A CALL was answered with a CALLERROR.
    Refused { action: &'static str, message_id: String, code: String, description: String },
    /// A CALL was not answered in time.
    TimedOut { action: &'static str, message_id: String },
    /// A transaction message was refused too often and is given up.
    GaveUp { action: &'static str, payload: Box<RawValue> },
    /// A boot was answered.
    Registered { status: String, interval_s: u64 },
    /// The central system asked for something and got this answer.
    Commanded { action: String, payload: Box<RawValue>, answer: Box<RawValue> },
    /// A car begins to charge.
    Charging { connector_id: u32, id_tag: String, meter_start_wh: i64 },
    /// A tag was refused and nothing was charged.
    TagRefused { connector_id: u32, id_tag: String, status: String },
    /// A tag was accepted, but no cable came within `ConnectionTimeOut`.
    NobodyCame { connector_id: u32, id_tag: String },
    /// A reservation's time is over.
    ReservationExpired { reservation_id: i64, connector_id: u32 },
    /// A session is over.
    SessionEnded { connector_id: u32, reason: String, energy_wh: i64, took_ms: u64 },
    /// A step of a scenario, or a line from the terminal, begins.
    Step { line: usize, step: String },
    /// It could not be done, or what it expected did not happen.
    StepFailed { line: usize, step: String, reason: String },
    /// What a person at the terminal wanted to know.
    Reply { text: String },
    /// The charger goes down and comes back after `reboot_ms`.
    Rebooting { reason: String, reboot_ms: u64 },
}

/// What a charger did, in numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// CALLs that went out, repetitions included.
    pub sent: u64,
    /// CALLs that were answered with a CALLRESULT.
    pub acknowledged: u64,
    /// CALLs that were answered with a CALLERROR.
    pub refused: u64,
    /// CALLs that were not answered in time.
    pub timed_out: u64,
    /// CALLs that went out again because the first try was not answered.
    pub retried: u64,
    /// Transaction messages that were given up.
    pub given_up: u64,
    /// WebSockets that stood.
    pub connections: u64,
    /// Charging sessions that were finished.
    pub sessions: u64,
    /// Energy of the finished sessions, Wh.
    pub energy_wh: i64,
    /// Commands of the central system that were answered.
    pub commands: u64,
}

impl Summary {
    /// Counts `notice` in.
    pub fn note(&mut self, notice: &Notice) {
        match notice {
            Notice::Connected => self.connections += 1,
            Notice::Sent { retry, .. } => {
                self.sent += 1;
                self.retried += u64::from(*retry);
            }
            Notice::Acknowledged(_) => self.acknowledged += 1,
            Notice::Refused { .. } => self.refused += 1,
            Notice::TimedOut { .. } => self.timed_out += 1,
            Notice::GaveUp { .. } => self.given_up += 1,
            Notice::Commanded { .. } => self.commands += 1,
            Notice::SessionEnded { energy_wh, .. } => {
                self.sessions += 1;
                self.energy_wh += energy_wh;
            }
            _ => {}
        }
    }

    /// The sum of several chargers' summaries.
    pub fn add(&mut self, other: &Self) {
        self.sent += other.sent;
        self.acknowledged += other.acknowledged;
        self.refused += other.refused;
        self.timed_out += other.timed_out;
        self.retried += other.retried;
        self.given_up += other.given_up;
        self.connections += other.connections;
        self.sessions += other.sessions;
        self.energy_wh += other.energy_wh;
        self.commands += other.commands;
    }
}

pub(super) fn millis(duration: Duration) -> u64 {
    duration.as_millis().min(u128::from(u64::MAX)) as u64
}

/// A payload as its text.
pub(super) fn raw(value: &Value) -> Box<RawValue> {
    to_raw_value(value).unwrap_or_else(|_| frame::empty_object())
}
