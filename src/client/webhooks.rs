//! Webhooks.

use serde::Serialize;

use super::{Call, Client, Parameters};
use vocabulary::api::Page;
use vocabulary::api::webhook::{PauseInput, Webhook, WebhookSecrets, WebhookTest};
use vocabulary::api::webhook_stats::{WebhookGlance, WebhookStats};
use vocabulary::id::WebhookId;
use vocabulary::units::Span;

impl Client {
    /// Creates a webhook; `input` is the body of `POST /webhooks`. The answer shows its signing secret.
    pub fn create_webhook(&self, input: &impl Serialize) -> Call<Webhook> {
        self.post(&["webhooks"], input)
    }

    /// One page of the webhooks.
    pub fn webhooks(&self, parameters: Parameters<'_>) -> Call<Page<Webhook>> {
        self.get(&["webhooks"], parameters)
    }

    /// A webhook.
    pub fn webhook(&self, id: WebhookId) -> Call<Webhook> {
        self.get(&["webhooks", &id.to_string()], &[])
    }

    /// Changes a webhook; `patch` is the body of `PATCH`.
    pub fn patch_webhook(&self, id: WebhookId, patch: &impl Serialize) -> Call<Webhook> {
        self.patch(&["webhooks", &id.to_string()], patch)
    }

    /// Deletes a webhook.
    pub fn delete_webhook(&self, id: WebhookId) -> Call<()> {
        self.delete(&["webhooks", &id.to_string()])
    }

    /// Enables a disabled webhook.
    pub fn enable_webhook(&self, id: WebhookId) -> Call<Webhook> {
        self.ask(&["webhooks", &id.to_string(), "enable"], &[])
    }

    /// Pauses a webhook, for `how_long` such as `2h`, or until it is resumed.
    ///
    /// # Errors
    /// [`super::ClientError::Refused`] with 404 if there is none, with 409 if it is disabled.
    pub fn pause_webhook(&self, id: WebhookId, how_long: Option<Span>) -> Call<Webhook> {
        self.post(&["webhooks", &id.to_string(), "pause"], &PauseInput { how_long })
    }

    /// Ends a webhook's pause.
    ///
    /// # Errors
    /// [`super::ClientError::Refused`] with 404 if there is none, with 409 if it is disabled.
    pub fn resume_webhook(&self, id: WebhookId) -> Call<Webhook> {
        self.ask(&["webhooks", &id.to_string(), "resume"], &[])
    }

    /// A webhook's statistics.
    pub fn webhook_stats(&self, id: WebhookId, window: Span) -> Call<WebhookStats> {
        self.get(&["webhooks", &id.to_string(), "stats"], &[("window", &window.to_string())])
    }

    /// How each webhook of one page has been doing; `parameters` are those of the list.
    pub fn webhook_glances(&self, parameters: Parameters<'_>) -> Call<Page<WebhookGlance>> {
        self.get(&["webhooks", "stats"], parameters)
    }

    /// Sends a test event to a webhook; `event` is `ping` if none is given.
    ///
    /// # Errors
    /// A failed test is an answer, not an error.
    pub fn test_webhook(&self, id: WebhookId, event: Option<&str>) -> Call<WebhookTest> {
        let parameters: Vec<(&str, &str)> = event.map(|event| ("event", event)).into_iter().collect();
        self.ask(&["webhooks", &id.to_string(), "test"], &parameters)
    }

    /// A webhook's signing secrets.
    pub fn webhook_secrets(&self, id: WebhookId) -> Call<WebhookSecrets> {
        self.get(&["webhooks", &id.to_string(), "secret"], &[])
    }

    /// Rotates a webhook's signing secret; `overlap` such as `1h`.
    pub fn rotate_webhook_secret(&self, id: WebhookId, overlap: Option<&str>) -> Call<WebhookSecrets> {
        let parameters: Vec<(&str, &str)> = overlap.map(|overlap| ("overlap", overlap)).into_iter().collect();
        self.ask(&["webhooks", &id.to_string(), "secret", "rotate"], &parameters)
    }
}
