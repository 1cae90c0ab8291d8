//! One connector: its status, its meter, and how far the session on it has come.

use serde_json::Value;

use super::meter::Meter;
use super::outbox::LocalTransaction;
use crate::clock::Timestamp;

/// A connector's status, as far as this charger knows them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    Available,
    Preparing,
    Charging,
    SuspendedEvse,
    Finishing,
    Unavailable,
}

impl Status {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Available => "Available",
            Self::Preparing => "Preparing",
            Self::Charging => "Charging",
            Self::SuspendedEvse => "SuspendedEVSE",
            Self::Finishing => "Finishing",
            Self::Unavailable => "Unavailable",
        }
    }
}

/// How far a session has come. Moments are real time.
#[derive(Debug)]
pub(super) enum Phase {
    /// No car.
    Free,
    /// The car is plugged in; the tag comes at `card_at`.
    Plugged { id_tag: String, card_at: Timestamp, remote: bool },
    /// The tag was read and the central system is asked.
    Authorizing { id_tag: String },
    /// A transaction runs.
    Charging(Transaction),
    /// The transaction is over, the car still plugged in.
    Finishing { until: Timestamp },
}

/// A running transaction.
#[derive(Debug)]
pub(super) struct Transaction {
    pub local: LocalTransaction,
    pub id_tag: String,
    pub meter_start_wh: i64,
    pub began: Timestamp,
    pub ends_at: Timestamp,
    pub next_sample: Option<Timestamp>,
    /// The `MeterValue` of its first moment, for `transactionData`.
    pub first: Option<Value>,
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
    /// Switched off by `ChangeAvailability`, from the end of the session on.
    pub inoperative: bool,
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
            phase: Phase::Free,
            inoperative: false,
            planned: false,
        }
    }

    /// Free to take a car.
    pub(super) fn is_free(&self) -> bool {
        matches!(self.phase, Phase::Free) && !self.inoperative
    }

    pub(super) fn transaction(&self) -> Option<&Transaction> {
        match &self.phase {
            Phase::Charging(transaction) => Some(transaction),
            _ => None,
        }
    }

    /// When something is due here next; real time.
    pub(super) fn next_deadline(&self) -> Option<Timestamp> {
        match &self.phase {
            Phase::Free | Phase::Authorizing { .. } => None,
            Phase::Plugged { card_at, .. } => Some(*card_at),
            Phase::Charging(transaction) => {
                Some(transaction.next_sample.map_or(transaction.ends_at, |at| at.min(transaction.ends_at)))
            }
            Phase::Finishing { until } => Some(*until),
        }
    }
}
