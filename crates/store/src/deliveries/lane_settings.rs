//! A lane's settings, as the delivery engine uses them, and its request for deliveries.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::error::{Result, UnreadableSetting};
use crate::webhooks::webhook_row::StoredWebhook;
use vocabulary::api::webhook::PreviousSecret;
use vocabulary::broker::{BrokerCredentials, CloudEventsMode};
use vocabulary::clock::Timestamp;
use vocabulary::delivery::BodyFormat;
use vocabulary::id::WebhookId;
use vocabulary::webhook::{Ordering, WebhookStatus};

/// How a lane's deliveries are sent, as it is stored.
#[derive(Clone)]
pub struct LaneSettings {
    /// The webhook; below zero it is the origin of URLs that came with their events.
    pub webhook_id: WebhookId,
    /// Whether deliveries are sent.
    pub state: LaneState,
    /// The URL.
    pub url: String,
    /// The format of the body.
    pub format: BodyFormat,
    /// The signing secrets, the newest first.
    pub signing_secrets: Vec<SigningSecretText>,
    /// The header that carries `secret_value`, and the value.
    pub secret: Option<(String, String)>,
    /// The webhook's own headers.
    pub custom_headers: BTreeMap<String, String>,
    /// What is to be known of the broker that the URL names; `None`: it is an endpoint.
    pub broker: Option<BrokerSettings>,
    /// Each station's events are sent strictly in order, and each may block the next one this long; `None`:
    /// no order.
    pub station_order: Option<Duration>,
    /// How long one attempt may take.
    pub timeout: Duration,
    /// Waits between attempts.
    pub retry_schedule: Vec<Duration>,
    /// How many may be under way at once.
    pub max_in_flight: usize,
    /// The rate limit as it was written (`10/s`).
    pub rate_limit: Option<String>,
}

/// How messages are published.
#[derive(Clone)]
pub struct BrokerSettings {
    /// What they are published on, as it was written.
    pub topic: String,
    /// How the gateway signs in.
    pub credentials: Option<BrokerCredentials>,
    /// How CloudEvents are laid into them; `None`: as a whole.
    pub cloudevents_mode: Option<CloudEventsMode>,
}

/// Whether a webhook's deliveries are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LaneState {
    /// They are sent.
    Active,
    /// They wait until it is resumed, or until this moment.
    Paused {
        /// `None`: until somebody resumes it.
        until: Option<Timestamp>,
    },
    /// They are discarded: an operator, an owner or the gateway has disabled the webhook.
    Disabled,
    /// They wait: a setting cannot be read, and the gateway sends nothing with other settings than the
    /// requested ones.
    OutOfOrder,
    /// Another node sends them.
    Elsewhere,
}

/// A signing secret as it is stored.
#[derive(Clone)]
pub struct SigningSecretText {
    /// `whsec_…`
    pub text: String,
    /// When it stops signing; `None`: it is the current secret.
    pub expires_at: Option<Timestamp>,
}

impl LaneSettings {
    /// The lane of a webhook, with the secrets that sign beside its current one, the newest first.
    ///
    /// # Errors
    /// A setting that cannot be used.
    pub(crate) fn of(stored: StoredWebhook, previous: Vec<PreviousSecret>) -> Result<Self> {
        let StoredWebhook { webhook, secret_value, signing_secret, credentials } = stored;
        if webhook.max_in_flight == 0 {
            return Err(UnreadableSetting::of_webhook(webhook.id, "max_in_flight", 0).into());
        }
        let current = SigningSecretText { text: signing_secret, expires_at: None };
        let previous = previous.into_iter().map(|previous| SigningSecretText {
            text: previous.signing_secret,
            expires_at: Some(previous.expires_at),
        });
        Ok(Self {
            webhook_id: webhook.id,
            state: match webhook.status {
                WebhookStatus::Active => LaneState::Active,
                WebhookStatus::Paused => LaneState::Paused { until: webhook.paused_until },
                WebhookStatus::Disabled | WebhookStatus::AutoDisabled => LaneState::Disabled,
            },
            url: webhook.url,
            format: webhook.format,
            signing_secrets: std::iter::once(current).chain(previous).collect(),
            secret: webhook.secret_header.zip(secret_value),
            custom_headers: webhook.custom_headers,
            broker: webhook.topic.map(|topic| BrokerSettings {
                topic,
                credentials,
                cloudevents_mode: webhook.cloudevents_mode,
            }),
            station_order: (webhook.ordering == Ordering::Station).then_some(webhook.ordering_max_wait.0),
            timeout: webhook.timeout.0,
            retry_schedule: webhook.retry_schedule.into_iter().map(|span| span.0).collect(),
            max_in_flight: webhook.max_in_flight as usize,
            rate_limit: webhook.rate_limit,
        })
    }

    /// The lane of a webhook with a setting that cannot be read.
    pub(crate) fn out_of_order(webhook_id: WebhookId) -> Self {
        Self {
            webhook_id,
            state: LaneState::OutOfOrder,
            url: String::new(),
            format: BodyFormat::default(),
            signing_secrets: Vec::new(),
            secret: None,
            custom_headers: BTreeMap::new(),
            broker: None,
            station_order: None,
            timeout: Duration::ZERO,
            retry_schedule: Vec::new(),
            max_in_flight: 1,
            rate_limit: None,
        }
    }
}

impl fmt::Debug for LaneSettings {
    /// Secrets and headers, which may be secrets too, are left out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LaneSettings")
            .field("webhook_id", &self.webhook_id)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

/// A lane's request for deliveries.
#[derive(Debug, Clone)]
pub struct LaneClaim {
    /// Whose deliveries.
    pub webhook_id: WebhookId,
    /// At most this many.
    pub limit: usize,
    /// Only resends that somebody requested: they pass an open breaker.
    pub resends_only: bool,
    /// How long one delivery may block the next of its station.
    pub order_max_wait: Duration,
    /// The station where the last claim in order ended: the next one continues after it.
    pub after_station: String,
}
