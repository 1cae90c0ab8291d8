//! The charger: told what happened and when, it says what to do. No socket, no clock, no sleep.
//!
//! Invariant: transaction messages leave in the order they were made, whatever happens to the
//! socket, and each stays in the outbox until it is answered.

pub(crate) mod authorization;
mod boot;
mod calls;
pub(crate) mod certificates;
pub(crate) mod firmware;
mod link;
pub(crate) mod local_list;
pub(crate) mod logs;
pub(crate) mod reservation;
pub(crate) mod reset;
mod security;
mod view;

use std::collections::BTreeMap;
use std::mem;
use std::time::Duration;

use super::chance::Chance;
use super::configuration::Configuration;
use super::connector::{Connector, Transaction};
use super::messages::{ChargePointStatus, Request, requests};
use super::meter::Meter;
use super::notice::Notice;
use super::options::{ChargerOptions, Sessions};
use super::outbox::{About, LocalTransaction, Message, Outbox};
use super::schedule::Profiles;
use authorization::Cache;
use certificates::Certificates;
use firmware::Firmware;
use local_list::LocalList;
use logs::Uploads;
use reservation::Reservation;
use vocabulary::clock::Timestamp;
use vocabulary::ocpp::frame::{self, Frame};

pub(super) use boot::Registration;
pub(super) use security::Trial;

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
    /// Let go of the WebSocket, or of the attempt to have one, without a word; it needs no answer.
    Cut,
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
    /// What the central system said about tags.
    pub(super) cache: Cache,
    pub(super) local_list: LocalList,
    pub(super) reservations: Vec<Reservation>,
    pub(super) profiles: Profiles,
    pub(super) firmware: Firmware,
    pub(super) uploads: Uploads,
    pub(super) certificates: Certificates,
    /// The central system's numbers of transactions, as far as they are known.
    pub(super) transaction_ids: BTreeMap<LocalTransaction, Option<i64>>,
    pub(super) last_local: LocalTransaction,
    pub(super) sessions_left: u64,
    pub(super) next_plug: Option<Timestamp>,
    pub(super) next_connector: usize,
    pub(super) chance: Chance,
    /// By the charger's own clock.
    pub(super) switched_on: Timestamp,
    /// What the central system was told about connector 0.
    pub(super) told_whole: Option<ChargePointStatus>,
    pub(super) aligned_due: Option<Timestamp>,
    password: Option<Vec<u8>>,
    /// What is new about the next connection, until it stands.
    pub(super) trial: Option<Trial>,
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
    pub(super) out: Vec<Output>,
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
        configuration.store("SecurityProfile", options.security_profile().to_string());
        let certificates = Certificates::new(&options.trust);
        // Whoever gave it a certificate gave it that name as well.
        if let Some(organization) = certificates.organization() {
            configuration.store("CpoName", organization);
        }
        Self {
            anchor: (now, own_start(&options, now)),
            configuration,
            connectors,
            outbox: Outbox::default(),
            registration: Registration::NotBooted,
            link: Link::Down { dial_at: now },
            reboot: None,
            sample_interval: options.sample_interval,
            cache: Cache::default(),
            local_list: LocalList::default(),
            reservations: Vec::new(),
            profiles: Profiles::default(),
            firmware: Firmware::default(),
            uploads: Uploads::default(),
            certificates,
            switched_on: own_start(&options, now),
            told_whole: None,
            aligned_due: None,
            transaction_ids: BTreeMap::new(),
            last_local: 0,
            sessions_left: match options.sessions {
                Sessions::Count(count) => count,
                Sessions::Endless => u64::MAX,
                Sessions::OnlyRemote | Sessions::ByHand => 0,
            },
            next_plug: None,
            next_connector: 0,
            password: options.password.clone(),
            trial: None,
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
                self.fall_back();
                let retry_ms = self.redial(now);
                self.notice(Notice::DialFailed { error, retry_ms });
            }
            Input::Disconnected(reason) => self.disconnected(now, reason),
            Input::Text(text) => self.received(now, text),
        }
        self.settle(now)
    }

    /// Does what has become due, and hands out what is to be done.
    pub(super) fn settle(&mut self, now: Timestamp) -> Vec<Output> {
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
            self.renewal_due(),
        ];
        let sessions = self.connectors.iter().map(Connector::next_deadline);
        let chores = [
            self.next_expiry(),
            self.firmware.next_deadline(),
            self.uploads.next_deadline(),
            self.aligned_due,
        ];
        on_the_wire
            .into_iter()
            .filter(|_| up)
            .chain([dial_at, self.next_plug])
            .chain(chores)
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

    pub(super) fn queue(&mut self, request: &impl Request, about: About) {
        self.outbox.push(Message::new(request, about));
    }

    /// Everything whose time has come.
    fn advance(&mut self, now: Timestamp) {
        let due = |at: Option<Timestamp>| at.is_some_and(|at| at <= now);
        self.advance_sessions(now);
        self.advance_reservations(now);
        self.advance_firmware(now);
        self.advance_uploads(now);
        self.advance_aligned(now);
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
                        self.queue(&requests::heartbeat(), About::Heartbeat);
                    }
                }
                if due(self.ping_due) {
                    self.ping_due = Some(now.after(self.configuration.seconds("WebSocketPingInterval")));
                    self.out.push(Output::Ping);
                }
                if due(self.renewal_due()) {
                    self.renew_certificate(now);
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
            && self.connectors.iter().all(|connector| connector.is_vacant())
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

    pub(super) fn transaction_by_id(&self, id: i64) -> Option<usize> {
        self.connectors.iter().position(|connector| {
            let local = connector.transaction().map(|Transaction { local, .. }| *local);
            local.is_some_and(|local| self.transaction_ids.get(&local) == Some(&Some(id)))
        })
    }
}

/// Where the charger's own clock starts, so that it meets the real one with the last session's end.
fn own_start(options: &ChargerOptions, now: Timestamp) -> Timestamp {
    let count = match options.sessions {
        Sessions::Count(count) => u32::try_from(count).unwrap_or(u32::MAX),
        Sessions::Endless | Sessions::OnlyRemote | Sessions::ByHand => 1,
    };
    let gained = options.session_duration.mul_f64(1.0 - 1.0 / options.time_scale.max(1.0));
    now.before(gained.saturating_mul(count))
}
