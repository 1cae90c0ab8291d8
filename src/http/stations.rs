//! Stations: created, listed, changed, deleted and disconnected; their connectors and configuration.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use utoipa::{IntoParams, ToSchema};

use super::ApiState;
use super::auth::Caller;
use super::body;
use super::page::{self, Paging, ShortPaging};
use super::path::Id;
use super::problem::{ErrorAnswer, Result};
use super::query::{And, NoQuery, Parameters, Query};
use super::versions::{Preconditions, tagged};
use crate::station::registry::{Leave, Rules};
use store::{Changed, Created, StationFilter, StationNews, StationSort};
use vocabulary::api::problem::{FieldError, Problem};
use vocabulary::api::station::{
    ConfigurationKey, Connector, Disconnecting, Station, StationInput, StationPatch,
};
use vocabulary::api::text::Bound;
use vocabulary::api::{Order, Page};
use vocabulary::clock::Timestamp;
use vocabulary::id::StationId;
use vocabulary::ocpp::boot_status::BootStatus;
use vocabulary::units::ByteSize;
use vocabulary::zone::Zone;

const LIST: &str = "stations";

/// What an integrator may keep with a station, as JSON text.
const METADATA_MAX_BYTES: usize = 16 << 10;

/// The range of a station's own message size, the same as of the general limit.
const MESSAGE_SIZE: RangeInclusive<ByteSize> = ByteSize(1 << 10)..=ByteSize(1 << 30);

/// Read-only fields of a station; ignored in `PATCH`, as is the identity.
const READ_ONLY: [&str; 25] = [
    "station_id",
    "connected",
    "connected_at",
    "last_seen_at",
    "node",
    "disconnected_at",
    "disconnect_reason",
    "offline_since",
    "remote_addr",
    "vendor",
    "model",
    "serial_number",
    "firmware_version",
    "protocol",
    "security_profile",
    "clock_skew_ms",
    "firmware_status",
    "diagnostics_status",
    "log_status",
    "local_list_version",
    "password_set",
    "flags",
    "abilities",
    "last_error",
    "created_at",
];

/// Members of the metadata that a list may be filtered by at once.
const METADATA_FILTERS_MAX: usize = 16;

/// Which stations are meant.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct StationsQuery {
    /// Whether it has a live connection.
    connected: Option<bool>,
    /// Whether it has a live connection and something was received on it lately (`stations.offline_after`).
    online: Option<bool>,
    /// Whether it has not been connected yet.
    never_connected: Option<bool>,
    /// The customer it belongs to.
    #[param(min_length = 1, max_length = 200)]
    owner_id: Option<String>,
    /// The place where it stands.
    #[param(min_length = 1, max_length = 200)]
    site: Option<String>,
    /// The status that answers its boots.
    #[param(inline)]
    boot_status: Option<BootStatus>,
    /// Whether it is refused at the handshake.
    blocked: Option<bool>,
    /// From its boot notification.
    #[param(min_length = 1, max_length = 200)]
    vendor: Option<String>,
    /// As told in its boot notification.
    #[param(min_length = 1, max_length = 200)]
    model: Option<String>,
    /// As told in its boot notification.
    #[param(min_length = 1, max_length = 200)]
    firmware_version: Option<String>,
    /// A member of its metadata, by its name in place of `KEY`, such as `metadata.zone=7`: the value is
    /// compared as a text, and one that is no text by its JSON. Up to 16 may be given; all have to fit.
    #[param(rename = "metadata.KEY", value_type = Option<String>, max_length = 200)]
    #[serde(rename = "metadata.KEY", default)]
    metadata: BTreeMap<String, String>,
    /// Part of its identity, name or serial number; letter case does not matter.
    #[param(min_length = 1, max_length = 200)]
    q: Option<String>,
    /// It was created, or first connected, then or later.
    #[param(inline, value_type = Option<Bound>)]
    since: Option<Timestamp>,
    /// It was created, or first connected, before that.
    #[param(inline, value_type = Option<Bound>)]
    until: Option<Timestamp>,
}

impl Parameters for StationsQuery {
    fn wrong(given: &Value, errors: &mut Vec<FieldError>) {
        if given["metadata.KEY"].as_object().is_some_and(|members| members.len() > METADATA_FILTERS_MAX) {
            let message = format!("may be given for at most {METADATA_FILTERS_MAX} members");
            errors.push(FieldError::new("metadata", message));
        }
    }
}

impl StationsQuery {
    /// The same as the store takes it: of what the caller may see.
    ///
    /// # Errors
    /// A 403 if another owner is named.
    pub(super) fn filter(self, caller: &Caller) -> Result<StationFilter> {
        Ok(StationFilter {
            connected: self.connected,
            online: self.online,
            never_connected: self.never_connected,
            owner_id: caller.owner_filter(self.owner_id)?,
            site: self.site,
            boot_status: self.boot_status,
            blocked: self.blocked,
            vendor: self.vendor,
            model: self.model,
            firmware_version: self.firmware_version,
            metadata: self.metadata.into_iter().collect(),
            text: self.q,
            since: self.since,
            until: self.until,
            sort: StationSort::Known,
        })
    }
}

/// What stations are sorted by.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Sorting {
    /// What they are sorted by; the order in which they became known, if it is not given. `last_seen_at`: as
    /// it is on record, where all that are online come as the newest (among them as they became known) and
    /// those that were never connected as the oldest. `offline_since`: all that are not away come as the
    /// oldest.
    #[param(inline)]
    sort: Option<SortedBy>,
}

/// A field that stations are sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum SortedBy {
    LastSeenAt,
    OfflineSince,
}

impl Parameters for Sorting {
    fn wrong(given: &Value, errors: &mut Vec<FieldError>) {
        // An unknown field is an error of its own.
        if let Ok(sort) = Option::<SortedBy>::deserialize(&given["sort"]) {
            page::wrong_cursor(list_sorted(sort), Order::Desc, given, errors);
        }
    }
}

/// The list as cursors name it.
fn list_sorted(by: Option<SortedBy>) -> &'static str {
    match by {
        None => LIST,
        Some(SortedBy::LastSeenAt) => "stations-by-last-seen",
        Some(SortedBy::OfflineSince) => "stations-by-silence",
    }
}

pub(super) fn unknown(id: &str) -> ErrorAnswer {
    ErrorAnswer::not_found(format_args!("station {id}"))
}

/// The store knows when a connection began; the registry knows when something was last received on it.
fn with_live(state: &ApiState, mut station: Station) -> Station {
    if station.connected
        && let Ok(id) = StationId::new(&station.station_id)
        && let Some(seen) = state.stations.last_seen(&id)
    {
        station.last_seen_at = station.last_seen_at.max(Some(state.monotonic.to_wall(seen)));
    }
    station
}

/// The station, if there is one that the caller may see.
pub(super) async fn visible(state: &ApiState, caller: &Caller, id: &str) -> Result<(StationId, Station)> {
    let station_id = StationId::new(id).map_err(|_| unknown(id))?;
    let station = state.store.station(station_id.clone()).await?;
    station
        .filter(|station| caller.sees(station.owner_id.as_deref()))
        .map(|station| (station_id, with_live(state, station)))
        .ok_or_else(|| unknown(id))
}

/// Reads the fields of a station, and names every wrong one.
pub(super) fn read(members: Map<String, Value>) -> Result<StationInput> {
    let members = Value::Object(members);
    let mut errors = body::errors::<StationInput>(&members)?;
    let given = |name: &str| members.get(name).filter(|value| !value.is_null());
    if given("metadata").is_some_and(|metadata| metadata.to_string().len() > METADATA_MAX_BYTES) {
        errors.push(FieldError::new("metadata", "must have at most 16 KiB"));
    }
    let size = given("message_size").and_then(Value::as_str).and_then(|text| text.parse::<ByteSize>().ok());
    if size.is_some_and(|size| !MESSAGE_SIZE.contains(&size)) {
        errors.push(FieldError::new("message_size", "must be from 1KiB to 1GiB"));
    }
    let zone = given("time_zone").and_then(Value::as_str).map(str::parse::<Zone>);
    if let Some(Err(unknown)) = zone
        && !errors.iter().any(|error| error.field == "time_zone")
    {
        errors.push(FieldError::new("time_zone", unknown.to_string()));
    }
    if given("password").and_then(Value::as_str).is_some_and(|text| text.chars().any(char::is_control)) {
        errors.push(FieldError::new("password", "must have no control characters"));
    }
    if errors.is_empty() { body::into(members) } else { Err(ErrorAnswer::invalid(errors)) }
}

/// The verifiers of a new password. Slow on purpose.
pub(super) async fn hash_password(state: &ApiState, password: &str) -> Result<Vec<String>> {
    let hashed = state.passwords.hash(password.as_bytes()).await;
    hashed.map(|verifier| vec![verifier]).map_err(|error| {
        tracing::error!("{error}");
        ErrorAnswer::internal()
    })
}

fn object(body: Value) -> Result<Map<String, Value>> {
    match body {
        Value::Object(members) => Ok(members),
        _ => Err(ErrorAnswer::invalid_field("", "must be an object")),
    }
}

/// Create a station
///
/// Only `station_id` is required. A station that is created here may also connect in another letter case.
#[utoipa::path(post, path = "/stations", tag = "stations", request_body = StationInput,
    responses((status = 201, body = Station)), security(("api_key" = ["command"])))]
pub(super) async fn create(
    State(state): State<Arc<ApiState>>,
    caller: Caller,
    _: NoQuery,
    body::Json(body): body::Json,
) -> Result<Response> {
    let mut input = read(object(body)?)?;
    input.owner_id = caller.owner_for(input.owner_id)?;
    let verifiers = match input.password.take() {
        Some(password) => hash_password(&state, &password).await?,
        None => Vec::new(),
    };
    let id = input.station_id.clone();
    match state.store.create_station(input, verifiers).await? {
        Created::Done(station) => Ok(tagged(StatusCode::CREATED, station.updated_at, &station)),
        Created::Exists => Err(ErrorAnswer::conflict(format!(
            "there is a station {id} already, or another owner's that differs from it in letter case alone"
        ))),
    }
}

/// List the stations
#[utoipa::path(get, path = "/stations", tag = "stations", params(StationsQuery, Sorting, Paging),
    responses((status = 200, body = Page<Station>)), security(("api_key" = ["read"])))]
pub(super) async fn list(
    State(state): State<Arc<ApiState>>,
    caller: Caller,
    Query(And(query, And(Sorting { sort }, paging))): Query<And<StationsQuery, And<Sorting, Paging>>>,
) -> Result<Json<Page<Station>>> {
    let list = list_sorted(sort);
    let slice = paging.slice(list)?;
    let sort = match sort {
        None => StationSort::Known,
        Some(SortedBy::LastSeenAt) => StationSort::LastSeen,
        Some(SortedBy::OfflineSince) => StationSort::OfflineSince,
    };
    let filter = StationFilter { sort, ..query.filter(&caller)? };
    let listed = state.store.stations(filter, slice.clone()).await?;
    Ok(Json(page::page(list, &slice, listed, |station| with_live(&state, station))))
}

/// Get a station
#[utoipa::path(get, path = "/stations/{id}", tag = "stations",
    params(("id" = String, Path, description = "The station's identity, percent-encoded")),
    responses((status = 200, body = Station)), security(("api_key" = ["read"])))]
pub(super) async fn get(
    State(state): State<Arc<ApiState>>,
    caller: Caller,
    Id(id): Id,
    _: NoQuery,
) -> Result<Response> {
    let (_, station) = visible(&state, &caller, &id).await?;
    Ok(tagged(StatusCode::OK, station.updated_at, &station))
}

/// The station as its fields would be written, without the password.
pub(super) fn present(station: &Station) -> Map<String, Value> {
    let mut members = match serde_json::to_value(station) {
        Ok(Value::Object(members)) => members,
        _ => Map::new(),
    };
    members.retain(|name, _| !is_read_only(name));
    members.insert("station_id".into(), json!(station.station_id));
    members
}

fn is_read_only(name: &str) -> bool {
    READ_ONLY.contains(&name) || name == "updated_at"
}

/// The rules for the station's connection.
pub(super) fn rules(input: &StationInput) -> Rules {
    Rules {
        validation: input.validation,
        ping: input.ping,
        zone: input.time_zone.as_deref().and_then(|name| name.parse().ok()),
    }
}

/// Change a station
///
/// Given members replace the old ones (`metadata` as a whole). A `password` of null removes it. Blocking a
/// station closes its socket; `boot_status` holds from its next boot on, `validation`, `time_zone` and `ping`
/// from its next message on; `password`, `min_security_profile`, `certificate_name`, `certificate_serial` and
/// `message_size` from its next connection on. A station that is to connect with less security than before
/// needs a lower `min_security_profile`; without a password it may connect as if it had never had one.
/// Read-only fields are ignored.
#[utoipa::path(patch, path = "/stations/{id}", tag = "stations",
    params(("id" = String, Path, description = "The station's identity, percent-encoded")),
    request_body = StationPatch,
    responses((status = 200, body = Station), (status = 412, body = Problem, description = "If-Match does not hold")),
    security(("api_key" = ["command"])))]
pub(super) async fn patch(
    State(state): State<Arc<ApiState>>,
    caller: Caller,
    Id(id): Id,
    _: NoQuery,
    preconditions: Preconditions,
    body::Json(body): body::Json,
) -> Result<Response> {
    let mut patch = object(body)?;
    patch.retain(|name, _| !is_read_only(name));
    let password = patch.get("password").cloned();
    // Hashed before the first try, because the rest is quick and may have to be repeated.
    let mut verifiers = None;
    loop {
        let (station_id, before) = visible(&state, &caller, &id).await?;
        preconditions.check(before.updated_at)?;
        let mut members = present(&before);
        members.extend(patch.clone());
        let mut input = read(members)?;
        input.owner_id = caller.owner_for(input.owner_id)?;
        if verifiers.is_none() && password.is_some() {
            verifiers = Some(match input.password.take() {
                Some(password) => hash_password(&state, &password).await?,
                None => Vec::new(),
            });
        }
        let (blocked, rules) = (input.blocked, rules(&input));
        let changed = state.store.replace_station(before.updated_at, input, verifiers.clone()).await?;
        if let Some(station) = preconditions.settle(changed, || unknown(&id))? {
            if blocked {
                state.stations.ask_to_leave(&station_id, Leave::Blocked);
            }
            state.stations.change_rules(&station_id, rules);
            let station = with_live(&state, station);
            return Ok(tagged(StatusCode::OK, station.updated_at, &station));
        }
    }
}

/// Delete a station
///
/// Closes its socket (1008). Its events and transactions stay, and its event numbers go on if it comes back.
#[utoipa::path(delete, path = "/stations/{id}", tag = "stations",
    params(("id" = String, Path, description = "The station's identity, percent-encoded")),
    responses((status = 204), (status = 412, body = Problem, description = "If-Match does not hold")),
    security(("api_key" = ["command"])))]
pub(super) async fn delete(
    State(state): State<Arc<ApiState>>,
    caller: Caller,
    Id(id): Id,
    _: NoQuery,
    preconditions: Preconditions,
) -> Result<StatusCode> {
    let (station_id, station) = visible(&state, &caller, &id).await?;
    preconditions.check(station.updated_at)?;
    let read_at = preconditions.insists().then_some(station.updated_at);
    match state.store.delete_station(station_id.clone(), read_at).await? {
        Changed::Done(()) => {
            state.passwords.forget(&station_id);
            if !state.stations.ask_to_leave(&station_id, Leave::Removed) {
                state.stations.forget(&station_id);
            }
            Ok(StatusCode::NO_CONTENT)
        }
        Changed::Stale => Err(ErrorAnswer::precondition_failed()),
        Changed::Unknown => Err(unknown(&id)),
    }
}

/// List a station's connectors
///
/// The connectors that it has reported, by number; 0 is the station as a whole. The list is complete without
/// `limit` and `cursor`.
#[utoipa::path(get, path = "/stations/{id}/connectors", tag = "stations",
    params(("id" = String, Path, description = "The station's identity, percent-encoded"), ShortPaging),
    responses((status = 200, body = Page<Connector>)), security(("api_key" = ["read"])))]
pub(super) async fn connectors(
    State(state): State<Arc<ApiState>>,
    caller: Caller,
    Id(id): Id,
    Query(paging): Query<ShortPaging>,
) -> Result<Json<Page<Connector>>> {
    let (station_id, _) = visible(&state, &caller, &id).await?;
    let connectors = state.store.connectors(station_id, caller.owner_id.clone()).await?;
    paging.cut(connectors, |connector| connector.connector_id.to_string()).map(Json)
}

/// Get a station's configuration
///
/// Every key that was read with `GetConfiguration` or set with `ChangeConfiguration`, by name, as it was last
/// read or set. The list is complete without `limit` and `cursor`. The station is not asked: for its present
/// configuration send it a `GetConfiguration` first.
#[utoipa::path(get, path = "/stations/{id}/configuration", tag = "stations",
    params(("id" = String, Path, description = "The station's identity, percent-encoded"), ShortPaging),
    responses((status = 200, body = Page<ConfigurationKey>)), security(("api_key" = ["read"])))]
pub(super) async fn configuration(
    State(state): State<Arc<ApiState>>,
    caller: Caller,
    Id(id): Id,
    Query(paging): Query<ShortPaging>,
) -> Result<Json<Page<ConfigurationKey>>> {
    let (station_id, _) = visible(&state, &caller, &id).await?;
    let keys = state.store.configuration(station_id).await?;
    paging.cut(keys, |key| key.key.clone()).map(Json)
}

/// Disconnect a station
///
/// Closes its socket (1000); it may connect again at once. 409 if it is not connected.
#[utoipa::path(post, path = "/stations/{id}/disconnect", tag = "stations",
    params(("id" = String, Path, description = "The station's identity, percent-encoded")),
    responses((status = 202, body = Disconnecting)), security(("api_key" = ["command"])))]
pub(super) async fn disconnect(
    State(state): State<Arc<ApiState>>,
    caller: Caller,
    Id(id): Id,
    _: NoQuery,
    _: body::NoBody,
) -> Result<(StatusCode, Json<Disconnecting>)> {
    let (station_id, station) = visible(&state, &caller, &id).await?;
    let not_connected = || ErrorAnswer::conflict(format!("station {id} is not connected"));
    if !station.connected {
        return Err(not_connected());
    }
    state.store.put_on_record().await?;
    let asked = state.stations.ask_to_leave(&station_id, Leave::Requested)
        || state.store.tell_node_of(station_id, StationNews::Requested).await?;
    match asked {
        true => Ok((
            StatusCode::ACCEPTED,
            Json(Disconnecting { station_id: station.station_id, disconnecting: true }),
        )),
        false => Err(not_connected()),
    }
}
