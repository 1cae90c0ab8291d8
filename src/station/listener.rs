//! Accepts connections, lets hyper read their HTTP request, and asks the questions of the
//! handshake in their order.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use http::{HeaderMap, Request, Response};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::Upgraded;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, warn};

use super::connection::{self, Admitted};
use super::credentials::{PasswordCheck, PresentedPassword};
use super::handshake::{self, Refusal};
use super::password;
use super::refusal_log::Cause;
use super::registry::Rules;
use super::settings::Ocpp;
use super::{Admission, Stations, websocket};
use store::{Connected, Rejected, StationAccess, UsedCertificate, UsedPassword};
use tls::{ClientCertificate, Stream, Tls, TlsFailure};
use vocabulary::forwarded::{Address, plain};
use vocabulary::id::StationId;
use vocabulary::log_limit::limited;
use vocabulary::ocpp::boot_status::BootStatus;

/// Header bytes of a handshake.
const HEADER_BYTES: usize = 16 << 10;

/// Connections beyond the limit that are still told so; further ones are just closed.
const REFUSED_AT_ONCE: usize = 1_000;

/// What is known of a connection before anything is said on it.
#[derive(Clone, Copy)]
struct Origin {
    remote: SocketAddr,
    /// There are too many already.
    over_limit: bool,
}

/// How a connection is encrypted, and whose it is by that.
struct Encryption {
    client: Option<ClientCertificate>,
}

/// Who is at the other end of a request: what is seen of it, or what a trusted proxy tells.
struct Client {
    address: Address,
    encrypted: bool,
    /// `Err`: it has shown one that is none of a station's.
    certificate: Result<Option<ClientCertificate>, Refusal>,
}

impl Client {
    fn of(
        stations: &Stations,
        request: &Request<Incoming>,
        remote: SocketAddr,
        encryption: Option<&Encryption>,
    ) -> Self {
        let (proxies, headers) = (&stations.proxies, request.headers());
        let Some(forwarded) = proxies.forwarded(remote, headers) else {
            let certificate = encryption.and_then(|encryption| encryption.client.clone());
            return Self {
                address: remote.into(),
                encrypted: encryption.is_some(),
                certificate: Ok(certificate),
            };
        };
        // The connection is the proxy's own: what it is encrypted with says nothing of the station.
        let certificate = match forwarded.encrypted {
            true => handed_on(stations, headers),
            false => Ok(None),
        };
        Self { address: forwarded.address, encrypted: forwarded.encrypted, certificate }
    }
}

/// The certificate that a station has shown to a trusted proxy.
fn handed_on(stations: &Stations, headers: &HeaderMap) -> Result<Option<ClientCertificate>, Refusal> {
    let chain = stations.proxies.certificate(headers).map_err(|_| Refusal::WrongCertificate)?;
    let Some(chain) = chain else { return Ok(None) };
    let certificate = match &stations.certificates.handed_on {
        Some(authorities) => authorities.check(&chain),
        None => chain.first().and_then(|own| ClientCertificate::read(own)),
    };
    certificate.map(Some).ok_or(Refusal::WrongCertificate)
}

/// Accepts connections until the stations are told to stop. Each is greeted where this runs, and served at `serving`.
pub(super) async fn accept(
    stations: Arc<Stations>,
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
    serving: Handle,
) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stations.stop.cancelled() => return,
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
                let (of_task, tls) = (stations.clone(), tls.clone());
                let origin = Origin { remote, over_limit: open >= limit };
                let serving = serving.clone();
                stations.tasks.spawn(async move {
                    let Some((upgraded, admitted)) = greet(&of_task, stream, origin, tls).await else {
                        of_task.open.fetch_sub(1, Relaxed);
                        return;
                    };
                    let stations = of_task.clone();
                    let serve = async move {
                        let socket = websocket::take_over(upgraded, admitted.message_size_bytes);
                        // Boxed: the future of a connection, which lives for days, keeps no room for this.
                        if let Some(socket) = Box::pin(socket).await {
                            connection::serve(stations.clone(), socket, admitted).await;
                        }
                        stations.open.fetch_sub(1, Relaxed);
                    };
                    of_task.tasks.spawn_on(serve, &serving);
                });
            }
            Err(error) => {
                // Out of file descriptors, mostly: wait for some to be freed.
                warn!("a connection could not be accepted: {error}");
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// The first byte that a TLS client sends (RFC 8446, 5.1: a handshake record).
const TLS_HELLO: u8 = 22;

/// Waits for the first byte, and leaves it where it is; `None`: there is none to wait for any more.
async fn first_byte(stations: &Stations, stream: &TcpStream, remote: SocketAddr) -> Option<u8> {
    let mut first = [0];
    let seen = tokio::select! {
        seen = timeout(stations.handshake_timeout(), stream.peek(&mut first)) => seen,
        () = stations.stop.cancelled() => return None,
    };
    match seen {
        // Load balancers look so whether somebody is there, all the time: that is no refusal.
        Ok(Ok(0) | Err(_)) => None,
        Ok(Ok(_)) => Some(first[0]),
        Err(_) => {
            stations.note_refused(remote.ip(), Cause::TooSlow, None);
            None
        }
    }
}

/// Agrees on encryption where that is spoken.
async fn encrypt(
    stations: &Stations,
    stream: TcpStream,
    remote: SocketAddr,
    tls: Option<Arc<Tls>>,
) -> Option<(Stream, Option<Encryption>)> {
    let first = first_byte(stations, &stream, remote).await?;
    let Some(tls) = tls else {
        if first == TLS_HELLO {
            stations.note_refused(remote.ip(), Cause::TlsOnPlainPort, None);
            return None;
        }
        return Some((Stream::Plain(stream), None));
    };
    let agreed = tokio::select! {
        agreed = timeout(stations.handshake_timeout(), tls.accept(stream)) => agreed,
        () = stations.stop.cancelled() => return None,
    };
    match agreed {
        Ok(Ok((stream, client))) => Some((stream, Some(Encryption { client }))),
        Ok(Err(error)) => {
            debug!("no TLS with {remote}: {error}");
            let cause = match TlsFailure::of(&error) {
                TlsFailure::NotTls if first.is_ascii_uppercase() => Cause::PlainOnTlsPort,
                failure => Cause::Tls(failure),
            };
            stations.note_refused(remote.ip(), cause, None);
            None
        }
        Err(_) => {
            stations.note_refused(remote.ip(), Cause::TooSlow, None);
            None
        }
    }
}

/// Reads one request and answers it; if it is a welcome handshake, returns what the connection has become.
async fn greet(
    stations: &Arc<Stations>,
    stream: TcpStream,
    origin: Origin,
    tls: Option<Arc<Tls>>,
) -> Option<(Upgraded, Admitted)> {
    let remote = origin.remote;
    // Answers are small and waited for.
    let _ = stream.set_nodelay(true);
    let (stream, encryption) = encrypt(stations, stream, remote, tls).await?;
    let (admit, mut admitted) = tokio::sync::oneshot::channel();
    let admit = std::sync::Mutex::new(Some(admit));
    let service = service_fn(|mut request: Request<Incoming>| {
        let (admit, encryption) = (&admit, encryption.as_ref());
        async move {
            let client = Client::of(stations, &request, remote, encryption);
            let response = match decide(stations, &request, origin.over_limit, &client).await {
                Ok((key, subprotocol, welcome)) => {
                    let upgrade = hyper::upgrade::on(&mut request);
                    let admit = admit.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
                    if let Some(admit) = admit {
                        let _ = admit.send((upgrade, welcome));
                    }
                    handshake::switching_protocols(&key, subprotocol)
                }
                Err(refusal) => {
                    turn_away(stations, &request, &client, refusal).await;
                    refusal.response()
                }
            };
            Ok::<Response<Full<Bytes>>, Infallible>(response)
        }
    });
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
        () = stations.stop.cancelled() => return None,
    }
    // Whoever was let in has been by now; nobody is waited for.
    let (upgrade, welcome) = admitted.try_recv().ok()?;
    Some((upgrade.await.ok()?, welcome))
}

/// Why no request could be read; `None` if that is the network's fault, or the answer's.
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

type Welcome = (http::HeaderValue, Option<http::HeaderValue>, Admitted);

/// The handshake table, top to bottom.
async fn decide(
    stations: &Stations,
    request: &Request<Incoming>,
    over_limit: bool,
    client: &Client,
) -> Result<Welcome, Refusal> {
    let (settings, passwords) = (&stations.settings, &stations.passwords);
    if over_limit || !stations.take_handshake(Instant::now()) {
        return Err(Refusal::Overloaded);
    }
    let identity = handshake::identity(request.uri().path(), &settings.ocpp.paths)?;
    let key = handshake::websocket_key(request)?;
    let subprotocol = handshake::offered_ocpp16(request.headers(), settings.ocpp.missing_subprotocol)?;
    let known = stations.store.station_access(&identity).await.map_err(|error| {
        limited!(warn: "the station {identity} could not be looked up: {error}");
        Refusal::Internal
    })?;
    let (access, discovered_as) = match known {
        Some(access) => (access, None),
        None => {
            let boot_status = match settings.stations.unknown {
                Admission::Accept => BootStatus::Accepted,
                Admission::Pending => BootStatus::Pending,
                Admission::Reject if passwords.note_stranger(Instant::now(), client.address.ip) => {
                    return Err(Refusal::UnknownStation);
                }
                Admission::Reject => return Err(Refusal::TooManyFailures),
            };
            if !stations.take_discovery(Instant::now()) {
                return Err(Refusal::Overloaded);
            }
            (stranger(identity.clone()), Some(boot_status))
        }
    };
    let proved = match client.certificate.as_ref().map_err(|refusal| *refusal)? {
        Some(certificate) => {
            let by_certificate = identify(certificate, &settings.ocpp, &identity, &access)?;
            // Whoever shows a certificate need not send a password; one that is sent has to be right.
            match request.headers().contains_key(http::header::AUTHORIZATION) {
                true => Proved {
                    profile: by_certificate.profile,
                    certificate: by_certificate.certificate,
                    ..authenticate(stations, request, client, &identity, &access).await?
                },
                false => by_certificate,
            }
        }
        None => {
            let by_password = authenticate(stations, request, client, &identity, &access).await?;
            match by_password.profile {
                1 if client.encrypted => Proved { profile: 2, ..by_password },
                _ => by_password,
            }
        }
    };
    let security_profile = proved.profile;
    if access.blocked {
        return Err(Refusal::Blocked);
    }
    if security_profile < access.min_security_profile {
        return Err(Refusal::SecurityProfileTooLow);
    }
    if let Some(used) = proved.used {
        stations.store.password_used(access.station_id.clone(), used).await.map_err(|error| {
            limited!(warn: "which password {identity} uses could not be recorded: {error}");
            Refusal::Internal
        })?;
    }
    let mut flags = Vec::new();
    if subprotocol.is_none() {
        flags.push("missing_subprotocol".to_owned());
    }
    if access.station_id != identity {
        flags.push("identity_in_other_case".to_owned());
    }
    if handshake::is_odd(request.uri().path()) {
        flags.push("odd_path".to_owned());
    }
    if proved.with_hex_text {
        flags.push("hex_password".to_owned());
    }
    let admitted = Admitted {
        rules: Rules { validation: access.validation, ping: access.ping, zone: access.zone },
        message_size_bytes: access.message_size_bytes.unwrap_or(stations.limits.get().message_size.0)
            as usize,
        connected: Connected {
            station_id: access.station_id,
            generation: stations.registry.next_generation(),
            remote_addr: client.address.to_string(),
            security_profile,
            certificate: proved.certificate,
            ratchet: settings.stations.ratchet_profile,
            discovered_as,
            flags,
        },
    };
    Ok((key, subprotocol, admitted))
}

/// A station nobody knows has no rules of its own.
fn stranger(station_id: StationId) -> StationAccess {
    StationAccess {
        station_id,
        password_verifiers: Vec::new(),
        new_verifiers: Vec::new(),
        min_security_profile: 0,
        certificate_name: None,
        certificate_serial: None,
        new_serials: Vec::new(),
        blocked: false,
        validation: None,
        message_size_bytes: None,
        ping: true,
        zone: None,
    }
}

/// How a station has proved who it is.
struct Proved {
    /// The security profile: 3 with its certificate; 2, or 1 on a plain connection, with its password; else 0.
    profile: u8,
    /// The password was the hex text of a key, not the bytes that it spells.
    with_hex_text: bool,
    /// The certificate that it has shown.
    certificate: Option<UsedCertificate>,
    /// Which password that was, if it is not settled yet which one the station uses.
    used: Option<UsedPassword>,
}

/// Sees whether a client certificate, which its authority was trusted for, is this station's.
fn identify(
    certificate: &ClientCertificate,
    settings: &Ocpp,
    identity: &StationId,
    access: &StationAccess,
) -> Result<Proved, Refusal> {
    let is_ours = settings.tls_client_organization.as_ref().is_none_or(|own| certificate.is_of(own));
    let own_names = [identity.as_str(), access.station_id.as_str()];
    let mut names = own_names.into_iter().chain(access.certificate_name.as_deref());
    let number = certificate.serial_number();
    // The number says which of the certificates that name the station; it lets no other one in.
    let is_the_one = access.certificate_serial.as_ref().is_none_or(|own| own == number)
        || access.new_serials.contains(number);
    match is_ours && is_the_one && names.any(|name| certificate.names(name)) {
        true => {
            let used = UsedCertificate { serial_number: number.clone(), pin: settings.certificate_pin };
            Ok(Proved { profile: 3, with_hex_text: false, certificate: Some(used), used: None })
        }
        false => Err(Refusal::WrongCertificate),
    }
}

/// Asks for the password of a station that has one, or was told to take one on.
async fn authenticate(
    stations: &Stations,
    request: &Request<Incoming>,
    client: &Client,
    identity: &StationId,
    access: &StationAccess,
) -> Result<Proved, Refusal> {
    let StationAccess { station_id, password_verifiers: own, new_verifiers: new, .. } = access;
    let without = Proved { profile: 0, with_hex_text: false, certificate: None, used: None };
    if own.is_empty() && new.is_empty() {
        return Ok(without);
    }
    let (passwords, from) = (&stations.passwords, client.address.ip);
    let names = [identity.as_str().as_bytes(), station_id.as_str().as_bytes()];
    // Blanks around an identity mean nothing, here neither.
    let credentials = handshake::basic_credentials(request.headers())
        .filter(|(user, _)| names.contains(&user.as_slice()) || names.contains(&user.trim_ascii()));
    // One that has none may come without until it has taken one on.
    let otherwise = |refusal| if own.is_empty() { Ok(without) } else { Err(refusal) };
    let Some((_, password)) = credentials else {
        let is_borne = own.is_empty() || passwords.note_missing(Instant::now(), station_id, from);
        return otherwise(if is_borne { Refusal::BadCredentials } else { Refusal::TooManyFailures });
    };
    let verifiers: Vec<&String> = own.iter().chain(new).collect();
    let claim = PresentedPassword { station: station_id, from, password: &password };
    match passwords.check(claim, &verifiers).await {
        PasswordCheck::Right { nth, renewed } => {
            let used = match nth.checked_sub(own.len()) {
                None => (!new.is_empty()).then_some(UsedPassword::Old),
                Some(_) => Some(UsedPassword::New(renewed.as_ref().unwrap_or(verifiers[nth]).clone())),
            };
            if let Some(renewed) = renewed {
                renew(stations, station_id, verifiers[nth], renewed).await?;
            }
            let with_hex_text = password::is_hex_key(&password);
            Ok(Proved { profile: 1, with_hex_text, certificate: None, used })
        }
        PasswordCheck::Wrong => otherwise(Refusal::BadCredentials),
        PasswordCheck::TooManyWrong => otherwise(Refusal::TooManyFailures),
        PasswordCheck::Busy => Err(Refusal::PasswordsWait),
    }
}

/// Keeps a verifier that is quicker to check than the one it stands for.
async fn renew(stations: &Stations, station: &StationId, old: &str, renewed: String) -> Result<(), Refusal> {
    let kept = stations.store.renew_verifier(station.clone(), old.to_owned(), renewed).await;
    kept.map_err(|error| {
        limited!(warn: "the password of {station} could not be made quicker to check: {error}");
        Refusal::Internal
    })
}

/// Logs a refusal, and makes its event, folded in floods. The charger's answer does not depend
/// on it.
async fn turn_away(stations: &Stations, request: &Request<Incoming>, client: &Client, refusal: Refusal) {
    let remote = client.address;
    // Whoever has to come with a certificate, and is encrypted, has just not shown one.
    let cause = match (refusal, &client.certificate) {
        (Refusal::SecurityProfileTooLow, Ok(None)) if client.encrypted => {
            Cause::Tls(TlsFailure::NoCertificate)
        }
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
    let told = stations.refusal_events().note(stations.store.monotonic().now(), remote.ip, rejected);
    if let Some(rejected) = told
        && let Err(error) = stations.store.rejected(rejected).await
    {
        limited!(warn: "a refused connection could not be recorded: {error}");
    }
}
