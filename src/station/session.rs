//! One charger's side of the conversation, without a socket, a clock or a database.
//!
//! [`Session::handle`] takes an input and returns actions; the actor in `connection` runs them and reports
//! back. **Invariants**: every CALL that can be parsed is answered exactly once, in order; an answer leaves
//! only after [`Input::Stored`] said that its event is on disk; at most one CALL of ours is open, and the
//! charger's are served meanwhile.

use std::collections::VecDeque;

use serde_json::value::RawValue;

use repeats::{Answer, Fingerprint, Repeats};
use vocabulary::clock::Timestamp;
use vocabulary::id::CommandId;
use vocabulary::ocpp::frame::{self, ErrorCode, Frame, MessageId, Unserveable};
use vocabulary::ocpp::message::Inbound;
use vocabulary::ocpp::outgoing::{self, CallEnd, EndedCall, Outgoing, Unexpected};
use vocabulary::ocpp::protocol::Protocol;
use vocabulary::ocpp::rejection::{Refused, Rejection};
use vocabulary::ocpp::{Validation, Violation};
use vocabulary::zone::Zone;

mod charger_call;
mod repeats;

/// Unreadable frames a minute before the socket is closed (quirk Q22).
const TOLERATED_JUNK: usize = 20;
const JUNK_WINDOW_MS: i64 = 60_000;

const NO_OBJECT: &str = "the payload is not a JSON object";

/// WebSocket close codes that the gateway uses (RFC 6455, 7.4.1).
pub mod close_code {
    /// A newer connection has replaced it, or it was asked to end.
    pub const NORMAL: u16 = 1000;
    /// The gateway stops.
    pub const GOING_AWAY: u16 = 1001;
    /// Too many frames that cannot be served.
    pub const PROTOCOL: u16 = 1002;
    /// Binary data.
    pub const UNSUPPORTED: u16 = 1003;
    /// Text that is not UTF-8.
    pub const NOT_UTF8: u16 = 1007;
    /// The station was deleted or blocked.
    pub const POLICY: u16 = 1008;
    /// A message over the limit.
    pub const TOO_LARGE: u16 = 1009;
    /// The store could not commit: the charger keeps its message and sends it again.
    pub const INTERNAL: u16 = 1011;
    /// Another node is there to connect to.
    pub const RESTART: u16 = 1012;
}

/// The moment at which something happens, by the wall and by the monotonic clock.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// For the timestamps of messages.
    pub wall: Timestamp,
    /// For durations: it never jumps.
    pub monotonic: Timestamp,
}

impl From<Timestamp> for Now {
    /// For tests in which nobody sets the clock.
    fn from(now: Timestamp) -> Self {
        Self { wall: now, monotonic: now }
    }
}

/// What happened.
#[derive(Debug)]
pub enum Input<'a> {
    /// A text message came.
    Text(&'a str),
    /// A binary message came.
    Binary(&'a [u8]),
    /// A message could not be read from the socket.
    Unreadable {
        /// [`Unserveable::TooLarge`] or [`Unserveable::NotUtf8`].
        reason: Unserveable,
        /// In bytes, as far as it is known.
        size: usize,
    },
    /// The append is on disk; for a CALL, with the payload of its answer.
    Stored(Option<Box<RawValue>>),
    /// A command is on record as sent; only where [`Session::may_call`].
    Command(Outgoing),
    /// The time for the answer to our CALL is over.
    TimedOut,
}

impl Input<'_> {
    /// Bytes to be read.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Binary(bytes) => bytes.len(),
            Self::Unreadable { .. } | Self::Stored(_) | Self::Command(_) | Self::TimedOut => 0,
        }
    }
}

/// Something that must be on disk before the conversation goes on.
#[derive(Debug)]
pub enum Append {
    /// A CALL to be served.
    Call(Box<Inbound>),
    /// A message that cannot be served.
    Rejected(Box<Rejection>),
    /// Our CALL has ended.
    CallEnded(Box<EndedCall>),
    /// An answer to a CALL that is not open.
    Unexpected(Box<Unexpected>),
}

/// What to do.
#[derive(Debug)]
pub enum Action {
    /// Store this and report with [`Input::Stored`]; read no message before that.
    Append(Append),
    /// Send this text.
    Send(String),
    /// A boot was answered: commands may be sent from now on, if the answer permits it.
    Booted,
    /// Close the socket with this code and reason.
    Close(u16, &'static str),
}

/// A CALL that is being stored.
struct Answering {
    id: MessageId,
    fingerprint: Fingerprint,
    received_at: Timestamp,
    /// The answer holds the current time, so it is never sent again.
    is_a_clock: bool,
}

/// What is being stored.
#[derive(Default)]
struct Pending {
    call: Option<Answering>,
    boot: bool,
    refused: Option<Refused>,
    close: Option<(u16, &'static str)>,
}

/// The state of one connection's conversation.
pub struct Session {
    protocol: Protocol,
    validation: Validation,
    zone: Option<Zone>,
    answered: Repeats,
    junk: VecDeque<Timestamp>,
    pending: Option<Pending>,
    /// The command whose answer is awaited.
    open: Option<CommandId>,
    /// The socket was told to close.
    closing: bool,
}

impl Session {
    /// The start of a conversation in this version of OCPP.
    pub fn new(protocol: Protocol, validation: Validation) -> Self {
        Self {
            protocol,
            validation,
            zone: None,
            answered: Repeats::default(),
            junk: VecDeque::new(),
            pending: None,
            open: None,
            closing: false,
        }
    }

    /// Changes how strictly messages are read, and the zone of times without one.
    pub fn read_by(&mut self, validation: Validation, zone: Option<Zone>) {
        self.validation = validation;
        self.zone = zone;
    }

    /// The actions that follow from `input`.
    pub fn handle(&mut self, now: impl Into<Now>, input: Input<'_>) -> Vec<Action> {
        let now = now.into();
        match input {
            Input::Text(text) => self.text(now, text, Vec::new()),
            Input::Binary(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => self.text(now, text, vec![Violation::message("binary_frame")]),
                Err(_) => self.unreadable(Unserveable::Binary, bytes.len()),
            },
            Input::Unreadable { reason, size } => self.unreadable(reason, size),
            Input::Stored(answer) => self.stored(answer),
            Input::Command(command) => self.send(&command),
            Input::TimedOut => self.end(CallEnd::TimedOut, Vec::new()),
        }
    }

    /// Whether a command may be sent: none is open.
    pub fn may_call(&self) -> bool {
        self.open.is_none()
    }

    fn send(&mut self, command: &Outgoing) -> Vec<Action> {
        let message_id = outgoing::message_id(command.id);
        self.open = Some(command.id);
        match frame::encode_call(&message_id, command.action.as_str(), &command.payload) {
            Ok(text) => vec![Action::Send(text)],
            // Raw JSON is written as it is, so there is nothing that could fail.
            Err(_) => self.end(CallEnd::TimedOut, Vec::new()),
        }
    }

    /// Ends our open CALL.
    fn end(&mut self, end: CallEnd, violations: Vec<Violation>) -> Vec<Action> {
        let Some(id) = self.open.take() else { return Vec::new() };
        self.pending = Some(Pending::default());
        vec![Action::Append(Append::CallEnded(Box::new(EndedCall { id, end, violations })))]
    }

    /// The charger's answer to a CALL of ours.
    fn answer(
        &mut self,
        text: &str,
        message_id: MessageId,
        answer: CallEnd,
        reason: Unserveable,
        violations: Vec<Violation>,
    ) -> Vec<Action> {
        if self.open.is_some() && self.open == outgoing::command_of(&message_id) {
            return self.end(answer, violations);
        }
        let rejection =
            Rejection { raw: Some(text.to_owned()), size: text.len(), reason, answer: None, violations };
        self.pending = Some(Pending::default());
        vec![Action::Append(Append::Unexpected(Box::new(Unexpected { message_id, answer, rejection })))]
    }

    fn text(&mut self, now: Now, text: &str, mut violations: Vec<Violation>) -> Vec<Action> {
        let parsed = frame::parse(text);
        violations.extend(parsed.violations);
        let (reason, answer) = match parsed.frame {
            Frame::Call(call) => return self.call(now, text, call, violations),
            Frame::CallResult(result) => {
                let answer = CallEnd::Answered(result.payload);
                return self.answer(text, result.id, answer, Unserveable::UnknownCall, violations);
            }
            Frame::CallError(error) => {
                let (id, answer) = (error.id.clone(), CallEnd::Refused(error));
                return self.answer(text, id, answer, Unserveable::UnknownCall, violations);
            }
            Frame::BrokenAnswer { id, reason } => {
                let answer = CallEnd::Malformed { raw: text.to_owned() };
                return self.answer(text, id, answer, reason, violations);
            }
            // The socket is closing because of such frames: no more are stored.
            Frame::Unserveable { answer: None, .. } if self.closing => return Vec::new(),
            Frame::Unserveable { reason, answer } => (reason, answer),
        };
        self.unserveable(now, text, reason, answer, violations)
    }

    /// A frame that cannot be served.
    fn unserveable(
        &mut self,
        now: Now,
        text: &str,
        reason: Unserveable,
        answer: Option<(MessageId, ErrorCode)>,
        violations: Vec<Violation>,
    ) -> Vec<Action> {
        let fingerprint = Fingerprint::of(text);
        if let Some((id, _)) = &answer
            && let Some(again) = self.answered.again(id, fingerprint, now.monotonic)
        {
            return vec![Action::Send(again)];
        }
        let refused = answer.map(|(message_id, code)| {
            let description = match reason {
                Unserveable::PayloadNotAnObject => NO_OBJECT,
                Unserveable::UnreadableAction => "the action is not a text",
                Unserveable::TooDeep => "the message is nested too deeply",
                _ => "the message is not well-formed JSON",
            };
            Refused { message_id, code, description: description.to_owned() }
        });
        let call = refused.as_ref().map(|refused| Answering {
            id: refused.message_id.clone(),
            fingerprint,
            received_at: now.monotonic,
            is_a_clock: false,
        });
        let close = (refused.is_none() && self.is_too_much_junk(now.monotonic, reason))
            .then_some((close_code::PROTOCOL, "too many unreadable frames"));
        let rejection = Rejection {
            raw: Some(text.to_owned()),
            size: text.len(),
            reason,
            answer: refused.clone(),
            violations,
        };
        self.append_rejection(rejection, Pending { call, refused, close, ..Pending::default() })
    }

    /// A message of which only the size is known. The socket is closed after it.
    fn unreadable(&mut self, reason: Unserveable, size: usize) -> Vec<Action> {
        if self.closing {
            return Vec::new();
        }
        let close = match reason {
            Unserveable::TooLarge => (close_code::TOO_LARGE, "message over the size limit"),
            Unserveable::Binary => (close_code::UNSUPPORTED, "binary messages are not OCPP"),
            _ => (close_code::NOT_UTF8, "text that is not UTF-8"),
        };
        let rejection = Rejection { raw: None, size, reason, answer: None, violations: Vec::new() };
        self.append_rejection(rejection, Pending { close: Some(close), ..Pending::default() })
    }

    fn append_rejection(&mut self, rejection: Rejection, pending: Pending) -> Vec<Action> {
        self.pending = Some(pending);
        vec![Action::Append(Append::Rejected(Box::new(rejection)))]
    }

    fn stored(&mut self, answer: Option<Box<RawValue>>) -> Vec<Action> {
        let Some(pending) = self.pending.take() else { return Vec::new() };
        let mut actions = Vec::new();
        if let Some(call) = pending.call {
            let answer = match (pending.refused, answer) {
                (Some(refused), _) => Some(Answer::Error(refused.code, refused.description)),
                (None, Some(payload)) => Some(Answer::Result(payload)),
                (None, None) => None,
            };
            let text = answer.as_ref().and_then(|answer| answer.to(&call.id));
            let kept = answer.filter(|_| !call.is_a_clock);
            self.answered.note(&call.id, call.fingerprint, call.received_at, kept);
            actions.extend(text.map(Action::Send));
        }
        if pending.boot {
            actions.push(Action::Booted);
        }
        self.closing |= pending.close.is_some();
        actions.extend(pending.close.map(|(code, reason)| Action::Close(code, reason)));
        actions
    }

    /// Counts unreadable frames. An unknown message type is ignored, as the specification says.
    fn is_too_much_junk(&mut self, now: Timestamp, reason: Unserveable) -> bool {
        if reason == Unserveable::UnknownMessageType {
            return false;
        }
        self.junk.retain(|at| now.unix_ms() - at.unix_ms() < JUNK_WINDOW_MS);
        self.junk.push_back(now);
        self.junk.len() > TOLERATED_JUNK
    }
}

#[cfg(test)]
mod tests;
