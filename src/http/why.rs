//! Why a station, a session, a command, a delivery or a tag is as it is.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::auth::Caller;
use super::id_tags::WhoseQuery;
use super::path::Id;
use super::problem::{ErrorAnswer, Result};
use super::query::{NoQuery, Query};
use super::{ApiState, commands, deliveries, stations, transactions};
use store::TagPolicy;
use vocabulary::api::why::Why;
use vocabulary::id::{CommandId, DeliveryId, StationId};

/// Why is a station as it is?
///
/// One answer in plain words: why it is not connected, was refused, or does not charge, each fact with the
/// event or command that it is taken from; `ok` says what was looked at. Also for an identity that no station
/// is registered with and that was only ever refused; such an identity is shown to keys without an owner.
#[utoipa::path(get, path = "/stations/{id}/why", tag = "stations", operation_id = "why",
    params(("id" = String, Path, description = "The station's identity, percent-encoded")),
    responses((status = 200, body = Why)), security(("api_key" = ["read"])))]
pub(super) async fn station(
    State(state): State<Arc<ApiState>>,
    caller: Caller,
    Id(id): Id,
    _: NoQuery,
) -> Result<Json<Why>> {
    let station_id = StationId::new(&id).map_err(|_| stations::unknown(&id))?;
    let heard_at = state.stations.last_seen(&station_id).map(|seen| state.monotonic.to_wall(seen));
    let why = state.store.why_station(station_id, caller.owner_id, heard_at, state.clock.now()).await?;
    why.map(Json).ok_or_else(|| stations::unknown(&id))
}

/// Why is a charging session as it is, or why did it end?
///
/// What keeps it from charging, whether its stop is missing or its energy doubtful, and who or what has ended
/// it. A problem comes before an ordinary reason of its stop.
#[utoipa::path(get, path = "/transactions/{id}/why", tag = "transactions", operation_id = "why",
    params(("id" = i64, Path, description = "The number that OCPP knows it by")),
    responses((status = 200, body = Why)), security(("api_key" = ["read"])))]
pub(super) async fn transaction(
    State(state): State<Arc<ApiState>>,
    caller: Caller,
    Id(id): Id,
    _: NoQuery,
) -> Result<Json<Why>> {
    let transaction = transactions::visible(&state, &caller, &id).await?;
    let (number, now) = (transaction.transaction_id, state.clock.now());
    let why = state.store.why_transaction(number, caller.owner_id, now).await?;
    why.map(Json).ok_or_else(|| ErrorAnswer::not_found(format_args!("transaction {id}")))
}

/// Why did a command come to what it did?
///
/// What it waits for, why it was not answered or was refused, and what became of a remote start that was
/// accepted.
#[utoipa::path(get, path = "/commands/{id}/why", tag = "commands", operation_id = "why",
    params(("id" = CommandId, Path, description = "The command")),
    responses((status = 200, body = Why)), security(("api_key" = ["read"])))]
pub(super) async fn command(
    State(state): State<Arc<ApiState>>,
    caller: Caller,
    Id(id): Id,
    _: NoQuery,
) -> Result<Json<Why>> {
    let (command_id, _) = commands::visible(&state, &caller, &id).await?;
    let why = state.store.why_command(command_id, caller.owner_id, state.clock.now()).await?;
    why.map(Json).ok_or_else(|| ErrorAnswer::not_found(format_args!("command {id}")))
}

/// Why did an event not reach its receiver?
///
/// What its attempts came to, what it waits for, and when it is tried next. Why a webhook has no delivery of
/// an event at all is told by `GET /events/{id}/deliveries?explain=true`.
#[utoipa::path(get, path = "/deliveries/{id}/why", tag = "deliveries", operation_id = "why",
    params(("id" = DeliveryId, Path, description = "The delivery")),
    responses((status = 200, body = Why)), security(("api_key" = ["read"])))]
pub(super) async fn delivery(
    State(state): State<Arc<ApiState>>,
    caller: Caller,
    Id(id): Id,
    _: NoQuery,
) -> Result<Json<Why>> {
    let delivery = deliveries::shown(&state, &caller, &id).await?;
    Ok(Json(store::why_delivery(&delivery, state.clock.now())))
}

/// Why is an id tag let in, or refused?
///
/// What it is registered as, where it is charging, and where it was refused lately and why. Also for a tag
/// that nobody has registered; to a key that is bound to an owner only if it was held against that owner's
/// stations. Without `owner_id` the tag without owner is meant, or the only one that there is.
#[utoipa::path(get, path = "/id-tags/{tag}/why", tag = "id tags", operation_id = "why", params(
    ("tag" = String, Path, description = "The tag; letter case does not matter"), WhoseQuery),
    responses((status = 200, body = Why)), security(("api_key" = ["read"])))]
pub(super) async fn id_tag(
    State(state): State<Arc<ApiState>>,
    caller: Caller,
    Id(id_tag): Id,
    Query(whose): Query<WhoseQuery>,
) -> Result<Json<Why>> {
    let visible_to = caller.owner_id.clone();
    let owner_id = caller.owner_for(whose.owner_id)?;
    let settings = &state.settings.authorization;
    let endpoint = settings.endpoint().is_some();
    let unknown = if endpoint { settings.fallback } else { settings.unknown_id_tag };
    let policy = TagPolicy { unknown, endpoint };
    let now = state.clock.now();
    let why = state.store.why_id_tag(id_tag.clone(), owner_id, visible_to, policy, now).await?;
    why.map(Json).ok_or_else(|| ErrorAnswer::not_found(format_args!("id tag {id_tag}")))
}
