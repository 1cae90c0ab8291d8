//! Webhooks: created, listed, changed, deleted, tested and enabled; their secrets.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde::Deserialize;
use serde_json::Value;
use utoipa::IntoParams;

use super::ApiState;
use super::auth::Caller;
use super::body;
use super::page::{self, Paging};
use super::path::Id;
use super::problem::{ErrorAnswer, Result};
use super::query::{And, NoQuery, Parameters, Query};
use super::versions::{Preconditions, not_modified, tagged};
use super::webhook_input::Draft;
use crate::delivery::{self, Tested};
use outbound::signature::SigningSecret;
use store::{Changed, CreatedWebhook, StoredWebhook, WebhookFilter};
use vocabulary::api::problem::{FieldError, Problem};
use vocabulary::api::text::Bound;
use vocabulary::api::webhook::{Webhook, WebhookInput, WebhookPatch, WebhookSecrets, WebhookTest};
use vocabulary::api::{Order, Page};
use vocabulary::clock::Timestamp;
use vocabulary::event;
use vocabulary::units::Span;
use vocabulary::webhook::WebhookStatus;

pub(super) const LIST: &str = "webhooks";

/// How long a rotated secret still signs by default.
const OVERLAP: Duration = Duration::from_secs(24 * 3_600);

/// The longest time that a rotated secret may still sign.
const OVERLAP_MAX: Duration = Duration::from_secs(30 * 86_400);

/// How webhooks are listed.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct WebhooksQuery {
    /// The customer it belongs to.
    #[param(min_length = 1, max_length = 200)]
    owner_id: Option<String>,
    /// Its status.
    #[param(inline)]
    status: Option<WebhookStatus>,
    /// Part of its name or its URL; letter case does not matter.
    #[param(min_length = 1, max_length = 200)]
    q: Option<String>,
    /// It was created then or later.
    #[param(inline, value_type = Option<Bound>)]
    since: Option<Timestamp>,
    /// It was created before that.
    #[param(inline, value_type = Option<Bound>)]
    until: Option<Timestamp>,
}

impl Parameters for WebhooksQuery {
    fn wrong(given: &Value, errors: &mut Vec<FieldError>) {
        page::wrong_cursor(LIST, Order::Desc, given, errors);
    }
}

impl WebhooksQuery {
    /// The same as the store takes it: of what the caller may see.
    ///
    /// # Errors
    /// A 403 if another owner is named.
    pub(super) fn filter(self, caller: &Caller) -> Result<WebhookFilter> {
        let Self { owner_id, status, q, since, until } = self;
        Ok(WebhookFilter { owner_id: caller.owner_filter(owner_id)?, status, text: q, since, until })
    }
}

pub(super) fn unknown(id: impl std::fmt::Display) -> ErrorAnswer {
    ErrorAnswer::not_found(format_args!("webhook {id}"))
}

/// The webhook, if there is one that the caller may see.
pub(super) async fn visible(state: &ApiState, caller: &Caller, id: &str) -> Result<StoredWebhook> {
    let found = match id.parse() {
        Ok(number) => state.store.webhook(number).await?,
        Err(_) => None,
    };
    found.filter(|stored| caller.sees(stored.webhook.owner_id.as_deref())).ok_or_else(|| unknown(id))
}

fn generate_secret() -> Result<String> {
    SigningSecret::generate().map(|secret| secret.expose()).map_err(|error| {
        tracing::error!("a signing secret could not be made: {error}");
        ErrorAnswer::internal()
    })
}

/// Create a webhook
///
/// Only `url` is required. The answer shows `signing_secret`; later only `/webhooks/{id}/secret` does. With
/// `verify` a test event is sent first, and the webhook is only created if it is answered 2xx (otherwise
/// 400).
#[utoipa::path(post, path = "/webhooks", tag = "webhooks", request_body = WebhookInput,
    responses((status = 201, body = Webhook)), security(("api_key" = ["write"])))]
pub(super) async fn create(
    State(state): State<Arc<ApiState>>,
    caller: Caller,
    _: NoQuery,
    body::Json(body): body::Json,
) -> Result<Response> {
    let mut input = Draft::new(body)?.check(&state).await?;
    input.owner_id = caller.owner_for(input.owner_id)?;
    let secret = match input.signing_secret.take() {
        Some(given) => given,
        None => generate_secret()?,
    };
    input.signing_secret = Some(secret.clone());
    if input.verify {
        verify(&state, &input, &secret).await?;
    }
    let at_most = state.limits.get().webhooks;
    match state.store.create_webhook(input, at_most).await? {
        CreatedWebhook::Created(mut webhook) => {
            webhook.signing_secret = Some(secret);
            Ok(tagged(StatusCode::CREATED, webhook.updated_at, &webhook))
        }
        CreatedWebhook::LimitReached => Err(ErrorAnswer::conflict(format!(
            "there are {at_most} webhooks of this owner already (limits.webhooks): delete one"
        ))),
    }
}

/// Sends a test event to a webhook before it is created or changed.
async fn verify(state: &ApiState, input: &WebhookInput, kept_secret: &str) -> Result<()> {
    let secret: SigningSecret =
        input.signing_secret.as_deref().unwrap_or(kept_secret).parse().map_err(|error| {
            tracing::error!("a webhook's signing secret cannot be read: {error}");
            ErrorAnswer::internal()
        })?;
    let shown = show_test(delivery::verify(input, secret, &state.poster, &state.clock).await);
    match shown.error {
        None => Ok(()),
        Some(error) => Err(ErrorAnswer::not_verified(format!(
            "the test event was not accepted, so nothing was made or changed: {}",
            error.message
        ))),
    }
}

/// List the webhooks
#[utoipa::path(get, path = "/webhooks", tag = "webhooks", params(WebhooksQuery, Paging),
    responses((status = 200, body = Page<Webhook>)), security(("api_key" = ["read"])))]
pub(super) async fn list(
    State(state): State<Arc<ApiState>>,
    caller: Caller,
    Query(And(query, paging)): Query<And<WebhooksQuery, Paging>>,
) -> Result<Json<Page<Webhook>>> {
    let slice = paging.slice(LIST)?;
    let listed = state.store.webhooks(query.filter(&caller)?, slice.clone()).await?;
    Ok(Json(page::page(LIST, &slice, listed, |webhook| webhook)))
}

/// Get a webhook
#[utoipa::path(get, path = "/webhooks/{id}", tag = "webhooks", params(("id" = i64, Path, description = "The webhook")),
    responses((status = 200, body = Webhook)), security(("api_key" = ["read"])))]
pub(super) async fn get(
    State(state): State<Arc<ApiState>>,
    caller: Caller,
    Id(id): Id,
    _: NoQuery,
    preconditions: Preconditions,
) -> Result<Response> {
    let webhook = visible(&state, &caller, &id).await?.webhook;
    if preconditions.has(webhook.updated_at) {
        return Ok(not_modified(webhook.updated_at));
    }
    Ok(tagged(StatusCode::OK, webhook.updated_at, &webhook))
}

/// Makes a draft of a body.
type MakeDraft = fn(&StoredWebhook, Value) -> Result<Draft>;

async fn change(
    state: &ApiState,
    caller: &Caller,
    id: &str,
    preconditions: &Preconditions,
    body: Value,
    draft: MakeDraft,
) -> Result<Response> {
    // It is verified once, even if the change has to be applied again to a changed webhook.
    let mut verified = false;
    loop {
        let before = visible(state, caller, id).await?;
        preconditions.check(before.webhook.updated_at)?;
        let mut input = draft(&before, body.clone())?.check(state).await?;
        input.owner_id = caller.owner_for(input.owner_id)?;
        if input.verify && !verified {
            verify(state, &input, &before.signing_secret).await?;
            verified = true;
        }
        let changed =
            state.store.replace_webhook(before.webhook.id, before.webhook.updated_at, input).await?;
        if let Some(webhook) = preconditions.settle(changed, || unknown(id))? {
            return Ok(tagged(StatusCode::OK, webhook.updated_at, &webhook));
        }
    }
}

/// Replace a webhook
///
/// Missing members get their defaults, except the two secrets, which are kept. Read-only fields are ignored.
/// With `verify` a test event is sent first, and nothing is changed unless it is answered 2xx (otherwise
/// 400).
#[utoipa::path(put, path = "/webhooks/{id}", tag = "webhooks", params(("id" = i64, Path, description = "The webhook")),
    request_body = WebhookInput,
    responses((status = 200, body = Webhook), (status = 412, body = Problem, description = "If-Match does not hold")),
    security(("api_key" = ["write"])))]
pub(super) async fn replace(
    State(state): State<Arc<ApiState>>,
    caller: Caller,
    Id(id): Id,
    _: NoQuery,
    preconditions: Preconditions,
    body::Json(body): body::Json,
) -> Result<Response> {
    change(&state, &caller, &id, &preconditions, body, Draft::replacing).await
}

/// Change a webhook
///
/// Given members replace the old ones (`filter` and `custom_headers` as a whole); a `secret_value` of null
/// removes it. Read-only fields are ignored. `verify` works as in a `PUT`.
#[utoipa::path(patch, path = "/webhooks/{id}", tag = "webhooks", params(("id" = i64, Path, description = "The webhook")),
    request_body = WebhookPatch,
    responses((status = 200, body = Webhook), (status = 412, body = Problem, description = "If-Match does not hold")),
    security(("api_key" = ["write"])))]
pub(super) async fn patch(
    State(state): State<Arc<ApiState>>,
    caller: Caller,
    Id(id): Id,
    _: NoQuery,
    preconditions: Preconditions,
    body::Json(body): body::Json,
) -> Result<Response> {
    change(&state, &caller, &id, &preconditions, body, Draft::patching).await
}

/// Delete a webhook
///
/// Its waiting deliveries are discarded; ended ones stay in the lists. Its number is never used again.
#[utoipa::path(delete, path = "/webhooks/{id}", tag = "webhooks", params(("id" = i64, Path, description = "The webhook")),
    responses((status = 204), (status = 412, body = Problem, description = "If-Match does not hold")),
    security(("api_key" = ["write"])))]
pub(super) async fn delete(
    State(state): State<Arc<ApiState>>,
    caller: Caller,
    Id(id): Id,
    _: NoQuery,
    preconditions: Preconditions,
) -> Result<StatusCode> {
    let webhook = visible(&state, &caller, &id).await?.webhook;
    preconditions.check(webhook.updated_at)?;
    let read_at = preconditions.insists().then_some(webhook.updated_at);
    match state.store.delete_webhook(webhook.id, read_at).await? {
        Changed::Done(()) => Ok(StatusCode::NO_CONTENT),
        Changed::Stale => Err(ErrorAnswer::precondition_failed()),
        Changed::Unknown => Err(unknown(id)),
    }
}

/// How a webhook is tested.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct TestQuery {
    /// The event type whose canonical payload is sent; `ping` by default.
    #[param(min_length = 1, max_length = 128)]
    event: Option<String>,
}

impl Parameters for TestQuery {
    fn wrong(given: &Value, errors: &mut Vec<FieldError>) {
        if let Some(Err(error)) = given["event"].as_str().map(event::category_of) {
            errors.push(FieldError::new("event", error.to_string()));
        }
    }
}

/// Send a test event
///
/// A synthetic event (`"isTest": true`) is sent like a delivery, in any state of the webhook, without a
/// delivery row. 200 also if it failed: see `ok`.
#[utoipa::path(post, path = "/webhooks/{id}/test", tag = "webhooks",
    params(("id" = i64, Path, description = "The webhook"), TestQuery),
    responses((status = 200, body = WebhookTest)), security(("api_key" = ["write"])))]
pub(super) async fn test(
    State(state): State<Arc<ApiState>>,
    caller: Caller,
    Id(id): Id,
    Query(query): Query<TestQuery>,
    _: body::NoBody,
) -> Result<Json<WebhookTest>> {
    let name = query.event.as_deref().unwrap_or(event::PING);
    let webhook = visible(&state, &caller, &id).await?.webhook;
    let tested = delivery::test_webhook(&state.store, &state.poster, &state.clock, webhook.id, name).await?;
    tested.map(|tested| Json(show_test(tested))).ok_or_else(|| unknown(id))
}

fn show_test(tested: Tested) -> WebhookTest {
    let outcome = tested.outcome;
    let error = outcome.error();
    WebhookTest {
        ok: error.is_none(),
        status_code: outcome.status(),
        duration_ms: outcome.duration.as_millis() as u64,
        error,
    }
}

/// Enable a webhook
///
/// A webhook that is `disabled` or `auto_disabled` becomes `active`. Missed events are not sent by
/// themselves.
#[utoipa::path(post, path = "/webhooks/{id}/enable", tag = "webhooks",
    params(("id" = i64, Path, description = "The webhook")),
    responses((status = 200, body = Webhook)), security(("api_key" = ["write"])))]
pub(super) async fn enable(
    State(state): State<Arc<ApiState>>,
    caller: Caller,
    Id(id): Id,
    _: NoQuery,
    _: body::NoBody,
) -> Result<Response> {
    let before = visible(&state, &caller, &id).await?.webhook;
    let webhook = state.store.enable_webhook(before.id).await?.ok_or_else(|| unknown(id))?;
    Ok(tagged(StatusCode::OK, webhook.updated_at, &webhook))
}

/// Get the signing secrets
///
/// The current one, and rotated ones that still sign. Needs the scope `write`.
#[utoipa::path(get, path = "/webhooks/{id}/secret", tag = "webhooks",
    params(("id" = i64, Path, description = "The webhook")),
    responses((status = 200, body = WebhookSecrets)), security(("api_key" = ["write"])))]
pub(super) async fn secret(
    State(state): State<Arc<ApiState>>,
    caller: Caller,
    Id(id): Id,
    _: NoQuery,
) -> Result<Json<WebhookSecrets>> {
    let webhook = visible(&state, &caller, &id).await?.webhook;
    let secrets = state.store.webhook_secrets(webhook.id, state.clock.now()).await?;
    secrets.map(Json).ok_or_else(|| unknown(id))
}

/// How a secret is rotated.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct RotateQuery {
    /// How long the old secret still signs beside the new one: `24h` by default, at most `30d`.
    #[param(inline)]
    overlap: Option<Span>,
}

impl Parameters for RotateQuery {
    fn wrong(given: &Value, errors: &mut Vec<FieldError>) {
        let overlap = given["overlap"].as_str().and_then(|text| text.parse::<Span>().ok());
        if overlap.is_some_and(|overlap| overlap.0 > OVERLAP_MAX) {
            errors.push(FieldError::new("overlap", "must be at most 30d"));
        }
    }
}

/// Rotate the signing secret
///
/// Creates a new one. The old one still signs beside it for the overlap, so that receivers can change over.
#[utoipa::path(post, path = "/webhooks/{id}/secret/rotate", tag = "webhooks",
    params(("id" = i64, Path, description = "The webhook"), RotateQuery),
    responses((status = 200, body = WebhookSecrets)), security(("api_key" = ["write"])))]
pub(super) async fn rotate(
    State(state): State<Arc<ApiState>>,
    caller: Caller,
    Id(id): Id,
    Query(query): Query<RotateQuery>,
    _: body::NoBody,
) -> Result<Json<WebhookSecrets>> {
    let overlap = query.overlap.map_or(OVERLAP, |span| span.0);
    let webhook = visible(&state, &caller, &id).await?.webhook;
    let secrets = state.store.rotate_webhook_secret(webhook.id, generate_secret()?, overlap).await?;
    secrets.map(Json).ok_or_else(|| unknown(id))
}
