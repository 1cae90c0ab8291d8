//! The start and the stop of a transaction, for the first time or again, and the meter values between them.

use std::borrow::Cow;

use super::{Answered, CallTx};
use crate::calls::answering::with_transaction_id;
use crate::error::Result;
use crate::history::downtime_causes;
use crate::log::append::AppendOptions;
use crate::sessions::remote_start::{self, StartTime};
use crate::sessions::transactions::{
    self, MatchedStop, MeterMatch, MeteredTransaction, NewTransaction, StopMatch,
};
use crate::sessions::{completion, reservations};
use vocabulary::clock::Timestamp;
use vocabulary::ocpp::Violation;
use vocabulary::ocpp::fact::{MeterReadings, SessionEnded, SessionStarted};
use vocabulary::ocpp::message::{Inbound, Message};

impl CallTx<'_, '_> {
    pub(super) fn start(
        &mut self,
        mut call: Inbound,
        message: &Message,
        start: &SessionStarted,
    ) -> Result<Answered> {
        if let Some(first) = transactions::started_by(self.w, self.station, start, call.occurred_at)? {
            let fallback =
                |this: &Self| this.answer(message, Some(first.verdict()), Some(first.transaction_id));
            return self.answer_again(call, first.event_seq, Some(first.transaction_id), fallback);
        }
        let transaction_id = transactions::next_number(self.w)?;
        let verdict = self.tag_verdict(start.id_tag.as_deref(), Some(start))?;
        let id_tag_status = verdict.info.status;
        let answer = self.answer(message, Some(verdict), Some(transaction_id));
        let (occurred_at, clock_shows) = (call.occurred_at, call.clock_shows);
        let reserved = self.reservation_of(start, occurred_at)?;
        if reserved.names_an_unknown {
            call.violations.push(Violation::field("reservationId", "unknown_reservation"));
        }
        // What it names stands, unless it is no number.
        let reservation_id = match reserved.used {
            Some(used) => Some(used.reservation_id),
            None => start.reservation_id.filter(|number| *number > 0),
        };
        let call = Inbound { payload: with_transaction_id(&call.payload, transaction_id)?, ..call };
        let event_seq = self.append(call, Some(transaction_id), &answer, AppendOptions::default())?;
        let received_at = self.received_at;
        let new = NewTransaction {
            transaction_id,
            id_tag_status,
            id_tag_reason: answer.id_tag_reason,
            reservation_id,
            occurred_at,
            received_at,
            event_seq,
        };
        transactions::start(self.w, self.station, self.known.owner_id.as_deref(), start, &new)?;
        if let Some(used) = reserved.used {
            reservations::mark_used(self.w, used, transaction_id)?;
        }
        let clock_skew_ms = self.clock_skew_ms;
        let time = StartTime { occurred_at, clock_shows, received_at, clock_skew_ms };
        remote_start::transaction_started(self.w, self.station, start, transaction_id, &time)?;
        Ok(Answered { payload: answer.payload, duplicate: false, command_created: false })
    }

    pub(super) fn stop(
        &mut self,
        mut call: Inbound,
        message: &Message,
        stop: &SessionEnded,
    ) -> Result<Answered> {
        let owner_id = self.known.owner_id.as_deref();
        let (occurred_at, payload) = (call.occurred_at, call.payload.get());
        let of = transactions::ended_by(self.w, self.station, owner_id, stop, occurred_at, payload)?;
        let verdict = match &stop.id_tag {
            Some(id_tag) => Some(self.tag_verdict(Some(id_tag), None)?),
            None => None,
        };
        let answer = self.answer(message, verdict, None);
        match of {
            StopMatch::Retry { event_seq, transaction_id } => {
                let occurred_at = call.occurred_at;
                let answered = self.answer_again(call, event_seq, transaction_id, |_| answer.clone())?;
                self.add_late_values(transaction_id, stop, occurred_at)?;
                return Ok(answered);
            }
            StopMatch::First { transaction_id, inferred, completed } => {
                if inferred {
                    call.violations.push(Violation::field("transactionId", "unknown_transaction: inferred"));
                }
                self.add_implausible_ends(&mut call, transaction_id, stop)?;
                let (occurred_at, received_at) = (call.occurred_at, self.received_at);
                let event_seq = self.append(call, Some(transaction_id), &answer, AppendOptions::default())?;
                let matched =
                    MatchedStop { transaction_id, inferred, completed, occurred_at, received_at, event_seq };
                completion::stop(self.w, stop, &matched)?;
                downtime_causes::session_ended(self.w, self.station, stop, self.as_of(occurred_at))?;
            }
            StopMatch::Conflicting { transaction_id } => {
                call.violations.push(Violation::message("conflicting_stop"));
                let occurred_at = call.occurred_at;
                self.append(call, Some(transaction_id), &answer, AppendOptions::default())?;
                self.add_late_values(Some(transaction_id), stop, occurred_at)?;
            }
            StopMatch::Unattached => {
                call.violations.push(Violation::field("transactionId", "unknown_transaction"));
                self.append(call, None, &answer, AppendOptions::default())?;
            }
        }
        Ok(Answered { payload: answer.payload, duplicate: false, command_created: false })
    }

    /// The violations of a stop that contradicts its start.
    fn add_implausible_ends(
        &self,
        call: &mut Inbound,
        transaction_id: i64,
        stop: &SessionEnded,
    ) -> Result<()> {
        let Some(started) = transactions::evidence_of(self.w, transaction_id)? else { return Ok(()) };
        if stop.meter_stop_wh.is_some_and(|meter_stop| Some(meter_stop) < started.meter_start) {
            call.violations.push(Violation::field("meterStop", "implausible: below meterStart"));
        }
        let times = call.occurred_at.zip(started.started_at);
        if times.is_some_and(|(stop, start)| stop.unix_s() < start.unix_s()) {
            call.violations.push(Violation::field("timestamp", "implausible: before the start"));
        }
        Ok(())
    }

    fn reservation_of(
        &self,
        start: &SessionStarted,
        occurred_at: Option<Timestamp>,
    ) -> Result<reservations::ReservationMatch> {
        let started_at = self.by_our_clock(occurred_at);
        let owner_id = self.known.owner_id.as_deref();
        reservations::find_for_start(self.w, self.station, owner_id, start, started_at, self.received_at)
    }

    /// Meter values, of a transaction or of none.
    pub(super) fn meter_values(
        &mut self,
        mut call: Inbound,
        message: &Message,
        values: &MeterReadings,
    ) -> Result<Answered> {
        let MeterMatch { transaction, names_an_unknown } =
            transactions::metered_transaction(self.w, self.station, values)?;
        if names_an_unknown {
            call.violations.push(Violation::field("transactionId", "unknown_transaction"));
        }
        let occurred_at = call.occurred_at;
        let answered = self.append_and_answer(call, message, transaction.map(|of| of.transaction_id))?;
        if let Some(of) = transaction {
            let mut metered = Cow::Borrowed(&values.meter_value);
            if values.transaction_id.is_none() {
                metered.to_mut().retain(|value| !transactions::is_taken_by_the_clock(value));
            }
            completion::add_meter_values(self.w, of, &metered, occurred_at, self.received_at)?;
        }
        Ok(answered)
    }

    /// Adds the meter values of a stop that is not the first one: they count like any late values.
    fn add_late_values(
        &mut self,
        transaction_id: Option<i64>,
        stop: &SessionEnded,
        occurred_at: Option<Timestamp>,
    ) -> Result<()> {
        match transaction_id {
            Some(transaction_id) if !stop.transaction_data.is_empty() => {
                let of = MeteredTransaction { completed: true, ..MeteredTransaction::open(transaction_id) };
                completion::add_meter_values(
                    self.w,
                    of,
                    &stop.transaction_data,
                    occurred_at,
                    self.received_at,
                )
            }
            _ => Ok(()),
        }
    }
}
