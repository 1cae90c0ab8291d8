//! The typed client of the REST API, for the command line, the demo and the tests.
//!
//! Its methods are in a file per resource. Each returns a [`Call`], which is made when it is awaited. Every
//! call fails with a [`ClientError`]; [`ClientError::Refused`] is 404 if the resource does not exist, and 422
//! with every wrong field or parameter. The methods name only further errors.

mod access;
mod bulk_commands;
mod call;
mod commands;
mod csv;
mod deliveries;
mod events;
mod follower;
mod id_tags;
mod nodes;
mod overview;
mod replays;
mod reports;
mod reservations;
mod stations;
mod stream;
mod transactions;
mod transport;
mod webhooks;

use std::time::Duration;

use axum::Router;
use http::Extensions;
use reqwest::header::ACCEPT;
use reqwest::{Certificate, Method, RequestBuilder, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use url::Url;

pub use call::Call;
pub use csv::CsvFile;
pub use follower::{Follower, FollowerEvent};
pub use stream::Streamed;
use transport::Transport;

use vocabulary::api::Page;
use vocabulary::api::access::Health;
use vocabulary::api::problem::Problem;

/// The environment variable that tells programs where the gateway is. No setting of the gateway's own.
pub const URL_VARIABLE: &str = "CHARGEHOOK_URL";

/// Longer than the longest request that a call makes the gateway send.
const TIMEOUT: Duration = Duration::from_secs(120);

/// Why a call has failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The base URL is no `http` or `https` URL, or the key cannot be sent in a header.
    #[error("{0}")]
    Setup(String),
    /// The gateway refused, and said why.
    #[error("{0}")]
    Refused(Box<Problem>),
    /// The answer does not come from a gateway.
    #[error("{url} answered {status}, and not as a chargehook gateway would: {body}")]
    Unexpected {
        /// The URL of the request.
        url: Url,
        /// The HTTP status.
        status: u16,
        /// The start of the body.
        body: String,
    },
    /// No answer came.
    #[error("no answer from the gateway: {}", causes(.0))]
    Unreachable(#[source] reqwest::Error),
    /// A stream was silent for longer than a live one ever is.
    #[error("nothing more is heard from the gateway")]
    Silent,
}

impl ClientError {
    /// The HTTP status, if there was an answer.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Refused(problem) => Some(problem.status),
            Self::Unexpected { status, .. } => Some(*status),
            Self::Setup(_) | Self::Unreachable(_) | Self::Silent => None,
        }
    }
}

/// The last cause says most ("Connection refused"), the first one names the URL.
fn causes(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut last = std::error::Error::source(error);
    while let Some(next) = last.and_then(std::error::Error::source) {
        last = Some(next);
    }
    if let Some(last) = last {
        text.push_str(&format!(": {last}"));
    }
    text
}

/// A result whose error is a [`ClientError`].
pub type Result<T> = std::result::Result<T, ClientError>;

/// Parameters of a query string, in order.
pub type Parameters<'a> = &'a [(&'a str, &'a str)];

/// A client of one gateway with one API key. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    transport: Transport,
    base: Url,
    /// `None`: whoever is asked knows in another way who calls.
    key: Option<reqwest::header::HeaderValue>,
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
        Self::trusting(base, key, None)
    }

    /// Like [`Client::new`], and trusts these authorities (PEM) beside the system's.
    ///
    /// # Errors
    /// As [`Client::new`], and if the authorities cannot be read.
    pub fn trusting(base: &str, key: &str, authorities_pem: Option<&[u8]>) -> Result<Self> {
        let setup =
            |what: &str, error: reqwest::Error| ClientError::Setup(format!("{what}: {}", causes(&error)));
        let base = Url::parse(base).map_err(|error| ClientError::Setup(format!("{base}: {error}")))?;
        if !matches!(base.scheme(), "http" | "https") || base.cannot_be_a_base() {
            return Err(ClientError::Setup(format!("{base} is no http:// or https:// URL")));
        }
        let mut key = reqwest::header::HeaderValue::try_from(key)
            .map_err(|_| ClientError::Setup("the API key holds characters that cannot be sent".into()))?;
        key.set_sensitive(true);
        let authorities = authorities_pem.map(Certificate::from_pem_bundle).transpose();
        let authorities =
            authorities.map_err(|error| setup("the authorities are no certificates in PEM", error))?;
        // One TLS backend for all. If another part of the process has chosen one before, that stays.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let builder = || {
            reqwest::Client::builder()
                .timeout(TIMEOUT)
                // Requests go to the gateway directly, without a proxy of the environment.
                .no_proxy()
                // A gateway never redirects, and another server must not get the key.
                .redirect(reqwest::redirect::Policy::none())
                .user_agent(concat!("chargehook/", env!("CARGO_PKG_VERSION")))
        };
        let http = match (base.scheme(), authorities) {
            // Plain HTTP needs no certificates, and a container may have none.
            ("http", _) => builder().tls_certs_only([]).build(),
            (_, None) => builder().build(),
            (_, Some(authorities)) => builder()
                .tls_certs_merge(authorities.clone())
                .build()
                .or_else(|_| builder().tls_certs_only(authorities).build()),
        };
        let http = http.map_err(|error| setup("no HTTP client", error))?;
        Ok(Self { http, transport: Transport::Network, base, key: Some(key) })
    }

    /// A client of an API in this process, without a key: [`Client::carrying`] says who calls.
    ///
    /// # Errors
    /// [`ClientError::Setup`] if there is no HTTP client.
    pub fn in_process(api: Router) -> Result<Self> {
        let client = Self::new("http://gateway.internal/", "")?;
        Ok(Self { transport: Transport::InProcess(api, Extensions::new()), key: None, ..client })
    }

    /// The same client, whose requests carry these extensions. They reach an API in this process only.
    pub fn carrying(&self, extensions: Extensions) -> Self {
        let transport = match &self.transport {
            Transport::Network => Transport::Network,
            Transport::InProcess(api, _) => Transport::InProcess(api.clone(), extensions),
        };
        Self { transport, ..self.clone() }
    }

    /// Whether the gateway can serve. A gateway that is not ready is an answer, not an error.
    ///
    /// # Errors
    /// If there is no answer, or not from a gateway.
    pub async fn ready(&self) -> Result<Health> {
        let url = self.url(&["readyz"], &[]);
        let response = self.transport.send(self.http.get(url.clone())).await?;
        let status = response.status().as_u16();
        let body = response.bytes().await.map_err(ClientError::Unreachable)?;
        serde_json::from_slice(&body).map_err(|_| unexpected(url, status, &body))
    }

    /// Every row of a list, page by page. `resource` is its path below `/api/v1`.
    pub async fn all<T: DeserializeOwned + 'static>(
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

    /// A list with all of its pages as a CSV, which is read as it comes. `resource` is its path below
    /// `/api/v1`.
    pub async fn csv(&self, resource: &str, parameters: Parameters<'_>) -> Result<Response> {
        let segments: Vec<&str> = resource.split('/').collect();
        let request = self.request(Method::GET, &segments, parameters).header(ACCEPT, "text/csv");
        let response = self.transport.send(request.timeout(stream::WITHOUT_END)).await?;
        if response.status().is_success() { Ok(response) } else { Err(refusal(response).await?) }
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
        let request = self.http.request(method, self.url(&below, parameters));
        match &self.key {
            Some(key) => request.header("x-api-key", key.clone()),
            None => request,
        }
    }

    fn call<T>(&self, request: RequestBuilder) -> Call<T> {
        Call::new(request, self.transport.clone())
    }

    fn get<T>(&self, segments: &[&str], parameters: Parameters<'_>) -> Call<T> {
        self.call(self.request(Method::GET, segments, parameters))
    }

    /// A POST without a body.
    fn ask<T>(&self, segments: &[&str], parameters: Parameters<'_>) -> Call<T> {
        self.call(self.request(Method::POST, segments, parameters))
    }

    fn post<T>(&self, segments: &[&str], body: &impl Serialize) -> Call<T> {
        self.call(self.request(Method::POST, segments, &[]).json(body))
    }

    fn patch<T>(&self, segments: &[&str], body: &impl Serialize) -> Call<T> {
        self.call(self.request(Method::PATCH, segments, &[]).json(body))
    }

    fn delete(&self, segments: &[&str]) -> Call<()> {
        self.call(self.request(Method::DELETE, segments, &[]))
    }
}

/// A flag of a query string.
fn flag(set: bool) -> &'static str {
    if set { "true" } else { "false" }
}

/// The error of an answer that is no success.
async fn refusal(response: Response) -> Result<ClientError> {
    let (url, status) = (response.url().clone(), response.status().as_u16());
    let body = response.bytes().await.map_err(ClientError::Unreachable)?;
    Ok(match serde_json::from_slice::<Problem>(&body) {
        Ok(problem) => ClientError::Refused(Box::new(problem)),
        Err(_) => unexpected(url, status, &body),
    })
}

fn unexpected(url: Url, status: u16, body: &[u8]) -> ClientError {
    let body: String = String::from_utf8_lossy(body).chars().take(200).collect();
    ClientError::Unexpected { url, status, body }
}
