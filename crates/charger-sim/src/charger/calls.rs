//! The charger's CALLs: one at a time goes out, and what its answer, a refusal or silence means.

use serde_json::Value;
use serde_json::value::RawValue;

use super::authorization::Verdict;
use super::boot::BOOT_RETRY_DEFAULT;
use super::{Charger, Link, Output, Registration};
use crate::messages::requests::UNNUMBERED;
use crate::messages::set_transaction_id;
use crate::notice::{Acknowledged, Notice, raw};
use crate::outbox::{About, Answered, Message, Outstanding};
use vocabulary::clock::Timestamp;
use vocabulary::ocpp::frame::{self, MessageId};

/// After so many CALLs in a row without an answer the socket counts as dead.
const TIMEOUTS_UNTIL_RECONNECT: u32 = 3;

impl Charger {
    /// Sends the next CALL if the slot is free: one at a time (OCPP-J 1.6, 4.1).
    pub(super) fn pump(&mut self, now: Timestamp) {
        if self.link != Link::Up || self.outbox.outstanding.is_some() {
            return;
        }
        let registration = self.registration;
        let may_go = |message: &Message| match registration {
            Registration::Accepted => true,
            Registration::Pending => message.about == About::Boot || message.triggered,
            Registration::NotBooted | Registration::Rejected => message.about == About::Boot,
        };
        let Some(mut message) = self.outbox.take_next(now, may_go) else { return };
        self.fill_in_transaction_id(&mut message);
        self.last_id += 1;
        let id = MessageId::from_text(&format!("{}-{}", self.id_prefix, self.last_id));
        let payload = message.payload.to_string();
        self.out.push(Output::Send(format!("[2,{},\"{}\",{payload}]", id.as_json(), message.action)));
        self.notice(Notice::Sent {
            action: message.action.as_str(),
            message_id: id.text(),
            payload: raw(&message.payload),
            retry: !message.ids.is_empty(),
        });
        message.ids.push(id.clone());
        let deadline = now.after(self.options.call_timeout);
        self.outbox.outstanding = Some(Outstanding { message, id, payload, sent_at: now, deadline });
    }

    /// A message of a transaction was made before its number was known; it goes out after.
    fn fill_in_transaction_id(&self, message: &mut Message) {
        let known = |local| self.transaction_ids.get(&local).copied().flatten();
        match message.about {
            About::Sample(local) => {
                if let Some(id) = known(local) {
                    set_transaction_id(&mut message.payload, id);
                }
            }
            // Without a number the start was refused for good.
            About::Stop(local) => {
                set_transaction_id(&mut message.payload, known(local).unwrap_or(UNNUMBERED.into()));
            }
            _ => {}
        }
    }

    pub(super) fn answered(
        &mut self,
        now: Timestamp,
        id: &MessageId,
        answer: Result<Box<RawValue>, (String, String)>,
    ) {
        // An answer that nobody waits for any more says nothing.
        let Some(Answered { message, payload, sent_at }) = self.outbox.take_answered(id) else { return };
        self.timeouts_in_a_row = 0;
        match answer {
            Ok(response) => {
                self.notice(Notice::Acknowledged(Acknowledged {
                    station_id: self.options.id.clone(),
                    action: message.action.as_str(),
                    message_id: id.text(),
                    payload: RawValue::from_string(payload).unwrap_or_else(|_| frame::empty_object()),
                    response: response.clone(),
                    sent_at: sent_at.unwrap_or(now),
                    answered_at: now,
                    retries: message.ids.len().saturating_sub(1) as u32,
                }));
                let response = serde_json::from_str(response.get()).unwrap_or(Value::Null);
                self.accepted(now, &message, &response);
            }
            Err((code, description)) => {
                let action = message.action.as_str();
                self.notice(Notice::Refused { action, message_id: id.text(), code, description });
                self.refused(now, message);
            }
        }
    }

    fn accepted(&mut self, now: Timestamp, message: &Message, response: &Value) {
        match message.about {
            About::Boot => self.booted(now, response),
            About::Authorize { connector } => self.authorized(now, connector, response),
            About::Start(local) => self.started(now, local, response),
            About::Stop(local) => {
                self.transaction_ids.remove(&local);
                if let (Some(id_tag), Value::Object(_)) =
                    (message.payload["idTag"].as_str(), &response["idTagInfo"])
                {
                    self.remember(id_tag, &Verdict::read(&response["idTagInfo"]));
                }
            }
            About::Heartbeat | About::Status | About::Sample(_) | About::Plain => {}
        }
    }

    /// A CALLERROR: transaction messages are tried again, a limited number of times.
    fn refused(&mut self, now: Timestamp, mut message: Message) {
        if message.transactional() {
            message.refusals += 1;
            let attempts = self.configuration.whole("TransactionMessageAttempts").max(1);
            if u64::from(message.refusals) < attempts {
                let interval = self.configuration.seconds("TransactionMessageRetryInterval");
                self.outbox.held_until = Some(now.after(interval * message.refusals));
                self.outbox.push_front(message);
            } else {
                let action = message.action.as_str();
                self.notice(Notice::GaveUp { action, payload: raw(&message.payload) });
            }
        } else if let About::Authorize { connector } = message.about {
            self.do_without_verdict(now, connector);
        } else if message.about == About::Boot {
            self.boot_due = Some(now.after(BOOT_RETRY_DEFAULT));
        }
    }

    pub(super) fn timed_out(&mut self, now: Timestamp) {
        let Some(outstanding) = self.outbox.outstanding.take() else { return };
        let message = outstanding.message;
        self.notice(Notice::TimedOut { action: message.action.as_str(), message_id: outstanding.id.text() });
        // Silence costs no attempt, unlike a refusal: whoever is silent may have stored the message.
        if message.transactional() || message.about == About::Boot {
            self.outbox.push_front(message);
        } else if let About::Authorize { connector } = message.about {
            self.do_without_verdict(now, connector);
        }
        self.timeouts_in_a_row += 1;
        if self.timeouts_in_a_row >= TIMEOUTS_UNTIL_RECONNECT {
            self.timeouts_in_a_row = 0;
            self.out.push(Output::Close);
            self.link = Link::Dialing;
        }
    }
}
