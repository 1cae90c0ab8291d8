//! Bulk commands: a command to each of many stations, as one request.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::Deserialize;
use serde_json::Value;
use utoipa::IntoParams;

use super::ApiState;
use super::auth::Caller;
use super::body;
use super::commands::{self as single, CommandsQuery};
use super::page::{self, Paging};
use super::path::Id;
use super::problem::{self, ErrorAnswer, Result};
use super::query::{And, NoQuery, Parameters, Query};
use super::station_selection::Wanted;
use super::stations;
use store::{
    BulkCreation, BulkFilter, BulkStationFilter, CanceledBulk, CommandFilter, Missing, NewBulkCommand,
};
use vocabulary::api::bulk_command::{
    BulkCommand, BulkCommandInput, BulkMatched, BulkResult, BulkStation, BulkStatus, WhenOffline,
};
use vocabulary::api::command::Command;
use vocabulary::api::problem::{FieldError, Problem};
use vocabulary::api::text::Bound;
use vocabulary::api::{Order, Page};
use vocabulary::clock::Timestamp;
use vocabulary::id::BulkCommandId;

const LIST: &str = "bulk-commands";

/// The name of the lists of stations in cursors: a place in one is a place in any.
const STATIONS: &str = "bulk-command-stations";

/// How a bulk command is requested.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct BulkQuery {
    /// Only count the stations: nothing is sent, and the answer is a 200 with `matched`.
    dry_run: Option<bool>,
}

impl Parameters for BulkQuery {}

/// Which bulk commands are listed.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct BulkCommandsQuery {
    /// The customer of the key that asked.
    #[param(min_length = 1, max_length = 200)]
    owner_id: Option<String>,
    /// The action.
    #[param(min_length = 1, max_length = 64)]
    action: Option<String>,
    /// Their status.
    #[param(inline)]
    status: Option<BulkStatus>,
    /// They were requested then or later.
    #[param(inline, value_type = Option<Bound>)]
    since: Option<Timestamp>,
    /// They were requested before that.
    #[param(inline, value_type = Option<Bound>)]
    until: Option<Timestamp>,
}

impl Parameters for BulkCommandsQuery {
    fn wrong(given: &Value, errors: &mut Vec<FieldError>) {
        let action = given["action"].as_str().filter(|name| !name.is_empty());
        if let Some(Err(message)) = action.map(single::action_named) {
            errors.push(FieldError::new("action", message));
        }
        page::wrong_cursor(LIST, Order::Desc, given, errors);
    }
}

/// Which stations of a bulk command are listed.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct BulkStationsQuery {
    /// What it has come to there.
    #[param(inline)]
    result: Option<BulkResult>,
}

impl Parameters for BulkStationsQuery {
    fn wrong(given: &Value, errors: &mut Vec<FieldError>) {
        page::wrong_cursor(STATIONS, Order::Asc, given, errors);
    }
}

/// Send a command to many stations
///
/// The stations are chosen now: those that fit the filter, or the named ones, of which each must exist and be
/// visible to the key (422 with its place in the list otherwise, and nothing is sent). The payload is checked
/// as with a single command. Commands are then made in the background at `rate`, the stations one after the
/// other, also after a restart, and never two for one station. A station that cannot take the command at its
/// turn is skipped, or with `offline: queue` gets it when it is back. What became of each station is in
/// `…/stations`, the commands are in `…/commands`; each has its own event, and the bulk command has none.
/// 409 if 100 are under way already.
#[utoipa::path(post, path = "/bulk-commands", tag = "bulk commands", params(BulkQuery),
    request_body = BulkCommandInput,
    responses(
        (status = 202, body = BulkCommand),
        (status = 200, body = BulkMatched, description = "How many stations a dry run found"),
        (status = 409, body = Problem, description = "Too many are under way, or a request with this Idempotency-Key is still running"),
    ),
    security(("api_key" = ["command:ACTION"])))]
pub(super) async fn create(
    State(state): State<Arc<ApiState>>,
    caller: Caller,
    Query(query): Query<BulkQuery>,
    body: body::JsonText,
) -> Result<Response> {
    let now = state.clock.now();
    let mut errors = body::errors::<BulkCommandInput>(&body.value)?;
    single::check_bounds(&body, &mut errors);
    if !body.value["expires_in"].is_null() && body.value["offline"] != WhenOffline::Queue.as_str() {
        let message = "is for commands that may wait: set offline to queue with it";
        errors.push(FieldError::new("expires_in", message));
    }
    let asked = single::action_and_payload(&body, now, &mut errors);
    let wanted = Wanted::read(&body.value["stations"], &caller, now, &mut errors)?;
    let (stations, filter) = wanted.find(&state, &caller, &mut errors).await?;
    let Some((action, payload)) = asked.filter(|_| errors.is_empty()) else {
        return Err(ErrorAnswer::invalid(errors));
    };
    caller.may_send(action)?;
    if query.dry_run.unwrap_or(false) {
        return Ok(Json(BulkMatched { matched: stations.len() as u64 }).into_response());
    }
    let invalid =
        |field: &str, error: &dyn std::fmt::Display| ErrorAnswer::invalid_field(field, error.to_string());
    let input: BulkCommandInput = serde_json::from_slice(&body.text).map_err(|error| invalid("", &error))?;
    let rate =
        input.rate.parse().map_err(|error| invalid("rate", &error as &vocabulary::rate::InvalidRate))?;
    let key_verifier = match action.new_password(&payload) {
        Some(key) => stations::hash_password(&state, &key).await?.pop(),
        None => None,
    };
    let expires_in = || input.expires_in.map_or_else(|| single::queued_for(action), |span| span.0);
    let new = NewBulkCommand {
        owner_id: caller.owner_id.clone(),
        stations,
        filter,
        action,
        payload,
        rate,
        timeout: input.timeout.0,
        queue_for: (input.offline == WhenOffline::Queue).then(expires_in),
        metadata: input.metadata,
        key_verifier,
        requested_by: caller.requested_by(),
    };
    match state.store.create_bulk_command(new).await? {
        BulkCreation::Created(bulk) => Ok((StatusCode::ACCEPTED, Json(bulk)).into_response()),
        BulkCreation::TooMany => {
            Err(ErrorAnswer::conflict("too many bulk commands are under way: wait for some, or cancel them"))
        }
    }
}

/// List the bulk commands
#[utoipa::path(get, path = "/bulk-commands", tag = "bulk commands", params(BulkCommandsQuery, Paging),
    responses((status = 200, body = Page<BulkCommand>)), security(("api_key" = ["read"])))]
pub(super) async fn list(
    State(state): State<Arc<ApiState>>,
    caller: Caller,
    Query(And(query, paging)): Query<And<BulkCommandsQuery, Paging>>,
) -> Result<Json<Page<BulkCommand>>> {
    let slice = paging.slice(LIST)?;
    let filter = BulkFilter {
        owner_id: caller.owner_filter(query.owner_id)?,
        action: query.action.and_then(|name| name.parse().ok()),
        status: query.status,
        since: query.since,
        until: query.until,
    };
    let listed = state.store.bulk_commands(filter, slice.clone()).await?;
    Ok(Json(page::page(LIST, &slice, listed, |bulk| bulk)))
}

/// The bulk command, if there is one that the caller may see.
async fn visible(state: &ApiState, caller: &Caller, id: &str) -> Result<BulkCommand> {
    let known: Option<BulkCommandId> = id.parse().ok();
    let found = match known {
        Some(known) => state.store.bulk_command(known, caller.owner_id.clone()).await?,
        None => None,
    };
    match found {
        Some(bulk) => Ok(bulk),
        None => Err(missing(state, id, known).await),
    }
}

async fn missing(state: &ApiState, id: &str, known: Option<BulkCommandId>) -> ErrorAnswer {
    problem::missing(&state.store, &format!("bulk command {id}"), known.map(Missing::BulkCommand)).await
}

/// Get a bulk command
///
/// The counts are exact at any time: each changes in the commit that sends or ends a command.
#[utoipa::path(get, path = "/bulk-commands/{id}", tag = "bulk commands",
    params(("id" = BulkCommandId, Path, description = "The bulk command")),
    responses((status = 200, body = BulkCommand)), security(("api_key" = ["read"])))]
pub(super) async fn get(
    State(state): State<Arc<ApiState>>,
    caller: Caller,
    Id(id): Id,
    _: NoQuery,
) -> Result<Json<BulkCommand>> {
    visible(&state, &caller, &id).await.map(Json)
}

/// List the commands of a bulk command
#[utoipa::path(get, path = "/bulk-commands/{id}/commands", tag = "bulk commands",
    params(("id" = BulkCommandId, Path, description = "The bulk command"), CommandsQuery, Paging),
    responses((status = 200, body = Page<Command>)), security(("api_key" = ["read"])))]
pub(super) async fn commands(
    State(state): State<Arc<ApiState>>,
    caller: Caller,
    Id(id): Id,
    Query(And(query, paging)): Query<And<CommandsQuery, Paging>>,
) -> Result<Json<Page<Command>>> {
    let bulk = visible(&state, &caller, &id).await?;
    let filter = CommandFilter { bulk_id: Some(bulk.id), ..query.filter() };
    let slice = paging.slice(single::LIST)?;
    let listed = state.store.commands(filter, slice.clone()).await?;
    Ok(Json(page::page(single::LIST, &slice, listed, |command| command)))
}

/// List the stations of a bulk command
///
/// In the order of their turns, with what has come of it and, where nothing was sent, why.
#[utoipa::path(get, path = "/bulk-commands/{id}/stations", tag = "bulk commands",
    params(("id" = BulkCommandId, Path, description = "The bulk command"), BulkStationsQuery, Paging),
    responses((status = 200, body = Page<BulkStation>)), security(("api_key" = ["read"])))]
pub(super) async fn stations(
    State(state): State<Arc<ApiState>>,
    caller: Caller,
    Id(id): Id,
    Query(And(query, paging)): Query<And<BulkStationsQuery, Paging>>,
) -> Result<Json<Page<BulkStation>>> {
    let bulk = visible(&state, &caller, &id).await?;
    let slice = paging.ascending().slice(STATIONS)?;
    let filter = BulkStationFilter { bulk_id: bulk.id, result: query.result };
    let listed = state.store.bulk_stations(filter, slice.clone()).await?;
    Ok(Json(page::page(STATIONS, &slice, listed, |station| station)))
}

/// Cancel a bulk command
///
/// No more commands are made from now on, and those that wait to be sent are canceled, thousands of them in
/// the background. Commands that were sent are still answered and counted. 409 if it has ended.
#[utoipa::path(post, path = "/bulk-commands/{id}/cancel", tag = "bulk commands",
    params(("id" = BulkCommandId, Path, description = "The bulk command")),
    responses((status = 202, body = BulkCommand)), security(("api_key" = ["command:ACTION"])))]
pub(super) async fn cancel(
    State(state): State<Arc<ApiState>>,
    caller: Caller,
    Id(id): Id,
    _: NoQuery,
    _: body::NoBody,
) -> Result<(StatusCode, Json<BulkCommand>)> {
    let bulk = visible(&state, &caller, &id).await?;
    caller.may_send(bulk.action.parse().map_err(|_| ErrorAnswer::internal())?)?;
    match state.store.cancel_bulk_command(bulk.id, caller.owner_id.clone()).await? {
        CanceledBulk::Canceled => Ok((StatusCode::ACCEPTED, Json(visible(&state, &caller, &id).await?))),
        CanceledBulk::Ended => Err(ErrorAnswer::conflict("it has come to its end already")),
        CanceledBulk::NotFound => Err(missing(&state, &id, Some(bulk.id)).await),
    }
}
