//! The handshake table, top to bottom: whether a station may connect, and with which rules.

use http::{HeaderValue, Request};
use hyper::body::Incoming;
use tokio::time::Instant;
use tracing::warn;

use super::login::{Login, log_in};
use super::peer::Peer;
use super::store_failure;
use crate::station::connection::Admitted;
use crate::station::handshake::{self, Negotiated, Refusal};
use crate::station::registry::Rules;
use crate::station::{Admission, Stations};
use store::{Connected, StationAccess};
use vocabulary::id::StationId;
use vocabulary::log_limit::limited;
use vocabulary::ocpp::boot_status::BootStatus;

/// A handshake that is answered with 101.
pub(super) struct Accepted {
    /// The request's `Sec-WebSocket-Key`.
    pub(super) key: HeaderValue,
    /// The subprotocol of the answer.
    pub(super) subprotocol: Option<HeaderValue>,
    pub(super) admitted: Admitted,
}

/// Decides a handshake.
pub(super) async fn decide(
    stations: &Stations,
    request: &Request<Incoming>,
    over_limit: bool,
    peer: &Peer,
) -> Result<Accepted, Refusal> {
    let settings = &stations.settings;
    if over_limit || !stations.take_handshake(Instant::now()) {
        return Err(Refusal::Overloaded);
    }
    let identity = handshake::identity(request.uri().path(), &settings.ocpp.paths)?;
    let key = handshake::websocket_key(request)?;
    let Negotiated { protocol, offer: subprotocol } =
        handshake::negotiate(request.headers(), settings.ocpp.missing_subprotocol)?;
    let Found { access, discovered_as } = find(stations, &identity, peer).await?;
    let login = log_in(stations, request, peer, &identity, &access).await?;
    if access.blocked {
        return Err(Refusal::Blocked);
    }
    if login.profile < access.min_security_profile {
        return Err(Refusal::SecurityProfileTooLow);
    }
    record_password(stations, &access.station_id, &login).await?;
    let flags = flags(request, &identity, subprotocol.as_ref(), &access, &login);
    let admitted = Admitted {
        rules: Rules { validation: access.validation, ping: access.ping, zone: access.zone },
        message_size_bytes: access.message_size_bytes.unwrap_or(stations.limits.get().message_size.0)
            as usize,
        connected: Connected {
            station_id: access.station_id,
            generation: stations.registry.next_generation(),
            protocol,
            remote_addr: peer.address.to_string(),
            security_profile: login.profile,
            certificate: login.certificate,
            ratchet: settings.stations.ratchet_profile,
            discovered_as,
            flags,
        },
    };
    Ok(Accepted { key, subprotocol, admitted })
}

/// What a station may do, and whether it is a new one.
struct Found {
    access: StationAccess,
    /// Nobody knows the station: it is registered with this status when it connects.
    discovered_as: Option<BootStatus>,
}

/// Looks the station up, or decides what becomes of one that nobody knows (`stations.unknown`).
async fn find(stations: &Stations, identity: &StationId, peer: &Peer) -> Result<Found, Refusal> {
    let known = stations.store.station_access(identity).await.map_err(|error| {
        limited!(warn: "the station {identity} could not be looked up: {error}");
        store_failure::refusal(&error)
    })?;
    if let Some(access) = known {
        return Ok(Found { access, discovered_as: None });
    }
    let boot_status = match stations.settings.stations.unknown {
        Admission::Accept => BootStatus::Accepted,
        Admission::Pending => BootStatus::Pending,
        Admission::Reject if stations.passwords.note_stranger(Instant::now(), peer.address.ip) => {
            return Err(Refusal::UnknownStation);
        }
        Admission::Reject => return Err(Refusal::TooManyFailures),
    };
    if !stations.take_discovery(Instant::now()) {
        return Err(Refusal::Overloaded);
    }
    Ok(Found { access: stranger(identity.clone()), discovered_as: Some(boot_status) })
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

/// What is odd about the way in which a station connects. The flags are shown with the station.
fn flags(
    request: &Request<Incoming>,
    identity: &StationId,
    subprotocol: Option<&HeaderValue>,
    access: &StationAccess,
    login: &Login,
) -> Vec<String> {
    let odd = [
        (subprotocol.is_none(), "missing_subprotocol"),
        (access.station_id != *identity, "identity_in_other_case"),
        (handshake::is_odd(request.uri().path()), "odd_path"),
        (login.with_hex_text, "hex_password"),
    ];
    odd.into_iter().filter(|(is_odd, _)| *is_odd).map(|(_, flag)| flag.to_owned()).collect()
}

/// Puts on record which of its two passwords a station uses, while that is not settled.
async fn record_password(stations: &Stations, station: &StationId, login: &Login) -> Result<(), Refusal> {
    let Some(used) = login.password.clone() else { return Ok(()) };
    stations.store.password_used(station.clone(), used).await.map_err(|error| {
        limited!(warn: "which password {station} uses could not be recorded: {error}");
        store_failure::refusal(&error)
    })
}
