//! Accepts API connections and serves them until the gateway stops. A client that only holds a connection, or
//! half a request, holds up nobody.

use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, HttpBody};
use axum::response::IntoResponse;
use bytes::Bytes;
use http::HeaderValue;
use http::header::CONNECTION;
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;
use tracing::{debug, warn};

use super::problem::ErrorAnswer;
use super::write_timeout::WriteTimeout;
use super::{ApiLimits, LimitsInForce};
use tls::{Stream, Tls};
use vocabulary::forwarded::{TrustedProxies, plain};
use vocabulary::units::Span;

/// Bytes of a request's head, and of what waits to be sent on one connection.
const HEAD_BYTES: usize = 64 << 10;

/// Connections beyond the limit that are answered 503; further ones are just closed.
const REFUSED_AT_ONCE: usize = 100;

/// How long a connection without a whole request is kept when the gateway stops, so that a running answer is
/// sent completely.
const STOP_PATIENCE: Duration = Duration::from_millis(250);

/// Serves `router` on `listener`, encrypted if there is `tls`, until `stop`. Then it accepts nothing more,
/// answers whole requests and returns. Headers of `proxies` about their clients are trusted. A client beyond
/// `limits.api_connections` is answered 503. A connection keeps the patience that it began with.
pub async fn serve(
    listener: Arc<TcpListener>,
    tls: Option<Arc<Tls>>,
    proxies: Arc<TrustedProxies>,
    limits: Arc<LimitsInForce>,
    router: Router,
    stop: CancellationToken,
) {
    let connections = TaskTracker::new();
    let crowded = Router::new().fallback(crowded);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                let ApiLimits { api_connections, api_patience: Span(patience), .. } = limits.get();
                let most = api_connections as usize;
                let peer = plain(peer);
                if connections.len() >= most + REFUSED_AT_ONCE {
                    continue;
                }
                let router = if connections.len() < most { &router } else { &crowded };
                let (tls, proxies) = (tls.clone(), proxies.clone());
                let (router, stop) = (router.clone(), stop.clone());
                connections.spawn(async move {
                    // Answers are small and waited for.
                    let _ = stream.set_nodelay(true);
                    let encrypted = tls.is_some();
                    if let Some(stream) = encrypt(stream, tls, patience, &stop).await {
                        let stream = WriteTimeout::new(stream, patience);
                        let peer = Other { address: peer, encrypted };
                        serve_connection(stream, peer, &proxies, patience, router, stop).await;
                    }
                });
            }
            Err(error) => {
                // Out of file descriptors, mostly: wait for some to be freed.
                warn!("an API connection could not be accepted: {error}");
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

async fn crowded() -> impl IntoResponse {
    let problem =
        ErrorAnswer::unavailable("too many connections are open (limits.api_connections): try again later");
    ([(CONNECTION, HeaderValue::from_static("close"))], problem)
}

/// The address of a request's client: the other end of the connection, or the one that a trusted proxy names.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub IpAddr);

/// Marks a request whose client's own connection is encrypted, here or as a trusted proxy tells.
#[derive(Debug, Clone, Copy)]
pub struct Encrypted;

/// Agrees on encryption if there is TLS; `None` if that fails or takes too long.
async fn encrypt(
    stream: TcpStream,
    tls: Option<Arc<Tls>>,
    patience: Duration,
    stop: &CancellationToken,
) -> Option<Stream> {
    let Some(tls) = tls else { return Some(Stream::Plain(stream)) };
    let agreed = tokio::select! {
        agreed = timeout(patience, tls.accept(stream)) => agreed.ok()?,
        () = stop.cancelled() => return None,
    };
    agreed
        .inspect_err(|failed| debug!("no TLS on an API connection: {}", failed.error))
        .ok()
        .map(|accepted| accepted.stream)
}

/// The other end of a connection.
#[derive(Clone, Copy)]
struct Other {
    address: SocketAddr,
    /// Whether the connection itself is.
    encrypted: bool,
}

async fn serve_connection(
    stream: WriteTimeout,
    peer: Other,
    proxies: &TrustedProxies,
    patience: Duration,
    router: Router,
    stop: CancellationToken,
) {
    let (busy, mut seen_busy) = watch::channel(false);
    let service = service_fn(|request: http::Request<Incoming>| {
        let (router, busy) = (router.clone(), busy.clone());
        async move {
            if request.body().is_end_stream() {
                busy.send_replace(true);
            }
            let arriving = busy.clone();
            let mut request = request.map(|body| Body::new(Arriving { body, busy: arriving }));
            let forwarded = proxies.forwarded(peer.address, request.headers());
            let encrypted = forwarded.as_ref().map_or(peer.encrypted, |forwarded| forwarded.encrypted);
            let client = forwarded.map_or(peer.address.ip(), |forwarded| forwarded.address.ip);
            request.extensions_mut().insert(Peer(client));
            if encrypted {
                request.extensions_mut().insert(Encrypted);
            }
            let answered = router.oneshot(request).await;
            answered.map(|response| {
                // A stop does not wait for an endless answer.
                if response.extensions().get::<Endless>().is_some() {
                    busy.send_replace(false);
                }
                response.map(|body| Answering { body, busy })
            })
        }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(patience)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    let mut served = pin!(served);
    tokio::select! {
        ended = served.as_mut() => return note(ended),
        () = stop.cancelled() => served.as_mut().graceful_shutdown(),
    }
    tokio::select! {
        ended = served => note(ended),
        () = until_idle(&mut seen_busy) => {}
    }
}

fn note(ended: hyper::Result<()>) {
    if let Err(error) = ended {
        debug!("an API connection failed: {error}");
    }
}

/// Returns once there has been no whole request for a moment.
async fn until_idle(busy: &mut watch::Receiver<bool>) {
    loop {
        // An error means that the connection is gone.
        let _ = busy.wait_for(|busy| !busy).await;
        sleep(STOP_PATIENCE).await;
        if !*busy.borrow() {
            return;
        }
    }
}

/// Marks an answer without end: a stop need not wait for a client that reads nothing.
#[derive(Debug, Clone, Copy)]
pub(super) struct Endless;

/// A request's body; it signals when all of it has come.
struct Arriving {
    body: Incoming,
    busy: watch::Sender<bool>,
}

impl HttpBody for Arriving {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if matches!(polled, Poll::Ready(None)) || self.body.is_end_stream() {
            self.busy.send_replace(true);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// An answer's body; it signals when it is sent.
struct Answering {
    body: Body,
    busy: watch::Sender<bool>,
}

impl HttpBody for Answering {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.busy.send_replace(false);
    }
}
