//! Messages that were received before a connection ends are served first, in order, however it ends.
//!
//! The charger may have closed before it has read its answers, a newer connection may have replaced this one,
//! or the gateway closes it. In each case messages wait in the buffers of the operating system, of TLS and of
//! the WebSocket library. Reading stops at the last byte that is there when the end begins, so that a flood
//! ends too.

use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use tokio::task::{coop::unconstrained, yield_now};
use tokio::time::{Instant, sleep, timeout};
use tokio_tungstenite::tungstenite::Message;

use super::Connection;
use crate::station::closing::Closing;
use crate::station::registry::Leave;
use crate::station::websocket::Received;

/// For this long messages are served as fast as possible, because somebody waits; from then on at the
/// station's rate. A gateway that stops ends here: the remaining messages were not answered, so the charger
/// sends them again.
const HURRY: Duration = Duration::from_secs(4);

/// How long the runtime may take to notice bytes that the operating system has.
const NOTICE_PATIENCE: Duration = Duration::from_secs(1);

impl Connection {
    /// Serves the messages that were received before `end`, and returns how the connection really ended.
    pub(super) async fn serve_what_was_received(&mut self, end: Closing) -> Closing {
        if !end.serves_the_rest {
            return end;
        }
        self.silent = !end.answers_the_rest;
        self.socket.get_mut().end_with_what_is_here();
        let end = self.serve_the_rest(end).await;
        self.socket.get_mut().go_on();
        end
    }

    async fn serve_the_rest(&mut self, end: Closing) -> Closing {
        let hurry_until = Instant::now() + HURRY;
        let stops = matches!(self.leaving, Some(Leave::Shutdown | Leave::HandedOver));
        loop {
            let Some(received) = unconstrained(self.socket.next()).now_or_never() else {
                if self.socket.get_ref().is_read() {
                    return end;
                }
                // The operating system has bytes that the runtime has not noticed yet.
                if timeout(NOTICE_PATIENCE, self.socket.get_ref().readable()).await.is_err() {
                    return end;
                }
                yield_now().await;
                continue;
            };
            if received.is_none() {
                // Reading had ended before; `end` already says how.
                return end;
            }
            if Instant::now() >= hurry_until && (stops || !self.keep_its_rate(&received).await) {
                return end;
            }
            let ends_here = matches!(received, Some(Err(_) | Ok(Message::Close(_))));
            let now = self.now();
            if let Some(found) = self.receive(received, now).await
                && (ends_here || !found.serves_the_rest)
            {
                return end.followed_by(found);
            }
        }
    }

    /// Waits until the station's rate permits a message; false if the gateway stops meanwhile.
    async fn keep_its_rate(&mut self, received: &Received) -> bool {
        while let Err(wait) = self.stations.take_message(&mut self.limiter) {
            tokio::select! {
                () = sleep(wait) => {}
                () = self.stations.stop.cancelled() => return false,
            }
        }
        self.count_bytes(received);
        true
    }
}
