//! The settings of a webhook that an attempt needs, read once from the store.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use url::Url;

use outbound::signature::{InvalidSecret, SigningSecret};
use store::{Claimed, DirectUrl, LaneSettings, UnreadableSetting};
use vocabulary::api::webhook::WebhookInput;
use vocabulary::clock::Timestamp;
use vocabulary::delivery::BodyFormat;
use vocabulary::rate::{InvalidRate, RateLimit};

/// Where and how one webhook's deliveries are sent.
#[derive(Clone)]
pub struct Target {
    /// The URL; the reason if the stored text is no URL.
    pub url: Result<Url, String>,
    /// The body's shape.
    pub format: BodyFormat,
    /// Signing secrets, newest first, with the end of each; `None`: it is the current one.
    pub signing: Vec<(SigningSecret, Option<Timestamp>)>,
    /// `secret_header` and `secret_value`.
    pub secret: Option<(String, String)>,
    /// The webhook's own headers.
    pub custom_headers: BTreeMap<String, String>,
    /// How long one attempt may take.
    pub timeout: Duration,
    /// The rate at which deliveries may be sent.
    pub rate_limit: Option<RateLimit>,
}

impl fmt::Debug for Target {
    /// Secrets and headers, which may be secrets too, are left out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target").finish_non_exhaustive()
    }
}

impl Target {
    /// Reads stored settings.
    ///
    /// # Errors
    /// The first setting that cannot be read. Nothing is sent then: not in another format, faster, or without
    /// a signature.
    pub fn new(settings: &LaneSettings) -> Result<Self, UnreadableSetting> {
        let unreadable = |column, reason: &dyn fmt::Display| {
            UnreadableSetting::of_webhook(settings.webhook_id, column, reason)
        };
        let signing = settings.signing_secrets.iter().map(|secret| {
            let read = secret.text.parse();
            Ok((
                read.map_err(|error: InvalidSecret| unreadable("signing_secret", &error))?,
                secret.expires_at,
            ))
        });
        let rate_limit = settings.rate_limit.as_ref().map(|text| text.parse());
        Ok(Self {
            url: parsed(&settings.url),
            format: settings.format,
            signing: signing.collect::<Result<_, _>>()?,
            secret: settings.secret.clone(),
            custom_headers: settings.custom_headers.clone(),
            timeout: settings.timeout,
            rate_limit: rate_limit
                .transpose()
                .map_err(|error: InvalidRate| unreadable("rate_limit", &error))?,
        })
    }

    /// The target of a webhook that is not created yet; `secret` signs.
    pub fn planned(input: &WebhookInput, secret: SigningSecret) -> Self {
        Self {
            url: parsed(&input.url),
            format: input.format,
            signing: vec![(secret, None)],
            secret: input.secret_header.clone().zip(input.secret_value.clone()),
            custom_headers: input.custom_headers.clone(),
            timeout: input.timeout.0,
            rate_limit: None,
        }
    }

    /// The target of one delivery with a direct URL.
    ///
    /// # Errors
    /// If its secret cannot be read.
    pub fn with_url_of(&self, claimed: &Claimed, direct: &DirectUrl) -> Result<Self, UnreadableSetting> {
        let secret = direct.secret.as_ref().map(|text| text.parse()).transpose();
        let secret = secret.map_err(|error: InvalidSecret| UnreadableSetting {
            table: "deliveries",
            id: claimed.id.to_string(),
            column: "secret",
            reason: error.to_string(),
        })?;
        Ok(Self {
            url: parsed(&direct.url),
            signing: secret.map(|secret| (secret, None)).into_iter().collect(),
            ..self.clone()
        })
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

/// The URL, or why the text is none.
fn parsed(url: &str) -> Result<Url, String> {
    Url::parse(url).map_err(|error| format!("{url}: {error}"))
}
