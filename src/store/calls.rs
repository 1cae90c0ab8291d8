//! One CALL of a charger: facts, verdict, event and deliveries, in one transaction.
//!
//! The store gathers the facts, the pure `ocpp::v16::answer` decides, and what it decides is stored
//! with the event. Only what is returned from here, after the commit, may be sent to the charger.

mod notes;

use rusqlite::OptionalExtension;
use serde_json::value::RawValue;

use super::authorizations::{self, OutsideVerdicts};
use super::certificates::{self, Signing};
use super::connections::{add_flags, to_json};
use super::error::{Result, StoreError};
use super::events::{self, Manner};
use super::transactions::{self, Begun, Ending, Metered, StopOf};
use super::writer::Writing;
use super::{Priority, Store, bills, cells, configuration, id_tags, remote_start, reservations};
use crate::clock::Timestamp;
use crate::event::{Category, NewEvent};
use crate::id::StationId;
use crate::ocpp::Violation;
use crate::ocpp::rejection::Rejection;
use crate::ocpp::v16::answer::{self, BootStatus, Facts};
use crate::ocpp::v16::authorization::{self, AuthorizationStatus, IdTagInfo, UnknownIdTag};
use crate::ocpp::v16::inbound::{Inbound, Request, StartTransaction, StopTransaction};
use crate::ocpp::v16::time;

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

/// No charger boots and has reason to boot again in less (quirk Q32).
const BOOT_LOOP_MS: i64 = 30_000;

/// The station's row, as far as answers depend on it.
struct Station {
    owner_id: Option<String>,
    boot_status: BootStatus,
    booted_at_ms: Option<i64>,
    flags: String,
    clock_skew_ms: Option<i64>,
}

impl Store {
    /// Stores one CALL with everything that follows from it, and returns the answer to it.
    ///
    /// A retried start or stop becomes an event with `duplicate_of` and gets the first one's answer.
    ///
    /// # Errors
    /// Only the store's own: nothing was written, and the charger must not be answered.
    pub async fn serve_call(
        &self,
        station: StationId,
        call: Inbound,
        received_at: Timestamp,
        policy: std::sync::Arc<CallPolicy>,
        advice: Advice,
    ) -> Result<Answered> {
        self.write(Priority::Inbound, move |w| {
            let known = read_station(w, &station)?;
            let policy = &policy;
            Serving { w, station: &station, known, received_at, policy, advice, signed: false }.serve(call)
        })
        .await
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
        self.write(Priority::Inbound, move |w| keep_rejected(w, &station, rejection, received_at)).await
    }
}

/// Inserts the `MessageRejected` of a message that cannot be served.
pub(super) fn keep_rejected(
    w: &mut Writing<'_>,
    station: &StationId,
    rejection: Rejection,
    received_at: Timestamp,
) -> Result<()> {
    let known = read_station(w, station)?;
    let oddities = rejection.violations.iter().map(Violation::code);
    let seen = std::iter::once(rejection.reason.as_str()).chain(oddities);
    add_flags(w, station, &known.flags, seen)?;
    let payload = to_json(&rejection.payload())?;
    let response = rejection.answer.as_ref().map(|refused| {
        let (code, description) = (refused.code, refused.description.as_str());
        to_json(&serde_json::json!({ "code": code, "description": description, "details": {} }))
    });
    let event = NewEvent {
        response: response.transpose()?,
        message_id: rejection.answer.map(|refused| refused.message_id.text()),
        violations: rejection.violations,
        ..NewEvent::about_station(Category::Station, "MessageRejected", station, received_at, payload)
    };
    events::append(w, &event, Manner::default()).map(drop)
}

fn read_station(w: &Writing<'_>, station: &StationId) -> Result<Station> {
    let known = w
        .conn
        .prepare_cached(
            "SELECT owner_id, boot_status, booted_at_ms, flags, clock_skew_ms
             FROM stations WHERE station_id = ?1",
        )?
        .query_row([station.as_str()], |row| {
            Ok(Station {
                owner_id: row.get(0)?,
                boot_status: cells::word(row, 1)?,
                booted_at_ms: row.get(2)?,
                flags: row.get(3)?,
                clock_skew_ms: row.get(4)?,
            })
        })
        .optional()?;
    // A station deleted while its last messages were on their way: they are kept all the same.
    Ok(known.unwrap_or_else(|| Station {
        owner_id: None,
        boot_status: BootStatus::Rejected,
        booted_at_ms: None,
        flags: "[]".to_owned(),
        clock_skew_ms: None,
    }))
}

/// One CALL being served.
struct Serving<'a, 'w> {
    w: &'a mut Writing<'w>,
    station: &'a StationId,
    known: Station,
    received_at: Timestamp,
    policy: &'a CallPolicy,
    advice: Advice,
    /// The station gets the certificate that it asks for.
    signed: bool,
}

impl Serving<'_, '_> {
    fn serve(mut self, mut call: Inbound) -> Result<Answered> {
        if self.known.booted_at_ms.is_none() && !matches!(call.request, Request::BootNotification(_)) {
            call.violations.push(Violation::message("before_boot"));
        }
        // Behind its arrival a message may have waited in a queue; ahead of it only a clock can be wrong.
        let is_live = matches!(call.request, Request::StatusNotification(_));
        if let Some(occurred_at) = call.occurred_at.filter(|at| is_live || *at > self.received_at) {
            call.violations.extend(time::skew_violation(occurred_at, self.received_at));
        }
        let request = std::mem::replace(&mut call.request, Request::Heartbeat);
        match &request {
            Request::StartTransaction(start) => self.start(call, &request, start),
            Request::StopTransaction(stop) => self.stop(call, &request, stop),
            Request::MeterValues(values) => {
                let (metered, of_no_use) = transactions::of_meter_values(
                    self.w,
                    self.station,
                    values.transaction_id,
                    values.connector_id,
                )?;
                if of_no_use {
                    call.violations.push(Violation::field("transactionId", "unknown_transaction"));
                }
                let occurred_at = call.occurred_at;
                let answered = self.plain(call, &request, metered.map(|of| of.transaction_id))?;
                if let Some(of) = metered {
                    bills::hear(self.w, of, &values.meter_value, occurred_at, self.received_at)?;
                }
                Ok(answered)
            }
            Request::BootNotification(boot) => {
                let since_ms = self.known.booted_at_ms.map(|at_ms| self.w.now.unix_ms() - at_ms);
                if let Some(since_ms) = since_ms.filter(|since_ms| *since_ms < BOOT_LOOP_MS) {
                    let seconds = since_ms / 1_000;
                    let problem = format!("boot_loop: {seconds} s after the boot before");
                    call.violations.push(Violation::message(problem));
                }
                self.note_boot(boot)?;
                configuration::booted(self.w, self.station)?;
                self.plain(call, &request, None)
            }
            Request::StatusNotification(status) => {
                self.note_connector(status, call.occurred_at)?;
                if let Some(occurred_at) = call.occurred_at {
                    self.note_clock(occurred_at)?;
                }
                self.plain(call, &request, None)
            }
            Request::FirmwareStatusNotification { status }
            | Request::SignedFirmwareStatusNotification { status } => {
                self.note_progress("firmware_status", status.as_deref())?;
                self.plain(call, &request, None)
            }
            Request::DiagnosticsStatusNotification { status } => {
                self.note_progress("diagnostics_status", status.as_deref())?;
                self.plain(call, &request, None)
            }
            Request::LogStatusNotification { status } => {
                self.note_progress("log_status", status.as_deref())?;
                self.plain(call, &request, None)
            }
            Request::Authorize { .. }
            | Request::DataTransfer { .. }
            | Request::Heartbeat
            | Request::SecurityEventNotification => self.plain(call, &request, None),
            Request::SignCertificate { .. } => self.sign(call, &request),
        }
    }

    /// A message that changes no transaction.
    fn plain(&mut self, call: Inbound, request: &Request, transaction_id: Option<i64>) -> Result<Answered> {
        let id_tag_info = match request {
            Request::Authorize { id_tag } => Some(self.verdict(id_tag.as_deref(), false)?),
            _ => None,
        };
        let payload = self.answer(request, id_tag_info, None);
        self.append(call, transaction_id, &payload, Manner::default())?;
        Ok(Answered { payload, duplicate: false, command_made: false })
    }

    /// A request for a certificate. One that is granted brings forth the command that sends it, after the answer.
    fn sign(&mut self, mut call: Inbound, request: &Request) -> Result<Answered> {
        let refused = match self.advice.signing.take() {
            // There is no authority: whoever subscribes to the event may have one.
            None => None,
            Some(Signing::Refused { reason }) => Some(reason),
            Some(Signing::Signed { .. }) if self.known.boot_status == BootStatus::Rejected => {
                Some("not_accepted: its boots are answered Rejected".to_owned())
            }
            Some(Signing::Signed { chain }) => {
                let refused = certificates::order(self.w, self.station, &chain)?;
                self.signed = refused.is_none();
                refused
            }
        };
        call.violations.extend(refused.map(|reason| Violation::field("csr", reason)));
        let answered = self.plain(call, request, None)?;
        Ok(Answered { command_made: self.signed, ..answered })
    }

    fn start(&mut self, call: Inbound, request: &Request, start: &StartTransaction) -> Result<Answered> {
        if let Some(first) = transactions::begun_by(self.w.conn, self.station, start, call.occurred_at)? {
            let fallback = |serving: &Self| {
                let status = first.id_tag_status.parse().unwrap_or(AuthorizationStatus::Invalid);
                let info = IdTagInfo { status, expiry_date: None, parent_id_tag: None };
                serving.answer(request, Some(info), Some(first.transaction_id))
            };
            return self.repeat(call, first.event_seq, Some(first.transaction_id), fallback);
        }
        let transaction_id = transactions::next_number(self.w)?;
        let id_tag_info = self.verdict(start.id_tag.as_deref(), true)?;
        let id_tag_status = id_tag_info.status.as_str();
        let payload = self.answer(request, Some(id_tag_info), Some(transaction_id));
        let occurred_at = call.occurred_at;
        let started_at = occurred_at.unwrap_or(self.received_at);
        let call = Inbound { payload: with_transaction_id(&call.payload, transaction_id)?, ..call };
        let event_seq = self.append(call, Some(transaction_id), &payload, Manner::default())?;
        let begun = Begun { transaction_id, id_tag_status, started_at, event_seq };
        transactions::begin(self.w, self.station, self.known.owner_id.as_deref(), start, &begun)?;
        reservations::used(self.w, self.station, start.reservation_id, transaction_id)?;
        let skew_ms = self.known.clock_skew_ms;
        remote_start::begun(self.w, self.station, start, transaction_id, occurred_at, skew_ms)?;
        Ok(Answered { payload, duplicate: false, command_made: false })
    }

    fn stop(&mut self, mut call: Inbound, request: &Request, stop: &StopTransaction) -> Result<Answered> {
        let of = transactions::ended_by(self.w, self.station, stop, call.occurred_at, call.payload.get())?;
        let id_tag_info = match &stop.id_tag {
            Some(id_tag) => Some(self.verdict(Some(id_tag), false)?),
            None => None,
        };
        let payload = self.answer(request, id_tag_info, None);
        match of {
            StopOf::Retry { event_seq, transaction_id } => {
                let occurred_at = call.occurred_at;
                let answered = self.repeat(call, event_seq, transaction_id, |_| payload.clone())?;
                self.hear_late(transaction_id, stop, occurred_at)?;
                return Ok(answered);
            }
            StopOf::First { transaction_id, inferred, completed } => {
                if inferred {
                    call.violations.push(Violation::field("transactionId", "unknown_transaction: inferred"));
                }
                let meter_start = transactions::meter_start(self.w, transaction_id)?;
                if stop.meter_stop_wh.is_some_and(|meter_stop| Some(meter_stop) < meter_start) {
                    call.violations.push(Violation::field("meterStop", "implausible: below meterStart"));
                }
                let (occurred_at, received_at) = (call.occurred_at, self.received_at);
                let event_seq = self.append(call, Some(transaction_id), &payload, Manner::default())?;
                let ending =
                    Ending { transaction_id, inferred, completed, occurred_at, received_at, event_seq };
                bills::stop(self.w, stop, &ending)?;
            }
            StopOf::Conflicting { transaction_id } => {
                call.violations.push(Violation::message("conflicting_stop"));
                let occurred_at = call.occurred_at;
                self.append(call, Some(transaction_id), &payload, Manner::default())?;
                self.hear_late(Some(transaction_id), stop, occurred_at)?;
            }
            StopOf::Unattached => {
                call.violations.push(Violation::field("transactionId", "unknown_transaction"));
                self.append(call, None, &payload, Manner::default())?;
            }
        }
        Ok(Answered { payload, duplicate: false, command_made: false })
    }

    /// Keeps what a stop that is not the first one tells of the meter: it counts like any late value.
    fn hear_late(
        &mut self,
        transaction_id: Option<i64>,
        stop: &StopTransaction,
        occurred_at: Option<Timestamp>,
    ) -> Result<()> {
        match transaction_id {
            Some(transaction_id) if !stop.transaction_data.is_empty() => {
                let of = Metered { transaction_id, completed: true, orphaned: false };
                bills::hear(self.w, of, &stop.transaction_data, occurred_at, self.received_at)
            }
            _ => Ok(()),
        }
    }

    /// Keeps a repeated message beside its first event and answers as that one was answered.
    fn repeat(
        &mut self,
        call: Inbound,
        first: i64,
        transaction_id: Option<i64>,
        fallback: impl FnOnce(&Self) -> Box<RawValue>,
    ) -> Result<Answered> {
        let stored: Option<String> = self
            .w
            .conn
            .prepare_cached("SELECT response FROM events WHERE seq = ?1")?
            .query_row([first], |row| row.get(0))
            .optional()?
            .flatten();
        // The first event may be past its retention: then its answer follows from the transaction.
        let payload = match stored.map(RawValue::from_string) {
            Some(Ok(stored)) => stored,
            _ => fallback(self),
        };
        let call = match transaction_id {
            Some(number) if matches!(call.action, crate::ocpp::v16::FromChargePoint::StartTransaction) => {
                Inbound { payload: with_transaction_id(&call.payload, number)?, ..call }
            }
            _ => call,
        };
        let manner = Manner { duplicate_of: Some(first), ..Manner::default() };
        self.append(call, transaction_id, &payload, manner)?;
        Ok(Answered { payload, duplicate: true, command_made: false })
    }

    fn append(
        &mut self,
        call: Inbound,
        transaction_id: Option<i64>,
        response: &RawValue,
        manner: Manner<'_>,
    ) -> Result<i64> {
        if !call.violations.is_empty() {
            let codes = call.violations.iter().map(|violation| violation.code());
            add_flags(self.w, self.station, &self.known.flags, codes)?;
        }
        let action = call.action.as_str();
        let event = NewEvent {
            occurred_at: call.occurred_at,
            transaction_id,
            message_id: Some(call.message_id.text()),
            response: Some(response.to_owned()),
            violations: call.violations,
            ..NewEvent::about_station(Category::Ocpp, action, self.station, self.received_at, call.payload)
        };
        let owner_id = self.known.owner_id.as_deref();
        events::append(self.w, &event, Manner { owner_id: Some(owner_id), ..manner })
    }

    fn answer(
        &self,
        request: &Request,
        id_tag_info: Option<IdTagInfo>,
        transaction_id: Option<i64>,
    ) -> Box<RawValue> {
        let facts = Facts {
            boot_status: self.known.boot_status,
            heartbeat_interval_s: self.policy.heartbeat_interval_s,
            id_tag_info,
            transaction_id,
            data_transfer_vendors: &self.policy.data_transfer_vendors,
            certificate_authority: self.signed,
        };
        answer::answer(request, &facts, self.w.now)
    }

    /// The verdict on a tag. A station that is not accepted starts nothing, whatever the tag.
    ///
    /// Only a start asks how many transactions the tag is in: a driver who holds it out again may want to
    /// end the one there is.
    fn verdict(&self, id_tag: Option<&str>, starts: bool) -> Result<IdTagInfo> {
        if self.known.boot_status != BootStatus::Accepted {
            return Ok(IdTagInfo::bare(AuthorizationStatus::Invalid));
        }
        let Some(id_tag) = id_tag else {
            let nobody = self.policy.outside_verdicts.as_ref().map(|outside| outside.fallback);
            let unknown = nobody.unwrap_or(self.policy.unknown_id_tag);
            return Ok(authorization::verdict(None, 0, unknown, self.w.now));
        };
        let owner_id = self.known.owner_id.as_deref();
        let mut unknown = self.policy.unknown_id_tag;
        if let Some(OutsideVerdicts { cache, fallback }) = &self.policy.outside_verdicts {
            if let Some(answer) = &self.advice.verdict {
                authorizations::remember(self.w, owner_id, id_tag, answer, *cache)?;
                return Ok(answer.clone());
            }
            let last = authorizations::remembered(self.w.conn, owner_id, id_tag, *cache, self.w.now)?;
            if let Some(last) = last {
                return Ok(last);
            }
            unknown = *fallback;
        }
        let registered = id_tags::registered(self.w.conn, owner_id, id_tag)?;
        let active = registered.as_ref().filter(|_| starts).map_or(0, |(_, active)| *active);
        let tag = registered.as_ref().map(|(tag, _)| tag);
        Ok(authorization::verdict(tag, active, unknown, self.w.now))
    }
}

/// The start as integrators see it: the charger's own object with the number the gateway gave.
fn with_transaction_id(payload: &RawValue, transaction_id: i64) -> Result<Box<RawValue>> {
    let object = payload.get().trim_end();
    let open = object.strip_suffix('}').unwrap_or(object).trim_end();
    let separator = if open.ends_with('{') { "" } else { "," };
    RawValue::from_string(format!("{open}{separator}\"transactionId\":{transaction_id}}}"))
        .map_err(|error| StoreError::Corrupt(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_is_added_and_nothing_else_changes() {
        let check = |payload: &str, expected: &str| {
            let raw = RawValue::from_string(payload.to_owned()).expect("JSON");
            assert_eq!(with_transaction_id(&raw, 7).expect("JSON").get(), expected);
        };
        check(r#"{"a":1.50, "b" : "x" }"#, r#"{"a":1.50, "b" : "x","transactionId":7}"#);
        check("{}", r#"{"transactionId":7}"#);
        check("{ }", r#"{"transactionId":7}"#);
    }
}
