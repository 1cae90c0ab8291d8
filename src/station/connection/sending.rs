//! Sends messages, and the frames of the WebSocket library itself.

use std::pin::pin;
use std::time::Duration;

use futures_util::SinkExt;
use tokio::time::{Instant, sleep_until};
use tokio_tungstenite::tungstenite::{Error as WsError, Message};

use super::Connection;
use crate::station::closing::Closing;
use crate::station::registry::Leave;

/// How long sending one message may take. A peer that does not read is given up after that.
const SEND_PATIENCE: Duration = Duration::from_secs(30);

/// The same for a connection that is to end, because somebody waits for the end.
const LAST_SEND_PATIENCE: Duration = Duration::from_secs(1);

impl Connection {
    /// Sends a message, or the library's own frames. A failure or a timeout makes the connection mute: from
    /// then on answers are dropped, while received messages are still stored.
    pub(super) async fn send(&mut self, message: Option<Message>) -> Option<Closing> {
        let Self { socket, registration, leaving, silent, .. } = self;
        if *silent || socket.get_ref().is_mute() {
            return None;
        }
        let mut until = Instant::now() + if leaving.is_some() { LAST_SEND_PATIENCE } else { SEND_PATIENCE };
        let sent = {
            let sending = async {
                match message {
                    Some(message) => socket.send(message).await,
                    None => socket.flush().await,
                }
            };
            let mut sending = pin!(sending);
            loop {
                tokio::select! {
                    sent = &mut sending => break Some(sent),
                    why = &mut registration.leave, if leaving.is_none() => {
                        *leaving = Some(why.unwrap_or(Leave::Shutdown));
                        until = until.min(Instant::now() + LAST_SEND_PATIENCE);
                    }
                    () = sleep_until(until) => break None,
                }
            }
        };
        match sent {
            Some(Ok(()) | Err(WsError::ConnectionClosed)) => {
                socket.get_ref().is_mute().then(|| Closing::of(None, "connection_lost"))
            }
            Some(Err(error)) => Some(Closing::broken(&error)),
            None => {
                socket.get_mut().fall_mute();
                Some(Closing::of(None, "send_timeout"))
            }
        }
    }
}
