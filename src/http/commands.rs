//! Commands: sent to stations, waited for, listed, canceled.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::time::{Instant, sleep_until};
use utoipa::IntoParams;

use super::ApiState;
use super::auth::Caller;
use super::body;
use super::page::{self, Paging};
use super::path::Id;
use super::problem::{self, ErrorAnswer, Result};
use super::query::{And, NoQuery, Parameters, Query};
use super::stations;
use store::{Cancellation, CommandEnd, CommandFilter, Creation, Missing, NewCommand, NotReady};
use vocabulary::api::command::{Command, CommandInput, CommandStatus};
use vocabulary::api::problem::{FieldError, Problem};
use vocabulary::api::text::Bound;
use vocabulary::api::{Order, Page};
use vocabulary::clock::Timestamp;
use vocabulary::id::CommandId;
use vocabulary::ocpp::Violation;
use vocabulary::ocpp::command::CommandAction;
use vocabulary::ocpp::frame::empty_object;
use vocabulary::ocpp::message::MessageAction;
use vocabulary::ocpp::protocol::Protocol;
use vocabulary::similar_name::nearest;
use vocabulary::units::Span;

/// The name of lists of commands in cursors.
pub(super) const LIST: &str = "commands";

/// The end of the path of a station's commands.
pub(super) const PATH: &str = "/stations/{id}/commands";

/// How long an answer may be waited for.
const TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(600);

/// How long a command may wait for its station.
const EXPIRES_IN: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(30 * 86_400);

/// How long a command waits for its station by default.
const QUEUED_FOR: Duration = Duration::from_secs(3_600);

/// The same for commands that somebody at the charger waits for.
const QUEUED_FOR_NOW: Duration = Duration::from_secs(60);

/// Added to the time for the turn and the time for the answer.
const MARGIN: Duration = Duration::from_secs(5);

/// The longest that a call waits for a command.
pub(super) const WAIT_MAX: Duration = Duration::from_secs(2 * 600 + 5);

/// How long calls still wait for their command when the gateway stops: its connection ends soon, and so does
/// the command.
const LAST_WAIT: Duration = Duration::from_secs(3);

/// What an integrator may keep with a command, as JSON text.
const METADATA_MAX_BYTES: usize = 16 << 10;

/// Whose commands are listed.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct WhoseQuery {
    /// The station they are for.
    #[param(min_length = 1, max_length = 64)]
    station_id: Option<String>,
    /// The customer of the station when they were created.
    #[param(min_length = 1, max_length = 200)]
    owner_id: Option<String>,
}

impl Parameters for WhoseQuery {}

/// Which commands are listed, of one station or of all.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct CommandsQuery {
    /// The action.
    #[param(min_length = 1, max_length = 64)]
    action: Option<String>,
    /// Their status.
    #[param(inline)]
    status: Option<CommandStatus>,
    /// They were created then or later.
    #[param(inline, value_type = Option<Bound>)]
    since: Option<Timestamp>,
    /// They were created before that.
    #[param(inline, value_type = Option<Bound>)]
    until: Option<Timestamp>,
}

impl CommandsQuery {
    pub(super) fn filter(self) -> CommandFilter {
        CommandFilter {
            action: self.action.and_then(|name| name.parse().ok()),
            status: self.status,
            since: self.since,
            until: self.until,
            ..CommandFilter::default()
        }
    }
}

impl Parameters for CommandsQuery {
    /// An unknown action is an error, and so is a cursor of another list.
    fn wrong(given: &Value, errors: &mut Vec<FieldError>) {
        let action = given["action"].as_str().filter(|name| !name.is_empty());
        if let Some(Err(message)) = action.map(action_named) {
            errors.push(FieldError::new("action", message));
        }
        page::wrong_cursor(LIST, Order::Desc, given, errors);
    }
}

/// A request without errors.
struct Checked {
    input: CommandInput,
    action: CommandAction,
    payload: Box<RawValue>,
}

/// Reads a body and checks it, its payload too, naming every wrong field.
fn read(body: &body::JsonText, now: Timestamp) -> Result<Checked> {
    let mut errors = body::errors::<CommandInput>(&body.value)?;
    check_bounds(body, &mut errors);
    if !body.value["expires_in"].is_null() && body.value["queue"] != Value::Bool(true) {
        errors
            .push(FieldError::new("expires_in", "is for commands that may wait: set queue to true with it"));
    }
    let payload = action_and_payload(body, now, &mut errors);
    match (payload, errors.is_empty()) {
        (Some((action, payload)), true) => {
            let input = serde_json::from_slice(&body.text)
                .map_err(|error| ErrorAnswer::invalid_field("", error.to_string()))?;
            Ok(Checked { input, action, payload })
        }
        _ => Err(ErrorAnswer::invalid(errors)),
    }
}

/// Adds what is out of bounds of the members that commands to one station and to many have in common.
pub(super) fn check_bounds(body: &body::JsonText, errors: &mut Vec<FieldError>) {
    let spans = |name: &str| body.value[name].as_str().and_then(|text| text.parse::<Span>().ok());
    if spans("timeout").is_some_and(|timeout| !TIMEOUT.contains(&timeout.0)) {
        errors.push(FieldError::new("timeout", "must be from 100ms to 10m"));
    }
    if spans("expires_in").is_some_and(|expires_in| !EXPIRES_IN.contains(&expires_in.0)) {
        errors.push(FieldError::new("expires_in", "must be from 1s to 30d"));
    }
    let metadata = &body.value["metadata"];
    if !metadata.is_null() && metadata.to_string().len() > METADATA_MAX_BYTES {
        errors.push(FieldError::new("metadata", "must have at most 16 KiB"));
    }
}

/// What a body asks, with its payload as it is sent; `None` if anything is wrong with them, which is added.
pub(super) fn action_and_payload(
    body: &body::JsonText,
    now: Timestamp,
    errors: &mut Vec<FieldError>,
) -> Option<(CommandAction, Box<RawValue>)> {
    let action = match body.value["action"].as_str().filter(|name| !name.is_empty()).map(action_named) {
        Some(Ok(action)) => Some(action),
        Some(Err(message)) => {
            errors.push(FieldError::new("action", message));
            None
        }
        None => None,
    };
    action.and_then(|action| match action.check(&given_payload(body), now) {
        Ok(payload) => Some((action, payload)),
        // The schema has already named a payload that is no object.
        Err(_) if !matches!(body.value["payload"], Value::Null | Value::Object(_)) => None,
        Err(violations) => {
            errors.extend(violations.into_iter().map(in_payload));
            None
        }
    })
}

/// The payload's own text: its members are sent in the order given.
fn given_payload(body: &body::JsonText) -> Box<RawValue> {
    #[derive(Deserialize)]
    struct Payload {
        payload: Option<Box<RawValue>>,
    }
    let given = serde_json::from_slice::<Payload>(&body.text).ok().and_then(|body| body.payload);
    given.unwrap_or_else(empty_object)
}

fn in_payload(violation: Violation) -> FieldError {
    let field = match violation.field {
        Some(field) if !field.is_empty() => format!("payload.{field}"),
        _ => "payload".to_owned(),
    };
    FieldError::new(field, violation.problem)
}

pub(super) fn action_named(name: &str) -> std::result::Result<CommandAction, String> {
    name.parse::<CommandAction>().map_err(|unknown| {
        if Protocol::ALL.into_iter().flat_map(MessageAction::all).any(|action| action.as_str() == name) {
            return format!("{name} is what a charger sends, not a command");
        }
        match nearest(name, Protocol::ALL.into_iter().flat_map(CommandAction::all).map(CommandAction::as_str))
        {
            Some(nearest) => format!("is {unknown}; did you mean {nearest}?"),
            None => format!("is {unknown}"),
        }
    })
}

pub(super) fn queued_for(action: CommandAction) -> Duration {
    if action.is_urgent() { QUEUED_FOR_NOW } else { QUEUED_FOR }
}

fn not_ready(station: &str, action: CommandAction, why: NotReady) -> ErrorAnswer {
    let hint = "; with queue: true the command waits for it";
    ErrorAnswer::conflict(match why {
        NotReady::NotConnected => format!("station {station} is not connected{hint}"),
        NotReady::NeverBooted => format!("station {station} has not sent a BootNotification yet{hint}"),
        NotReady::Pending => format!(
            "the boot of station {station} was answered Pending: until it has booted again and been accepted, \
             {action} may not be sent{hint}"
        ),
        NotReady::Rejected => {
            format!("the boot of station {station} was answered Rejected: it may not be called{hint}")
        }
        NotReady::Full => format!("too many commands wait for station {station} already"),
    })
}

/// Send a command to a station
///
/// The payload is checked by the schema of its action and by rules of the specification. With `wait` (the
/// default) the answer is the command at its end: 200, or 504 if the charger did not answer in time or its
/// connection was lost; the charger may still have executed it. 202 without `wait`, and for a command that
/// waits for its station. Commands of one station are sent one after the other. A call that ends early does
/// not cancel the command.
#[utoipa::path(post, path = "/stations/{id}/commands", tag = "commands", request_body = CommandInput,
    params(("id" = String, Path, description = "The station's identity, percent-encoded")),
    responses(
        (status = 200, body = Command, description = "It has ended; the charger's verdict is in `response`"),
        (status = 202, body = Command, description = "It is queued, or was sent"),
        (status = 409, body = Problem, description = "The station cannot take it now, or a request with this Idempotency-Key is still running"),
        (status = 504, body = Command, description = "It was not answered in time, or its turn did not come"),
    ),
    security(("api_key" = ["command:ACTION"])))]
pub(super) async fn send(
    State(state): State<Arc<ApiState>>,
    caller: Caller,
    Id(id): Id,
    _: NoQuery,
    body: body::JsonText,
) -> Result<(StatusCode, Json<Command>)> {
    let (station_id, _) = stations::visible(&state, &caller, &id).await?;
    let Checked { input, action, payload } = read(&body, state.clock.now())?;
    caller.may_send(action)?;
    let key_verifier = match action.new_password(&payload) {
        Some(key) => stations::hash_password(&state, &key).await?.pop(),
        None => None,
    };
    let new = NewCommand {
        station_id: station_id.clone(),
        action,
        payload,
        timeout: input.timeout.0,
        queue_for: input.queue.then(|| input.expires_in.map_or_else(|| queued_for(action), |span| span.0)),
        metadata: input.metadata,
        key_verifier,
        requested_by: caller.requested_by(),
    };
    let (command, end, now) = match state.store.create_command(new).await? {
        Creation::Created { command, end, now } => (command, end, now),
        Creation::NotReady(why) => return Err(not_ready(&id, action, why)),
        Creation::UnknownStation => return Err(stations::unknown(&id)),
    };
    state.stations.tell_of_commands(&station_id);
    if !input.wait || !now {
        return Ok((StatusCode::ACCEPTED, Json(*command)));
    }
    wait(&state, end, input.timeout.0).await;
    let command = state.store.command(command.id).await?.ok_or_else(ErrorAnswer::internal)?;
    Ok((status_of(&command), Json(command)))
}

/// Returns when the command has ended, when its time is over, or a moment after the gateway began to stop.
async fn wait(state: &ApiState, mut end: CommandEnd, timeout: Duration) {
    tokio::select! {
        () = end.wait() => return,
        () = sleep_until(Instant::now() + timeout * 2 + MARGIN) => return,
        () = state.stop.cancelled() => {}
    }
    let _ = tokio::time::timeout(LAST_WAIT, end.wait()).await;
}

fn status_of(command: &Command) -> StatusCode {
    match command.status {
        CommandStatus::Queued | CommandStatus::Sent => StatusCode::ACCEPTED,
        CommandStatus::Timeout | CommandStatus::ConnectionLost | CommandStatus::Expired => {
            StatusCode::GATEWAY_TIMEOUT
        }
        CommandStatus::Completed | CommandStatus::Error | CommandStatus::Canceled => StatusCode::OK,
    }
}

/// List a station's commands
#[utoipa::path(get, path = "/stations/{id}/commands", tag = "commands",
    params(("id" = String, Path, description = "The station's identity, percent-encoded"), CommandsQuery, Paging),
    responses((status = 200, body = Page<Command>)), security(("api_key" = ["read"])))]
pub(super) async fn of_station(
    State(state): State<Arc<ApiState>>,
    caller: Caller,
    Id(id): Id,
    Query(And(query, paging)): Query<And<CommandsQuery, Paging>>,
) -> Result<Json<Page<Command>>> {
    let (_, station) = stations::visible(&state, &caller, &id).await?;
    let filter = CommandFilter {
        station_id: Some(station.station_id),
        owner_id: caller.owner_filter(None)?,
        ..query.filter()
    };
    let slice = paging.slice(LIST)?;
    let listed = state.store.commands(filter, slice.clone()).await?;
    Ok(Json(page::page(LIST, &slice, listed, |command| command)))
}

/// List commands
#[utoipa::path(get, path = "/commands", tag = "commands", params(WhoseQuery, CommandsQuery, Paging),
    responses((status = 200, body = Page<Command>)), security(("api_key" = ["read"])))]
pub(super) async fn list(
    State(state): State<Arc<ApiState>>,
    caller: Caller,
    Query(And(whose, And(query, paging))): Query<And<WhoseQuery, And<CommandsQuery, Paging>>>,
) -> Result<Json<Page<Command>>> {
    let filter = CommandFilter {
        station_id: whose.station_id,
        owner_id: caller.owner_filter(whose.owner_id)?,
        ..query.filter()
    };
    let slice = paging.slice(LIST)?;
    let listed = state.store.commands(filter, slice.clone()).await?;
    Ok(Json(page::page(LIST, &slice, listed, |command| command)))
}

/// The command, if there is one that the caller may see.
pub(super) async fn visible(state: &ApiState, caller: &Caller, id: &str) -> Result<(CommandId, Command)> {
    let known = id.parse().ok();
    let found = match known {
        Some(id) => state.store.command(id).await?,
        None => None,
    };
    match found.filter(|command| caller.sees(command.owner_id.as_deref())) {
        Some(command) => Ok((command.id, command)),
        None => {
            let what = format!("command {id}");
            Err(problem::missing(&state.store, &what, known.map(Missing::Command)).await)
        }
    }
}

fn unknown(id: &str) -> ErrorAnswer {
    ErrorAnswer::not_found(format_args!("command {id}"))
}

/// Get a command
#[utoipa::path(get, path = "/commands/{id}", tag = "commands",
    params(("id" = CommandId, Path, description = "The command")),
    responses((status = 200, body = Command)), security(("api_key" = ["read"])))]
pub(super) async fn get(
    State(state): State<Arc<ApiState>>,
    caller: Caller,
    Id(id): Id,
    _: NoQuery,
) -> Result<Json<Command>> {
    visible(&state, &caller, &id).await.map(|(_, command)| Json(command))
}

/// Cancel a command
///
/// It is never sent. 409 if it was sent already, or has ended.
#[utoipa::path(post, path = "/commands/{id}/cancel", tag = "commands",
    params(("id" = CommandId, Path, description = "The command")),
    responses((status = 200, body = Command)), security(("api_key" = ["command:ACTION"])))]
pub(super) async fn cancel(
    State(state): State<Arc<ApiState>>,
    caller: Caller,
    Id(id): Id,
    _: NoQuery,
    _: body::NoBody,
) -> Result<Json<Command>> {
    let (command_id, command) = visible(&state, &caller, &id).await?;
    let action = command.action.parse().map_err(|_| ErrorAnswer::internal())?;
    caller.may_send(action)?;
    match state.store.cancel_command(command_id).await? {
        Cancellation::Canceled(command) => Ok(Json(*command)),
        Cancellation::TooLate(CommandStatus::Sent) => {
            Err(ErrorAnswer::conflict("the command was sent: its answer is waited for"))
        }
        Cancellation::TooLate(status) => {
            Err(ErrorAnswer::conflict(format!("the command has ended: it is {}", status.as_str())))
        }
        Cancellation::Unknown => Err(unknown(&id)),
    }
}
