//! API keys: created, listed, revoked. The key itself is shown once.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
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
use crate::keys;
use store::ApiKeyFilter;
use vocabulary::api::access::{ApiKey, ApiKeyInput};
use vocabulary::api::problem::FieldError;
use vocabulary::api::text::Bound;
use vocabulary::api::{Order, Page};
use vocabulary::clock::Timestamp;
use vocabulary::id::ApiKeyId;

const LIST: &str = "api-keys";

/// How API keys are listed.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct KeysQuery {
    /// The customer it is bound to.
    #[param(min_length = 1, max_length = 200)]
    owner_id: Option<String>,
    /// It was created then or later.
    #[param(inline, value_type = Option<Bound>)]
    since: Option<Timestamp>,
    /// It was created before that.
    #[param(inline, value_type = Option<Bound>)]
    until: Option<Timestamp>,
}

impl Parameters for KeysQuery {
    fn wrong(given: &Value, errors: &mut Vec<FieldError>) {
        page::wrong_cursor(LIST, Order::Desc, given, errors);
    }
}

/// Create an API key
///
/// Only this answer shows `key`. A key that is bound to an owner creates keys for that owner only.
#[utoipa::path(post, path = "/api-keys", tag = "api keys", request_body = ApiKeyInput,
    responses((status = 201, body = ApiKey)), security(("api_key" = ["admin"])))]
pub(super) async fn create(
    State(state): State<Arc<ApiState>>,
    caller: Caller,
    _: NoQuery,
    body::Json(given): body::Json,
) -> Result<(StatusCode, Json<ApiKey>)> {
    let mut errors = body::errors::<ApiKeyInput>(&given)?;
    // The schema has already refused an empty one.
    for member in ["name", "owner_id"] {
        let text = given[member].as_str().filter(|text| !text.is_empty());
        if let Some(message) = text.and_then(keys::wrong_name)
            && !errors.iter().any(|error| error.field == member)
        {
            errors.push(FieldError::new(member, message));
        }
    }
    // Each one is checked by itself, so that a wrong one hides no other.
    for (place, scope) in given["scopes"].as_array().into_iter().flatten().enumerate() {
        if let Some(message) = scope.as_str().and_then(keys::wrong_scope) {
            errors.push(FieldError::new(format!("scopes.{place}"), message));
        }
    }
    let expires_at: Option<Timestamp> = given["expires_at"].as_str().and_then(|text| text.parse().ok());
    if expires_at.is_some_and(|end| end <= state.clock.now()) {
        errors.push(FieldError::new("expires_at", "must be in the future"));
    }
    if !errors.is_empty() {
        return Err(ErrorAnswer::invalid(errors));
    }
    let mut input: ApiKeyInput = body::into(given)?;
    input.owner_id = caller.owner_for(input.owner_id)?;
    let made = keys::create(&state.store, input).await.map_err(|error| match error {
        keys::KeyError::Store(error) => error.into(),
        other => {
            tracing::error!("an API key could not be made: {other}");
            ErrorAnswer::internal()
        }
    })?;
    Ok((StatusCode::CREATED, Json(made)))
}

/// List the API keys
#[utoipa::path(get, path = "/api-keys", tag = "api keys", params(KeysQuery, Paging),
    responses((status = 200, body = Page<ApiKey>)), security(("api_key" = ["admin"])))]
pub(super) async fn list(
    State(state): State<Arc<ApiState>>,
    caller: Caller,
    Query(And(query, paging)): Query<And<KeysQuery, Paging>>,
) -> Result<Json<Page<ApiKey>>> {
    let slice = paging.slice(LIST)?;
    let owner_id = caller.owner_filter(query.owner_id)?;
    let filter = ApiKeyFilter { owner_id, since: query.since, until: query.until };
    let listed = state.store.api_keys(filter, slice.clone()).await?;
    Ok(Json(page::page(LIST, &slice, listed, |key| key)))
}

/// Revoke an API key
///
/// It is refused from the next request on.
#[utoipa::path(delete, path = "/api-keys/{id}", tag = "api keys",
    params(("id" = ApiKeyId, Path, description = "The key's id, not the key")),
    responses((status = 204)), security(("api_key" = ["admin"])))]
pub(super) async fn revoke(
    State(state): State<Arc<ApiState>>,
    caller: Caller,
    Id(id): Id,
    _: NoQuery,
) -> Result<StatusCode> {
    let revoked = match id.parse() {
        Ok(id) => state.store.revoke_api_key(id, caller.owner_id.clone()).await?,
        Err(_) => false,
    };
    match revoked {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(ErrorAnswer::not_found(format_args!("API key {id}"))),
    }
}
