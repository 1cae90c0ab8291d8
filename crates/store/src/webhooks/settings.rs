//! Webhooks: created, changed, disabled and enabled, deleted; and the subscriptions that follow from them.
//!
//! **Invariant**: every write here replaces the webhook's compiled subscription in the same transaction,
//! so that the next event in the same batch is already judged by it.

use std::sync::Arc;

use crate::engine::sql::params;
use crate::engine::tx::{Read, Tx};
use crate::error::{Result, StoreError};
use crate::listing::{Conditions, Listed, Slice, page};
use crate::log::subscriptions::{load_subscription, or_out_of_order};
use crate::log::waiting_deliveries::discard_waiting;
use crate::webhooks::webhook_row::{self, COLUMNS, StoredWebhook, save, stored};
use crate::{Priority, Scope, Store};
use vocabulary::api::webhook::{Webhook, WebhookInput};
use vocabulary::clock::Timestamp;
use vocabulary::id::WebhookId;
use vocabulary::webhook::WebhookStatus;

/// What became of a wish for a new webhook.
#[derive(Debug, Clone)]
pub enum CreatedWebhook {
    /// It is there.
    Created(Webhook),
    /// Nothing was written: its owner has as many as there may be.
    LimitReached,
}

/// What became of a change.
#[derive(Debug, Clone)]
pub enum Changed<T> {
    /// It was made.
    Done(T),
    /// Nothing was changed: it is not what it was when it was read.
    Stale,
    /// Nothing was changed: there is none.
    Unknown,
}

/// Which webhooks are listed; what is not given does not matter.
#[derive(Debug, Clone, Default)]
pub struct WebhookFilter {
    /// The customer it belongs to.
    pub owner_id: Option<String>,
    /// What it is doing.
    pub status: Option<WebhookStatus>,
    /// Created then or later.
    pub since: Option<Timestamp>,
    /// Created before that.
    pub until: Option<Timestamp>,
}

/// Why a webhook is disabled that nobody but its owner disabled.
const BY_REQUEST: &str = "disabled through the API";

impl Store {
    /// Creates a webhook, unless its owner has `at_most` so many; events that are appended after this are
    /// judged by it. `input` must have been checked, and have its `signing_secret`.
    pub async fn create_webhook(&self, input: WebhookInput, at_most: u32) -> Result<CreatedWebhook> {
        self.write(Priority::Api, Scope::Installation, move |w| {
            let own: u32 = w.one(
                "SELECT count(*) FROM webhooks WHERE owner_id IS NOT DISTINCT FROM ?1",
                params![input.owner_id],
                |row| row.get(0),
            )?;
            if own >= at_most {
                return Ok(CreatedWebhook::LimitReached);
            }
            let (status, reason) = match input.enabled {
                true => (WebhookStatus::Active, None),
                false => (WebhookStatus::Disabled, Some(BY_REQUEST)),
            };
            // Known before it is inserted, because secrets are sealed for their row.
            let id = w.next_number("webhooks")?;
            save(w, id, &input, status, reason)?;
            changed(w, id)?;
            shown(w, id).map(CreatedWebhook::Created)
        })
        .await
    }

    /// The webhook of this number, with its secrets.
    pub async fn webhook(&self, id: WebhookId) -> Result<Option<StoredWebhook>> {
        let vault = self.vault();
        self.read(move |db| stored(db, &vault, id)).await
    }

    /// One page of the webhooks, in the order in which they were created.
    pub async fn webhooks(&self, filter: WebhookFilter, slice: Slice) -> Result<Listed<Webhook>> {
        let vault = self.vault();
        self.read(move |db| {
            let mut conditions = Conditions::default();
            conditions.and_if("owner_id = ?", filter.owner_id);
            conditions.and_if("status = ?", filter.status.map(WebhookStatus::as_str));
            conditions.and_at("created_at_ms >= ?", filter.since);
            conditions.and_at("created_at_ms < ?", filter.until);
            page(db, &format!("SELECT {COLUMNS} FROM webhooks"), &["id"], conditions, &slice, |row| {
                webhook_row::read(row, &vault).map(|stored| stored.webhook)
            })
        })
        .await
    }

    /// Replaces all that is written in a webhook, secrets included, if it was last changed at `read_at`.
    /// Disabling it discards what waits for it; enabling it puts it back to work.
    pub async fn replace_webhook(
        &self,
        id: WebhookId,
        read_at: Timestamp,
        input: WebhookInput,
    ) -> Result<Changed<Webhook>> {
        self.write(Priority::Api, Scope::Webhook(id), move |w| {
            let Some(StoredWebhook { webhook: before, .. }) = stored(w, w.vault, id)? else {
                return Ok(Changed::Unknown);
            };
            if before.updated_at != read_at {
                return Ok(Changed::Stale);
            }
            let (status, reason) = match (input.enabled, before.enabled) {
                (true, false) => (WebhookStatus::Active, None),
                (false, true) => (WebhookStatus::Disabled, Some(BY_REQUEST)),
                _ => (before.status, before.disabled_reason.as_deref()),
            };
            save(w, id, &input, status, reason)?;
            if !input.enabled {
                // A first step; the engine, told of the change, takes the others.
                discard_waiting(w, id)?;
            }
            changed(w, id)?;
            shown(w, id).map(Changed::Done)
        })
        .await
    }

    /// Puts a disabled webhook back to work; `None` if there is none of this number.
    pub async fn enable_webhook(&self, id: WebhookId) -> Result<Option<Webhook>> {
        self.write(Priority::Api, Scope::Webhook(id), move |w| {
            w.run(
                "UPDATE webhooks SET status = 'active', disabled_reason = NULL, failing_since_ms = NULL,
                        updated_at_ms = CASE WHEN ?2 > updated_at_ms THEN ?2 ELSE updated_at_ms + 1 END
                 WHERE id = ?1 AND status IN ('disabled', 'auto_disabled')",
                params![id, w.now],
            )?;
            changed(w, id)?;
            Ok(stored(w, w.vault, id)?.map(|stored| stored.webhook))
        })
        .await
    }

    /// Deletes a webhook, if `read_at` is not given or it was last changed then. What waits for it is
    /// discarded, what was delivered stays in the lists.
    pub async fn delete_webhook(&self, id: WebhookId, read_at: Option<Timestamp>) -> Result<Changed<()>> {
        self.write(Priority::Api, Scope::Webhook(id), move |w| {
            let changed_at = "SELECT updated_at_ms FROM webhooks WHERE id = ?1";
            let Some(updated_at) = w.maybe(changed_at, params![id], |row| row.get::<Timestamp>(0))? else {
                return Ok(Changed::Unknown);
            };
            if read_at.is_some_and(|read_at| read_at != updated_at) {
                return Ok(Changed::Stale);
            }
            w.run("DELETE FROM webhooks WHERE id = ?1", params![id])?;
            // A first step; the engine, told of the change, takes the others.
            discard_waiting(w, id)?;
            changed(w, id)?;
            Ok(Changed::Done(()))
        })
        .await
    }
}

/// The customer that a webhook belongs to, if there is the one, and the other.
pub(crate) fn owner_of(db: &Read<'_>, id: WebhookId) -> Result<Option<String>> {
    let owner = db.maybe("SELECT owner_id FROM webhooks WHERE id = ?1", params![id], |row| row.get(0))?;
    Ok(owner.flatten())
}

/// After any change of a webhook: the next event is judged by its new subscription, and the engine reads
/// its lane anew. The others are as they were.
pub(crate) fn changed(w: &mut Tx<'_>, id: WebhookId) -> Result<()> {
    let subscription = or_out_of_order(id, load_subscription(w, id))?.map(Arc::new);
    let before = w.subscriptions.put(id, subscription);
    w.after_commit.webhooks.push((id, before));
    Ok(())
}

/// The webhook as it is now, right after it was written.
pub(crate) fn shown(w: &Tx<'_>, id: WebhookId) -> Result<Webhook> {
    let found = stored(w, w.vault, id)?;
    found.map(|stored| stored.webhook).ok_or_else(|| StoreError::Corrupt(format!("webhook {id} is gone")))
}
