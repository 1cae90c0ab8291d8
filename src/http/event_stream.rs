//! `GET /events/stream`: events as they are committed, and those that were missed before.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::HeaderMap;
use serde::Deserialize;
use utoipa::IntoParams;

use super::ApiState;
use super::auth::Caller;
use super::events::EventsQuery;
use super::problem::{ErrorAnswer, Result};
use super::query::{And, Parameters, Query};
use super::sse::{self, Piece, Source};
use super::stream_places::Place;
use store::{EventFilter, LogPosition, Result as StoreResult, Slice, Store};
use vocabulary::id::EventId;

/// How events are followed.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct StreamQuery {
    /// Only repeats of other events; without it, or with `false`, no repeats.
    duplicate: Option<bool>,
    /// Begin behind this event, for clients that cannot send `Last-Event-ID`, which takes precedence.
    /// `evt_00000000000000000000000000` is before all events.
    #[param(inline)]
    after: Option<EventId>,
}

impl Parameters for StreamQuery {}

/// Follow the events
///
/// A stream of server-sent events (`text/event-stream`) that goes on until one side ends it: `id` is the
/// event's id, `event` its type, and `data` the event as `GET /events/{id}` shows it, over several lines if
/// the charger broke its payload into lines.
///
/// It begins with events that are committed from now on, or behind `Last-Event-ID` (or `after`). From there
/// it has every event that fits, once, in the order of commit. A stream from now on begins with an `id`
/// without data, which an `EventSource` does not report as an event, so that it can be resumed even if it
/// breaks off before its first event. A comment every 15 seconds shows that it is alive. 410 if events behind
/// the given one were removed by retention; 503 if too many streams are open (`limits.streams`). A stream
/// ends when its API key is revoked or expires. `webhook_id` means deliveries that were created when the
/// event was stored.
#[utoipa::path(get, path = "/events/stream", tag = "events",
    params(EventsQuery, StreamQuery,
        ("Last-Event-ID" = Option<String>, Header, description = "The last event that a stream which broke off had told")),
    responses((status = 200, body = String, content_type = "text/event-stream")),
    security(("api_key" = ["read"])))]
pub(super) async fn stream(
    State(state): State<Arc<ApiState>>,
    caller: Caller,
    Query(And(query, stream)): Query<And<EventsQuery, StreamQuery>>,
    headers: HeaderMap,
) -> Result<Response> {
    let place = Place::take(&state)?;
    let last =
        sse::last_event_id(&headers)?.map(|id| id.parse().map_err(|_| sse::foreign_id())).transpose()?;
    let after: Option<EventId> = last.or(stream.after);
    let filter = query.filter(Some(stream.duplicate.unwrap_or(false)), &caller)?;
    let (position, start) = match after {
        Some(id) => {
            let position = state.store.event_position(id).await?;
            // A client that names an event already has an id to resume with.
            (position.ok_or_else(|| forgotten(id))?, None)
        }
        None => {
            let (position, id) = now(&state, &caller).await?;
            (position, Some(id.to_string()))
        }
    };
    let source = Events { store: state.store.clone(), filter, position };
    Ok(sse::answer(state, caller, place, start, source))
}

fn forgotten(id: EventId) -> ErrorAnswer {
    ErrorAnswer::gone(format!(
        "events that came after event {id} were removed by retention; begin anew without it, or behind \
         evt_00000000000000000000000000 for all that are kept"
    ))
}

/// Where the newest event stands now, and an id to come back to it with: the newest event that this key may
/// see, because what it may not see must not show in an id either.
async fn now(state: &ApiState, caller: &Caller) -> Result<(LogPosition, EventId)> {
    // Taken before the query, so that events committed meanwhile are sent.
    let newest = *state.store.tail().borrow();
    let mine = EventFilter { owner_id: caller.owner_id.clone(), ..EventFilter::default() };
    let slice = Slice { ascending: false, after: None, limit: 1 };
    let seen = state.store.events(mine, slice).await?.rows.pop();
    Ok(match seen {
        // What was committed just now counts as old.
        Some(seen) => (newest.max(seen.position), seen.id),
        None => (newest, EventId::from_value(0)),
    })
}

/// The source of a stream of events.
struct Events {
    store: Store,
    filter: EventFilter,
    position: LogPosition,
}

impl Source for Events {
    async fn read(&mut self, newest: LogPosition) -> StoreResult<Piece> {
        let mut piece = Piece::new(false);
        if newest <= self.position {
            return Ok(piece);
        }
        let stretch = self.store.stretch(self.filter.clone(), self.position, newest).await?;
        self.position = stretch.reaches;
        piece.more = self.position < newest;
        for event in stretch.events {
            let (id, name) = (event.id, event.event.clone());
            // An event is plain data: it can always be written.
            let json = serde_json::to_string(&event).unwrap_or_default();
            piece.push(id, Some(&name), &json);
        }
        Ok(piece)
    }
}
