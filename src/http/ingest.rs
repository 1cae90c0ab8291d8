//! Events that integrators publish.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde_json::{Map, Value, json};

use super::ApiState;
use super::auth::Caller;
use super::body;
use super::problem::{ErrorAnswer, Result};
use super::query::NoQuery;
use outbound::destination::parse_url;
use outbound::headers::check_custom_headers;
use outbound::signature::SigningSecret;
use store::{Destination, IngestOutcome, NewIngest};
use vocabulary::api::ingest::{EventInput, EventStored};
use vocabulary::api::problem::{FieldError, Problem};
use vocabulary::event::{self, Category, NewEvent};

/// Publish an event
///
/// It is delivered like any other event: to one webhook (`webhook_id`, whatever it subscribes to), to an
/// owner's subscribed webhooks and those without owner (`owner_id`), to every subscribed webhook
/// (`broadcast`), or to a `url`, signed if there is a `secret`. A second event of the same owner with the
/// same `idempotency_key` is stored as a repeat of the first and is not delivered. `deliveries` counts the
/// created ones, including discarded ones of a disabled webhook. For a key that is bound to an owner it
/// counts those to the owner's webhooks, and the station of `station_id` must belong to the owner.
#[utoipa::path(post, path = "/events", tag = "events", request_body = EventInput,
    responses((status = 202, body = EventStored),
        (status = 404, body = Problem, description = "There is no such webhook, or for a bound key no such station")),
    security(("api_key" = ["write"])))]
pub(super) async fn create(
    State(state): State<Arc<ApiState>>,
    caller: Caller,
    _: NoQuery,
    given: body::JsonText,
) -> Result<(StatusCode, Json<EventStored>)> {
    let (input, destination) = read(&state, given).await?;
    match &destination {
        Destination::Broadcast if caller.owner_id.is_some() => {
            return Err(ErrorAnswer::forbidden("this API key is bound to an owner, and may not broadcast"));
        }
        Destination::Owner(owner) => drop(caller.owner_for(Some(owner.clone()))?),
        _ => {}
    }
    let custom_headers = match input.custom_headers.is_empty() {
        true => None,
        false => Some(serde_json::to_string(&input.custom_headers).map_err(|_| ErrorAnswer::internal())?),
    };
    let new = NewIngest {
        event: NewEvent {
            station_id: input.station_id.map(|station| station.as_str().to_owned()),
            ..NewEvent::new(Category::Custom, input.event, state.clock.now(), input.payload)
        },
        destination,
        custom_headers,
        idempotency_key: input.idempotency_key,
        bound_to: caller.owner_id.clone(),
    };
    match state.store.ingest(new).await? {
        IngestOutcome::Stored { id, deliveries, duplicate } => {
            Ok((StatusCode::ACCEPTED, Json(EventStored { id, deliveries, duplicate })))
        }
        IngestOutcome::UnknownWebhook => Err(ErrorAnswer::not_found("webhook of this webhook_id")),
        IngestOutcome::UnknownStation => Err(ErrorAnswer::not_found("station of this station_id")),
    }
}

/// The event and its destination, if everything is right.
///
/// # Errors
/// A 422 with every wrong field, by the schema and by meaning.
async fn read(state: &ApiState, given: body::JsonText) -> Result<(EventInput, Destination)> {
    let mut errors = body::errors::<EventInput>(&given.value)?;
    let Value::Object(members) = given.value else { return Err(ErrorAnswer::invalid(errors)) };
    let targets = targets(&members);
    if errors.is_empty() {
        // Read from its own text, so that the payload stays as it was written.
        let input: EventInput = serde_json::from_slice(&given.text)
            .map_err(|error| ErrorAnswer::invalid_field("", error.to_string()))?;
        return match check(state, &input, &targets).await {
            (Some(destination), wrong) if wrong.is_empty() => Ok((input, destination)),
            (_, wrong) => Err(ErrorAnswer::invalid(wrong)),
        };
    }
    let rest: EventInput = body::into(Value::Object(without_wrong(members, &errors)))?;
    let (_, mut wrong) = check(state, &rest, &targets).await;
    wrong.retain(|error| errors.iter().all(|named| named.field != error.field));
    errors.extend(wrong);
    Err(ErrorAnswer::invalid(errors))
}

/// The members that name a destination, wrong ones included.
fn targets(members: &Map<String, Value>) -> Vec<&'static str> {
    let says = |name: &str| !matches!(members.get(name), None | Some(Value::Null | Value::Bool(false)));
    ["webhook_id", "owner_id", "broadcast", "url"].into_iter().filter(|name| says(name)).collect()
}

/// The body without wrong members, so that the others can still be read and checked.
fn without_wrong(mut members: Map<String, Value>, errors: &[FieldError]) -> Map<String, Value> {
    for error in errors {
        let (member, entry) = error.field.split_once('.').unwrap_or((&error.field, ""));
        match members.get_mut(member) {
            Some(Value::Object(headers)) if headers.contains_key(entry) => drop(headers.remove(entry)),
            _ => drop(members.remove(member)),
        }
    }
    members.entry("event").or_insert_with(|| json!("placeholder.event"));
    members.entry("payload").or_insert_with(|| json!({}));
    members
}

/// The destination, and what is wrong with the event.
async fn check(
    state: &ApiState,
    input: &EventInput,
    targets: &[&str],
) -> (Option<Destination>, Vec<FieldError>) {
    let mut errors = Vec::new();
    match event::category_of(&input.event) {
        Ok(Category::Custom) => {}
        Ok(_) => {
            let message = "is a type of the gateway's own; custom names look like invoice.paid";
            errors.push(FieldError::new("event", message));
        }
        Err(error) => errors.push(FieldError::new("event", error.to_string())),
    }
    if !input.payload.get().trim_start().starts_with('{') {
        errors.push(FieldError::new("payload", "must be an object"));
    }
    if let Err(problems) = check_custom_headers(&input.custom_headers, None) {
        for problem in problems {
            let field = problem.name.map_or("custom_headers".into(), |name| format!("custom_headers.{name}"));
            errors.push(FieldError::new(field, problem.message));
        }
    }
    if let Some(Err(error)) = input.secret.as_deref().map(str::parse::<SigningSecret>) {
        errors.push(FieldError::new("secret", error.to_string()));
    }
    if input.secret.is_some() && !targets.contains(&"url") {
        errors.push(FieldError::new("secret", "signs what goes to a url: it needs one"));
    }
    let mut destinations = Vec::new();
    destinations.extend(input.webhook_id.map(Destination::Webhook));
    destinations.extend(input.owner_id.clone().map(Destination::Owner));
    destinations.extend(input.broadcast.then_some(Destination::Broadcast));
    if let Some(text) = &input.url {
        let checked = match parse_url(text) {
            Ok(url) => state.poster.guard().check_creation(&url, false).await.map(|()| url),
            Err(refusal) => Err(refusal),
        };
        match checked {
            Ok(url) => destinations.push(Destination::Url {
                origin: url.origin().ascii_serialization(),
                url: text.clone(),
                secret: input.secret.clone(),
            }),
            Err(refusal) => errors.push(FieldError::new("url", refusal.to_string())),
        }
    }
    if targets.len() != 1 {
        let message = "exactly one of webhook_id, owner_id, broadcast and url says where it goes";
        errors.push(FieldError::new("webhook_id", message));
    }
    (destinations.pop(), errors)
}
