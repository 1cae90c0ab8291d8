//! A charger's WebSocket, and how an upgraded connection becomes one.

use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error as WsError, Message};
use tracing::warn;

use super::counted_stream::CountedStream;
use tls::Stream;

/// Read and write buffers per connection. The library's 128 KiB would be 1.3 GB for 10,000 idle chargers.
const BUFFER_BYTES: usize = 4 << 10;

/// A charger's WebSocket.
pub(super) type Socket = WebSocketStream<CountedStream>;

/// What a socket receives; `None`: it has ended.
pub(super) type Received = Option<Result<Message, WsError>>;

/// Makes the upgraded connection a WebSocket again on the bare stream, without HTTP's buffers. From now on it
/// is watched by the threads that this runs on.
pub(super) async fn take_over(upgraded: Upgraded, message_size_bytes: usize) -> Option<Socket> {
    let parts = upgraded.downcast::<TokioIo<Stream>>().ok()?;
    let config = WebSocketConfig::default()
        .read_buffer_size(BUFFER_BYTES)
        .write_buffer_size(0)
        .max_message_size(Some(message_size_bytes))
        .max_frame_size(Some(message_size_bytes));
    let already_read = parts.read_buf.to_vec();
    let mut stream = parts.io.into_inner();
    if let Err(error) = stream.watch_here() {
        warn!("a connection could not be taken over from its handshake: {error}");
        return None;
    }
    let stream = CountedStream::new(stream, already_read.len(), message_size_bytes);
    Some(WebSocketStream::from_partially_read(stream, already_read, Role::Server, Some(config)).await)
}
