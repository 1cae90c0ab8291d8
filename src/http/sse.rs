//! Streams of server-sent events: the part that all have in common.
//!
//! A stream has no queue: it reads a bounded piece from the store once the one before it was sent, so a slow
//! reader only falls behind. **Invariants**: no stream outlives a stop, or its key by more than a second.

use std::convert::Infallible;
use std::fmt::{Display, Write};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout_at};
use tracing::warn;

use super::auth::{self, Caller};
use super::problem::{ErrorAnswer, Result};
use super::stream_places::Place;
use super::{ApiState, serve};
use store::{LogPosition, Result as StoreResult};
use vocabulary::log_limit::limited;

/// How long a stream sleeps at most before it checks its key and its source again.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Pause between two reads of the source, however busy the gateway is.
const LOOK_PAUSE: Duration = Duration::from_millis(100);

/// A stream without messages sends a comment this often, so that no proxy takes it for dead.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// How long a reader should wait before it connects again, in milliseconds.
const RECONNECT_MS: u64 = 1_000;

/// The source of a stream.
pub(super) trait Source: Send + 'static {
    /// Reads the next piece behind where it has come to; `newest` is where the newest event stands.
    fn read(&mut self, newest: LogPosition) -> impl Future<Output = StoreResult<Piece>> + Send;
}

/// Some events, as they are sent.
#[derive(Debug)]
pub(super) struct Piece {
    text: String,
    /// More can be read at once.
    pub(super) more: bool,
}

impl Piece {
    /// An empty piece.
    pub(super) fn new(more: bool) -> Self {
        Self { text: String::new(), more }
    }

    /// Adds an event. `event` is its name, which has no line breaks.
    pub(super) fn push(&mut self, id: impl Display, event: Option<&str>, data: &str) {
        // Writing to a text cannot fail.
        let _ = writeln!(self.text, "id: {id}");
        if let Some(event) = event {
            let _ = writeln!(self.text, "event: {event}");
        }
        // Payloads are stored as they came, and may have line breaks.
        for line in data.split(['\n', '\r']) {
            let _ = writeln!(self.text, "data: {line}");
        }
        self.text.push('\n');
    }
}

/// The position of a client that comes back after its connection broke. An empty header means none.
///
/// # Errors
/// 400 if it is no text.
pub(super) fn last_event_id(headers: &HeaderMap) -> Result<Option<&str>> {
    match headers.get("last-event-id").map(HeaderValue::to_str) {
        None | Some(Ok("")) => Ok(None),
        Some(Ok(id)) => Ok(Some(id)),
        Some(Err(_)) => Err(foreign_id()),
    }
}

/// The answer to a `Last-Event-ID` of another server.
pub(super) fn foreign_id() -> ErrorAnswer {
    ErrorAnswer::malformed("Last-Event-ID is not the id of an event of this stream")
}

/// Answers with a stream of `source` that begins at `start`, if there is a name for that.
pub(super) fn answer(
    state: Arc<ApiState>,
    caller: Caller,
    place: Place,
    start: Option<String>,
    source: impl Source,
) -> Response {
    let mut opening = format!("retry: {RECONNECT_MS}\n");
    // A client only remembers an id without data, so it can resume from there even if the stream breaks off
    // before the first event.
    if let Some(start) = start {
        let _ = writeln!(opening, "id: {start}");
    }
    opening.push('\n');
    let now = Instant::now();
    let follower = Follower {
        tail: state.store.tail(),
        state,
        caller,
        source,
        told: Some(opening),
        more: true,
        looked_at: now,
        key_good_until: now + LOOK_EVERY,
        _place: place,
    };
    let body = stream::unfold(follower, |mut follower| async move {
        follower.next().await.map(|chunk| (Ok::<_, Infallible>(chunk), follower))
    });
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
        // A proxy that buffers answers would hold it up for ever.
        (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
    ];
    let mut response = (headers, Body::from_stream(body)).into_response();
    response.extensions_mut().insert(serve::Endless);
    response
}

/// One open stream.
struct Follower<S> {
    state: Arc<ApiState>,
    caller: Caller,
    source: S,
    tail: watch::Receiver<LogPosition>,
    /// Read, and not sent yet.
    told: Option<String>,
    /// The source has more to read at once.
    more: bool,
    looked_at: Instant,
    key_good_until: Instant,
    _place: Place,
}

impl<S: Source> Follower<S> {
    /// The next piece of the stream; `None` ends it.
    async fn next(&mut self) -> Option<Bytes> {
        let silent_until = Instant::now() + KEEP_ALIVE;
        loop {
            if self.state.stop.is_cancelled() || !self.key_is_good().await {
                return None;
            }
            if let Some(told) = self.told.take() {
                return Some(told.into());
            }
            if !self.more {
                if Instant::now() >= silent_until {
                    return Some(Bytes::from_static(b":\n\n"));
                }
                self.wait(silent_until).await;
            }
            self.look().await?;
        }
    }

    /// Sleeps until the next read is worth it.
    async fn wait(&mut self, at_most: Instant) {
        let pause = self.looked_at + LOOK_PAUSE;
        let look_at = at_most.min(Instant::now() + LOOK_EVERY);
        let something = async {
            // Commits during the pause need one read.
            sleep_until(pause).await;
            let _ = timeout_at(look_at, self.tail.changed()).await;
        };
        tokio::select! {
            () = self.state.stop.cancelled() => {}
            () = something => {}
        }
    }

    async fn look(&mut self) -> Option<()> {
        // Marked as seen before the query, so that a later commit wakes this again.
        let newest = *self.tail.borrow_and_update();
        let read = self.source.read(newest).await;
        let piece = read.inspect_err(|error| limited!(warn: "a stream ends: {error}")).ok()?;
        self.more = piece.more;
        self.told = (!piece.text.is_empty()).then_some(piece.text);
        self.looked_at = Instant::now();
        Some(())
    }

    async fn key_is_good(&mut self) -> bool {
        if Instant::now() < self.key_good_until {
            return true;
        }
        let good = auth::still_good(&self.state, &self.caller).await;
        self.key_good_until = Instant::now() + LOOK_EVERY;
        good
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_data_is_a_field_of_its_own() {
        let mut piece = Piece::new(false);
        piece.push(7, Some("Heartbeat"), "{\n\"a\":\r\n1}");
        piece.push(8, None, "{}");
        assert_eq!(
            piece.text,
            "id: 7\nevent: Heartbeat\ndata: {\ndata: \"a\":\ndata: \ndata: 1}\n\nid: 8\ndata: {}\n\n"
        );
    }
}
