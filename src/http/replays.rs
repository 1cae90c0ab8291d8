//! Replays of what webhooks missed, and bulk resends of deliveries.

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
use super::deliveries::DeliveriesQuery;
use super::page::{self, Paging};
use super::path::Id;
use super::problem::{self, ErrorAnswer, Result};
use super::query::{And, NoQuery, Parameters, Query, set_moments};
use super::webhooks::visible;
use store::{CanceledReplay, Missing, ReplayFilter};
use vocabulary::api::problem::FieldError;
use vocabulary::api::replay::{Replay, ReplayInput, ReplayMatched, ReplayStatus, Selection};
use vocabulary::api::text::Bound;
use vocabulary::api::{Order, Page};
use vocabulary::clock::Timestamp;
use vocabulary::delivery::DeliveryStatus;
use vocabulary::id::ReplayId;
use vocabulary::subscription::EventPattern;

const LIST: &str = "replays";

fn unknown(id: &str) -> ErrorAnswer {
    ErrorAnswer::not_found(format_args!("replay {id}"))
}

async fn missing(state: &ApiState, id: ReplayId) -> ErrorAnswer {
    problem::missing(&state.store, &format!("replay {id}"), Some(Missing::Replay(id))).await
}

/// Replay events to a webhook
///
/// Creates deliveries of events that arrived from `since` to `until`: of failed ones, of missing ones, or of
/// all. It runs in the background, also after a restart, a few hundred deliveries ahead of the sends; live
/// events go first. An event that had a delivery keeps its `id` and sequence, and its schedule starts again;
/// one that had none gets the next sequence. With `ordering: station` replayed deliveries are not part of the
/// order. An event from before the webhook, or one that it did not want then, is missing too if the webhook
/// wants it now. 409 if the webhook is disabled.
#[utoipa::path(post, path = "/webhooks/{id}/replay", tag = "replays",
    params(("id" = i64, Path, description = "The webhook")), request_body = ReplayInput,
    responses((status = 202, body = Replay), (status = 200, body = ReplayMatched, description = "What a dry run found")),
    security(("api_key" = ["write"])))]
pub(super) async fn create(
    State(state): State<Arc<ApiState>>,
    caller: Caller,
    Id(id): Id,
    _: NoQuery,
    body::Json(mut given): body::Json,
) -> Result<Response> {
    let requested_at = state.clock.now();
    set_moments(&mut given, &["since", "until"], requested_at);
    // An event that arrives in this very moment is live.
    let now = requested_at.after(std::time::Duration::from_millis(1));
    let mut errors = body::errors::<ReplayInput>(&given)?;
    // Each one is checked by itself, so that a wrong one hides no other.
    for (place, text) in given["events"].as_array().into_iter().flatten().enumerate() {
        let text = text.as_str().filter(|text| !text.is_empty());
        if let Some(Err(error)) = text.map(EventPattern::asked) {
            errors.push(FieldError::new(format!("events.{place}"), error.to_string()));
        }
    }
    let time = |name: &str| given[name].as_str().and_then(|text| text.parse::<Timestamp>().ok());
    match (time("since"), time("until")) {
        (Some(since), Some(until)) if since >= until => {
            errors.push(FieldError::new("until", "must be later than since"));
        }
        (Some(since), None) if since >= now => {
            errors.push(FieldError::new("since", "must be in the past"));
        }
        _ => {}
    }
    if !errors.is_empty() {
        return Err(ErrorAnswer::invalid(errors));
    }
    let input: ReplayInput = body::into(given)?;
    let (events, until) = (input.events.unwrap_or_default(), input.until.unwrap_or(now));
    let webhook = visible(&state, &caller, &id).await?.webhook;
    if !webhook.enabled {
        return Err(ErrorAnswer::conflict("its webhook is disabled: enable it first"));
    }
    let (webhook_id, since, only) = (webhook.id, input.since, input.only);
    let selection = Selection::Replay { webhook_id, only, events, since, until };
    begin(&state, &caller, selection, webhook.owner_id, requested_at, input.dry_run).await
}

/// How deliveries are sent again.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct BulkResendQuery {
    /// How they ended; `failed` by default. May be given several times.
    #[serde(default)]
    #[param(inline, max_items = 6)]
    status: Vec<DeliveryStatus>,
    /// Needed for the status `success`: these are sent once more.
    #[serde(rename = "force")]
    _force: Option<bool>,
    /// Only count: nothing is sent, and the answer is a 200 with `matched`.
    dry_run: Option<bool>,
}

impl Parameters for BulkResendQuery {
    fn wrong(given: &Value, errors: &mut Vec<FieldError>) {
        if ["webhook_id", "event_id", "since"].into_iter().all(|name| given[name].is_null()) {
            errors.push(FieldError::new(
                "webhook_id",
                "one of the query parameters webhook_id, event_id and since is required",
            ));
        }
        let named = given["status"].as_array().into_iter().flatten();
        let named: Vec<_> = named.filter_map(|status| DeliveryStatus::deserialize(status).ok()).collect();
        if named.iter().any(|status| !status.is_terminal()) {
            let message = "only what is failed, discarded or success can be sent again";
            errors.push(FieldError::new("status", message));
        }
        if named.contains(&DeliveryStatus::Success) && given["force"] != Value::Bool(true) {
            errors.push(FieldError::new("force", "must be true for the status success"));
        }
    }
}

/// Send many deliveries again
///
/// Sends all deliveries again that fit the filter and whose webhook is enabled; `webhook_id`, `event_id` or
/// `since` must be given. It runs in the background, for each webhook a few hundred deliveries ahead of the
/// sends, and is listed among the replays. Live events go first, and unlike a single resend it waits for an
/// open circuit breaker.
#[utoipa::path(post, path = "/deliveries/resend", tag = "replays", params(BulkResendQuery, DeliveriesQuery),
    responses((status = 202, body = Replay), (status = 200, body = ReplayMatched, description = "What a dry run found")),
    security(("api_key" = ["write"])))]
pub(super) async fn resend(
    State(state): State<Arc<ApiState>>,
    caller: Caller,
    Query(And(bulk, query)): Query<And<BulkResendQuery, DeliveriesQuery>>,
    _: body::NoBody,
) -> Result<Response> {
    let mut status = bulk.status;
    if status.is_empty() {
        status.push(DeliveryStatus::Failed);
    }
    let selection = Selection::Resend {
        status,
        webhook_id: query.webhook_id,
        event_id: query.event_id,
        events: query.event,
        station_id: query.station_id,
        owner_id: caller.owner_filter(query.owner_id)?,
        since: query.since,
        until: query.until,
        status_code: query.status_code,
        min_attempts: query.min_attempts,
        q: query.q,
    };
    let (requested_at, dry_run) = (state.clock.now(), bulk.dry_run.unwrap_or(false));
    begin(&state, &caller, selection, caller.owner_id.clone(), requested_at, dry_run).await
}

/// Counts the deliveries, and starts the replay unless it is a dry run. `owner_id` may see it.
async fn begin(
    state: &ApiState,
    caller: &Caller,
    selection: Selection,
    owner_id: Option<String>,
    requested_at: Timestamp,
    dry_run: bool,
) -> Result<Response> {
    let counted = state.store.count_replay(selection, caller.owner_id.clone(), requested_at).await?;
    if dry_run {
        return Ok(Json(ReplayMatched { matched: counted.matched }).into_response());
    }
    let replay = state.store.create_replay(counted, owner_id, caller.requested_by()).await?;
    Ok((StatusCode::ACCEPTED, Json(replay)).into_response())
}

/// How replays are listed.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ReplaysQuery {
    /// The webhook it is for.
    #[param(minimum = 1)]
    webhook_id: Option<i64>,
    /// The customer it belongs to.
    #[param(min_length = 1, max_length = 200)]
    owner_id: Option<String>,
    /// Its status.
    #[param(inline)]
    status: Option<ReplayStatus>,
    /// It was requested then or later.
    #[param(inline, value_type = Option<Bound>)]
    since: Option<Timestamp>,
    /// It was requested before that.
    #[param(inline, value_type = Option<Bound>)]
    until: Option<Timestamp>,
}

impl Parameters for ReplaysQuery {
    fn wrong(given: &Value, errors: &mut Vec<FieldError>) {
        page::wrong_cursor(LIST, Order::Desc, given, errors);
    }
}

/// List the replays
///
/// Bulk resends are among them.
#[utoipa::path(get, path = "/replays", tag = "replays", params(ReplaysQuery, Paging),
    responses((status = 200, body = Page<Replay>)), security(("api_key" = ["read"])))]
pub(super) async fn list(
    State(state): State<Arc<ApiState>>,
    caller: Caller,
    Query(And(query, paging)): Query<And<ReplaysQuery, Paging>>,
) -> Result<Json<Page<Replay>>> {
    let slice = paging.slice(LIST)?;
    let filter = ReplayFilter {
        webhook_id: query.webhook_id,
        owner_id: caller.owner_filter(query.owner_id)?,
        status: query.status,
        since: query.since,
        until: query.until,
    };
    let listed = state.store.replays(filter, slice.clone()).await?;
    Ok(Json(page::page(LIST, &slice, listed, |replay| replay)))
}

async fn shown(state: &ApiState, caller: &Caller, id: &str) -> Result<Json<Replay>> {
    let known: ReplayId = id.parse().map_err(|_| unknown(id))?;
    let found = state.store.replay(known, caller.owner_id.clone()).await?;
    match found {
        Some(replay) => Ok(Json(replay)),
        None => Err(missing(state, known).await),
    }
}

/// Get a replay
#[utoipa::path(get, path = "/replays/{id}", tag = "replays",
    params(("id" = ReplayId, Path, description = "The replay")),
    responses((status = 200, body = Replay)), security(("api_key" = ["read"])))]
pub(super) async fn get(
    State(state): State<Arc<ApiState>>,
    caller: Caller,
    Id(id): Id,
    _: NoQuery,
) -> Result<Json<Replay>> {
    shown(&state, &caller, &id).await
}

/// Cancel a replay
///
/// It creates no more deliveries, and takes back those that were not tried yet: new deliveries are discarded,
/// reopened ones become what they were before. Deliveries that are being sent, or wait for a retry, go on,
/// and can be canceled one by one. 409 if it has ended, and has none to take back.
#[utoipa::path(post, path = "/replays/{id}/cancel", tag = "replays",
    params(("id" = ReplayId, Path, description = "The replay")),
    responses((status = 200, body = Replay)), security(("api_key" = ["write"])))]
pub(super) async fn cancel(
    State(state): State<Arc<ApiState>>,
    caller: Caller,
    Id(id): Id,
    _: NoQuery,
    _: body::NoBody,
) -> Result<Json<Replay>> {
    let known: ReplayId = id.parse().map_err(|_| unknown(&id))?;
    match state.store.cancel_replay(known, caller.owner_id.clone()).await? {
        CanceledReplay::Canceled => shown(&state, &caller, &id).await,
        CanceledReplay::Ended => Err(ErrorAnswer::conflict("it has come to its end already")),
        CanceledReplay::NotFound => Err(missing(&state, known).await),
    }
}
