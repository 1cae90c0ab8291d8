//! Events: the log of everything that happened.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde::Deserialize;
use serde_json::Value;
use utoipa::IntoParams;

use super::ApiState;
use super::auth::Caller;
use super::body;
use super::deliveries;
use super::event_patterns::{patterns, wrong_patterns};
use super::page::{self, Paging, ShortPaging};
use super::path::Id;
use super::payload_filter;
use super::problem::{self, ErrorAnswer, Result};
use super::query::{And, NoQuery, Parameters, Query};
use super::stream_places::Place;
use store::{EventFilter, Listed, Missing, Resent, ResumePoint, Slice, UnmatchedWebhook};
use vocabulary::api::event::{Event, EventDeliveries, EventResent, EventType, NotMatched};
use vocabulary::api::problem::FieldError;
use vocabulary::api::text::{Bound, Pattern};
use vocabulary::api::{Order, Page};
use vocabulary::clock::Timestamp;
use vocabulary::event;
use vocabulary::id::EventId;
use vocabulary::units::Span;

const LIST: &str = "events";

/// How long a long-poll may wait.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// Which events are meant.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct EventsQuery {
    /// Event types or patterns (`Start*`, `ocpp.*`); one of them must fit. May be given several times.
    #[serde(default)]
    #[param(inline, value_type = Vec<Pattern>, max_items = 50)]
    event: Vec<String>,
    /// The station it is about.
    #[param(min_length = 1, max_length = 64)]
    station_id: Option<String>,
    /// The customer it belongs to.
    #[param(min_length = 1, max_length = 200)]
    owner_id: Option<String>,
    /// Only events with a delivery to this webhook.
    #[param(minimum = 1)]
    webhook_id: Option<i64>,
    /// Its transaction.
    #[param(minimum = 1)]
    transaction_id: Option<i64>,
    /// It arrived then or later.
    #[param(inline, value_type = Option<Bound>)]
    since: Option<Timestamp>,
    /// It arrived before that.
    #[param(inline, value_type = Option<Bound>)]
    until: Option<Timestamp>,
    /// It happened then or later, by the charger's own clock.
    #[param(inline, value_type = Option<Bound>)]
    occurred_since: Option<Timestamp>,
    /// It happened before that, by the charger's own clock.
    #[param(inline, value_type = Option<Bound>)]
    occurred_until: Option<Timestamp>,
    /// Words in the payload, all of which must occur, in any letter case (`04A1B2 faulted`). `word*` is a
    /// prefix, and `"two words"` follow each other. A word is a run of letters and digits, so `12.5` or
    /// `CP-7` is a phrase. Names of members are words too. Any text is legal; blanks, quotes and brackets
    /// alone find nothing.
    #[param(min_length = 1, max_length = 200)]
    q: Option<String>,
    /// Conditions on the payload, in the language of a webhook's `filter`: a JSON object
    /// (`{"errorCode": {"$not": "NoError"}}`). What one request reads for it is bounded, so a page may have
    /// few rows, or none, and a `next_cursor`.
    #[param(min_length = 1, max_length = 4096)]
    filter: Option<String>,
}

impl Parameters for EventsQuery {
    fn wrong(given: &Value, errors: &mut Vec<FieldError>) {
        wrong_patterns(given, errors);
        payload_filter::wrong_filter(given, errors);
    }
}

impl EventsQuery {
    /// The filter for the store.
    ///
    /// # Errors
    /// 403 if a bound key names another owner.
    pub(super) fn filter(self, duplicate: Option<bool>, caller: &Caller) -> Result<EventFilter> {
        Ok(EventFilter {
            events: patterns(&self.event),
            station_id: self.station_id,
            owner_id: caller.owner_filter(self.owner_id)?,
            webhook_id: self.webhook_id,
            own_webhooks: caller.owner_id.is_some(),
            transaction_id: self.transaction_id,
            duplicate,
            since: self.since,
            until: self.until,
            occurred_since: self.occurred_since,
            occurred_until: self.occurred_until,
            q: self.q,
            payload: self.filter.as_deref().and_then(payload_filter::compiled),
        })
    }
}

/// How events are listed.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct PollQuery {
    /// Only repeats of other events, or no repeats.
    duplicate: Option<bool>,
    /// Only events that were committed after this one, the oldest first, for polling: `order` is `asc` with
    /// it.
    #[param(inline)]
    after: Option<EventId>,
    /// With `after`: how long to wait for a first such event, at most `60s`. The list is empty if none came.
    #[param(inline)]
    wait: Option<Span>,
}

impl Parameters for PollQuery {
    fn wrong(given: &Value, errors: &mut Vec<FieldError>) {
        let wait = given["wait"].as_str().and_then(|text| text.parse::<Span>().ok());
        if wait.is_some_and(|wait| wait.0 > WAIT_MAX) {
            errors.push(FieldError::new("wait", "must be at most 60s"));
        }
        let polls = !given["after"].is_null();
        if !given["wait"].is_null() && !polls {
            errors.push(FieldError::new("after", "is required with wait"));
        }
        if polls && given["order"] == "desc" {
            errors.push(FieldError::new("order", "is asc with after"));
        }
        let order = if polls { Order::Asc } else { Order::Desc };
        page::wrong_cursor(LIST, order, given, errors);
    }
}

/// List events
///
/// Newest first by commit. With `after`, which begins with the oldest, it is the pull alternative to
/// webhooks: pass the id of the last event you have, and `wait` to hold the call until there is another.
#[utoipa::path(get, path = "/events", tag = "events", params(EventsQuery, PollQuery, Paging),
    responses((status = 200, body = Page<Event>)), security(("api_key" = ["read"])))]
pub(super) async fn list(
    State(state): State<Arc<ApiState>>,
    caller: Caller,
    Query(And(query, And(poll, paging))): Query<And<EventsQuery, And<PollQuery, Paging>>>,
) -> Result<Json<Page<Event>>> {
    let filter = query.filter(poll.duplicate, &caller)?;
    let mut slice = match poll.after {
        Some(_) => paging.ascending().slice(LIST)?,
        None => paging.slice(LIST)?,
    };
    // A cursor of that list is further on.
    if let Some(after) = poll.after.filter(|_| paging.cursor.is_none()) {
        let seen = state.store.event(after).await?;
        let foreign = seen.is_some_and(|event| !caller.sees(event.owner_id.as_deref()));
        slice.after = match state.store.resume_point(after).await? {
            ResumePoint::Removed => return Err(overtaken("after")),
            ResumePoint::Behind(position) if !foreign => Some((position.number(), 0)),
            ResumePoint::Behind(_) | ResumePoint::Unknown => {
                return Err(ErrorAnswer::invalid_field("after", "there is no such event"));
            }
        };
    }
    // Read before the page, so that removals meanwhile are noticed with the next page.
    let horizon = state.store.log_horizon().await?.number();
    if let (true, Some((seq, known)), Some(_)) = (slice.ascending, slice.after, &paging.cursor)
        && horizon > seq.max(known)
    {
        return Err(overtaken("cursor"));
    }
    let mut listed = match poll.wait {
        Some(wait) => wait_for_events(&state, filter, &slice, wait).await?,
        None => state.store.events(filter, slice.clone()).await?,
    };
    // The cursor says how far retention had come; rows that are kept longer lie before that.
    listed.next = listed.next.map(|(seq, _)| (seq, horizon));
    Ok(Json(page::page(LIST, &slice, listed, |event| event)))
}

fn overtaken(what: &str) -> ErrorAnswer {
    let detail = format!(
        "{what}: events that came after it were removed by retention; begin anew without {what} to get what is kept"
    );
    ErrorAnswer::gone(detail)
}

/// The first page that is not empty, or an empty one when the time is up.
async fn wait_for_events(
    state: &ApiState,
    filter: EventFilter,
    slice: &Slice,
    wait: Span,
) -> Result<Listed<Event>> {
    let _place = Place::take(state)?;
    let deadline = tokio::time::Instant::now() + wait.0;
    let mut tail = state.store.tail();
    let mut slice = slice.clone();
    loop {
        // Marked as seen before the query, so that commits meanwhile wake this again.
        let newest = *tail.borrow_and_update();
        let listed = state.store.events(filter.clone(), slice.clone()).await?;
        if !listed.rows.is_empty() {
            return Ok(listed);
        }
        // Enough was read, and nothing of it fits: what is behind it may.
        if let Some(next) = listed.next {
            if tokio::time::Instant::now() >= deadline || state.stop.is_cancelled() {
                return Ok(listed);
            }
            slice.after = Some(next);
            continue;
        }
        // Nothing up to there fits, so it is not searched again.
        slice.after = slice.after.max(Some((newest.number(), 0)));
        tokio::select! {
            changed = tail.changed() => if changed.is_err() { return Ok(listed) },
            () = tokio::time::sleep_until(deadline) => return Ok(listed),
            // A waiting call must not hold up a stop; the client asks again.
            () = state.stop.cancelled() => return Ok(listed),
        }
    }
}

/// The event, if there is one that the caller may see.
async fn visible(state: &ApiState, caller: &Caller, id: &str) -> Result<Event> {
    let known = id.parse::<EventId>().ok();
    let event = match known {
        Some(id) => state.store.event(id).await?,
        None => None,
    };
    match event.filter(|event| caller.sees(event.owner_id.as_deref())) {
        Some(event) => Ok(event),
        None => Err(problem::missing(&state.store, &format!("event {id}"), known.map(Missing::Event)).await),
    }
}

/// Get an event
#[utoipa::path(get, path = "/events/{id}", tag = "events", params(("id" = EventId, Path, description = "The event")),
    responses((status = 200, body = Event)), security(("api_key" = ["read"])))]
pub(super) async fn get(
    State(state): State<Arc<ApiState>>,
    caller: Caller,
    Id(id): Id,
    _: NoQuery,
) -> Result<Json<Event>> {
    visible(&state, &caller, &id).await.map(Json)
}

/// How an event's deliveries are listed.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct EventDeliveriesQuery {
    /// Adds `not_matched`: every other webhook, and why it has no delivery.
    explain: Option<bool>,
    /// How many rows at most; without it all of them, unless they are large (see `next_cursor`).
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    #[param(min_length = 1)]
    cursor: Option<String>,
}

impl Parameters for EventDeliveriesQuery {
    fn wrong(given: &Value, errors: &mut Vec<FieldError>) {
        page::wrong_cursor("deliveries of ", Order::Asc, given, errors);
    }
}

/// List an event's deliveries
///
/// One per webhook that wanted the event when it was stored, in the order of their creation.
#[utoipa::path(get, path = "/events/{id}/deliveries", tag = "events",
    params(("id" = EventId, Path, description = "The event"), EventDeliveriesQuery),
    responses((status = 200, body = EventDeliveries)), security(("api_key" = ["read"])))]
pub(super) async fn deliveries(
    State(state): State<Arc<ApiState>>,
    caller: Caller,
    Id(id): Id,
    Query(query): Query<EventDeliveriesQuery>,
) -> Result<Json<EventDeliveries>> {
    let event = visible(&state, &caller, &id).await?;
    let Page { data, next_cursor } =
        deliveries::of_event(&state, &caller, event.id, query.limit, query.cursor.as_deref()).await?;
    let not_matched = match query.explain {
        Some(true) => Some(explain(&state, &caller, event).await?),
        _ => None,
    };
    Ok(Json(EventDeliveries { data, next_cursor, not_matched }))
}

async fn explain(state: &ApiState, caller: &Caller, event: Event) -> Result<Vec<NotMatched>> {
    let reasons = state.store.not_matched(event).await?;
    let visible = reasons.into_iter().filter(|unwanted| caller.sees(unwanted.owner_id.as_deref()));
    Ok(visible
        .map(|UnmatchedWebhook { webhook_id, reason, warnings, .. }| NotMatched {
            webhook_id,
            reason: reason.to_string(),
            warnings,
        })
        .collect())
}

/// Send an event again
///
/// Makes a new attempt at once for each of its deliveries that has ended; delivered ones only with `force`.
/// 409 if there is none to send again.
#[utoipa::path(post, path = "/events/{id}/resend", tag = "events",
    params(("id" = EventId, Path, description = "The event"), deliveries::ResendQuery),
    responses((status = 202, body = EventResent)), security(("api_key" = ["write"])))]
pub(super) async fn resend(
    State(state): State<Arc<ApiState>>,
    caller: Caller,
    Id(id): Id,
    Query(query): Query<deliveries::ResendQuery>,
    _: body::NoBody,
) -> Result<(StatusCode, Json<EventResent>)> {
    let event = visible(&state, &caller, &id).await?;
    let mut resent = Vec::new();
    for id in state.store.deliveries_of_event(event.id, caller.owner_id.clone()).await? {
        let force = query.force.unwrap_or(false);
        if state.store.resend(id, force, caller.owner_id.clone()).await? == Resent::Resent {
            resent.push(id);
        }
    }
    if resent.is_empty() {
        let detail = "it has no delivery that can be sent again: see its deliveries, and ?force=true";
        return Err(ErrorAnswer::conflict(detail));
    }
    Ok((StatusCode::ACCEPTED, Json(EventResent { id: event.id, deliveries: resent })))
}

/// List the event types
///
/// Every type that webhooks can subscribe to, by category; custom names (`invoice.paid`) are possible too.
/// The list is complete without `limit` and `cursor`.
#[utoipa::path(get, path = "/event-types", tag = "events", params(ShortPaging),
    responses((status = 200, body = Page<EventType>)), security(("api_key" = ["read"])))]
pub(super) async fn types(Query(paging): Query<ShortPaging>) -> Result<Json<Page<EventType>>> {
    let all = event::types().map(|(category, name)| EventType { event: name.to_owned(), category });
    paging.cut(all.collect(), |one| one.event.clone()).map(Json)
}
