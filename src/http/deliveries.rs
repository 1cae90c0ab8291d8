//! Deliveries: listed, shown, sent again and canceled.

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
use super::event_patterns::{patterns, wrong_patterns};
use super::page::{self, Paging};
use super::path::Id;
use super::problem::{self, ErrorAnswer, Result};
use super::query::{And, NoQuery, Parameters, Query};
use crate::delivery::wait_reason;
use store::{self, Canceled, DeliveryFilter, Missing, Resent, Slice};
use vocabulary::api::delivery::Delivery;
use vocabulary::api::problem::FieldError;
use vocabulary::api::text::{Bound, Pattern};
use vocabulary::api::{Order, Page};
use vocabulary::clock::Timestamp;
use vocabulary::delivery::{AnswerClass, DeliveryStatus};
use vocabulary::id::{DeliveryId, EventId};

const LIST: &str = "deliveries";

/// Which deliveries are listed.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct StatusQuery {
    /// Its status. May be given several times.
    #[serde(default)]
    #[param(inline, max_items = 6)]
    status: Vec<DeliveryStatus>,
}

impl Parameters for StatusQuery {}

/// Which deliveries are meant, whatever their status.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct DeliveriesQuery {
    /// The webhook it goes to.
    #[param(minimum = 1)]
    pub(super) webhook_id: Option<i64>,
    /// Its event.
    #[param(inline)]
    pub(super) event_id: Option<EventId>,
    /// Event types or patterns (`Start*`, `ocpp.*`); one of them must fit. May be given several times.
    #[serde(default)]
    #[param(inline, value_type = Vec<Pattern>, max_items = 50)]
    pub(super) event: Vec<String>,
    /// Its event's station.
    #[param(min_length = 1, max_length = 64)]
    pub(super) station_id: Option<String>,
    /// Its event's owner.
    #[param(min_length = 1, max_length = 200)]
    pub(super) owner_id: Option<String>,
    /// It was created then or later.
    #[param(inline, value_type = Option<Bound>)]
    pub(super) since: Option<Timestamp>,
    /// It was created before that.
    #[param(inline, value_type = Option<Bound>)]
    pub(super) until: Option<Timestamp>,
    /// What its last attempt was answered, by the first digit of the status; `none`: that attempt failed
    /// without an answer. May be given several times.
    #[serde(default)]
    #[param(inline, max_items = 5)]
    pub(super) status_code: Vec<AnswerClass>,
    /// It was tried at least so often; the attempt that is under way counts.
    #[param(minimum = 1, maximum = 1_000)]
    pub(super) min_attempts: Option<u32>,
    /// Words in the event's payload, all of which must occur, in any letter case (`04A1B2 faulted`). `word*`
    /// is a prefix, and `"two words"` follow each other. A word is a run of letters and digits, so `12.5` or
    /// `CP-7` is a phrase. Names of members are words too. Any text is legal; blanks, quotes and brackets
    /// alone find nothing.
    #[param(min_length = 1, max_length = 200)]
    pub(super) q: Option<String>,
}

impl Parameters for DeliveriesQuery {
    fn wrong(given: &Value, errors: &mut Vec<FieldError>) {
        wrong_patterns(given, errors);
        page::wrong_cursor(LIST, Order::Desc, given, errors);
    }
}

async fn list_by(
    state: &ApiState,
    caller: &Caller,
    status: Vec<DeliveryStatus>,
    query: DeliveriesQuery,
    paging: Paging,
) -> Result<Json<Page<Delivery>>> {
    let slice = paging.slice(LIST)?;
    let filter = DeliveryFilter {
        status,
        webhook_id: query.webhook_id,
        event_id: query.event_id,
        events: patterns(&query.event),
        station_id: query.station_id,
        // A bound key also sees deliveries of events without owner to its webhooks, so `visible_to` filters.
        owner_id: caller.owner_filter(query.owner_id)?.filter(|_| caller.owner_id.is_none()),
        since: query.since,
        until: query.until,
        answers: query.status_code,
        min_attempts: query.min_attempts,
        q: query.q,
        visible_to: caller.owner_id.clone(),
    };
    one_page(state, LIST, filter, slice).await.map(Json)
}

/// A page of one event's deliveries, in the order of their creation. Without limit and cursor it has all of
/// them, unless they are large.
pub(super) async fn of_event(
    state: &ApiState,
    caller: &Caller,
    event_id: EventId,
    limit: Option<u32>,
    cursor: Option<&str>,
) -> Result<Page<Delivery>> {
    let list = format!("deliveries of {event_id}");
    let mut slice = page::slice(&list, cursor, Some(Order::Asc), limit)?;
    if limit.is_none() && cursor.is_none() {
        slice.limit = u32::MAX;
    }
    let filter = DeliveryFilter {
        event_id: Some(event_id),
        visible_to: caller.owner_id.clone(),
        ..DeliveryFilter::default()
    };
    one_page(state, &list, filter, slice).await
}

async fn one_page(
    state: &ApiState,
    list: &str,
    filter: DeliveryFilter,
    slice: Slice,
) -> Result<Page<Delivery>> {
    let listed = state.store.deliveries(filter, slice.clone()).await?;
    Ok(page::page(list, &slice, listed, |row| show(state, row)))
}

/// A delivery as it is shown.
pub(super) fn show(state: &ApiState, delivery: store::Delivery) -> Delivery {
    let waiting_for = wait_reason::wait_reason(&delivery, &state.lanes.borrow(), state.clock.now());
    Delivery {
        id: delivery.id,
        event_id: delivery.event_id,
        event: delivery.event,
        webhook_id: delivery.webhook_id,
        sequence: delivery.sequence,
        url: delivery.url,
        station_id: delivery.station_id,
        owner_id: delivery.owner_id,
        payload: delivery.payload,
        status: delivery.status,
        attempts: delivery.attempts,
        last_error: delivery.last_error,
        next_attempt_at: delivery.next_attempt_at,
        waiting_for: waiting_for.map(str::to_owned),
        discarded_because: delivery.discarded_because,
        created_at: delivery.created_at,
        completed_at: delivery.completed_at,
    }
}

/// List deliveries
#[utoipa::path(get, path = "/deliveries", tag = "deliveries", params(StatusQuery, DeliveriesQuery, Paging),
    responses((status = 200, body = Page<Delivery>)), security(("api_key" = ["read"])))]
pub(super) async fn list(
    State(state): State<Arc<ApiState>>,
    caller: Caller,
    Query(And(only, And(query, paging))): Query<And<StatusQuery, And<DeliveriesQuery, Paging>>>,
) -> Result<Json<Page<Delivery>>> {
    list_by(&state, &caller, only.status, query, paging).await
}

/// List dead letters
///
/// Deliveries whose schedule is used up: those with the status `failed`.
#[utoipa::path(get, path = "/failed-deliveries", tag = "deliveries", params(DeliveriesQuery, Paging),
    responses((status = 200, body = Page<Delivery>)), security(("api_key" = ["read"])))]
pub(super) async fn failed(
    State(state): State<Arc<ApiState>>,
    caller: Caller,
    Query(And(query, paging)): Query<And<DeliveriesQuery, Paging>>,
) -> Result<Json<Page<Delivery>>> {
    list_by(&state, &caller, vec![DeliveryStatus::Failed], query, paging).await
}

fn parse(id: &str) -> Result<DeliveryId> {
    id.parse().map_err(|_| ErrorAnswer::not_found(format_args!("delivery {id}")))
}

async fn unknown(state: &ApiState, id: &str) -> ErrorAnswer {
    let known = id.parse().ok().map(Missing::Delivery);
    problem::missing(&state.store, &format!("delivery {id}"), known).await
}

pub(super) async fn shown(state: &ApiState, caller: &Caller, id: &str) -> Result<Delivery> {
    let found = state.store.delivery(parse(id)?, caller.owner_id.clone()).await?;
    match found {
        Some(delivery) => Ok(show(state, delivery)),
        None => Err(unknown(state, id).await),
    }
}

/// Get a delivery
#[utoipa::path(get, path = "/deliveries/{id}", tag = "deliveries",
    params(("id" = DeliveryId, Path, description = "The delivery")),
    responses((status = 200, body = Delivery)), security(("api_key" = ["read"])))]
pub(super) async fn get(
    State(state): State<Arc<ApiState>>,
    caller: Caller,
    Id(id): Id,
    _: NoQuery,
) -> Result<Json<Delivery>> {
    shown(&state, &caller, &id).await.map(Json)
}

/// How a delivery is sent again.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ResendQuery {
    /// Also if it was delivered already.
    pub(super) force: Option<bool>,
}

impl Parameters for ResendQuery {}

/// Send a delivery again
///
/// It is sent at once, even if the circuit breaker is open. The same delivery goes on: attempt numbers
/// continue, the schedule starts again. 409 if it has not ended yet, and, without `force`, if it was
/// delivered.
#[utoipa::path(post, path = "/deliveries/{id}/resend", tag = "deliveries",
    params(("id" = DeliveryId, Path, description = "The delivery"), ResendQuery),
    responses((status = 202, body = Delivery)), security(("api_key" = ["write"])))]
pub(super) async fn resend(
    State(state): State<Arc<ApiState>>,
    caller: Caller,
    Id(id): Id,
    Query(query): Query<ResendQuery>,
    _: body::NoBody,
) -> Result<(StatusCode, Json<Delivery>)> {
    let force = query.force.unwrap_or(false);
    let refused = match state.store.resend(parse(&id)?, force, caller.owner_id.clone()).await? {
        Resent::Resent => return Ok((StatusCode::ACCEPTED, Json(shown(&state, &caller, &id).await?))),
        Resent::NotFound => return Err(unknown(&state, &id).await),
        Resent::NotTerminal => "it has not come to its end yet",
        Resent::NeedsForce => "it has arrived already: add ?force=true to send it again all the same",
        Resent::WebhookDisabled => "its webhook is disabled: enable it first",
        Resent::WebhookDeleted => "its webhook was deleted",
    };
    Err(ErrorAnswer::conflict(refused))
}

/// Cancel a delivery
///
/// It becomes `discarded`, and nothing more is sent. The running attempt of a `processing` delivery is not
/// interrupted: it may still arrive, and its outcome is shown. 409 if it has ended.
#[utoipa::path(post, path = "/deliveries/{id}/cancel", tag = "deliveries",
    params(("id" = DeliveryId, Path, description = "The delivery")),
    responses((status = 200, body = Delivery)), security(("api_key" = ["write"])))]
pub(super) async fn cancel(
    State(state): State<Arc<ApiState>>,
    caller: Caller,
    Id(id): Id,
    _: NoQuery,
    _: body::NoBody,
) -> Result<Json<Delivery>> {
    match state.store.cancel(parse(&id)?, caller.owner_id.clone()).await? {
        Canceled::Canceled => shown(&state, &caller, &id).await.map(Json),
        Canceled::Terminal => Err(ErrorAnswer::conflict("it has come to its end already")),
        Canceled::NotFound => Err(unknown(&state, &id).await),
    }
}
