//! The charger: told what happened and when, it says what to do. No socket, no clock, no sleep.
//!
//! Invariant: transaction messages leave in the order they were made, whatever happens to the
//! socket, and each stays in the outbox until it is answered.

mod boot;
mod calls;

use std::collections::BTreeMap;
use std::mem;
use std::time::Duration;

use serde_json::{Value, json};

use super::chance::Chance;
use super::configuration::Configuration;
use super::connector::{Connector, Phase, Transaction};
use super::meter::Meter;
use super::notice::{Notice, millis};
use super::options::{ChargerOptions, Sessions};
use super::outbox::{About, LocalTransaction, Message, Outbox};
use crate::clock::Timestamp;
use crate::ocpp::frame::{self, Frame};
use crate::ocpp::v16::FromChargePoint as Action;

pub(super) use boot::Registration;

/// What happened to the charger.
#[derive(Debug)]
pub enum Input<'a> {
    /// Nothing but time passing.
    Tick,
    /// The WebSocket that was asked for stands.
    Connected,
    /// It could not be had.
    DialFailed(String),
    /// The WebSocket is gone, with these words.
    Disconnected(String),
    /// A text message came.
    Text(&'a str),
}

/// What the charger wants done.
#[derive(Debug)]
pub enum Output {
    /// Open a WebSocket; answer with [`Input::Connected`] or [`Input::DialFailed`].
    Dial,
    /// Send this text message.
    Send(String),
    /// Send a WebSocket ping.
    Ping,
    /// Close the WebSocket; answer with [`Input::Disconnected`].
    Close,
    /// Tell whoever watches.
    Notice(Box<Notice>),
    /// Everything that was to be done is done and answered.
    Finished,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Link {
    Down { dial_at: Timestamp },
    Dialing,
    Up,
}

/// A restart that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reboot {
    /// The socket is dropped when nothing waits any more, or at this moment.
    pub(super) at_latest: Timestamp,
    pub(super) reason: String,
    /// Boot anew, instead of only connecting anew.
    pub(super) boot: bool,
}

/// One simulated charger. Not `Debug`: it holds a password.
pub struct Charger {
    pub(super) options: ChargerOptions,
    pub(super) configuration: Configuration,
    pub(super) connectors: Vec<Connector>,
    pub(super) outbox: Outbox,
    pub(super) registration: Registration,
    pub(super) link: Link,
    pub(super) reboot: Option<Reboot>,
    /// `MeterValueSampleInterval`, finer than seconds until that key is changed.
    pub(super) sample_interval: Duration,
    /// Tags that were accepted once: the authorisation cache.
    pub(super) accepted_tags: Vec<String>,
    /// The central system's numbers of transactions, as far as they are known.
    pub(super) transaction_ids: BTreeMap<LocalTransaction, Option<i64>>,
    pub(super) last_local: LocalTransaction,
    pub(super) sessions_left: u64,
    pub(super) next_plug: Option<Timestamp>,
    pub(super) next_connector: usize,
    pub(super) chance: Chance,
    password: Option<Vec<u8>>,
    heartbeat_due: Option<Timestamp>,
    ping_due: Option<Timestamp>,
    boot_due: Option<Timestamp>,
    failures: u32,
    timeouts_in_a_row: u32,
    id_prefix: String,
    last_id: u64,
    /// Real and own time of the moment the two are counted from.
    anchor: (Timestamp, Timestamp),
    finished: bool,
    out: Vec<Output>,
}

impl Charger {
    /// A charger that is switched on at `now`; the first [`Input::Tick`] makes it dial.
    pub fn new(options: ChargerOptions, now: Timestamp) -> Self {
        let mut chance = options.seed.map_or_else(Chance::fresh, Chance::seeded);
        let connectors = (1..=options.connectors.max(1))
            .map(|id| {
                let meter_chance = Chance::seeded(chance.bits());
                Connector::new(id, Meter::new(options.max_power_w, options.battery_wh, meter_chance))
            })
            .collect();
        let mut configuration = Configuration::new(options.connectors.max(1));
        configuration.store("MeterValueSampleInterval", options.sample_interval.as_secs().max(1).to_string());
        Self {
            anchor: (now, own_start(&options, now)),
            configuration,
            connectors,
            outbox: Outbox::default(),
            registration: Registration::NotBooted,
            link: Link::Down { dial_at: now },
            reboot: None,
            sample_interval: options.sample_interval,
            accepted_tags: Vec::new(),
            transaction_ids: BTreeMap::new(),
            last_local: 0,
            sessions_left: match options.sessions {
                Sessions::Count(count) => count,
                Sessions::Endless => u64::MAX,
                Sessions::OnlyRemote => 0,
            },
            next_plug: None,
            next_connector: 0,
            password: options.password.clone(),
            heartbeat_due: None,
            ping_due: None,
            boot_due: None,
            failures: 0,
            timeouts_in_a_row: 0,
            id_prefix: format!("{:08x}", chance.bits() as u32),
            last_id: 0,
            finished: false,
            out: Vec::new(),
            chance,
            options,
        }
    }

    /// The password to connect with; `ChangeConfiguration` of `AuthorizationKey` changes it.
    pub fn password(&self) -> Option<&[u8]> {
        self.password.as_deref()
    }

    /// Takes in what happened at `now`; what is to be done comes back in order.
    pub fn handle(&mut self, now: Timestamp, input: Input<'_>) -> Vec<Output> {
        match input {
            Input::Tick => {}
            Input::Connected => self.connected(now),
            Input::DialFailed(error) => {
                let retry_ms = self.redial(now);
                self.notice(Notice::DialFailed { error, retry_ms });
            }
            Input::Disconnected(reason) => self.disconnected(now, reason),
            Input::Text(text) => self.received(now, text),
        }
        self.advance(now);
        self.pump(now);
        mem::take(&mut self.out)
    }

    /// When the next [`Input::Tick`] is due, if nothing happens before.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let up = self.link == Link::Up;
        let dial_at = match self.link {
            Link::Down { dial_at } => Some(dial_at),
            Link::Dialing | Link::Up => None,
        };
        let on_the_wire = [
            self.outbox.outstanding.as_ref().map(|outstanding| outstanding.deadline),
            self.outbox.held_until,
            self.reboot.as_ref().map(|reboot| reboot.at_latest),
            self.heartbeat_due,
            self.ping_due,
            self.boot_due,
        ];
        let sessions = self.connectors.iter().map(Connector::next_deadline);
        on_the_wire
            .into_iter()
            .filter(|_| up)
            .chain([dial_at, self.next_plug])
            .chain(sessions)
            .flatten()
            .min()
    }

    /// The charger's own time at `now`, which its messages carry.
    pub(super) fn own_time(&self, now: Timestamp) -> Timestamp {
        let (real, own) = self.anchor;
        own.after(now.since(real).mul_f64(self.options.time_scale.max(1.0))).min(now)
    }

    pub(super) fn notice(&mut self, notice: Notice) {
        self.out.push(Output::Notice(Box::new(notice)));
    }

    pub(super) fn queue(&mut self, action: Action, payload: Value, about: About) {
        self.outbox.push(Message::new(action, payload, about));
    }

    /// Waits longer after each failure; jitter keeps a thousand chargers from coming back as one.
    fn redial(&mut self, now: Timestamp) -> u64 {
        let wait = backoff(&self.options, self.failures, &mut self.chance);
        self.failures += 1;
        self.link = Link::Down { dial_at: now.after(wait) };
        millis(wait)
    }

    fn connected(&mut self, now: Timestamp) {
        self.link = Link::Up;
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

    fn disconnected(&mut self, now: Timestamp, reason: String) {
        if let Some(outstanding) = &self.outbox.outstanding
            && let About::Authorize { connector } = outstanding.message.about
        {
            self.authorize_offline(now, connector);
        }
        if self.outbox.disconnected() {
            self.connectors.iter_mut().for_each(|connector| connector.told = None);
        }
        self.heartbeat_due = None;
        self.ping_due = None;
        self.boot_due = None;
        match self.reboot.take() {
            Some(reboot) => {
                let down = if reboot.boot { self.options.reboot } else { Duration::ZERO };
                self.link = Link::Down { dial_at: now.after(down) };
                if reboot.boot {
                    self.registration = Registration::NotBooted;
                    self.configuration.reboot();
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

    /// Everything whose time has come.
    fn advance(&mut self, now: Timestamp) {
        let due = |at: Option<Timestamp>| at.is_some_and(|at| at <= now);
        self.advance_sessions(now);
        match self.link {
            Link::Down { dial_at } if dial_at <= now => {
                self.link = Link::Dialing;
                self.out.push(Output::Dial);
            }
            Link::Up => {
                if due(self.outbox.outstanding.as_ref().map(|outstanding| outstanding.deadline)) {
                    self.timed_out(now);
                }
                if due(self.outbox.held_until) {
                    self.outbox.held_until = None;
                }
                if due(self.boot_due) {
                    self.boot_due = None;
                    self.push_boot(false);
                }
                if due(self.heartbeat_due) {
                    self.schedule_heartbeat(now);
                    if !self.outbox.has(About::Heartbeat) {
                        self.queue(Action::Heartbeat, json!({}), About::Heartbeat);
                    }
                }
                if due(self.ping_due) {
                    self.ping_due = Some(now.after(self.configuration.seconds("WebSocketPingInterval")));
                    self.out.push(Output::Ping);
                }
                if let Some(reboot) = &self.reboot
                    && (reboot.at_latest <= now || self.outbox.is_idle())
                {
                    self.out.push(Output::Close);
                    self.link = Link::Dialing;
                }
            }
            Link::Down { .. } | Link::Dialing => {}
        }
        if !self.finished && self.all_done() {
            self.finished = true;
            self.out.push(Output::Finished);
        }
    }

    fn all_done(&self) -> bool {
        matches!(self.options.sessions, Sessions::Count(_))
            && self.registration == Registration::Accepted
            && self.sessions_left == 0
            && self.connectors.iter().all(|connector| matches!(connector.phase, Phase::Free))
            && self.outbox.is_idle()
    }

    fn received(&mut self, now: Timestamp, text: &str) {
        match frame::parse(text).frame {
            Frame::Call(call) => self.commanded(now, &call),
            Frame::CallResult(result) => self.answered(now, &result.id, Ok(result.payload)),
            Frame::CallError(error) => {
                self.answered(now, &error.id, Err((error.code, error.description)));
            }
            Frame::BrokenAnswer { id, reason } => {
                self.answered(now, &id, Err(("unreadable answer".to_owned(), reason.as_str().to_owned())));
            }
            Frame::Unserveable { answer: Some((id, code)), reason } => {
                self.send(frame::encode_error(&id, code, reason.as_str()));
            }
            Frame::Unserveable { answer: None, .. } => {}
        }
    }

    pub(super) fn send(&mut self, text: String) {
        self.out.push(Output::Send(text));
    }

    /// Takes the new password and comes back with it.
    pub(super) fn change_password(&mut self, now: Timestamp, hex_text: &str) {
        self.password = hex::decode(hex_text).ok();
        self.reboot = Some(Reboot {
            at_latest: now.after(Duration::from_secs(1)),
            reason: "the AuthorizationKey was changed".to_owned(),
            boot: false,
        });
    }

    pub(super) fn transaction_by_id(&self, id: i64) -> Option<usize> {
        self.connectors.iter().position(|connector| {
            let local = connector.transaction().map(|Transaction { local, .. }| *local);
            local.is_some_and(|local| self.transaction_ids.get(&local) == Some(&Some(id)))
        })
    }
}

/// The wait before dialling for the `failures`-th time again: doubling, between half and the whole of it.
pub(super) fn backoff(options: &ChargerOptions, failures: u32, chance: &mut Chance) -> Duration {
    let doubled = options.reconnect_first.saturating_mul(1 << failures.min(16));
    doubled.min(options.reconnect_max).mul_f64(chance.between(0.5, 1.0))
}

/// Where the charger's own clock starts, so that it meets the real one with the last session's end.
fn own_start(options: &ChargerOptions, now: Timestamp) -> Timestamp {
    let count = match options.sessions {
        Sessions::Count(count) => u32::try_from(count).unwrap_or(u32::MAX),
        Sessions::Endless | Sessions::OnlyRemote => 1,
    };
    let gained = options.session_duration.mul_f64(1.0 - 1.0 / options.time_scale.max(1.0));
    now.before(gained.saturating_mul(count))
}
