//! Accepts connections and serves the handshake of each: [`encryption`], one HTTP request, whose [`peer`]
//! sent it, how the station proves who it is ([`login`]), and whether it may connect ([`admission`]).

mod admission;
mod encryption;
mod login;
mod peer;
mod store_failure;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{Request, Response};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::time::sleep;
use tracing::{debug, warn};

use super::connection::{self, Admitted};
use super::handshake::{self, Refusal};
use super::refusal_log::Cause;
use super::{Stations, lock, websocket};
use admission::Accepted;
use encryption::{Encryption, Opened};
use peer::Peer;
use store::Rejected;
use tls::{Tls, TlsFailure};
use vocabulary::forwarded::plain;
use vocabulary::log_limit::limited;

/// Header bytes of a handshake.
const HEADER_BYTES: usize = 16 << 10;

/// Connections beyond the limit that are still told so; further ones are just closed.
const REFUSED_AT_ONCE: usize = 1_000;

/// What is known of a connection before anything is sent on it.
#[derive(Clone, Copy)]
struct Origin {
    remote: SocketAddr,
    /// There are too many connections already.
    over_limit: bool,
}

/// Accepts connections until the stations are told to stop. Handshakes are served where this runs, what
/// follows on them at `serving`.
pub(super) async fn accept(
    stations: Arc<Stations>,
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
    serving: Handle,
) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stations.doors.cancelled() => return,
        };
        match accepted {
            Ok((stream, remote)) => {
                let remote = plain(remote);
                let open = stations.open.fetch_add(1, Relaxed);
                let limit = stations.limits.get().connections as usize;
                if open >= limit + REFUSED_AT_ONCE {
                    stations.open.fetch_sub(1, Relaxed);
                    stations.note_refused(remote.ip(), Cause::TooManyConnections, None);
                    continue;
                }
                let origin = Origin { remote, over_limit: open >= limit };
                let task = serve(stations.clone(), stream, origin, tls.clone(), serving.clone());
                stations.tasks.spawn(task);
            }
            Err(error) => {
                // Out of file descriptors, mostly: wait for some to be freed.
                warn!("a connection could not be accepted: {error}");
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Serves the handshake, then hands the connection over to the threads that serve stations.
async fn serve(
    stations: Arc<Stations>,
    stream: TcpStream,
    origin: Origin,
    tls: Option<Arc<Tls>>,
    serving: Handle,
) {
    let Some(Greeted { upgraded, admitted }) = greet(&stations, stream, origin, tls).await else {
        stations.open.fetch_sub(1, Relaxed);
        return;
    };
    let of_task = stations.clone();
    let task = async move {
        let socket = websocket::take_over(upgraded, admitted.message_size_bytes);
        // Boxed: the future of a connection, which lives for days, keeps no room for this.
        if let Some(socket) = Box::pin(socket).await {
            connection::serve(of_task.clone(), socket, admitted).await;
        }
        of_task.open.fetch_sub(1, Relaxed);
    };
    stations.tasks.spawn_on(task, &serving);
}

/// A connection whose handshake is done.
struct Greeted {
    upgraded: Upgraded,
    admitted: Admitted,
}

/// A connection whose handshake was decided: it is done once the answer has left.
struct Upgrading {
    upgrade: OnUpgrade,
    admitted: Admitted,
}

/// Reads one request and answers it. `None`: the connection was refused, or is over.
async fn greet(
    stations: &Stations,
    stream: TcpStream,
    origin: Origin,
    tls: Option<Arc<Tls>>,
) -> Option<Greeted> {
    let remote = origin.remote;
    // Answers are small and waited for.
    let _ = stream.set_nodelay(true);
    let Opened { stream, encryption } = encryption::open(stations, stream, remote, tls).await?;
    let upgrading = Mutex::new(None);
    let service = service_fn(|request| answer(stations, request, origin, encryption.as_ref(), &upgrading));
    let http = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(stations.handshake_timeout())
        .max_buf_size(HEADER_BYTES)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    tokio::select! {
        served = http => if let Err(error) = served {
            debug!("a handshake from {remote} failed: {error}");
            if let Some(cause) = cause_of(&error) {
                stations.note_refused(remote.ip(), cause, None);
            }
        },
        // A client that reads nothing, or an answer that never comes.
        () = sleep(stations.handshake_timeout() * 2) => {
            stations.note_refused(remote.ip(), Cause::TooSlow, None);
            return None;
        }
        () = stations.doors.cancelled() => return None,
    }
    let Upgrading { upgrade, admitted } = lock(&upgrading).take()?;
    Some(Greeted { upgraded: upgrade.await.ok()?, admitted })
}

/// The answer to a request. A handshake that is accepted is left in `upgrading`.
async fn answer(
    stations: &Stations,
    mut request: Request<Incoming>,
    origin: Origin,
    encryption: Option<&Encryption>,
    upgrading: &Mutex<Option<Upgrading>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let peer = Peer::of(stations, &request, origin.remote, encryption);
    Ok(match admission::decide(stations, &request, origin.over_limit, &peer).await {
        Ok(Accepted { key, subprotocol, admitted }) => {
            let upgrade = hyper::upgrade::on(&mut request);
            // The first one counts: no other request is a handshake once this one is answered.
            lock(upgrading).get_or_insert(Upgrading { upgrade, admitted });
            handshake::switching_protocols(&key, subprotocol)
        }
        Err(refusal) => {
            turn_away(stations, &request, &peer, refusal).await;
            refusal.response()
        }
    })
}

/// Why no request could be read. `None`: the network failed, or the answer could not be sent.
fn cause_of(error: &hyper::Error) -> Option<Cause> {
    if error.is_timeout() {
        Some(Cause::TooSlow)
    } else if error.is_parse_too_large() {
        Some(Cause::HeadTooLarge)
    } else if error.is_parse() {
        Some(Cause::NotHttp)
    } else if error.is_incomplete_message() {
        Some(Cause::BrokenOff)
    } else {
        None
    }
}

/// Logs a refusal and publishes its event; floods are folded. The charger's answer does not depend on it.
async fn turn_away(stations: &Stations, request: &Request<Incoming>, peer: &Peer, refusal: Refusal) {
    let remote = peer.address;
    // A station that needs a certificate, and is encrypted, has just not shown one.
    let cause = match (refusal, &peer.certificate) {
        (Refusal::SecurityProfileTooLow, Ok(None)) if peer.encrypted => Cause::Tls(TlsFailure::NoCertificate),
        _ => Cause::Answered(refusal),
    };
    stations.note_refused(remote.ip, cause, Some(request.uri().path()));
    if !refusal.is_event() {
        return;
    }
    let Ok(identity) = handshake::identity(request.uri().path(), &stations.settings.ocpp.paths) else {
        return;
    };
    let rejected = Rejected {
        identity: identity.as_str().to_owned(),
        reason: refusal.as_str(),
        http_status: refusal.status().as_u16(),
        remote_addr: remote.to_string(),
        count: 1,
    };
    let told = stations.refusal_events().note(stations.monotonic.now(), remote.ip, rejected.clone());
    let Some(told) = told else {
        return stations.refusals_due().note(stations.clock.now(), &rejected);
    };
    stations.refusals_due().note_written();
    if let Err(error) = stations.store.rejected(told).await {
        limited!(warn: "a refused connection could not be recorded: {error}");
    }
}
