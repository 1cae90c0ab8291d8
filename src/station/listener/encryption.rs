//! Encryption: agreed on at an address with TLS, refused at one without.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio::time::timeout;
use tracing::debug;

use crate::station::Stations;
use crate::station::refusal_log::Cause;
use tls::{Accepted, ClientCertificate, NotAgreed, Stream, Tls, TlsFailure};
use vocabulary::id::StationId;

/// The first byte that a TLS client sends (RFC 8446, 5.1: a handshake record).
const TLS_HELLO: u8 = 22;

/// How a connection is encrypted, and whose it is by that.
pub(super) struct Encryption {
    /// The certificate that the client has shown.
    pub(super) certificate: Option<ClientCertificate>,
}

/// A connection on which a request can be read.
pub(super) struct Opened {
    pub(super) stream: Stream,
    /// `None`: it is not encrypted.
    pub(super) encryption: Option<Encryption>,
}

/// Waits for the first byte, without reading it. `None`: none will come.
async fn first_byte(stations: &Stations, stream: &TcpStream, remote: SocketAddr) -> Option<u8> {
    let mut first = [0];
    let seen = tokio::select! {
        seen = timeout(stations.handshake_timeout(), stream.peek(&mut first)) => seen,
        () = stations.doors.cancelled() => return None,
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

/// Agrees on encryption if the address has TLS. `None`: there is no connection any more.
pub(super) async fn open(
    stations: &Stations,
    stream: TcpStream,
    remote: SocketAddr,
    tls: Option<Arc<Tls>>,
) -> Option<Opened> {
    let first = first_byte(stations, &stream, remote).await?;
    let Some(tls) = tls else {
        if first == TLS_HELLO {
            stations.note_refused(remote.ip(), Cause::TlsOnPlainPort, None);
            return None;
        }
        return Some(Opened { stream: Stream::Plain(stream), encryption: None });
    };
    let agreed = tokio::select! {
        agreed = timeout(stations.handshake_timeout(), tls.accept(stream)) => agreed,
        () = stations.doors.cancelled() => return None,
    };
    match agreed {
        Ok(Ok(Accepted { stream, certificate })) => {
            Some(Opened { stream, encryption: Some(Encryption { certificate }) })
        }
        Ok(Err(NotAgreed { error, shown_names })) => {
            debug!("no TLS with {remote}: {error}");
            let cause = match TlsFailure::of(&error) {
                TlsFailure::NotTls if first.is_ascii_uppercase() => Cause::PlainOnTlsPort,
                failure => Cause::Tls(failure),
            };
            stations.note_refused(remote.ip(), cause, None);
            for name in shown_names.iter().filter(|name| StationId::new(name).is_ok()) {
                let (now, from) = (stations.clock.now(), remote.to_string());
                stations.refusals_due().note_identity(now, name, cause.as_str(), None, &from);
            }
            None
        }
        Err(_) => {
            stations.note_refused(remote.ip(), Cause::TooSlow, None);
            None
        }
    }
}
