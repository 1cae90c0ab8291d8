//! CALLs that were answered on a socket, in case one of them is repeated (quirk Q15).
//!
//! A repeat has the same id and the same bytes as the newest CALL with this id, and comes within a minute of
//! it. Older ones do not count: firmware whose ids are constant, or count to ten, sends `Available`,
//! `Charging`, `Available` under one id, which are three messages. A repeat does not make the CALL newer.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use serde_json::value::RawValue;

use vocabulary::clock::Timestamp;
use vocabulary::ocpp::frame::{self, ErrorCode, MessageId};

/// For this long after a CALL the same bytes are a repeat of it.
const REPEAT_WINDOW: Duration = Duration::from_secs(60);

/// Ids that are remembered at least, however old, to notice that one is used again.
const KNOWN_CALLS: usize = 16;

/// Ids that are remembered at most, however many CALLs come in a minute.
const KNOWN_CALLS_MAX: usize = 1_024;

/// The largest answer that is kept.
const ANSWER_BYTES_MAX: usize = 4 << 10;

/// Tells a text from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fingerprint {
    hash: u64,
    bytes: usize,
}

impl Fingerprint {
    pub(super) fn of(text: &str) -> Self {
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        Self { hash: hasher.finish(), bytes: text.len() }
    }
}

/// The answer to a CALL, without its id, which may be of any length.
#[derive(Debug)]
pub(super) enum Answer {
    Result(Box<RawValue>),
    Error(ErrorCode, String),
}

impl Answer {
    /// The frame.
    pub(super) fn to(&self, id: &MessageId) -> Option<String> {
        match self {
            // Raw JSON is written as it is, so there is nothing that could fail.
            Self::Result(payload) => frame::encode_result(id, payload).ok(),
            Self::Error(code, description) => Some(frame::encode_error(id, *code, description)),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Result(payload) => payload.get().len(),
            Self::Error(_, description) => description.len(),
        }
    }
}

/// The newest CALL with an id.
#[derive(Debug)]
struct Call {
    id: Fingerprint,
    text: Fingerprint,
    received_at: Timestamp,
    /// `None`: a repeat is answered anew.
    answer: Option<Answer>,
}

/// The newest CALL of each id, oldest first.
#[derive(Debug, Default)]
pub(super) struct Repeats(VecDeque<Call>);

impl Repeats {
    /// The answer once more, if this is a repeat.
    pub(super) fn again(&self, id: &MessageId, text: Fingerprint, now: Timestamp) -> Option<String> {
        let call = self.newest(id)?;
        let is_repeat = call.text == text && now.since(call.received_at) <= REPEAT_WINDOW;
        call.answer.as_ref().filter(|_| is_repeat)?.to(id)
    }

    /// Whether a recent CALL had this id.
    pub(super) fn knows(&self, id: &MessageId) -> bool {
        self.newest(id).is_some()
    }

    /// Remembers a CALL that is answered now.
    pub(super) fn note(&mut self, id: &MessageId, text: Fingerprint, at: Timestamp, answer: Option<Answer>) {
        let key = Fingerprint::of(id.as_json());
        if let Some(older) = self.0.iter().rposition(|call| call.id == key) {
            self.0.remove(older);
        }
        let is_over = |call: &Call| at.since(call.received_at) > REPEAT_WINDOW;
        while self.0.len() >= KNOWN_CALLS_MAX
            || (self.0.len() >= KNOWN_CALLS && self.0.front().is_some_and(is_over))
        {
            self.0.pop_front();
        }
        // After a busy minute the memory is given back.
        if self.0.len() < self.0.capacity() / 4 {
            self.0.shrink_to(2 * self.0.len().max(KNOWN_CALLS));
        }
        let answer = answer.filter(|answer| answer.bytes() <= ANSWER_BYTES_MAX);
        self.0.push_back(Call { id: key, text, received_at: at, answer });
    }

    fn newest(&self, id: &MessageId) -> Option<&Call> {
        let key = Fingerprint::of(id.as_json());
        self.0.iter().rev().find(|call| call.id == key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_unix_ms(second * 1_000)
    }

    fn answer() -> Option<Answer> {
        Some(Answer::Result(frame::empty_object()))
    }

    #[test]
    fn as_many_calls_are_known_as_may_come_in_a_minute_and_no_more() {
        let mut repeats = Repeats::default();
        let call = |nth: usize| (MessageId::from_text(&nth.to_string()), Fingerprint::of(&nth.to_string()));
        for nth in 0..=KNOWN_CALLS_MAX {
            let (id, text) = call(nth);
            repeats.note(&id, text, at(0), answer());
        }
        let again = |repeats: &Repeats, nth, now| {
            let (id, text) = call(nth);
            repeats.again(&id, text, now).is_some()
        };
        assert!(!again(&repeats, 0, at(0)), "one too many");
        assert!(again(&repeats, 1, at(60)) && !again(&repeats, 1, at(61)));
        let (id, text) = call(9_999);
        repeats.note(&id, text, at(61), answer());
        assert_eq!(repeats.0.len(), KNOWN_CALLS, "a minute later");
        assert!(repeats.0.capacity() < KNOWN_CALLS_MAX / 4, "and so is the room: {}", repeats.0.capacity());
        assert!(repeats.knows(&call(KNOWN_CALLS_MAX).0), "an id that is used again is told after that, too");
    }

    #[test]
    fn long_ids_and_long_answers_take_no_room() {
        let mut repeats = Repeats::default();
        let (id, text) = (MessageId::from_text(&"x".repeat(1 << 20)), Fingerprint::of("text"));
        repeats.note(&id, text, at(0), answer());
        assert_eq!(repeats.again(&id, text, at(0)), Answer::Result(frame::empty_object()).to(&id));
        let long = Answer::Error(ErrorCode::GenericError, "x".repeat(ANSWER_BYTES_MAX + 1));
        repeats.note(&id, text, at(0), Some(long));
        assert_eq!(repeats.again(&id, text, at(0)), None);
    }
}
