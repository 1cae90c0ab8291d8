//! How a connection is closed: why, with which close code, and what is recorded.

use std::time::Duration;

use futures_util::StreamExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::Error as WsError;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tracing::warn;

use super::Stations;
use super::registry::{Leave, Registration};
use super::session::close_code;
use super::websocket::Socket;
use store::ConnectionEnd;
use vocabulary::clock::Timestamp;
use vocabulary::id::StationId;
use vocabulary::log_limit::limited;

/// How long the gateway waits for the peer's close frame.
const CLOSE_PATIENCE: Duration = Duration::from_secs(2);

/// Pause between two tries to record the end of a connection.
const RECORD_AGAIN: Duration = Duration::from_secs(1);

/// Why a connection is closed, and how.
pub(super) struct Closing {
    /// The close code that is recorded.
    pub(super) code: Option<u16>,
    pub(super) reason: String,
    /// The close code that is still to be sent to the peer.
    pub(super) close_code: Option<u16>,
    pub(super) replaced: bool,
    /// Messages that were received before the end are still served.
    pub(super) serves_the_rest: bool,
    /// And they are answered.
    pub(super) answers_the_rest: bool,
}

impl Closing {
    pub(super) fn of(code: Option<u16>, reason: impl Into<String>) -> Self {
        Self {
            code,
            reason: reason.into(),
            close_code: None,
            replaced: false,
            serves_the_rest: true,
            answers_the_rest: true,
        }
    }

    /// The gateway closes it, with this code.
    pub(super) fn by_us(code: u16, reason: impl Into<String>) -> Self {
        Self { close_code: Some(code), ..Self::of(Some(code), reason) }
    }

    /// The connection was asked to end.
    pub(super) fn asked(why: Leave) -> Self {
        match why {
            Leave::Replaced => Self { replaced: true, ..Self::by_us(close_code::NORMAL, "replaced") },
            Leave::Requested => Self::by_us(close_code::NORMAL, "requested"),
            // The station is deleted, so its messages have nowhere to go.
            Leave::Removed => Self { serves_the_rest: false, ..Self::by_us(close_code::POLICY, "removed") },
            Leave::Blocked => Self::by_us(close_code::POLICY, "blocked"),
            Leave::Shutdown => Self::by_us(close_code::GOING_AWAY, "shutdown"),
            Leave::HandedOver => Self::by_us(close_code::RESTART, "shutdown"),
            // What it has sent was or will be said to another node.
            Leave::Fenced => Self { serves_the_rest: false, ..Self::by_us(close_code::RESTART, "node_lost") },
        }
    }

    /// The peer has sent something that is not OCPP. It gets no more answers; its other messages are still
    /// stored.
    pub(super) fn at_fault(code: u16, reason: impl Into<String>) -> Self {
        Self { answers_the_rest: false, ..Self::by_us(code, reason) }
    }

    /// Nothing can be stored. The charger keeps this message and those behind it, and sends them again in
    /// order.
    pub(super) fn without_storage() -> Self {
        Self { serves_the_rest: false, ..Self::by_us(close_code::INTERNAL, "storage unavailable") }
    }

    /// This end, or another one that messages received before it have led to.
    pub(super) fn followed_by(self, found: Self) -> Self {
        // If the peer closed by itself, its own reason counts. If we have sent a close code, ours counts.
        match self.close_code.is_none() || self.replaced || !found.serves_the_rest {
            true => Self { replaced: self.replaced, ..found },
            false => self,
        }
    }

    /// The socket broke.
    pub(super) fn broken(error: &WsError) -> Self {
        match error {
            // The stream ended without a close frame: the charger lost its network or its power.
            WsError::Protocol(ProtocolError::ResetWithoutClosingHandshake) => {
                Closing::of(None, "connection_lost")
            }
            WsError::Protocol(violation) => Closing {
                reason: violation.to_string(),
                ..Closing::by_us(close_code::PROTOCOL, "protocol_error")
            },
            WsError::Io(_) | WsError::ConnectionClosed | WsError::AlreadyClosed => {
                Closing::of(None, "connection_lost")
            }
            other => Closing::of(None, other.to_string()),
        }
    }
}

/// Sends the close code that is still to be sent, then closes the connection.
pub(super) async fn close(mut socket: Socket, end: &Closing) {
    if let Some(code) = end.close_code {
        send_close_frame(&mut socket, code, &end.reason).await;
    }
}

/// Records the end of a connection, and retries until the disk is writable again.
pub(super) async fn record(
    stations: &Stations,
    station: &StationId,
    began: Timestamp,
    end: &Closing,
    registration: &Registration,
) {
    let ended = ConnectionEnd {
        code: end.code,
        reason: end.reason.clone(),
        duration_ms: stations.monotonic.now().since(began).as_millis() as u64,
        replaced: end.replaced,
    };
    let (generation, last_seen) =
        (registration.generation, stations.monotonic.to_wall(registration.last_seen.get()));
    let mut warned = false;
    loop {
        let written =
            stations.store.disconnected(station.clone(), generation, last_seen, ended.clone()).await;
        let Err(error) = written else { break };
        // One warning is enough: the log may be on the same disk.
        if !std::mem::replace(&mut warned, true) {
            limited!(warn: station.id = %station, "the end of {station}'s connection cannot be recorded yet: {error}");
        }
        tokio::select! {
            () = sleep(RECORD_AGAIN) => {}
            // The next start finds the station connected, and records the end.
            () = stations.stop.cancelled() => break,
        }
    }
    stations.registry.unregister(station, generation);
    let _ = registration.gone.send(true);
}

/// Sends a close frame and waits a moment for the peer's.
async fn send_close_frame(socket: &mut Socket, code: u16, reason: &str) {
    let frame = CloseFrame { code: CloseCode::from(code), reason: reason.into() };
    let goodbye = async {
        socket.close(Some(frame)).await?;
        let mut answered = false;
        while let Some(Ok(message)) = socket.next().await {
            answered |= message.is_close();
        }
        if answered {
            return Ok(());
        }
        // With unread bytes the kernel would reset the connection, and the peer lose the close frame.
        socket.get_mut().shutdown().await?;
        let mut rest = [0; 1 << 10];
        while socket.get_mut().read(&mut rest).await? > 0 {}
        Ok::<_, WsError>(())
    };
    // However it goes, the connection is over.
    let _ = timeout(CLOSE_PATIENCE, goodbye).await;
}
