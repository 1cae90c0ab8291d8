//! Events about a webhook and its deliveries.

use serde::Serialize;
use serde_json::value::to_raw_value;

use crate::engine::tx::Tx;
use crate::error::Result;
use crate::log::append::{AppendOptions, Owner, append};
use crate::webhooks::settings::owner_of;
use vocabulary::event::{Category, NewEvent};
use vocabulary::id::WebhookId;

/// Stores an event about a webhook; it belongs to the webhook's owner.
pub(crate) fn append_event(
    w: &mut Tx<'_>,
    event: &str,
    webhook_id: WebhookId,
    payload: &impl Serialize,
) -> Result<()> {
    let owner = owner_of(w, webhook_id)?;
    let event = NewEvent::new(Category::Webhook, event, w.now, to_raw_value(payload)?);
    append(w, &event, AppendOptions { owner: Owner::Known(owner.as_deref()), ..AppendOptions::default() })?;
    Ok(())
}
