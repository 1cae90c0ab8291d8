//! `Idempotency-Key`: a POST that is sent again gets the first one's answer again.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use sha2::{Digest, Sha256};

use super::auth::Caller;
use super::problem::Result;
use super::{ApiState, body};
use crate::api::problem::Problem;
use crate::store::{KeptAnswer, RequestStanding};

const HEADER: &str = "idempotency-key";

/// The longest key, in characters.
const KEY_MAX_CHARS: usize = 255;

/// The largest answer that is kept.
const ANSWER_MAX_BYTES: usize = 8 << 20;

/// Headers of an answer that are kept with it.
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
    let caller = request.extensions().get::<Caller>().cloned().ok_or_else(Problem::internal)?;
    let (parts, content) = request.into_parts();
    let content = body::arrived(content, &state.config).await?;
    let hash: [u8; 32] = Sha256::new()
        .chain_update(parts.uri.path_and_query().map_or("", |path| path.as_str()))
        .chain_update([0])
        .chain_update(&content)
        .finalize()
        .into();
    match state.store.begin_request(caller.key_id, key.clone(), hash).await? {
        RequestStanding::First => {}
        RequestStanding::Running => {
            return Err(Problem::conflict("a request with this Idempotency-Key is still running"));
        }
        RequestStanding::Other => {
            let message = "was used for another request within 24 hours: take a new key";
            return Err(Problem::invalid_field("Idempotency-Key", message));
        }
        RequestStanding::Answered(answer) => return Ok(again(&caller, &key, answer)),
    }
    // To the end, also if the caller hangs up: the answer must be there when they ask again.
    let (store, key_id, name) = (state.store.clone(), caller.key_id, key.clone());
    let running = tokio::spawn(async move {
        let response = next.run(Request::from_parts(parts, Body::from(content))).await;
        keep(&state, &caller, key, response).await
    });
    match running.await {
        Ok(answer) => answer,
        Err(_) => {
            // It panicked, so nobody will answer it: let it be tried again.
            store.forget_request(key_id, name).await?;
            Err(Problem::internal())
        }
    }
}

fn read_key(headers: &HeaderMap) -> Result<String> {
    let key = headers.get(HEADER).and_then(|value| value.to_str().ok()).map(str::trim).unwrap_or_default();
    match key.chars().count() {
        1..=KEY_MAX_CHARS => Ok(key.to_owned()),
        _ => Err(Problem::invalid_field(
            "Idempotency-Key",
            format!("must have 1 to {KEY_MAX_CHARS} visible characters"),
        )),
    }
}

/// Stores an answer and passes it on; our own failures are not answers, so those may be tried again. A 504 is
/// one: it tells of a command that may have been obeyed, and must not be sent once more.
async fn keep(state: &ApiState, caller: &Caller, key: String, response: Response) -> Result<Response> {
    let (parts, content) = response.into_parts();
    if parts.status.is_server_error() && parts.status != StatusCode::GATEWAY_TIMEOUT {
        state.store.forget_request(caller.key_id, key).await?;
        return Ok(Response::from_parts(parts, content));
    }
    let content = body::read(content, ANSWER_MAX_BYTES).await?;
    let headers = KEPT_HEADERS
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), parts.headers.get(*name)?.to_str().ok()?.to_owned())))
        .collect();
    let sealed = seal(caller, &key, &content);
    let answer = KeptAnswer { status: parts.status.as_u16(), headers, body: sealed };
    state.store.answer_request(caller.key_id, key, answer).await?;
    Ok(Response::from_parts(parts, Body::from(content)))
}

fn again(caller: &Caller, key: &str, answer: KeptAnswer) -> Response {
    let content = seal(caller, key, &answer.body);
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK);
    let mut response = (status, content).into_response();
    response.headers_mut().remove(CONTENT_TYPE);
    for (name, value) in answer.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            response.headers_mut().insert(name, value);
        }
    }
    response.headers_mut().insert("idempotent-replayed", HeaderValue::from_static("true"));
    response
}

/// Answers may hold secrets that the store otherwise keeps as hashes only (a new API key), so they are
/// stored under a key stream that follows from the caller's key, which the store does not have. Applying
/// it twice gives the content back. An idempotency key seals one answer only, so no stream is used twice.
fn seal(caller: &Caller, key: &str, content: &[u8]) -> Bytes {
    let mut sealed = Vec::with_capacity(content.len());
    for (counter, block) in content.chunks(32).enumerate() {
        let mut mac =
            <Hmac<Sha256> as KeyInit>::new_from_slice(&caller.seal).expect("HMAC takes keys of every length");
        mac.update(&(counter as u64).to_be_bytes());
        mac.update(key.as_bytes());
        let stream = mac.finalize().into_bytes();
        sealed.extend(block.iter().zip(stream).map(|(byte, mask)| byte ^ mask));
    }
    sealed.into()
}
