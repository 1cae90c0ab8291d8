//! Replays and bulk resends.

use super::{Call, Client, Parameters};
use vocabulary::api::Page;
use vocabulary::api::replay::{Replay, ReplayInput, ReplayMatched};
use vocabulary::id::{ReplayId, WebhookId};

impl Client {
    /// Starts a replay, whatever `input.dry_run` says.
    ///
    /// # Errors
    /// [`super::ClientError::Refused`] names every wrong field, or is a 409 if the webhook is disabled.
    pub fn replay(&self, id: WebhookId, input: &ReplayInput) -> Call<Replay> {
        self.post(&["webhooks", &id.to_string(), "replay"], &ReplayInput { dry_run: false, ..input.clone() })
    }

    /// Counts the deliveries that [`Client::replay`] would make.
    pub fn count_replay(&self, id: WebhookId, input: &ReplayInput) -> Call<ReplayMatched> {
        self.post(&["webhooks", &id.to_string(), "replay"], &ReplayInput { dry_run: true, ..input.clone() })
    }

    /// One page of the replays, bulk resends among them.
    pub fn replays(&self, parameters: Parameters<'_>) -> Call<Page<Replay>> {
        self.get(&["replays"], parameters)
    }

    /// A replay.
    pub fn replay_status(&self, id: ReplayId) -> Call<Replay> {
        self.get(&["replays", &id.to_string()], &[])
    }

    /// Cancels a replay; its deliveries go on.
    ///
    /// # Errors
    /// [`super::ClientError::Refused`] with 404 if there is none, with 409 if it has come to its end.
    pub fn cancel_replay(&self, id: ReplayId) -> Call<Replay> {
        self.ask(&["replays", &id.to_string(), "cancel"], &[])
    }
}
