//! What the store tells the engines after a commit. Every signal coalesces; none carries data that
//! is not also in the database.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Notify, oneshot, watch};

use crate::engine::embedded::writer::Effects;
use vocabulary::id::{CommandId, WebhookId};

pub(crate) struct Signals {
    tail: watch::Sender<i64>,
    lanes: Mutex<LanesDue>,
    lanes_raised: Notify,
    awaited: Mutex<HashMap<CommandId, oneshot::Sender<()>>>,
    replays_begun: Notify,
}

/// Which lanes have something to look at.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct LanesDue {
    /// Webhooks with deliveries that are new or due anew.
    pub webhooks: BTreeSet<WebhookId>,
    /// Webhooks that were made, changed or removed: read these again.
    pub changed: BTreeSet<WebhookId>,
}

impl Signals {
    pub(crate) fn new(newest_event: i64) -> Self {
        Self {
            tail: watch::Sender::new(newest_event),
            lanes: Mutex::default(),
            lanes_raised: Notify::new(),
            awaited: Mutex::default(),
            replays_begun: Notify::new(),
        }
    }

    pub(crate) fn raise(&self, effects: Effects) {
        if let Some(seq) = effects.newest_event {
            self.tail.send_replace(seq);
        }
        if effects.replays {
            self.replays_begun.notify_one();
        }
        if !effects.webhooks.is_empty() || !effects.lanes.is_empty() {
            let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
            lanes.webhooks.extend(effects.lanes);
            lanes.changed.extend(effects.webhooks.into_iter().map(|(webhook_id, _)| webhook_id));
            drop(lanes);
            self.lanes_raised.notify_one();
        }
        if !effects.commands_ended.is_empty() {
            let mut awaited = self.awaited.lock().unwrap_or_else(PoisonError::into_inner);
            for waiter in effects.commands_ended.iter().filter_map(|id| awaited.remove(id)) {
                // Whoever waited may have gone away.
                let _ = waiter.send(());
            }
        }
    }

    /// Tells of the end of a command that is about to be committed. One waiter per command.
    pub(crate) fn command_end(self: Arc<Self>, id: CommandId) -> CommandEnd {
        let (waiter, ended) = oneshot::channel();
        self.awaited.lock().unwrap_or_else(PoisonError::into_inner).insert(id, waiter);
        CommandEnd { id, ended, signals: self }
    }

    pub(crate) fn tail(&self) -> watch::Receiver<i64> {
        self.tail.subscribe()
    }

    /// Waits until a replay was begun. For one waiter only.
    pub(crate) async fn replays_begun(&self) {
        self.replays_begun.notified().await;
    }

    /// Waits until some lane has work, and takes the list. For one waiter only.
    pub(crate) async fn lanes_due(&self) -> LanesDue {
        loop {
            let raised = self.lanes_raised.notified();
            let due = std::mem::take(&mut *self.lanes.lock().unwrap_or_else(PoisonError::into_inner));
            if due != LanesDue::default() {
                return due;
            }
            raised.await;
        }
    }
}

/// The end of a command that somebody waits for.
pub struct CommandEnd {
    id: CommandId,
    ended: oneshot::Receiver<()>,
    signals: Arc<Signals>,
}

impl CommandEnd {
    /// Returns once the command's end is on disk.
    pub async fn wait(&mut self) {
        let _ = (&mut self.ended).await;
    }
}

impl Drop for CommandEnd {
    /// Whoever goes away leaves nothing behind.
    fn drop(&mut self) {
        self.signals.awaited.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
    }
}

#[cfg(test)]
mod tests;
