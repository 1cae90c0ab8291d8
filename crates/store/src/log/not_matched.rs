//! Why a webhook has no delivery of an event.

use crate::Store;
use crate::engine::sql::params;
use crate::engine::tx::Read;
use crate::error::Result;
use crate::log::removed_before;
use crate::log::subscriptions::load_subscriptions;
use vocabulary::clock::Timestamp;
use vocabulary::event::Event;
use vocabulary::id::WebhookId;
use vocabulary::subscription::{self, NotMatched, Subject};

/// A webhook that has no delivery of an event, and why.
#[derive(Debug, Clone)]
pub struct UnmatchedWebhook {
    /// The webhook.
    pub webhook_id: WebhookId,
    /// The customer it belongs to.
    pub owner_id: Option<String>,
    /// The first reason that applies.
    pub reason: NotMatched,
    /// What there is to tell of its patterns, where the type is the reason.
    pub warnings: Vec<String>,
}

/// What the reason depends on, of the webhook as it is now.
struct Webhook {
    owner_id: Option<String>,
    updated_at: Timestamp,
    events: Vec<String>,
}

impl Store {
    /// Why each webhook that has no delivery of the event has none, by what it subscribes to now. A webhook
    /// that the event did fit when it came is left out: there was a delivery, which retention has removed.
    pub async fn not_matched(&self, event: Event) -> Result<Vec<UnmatchedWebhook>> {
        self.read(move |db| {
            let subscriptions = load_subscriptions(db)?;
            let removed =
                removed_before::of_outcomes(db)?.is_some_and(|removed| event.id.value() < removed.value());
            let mut unmatched = Vec::new();
            for (webhook_id, fits) in subscriptions.judge(&Subject::of(&event)) {
                if has_delivery(db, &event, webhook_id)? {
                    continue;
                }
                let webhook = webhook(db, webhook_id)?;
                let reason = match fits {
                    // A test goes to one webhook, whatever others subscribe to, and makes no delivery there.
                    _ if event.test => NotMatched::Target,
                    Err(reason) => reason,
                    // It fits what the webhook subscribes to now, but not what it did when the event came.
                    Ok(()) if webhook.updated_at >= event.timestamp && !removed => NotMatched::CreatedLater,
                    Ok(()) => continue,
                };
                let warnings = match reason {
                    NotMatched::EventType => subscription::warnings(&webhook.events),
                    _ => Vec::new(),
                };
                unmatched.push(UnmatchedWebhook { webhook_id, owner_id: webhook.owner_id, reason, warnings });
            }
            Ok(unmatched)
        })
        .await
    }
}

fn has_delivery(db: &Read<'_>, event: &Event, webhook_id: WebhookId) -> Result<bool> {
    db.has(
        "SELECT 1 FROM deliveries WHERE event_seq = ?1 AND webhook_id = ?2",
        params![event.position, webhook_id],
    )
}

fn webhook(db: &Read<'_>, id: WebhookId) -> Result<Webhook> {
    db.one("SELECT owner_id, updated_at_ms, events FROM webhooks WHERE id = ?1", params![id], |row| {
        Ok(Webhook { owner_id: row.get(0)?, updated_at: row.get(1)?, events: row.json(2)? })
    })
}
