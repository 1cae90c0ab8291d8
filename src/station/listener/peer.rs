//! Who is at the other end of a request: seen on the connection, or told by a trusted proxy.

use std::net::SocketAddr;

use http::{HeaderMap, Request};
use hyper::body::Incoming;

use super::encryption::Encryption;
use crate::station::Stations;
use crate::station::handshake::Refusal;
use tls::ClientCertificate;
use vocabulary::forwarded::Address;

/// The other end of a request.
pub(super) struct Peer {
    pub(super) address: Address,
    pub(super) encrypted: bool,
    /// `Err`: it has shown one that cannot be a station's.
    pub(super) certificate: Result<Option<ClientCertificate>, Refusal>,
}

impl Peer {
    /// The peer of a request on a connection from `remote`.
    pub(super) fn of(
        stations: &Stations,
        request: &Request<Incoming>,
        remote: SocketAddr,
        encryption: Option<&Encryption>,
    ) -> Self {
        let (proxies, headers) = (&stations.proxies, request.headers());
        let Some(forwarded) = proxies.forwarded(remote, headers) else {
            let certificate = encryption.and_then(|encryption| encryption.certificate.clone());
            return Self {
                address: remote.into(),
                encrypted: encryption.is_some(),
                certificate: Ok(certificate),
            };
        };
        // The connection is the proxy's own: its encryption says nothing about the station.
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
