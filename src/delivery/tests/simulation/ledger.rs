//! What chargers were promised: every answer they heard, to be found in the store at the end.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::station::session::Append;
use vocabulary::id::StationId;
use vocabulary::ocpp::frame::Unserveable;
use vocabulary::ocpp::rejection::Rejection;

/// One answer that a charger heard.
pub(super) struct Promise {
    pub(super) station: String,
    pub(super) message_id: String,
    pub(super) event: String,
    /// The payload as it was sent, or the raw text of what could not be served.
    pub(super) said: String,
    /// The CALLRESULT's payload, or the CALLERROR's three parts.
    pub(super) answer: Value,
}

#[derive(Default)]
pub(super) struct Ledger {
    pub(super) promises: Vec<Promise>,
    /// The numbers that each distinct start was given.
    pub(super) starts: BTreeMap<String, BTreeSet<i64>>,
    /// What each station has under way: message id, event and what was said.
    under_way: BTreeMap<String, (String, String, String)>,
}

/// Stands where a message was that is on its way.
pub(super) fn nothing() -> Rejection {
    Rejection { raw: None, size: 0, reason: Unserveable::TooLarge, answer: None, violations: Vec::new() }
}

impl Ledger {
    pub(super) fn note_attempt(&mut self, station: &StationId, append: &Append) {
        let noted = match append {
            Append::Call(call) => {
                (call.message_id.text(), call.action.to_string(), call.payload.get().to_owned())
            }
            Append::Rejected(rejection) => {
                let message_id = rejection.answer.as_ref().map(|refused| refused.message_id.text());
                let raw = rejection.raw.clone().unwrap_or_default();
                (message_id.unwrap_or_default(), "MessageRejected".to_owned(), raw)
            }
            // No promise is made to those who answer.
            Append::CallEnded(_) | Append::Unexpected(_) => return,
        };
        self.under_way.insert(station.to_string(), noted);
    }

    /// The station heard this answer to what it had under way.
    pub(super) fn note_answer(&mut self, station: &StationId, text: &str) {
        let answer: Vec<Value> = serde_json::from_str(text).expect("JSON");
        let (message_id, event, said) = self.under_way.remove(station.as_str()).expect("something was sent");
        let told = answer[1].as_str().map_or_else(|| answer[1].to_string(), str::to_owned);
        assert_eq!(told, message_id, "the answer is to what was asked");
        self.promises.push(Promise {
            station: station.to_string(),
            message_id,
            event,
            said,
            answer: match answer[0] == 3 {
                true => answer[2].clone(),
                false => json!({"code": answer[2], "description": answer[3], "details": answer[4]}),
            },
        });
    }

    pub(super) fn note_start(&mut self, key: String, number: i64) {
        self.starts.entry(key).or_default().insert(number);
    }
}
