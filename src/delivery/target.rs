//! The settings of a webhook that an attempt needs, read once from the store.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use url::Url;

use outbound::broker_url::BrokerUrl;
use outbound::brokers::TopicTemplate;
use outbound::signature::{InvalidSecret, SigningSecret};
use store::{BrokerSettings, Claimed, DirectUrl, LaneSettings, UnreadableSetting};
use vocabulary::api::webhook::WebhookInput;
use vocabulary::broker::{BrokerCredentials, CloudEventsMode};
use vocabulary::clock::Timestamp;
use vocabulary::delivery::BodyFormat;
use vocabulary::rate::{InvalidRate, RateLimit};

/// Where and how one webhook's deliveries are sent.
#[derive(Clone)]
pub struct Target {
    /// Where to; the reason if the stored text names nothing.
    pub destination: Result<Destination, String>,
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

/// An endpoint or a broker.
#[derive(Clone)]
pub enum Destination {
    /// Deliveries are posted to it.
    Endpoint(Url),
    /// Deliveries are published to it.
    Broker(Box<Broker>),
}

/// Where and how messages are published.
#[derive(Clone)]
pub struct Broker {
    /// The broker.
    pub url: BrokerUrl,
    /// What they are published on.
    pub topic: TopicTemplate,
    /// How the gateway signs in.
    pub credentials: Option<BrokerCredentials>,
    /// How CloudEvents are laid into them.
    pub cloudevents_mode: Option<CloudEventsMode>,
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
            destination: destination(&settings.url, settings.broker.as_ref()),
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
        let broker = input.topic.clone().map(|topic| BrokerSettings {
            topic,
            credentials: input.credentials.clone(),
            cloudevents_mode: input.cloudevents_mode,
        });
        Self {
            destination: destination(&input.url, broker.as_ref()),
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
            destination: destination(&direct.url, None),
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

/// Where the texts lead, or why nowhere.
fn destination(url: &str, broker: Option<&BrokerSettings>) -> Result<Destination, String> {
    let Some(settings) = broker else {
        let url = Url::parse(url).map_err(|error| format!("not a URL: {url}: {error}"))?;
        return Ok(Destination::Endpoint(url));
    };
    let url = BrokerUrl::parse(url).ok_or_else(|| format!("{url} has a topic, but is no broker"))?;
    let url = url.map_err(|error| error.to_string())?;
    let topic = TopicTemplate::parse(&settings.topic, url.protocol);
    Ok(Destination::Broker(Box::new(Broker {
        topic: topic.map_err(|error| format!("the topic {error}"))?,
        url,
        credentials: settings.credentials.clone(),
        cloudevents_mode: settings.cloudevents_mode,
    })))
}
