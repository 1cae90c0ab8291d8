//! Webhooks are created, replaced, disabled, enabled and deleted here, and their subscriptions follow.
//!
//! **Invariant**: every write here replaces the webhook's compiled subscription in the same transaction, so
//! that the next event of the same batch is already matched against it.

use std::sync::Arc;

use crate::changed::Changed;
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

/// The result of a request to create a webhook.
#[derive(Debug, Clone)]
pub enum CreatedWebhook {
    /// It was created.
    Created(Box<Webhook>),
    /// Nothing was written: its owner has reached the limit.
    LimitReached,
}

/// Which webhooks are listed. A field that is `None` does not restrict the list.
#[derive(Debug, Clone, Default)]
pub struct WebhookFilter {
    /// Webhooks of this owner.
    pub owner_id: Option<String>,
    /// Webhooks with this status.
    pub status: Option<WebhookStatus>,
    /// Part of the name or the URL; letter case does not matter.
    pub text: Option<String>,
    /// Created at or after this.
    pub since: Option<Timestamp>,
    /// Created before this.
    pub until: Option<Timestamp>,
}

/// The reason that is stored when an operator or owner disables a webhook.
const BY_REQUEST: &str = "disabled through the API";

impl Store {
    /// Creates a webhook, unless its owner has `at_most` webhooks already. Events that are appended
    /// afterwards are matched against it. `input` must have been checked, and have its `signing_secret`.
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
            // The id is needed before the insert, because secrets are encrypted for their row.
            let id = w.next_number("webhooks")?;
            save(w, id, &input, status, reason)?;
            changed(w, id)?;
            shown(w, id).map(|webhook| CreatedWebhook::Created(Box::new(webhook)))
        })
        .await
    }

    /// The webhook with this id, and its secrets.
    pub async fn webhook(&self, id: WebhookId) -> Result<Option<StoredWebhook>> {
        let vault = self.vault();
        self.read(move |db| stored(db, &vault, id)).await
    }

    /// One page of the webhooks, in the order of their creation.
    pub async fn webhooks(&self, filter: WebhookFilter, slice: Slice) -> Result<Listed<Webhook>> {
        let vault = self.vault();
        self.read(move |db| {
            let mut conditions = Conditions::default();
            conditions.and_if("owner_id = ?", filter.owner_id);
            conditions.and_if("status = ?", filter.status.map(WebhookStatus::as_str));
            conditions.and_text(&["name", "url"], filter.text.as_deref());
            conditions.and_at("created_at_ms >= ?", filter.since);
            conditions.and_at("created_at_ms < ?", filter.until);
            page(db, &format!("SELECT {COLUMNS} FROM webhooks"), &["id"], conditions, &slice, |row| {
                webhook_row::read(row, &vault).map(|stored| stored.webhook)
            })
        })
        .await
    }

    /// Replaces all settings of a webhook, secrets included, if it was last changed at `read_at`. Disabling
    /// it discards its waiting deliveries.
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
                // This is the first step; the delivery engine takes the others when it hears of the change.
                discard_waiting(w, id)?;
            }
            changed(w, id)?;
            shown(w, id).map(Changed::Done)
        })
        .await
    }

    /// Enables a disabled webhook; `None` if the webhook does not exist.
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

    /// Deletes a webhook, if `read_at` is `None` or it was last changed then. Its waiting deliveries are
    /// discarded, its ended ones stay in the lists.
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
            // This is the first step; the delivery engine takes the others when it hears of the change.
            discard_waiting(w, id)?;
            changed(w, id)?;
            Ok(Changed::Done(()))
        })
        .await
    }
}

/// The owner of a webhook; `None` if the webhook does not exist, `Some(None)` if it has no owner.
pub(crate) fn owner_of(db: &Read<'_>, id: WebhookId) -> Result<Option<String>> {
    let owner = db.maybe("SELECT owner_id FROM webhooks WHERE id = ?1", params![id], |row| row.get(0))?;
    Ok(owner.flatten())
}

/// Must follow any change of a webhook: the next event is matched against its new subscription, and the
/// delivery engine reads its lane again. The other webhooks are not touched.
pub(crate) fn changed(w: &mut Tx<'_>, id: WebhookId) -> Result<()> {
    let subscription = or_out_of_order(id, load_subscription(w, id))?.map(Arc::new);
    let before = w.subscriptions.put(id, subscription);
    w.after_commit.webhooks.push((id, before));
    if let Some(counted) = w.counted {
        counted.forget_webhook(id);
    }
    Ok(())
}

/// The webhook right after it was written.
pub(crate) fn shown(w: &Tx<'_>, id: WebhookId) -> Result<Webhook> {
    let found = stored(w, w.vault, id)?;
    found.map(|stored| stored.webhook).ok_or_else(|| StoreError::Corrupt(format!("webhook {id} is gone")))
}
