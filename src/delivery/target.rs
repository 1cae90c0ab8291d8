//! What an attempt needs to know of its webhook, read once from what is stored.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use tracing::error;
use url::Url;

use crate::clock::Timestamp;
use crate::id::WebhookId;
use crate::outbound::body::Format;
use crate::outbound::signature::SigningSecret;
use crate::store::{Elsewhere, LaneSettings};

use super::pace::RateLimit;

/// Where and how one webhook's deliveries are sent.
#[derive(Clone)]
pub struct Target {
    /// Where to; the reason if what is stored is no URL.
    pub url: Result<Url, String>,
    /// The body's shape.
    pub format: Format,
    /// What signs, newest first, and until when; `None`: it is the current one.
    pub signing: Vec<(SigningSecret, Option<Timestamp>)>,
    /// `secret_header` and `secret_value`.
    pub secret: Option<(String, String)>,
    /// The webhook's own headers.
    pub custom_headers: BTreeMap<String, String>,
    /// How long one attempt may take.
    pub timeout: Duration,
    /// How fast it may go.
    pub rate_limit: Option<RateLimit>,
}

impl fmt::Debug for Target {
    /// Secrets and headers, which may be secrets too, are left out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target").finish_non_exhaustive()
    }
}

impl Target {
    /// Reads stored settings. What was checked when it was stored and cannot be read now is logged and
    /// left out; a webhook must not stop because of it.
    pub fn new(settings: &LaneSettings) -> Self {
        let webhook_id = settings.webhook_id;
        Self {
            url: Url::parse(&settings.url).map_err(|error| format!("{}: {error}", settings.url)),
            format: Format::ALL
                .into_iter()
                .find(|format| format.as_str() == settings.format)
                .unwrap_or_default(),
            signing: settings
                .signing_secrets
                .iter()
                .filter_map(|secret| Some((readable(webhook_id, secret.text.parse())?, secret.expires_at)))
                .collect(),
            secret: settings.secret.clone(),
            custom_headers: settings.custom_headers.clone(),
            timeout: settings.timeout,
            rate_limit: settings.rate_limit.as_ref().and_then(|text| readable(webhook_id, text.parse())),
        }
    }

    /// The same for one delivery that has a URL of its own.
    pub fn elsewhere(&self, lane: WebhookId, elsewhere: &Elsewhere) -> Self {
        let secret = elsewhere.secret.as_ref().and_then(|text| readable(lane, text.parse()));
        Self {
            url: Url::parse(&elsewhere.url).map_err(|error| format!("{}: {error}", elsewhere.url)),
            signing: secret.map(|secret| (secret, None)).into_iter().collect(),
            ..self.clone()
        }
    }

    /// The secrets that sign at `now`, newest first.
    pub fn signing_at(&self, now: Timestamp) -> Vec<SigningSecret> {
        self.signing
            .iter()
            .filter(|(_, expires_at)| expires_at.is_none_or(|expires_at| now < expires_at))
            .map(|(secret, _)| secret.clone())
            .collect()
    }
}

fn readable<T, E: fmt::Display>(webhook_id: WebhookId, read: Result<T, E>) -> Option<T> {
    read.inspect_err(|reason| {
        error!(webhook.id = webhook_id, "webhook {webhook_id}: unreadable setting: {reason}")
    })
    .ok()
}
