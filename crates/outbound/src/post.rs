//! One POST → one [`Outcome`].

use std::cell::Cell;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use reqwest::{Client, ClientBuilder};
use tower::util::MapRequestLayer;
use url::Url;

use super::brokers::Brokers;
use super::destination::{self, Guard};
use super::dial::Dialer;
use super::lookup::Lookups;
use super::outcome::{AttemptVerdict, Outcome};
use super::resolve::GuardedResolver;
use super::retry_after::RetryAfter;
use super::secret_mask::SecretMask;
use super::trust;

mod failure;
#[cfg(test)]
mod tests;

/// How much of an answer's body is kept, in bytes.
pub const KEPT_BODY_BYTES: usize = 1024;
/// How much of an answer's body is read, in bytes, so that the connection can be used again.
pub const READ_BODY_BYTES: usize = 64 * 1024;
/// How much of one header's value is kept, in bytes.
pub const KEPT_HEADER_BYTES: usize = 512;

/// The answer's headers that are kept.
const KEPT_HEADERS: [&str; 7] =
    ["content-type", "content-length", "date", "location", "retry-after", "server", "www-authenticate"];

/// The addresses of a name share this time, so that a silent one leaves time for the next.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(6);
/// Shorter than most servers keep an idle connection, so that a stale one is rarely met.
const IDLE_CONNECTION_TIMEOUT: Duration = Duration::from_secs(50);
/// Idle connections kept per scheme, host and port.
const IDLE_CONNECTIONS_PER_HOST: usize = 32;

tokio::task_local! {
    /// Whether the attempt in this task has opened a connection. If not, it used an idle one.
    static DIALED: Cell<bool>;
}

/// Why no poster could be made.
#[derive(Debug, thiserror::Error)]
pub enum PosterError {
    /// `delivery.extra_ca` holds no certificates.
    #[error("delivery.extra_ca is no list of PEM certificates: {0}")]
    ExtraCa(String),
    /// The HTTP client could not be set up.
    #[error("the HTTP client cannot be set up: {0}")]
    Client(reqwest::Error),
}

/// A request, and how long it may take.
#[derive(Clone)]
pub struct Request {
    /// Where to.
    pub url: Url,
    /// Every header but `Host` and `Content-Length`.
    pub headers: HeaderMap,
    /// The body, as it was signed.
    pub body: Bytes,
    /// How long the attempt may take, from its start, name look-up included.
    pub timeout: Duration,
    /// A `secret_value` is among the headers: over plain HTTP it is sent to allowed networks only.
    pub carries_secret: bool,
}

impl fmt::Debug for Request {
    /// Its URL and its headers may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request").field("to", &self.url.host_str()).finish_non_exhaustive()
    }
}

/// An answer that was read to its end.
#[derive(Debug)]
pub struct WholeAnswer {
    /// Its status.
    pub status: u16,
    /// Its body.
    pub body: Vec<u8>,
}

/// Sends requests. Cheap to clone; clones share their idle connections.
#[derive(Clone)]
pub struct Poster {
    guard: Arc<Guard>,
    any: Connections,
    /// For unencrypted secrets: connects to allowed networks only, and shares no connection with `any`.
    allowed_only: Connections,
    brokers: Brokers,
}

#[derive(Clone)]
struct Connections {
    pooled: Client,
    /// Never reuses a connection. It is for the second try after an idle one was dead.
    fresh: Client,
}

impl Connections {
    fn new(resolver: &GuardedResolver, with_roots: &dyn Fn() -> ClientBuilder) -> reqwest::Result<Self> {
        let build = |idle_connections| {
            with_roots()
                .no_proxy()
                .redirect(reqwest::redirect::Policy::none())
                .retry(reqwest::retry::never())
                .dns_resolver(resolver.clone())
                .connect_timeout(CONNECT_TIMEOUT)
                .pool_idle_timeout(IDLE_CONNECTION_TIMEOUT)
                .pool_max_idle_per_host(idle_connections)
                .tcp_nodelay(true)
                .referer(false)
                .connector_layer(MapRequestLayer::new(|request| {
                    // The client connects within the task of the request, or in the background for no
                    // request.
                    let _ = DIALED.try_with(|dialed| dialed.set(true));
                    request
                }))
                .build()
        };
        Ok(Self { pooled: build(IDLE_CONNECTIONS_PER_HOST)?, fresh: build(0)? })
    }
}

impl Poster {
    /// A poster that connects only where `guard` permits it. `extra_ca_pem` adds roots to the system's.
    ///
    /// # Errors
    /// If the extra roots cannot be read, or the HTTP client cannot be set up.
    pub fn new(guard: Guard, extra_ca_pem: Option<&[u8]>) -> Result<Self, PosterError> {
        // One TLS backend for all. If another part of the process has chosen one before, that stays.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let extra = trust::roots(extra_ca_pem.unwrap_or_default()).map_err(PosterError::ExtraCa)?;
        let guard = Arc::new(guard);
        let resolver =
            GuardedResolver { lookups: Lookups::default(), guard: guard.clone(), allowed_only: false };
        let no_roots = || Client::builder().tls_certs_only([]);
        let tls = trust::client_config(&extra);
        let dialer = Dialer::new(guard.clone(), resolver.lookups.clone(), tls.as_ref().ok().cloned());
        let any = match tls {
            Ok(tls) => {
                Connections::new(&resolver, &|| Client::builder().tls_backend_preconfigured(tls.clone()))
            }
            Err(error) => {
                // A container without any certificates must still reach receivers over plain HTTP.
                tracing::warn!(
                    "https:// endpoints cannot be verified, deliveries to them will fail: install the system's CA \
                     certificates or set delivery.extra_ca ({error})"
                );
                Connections::new(&resolver, &no_roots)
            }
        };
        let any = any.map_err(PosterError::Client)?;
        // Plain HTTP only, so it needs no roots.
        let allowed_resolver = GuardedResolver { allowed_only: true, ..resolver };
        let allowed_only = Connections::new(&allowed_resolver, &no_roots).map_err(PosterError::Client)?;
        Ok(Self { guard, any, allowed_only, brokers: Brokers::new(dialer) })
    }

    /// The guard that every request passes.
    pub fn guard(&self) -> &Guard {
        &self.guard
    }

    /// The brokers that messages are published to, by the same guard.
    pub fn brokers(&self) -> &Brokers {
        &self.brokers
    }

    /// Makes one attempt within its timeout. It never fails: an error is an outcome.
    ///
    /// A 2xx with complete headers in time is a success, whatever happens to the body. If the receiver had
    /// closed the idle connection that was used, a second try follows at once.
    pub async fn post(&self, request: Request) -> Outcome {
        let start = Instant::now();
        let deadline = tokio::time::Instant::now() + request.timeout;
        let secrets = SecretMask::of(&request.headers);
        let (mut response, mut outcome) = match self.answered(&request, start, deadline).await {
            Ok(answered) => answered,
            Err(outcome) => return outcome,
        };
        let mut body = Vec::new();
        // The deadline ends a trickling body; the verdict stands.
        let _ = tokio::time::timeout_at(deadline, read_body(&mut response, &mut body)).await;
        outcome.response_body = Some(safe_text(&secrets.masked(&body)));
        outcome
    }

    /// Makes one attempt and returns the status and the body, of which at most `body_max_bytes` are read. The
    /// whole answer has to come before the request's timeout.
    ///
    /// # Errors
    /// Why there is no whole answer.
    pub async fn ask(&self, request: Request, body_max_bytes: usize) -> Result<WholeAnswer, Outcome> {
        let start = Instant::now();
        let deadline = tokio::time::Instant::now() + request.timeout;
        let (mut response, mut outcome) = self.answered(&request, start, deadline).await?;
        let status = response.status().as_u16();
        let mut body = Vec::new();
        let whole = async {
            while let Some(chunk) = response.chunk().await? {
                let room = body_max_bytes - body.len();
                body.extend_from_slice(&chunk[..chunk.len().min(room)]);
                if body.len() == body_max_bytes {
                    break;
                }
            }
            Ok(())
        };
        match tokio::time::timeout_at(deadline, whole).await {
            Ok(Ok(())) => Ok(WholeAnswer { status, body }),
            Ok(Err(error)) => {
                outcome.verdict = failure::verdict(&request.url, &error);
                Err(outcome)
            }
            Err(_) => Err(without_answer(AttemptVerdict::TimedOut, start, outcome.reconnected)),
        }
    }

    /// An answer with complete headers and its outcome, or why there is none.
    async fn answered(
        &self,
        request: &Request,
        start: Instant,
        deadline: tokio::time::Instant,
    ) -> Result<(reqwest::Response, Outcome), Outcome> {
        if let Err(refusal) = self.guard.check_url(&request.url, request.carries_secret) {
            return Err(without_answer(
                AttemptVerdict::Forbidden { message: refusal.to_string() },
                start,
                false,
            ));
        }
        let reconnected = AtomicBool::new(false);
        let answer = tokio::time::timeout_at(deadline, self.send(request, &reconnected)).await;
        let reconnected = reconnected.load(Relaxed);
        match answer {
            Err(_) => Err(without_answer(AttemptVerdict::TimedOut, start, reconnected)),
            Ok(Err(error)) => Err(without_answer(failure::verdict(&request.url, &error), start, reconnected)),
            Ok(Ok(response)) => {
                let outcome = Outcome {
                    verdict: judge(response.status(), response.headers()),
                    duration: start.elapsed(),
                    response_headers: kept_headers(response.headers(), &SecretMask::of(&request.headers)),
                    response_body: None,
                    reconnected,
                };
                Ok((response, outcome))
            }
        }
    }

    async fn send(&self, request: &Request, reconnected: &AtomicBool) -> reqwest::Result<reqwest::Response> {
        let connections = match destination::in_clear(&request.url, request.carries_secret) {
            true => &self.allowed_only,
            false => &self.any,
        };
        let attempt = |client: &Client| {
            client
                .post(request.url.clone())
                .headers(request.headers.clone())
                .body(request.body.clone())
                .send()
        };
        let (answer, dialed) = DIALED
            .scope(Cell::new(false), async {
                let answer = attempt(&connections.pooled).await;
                (answer, DIALED.with(Cell::get))
            })
            .await;
        match answer {
            Err(error) if !dialed && failure::is_broken_connection(&error) => {
                reconnected.store(true, Relaxed);
                attempt(&connections.fresh).await
            }
            answer => answer,
        }
    }
}

fn without_answer(verdict: AttemptVerdict, start: Instant, reconnected: bool) -> Outcome {
    Outcome {
        verdict,
        duration: start.elapsed(),
        response_headers: Vec::new(),
        response_body: None,
        reconnected,
    }
}

fn judge(status: StatusCode, headers: &HeaderMap) -> AttemptVerdict {
    if status.is_success() {
        return AttemptVerdict::Delivered { status: status.as_u16() };
    }
    let asked_to_wait = matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
    let retry_after = headers
        .get(http::header::RETRY_AFTER)
        .filter(|_| asked_to_wait)
        .and_then(|value| RetryAfter::parse(value.to_str().ok()?));
    AttemptVerdict::Refused { status: status.as_u16(), retry_after }
}

fn kept_headers(headers: &HeaderMap, secrets: &SecretMask) -> Vec<(String, String)> {
    KEPT_HEADERS
        .iter()
        .filter_map(|name| {
            let value = headers.get(*name)?.as_bytes();
            let kept = secrets.masked(&value[..value.len().min(KEPT_HEADER_BYTES)]);
            Some(((*name).to_owned(), safe_text(&kept)))
        })
        .collect()
}

/// Reads up to [`READ_BODY_BYTES`] and keeps up to [`KEPT_BODY_BYTES`]. After a longer body the connection is
/// closed.
async fn read_body(response: &mut reqwest::Response, kept: &mut Vec<u8>) {
    let mut read = 0;
    while let Ok(Some(chunk)) = response.chunk().await {
        read += chunk.len();
        let room = KEPT_BODY_BYTES - kept.len();
        kept.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if read >= READ_BODY_BYTES {
            break;
        }
    }
}

/// Text that can be stored and shown. Invalid UTF-8 and control characters become U+FFFD; a character that
/// was cut at the end is dropped.
fn safe_text(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    let mut rest = bytes.len();
    for chunk in bytes.utf8_chunks() {
        rest -= chunk.valid().len() + chunk.invalid().len();
        text.extend(chunk.valid().chars().map(|c| match c {
            '\n' | '\r' | '\t' => c,
            c if c.is_control() => char::REPLACEMENT_CHARACTER,
            c => c,
        }));
        if let Err(error) = std::str::from_utf8(chunk.invalid()) {
            let cut_in_two = rest == 0 && error.error_len().is_none();
            text.extend((!cut_in_two).then_some(char::REPLACEMENT_CHARACTER));
        }
    }
    text
}
