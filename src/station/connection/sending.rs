//! What leaves: messages, and what the WebSocket library has to say.

use std::pin::pin;
use std::time::Duration;

use futures_util::SinkExt;
use tokio::time::{Instant, sleep_until};
use tokio_tungstenite::tungstenite::{Error as WsError, Message};

use super::Connection;
use crate::station::closing::Closing;
use crate::station::registry::Leave;

/// How long one message may take to leave; a peer that does not read is not waited for longer.
const SEND_PATIENCE: Duration = Duration::from_secs(30);

/// The same once the connection is to end: somebody waits for that.
const LAST_SEND_PATIENCE: Duration = Duration::from_secs(1);

impl Connection {
    /// Sends a message, or what the library has to say. What fails or takes too long makes the connection
    /// mute: the answers of what was received are dropped from then on, and not the messages.
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
