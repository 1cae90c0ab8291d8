//! One CALL of a charger: facts, verdict, event and deliveries, in one transaction.
//!
//! The store gathers what the answer depends on, the pure `Message::answer` makes it, and it is stored
//! with the event. Only what is returned from here, after the commit, may be sent to the charger.

mod certificate_request;
mod station_facts;
mod tag_verdict;
mod transaction;

use std::sync::Arc;

use crate::engine::sql::params;
use crate::station_state::rejected_messages;
use serde_json::value::RawValue;

use crate::calls::authorization_question::OutsideVerdicts;
use crate::engine::tx::Tx;
use crate::error::Result;
use crate::log::append;
use crate::log::append::{AppendOptions, Owner};
use crate::sessions::reservations;
use crate::station_state::flags::{BOOT_LOOP, Change, Until};
use crate::station_state::{boot_loops, configuration, unsupported_actions};
use crate::stations::certificate_signing::Signing;
use crate::{LogPosition, Priority, Scope, Store};
use vocabulary::clock::Timestamp;
use vocabulary::event::{Category, NewEvent};
use vocabulary::id::StationId;
use vocabulary::ocpp::Violation;
use vocabulary::ocpp::authorization::{IdTagInfo, UnknownIdTag};
use vocabulary::ocpp::boot_status::BootStatus;
use vocabulary::ocpp::decision::Decision;
use vocabulary::ocpp::fact::{Booted, Fact};
use vocabulary::ocpp::message::{Inbound, Message};
use vocabulary::ocpp::rejection::Rejection;
use vocabulary::ocpp::station_clock::{self, Sighting};

/// What the operator has decided about answers.
#[derive(Debug, Clone)]
pub struct CallPolicy {
    /// What an accepted boot is told.
    pub heartbeat_interval_s: u32,
    /// The verdict on tags nobody registered.
    pub unknown_id_tag: UnknownIdTag,
    /// Where an endpoint gives verdicts: what becomes of tags it says nothing of.
    pub outside_verdicts: Option<OutsideVerdicts>,
    /// Whose `DataTransfer` is accepted.
    pub data_transfer_vendors: Vec<String>,
}

/// The answer to a CALL whose event is on disk.
#[derive(Debug, Clone)]
pub struct Answered {
    /// The CALLRESULT's payload.
    pub payload: Box<RawValue>,
    /// It repeated an earlier message and got that one's answer.
    pub duplicate: bool,
    /// It has brought forth a command to the station, which the connection has to be told of.
    pub command_made: bool,
}

/// What others were asked before a CALL is served.
#[derive(Debug, Clone, Default)]
pub struct Advice {
    /// What the authorisation endpoint says of its tag, if it was asked and answered.
    pub verdict: Option<IdTagInfo>,
    /// What the certificate authority says to its request, if there are both.
    pub signing: Option<Signing>,
}

/// How many times longer a charger that boots again and again is asked to leave between heartbeats (quirk
/// Q32). Less than the three after which it counts as offline.
const LOOPING_SLOWER: u32 = 2;

/// The station's row, as far as answers depend on it.
struct Station {
    owner_id: Option<String>,
    boot_status: BootStatus,
    booted_at_ms: Option<i64>,
    flags: String,
    /// How far its clock was ahead before this message.
    clock_skew_ms: Option<i64>,
    /// Messages that agree on another skew; JSON.
    clock_doubt: Option<String>,
}

/// Serves CALLs, each answered by the same policy. Cheap to clone.
#[derive(Clone)]
pub struct Calls {
    store: Store,
    policy: Arc<CallPolicy>,
}

impl Calls {
    /// Stores one CALL with everything that follows from it, and returns the answer to it.
    ///
    /// A retried start or stop becomes an event with `duplicate_of` and gets the first one's answer.
    ///
    /// # Errors
    /// Only the store's own: nothing was written, and the charger must not be answered.
    pub async fn serve(
        &self,
        station: StationId,
        call: Inbound,
        received_at: Timestamp,
        advice: Advice,
    ) -> Result<Answered> {
        let priority = Priority::Inbound.of_bytes(call.payload.get().len());
        let Self { store, policy } = self.clone();
        store
            .write(priority, Scope::Station(station.clone()), move |w| {
                let known = read_station(w, &station)?;
                let policy = &policy;
                CallTx {
                    w,
                    station: &station,
                    clock_skew_ms: known.clock_skew_ms,
                    known,
                    received_at,
                    policy,
                    advice,
                    certificate_granted: false,
                    in_boot_loop: false,
                    flags: Change::default(),
                }
                .handle(call)
            })
            .await
    }
}

impl Store {
    /// What serves CALLs by `policy`.
    pub fn calls(&self, policy: CallPolicy) -> Calls {
        Calls { store: self.clone(), policy: Arc::new(policy) }
    }

    /// Keeps a message that cannot be served as a `MessageRejected`.
    ///
    /// # Errors
    /// Only the store's own: nothing was written, and the charger must not be answered.
    pub async fn reject_message(
        &self,
        station: StationId,
        rejection: Rejection,
        received_at: Timestamp,
    ) -> Result<()> {
        self.write(Priority::Inbound, Scope::Station(station.clone()), move |w| {
            rejected_messages::keep(w, &station, rejection, received_at)
        })
        .await
    }
}

fn read_station(w: &Tx<'_>, station: &StationId) -> Result<Station> {
    let known = w.maybe(
        "SELECT owner_id, boot_status, booted_at_ms, flags, clock_skew_ms, clock_doubt
         FROM stations WHERE station_id = ?1",
        params![station],
        |row| {
            Ok(Station {
                owner_id: row.get(0)?,
                boot_status: row.word(1)?,
                booted_at_ms: row.get(2)?,
                flags: row.get(3)?,
                clock_skew_ms: row.get(4)?,
                clock_doubt: row.get(5)?,
            })
        },
    )?;
    // A station deleted while its last messages were on their way: they are kept all the same.
    Ok(known.unwrap_or_else(|| Station {
        owner_id: None,
        boot_status: BootStatus::Rejected,
        booted_at_ms: None,
        flags: "[]".to_owned(),
        clock_skew_ms: None,
        clock_doubt: None,
    }))
}

/// One CALL in its transaction.
struct CallTx<'a, 'w> {
    w: &'a mut Tx<'w>,
    station: &'a StationId,
    known: Station,
    received_at: Timestamp,
    policy: &'a CallPolicy,
    advice: Advice,
    /// The station gets the certificate that it asks for.
    certificate_granted: bool,
    /// How far the station's clock is ahead, this message included.
    clock_skew_ms: Option<i64>,
    /// The message is a boot, and one of too many.
    in_boot_loop: bool,
    /// What the message changes about the station's flags.
    flags: Change,
}

impl CallTx<'_, '_> {
    /// Whether the station's clock was never set: its live messages lie years behind, or the first that it
    /// sends.
    pub(crate) fn clock_was_never_set(&self) -> bool {
        self.clock_skew_ms.is_some_and(station_clock::was_never_set)
    }

    fn handle(mut self, mut call: Inbound) -> Result<Answered> {
        let message = call.message.clone();
        let fact = message.fact();
        if self.known.booted_at_ms.is_none() && !matches!(fact, Fact::Booted(_)) {
            call.violations.push(Violation::message("before_boot"));
        }
        if let Some(sighting) = Sighting::of(&call, self.received_at) {
            self.update_clock(&sighting, &mut call)?;
        }
        self.end_flags_by_time()?;
        match fact {
            Fact::SessionStarted(start) => self.start(call, &message, start),
            Fact::SessionEnded(stop) => self.stop(call, &message, stop),
            Fact::Metered(values) => self.meter_values(call, &message, values),
            Fact::Booted(boot) => self.boot(call, &message, boot),
            Fact::ConnectorStatus(status) => {
                self.update_connector(status, call.occurred_at)?;
                reservations::cancel_if_out_of_order(
                    self.w,
                    self.station,
                    status,
                    self.by_our_clock(call.occurred_at),
                )?;
                self.append_and_answer(call, &message, None)
            }
            Fact::FirmwareProgress(status) => {
                boot_loops::firmware_progress(self.w, self.station, status)?;
                self.record_progress("firmware_status", status)?;
                self.append_and_answer(call, &message, None)
            }
            Fact::DiagnosticsProgress(status) => {
                self.record_progress("diagnostics_status", status)?;
                self.append_and_answer(call, &message, None)
            }
            Fact::LogProgress(status) => {
                self.record_progress("log_status", status)?;
                self.append_and_answer(call, &message, None)
            }
            Fact::TagShown { .. } | Fact::Other => self.append_and_answer(call, &message, None),
            Fact::CertificateRequested { .. } => self.certificate_request(call, &message),
        }
    }

    fn boot(&mut self, mut call: Inbound, message: &Message, boot: &Booted) -> Result<Answered> {
        let new_firmware = self.has_new_firmware(boot)?;
        let asked_for = new_firmware || self.was_to_boot_again()?;
        self.flags.over(Until::BootsApart);
        if let Some(boots) = boot_loops::count(self.w, self.station, asked_for)? {
            let minutes = boot_loops::LOOP_WINDOW.as_secs() / 60;
            let problem =
                format!("{BOOT_LOOP}: {boots} boots within {minutes} minutes that nobody asked for");
            call.violations.push(Violation::message(problem));
            self.in_boot_loop = true;
        }
        if self.known.booted_at_ms.is_some() {
            self.flags.over(Until::NextBoot);
        }
        if new_firmware {
            self.flags.over(Until::NewFirmware);
            unsupported_actions::forget(self.w, self.station)?;
        }
        if self.clock_was_never_set() {
            // It counts anew with its power: what it showed before says nothing of what it shows now.
            self.write_clock(None, None)?;
        }
        self.record_boot(boot)?;
        configuration::booted(self.w, self.station)?;
        self.append_and_answer(call, message, None)
    }

    /// A time of the station's clock by ours; `None` if nobody knows how far that is off.
    fn by_our_clock(&self, occurred_at: Option<Timestamp>) -> Option<Timestamp> {
        let (at, ahead_ms) = occurred_at.zip(self.clock_skew_ms)?;
        Some(Timestamp::from_unix_ms(at.unix_ms().saturating_sub(ahead_ms)))
    }

    /// A message that neither starts nor ends a transaction.
    fn append_and_answer(
        &mut self,
        call: Inbound,
        message: &Message,
        transaction_id: Option<i64>,
    ) -> Result<Answered> {
        let id_tag_info = match message.fact() {
            Fact::TagShown { id_tag } => Some(self.tag_verdict(id_tag, None)?),
            _ => None,
        };
        let payload = self.answer(message, id_tag_info, None);
        self.append(call, transaction_id, &payload, AppendOptions::default())?;
        Ok(Answered { payload, duplicate: false, command_made: false })
    }

    fn append(
        &mut self,
        call: Inbound,
        transaction_id: Option<i64>,
        response: &RawValue,
        options: AppendOptions<'_>,
    ) -> Result<LogPosition> {
        let mut flags = std::mem::take(&mut self.flags);
        flags.violations(&call.violations);
        flags.write(self.w, self.station, &self.known.flags)?;
        let action = call.action.as_str();
        let event = NewEvent {
            protocol: Some(call.action.protocol()),
            occurred_at: call.occurred_at,
            transaction_id,
            message_id: Some(call.message_id.text()),
            response: Some(response.to_owned()),
            violations: call.violations,
            ..NewEvent::about_station(Category::Ocpp, action, self.station, self.received_at, call.payload)
        };
        let owner_id = self.known.owner_id.as_deref();
        append::append(self.w, &event, AppendOptions { owner: Owner::Known(owner_id), ..options })
    }

    fn answer(
        &self,
        message: &Message,
        id_tag_info: Option<IdTagInfo>,
        transaction_id: Option<i64>,
    ) -> Box<RawValue> {
        let decision = Decision {
            boot_status: self.known.boot_status,
            heartbeat_interval_s: match self.in_boot_loop {
                true => self.policy.heartbeat_interval_s.saturating_mul(LOOPING_SLOWER),
                false => self.policy.heartbeat_interval_s,
            },
            id_tag_info,
            transaction_id,
            data_transfer_vendors: &self.policy.data_transfer_vendors,
            certificate_authority: self.certificate_granted,
        };
        message.answer(&decision, self.w.now)
    }
}
pub(crate) mod authorization_question;
