//! Id tags: registered, listed, deleted.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::Value;
use utoipa::IntoParams;

use super::ApiState;
use super::auth::Caller;
use super::body;
use super::page::{self, Paging};
use super::path::Id;
use super::problem::{ErrorAnswer, Result};
use super::query::{And, Parameters, Query};
use store::{IdTagFilter, PutTag};
use vocabulary::api::id_tag::{IdTag, IdTagInput, TagStatus};
use vocabulary::api::problem::FieldError;
use vocabulary::api::text::Bound;
use vocabulary::api::{Order, Page};
use vocabulary::clock::Timestamp;

const LIST: &str = "id-tags";

/// Longer than any charger sends: the specification's limit is 20, some firmware adds a few.
pub(super) const TAG_CHARS_MAX: usize = 64;

/// Read-only fields of a tag; ignored in `PUT`, as is the tag itself, which the path names.
const READ_ONLY: [&str; 4] = ["id_tag", "active_transactions", "created_at", "updated_at"];

/// A tag may be called `import` although the import has that path: every method but POST is about the tag.
/// Its name is encoded here, so that the route of the import does not fit.
pub(super) fn name_import<B>(mut request: http::Request<B>) -> http::Request<B> {
    let uri = request.uri();
    let is_tag = uri.path().strip_prefix(super::BASE) == Some("/id-tags/import");
    if is_tag && request.method() != Method::POST {
        let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
        if let Ok(encoded) = format!("{}/id-tags/%69mport{query}", super::BASE).parse() {
            *request.uri_mut() = encoded;
        }
    }
    request
}

/// How tags are listed.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct TagsQuery {
    /// The customer they belong to.
    #[param(min_length = 1, max_length = 200)]
    owner_id: Option<String>,
    /// Their status.
    #[param(inline)]
    status: Option<TagStatus>,
    /// The group they belong to; letter case does not matter.
    #[param(min_length = 1, max_length = 20)]
    parent_id_tag: Option<String>,
    /// Registered then or later.
    #[param(inline, value_type = Option<Bound>)]
    since: Option<Timestamp>,
    /// Registered before that.
    #[param(inline, value_type = Option<Bound>)]
    until: Option<Timestamp>,
}

impl Parameters for TagsQuery {
    fn wrong(given: &Value, errors: &mut Vec<FieldError>) {
        page::wrong_cursor(LIST, Order::Desc, given, errors);
    }
}

/// The owner of a tag.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct WhoseQuery {
    /// The customer of the tag; without it, the tag without owner.
    #[param(min_length = 1, max_length = 200)]
    pub(super) owner_id: Option<String>,
}

impl Parameters for WhoseQuery {}

/// A tag that chargers can send.
///
/// # Errors
/// A 422 for anything else.
pub(super) fn legal(id_tag: &str) -> std::result::Result<(), &'static str> {
    let chars = id_tag.chars().count();
    if chars == 0 || chars > TAG_CHARS_MAX {
        return Err("must have 1 to 64 characters");
    }
    if id_tag.chars().any(char::is_control) || id_tag.trim() != id_tag {
        return Err("must have no control characters, and no blanks around it");
    }
    Ok(())
}

/// List id tags
#[utoipa::path(get, path = "/id-tags", tag = "id tags", params(TagsQuery, Paging),
    responses((status = 200, body = Page<IdTag>)), security(("api_key" = ["read"])))]
pub(super) async fn list(
    State(state): State<Arc<ApiState>>,
    caller: Caller,
    Query(And(query, paging)): Query<And<TagsQuery, Paging>>,
) -> Result<Json<Page<IdTag>>> {
    let slice = paging.slice(LIST)?;
    let filter = IdTagFilter {
        owner_id: caller.owner_filter(query.owner_id)?,
        status: query.status,
        parent_id_tag: query.parent_id_tag,
        since: query.since,
        until: query.until,
    };
    let listed = state.store.id_tags(filter, slice.clone()).await?;
    Ok(Json(page::page(LIST, &slice, listed, |tag| tag)))
}

/// Get an id tag
#[utoipa::path(get, path = "/id-tags/{tag}", tag = "id tags", params(
    ("tag" = String, Path, description = "The tag; letter case does not matter"), WhoseQuery),
    responses((status = 200, body = IdTag)), security(("api_key" = ["read"])))]
pub(super) async fn get(
    State(state): State<Arc<ApiState>>,
    caller: Caller,
    Id(id_tag): Id,
    Query(whose): Query<WhoseQuery>,
) -> Result<Json<IdTag>> {
    let owner_id = caller.owner_for(whose.owner_id)?;
    let found = state.store.id_tag(owner_id, id_tag.clone()).await?;
    found.map(Json).ok_or_else(|| unknown(&id_tag))
}

/// Register an id tag
///
/// Replaces an earlier registration; read-only fields are ignored. It holds from the next message of a
/// charger on. A station uses its owner's tags first, then those without owner.
#[utoipa::path(put, path = "/id-tags/{tag}", tag = "id tags", params(
    ("tag" = String, Path, description = "The tag, 1 to 64 characters; letter case does not matter"), WhoseQuery),
    request_body = IdTagInput,
    responses((status = 200, body = IdTag), (status = 201, body = IdTag, description = "It is new")),
    security(("api_key" = ["write"])))]
pub(super) async fn put(
    State(state): State<Arc<ApiState>>,
    caller: Caller,
    Id(id_tag): Id,
    Query(whose): Query<WhoseQuery>,
    body::Json(mut given): body::Json,
) -> Result<(StatusCode, Json<IdTag>)> {
    if let Some(members) = given.as_object_mut() {
        members.retain(|name, _| !READ_ONLY.contains(&name.as_str()));
    }
    let mut errors = body::errors::<IdTagInput>(&given)?;
    if let Err(message) = legal(&id_tag) {
        errors.push(FieldError::new("tag", message));
    }
    if !errors.is_empty() {
        return Err(ErrorAnswer::invalid(errors));
    }
    let mut input: IdTagInput = body::into(given)?;
    if whose.owner_id.is_some() && input.owner_id.is_some() && whose.owner_id != input.owner_id {
        return Err(ErrorAnswer::invalid_field("owner_id", "is another one in the query and in the body"));
    }
    input.owner_id = caller.owner_for(whose.owner_id.or(input.owner_id))?;
    let (tag, put) = state.store.put_id_tag(id_tag, input).await?;
    let status = match put {
        PutTag::Created => StatusCode::CREATED,
        PutTag::Replaced => StatusCode::OK,
    };
    Ok((status, Json(tag)))
}

/// Delete an id tag
///
/// From then on it is unknown.
#[utoipa::path(delete, path = "/id-tags/{tag}", tag = "id tags", params(
    ("tag" = String, Path, description = "The tag; letter case does not matter"), WhoseQuery),
    responses((status = 204)), security(("api_key" = ["write"])))]
pub(super) async fn delete(
    State(state): State<Arc<ApiState>>,
    caller: Caller,
    Id(id_tag): Id,
    Query(whose): Query<WhoseQuery>,
) -> Result<StatusCode> {
    let owner_id = caller.owner_for(whose.owner_id)?;
    match state.store.delete_id_tag(owner_id, id_tag.clone()).await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(unknown(&id_tag)),
    }
}

fn unknown(id_tag: &str) -> ErrorAnswer {
    ErrorAnswer::not_found(format_args!("id tag {id_tag}"))
}
