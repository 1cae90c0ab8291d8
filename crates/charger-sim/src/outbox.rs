//! What a charger has to say: one CALL at a time, and a memory for what must not be lost.

use std::collections::VecDeque;

use serde_json::Value;

use super::messages::{self, Request};
use vocabulary::clock::Timestamp;
use vocabulary::ocpp::frame::MessageId;
use vocabulary::ocpp::v16::FromChargePoint;

/// The charger's own number for a transaction, known before the central system gives it one.
pub(super) type LocalTransaction = u64;

/// What a message is about, so that its answer finds the way back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum About {
    Boot,
    Heartbeat,
    Status,
    Authorize {
        connector: usize,
    },
    Start(LocalTransaction),
    Sample(LocalTransaction),
    Stop(LocalTransaction),
    /// Needs nothing but its answer.
    Plain,
}

/// A CALL that is to be sent.
#[derive(Debug, Clone)]
pub(super) struct Message {
    pub action: FromChargePoint,
    pub payload: Value,
    pub about: About,
    /// Asked for by `TriggerMessage`: may go out while the boot is pending.
    pub triggered: bool,
    /// How often it was refused.
    pub refusals: u32,
    /// The ids it went out with: an answer to any of them is an answer to it.
    pub ids: Vec<MessageId>,
}

impl Message {
    pub(super) fn new<R: Request>(request: &R, about: About) -> Self {
        let payload = messages::payload(request);
        Self { action: R::ACTION, payload, about, triggered: false, refusals: 0, ids: Vec::new() }
    }

    /// Whether the message belongs to a transaction's record and has to arrive, however late.
    pub(super) fn transactional(&self) -> bool {
        matches!(self.about, About::Start(_) | About::Sample(_) | About::Stop(_))
    }
}

/// The CALL that waits for its answer.
#[derive(Debug)]
pub(super) struct Outstanding {
    pub message: Message,
    pub id: MessageId,
    /// The payload's text as it was sent.
    pub payload: String,
    pub sent_at: Timestamp,
    pub deadline: Timestamp,
}

/// A message that was answered.
#[derive(Debug)]
pub(super) struct Answered {
    pub message: Message,
    /// The payload's text as it was sent.
    pub payload: String,
    /// When it went out; `None` if that was too long ago to be waited for.
    pub sent_at: Option<Timestamp>,
}

/// The queue, in the order things happened.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    queue: VecDeque<Message>,
    pub outstanding: Option<Outstanding>,
    /// Transaction messages rest until then, because one was refused.
    pub held_until: Option<Timestamp>,
}

impl Outbox {
    pub(super) fn push(&mut self, message: Message) {
        self.queue.push_back(message);
    }

    /// To the front: what is sent again, and boots.
    pub(super) fn push_front(&mut self, message: Message) {
        self.queue.push_front(message);
    }

    pub(super) fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.outstanding.is_none()
    }

    pub(super) fn queued_transactional(&self) -> usize {
        self.queue.iter().filter(|message| message.transactional()).count()
    }

    /// Whether something about this waits or is on its way.
    pub(super) fn has(&self, about: About) -> bool {
        self.queue.iter().any(|message| message.about == about)
            || self.outstanding.as_ref().is_some_and(|outstanding| outstanding.message.about == about)
    }

    /// The first message that may go out now. Transaction messages keep their order among themselves.
    pub(super) fn take_next(&mut self, now: Timestamp, may_go: impl Fn(&Message) -> bool) -> Option<Message> {
        let held = self.held_until.is_some_and(|until| until > now);
        let position =
            self.queue.iter().position(|message| may_go(message) && !(held && message.transactional()))?;
        self.queue.remove(position)
    }

    /// The socket is gone: transaction messages stay, the rest loses its meaning. Says whether a status was
    /// lost.
    pub(super) fn disconnected(&mut self) -> bool {
        if let Some(outstanding) = self.outstanding.take() {
            self.queue.push_front(outstanding.message);
        }
        let status_lost = self.queue.iter().any(|message| message.about == About::Status);
        self.queue.retain(Message::transactional);
        self.held_until = None;
        status_lost
    }

    /// Takes out the message that an answer to `id` is for, also where the wait for it was given up
    /// and the message waits to go out again, or has.
    pub(super) fn take_answered(&mut self, id: &MessageId) -> Option<Answered> {
        if let Some(outstanding) =
            self.outstanding.take_if(|outstanding| outstanding.message.ids.contains(id))
        {
            let Outstanding { message, payload, sent_at, .. } = outstanding;
            return Some(Answered { message, payload, sent_at: Some(sent_at) });
        }
        let position = self.queue.iter().position(|message| message.ids.contains(id))?;
        let message = self.queue.remove(position)?;
        Some(Answered { payload: message.payload.to_string(), message, sent_at: None })
    }
}
