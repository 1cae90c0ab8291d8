//! `GET /stations/{id}/messages`: a station's OCPP messages, as pages or as a stream.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::HeaderMap;
use serde::Deserialize;
use serde_json::Value;
use utoipa::IntoParams;

use super::auth::Caller;
use super::page::{self, Paging};
use super::path::Id;
use super::problem::Result;
use super::query::{And, Parameters, Query};
use super::sse::{self, Piece, Source};
use super::stream_places::Place;
use super::{ApiState, stations};
use store::{LogPosition, MessageFilter, MessagePosition, PlacedMessage, Result as StoreResult, Store};
use vocabulary::api::message::{Direction, Message};
use vocabulary::api::problem::FieldError;
use vocabulary::api::text::Bound;
use vocabulary::api::{Order, Page};
use vocabulary::clock::Timestamp;
use vocabulary::id::StationId;

const LIST: &str = "messages";

/// Messages that a stream reads at once.
const READ_AT_ONCE: u32 = 100;

/// How messages are listed.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct MessagesQuery {
    /// `inbound` is from the charger, `outbound` to it.
    #[param(inline)]
    direction: Option<Direction>,
    /// Their action, or that of the CALL they answer.
    #[param(min_length = 1, max_length = 50)]
    action: Option<String>,
    /// They were sent or received then or later.
    #[param(inline, value_type = Option<Bound>)]
    since: Option<Timestamp>,
    /// They were sent or received before that.
    #[param(inline, value_type = Option<Bound>)]
    until: Option<Timestamp>,
    /// Send messages from now on, or behind `Last-Event-ID`, as a stream of server-sent events.
    follow: Option<bool>,
}

impl Parameters for MessagesQuery {
    fn wrong(given: &Value, errors: &mut Vec<FieldError>) {
        page::wrong_cursor(LIST, Order::Desc, given, errors);
    }
}

/// List a station's messages
///
/// Messages that it sent and received, as OCPP-J frames: each CALL, the answer to it, and frames that could
/// not be served. They are read from events and commands, are kept as long as those, and are shown for
/// `retention.messages`. A repeat of the same bytes on one socket, which is answered from memory, and a late
/// answer are not shown.
///
/// With `follow=true` it is a stream (`text/event-stream`): each message as an event of its own, as JSON,
/// from now on or behind the `Last-Event-ID` that is given. `order`, `limit` and `cursor` have no meaning
/// then.
#[utoipa::path(get, path = "/stations/{id}/messages", tag = "stations",
    params(("id" = String, Path, description = "The station's identity, percent-encoded"), MessagesQuery, Paging,
        ("Last-Event-ID" = Option<String>, Header, description = "Where a stream that broke off had come to")),
    responses((status = 200, content((Page<Message> = "application/json"), (String = "text/event-stream")))),
    security(("api_key" = ["read"])))]
pub(super) async fn messages(
    State(state): State<Arc<ApiState>>,
    caller: Caller,
    Id(id): Id,
    Query(And(query, paging)): Query<And<MessagesQuery, Paging>>,
    headers: HeaderMap,
) -> Result<Response> {
    let (station_id, _) = stations::visible(&state, &caller, &id).await?;
    let MessagesQuery { direction, action, since, until, .. } = query;
    let kept_since = state.settings.retention.messages.limit().map(|span| state.clock.now().before(span));
    // Messages from the time when the station had another owner are not shown.
    let owner_id = caller.owner_id.clone();
    let filter = MessageFilter { owner_id, direction, action, since: since.max(kept_since), until };
    if query.follow == Some(true) {
        return follow(state, caller, station_id, filter, &headers).await;
    }
    let slice = paging.slice(LIST)?;
    let listed = state.store.messages(station_id, filter, slice.clone()).await?;
    Ok(Json(page::page(LIST, &slice, listed, |message| message)).into_response())
}

async fn follow(
    state: Arc<ApiState>,
    caller: Caller,
    station_id: StationId,
    filter: MessageFilter,
    headers: &HeaderMap,
) -> Result<Response> {
    let place = Place::take(&state)?;
    let (position, start) = match sse::last_event_id(headers)? {
        Some(last) => (last.parse().map_err(|_| sse::foreign_id())?, None),
        None => {
            let newest = state.store.newest_message(station_id.clone()).await?;
            (newest, Some(newest.to_string()))
        }
    };
    let store = state.store.clone();
    Ok(sse::answer(state, caller, place, start, Messages { store, station_id, filter, position }))
}

/// The source of a stream of messages.
struct Messages {
    store: Store,
    station_id: StationId,
    filter: MessageFilter,
    position: MessagePosition,
}

impl Source for Messages {
    // A CALL of the gateway has no event yet, so `newest` is not enough here.
    async fn read(&mut self, _newest: LogPosition) -> StoreResult<Piece> {
        let (station_id, filter) = (self.station_id.clone(), self.filter.clone());
        let page = self.store.messages_after(station_id, filter, self.position, READ_AT_ONCE).await?;
        let mut piece = Piece::new(page.more);
        for PlacedMessage { message, position } in page.messages {
            self.position = position;
            // A message is plain data, so it can always be written.
            let json = serde_json::to_string(&message).unwrap_or_default();
            piece.push(position, None, &json);
        }
        Ok(piece)
    }
}
