//! Events that test a webhook.

use crate::error::Result;
use crate::log::append::{self, AppendOptions, Owner};
use crate::log::event_row;
use crate::webhooks::settings::owner_of;
use crate::{Priority, Scope, Store};
use vocabulary::event::{Event, NewEvent};
use vocabulary::id::WebhookId;

impl Store {
    /// Stores an event that tests a webhook: marked as a test, not counted, with the webhook's owner, and
    /// without deliveries.
    pub async fn append_test(&self, webhook_id: WebhookId, event: NewEvent) -> Result<Event> {
        self.write(Priority::Api, Scope::Webhook(webhook_id), move |w| {
            let owner = owner_of(w, webhook_id)?;
            let options = AppendOptions {
                test: true,
                owner: Owner::Known(owner.as_deref()),
                ..AppendOptions::default()
            };
            let position = append::append(w, &event, options)?;
            event_row::just_stored(w, position)
        })
        .await
    }
}
