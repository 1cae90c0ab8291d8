//! `Idempotency-Key`: a repeated POST gets the answer of the first one, if that has changed something. A POST
//! that was refused has changed nothing, so it is decided again, also with another body.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::response::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use sha2::{Digest, Sha256};

use super::auth::Caller;
use super::problem::{ErrorAnswer, Result};
use super::{ApiState, body};
use store::{KeptAnswer, RequestState};

const HEADER: &str = "idempotency-key";

/// The longest key, in characters.
const KEY_MAX_CHARS: usize = 255;

/// Headers that are kept with an answer.
const KEPT_HEADERS: [&str; 3] = ["content-type", "etag", "location"];

/// Runs a POST once per key; runs after `authenticate`.
pub(super) async fn replay(State(state): State<Arc<ApiState>>, request: Request, next: Next) -> Response {
    if request.method() != Method::POST || !request.headers().contains_key(HEADER) {
        return next.run(request).await;
    }
    match run_once(state, request, next).await {
        Ok(response) => response,
        Err(problem) => problem.into_response(),
    }
}

async fn run_once(state: Arc<ApiState>, request: Request, next: Next) -> Result<Response> {
    let key = read_key(request.headers())?;
    let caller = request.extensions().get::<Caller>().cloned().ok_or_else(ErrorAnswer::internal)?;
    let (mut parts, content) = request.into_parts();
    let content = body::arrived(content, &state.limits).await?;
    let hash: [u8; 32] = Sha256::new()
        .chain_update(parts.uri.path_and_query().map_or("", |path| path.as_str()))
        .chain_update([0])
        .chain_update(&content)
        .finalize()
        .into();
    let running = match state.store.begin_request(caller.key_id, key.clone(), hash).await? {
        RequestState::First(running) => running,
        RequestState::Running => {
            return Err(ErrorAnswer::conflict("a request with this Idempotency-Key is still running"));
        }
        RequestState::AnotherRequest => {
            let message = "was used for another request within 24 hours: take a new key";
            return Err(ErrorAnswer::invalid_field("Idempotency-Key", message));
        }
        RequestState::Answered(answer) => return Ok(again(answer)),
    };
    // The request runs to its end even if the caller disconnects, because the answer is needed when it is
    // repeated. [`super::audit`] keeps the answer together with its record.
    parts.extensions.insert(running);
    let request = Request::from_parts(parts, Body::from(content));
    match tokio::spawn(async move { next.run(request).await }).await {
        Ok(response) => Ok(response),
        Err(_) => {
            // It panicked and has no answer: it may be tried again.
            state.store.forget_request(caller.key_id, key).await?;
            Err(ErrorAnswer::internal())
        }
    }
}

fn read_key(headers: &HeaderMap) -> Result<String> {
    let key = headers.get(HEADER).and_then(|value| value.to_str().ok()).map(str::trim).unwrap_or_default();
    match key.chars().count() {
        1..=KEY_MAX_CHARS => Ok(key.to_owned()),
        _ => Err(ErrorAnswer::invalid_field(
            "Idempotency-Key",
            format!("must have 1 to {KEY_MAX_CHARS} visible characters"),
        )),
    }
}

/// Whether a request has changed something, or may have. A refusal or a failure of the gateway has not. A 504
/// means a command that may have been executed, and must not be sent again.
fn changed_something(status: StatusCode) -> bool {
    status.is_success() || status == StatusCode::GATEWAY_TIMEOUT
}

/// The part of an answer that is kept.
pub(super) fn kept(parts: &Parts, content: &Bytes) -> Option<KeptAnswer> {
    if !changed_something(parts.status) {
        return None;
    }
    let headers = KEPT_HEADERS
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), parts.headers.get(*name)?.to_str().ok()?.to_owned())))
        .collect();
    Some(KeptAnswer { status: parts.status.as_u16(), headers, body: content.clone() })
}

fn again(answer: KeptAnswer) -> Response {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK);
    let mut response = (status, answer.body).into_response();
    response.headers_mut().remove(CONTENT_TYPE);
    for (name, value) in answer.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            response.headers_mut().insert(name, value);
        }
    }
    response.headers_mut().insert("idempotent-replayed", HeaderValue::from_static("true"));
    response
}
