//! Keeps a message with its answer: decided now, or the answer that the first of equal messages got.

use serde_json::value::RawValue;

use super::{Answered, CallTx};
use crate::LogPosition;
use crate::engine::sql::params;
use crate::error::Result;
use crate::log::append::{self, AppendOptions, Owner};
use vocabulary::event::{Category, NewEvent};
use vocabulary::ocpp::authorization::{IdTagReason, TagVerdict};
use vocabulary::ocpp::decision::Decision;
use vocabulary::ocpp::fact::Fact;
use vocabulary::ocpp::message::{Inbound, Message};

/// How many times longer a charger that boots again and again is asked to leave between heartbeats (quirk
/// Q32). Less than the three after which it counts as offline.
const LOOPING_SLOWER: u32 = 2;

/// What a CALL is answered.
#[derive(Clone)]
pub(super) struct Answer {
    /// The CALLRESULT's payload.
    pub(super) payload: Box<RawValue>,
    /// Why it refuses the tag in the message.
    pub(super) id_tag_reason: Option<IdTagReason>,
}

impl CallTx<'_, '_> {
    /// A message that neither starts nor ends a transaction.
    pub(super) fn append_and_answer(
        &mut self,
        call: Inbound,
        message: &Message,
        transaction_id: Option<i64>,
    ) -> Result<Answered> {
        let verdict = match message.fact() {
            Fact::TagShown { id_tag } => Some(self.tag_verdict(id_tag, None)?),
            _ => None,
        };
        let answer = self.answer(message, verdict, None);
        self.append(call, transaction_id, &answer, AppendOptions::default())?;
        Ok(Answered { payload: answer.payload, duplicate: false, command_created: false })
    }

    pub(super) fn append(
        &mut self,
        call: Inbound,
        transaction_id: Option<i64>,
        answer: &Answer,
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
            response: Some(answer.payload.clone()),
            id_tag_reason: answer.id_tag_reason,
            violations: call.violations,
            ..NewEvent::about_station(Category::Ocpp, action, self.station, self.received_at, call.payload)
        };
        let owner_id = self.known.owner_id.as_deref();
        append::append(self.w, &event, AppendOptions { owner: Owner::Known(owner_id), ..options })
    }

    pub(super) fn answer(
        &self,
        message: &Message,
        verdict: Option<TagVerdict>,
        transaction_id: Option<i64>,
    ) -> Answer {
        let (id_tag_info, id_tag_reason) = match verdict {
            Some(TagVerdict { info, reason }) => (Some(info), reason),
            None => (None, None),
        };
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
        Answer { payload: message.answer(&decision, self.w.now), id_tag_reason }
    }

    /// Keeps a repeated message beside its first event and answers as that one was answered.
    pub(super) fn answer_again(
        &mut self,
        call: Inbound,
        first: LogPosition,
        transaction_id: Option<i64>,
        fallback: impl FnOnce(&Self) -> Answer,
    ) -> Result<Answered> {
        let stored: Option<(Option<String>, Option<IdTagReason>)> = self.w.maybe(
            "SELECT response, id_tag_reason FROM events WHERE seq = ?1",
            params![first],
            |row| Ok((row.get(0)?, row.maybe_word(1)?)),
        )?;
        // The first event may be past its retention: then its answer follows from the transaction.
        let answer = match stored {
            Some((Some(response), id_tag_reason)) => {
                RawValue::from_string(response).ok().map(|payload| Answer { payload, id_tag_reason })
            }
            _ => None,
        };
        let answer = answer.unwrap_or_else(|| fallback(self));
        let call = match transaction_id {
            Some(number) if matches!(call.message.fact(), Fact::SessionStarted(_)) => {
                Inbound { payload: with_transaction_id(&call.payload, number)?, ..call }
            }
            _ => call,
        };
        let options = AppendOptions { duplicate_of: Some(first), ..AppendOptions::default() };
        self.append(call, transaction_id, &answer, options)?;
        Ok(Answered { payload: answer.payload, duplicate: true, command_created: false })
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
