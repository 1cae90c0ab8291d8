//! What people do at a charger, and what happens to it: the hands and the weather of a simulation.

use std::time::Duration;

use serde::Serialize;

use super::charger::{Charger, Output};
use super::connector::{Phase, Request};
use super::messages::{ChargePointErrorCode as ErrorCode, ConfigurationStatus, Reason, spelling};
use vocabulary::clock::Timestamp;

/// What `StatusNotification` may name as broken.
const ERROR_CODES: [ErrorCode; 14] = [
    ErrorCode::ConnectorLockFailure,
    ErrorCode::EVCommunicationError,
    ErrorCode::GroundFailure,
    ErrorCode::HighTemperature,
    ErrorCode::InternalError,
    ErrorCode::OtherError,
    ErrorCode::OverCurrentFailure,
    ErrorCode::OverVoltage,
    ErrorCode::PowerMeterFailure,
    ErrorCode::PowerSwitchFailure,
    ErrorCode::ReaderFailure,
    ErrorCode::ResetFailure,
    ErrorCode::UnderVoltage,
    ErrorCode::WeakSignal,
];
/// Why a transaction may be stopped at the charger itself.
const STOP_REASONS: [Reason; 5] =
    [Reason::EmergencyStop, Reason::EVDisconnected, Reason::Local, Reason::Other, Reason::PowerLoss];

/// Something done to a charger. Connectors are counted from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// A car is plugged in.
    Plug(u32),
    /// It is unplugged; a running transaction ends, if the configuration says so.
    Unplug(u32),
    /// A tag is held against the reader: it starts a session, or stops its own. Without a connector: where
    /// the car is.
    Tag {
        /// The tag.
        id_tag: String,
        /// The connector chosen on the screen.
        connector: Option<u32>,
    },
    /// The stop button.
    Stop {
        /// Whose.
        connector: u32,
        /// As OCPP spells it.
        reason: String,
    },
    /// Meter values are sent at once.
    Meter(u32),
    /// Something breaks.
    Break {
        /// Where.
        connector: u32,
        /// As OCPP spells it.
        error_code: String,
    },
    /// It is repaired.
    Repair(u32),
    /// The network is gone for so long.
    Disconnect(Duration),
    /// The power is gone for so long.
    PowerLoss(Duration),
    /// A setting is changed at the charger itself.
    Set {
        /// The configuration key.
        key: String,
        /// Its new value.
        value: String,
    },
}

/// Why something could not be done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum CannotAct {
    #[error("there is no connector {0}: this charger has {1}")]
    NoConnector(u32, usize),
    #[error("a car is plugged in at connector {0} already")]
    AlreadyPlugged(u32),
    #[error("no car is plugged in at connector {0}")]
    NotPlugged(u32),
    #[error("connector {0} is out of service")]
    OutOfService(u32),
    #[error("connector {0} is waiting for the verdict on another tag")]
    ReaderBusy(u32),
    #[error("no connector takes a tag now; say which one: tag {0} 1")]
    NoneForTag(String),
    #[error("no transaction runs at connector {0}")]
    NotCharging(u32),
    #[error("connector {0} is charging for {1}: another tag cannot stop it")]
    OtherTag(u32, String),
    #[error("{0} is no error code: one of {list}", list = spellings(&ERROR_CODES))]
    ErrorCode(String),
    #[error("{0} is no reason to stop: one of {list}", list = spellings(&STOP_REASONS))]
    Reason(String),
    #[error("{key} cannot be set to {value:?} ({status})")]
    Setting { key: String, value: String, status: String },
}

fn spellings(words: &[impl Serialize]) -> String {
    words.iter().map(spelling).collect::<Vec<_>>().join(", ")
}

impl Charger {
    /// Does something to the charger at `now`; what is to be done about it comes back in order.
    ///
    /// # Errors
    /// If it cannot be done as things are; nothing has happened then.
    pub fn act(&mut self, now: Timestamp, act: &Act) -> Result<Vec<Output>, CannotAct> {
        self.perform(now, act)?;
        Ok(self.settle(now))
    }

    fn perform(&mut self, now: Timestamp, act: &Act) -> Result<(), CannotAct> {
        match act {
            Act::Plug(id) => {
                let index = self.index_of(*id)?;
                if self.connectors[index].cable {
                    return Err(CannotAct::AlreadyPlugged(*id));
                }
                self.plug(now, index);
            }
            Act::Unplug(id) => self.unplug(now, *id)?,
            Act::Tag { id_tag, connector } => self.hold_tag(now, id_tag, *connector)?,
            Act::Stop { connector, reason } => {
                let index = self.index_of(*connector)?;
                let known = STOP_REASONS.into_iter().find(|known| spelling(known) == *reason);
                let reason = known.ok_or_else(|| CannotAct::Reason(reason.clone()))?;
                self.connectors[index].transaction().ok_or(CannotAct::NotCharging(*connector))?;
                self.stop(now, index, reason, None);
            }
            Act::Meter(id) => {
                let index = self.index_of(*id)?;
                match self.connectors[index].phase {
                    Phase::Charging(_) => self.sample(now, index),
                    _ => return Err(CannotAct::NotCharging(*id)),
                }
            }
            Act::Break { connector, error_code } => {
                let index = self.index_of(*connector)?;
                let known = ERROR_CODES.into_iter().find(|known| spelling(known) == *error_code);
                let code = known.ok_or_else(|| CannotAct::ErrorCode(error_code.clone()))?;
                self.stop(now, index, Reason::Other, None);
                self.connectors[index].fault = Some(code);
                self.drop_reservations_of(*connector);
                self.refresh(now, index);
            }
            Act::Repair(id) => {
                let index = self.index_of(*id)?;
                self.connectors[index].fault = None;
                self.refresh(now, index);
            }
            Act::Disconnect(down) => self.lose_network(now, *down),
            Act::PowerLoss(down) => self.lose_power(now, *down),
            Act::Set { key, value } => self.set(now, key, value)?,
        }
        Ok(())
    }

    fn index_of(&self, id: u32) -> Result<usize, CannotAct> {
        let known = self.connectors.iter().position(|connector| connector.id == id);
        known.ok_or(CannotAct::NoConnector(id, self.connectors.len()))
    }

    fn unplug(&mut self, now: Timestamp, id: u32) -> Result<(), CannotAct> {
        let index = self.index_of(id)?;
        if !self.connectors[index].cable {
            return Err(CannotAct::NotPlugged(id));
        }
        if self.connectors[index].transaction().is_some() {
            if !self.configuration.flag("StopTransactionOnEVSideDisconnect") {
                self.connectors[index].cable = false;
                self.redraw(now, index);
                return Ok(());
            }
            self.stop(now, index, Reason::EVDisconnected, None);
        }
        self.leave(now, index);
        Ok(())
    }

    fn hold_tag(&mut self, now: Timestamp, id_tag: &str, connector: Option<u32>) -> Result<(), CannotAct> {
        let index = match connector {
            Some(id) => self.index_of(id)?,
            None => self.choose(id_tag).ok_or_else(|| CannotAct::NoneForTag(id_tag.to_owned()))?,
        };
        let one = &self.connectors[index];
        match &one.phase {
            Phase::Charging(running) => {
                let parent = running.parent.clone();
                let same_group = || {
                    let known = self.known(now, id_tag);
                    matches!(known, super::charger::authorization::Known::Accepted { parent: Some(group) } if parent.as_ref() == Some(&group))
                };
                if !running.id_tag.eq_ignore_ascii_case(id_tag) && !same_group() {
                    return Err(CannotAct::OtherTag(one.id, running.id_tag.clone()));
                }
                self.stop(now, index, Reason::Local, Some(id_tag.to_owned()));
            }
            Phase::Authorizing(_) => return Err(CannotAct::ReaderBusy(one.id)),
            _ if one.inoperative || one.fault.is_some() => return Err(CannotAct::OutOfService(one.id)),
            _ => self.present(now, index, Request::by_tag(id_tag.to_owned())),
        }
        Ok(())
    }

    /// Where a tag belongs: to its own session, else to a car that waits, else to a free connector.
    fn choose(&self, id_tag: &str) -> Option<usize> {
        let own = self.connectors.iter().position(|one| {
            one.transaction().is_some_and(|running| running.id_tag.eq_ignore_ascii_case(id_tag))
        });
        let waiting = || {
            self.connectors
                .iter()
                .position(|one| one.cable && matches!(one.phase, Phase::Idle) && one.fault.is_none())
        };
        let free = || self.connectors.iter().position(|one| one.is_free());
        own.or_else(waiting).or_else(free)
    }

    fn set(&mut self, now: Timestamp, key: &str, value: &str) -> Result<(), CannotAct> {
        let change = self.configuration.change(key, value);
        if matches!(change, ConfigurationStatus::Rejected | ConfigurationStatus::NotSupported) {
            let (key, value) = (key.to_owned(), value.to_owned());
            return Err(CannotAct::Setting { key, value, status: spelling(&change) });
        }
        self.configured(now, key, value);
        Ok(())
    }
}
