//! What the store tells others after a commit. Signals that are not heard yet become one; none carries data
//! that is not in the database too.

pub(crate) mod told;

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Notify, oneshot, watch};

use crate::LogPosition;
use told::{StationNews, Told};
use vocabulary::clock::Timestamp;
use vocabulary::id::{CommandId, StationId, WebhookId};
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
    /// What is to be done about connections of other nodes.
    pub(crate) stations: Vec<(StationId, StationNews)>,
    /// A node has come or gone, or a lane is free.
    pub(crate) nodes: bool,
    /// Stations whose history was written, each with the moment from which on it is another.
    pub(crate) history: Vec<(StationId, Timestamp)>,
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
        self.stations.extend(later.stations);
        self.nodes |= later.nodes;
        self.history.extend(later.history);
    }
}

pub(crate) struct Signals {
    tail: watch::Sender<LogPosition>,
    lanes: Mutex<LanesDue>,
    lanes_raised: Notify,
    awaited: Mutex<HashMap<CommandId, oneshot::Sender<()>>>,
    replays_begun: Notify,
    bulk_commands_changed: Notify,
    stations: Mutex<Vec<(StationId, StationNews)>>,
    stations_raised: Notify,
    nodes_changed: Notify,
    /// Of each station the earliest moment.
    history: Mutex<HashMap<StationId, Timestamp>>,
    /// Something was committed that other nodes may wait for.
    others_have_news: Notify,
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
            stations: Mutex::default(),
            stations_raised: Notify::new(),
            nodes_changed: Notify::new(),
            history: Mutex::default(),
            others_have_news: Notify::new(),
        }
    }

    pub(crate) fn raise(&self, after_commit: AfterCommit) {
        if let Some(newest) = after_commit.newest_event {
            // Another node's commit may be heard of after a later one of our own.
            self.tail.send_if_modified(|tail| newest > *tail && std::mem::replace(tail, newest) != newest);
        }
        if !after_commit.history.is_empty() {
            let mut history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
            for (station, from) in after_commit.history {
                let earliest = history.entry(station).or_insert(from);
                *earliest = from.min(*earliest);
            }
        }
        if after_commit.replays {
            self.replays_begun.notify_one();
        }
        if after_commit.bulk_commands {
            self.bulk_commands_changed.notify_one();
        }
        // A new webhook needs a node that sends its deliveries.
        if after_commit.nodes
            || !after_commit.webhooks.is_empty()
            || after_commit.lanes.iter().any(|id| *id < 0)
        {
            self.nodes_changed.notify_one();
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

    /// What another node has committed.
    pub(crate) fn hear(&self, told: Told) {
        if !told.stations.is_empty() {
            self.stations.lock().unwrap_or_else(PoisonError::into_inner).extend(told.stations);
            self.stations_raised.notify_one();
        }
        self.raise(AfterCommit {
            newest_event: told.newest_event.map(LogPosition::from_number),
            lanes: told.lanes.into_iter().collect(),
            webhooks: told.webhooks.into_iter().map(|id| (id, None)).collect(),
            commands_ended: told.commands_ended,
            replays: told.replays,
            bulk_commands: told.bulk_commands,
            stations: Vec::new(),
            nodes: told.nodes,
            history: Vec::new(),
        });
    }

    /// The stations whose history was written since the last call, each with the earliest moment from which
    /// on it is another. For one reader only.
    pub(crate) fn take_history_changes(&self) -> HashMap<StationId, Timestamp> {
        std::mem::take(&mut *self.history.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Others are to hear of a commit.
    pub(crate) fn tell_others(&self) {
        self.others_have_news.notify_one();
    }

    /// Waits for a commit that others are to hear of. For one waiter only.
    pub(crate) async fn others_have_news(&self) {
        self.others_have_news.notified().await;
    }

    /// Waits until a node has come or gone, or a lane may have to be taken. For one waiter only.
    pub(crate) async fn nodes_changed(&self) {
        self.nodes_changed.notified().await;
    }

    pub(crate) fn nodes_have_changed(&self) {
        self.nodes_changed.notify_one();
    }

    /// These lanes are to be read again.
    pub(crate) fn lanes_changed(&self, changed: impl IntoIterator<Item = WebhookId>) {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner).changed.extend(changed);
        self.lanes_raised.notify_one();
    }

    /// Waits until something is to be done about connections of this node, and takes the list. For one waiter
    /// only.
    pub(crate) async fn station_news(&self) -> Vec<(StationId, StationNews)> {
        loop {
            let raised = self.stations_raised.notified();
            let news = std::mem::take(&mut *self.stations.lock().unwrap_or_else(PoisonError::into_inner));
            if !news.is_empty() {
                return news;
            }
            raised.await;
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
