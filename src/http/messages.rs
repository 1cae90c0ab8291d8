//! `GET /stations/{id}/messages`: what went over a station's wire, as pages or as a stream that goes on.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};
use serde::Deserialize;
use tokio::sync::{Semaphore, SemaphorePermit, watch};
use tokio::time::{Instant, sleep, timeout_at};
use utoipa::IntoParams;

use super::auth::Caller;
use super::path::Id;
use super::problem::Result;
use super::query::Query;
use super::{ApiState, page, stations};
use crate::api::message::{Direction, Message};
use crate::api::problem::Problem;
use crate::api::{Order, Page};
use crate::clock::Timestamp;
use crate::id::StationId;
use crate::store::{MessageFilter, Slice};

const LIST: &str = "messages";

/// Streams that may be open at once.
const FOLLOWERS_MAX: usize = 256;
static FOLLOWERS: Semaphore = Semaphore::const_new(FOLLOWERS_MAX);

/// Messages that a stream reads at once.
const READ_AT_ONCE: u32 = 100;

/// A CALL of ours is on its way without any event: so often a stream looks for those.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Between two looks, however busy the gateway is.
const LOOK_PAUSE: Duration = Duration::from_millis(100);

/// A stream that has nothing to tell says so, lest somebody between takes it for dead.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// How messages are listed.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct MessagesQuery {
    /// `inbound` is from the charger, `outbound` to it.
    #[param(inline)]
    direction: Option<Direction>,
    /// What they ask, or answer.
    #[param(min_length = 1, max_length = 50)]
    action: Option<String>,
    /// They went over the wire then or later.
    #[param(inline)]
    since: Option<Timestamp>,
    /// They went over the wire before that.
    #[param(inline)]
    until: Option<Timestamp>,
    /// Tell what comes from now on, or after `Last-Event-ID`, as a stream of server-sent events.
    follow: Option<bool>,
    /// Which end of the list comes first.
    #[param(inline)]
    order: Option<Order>,
    /// How many rows at most.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// List a station's messages
///
/// What it sent and what it was sent, as OCPP-J frames: each CALL, the answer to it, and what could not be served. It
/// is read from events and commands, is kept as long as they are, and is shown for `retention.messages`. A repeat of the very same bytes on one socket,
/// which is answered from memory, and an answer that came too late are not among them.
///
/// With `follow=true` it is a stream (`text/event-stream`): each message as an event of its own, as JSON, from now on
/// or behind the `Last-Event-ID` that is given. `order`, `limit` and `cursor` have no meaning then.
#[utoipa::path(get, path = "/stations/{id}/messages", tag = "stations",
    params(("id" = String, Path, description = "The station's identity, percent-encoded"), MessagesQuery,
        ("Last-Event-ID" = Option<String>, Header, description = "Where a stream that broke off had come to")),
    responses((status = 200, content((Page<Message> = "application/json"), (String = "text/event-stream")))),
    security(("api_key" = ["read"])))]
pub(super) async fn messages(
    State(state): State<Arc<ApiState>>,
    caller: Caller,
    Id(id): Id,
    Query(query): Query<MessagesQuery>,
    headers: HeaderMap,
) -> Result<Response> {
    let (station_id, _) = stations::visible(&state, &caller, &id).await?;
    let MessagesQuery { direction, action, since, until, .. } = query;
    let kept_since = state.config.messages_for.map(|span| state.clock.now().before(span));
    let filter = MessageFilter { direction, action, since: since.max(kept_since), until };
    if query.follow == Some(true) {
        return follow(state, station_id, filter, &headers).await;
    }
    let slice = page::slice(LIST, query.cursor.as_deref(), query.order, query.limit)?;
    let listed = state.store.messages(station_id, filter, slice.clone()).await?;
    Ok(Json(page::page(LIST, &slice, listed, |message| message)).into_response())
}

async fn follow(
    state: Arc<ApiState>,
    station_id: StationId,
    filter: MessageFilter,
    headers: &HeaderMap,
) -> Result<Response> {
    let permit = FOLLOWERS.try_acquire();
    let permit = permit.map_err(|_| Problem::unavailable("too many streams are open: try again later"))?;
    let position =
        match headers.get("last-event-id") {
            Some(last) => last.to_str().ok().and_then(position).ok_or_else(|| {
                Problem::malformed("Last-Event-ID is not the id of an event of this stream")
            })?,
            None => state.store.newest_message(station_id.clone()).await?,
        };
    let tail = state.store.tail();
    let follower =
        Follower { state, station_id, filter, position, tail, told: VecDeque::new(), _permit: permit };
    let body = stream::unfold(follower, |mut follower| async move {
        follower.next().await.map(|chunk| (Ok::<_, Infallible>(chunk), follower))
    });
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    Ok((headers, Body::from_stream(body)).into_response())
}

/// Where a stream has come to, as its events' ids say it.
fn position(text: &str) -> Option<(i64, i64)> {
    let (event, command) = text.split_once('-')?;
    let position: (i64, i64) = (event.parse().ok()?, command.parse().ok()?);
    (position.0 >= 0 && position.1 >= 0).then_some(position)
}

/// One open stream.
struct Follower {
    state: Arc<ApiState>,
    station_id: StationId,
    filter: MessageFilter,
    position: (i64, i64),
    tail: watch::Receiver<i64>,
    told: VecDeque<Bytes>,
    _permit: SemaphorePermit<'static>,
}

impl Follower {
    /// The next piece of the stream; `None` ends it.
    async fn next(&mut self) -> Option<Bytes> {
        let silent_until = Instant::now() + KEEP_ALIVE;
        loop {
            if let Some(told) = self.told.pop_front() {
                return Some(told);
            }
            // Seen before the query, so that what is committed after it wakes us.
            self.tail.borrow_and_update();
            self.read().await?;
            if !self.told.is_empty() {
                continue;
            }
            if Instant::now() >= silent_until {
                return Some(Bytes::from_static(b":\n\n"));
            }
            let look_at = (Instant::now() + LOOK_EVERY).min(silent_until);
            tokio::select! {
                () = self.state.stop.cancelled() => return None,
                () = sleep(LOOK_PAUSE) => {}
            }
            tokio::select! {
                () = self.state.stop.cancelled() => return None,
                _ = timeout_at(look_at, self.tail.changed()) => {}
            }
        }
    }

    /// Reads what is new.
    async fn read(&mut self) -> Option<()> {
        let slice = Slice { ascending: true, after: Some(self.position), limit: READ_AT_ONCE };
        let read = self.state.store.messages_after(self.station_id.clone(), self.filter.clone(), slice).await;
        let messages = read.inspect_err(|error| tracing::warn!("a stream of messages ends: {error}")).ok()?;
        for (message, position) in messages {
            self.position = position;
            let json = serde_json::to_string(&message).ok()?;
            let (event, command) = position;
            self.told.push_back(Bytes::from(format!("id: {event}-{command}\ndata: {json}\n\n")));
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_reads_back() {
        assert_eq!(position("17-42"), Some((17, 42)));
        for text in ["", "17", "17-", "-1-2", "a-b", "1--2"] {
            assert_eq!(position(text), None, "{text}");
        }
    }
}
