//! One connector: its cable, its meter, and how far the session on it has come.

use super::messages::{ChargePointErrorCode, ChargePointStatus as Status, MeterValue};
use super::meter::Meter;
use super::outbox::LocalTransaction;
use super::profile::Profile;
use vocabulary::clock::Timestamp;

/// Somebody who wants to charge.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub id_tag: String,
    /// The group of the tag, as far as it is known.
    pub parent: Option<String>,
    /// Asked for by the central system, not by a tag at the reader.
    pub remote: bool,
    /// The `TxProfile` that came with a remote start.
    pub profile: Option<Box<Profile>>,
}

impl Request {
    /// A tag held against the reader.
    pub(super) fn by_tag(id_tag: String) -> Self {
        Self { id_tag, parent: None, remote: false, profile: None }
    }
}

/// How far a session has come. Moments are real time.
#[derive(Debug)]
pub(super) enum Phase {
    /// Nobody has shown a tag.
    Idle,
    /// The tag was read and the central system is asked.
    Authorizing(Request),
    /// The tag may charge; the cable is waited for until then.
    Expecting { request: Request, until: Timestamp },
    /// A transaction runs.
    Charging(Transaction),
    /// The transaction is over, the car still plugged in.
    Finishing,
}

/// A running transaction.
#[derive(Debug)]
pub(super) struct Transaction {
    pub local: LocalTransaction,
    pub id_tag: String,
    pub parent: Option<String>,
    pub meter_start_wh: i64,
    /// By the charger's own clock, as its profiles count.
    pub began: Timestamp,
    /// When the driver comes back; never, if somebody else decides.
    pub ends_at: Option<Timestamp>,
    pub next_sample: Option<Timestamp>,
    /// When another limit of a charging profile begins to hold.
    pub limit_changes_at: Option<Timestamp>,
    /// The central system does not want this tag to be given energy.
    pub refused: bool,
    /// A charging profile allows no power at all.
    pub throttled: bool,
    /// The `MeterValue` of its first moment, for `transactionData`.
    pub first: Option<MeterValue>,
}

/// What the simulated driver is about to do.
#[derive(Debug, Clone)]
pub(super) enum Errand {
    Plug,
    ShowCard(String),
    Unplug,
}

/// One connector.
#[derive(Debug)]
pub(super) struct Connector {
    pub id: u32,
    pub status: Status,
    /// What the central system was told last.
    pub told: Option<Status>,
    pub meter: Meter,
    pub phase: Phase,
    /// A car is plugged in.
    pub cable: bool,
    pub errand: Option<(Timestamp, Errand)>,
    /// Switched off by `ChangeAvailability`, from the end of the session on.
    pub inoperative: bool,
    /// What is broken.
    pub fault: Option<ChargePointErrorCode>,
    /// The session counts towards those the charger was to begin of its own accord.
    pub planned: bool,
}

impl Connector {
    pub(super) fn new(id: u32, meter: Meter) -> Self {
        Self {
            id,
            status: Status::Available,
            told: None,
            meter,
            phase: Phase::Idle,
            cable: false,
            errand: None,
            inoperative: false,
            fault: None,
            planned: false,
        }
    }

    /// Able to take a car, and none is there or on its way.
    pub(super) fn is_free(&self) -> bool {
        self.is_vacant() && !self.inoperative && self.fault.is_none()
    }

    /// Nobody is here, whether or not the connector works.
    pub(super) fn is_vacant(&self) -> bool {
        matches!(self.phase, Phase::Idle) && !self.cable && self.errand.is_none()
    }

    /// Somebody is in the middle of a session: what is asked for waits for its end.
    pub(super) fn is_in_session(&self) -> bool {
        self.errand.is_some()
            || matches!(self.phase, Phase::Authorizing(_) | Phase::Expecting { .. } | Phase::Charging(_))
    }

    /// Whose session it is.
    pub(super) fn id_tag(&self) -> Option<&str> {
        match &self.phase {
            Phase::Charging(running) => Some(&running.id_tag),
            Phase::Authorizing(request) | Phase::Expecting { request, .. } => Some(&request.id_tag),
            Phase::Idle | Phase::Finishing => None,
        }
    }

    pub(super) fn transaction(&self) -> Option<&Transaction> {
        match &self.phase {
            Phase::Charging(transaction) => Some(transaction),
            _ => None,
        }
    }

    pub(super) fn transaction_mut(&mut self) -> Option<&mut Transaction> {
        match &mut self.phase {
            Phase::Charging(transaction) => Some(transaction),
            _ => None,
        }
    }

    /// The status that follows from everything else; `reserved` if somebody has a claim on it.
    pub(super) fn current_status(&self, reserved: bool) -> Status {
        if self.fault.is_some() {
            return Status::Faulted;
        }
        match &self.phase {
            Phase::Charging(running) if running.refused || running.throttled => Status::SuspendedEVSE,
            // Unplugged, or full.
            Phase::Charging(_) if !self.cable || self.meter.power_w() == 0.0 => Status::SuspendedEV,
            Phase::Charging(_) => Status::Charging,
            Phase::Finishing => Status::Finishing,
            Phase::Expecting { .. } => Status::Preparing,
            Phase::Idle | Phase::Authorizing(_) if self.inoperative && self.errand.is_none() => {
                Status::Unavailable
            }
            Phase::Idle | Phase::Authorizing(_) if reserved => Status::Reserved,
            Phase::Idle | Phase::Authorizing(_) if self.cable => Status::Preparing,
            Phase::Idle | Phase::Authorizing(_) => Status::Available,
        }
    }

    /// When something is due here next; real time.
    pub(super) fn next_deadline(&self) -> Option<Timestamp> {
        let in_phase = match &self.phase {
            Phase::Idle | Phase::Authorizing(_) | Phase::Finishing => None,
            Phase::Expecting { until, .. } => Some(*until),
            Phase::Charging(transaction) => {
                [transaction.ends_at, transaction.next_sample, transaction.limit_changes_at]
                    .into_iter()
                    .flatten()
                    .min()
            }
        };
        in_phase.into_iter().chain(self.errand.as_ref().map(|(at, _)| *at)).min()
    }
}
