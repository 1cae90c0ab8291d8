//! Replays: bringing back what a webhook missed, and deliveries sent again by filter.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::command::RequestedBy;
use super::text::{Bound, Pattern};
use crate::clock::Timestamp;
use crate::delivery::{AnswerClass, DeliveryStatus};
use crate::id::{EventId, ReplayId};
use crate::words::words;

words! {
    /// Which of a webhook's events a replay brings back.
    #[derive(Default)]
    #[schema(as = ReplayOnly)]
    pub enum Only {
        /// Those whose delivery is a dead letter.
        #[default]
        Failed = "failed",
        /// Those whose delivery was discarded or never made: the webhook was disabled, did not subscribe to
        /// them yet, or was not there yet. They are judged by what it subscribes to now.
        Missing = "missing",
        /// Both, and those that have arrived. What is on its way stays as it is.
        All = "all",
    }
}

/// What is brought back: the body of `POST /webhooks/{id}/replay`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReplayInput {
    /// Events that arrived then or later.
    #[schema(value_type = Bound)]
    pub since: Timestamp,
    /// Events that arrived before that; up to now if it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Bound>)]
    pub until: Option<Timestamp>,
    /// Which of them.
    #[serde(default)]
    #[schema(default = "failed")]
    pub only: Only,
    /// Only event types that fit one of these names or patterns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<Pattern>>, min_items = 1, max_items = 50)]
    pub events: Option<Vec<String>>,
    /// Only count: nothing is made, and the answer is a 200 with `matched`.
    #[serde(default)]
    #[schema(default = false)]
    pub dry_run: bool,
}

words! {
    /// How far a replay has come.
    pub enum ReplayStatus {
        /// It is making deliveries.
        Running = "running",
        /// All are made; whether they have arrived, the deliveries tell.
        Done = "done",
        /// Somebody ended it, and what it had made and nothing was tried of was taken back; or its webhook
        /// was disabled or deleted.
        Canceled = "canceled",
    }
}

/// What a replay or bulk resend brings back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "lowercase")]
#[schema(as = ReplaySelection)]
pub enum Selection {
    /// From a webhook's past.
    Replay {
        /// The webhook.
        webhook_id: i64,
        /// Which events.
        only: Only,
        /// Names and patterns of event types; empty: all.
        events: Vec<String>,
        /// They arrived then or later.
        since: Timestamp,
        /// They arrived before that.
        until: Timestamp,
    },
    /// Deliveries by filter.
    Resend {
        /// Any of these.
        status: Vec<DeliveryStatus>,
        /// To this webhook.
        webhook_id: Option<i64>,
        /// Of this event.
        event_id: Option<EventId>,
        /// Names and patterns of event types; empty: all.
        events: Vec<String>,
        /// Of this station's events.
        station_id: Option<String>,
        /// Of this owner's events.
        owner_id: Option<String>,
        /// Made then or later.
        since: Option<Timestamp>,
        /// Made before that.
        until: Option<Timestamp>,
        /// Whose last attempt was answered with one of these; empty: all.
        #[serde(default)]
        status_code: Vec<AnswerClass>,
        /// Tried at least so often.
        #[serde(default)]
        min_attempts: Option<u32>,
        /// Text in the event's payload.
        q: Option<String>,
    },
}

impl Selection {
    /// Whether it is looked for among events; others are looked for among deliveries.
    pub fn is_of_events(&self) -> bool {
        matches!(self, Self::Replay { only: Only::Missing | Only::All, .. })
    }
}

/// A replay, or a bulk resend.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Replay {
    /// Its id.
    pub id: ReplayId,
    /// How far it has come.
    pub status: ReplayStatus,
    /// How many events or deliveries there were to bring back when it was asked for.
    pub matched: u64,
    /// How many of them it has made due so far. Those that ended otherwise meanwhile are left out, so at the
    /// end it may be less than `matched`. Those that a cancellation took back do not count.
    pub done: u64,
    /// What is brought back.
    pub selection: Selection,
    /// Who asked for it.
    pub requested_by: RequestedBy,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it came to its end.
    pub completed_at: Option<Timestamp>,
}

/// What a dry run found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReplayMatched {
    /// How many there are to bring back.
    pub matched: u64,
}
