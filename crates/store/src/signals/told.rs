//! What a commit tells other nodes, as it stands in the database.

use serde::{Deserialize, Serialize};

use crate::signals::AfterCommit;
use vocabulary::id::{CommandId, StationId, WebhookId};

/// What is to be done about a station's connection, by whichever node has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StationNews {
    /// Commands wait for it.
    Commands,
    /// It is connected to another node now.
    TakenOver,
    /// The rules for its connection have changed.
    Rules,
    /// It is to be closed: that was requested.
    Requested,
    /// It is to be closed: the station was blocked.
    Blocked,
    /// It is to be closed: the station was deleted.
    Removed,
}

/// What a commit tells other nodes.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Told {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) newest_event: Option<i64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) lanes: Vec<WebhookId>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) webhooks: Vec<WebhookId>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) commands_ended: Vec<CommandId>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) stations: Vec<(StationId, StationNews)>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) replays: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) bulk_commands: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) nodes: bool,
}

impl AfterCommit {
    /// What others have to hear of it, as it is stored; `None`: nothing.
    pub(crate) fn told(&self) -> Option<String> {
        let told = Told {
            newest_event: self.newest_event.map(|newest| newest.number()),
            lanes: self.lanes.iter().copied().collect(),
            webhooks: self.webhooks.iter().map(|(id, _)| *id).collect(),
            commands_ended: self.commands_ended.clone(),
            stations: self.stations.clone(),
            replays: self.replays,
            bulk_commands: self.bulk_commands,
            nodes: self.nodes,
        };
        let text = serde_json::to_string(&told).ok()?;
        (text != "{}").then_some(text)
    }
}
