//! `GET /events/stream`: events as they are committed, and all that were missed before.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::HeaderMap;
use serde::Deserialize;
use utoipa::IntoParams;

use super::ApiState;
use super::auth::Caller;
use super::events;
use super::problem::Result;
use super::query::Query;
use super::sse::{self, Piece, Place, Source};
use crate::api::event::Event;
use crate::api::problem::Problem;
use crate::clock::Timestamp;
use crate::id::EventId;
use crate::store::{EventFilter, Result as StoreResult, Slice, Store};

/// Which events a stream tells.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct StreamQuery {
    /// Event types or patterns (`Start*`, `ocpp.*`); one of them must fit. May be given several times.
    #[serde(default)]
    #[param(max_items = 50)]
    event: Vec<String>,
    /// The station it is about.
    #[param(min_length = 1, max_length = 64)]
    station_id: Option<String>,
    /// The customer it belongs to.
    #[param(min_length = 1, max_length = 200)]
    owner_id: Option<String>,
    /// Only events with a delivery to this webhook, made when they were stored.
    #[param(minimum = 1)]
    webhook_id: Option<i64>,
    /// The transaction it was attached to.
    #[param(minimum = 1)]
    transaction_id: Option<i64>,
    /// Only repeats of other events; without it, or with `false`, none of them.
    duplicate: Option<bool>,
    /// It arrived then or later.
    #[param(inline)]
    since: Option<Timestamp>,
    /// It arrived before that.
    #[param(inline)]
    until: Option<Timestamp>,
    /// It happened then or later, by the charger's own clock.
    #[param(inline)]
    occurred_since: Option<Timestamp>,
    /// It happened before that, by the charger's own clock.
    #[param(inline)]
    occurred_until: Option<Timestamp>,
    /// What to look for in the payload: words, all of which must occur, whatever their letter case (`04A1B2 faulted`).
    /// `word*` is all words that begin so, and `"two words"` follow each other. A word is a run of letters and
    /// digits, so `12.5` or `CP-7` is a phrase. Names of members are words too. Any text is legal.
    #[param(min_length = 1, max_length = 200)]
    q: Option<String>,
    /// Begin behind this event, for readers that cannot send `Last-Event-ID`, which wins over it.
    /// `evt_00000000000000000000000000` is in front of everything.
    #[param(inline)]
    after: Option<EventId>,
}

impl StreamQuery {
    fn filter(self, caller: &Caller) -> Result<EventFilter> {
        let mut errors = Vec::new();
        let events = events::patterns(&self.event, &mut errors);
        if !errors.is_empty() {
            return Err(Problem::invalid(errors));
        }
        Ok(EventFilter {
            events,
            station_id: self.station_id,
            owner_id: caller.owner_filter(self.owner_id)?,
            webhook_id: self.webhook_id,
            own_webhooks: caller.owner_id.is_some(),
            transaction_id: self.transaction_id,
            duplicate: Some(self.duplicate.unwrap_or(false)),
            since: self.since,
            until: self.until,
            occurred_since: self.occurred_since,
            occurred_until: self.occurred_until,
            q: self.q,
        })
    }
}

/// Follow the events
///
/// A stream of server-sent events (`text/event-stream`) that goes on until one side ends it: `id` is the event's
/// id, `event` its type, and `data` the event as `GET /events/{id}` shows it, over several lines if the charger
/// broke its payload into lines.
///
/// It begins with what is committed from now on, or behind `Last-Event-ID` (or `after`), and then leaves nothing
/// out and repeats nothing: everything that fits, in the order of commit. Right at its beginning stands an `id`
/// without data, so that also a stream that breaks off before its first event can be resumed. A comment every 15
/// seconds tells that it is alive. 410 if events that came after it were removed by retention; 503 if too many streams are
/// open (`limits.streams`). A stream ends when its API key is revoked or expires.
#[utoipa::path(get, path = "/events/stream", tag = "events",
    params(StreamQuery,
        ("Last-Event-ID" = Option<String>, Header, description = "The last event that a stream which broke off had told")),
    responses((status = 200, body = String, content_type = "text/event-stream")),
    security(("api_key" = ["read"])))]
pub(super) async fn stream(
    State(state): State<Arc<ApiState>>,
    caller: Caller,
    Query(query): Query<StreamQuery>,
    headers: HeaderMap,
) -> Result<Response> {
    let place = Place::take(&state)?;
    let last =
        sse::last_event_id(&headers)?.map(|id| id.parse().map_err(|_| sse::foreign_id())).transpose()?;
    let after: Option<EventId> = last.or(query.after);
    let filter = query.filter(&caller)?;
    let (position, start) = match after {
        Some(id) => {
            let position = state.store.event_position(id).await?;
            (position.ok_or_else(|| forgotten(id))?, id)
        }
        None => now(&state, &caller).await?,
    };
    let source = Events { store: state.store.clone(), filter, position };
    Ok(sse::answer(state, caller, place, Some(start.to_string()), source))
}

fn forgotten(id: EventId) -> Problem {
    Problem::gone(format!(
        "events that came after event {id} were removed by retention; begin anew without it, or behind \
         evt_00000000000000000000000000 for all that are kept"
    ))
}

/// The row that is the newest now, and an id to come back to it with: the newest event that this key may see,
/// because what it may not see must not show in an id either.
async fn now(state: &ApiState, caller: &Caller) -> Result<(i64, EventId)> {
    // Taken before the query: what is committed in between is told.
    let newest = *state.store.tail().borrow();
    let mine = EventFilter { owner_id: caller.owner_id.clone(), ..EventFilter::default() };
    let slice = Slice { ascending: false, after: None, limit: 1 };
    let seen = state.store.events(mine, slice).await?.rows.pop();
    Ok(match seen {
        Some(seen) if seen.seq <= newest => (newest, seen.id),
        // It was committed just now, and counts as old.
        Some(seen) => (seen.seq, seen.id),
        None => (newest, EventId::from_value(0)),
    })
}

/// What a stream of events tells.
struct Events {
    store: Store,
    filter: EventFilter,
    position: i64,
}

impl Source for Events {
    async fn read(&mut self, newest: i64) -> StoreResult<Piece> {
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
            let json = serde_json::to_string(&Event::from(event)).unwrap_or_default();
            piece.push(id, Some(&name), &json);
        }
        Ok(piece)
    }
}
