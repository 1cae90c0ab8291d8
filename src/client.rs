//! The typed client of the REST API: what the command line, the demo and the tests speak to a gateway with.

use std::time::Duration;

use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::Url;

use crate::api::Page;
use crate::api::access::{ApiKey, ApiKeyInput, Health};
use crate::api::command::Command;
use crate::api::delivery::Delivery;
use crate::api::event::{Event, EventDeliveries, EventType};
use crate::api::problem::Problem;
use crate::api::replay::{Replay, ReplayInput};
use crate::api::station::{Connector, Station};
use crate::api::transaction::Transaction;
use crate::api::webhook::{PauseInput, Webhook, WebhookSecrets, WebhookTest};
use crate::api::webhook_stats::WebhookStats;
use crate::id::{CommandId, DeliveryId, EventId, WebhookId};
use crate::units::Span;

/// Longer than the longest call the gateway makes on our behalf.
const TIMEOUT: Duration = Duration::from_secs(120);

/// Longer than the longest wait for a command: its turn, then its answer.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(1_300);

/// Why a call brought no answer of the kind that was expected.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The base URL is no `http` or `https` URL, or the key cannot be sent in a header.
    #[error("{0}")]
    Setup(String),
    /// The gateway refused, and said why.
    #[error("{0}")]
    Refused(Box<Problem>),
    /// An answer that is none of this API's.
    #[error("{url} answered {status}, and not as a chargehook gateway would: {body}")]
    Unexpected {
        /// What was asked.
        url: Url,
        /// The HTTP status.
        status: u16,
        /// The start of the body.
        body: String,
    },
    /// No answer at all.
    #[error("no answer from the gateway: {0}")]
    Unreachable(#[source] reqwest::Error),
}

impl ClientError {
    /// The HTTP status, if there was an answer.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Refused(problem) => Some(problem.status),
            Self::Unexpected { status, .. } => Some(*status),
            Self::Setup(_) | Self::Unreachable(_) => None,
        }
    }
}

/// A result whose error is a [`ClientError`].
pub type Result<T> = std::result::Result<T, ClientError>;

/// Parameters of a query string, in order.
pub type Parameters<'a> = &'a [(&'a str, &'a str)];

/// Speaks to one gateway with one API key. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base: Url,
    key: reqwest::header::HeaderValue,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("base", &self.base.as_str()).finish_non_exhaustive()
    }
}

impl Client {
    /// A client for the gateway at `base` (`http://127.0.0.1:8080`).
    ///
    /// # Errors
    /// [`ClientError::Setup`] if there can be no such gateway or key.
    pub fn new(base: &str, key: &str) -> Result<Self> {
        let base = Url::parse(base).map_err(|error| ClientError::Setup(format!("{base}: {error}")))?;
        if !matches!(base.scheme(), "http" | "https") || base.cannot_be_a_base() {
            return Err(ClientError::Setup(format!("{base} is no http:// or https:// URL")));
        }
        let mut key = reqwest::header::HeaderValue::try_from(key)
            .map_err(|_| ClientError::Setup("the API key holds characters that cannot be sent".into()))?;
        key.set_sensitive(true);
        // One TLS backend for all; if somebody in this process chose before us, that choice stands.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .timeout(TIMEOUT)
            // A gateway is asked directly, whatever proxy the environment names for the web.
            .no_proxy()
            .user_agent(concat!("chargehook/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| ClientError::Setup(format!("no HTTP client: {error}")))?;
        Ok(Self { http, base, key })
    }

    /// Whether the gateway can serve; a gateway that cannot is an answer, not an error.
    ///
    /// # Errors
    /// If nobody answers, or not a gateway.
    pub async fn ready(&self) -> Result<Health> {
        let url = self.url(&["readyz"], &[]);
        let response = self.http.get(url.clone()).send().await.map_err(ClientError::Unreachable)?;
        let status = response.status().as_u16();
        let body = response.bytes().await.map_err(ClientError::Unreachable)?;
        serde_json::from_slice(&body).map_err(|_| unexpected(url, status, &body))
    }

    /// Makes a webhook; `input` is the body of `POST /webhooks`. The answer shows its signing secret.
    ///
    /// # Errors
    /// [`ClientError::Refused`] names every wrong field.
    pub async fn create_webhook(&self, input: &impl Serialize) -> Result<Webhook> {
        self.post(&["webhooks"], &[], input).await
    }

    /// One page of the webhooks.
    ///
    /// # Errors
    /// As every call: [`ClientError`].
    pub async fn webhooks(&self, parameters: Parameters<'_>) -> Result<Page<Webhook>> {
        self.get(&["webhooks"], parameters).await
    }

    /// A webhook.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with 404 if there is none.
    pub async fn webhook(&self, id: WebhookId) -> Result<Webhook> {
        self.get(&["webhooks", &id.to_string()], &[]).await
    }

    /// Changes a webhook; `patch` is the body of `PATCH`.
    ///
    /// # Errors
    /// [`ClientError::Refused`] names every wrong field.
    pub async fn patch_webhook(&self, id: WebhookId, patch: &impl Serialize) -> Result<Webhook> {
        let request = self.request(Method::PATCH, &["webhooks", &id.to_string()], &[]).json(patch);
        read(self.send(request).await?).await
    }

    /// Removes a webhook.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with 404 if there is none.
    pub async fn delete_webhook(&self, id: WebhookId) -> Result<()> {
        self.delete(&["webhooks", &id.to_string()]).await
    }

    /// Puts a disabled webhook back to work.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with 404 if there is none.
    pub async fn enable_webhook(&self, id: WebhookId) -> Result<Webhook> {
        self.post(&["webhooks", &id.to_string(), "enable"], &[], &Value::Null).await
    }

    /// Lets a webhook's deliveries wait; `how_long` such as `2h`, or until it is resumed.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with 404 if there is none, with 409 if it is disabled.
    pub async fn pause_webhook(&self, id: WebhookId, how_long: Option<Span>) -> Result<Webhook> {
        self.post(&["webhooks", &id.to_string(), "pause"], &[], &PauseInput { how_long }).await
    }

    /// Ends a webhook's pause.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with 404 if there is none, with 409 if it is disabled.
    pub async fn resume_webhook(&self, id: WebhookId) -> Result<Webhook> {
        self.post(&["webhooks", &id.to_string(), "resume"], &[], &Value::Null).await
    }

    /// Discards a delivery that has not come to its end.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with 404 if there is none, with 409 if it has come to its end.
    pub async fn cancel_delivery(&self, id: DeliveryId) -> Result<Delivery> {
        self.post(&["deliveries", &id.to_string(), "cancel"], &[], &Value::Null).await
    }

    /// How a webhook is doing.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with 404 if there is none.
    pub async fn webhook_stats(&self, id: WebhookId, window: Span) -> Result<WebhookStats> {
        self.get(&["webhooks", &id.to_string(), "stats"], &[("window", &window.to_string())]).await
    }

    /// Brings back what a webhook missed. Not for dry runs, which are answered otherwise.
    ///
    /// # Errors
    /// [`ClientError::Refused`] names every wrong field, or is a 409 if the webhook is disabled.
    pub async fn replay(&self, id: WebhookId, input: &ReplayInput) -> Result<Replay> {
        self.post(&["webhooks", &id.to_string(), "replay"], &[], input).await
    }

    /// One page of the replays.
    ///
    /// # Errors
    /// [`ClientError::Refused`] names every wrong parameter.
    pub async fn replays(&self, parameters: Parameters<'_>) -> Result<Page<Replay>> {
        self.get(&["replays"], parameters).await
    }

    /// Sends a test event to a webhook; `event` is `ping` if none is given.
    ///
    /// # Errors
    /// As every call; a test that was not passed is an answer.
    pub async fn test_webhook(&self, id: WebhookId, event: Option<&str>) -> Result<WebhookTest> {
        let parameters: Vec<(&str, &str)> = event.map(|event| ("event", event)).into_iter().collect();
        self.post(&["webhooks", &id.to_string(), "test"], &parameters, &Value::Null).await
    }

    /// A webhook's signing secrets.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with 404 if there is none.
    pub async fn webhook_secrets(&self, id: WebhookId) -> Result<WebhookSecrets> {
        self.get(&["webhooks", &id.to_string(), "secret"], &[]).await
    }

    /// Rotates a webhook's signing secret; `overlap` such as `1h`.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with 404 if there is none.
    pub async fn rotate_webhook_secret(
        &self,
        id: WebhookId,
        overlap: Option<&str>,
    ) -> Result<WebhookSecrets> {
        let parameters: Vec<(&str, &str)> = overlap.map(|overlap| ("overlap", overlap)).into_iter().collect();
        self.post(&["webhooks", &id.to_string(), "secret", "rotate"], &parameters, &Value::Null).await
    }

    /// One page of the events.
    ///
    /// # Errors
    /// [`ClientError::Refused`] names every wrong parameter.
    pub async fn events(&self, parameters: Parameters<'_>) -> Result<Page<Event>> {
        self.get(&["events"], parameters).await
    }

    /// An event.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with 404 if there is none.
    pub async fn event(&self, id: EventId) -> Result<Event> {
        self.get(&["events", &id.to_string()], &[]).await
    }

    /// An event's deliveries, and with `explain` why other webhooks have none.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with 404 if there is no such event.
    pub async fn event_deliveries(&self, id: EventId, explain: bool) -> Result<EventDeliveries> {
        let explain = if explain { "true" } else { "false" };
        self.get(&["events", &id.to_string(), "deliveries"], &[("explain", explain)]).await
    }

    /// Every event type.
    ///
    /// # Errors
    /// As every call: [`ClientError`].
    pub async fn event_types(&self) -> Result<Page<EventType>> {
        self.get(&["event-types"], &[]).await
    }

    /// One page of the deliveries.
    ///
    /// # Errors
    /// [`ClientError::Refused`] names every wrong parameter.
    pub async fn deliveries(&self, parameters: Parameters<'_>) -> Result<Page<Delivery>> {
        self.get(&["deliveries"], parameters).await
    }

    /// One page of the dead letters.
    ///
    /// # Errors
    /// [`ClientError::Refused`] names every wrong parameter.
    pub async fn failed_deliveries(&self, parameters: Parameters<'_>) -> Result<Page<Delivery>> {
        self.get(&["failed-deliveries"], parameters).await
    }

    /// A delivery.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with 404 if there is none.
    pub async fn delivery(&self, id: DeliveryId) -> Result<Delivery> {
        self.get(&["deliveries", &id.to_string()], &[]).await
    }

    /// Sends a delivery again; one that has arrived only with `force`.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with 409 if it cannot be sent again now.
    pub async fn resend(&self, id: DeliveryId, force: bool) -> Result<Delivery> {
        let force = if force { "true" } else { "false" };
        self.post(&["deliveries", &id.to_string(), "resend"], &[("force", force)], &Value::Null).await
    }

    /// Makes a station; `input` is the body of `POST /stations`.
    ///
    /// # Errors
    /// [`ClientError::Refused`] names every wrong field, or is a 409 if there is one already.
    pub async fn create_station(&self, input: &impl Serialize) -> Result<Station> {
        self.post(&["stations"], &[], input).await
    }

    /// One page of the stations.
    ///
    /// # Errors
    /// [`ClientError::Refused`] names every wrong parameter.
    pub async fn stations(&self, parameters: Parameters<'_>) -> Result<Page<Station>> {
        self.get(&["stations"], parameters).await
    }

    /// A station.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with 404 if there is none.
    pub async fn station(&self, id: &str) -> Result<Station> {
        self.get(&["stations", id], &[]).await
    }

    /// Changes a station; `patch` is the body of `PATCH`.
    ///
    /// # Errors
    /// [`ClientError::Refused`] names every wrong field.
    pub async fn patch_station(&self, id: &str, patch: &impl Serialize) -> Result<Station> {
        let request = self.request(Method::PATCH, &["stations", id], &[]).json(patch);
        read(self.send(request).await?).await
    }

    /// Removes a station.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with 404 if there is none.
    pub async fn delete_station(&self, id: &str) -> Result<()> {
        self.delete(&["stations", id]).await
    }

    /// A station's connectors.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with 404 if there is no such station.
    pub async fn connectors(&self, id: &str) -> Result<Page<Connector>> {
        self.get(&["stations", id, "connectors"], &[]).await
    }

    /// Hangs up on a station.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with 409 if it is not connected.
    pub async fn disconnect_station(&self, id: &str) -> Result<()> {
        let request = self.request(Method::POST, &["stations", id, "disconnect"], &[]);
        self.send(request).await.map(drop)
    }

    /// Sends a command; `input` is the body of `POST /stations/{id}/commands`. One that was not answered, or not
    /// accepted, is an answer too: see its `status` and `accepted`.
    ///
    /// # Errors
    /// [`ClientError::Refused`] names every wrong field, or is a 409 if the station cannot take it now.
    pub async fn send_command(&self, station: &str, input: &impl Serialize) -> Result<Command> {
        let request = self.request(Method::POST, &["stations", station, "commands"], &[]);
        let response =
            request.timeout(COMMAND_TIMEOUT).json(input).send().await.map_err(ClientError::Unreachable)?;
        match response.status() {
            status if status.is_success() || status == StatusCode::GATEWAY_TIMEOUT => read(response).await,
            _ => Err(refusal(response).await?),
        }
    }

    /// One page of the commands.
    ///
    /// # Errors
    /// [`ClientError::Refused`] names every wrong parameter.
    pub async fn commands(&self, parameters: Parameters<'_>) -> Result<Page<Command>> {
        self.get(&["commands"], parameters).await
    }

    /// A command.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with 404 if there is none.
    pub async fn command(&self, id: CommandId) -> Result<Command> {
        self.get(&["commands", &id.to_string()], &[]).await
    }

    /// Calls a command back.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with 409 if it was sent, or has ended.
    pub async fn cancel_command(&self, id: CommandId) -> Result<Command> {
        self.post(&["commands", &id.to_string(), "cancel"], &[], &Value::Null).await
    }

    /// One page of the transactions.
    ///
    /// # Errors
    /// [`ClientError::Refused`] names every wrong parameter.
    pub async fn transactions(&self, parameters: Parameters<'_>) -> Result<Page<Transaction>> {
        self.get(&["transactions"], parameters).await
    }

    /// A transaction.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with 404 if there is none.
    pub async fn transaction(&self, id: i64) -> Result<Transaction> {
        self.get(&["transactions", &id.to_string()], &[]).await
    }

    /// Makes an API key. The answer shows it, and nothing else ever will.
    ///
    /// # Errors
    /// [`ClientError::Refused`] names every wrong field.
    pub async fn create_api_key(&self, input: &ApiKeyInput) -> Result<ApiKey> {
        self.post(&["api-keys"], &[], input).await
    }

    /// Every row of a list, page by page. `resource` is its path below `/api/v1`.
    ///
    /// # Errors
    /// As every call: [`ClientError`].
    pub async fn all<T: DeserializeOwned>(
        &self,
        resource: &str,
        parameters: Parameters<'_>,
    ) -> Result<Vec<T>> {
        let segments: Vec<&str> = resource.split('/').collect();
        let mut rows = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let mut asked = parameters.to_vec();
            asked.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
            let page: Page<T> = self.get(&segments, &asked).await?;
            rows.extend(page.data);
            cursor = page.next_cursor;
            if cursor.is_none() {
                return Ok(rows);
            }
        }
    }

    /// `segments` are encoded as they need to be.
    fn url(&self, segments: &[&str], parameters: Parameters<'_>) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        if !parameters.is_empty() {
            url.query_pairs_mut().extend_pairs(parameters);
        }
        url
    }

    fn request(&self, method: Method, segments: &[&str], parameters: Parameters<'_>) -> RequestBuilder {
        let below: Vec<&str> = ["api", "v1"].iter().chain(segments).copied().collect();
        self.http.request(method, self.url(&below, parameters)).header("x-api-key", self.key.clone())
    }

    async fn get<T: DeserializeOwned>(&self, segments: &[&str], parameters: Parameters<'_>) -> Result<T> {
        read(self.send(self.request(Method::GET, segments, parameters)).await?).await
    }

    /// Without a body if `body` is null.
    async fn post<T: DeserializeOwned>(
        &self,
        segments: &[&str],
        parameters: Parameters<'_>,
        body: &impl Serialize,
    ) -> Result<T> {
        let request = self.request(Method::POST, segments, parameters);
        let body = serde_json::to_value(body)
            .map_err(|error| ClientError::Setup(format!("the body cannot be written: {error}")))?;
        let request = if body.is_null() { request } else { request.json(&body) };
        read(self.send(request).await?).await
    }

    async fn delete(&self, segments: &[&str]) -> Result<()> {
        self.send(self.request(Method::DELETE, segments, &[])).await.map(drop)
    }

    /// An answer that is a success; any other is the error that it tells of.
    async fn send(&self, request: RequestBuilder) -> Result<Response> {
        let response = request.send().await.map_err(ClientError::Unreachable)?;
        if response.status().is_success() {
            return Ok(response);
        }
        Err(refusal(response).await?)
    }
}

/// The error that an answer other than a success tells of.
async fn refusal(response: Response) -> Result<ClientError> {
    let (url, status) = (response.url().clone(), response.status().as_u16());
    let body = response.bytes().await.map_err(ClientError::Unreachable)?;
    Ok(match serde_json::from_slice::<Problem>(&body) {
        Ok(problem) => ClientError::Refused(Box::new(problem)),
        Err(_) => unexpected(url, status, &body),
    })
}

async fn read<T: DeserializeOwned>(response: Response) -> Result<T> {
    let (url, status) = (response.url().clone(), response.status().as_u16());
    let body = response.bytes().await.map_err(ClientError::Unreachable)?;
    serde_json::from_slice(&body).map_err(|_| unexpected(url, status, &body))
}

fn unexpected(url: Url, status: u16, body: &[u8]) -> ClientError {
    let body: String = String::from_utf8_lossy(body).chars().take(200).collect();
    ClientError::Unexpected { url, status, body }
}
