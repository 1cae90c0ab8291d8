//! The audit log: every change through the API is recorded together with the change.
//!
//! One layer around all handlers does it, so none can be forgotten: it knows the key, the operation, the
//! resource in the path and the answer. The store writes the entry in the transaction of the handler's first
//! change (`store::recording`), so that neither a kill nor a caller that disconnects leaves a change without
//! its entry.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Method, StatusCode, Uri};
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde_json::Value;
use tokio::time::sleep;
use tracing::error;
use utoipa::IntoParams;

use super::auth::Caller;
use super::page::{self, Paging};
use super::problem::Result;
use super::query::{And, Parameters, Query};
use super::serve::Peer;
use super::{ApiState, body, idempotency, openapi};
use store::{AuditFilter, Change, ChangeAnswer, KeptAnswer, Recording, RequestKey, StoreError};
use vocabulary::api::audit::{AuditEntry, ChangeMethod};
use vocabulary::api::problem::FieldError;
use vocabulary::api::text::Bound;
use vocabulary::api::{Order, Page};
use vocabulary::clock::Timestamp;
use vocabulary::id::ApiKeyId;
use vocabulary::log_limit::limited;

const LIST: &str = "audit";

/// Pause between tries to record an answer while the store fails.
const TRY_AGAIN: Duration = Duration::from_millis(500);

/// The largest answer of a change.
const ANSWER_MAX_BYTES: usize = 64 << 20;

/// The most names of fields that are kept; no body has so many.
const FIELDS_MAX: usize = 100;

/// How the audit log is listed.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct AuditQuery {
    /// The id of the API key that requested it.
    #[param(min_length = 1, max_length = 64)]
    key_id: Option<String>,
    /// The operation: an `operationId` of this document.
    #[param(min_length = 1, max_length = 100, example = "webhooks_patch")]
    action: Option<String>,
    /// The request's method.
    #[param(inline)]
    method: Option<ChangeMethod>,
    /// The kind of resource, as paths spell it.
    #[param(min_length = 1, max_length = 100, example = "webhooks")]
    resource: Option<String>,
    /// The resource; also one that the change has created.
    #[param(min_length = 1, max_length = 200)]
    resource_id: Option<String>,
    /// The customer it belongs to.
    #[param(min_length = 1, max_length = 200)]
    owner_id: Option<String>,
    /// It was requested then or later.
    #[param(inline, value_type = Option<Bound>)]
    since: Option<Timestamp>,
    /// It was requested before that.
    #[param(inline, value_type = Option<Bound>)]
    until: Option<Timestamp>,
}

impl Parameters for AuditQuery {
    fn wrong(given: &Value, errors: &mut Vec<FieldError>) {
        page::wrong_cursor(LIST, Order::Desc, given, errors);
    }
}

/// List the changes
///
/// Every request that may change something (POST, PUT, PATCH, DELETE) has an entry, unless it was refused or
/// failed before anything was changed. The entry is written in one transaction with the change, and completed
/// before the answer is sent. `chargehook keys create` and `revoke` have entries too. A repeated request that
/// gets the answer of its `Idempotency-Key` changes nothing and has none. Values are never kept. A key that
/// is bound to an owner sees changes to the owner's resources.
#[utoipa::path(get, path = "/audit", tag = "audit", params(AuditQuery, Paging),
    responses((status = 200, body = Page<AuditEntry>)), security(("api_key" = ["admin"])))]
pub(super) async fn list(
    State(state): State<Arc<ApiState>>,
    caller: Caller,
    Query(And(query, paging)): Query<And<AuditQuery, Paging>>,
) -> Result<Json<Page<AuditEntry>>> {
    let slice = paging.slice(LIST)?;
    let owner_id = caller.owner_filter(query.owner_id)?;
    let key_id = match query.key_id.map(|id| id.parse::<ApiKeyId>()).transpose() {
        Ok(key_id) => key_id,
        // It is no id of a key, so nothing was requested with it.
        Err(_) => return Ok(Json(Page { data: Vec::new(), next_cursor: None })),
    };
    let filter = AuditFilter {
        key_id,
        action: query.action,
        method: query.method,
        resource: query.resource,
        resource_id: query.resource_id,
        owner_id,
        since: query.since,
        until: query.until,
    };
    let listed = state.store.audit(filter, slice.clone()).await?;
    Ok(Json(page::page(LIST, &slice, listed, |entry| entry)))
}

/// Records a request that may change something. It runs after `authenticate`, and not for answers of an
/// idempotency key.
pub(super) async fn record(
    State(state): State<Arc<ApiState>>,
    matched: Option<MatchedPath>,
    request: Request,
    next: Next,
) -> Response {
    let change = matched.and_then(|route| asked(route.as_str(), &request));
    match change {
        Some(change) => run(&state, change, request, next).await.unwrap_or_else(IntoResponse::into_response),
        None => next.run(request).await,
    }
}

async fn run(state: &Arc<ApiState>, change: Change, request: Request, next: Next) -> Result<Response> {
    let (mut parts, content) = request.into_parts();
    let content = body::arrived(content, &state.limits).await?;
    let fields = content.clone();
    let (names_one, method) = (change.resource_id.clone(), change.method);
    let recording = Recording::of(change, parts.extensions.remove::<RequestKey>());
    let handler = next.run(Request::from_parts(parts, Body::from(content)));
    let response = state.store.recorded(recording.clone(), handler).await;
    // A request that was refused, or failed, before it changed anything has no entry.
    if !response.status().is_success() && !recording.is_on_record().await {
        return Ok(response);
    }
    let (parts, content) = response.into_parts();
    let content = body::read(content, ANSWER_MAX_BYTES).await?;
    let mut answer =
        ChangeAnswer { status: parts.status.as_u16(), fields: names(&fields), ..ChangeAnswer::default() };
    let shown = Shown::read(&parts.headers, &content);
    match names_one {
        None if parts.status == StatusCode::CREATED => {
            answer.resource_id = shown.text("id").or_else(|| shown.text("station_id"));
        }
        None => answer.result_id = shown.text("id"),
        Some(named) => answer.result_id = shown.text("id").filter(|id| *id != named),
    }
    // The answer of an action may show another resource, with its own owner.
    if answer.resource_id.is_some() || matches!(method, ChangeMethod::Put | ChangeMethod::Patch) {
        answer.owner_id = shown.text("owner_id");
    }
    let kept = idempotency::kept(&parts, &content);
    settle(state, recording, answer, kept).await;
    Ok(Response::from_parts(parts, Body::from(content)))
}

/// Records the answer of a request. If the store fails, the change was still made, so the answer is sent; its
/// idempotency key stays taken, and the record is retried until it is written.
async fn settle(
    state: &Arc<ApiState>,
    recording: Arc<Recording>,
    answer: ChangeAnswer,
    kept: Option<KeptAnswer>,
) {
    let written = state.store.settle_request(recording.clone(), answer.clone(), kept.clone()).await;
    let Err(cause) = written else { return };
    limited!(error: "how a change was answered could not be written yet: {cause}");
    let state = state.clone();
    tokio::spawn(async move {
        loop {
            tokio::select! {
                () = sleep(TRY_AGAIN) => {}
                () = state.stop.cancelled() => return,
            }
            let written = state.store.settle_request(recording.clone(), answer.clone(), kept.clone()).await;
            if let Ok(()) | Err(StoreError::Closed) = written {
                return;
            }
        }
    });
}

/// The change that a request makes; `None` if it changes nothing, or is no operation of the API.
fn asked(route: &str, request: &Request) -> Option<Change> {
    let method = match *request.method() {
        Method::POST => ChangeMethod::Post,
        Method::PUT => ChangeMethod::Put,
        Method::PATCH => ChangeMethod::Patch,
        Method::DELETE => ChangeMethod::Delete,
        _ => return None,
    };
    let action = openapi::operation_id(request.method(), route)?;
    let caller = request.extensions().get::<Caller>()?;
    let path = request.uri().path();
    let resource = route.strip_prefix(super::BASE)?.split('/').nth(1)?;
    let variable = route.split('/').zip(path.split('/')).find(|(segment, _)| segment.starts_with('{'));
    let resource_id = variable.map(|(_, given)| percent_decode_str(given).decode_utf8_lossy().into_owned());
    Some(Change {
        requested_by: caller.requested_by(),
        remote_addr: request.extensions().get::<Peer>().map(|peer| peer.0.to_string()),
        action: action.to_owned(),
        method,
        path: path.to_owned(),
        resource: resource.to_owned(),
        resource_id,
        owner_id: caller.owner_id.clone().or_else(|| named_owner(request.uri())),
    })
}

/// The owner in a query: of an id tag, or of deliveries that are sent again.
fn named_owner(uri: &Uri) -> Option<String> {
    let mut query = url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
    query.find(|(name, _)| name == "owner_id").map(|(_, owner)| owner.into_owned())
}

/// The names of the members of a body.
fn names(content: &Bytes) -> Vec<String> {
    match serde_json::from_slice(content) {
        Ok(Value::Object(members)) => members.into_iter().map(|(name, _)| name).take(FIELDS_MAX).collect(),
        _ => Vec::new(),
    }
}

/// The object of an answer.
struct Shown(Value);

impl Shown {
    fn read(headers: &HeaderMap, content: &Bytes) -> Self {
        let is_json =
            headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
        Self(is_json.then(|| serde_json::from_slice(content).ok()).flatten().unwrap_or_default())
    }

    /// A member that is an id.
    fn text(&self, name: &str) -> Option<String> {
        match &self.0[name] {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        }
    }
}
