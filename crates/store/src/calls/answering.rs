//! Keeps a message with its answer: decided now, or the answer that the first of equal messages got.

use serde_json::value::RawValue;

use super::{Answered, CallTx};
use crate::LogPosition;
use crate::engine::sql::params;
use crate::error::Result;
use crate::log::append::{self, AppendOptions, Owner};
use vocabulary::event::{Category, NewEvent};
use vocabulary::ocpp::authorization::IdTagInfo;
use vocabulary::ocpp::decision::Decision;
use vocabulary::ocpp::fact::Fact;
use vocabulary::ocpp::message::{Inbound, Message};

/// How many times longer a charger that boots again and again is asked to leave between heartbeats (quirk
/// Q32). Less than the three after which it counts as offline.
const LOOPING_SLOWER: u32 = 2;

impl CallTx<'_, '_> {
    /// A message that neither starts nor ends a transaction.
    pub(super) fn append_and_answer(
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
        Ok(Answered { payload, duplicate: false, command_created: false })
    }

    pub(super) fn append(
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

    pub(super) fn answer(
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

    /// Keeps a repeated message beside its first event and answers as that one was answered.
    pub(super) fn answer_again(
        &mut self,
        call: Inbound,
        first: LogPosition,
        transaction_id: Option<i64>,
        fallback: impl FnOnce(&Self) -> Box<RawValue>,
    ) -> Result<Answered> {
        let stored: Option<String> = self
            .w
            .maybe("SELECT response FROM events WHERE seq = ?1", params![first], |row| row.get(0))?
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
        let options = AppendOptions { duplicate_of: Some(first), ..AppendOptions::default() };
        self.append(call, transaction_id, &payload, options)?;
        Ok(Answered { payload, duplicate: true, command_created: false })
    }
}

/// The start as integrators see it: the charger's own object with the number the gateway gave.
pub(super) fn with_transaction_id(payload: &RawValue, transaction_id: i64) -> Result<Box<RawValue>> {
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
