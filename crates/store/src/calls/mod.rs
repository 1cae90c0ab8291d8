//! One CALL of a charger: facts, verdict, event and deliveries, in one transaction.
//!
//! The store gathers what the answer depends on, the pure `Message::answer` makes it, and it is stored
//! with the event. Only what is returned from here, after the commit, may be sent to the charger.

mod answering;
pub(crate) mod authorization_question;
mod boot;
mod certificate_request;
mod clock;
mod foreseen;
mod station_facts;
mod station_row;
mod tag_verdict;
mod transaction;

use std::sync::Arc;

use serde_json::value::RawValue;

use crate::access::tag_rules::TagRules;
use crate::calls::station_row::StationRow;
use crate::engine::job::Reads;
use crate::engine::tx::Tx;
use crate::error::{Result, StoreError};
use crate::sessions::reservations;
use crate::station_state::flags::Change;
use crate::station_state::{boot_loops, rejected_messages};
use crate::stations::certificate_signing::Signing;
use crate::{Priority, Scope, Store};
use vocabulary::clock::Timestamp;
use vocabulary::id::StationId;
use vocabulary::ocpp::Violation;
use vocabulary::ocpp::authorization::IdTagInfo;
use vocabulary::ocpp::fact::{Fact, Report};
use vocabulary::ocpp::message::Inbound;
use vocabulary::ocpp::rejection::Rejection;
use vocabulary::ocpp::station_clock::Sighting;

/// What the operator has decided about answers.
#[derive(Debug, Clone)]
pub struct CallPolicy {
    /// What an accepted boot is told.
    pub heartbeat_interval_s: u32,
    /// What becomes of id tags.
    pub tags: TagRules,
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
    /// It has created a command to the station, which the connection has to be told of.
    pub command_created: bool,
}

/// What others were asked before a CALL is served.
#[derive(Debug, Clone, Default)]
pub struct Advice {
    /// What the authorisation endpoint says of its tag, if it was asked and answered.
    pub verdict: Option<IdTagInfo>,
    /// What the certificate authority says to its request, if there are both.
    pub signing: Option<Signing>,
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
        let scope = Scope::Station(station.clone());
        let reads = match store.inner.engine.is_shared() {
            true => foreseen::of_call(&station, &call),
            false => Reads::default(),
        };
        let mut asked = Some((call, advice));
        let work = move |w: &mut Tx<'_>| {
            let known = StationRow::of(w, &station)?;
            let again = if w.may_run_again() { asked.clone() } else { asked.take() };
            let (call, advice) =
                again.ok_or_else(|| StoreError::Failed("a call was served twice".to_owned()))?;
            CallTx {
                w,
                station: &station,
                clock_skew_ms: known.clock_skew_ms,
                known,
                received_at,
                policy: &policy,
                advice,
                certificate_granted: false,
                in_boot_loop: false,
                flags: Change::default(),
            }
            .handle(call)
        };
        store.inner.engine.write_repeatable(priority, scope, reads, work).await
    }
}

impl Store {
    /// What serves CALLs by `policy`. What the first one says of id tags tells from then on which remote
    /// starts are warned of, too.
    pub fn calls(&self, policy: CallPolicy) -> Calls {
        self.inner.tags.get_or_init(|| policy.tags.clone());
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

/// One CALL in its transaction.
struct CallTx<'a, 'w> {
    w: &'a mut Tx<'w>,
    station: &'a StationId,
    known: StationRow,
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
    fn handle(mut self, mut call: Inbound) -> Result<Answered> {
        let message = call.message.clone();
        let fact = message.fact();
        if self.known.booted_at.is_none() && !matches!(fact, Fact::Booted(_)) {
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
            Fact::FirmwareProgress { status, may_boot } => {
                if may_boot {
                    boot_loops::expect(self.w, self.station)?;
                }
                self.keep_report(Report::FirmwareStatus, status)?;
                self.append_and_answer(call, &message, None)
            }
            Fact::Reported(report, value) => {
                self.keep_report(report, value)?;
                self.append_and_answer(call, &message, None)
            }
            Fact::TagShown { .. } | Fact::Other => self.append_and_answer(call, &message, None),
            Fact::CertificateRequested { .. } => self.certificate_request(call, &message),
        }
    }
}
