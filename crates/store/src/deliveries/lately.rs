//! How webhooks have been doing for some hours, so cheaply that a list can have it in every row.

use crate::Store;
use crate::deliveries::tallies;
use crate::error::Result;
use crate::webhooks::numbers;
use vocabulary::api::webhook_stats::{Latency, Quarter};
use vocabulary::clock::Timestamp;
use vocabulary::id::WebhookId;

/// The latency is computed from the attempts of this many deliveries.
const TIMED_MAX: i64 = 200;

/// How a webhook has been doing for some hours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lately {
    /// What ended, by quarters of an hour, the oldest first; those in which nothing ended are left out.
    pub quarters: Vec<Quarter>,
    /// How fast the endpoint answers.
    pub latency_ms: Latency,
    /// Deliveries that have not ended.
    pub backlog: u64,
    /// When the first waiting delivery is due.
    pub oldest_due_at: Option<Timestamp>,
}

impl Store {
    /// What ended of a webhook's deliveries since then, exact to a quarter of an hour; it is known for two
    /// days.
    pub async fn webhook_quarters(&self, id: WebhookId, since: Timestamp) -> Result<Vec<Quarter>> {
        self.read(move |db| tallies::of_webhook(db, id, since)).await
    }

    /// How each of some webhooks has been doing since then (at most two days), in the order of `ids`.
    pub async fn webhooks_lately(&self, ids: Vec<WebhookId>, since: Timestamp) -> Result<Vec<Lately>> {
        self.read(move |db| {
            let mut quarters = tallies::of_webhooks(db, &ids, since)?;
            let lately = |id: &WebhookId| {
                Ok(Lately {
                    quarters: quarters.remove(id).unwrap_or_default(),
                    latency_ms: numbers::latency(db, *id, since, TIMED_MAX)?,
                    backlog: numbers::backlog(db, *id)?,
                    oldest_due_at: numbers::oldest_due_at(db, *id)?,
                })
            };
            ids.iter().map(lately).collect()
        })
        .await
    }
}
