//! What the store tells others after a commit. Signals that are not heard yet become one; none carries data
//! that is not in the database too.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Notify, oneshot, watch};

use crate::LogPosition;
use vocabulary::id::{CommandId, WebhookId};
use vocabulary::subscription::Subscription;

/// What a job has done that others wait for. Each job has its own, and it joins the batch's only when the
/// job's savepoint is kept: the row of an event that is rolled back is given to the next one, and a follower
/// that was told of it would pass that one over.
#[derive(Default)]
pub(crate) struct AfterCommit {
    /// Where the newest event stands.
    pub(crate) newest_event: Option<LogPosition>,
    /// Webhooks with deliveries that are new or due anew.
    pub(crate) lanes: BTreeSet<WebhookId>,
    /// Webhooks that were created, changed or deleted, with the compiled subscription that each had before.
    pub(crate) webhooks: Vec<(WebhookId, Option<Arc<Subscription>>)>,
    /// Commands that have ended.
    pub(crate) commands_ended: Vec<CommandId>,
    /// A replay was started.
    pub(crate) replays: bool,
    /// A bulk command was created or canceled.
    pub(crate) bulk_commands: bool,
}

impl AfterCommit {
    /// Adds those of a later job that is kept.
    pub(crate) fn join(&mut self, later: Self) {
        self.newest_event = later.newest_event.or(self.newest_event);
        self.lanes.extend(later.lanes);
        self.webhooks.extend(later.webhooks);
        self.commands_ended.extend(later.commands_ended);
        self.replays |= later.replays;
        self.bulk_commands |= later.bulk_commands;
    }
}

pub(crate) struct Signals {
    tail: watch::Sender<LogPosition>,
    lanes: Mutex<LanesDue>,
    lanes_raised: Notify,
    awaited: Mutex<HashMap<CommandId, oneshot::Sender<()>>>,
    replays_begun: Notify,
    bulk_commands_changed: Notify,
}

/// Which lanes have something to look at.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct LanesDue {
    /// Webhooks with deliveries that are new or due anew.
    pub webhooks: BTreeSet<WebhookId>,
    /// Webhooks that were created, changed or deleted: read these again.
    pub changed: BTreeSet<WebhookId>,
}

impl Signals {
    pub(crate) fn new(newest_event: LogPosition) -> Self {
        Self {
            tail: watch::Sender::new(newest_event),
            lanes: Mutex::default(),
            lanes_raised: Notify::new(),
            awaited: Mutex::default(),
            replays_begun: Notify::new(),
            bulk_commands_changed: Notify::new(),
        }
    }

    pub(crate) fn raise(&self, after_commit: AfterCommit) {
        if let Some(newest) = after_commit.newest_event {
            self.tail.send_replace(newest);
        }
        if after_commit.replays {
            self.replays_begun.notify_one();
        }
        if after_commit.bulk_commands {
            self.bulk_commands_changed.notify_one();
        }
        if !after_commit.webhooks.is_empty() || !after_commit.lanes.is_empty() {
            let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
            lanes.webhooks.extend(after_commit.lanes);
            lanes.changed.extend(after_commit.webhooks.into_iter().map(|(webhook_id, _)| webhook_id));
            drop(lanes);
            self.lanes_raised.notify_one();
        }
        if !after_commit.commands_ended.is_empty() {
            let mut awaited = self.awaited.lock().unwrap_or_else(PoisonError::into_inner);
            for waiter in after_commit.commands_ended.iter().filter_map(|id| awaited.remove(id)) {
                // The waiter may have gone away.
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

    pub(crate) fn tail(&self) -> watch::Receiver<LogPosition> {
        self.tail.subscribe()
    }

    /// Waits until a replay was started. For one waiter only.
    pub(crate) async fn replays_begun(&self) {
        self.replays_begun.notified().await;
    }

    /// Waits until a bulk command was created or canceled. For one waiter only.
    pub(crate) async fn bulk_commands_changed(&self) {
        self.bulk_commands_changed.notified().await;
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
    /// A waiter that goes away leaves nothing behind.
    fn drop(&mut self) {
        self.signals.awaited.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
    }
}

#[cfg(test)]
mod tests;
