//! The start and the stop of a transaction, heard once or again, and the meter values between them.

use std::borrow::Cow;

use rusqlite::OptionalExtension;
use serde_json::value::RawValue;

use super::{Answered, Serving};
use crate::error::Result;
use crate::log::append::Manner;
use crate::sessions::remote_start;
use crate::sessions::remote_start::StartTime;
use crate::sessions::transactions;
use crate::sessions::transactions::{Begun, Ending, Metered, StopOf};
use crate::sessions::{completion, reservations};
use vocabulary::clock::Timestamp;
use vocabulary::ocpp::Violation;
use vocabulary::ocpp::authorization::{AuthorizationStatus, IdTagInfo};
use vocabulary::ocpp::fact::{Fact, MeterReadings, SessionEnded, SessionStarted};
use vocabulary::ocpp::message::{Inbound, Message};

impl Serving<'_, '_> {
    pub(super) fn start(
        &mut self,
        mut call: Inbound,
        message: &Message,
        start: &SessionStarted,
    ) -> Result<Answered> {
        if let Some(first) = transactions::begun_by(self.w.conn, self.station, start, call.occurred_at)? {
            let fallback = |serving: &Self| {
                let status = first.id_tag_status.parse().unwrap_or(AuthorizationStatus::Invalid);
                let info = IdTagInfo { status, expiry_date: None, parent_id_tag: None };
                serving.answer(message, Some(info), Some(first.transaction_id))
            };
            return self.repeat(call, first.event_seq, Some(first.transaction_id), fallback);
        }
        let transaction_id = transactions::next_number(self.w)?;
        let id_tag_info = self.verdict(start.id_tag.as_deref(), Some(start))?;
        let id_tag_status = id_tag_info.status.as_str();
        let payload = self.answer(message, Some(id_tag_info), Some(transaction_id));
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
        let event_seq = self.append(call, Some(transaction_id), &payload, Manner::default())?;
        let received_at = self.received_at;
        let begun =
            Begun { transaction_id, id_tag_status, reservation_id, occurred_at, received_at, event_seq };
        transactions::begin(self.w, self.station, self.known.owner_id.as_deref(), start, &begun)?;
        if let Some(used) = reserved.used {
            reservations::use_up(self.w, used, transaction_id)?;
        }
        let clock_skew_ms = self.clock_skew_ms;
        let time = StartTime { occurred_at, clock_shows, received_at, clock_skew_ms };
        remote_start::begun(self.w, self.station, start, transaction_id, &time)?;
        Ok(Answered { payload, duplicate: false, command_made: false })
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
        let id_tag_info = match &stop.id_tag {
            Some(id_tag) => Some(self.verdict(Some(id_tag), None)?),
            None => None,
        };
        let payload = self.answer(message, id_tag_info, None);
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
                if let Some(begun) = transactions::evidence_of(self.w, transaction_id)? {
                    let (meter_start, started_at) = (begun.meter_start, begun.started_at);
                    if stop.meter_stop_wh.is_some_and(|meter_stop| Some(meter_stop) < meter_start) {
                        call.violations.push(Violation::field("meterStop", "implausible: below meterStart"));
                    }
                    if call
                        .occurred_at
                        .zip(started_at)
                        .is_some_and(|(stop, start)| stop.unix_s() < start.unix_s())
                    {
                        call.violations.push(Violation::field("timestamp", "implausible: before the start"));
                    }
                }
                let (occurred_at, received_at) = (call.occurred_at, self.received_at);
                let event_seq = self.append(call, Some(transaction_id), &payload, Manner::default())?;
                let ending =
                    Ending { transaction_id, inferred, completed, occurred_at, received_at, event_seq };
                completion::stop(self.w, stop, &ending)?;
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

    fn reservation_of(
        &self,
        start: &SessionStarted,
        occurred_at: Option<Timestamp>,
    ) -> Result<reservations::OfStart> {
        let begun_at = self.by_our_clock(occurred_at);
        let owner_id = self.known.owner_id.as_deref();
        reservations::of_start(self.w.conn, self.station, owner_id, start, begun_at, self.received_at)
    }

    /// Meter values, of a transaction or of none.
    pub(super) fn meter_values(
        &mut self,
        mut call: Inbound,
        message: &Message,
        values: &MeterReadings,
    ) -> Result<Answered> {
        let (metered, of_no_use) = transactions::of_meter_values(self.w, self.station, values)?;
        if of_no_use {
            call.violations.push(Violation::field("transactionId", "unknown_transaction"));
        }
        let occurred_at = call.occurred_at;
        let answered = self.plain(call, message, metered.map(|of| of.transaction_id))?;
        if let Some(of) = metered {
            let mut heard = Cow::Borrowed(&values.meter_value);
            if values.transaction_id.is_none() {
                heard.to_mut().retain(|value| !transactions::is_taken_by_the_clock(value));
            }
            completion::hear(self.w, of, &heard, occurred_at, self.received_at)?;
        }
        Ok(answered)
    }

    /// Keeps what a stop that is not the first one tells of the meter: it counts like any late value.
    fn hear_late(
        &mut self,
        transaction_id: Option<i64>,
        stop: &SessionEnded,
        occurred_at: Option<Timestamp>,
    ) -> Result<()> {
        match transaction_id {
            Some(transaction_id) if !stop.transaction_data.is_empty() => {
                let of = Metered { completed: true, ..Metered::by(transaction_id) };
                completion::hear(self.w, of, &stop.transaction_data, occurred_at, self.received_at)
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
            Some(number) if matches!(call.message.fact(), Fact::SessionStarted(_)) => {
                Inbound { payload: with_transaction_id(&call.payload, number)?, ..call }
            }
            _ => call,
        };
        let manner =
            Manner { duplicate_of: Some(crate::LogPosition::from_number(first)), ..Manner::default() };
        self.append(call, transaction_id, &payload, manner)?;
        Ok(Answered { payload, duplicate: true, command_made: false })
    }
}

/// The start as integrators see it: the charger's own object with the number the gateway gave.
fn with_transaction_id(payload: &RawValue, transaction_id: i64) -> Result<Box<RawValue>> {
    let object = payload.get().trim_end();
    let open = object.strip_suffix('}').unwrap_or(object).trim_end();
    let separator = if open.ends_with('{') { "" } else { "," };
    Ok(RawValue::from_string(format!("{open}{separator}\"transactionId\":{transaction_id}}}"))?)
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
