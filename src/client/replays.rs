//! Replays and bulk resends.

use super::{Call, Client, Parameters};
use vocabulary::api::Page;
use vocabulary::api::replay::{Replay, ReplayInput, ReplayMatched};
use vocabulary::id::{ReplayId, WebhookId};

impl Client {
    /// Brings back what a webhook missed, whatever `input.dry_run` says.
    ///
    /// # Errors
    /// [`super::ClientError::Refused`] names every wrong field, or is a 409 if the webhook is disabled.
    pub fn replay(&self, id: WebhookId, input: &ReplayInput) -> Call<Replay> {
        self.post(&["webhooks", &id.to_string(), "replay"], &ReplayInput { dry_run: false, ..input.clone() })
    }

    /// Counts what [`Client::replay`] would bring back.
    ///
    /// # Errors
    /// As that.
    pub fn count_replay(&self, id: WebhookId, input: &ReplayInput) -> Call<ReplayMatched> {
        self.post(&["webhooks", &id.to_string(), "replay"], &ReplayInput { dry_run: true, ..input.clone() })
    }

    /// One page of the replays, bulk resends among them.
    ///
    /// # Errors
    /// [`super::ClientError::Refused`] names every wrong parameter.
    pub fn replays(&self, parameters: Parameters<'_>) -> Call<Page<Replay>> {
        self.get(&["replays"], parameters)
    }

    /// A replay.
    ///
    /// # Errors
    /// [`super::ClientError::Refused`] with 404 if there is none.
    pub fn replay_status(&self, id: ReplayId) -> Call<Replay> {
        self.get(&["replays", &id.to_string()], &[])
    }

    /// Ends a replay; what it has made goes on.
    ///
    /// # Errors
    /// [`super::ClientError::Refused`] with 404 if there is none, with 409 if it has come to its end.
    pub fn cancel_replay(&self, id: ReplayId) -> Call<Replay> {
        self.ask(&["replays", &id.to_string(), "cancel"], &[])
    }
}
