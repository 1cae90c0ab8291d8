//! From a URL to a WebSocket, with errors that say what to do.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::header::{AUTHORIZATION, SEC_WEBSOCKET_PROTOCOL};
use http::{HeaderValue, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, client_async_with_config, tungstenite};
use url::Url;

use tls::Stream;
use vocabulary::id::StationId;

/// The WebSocket of one charger.
pub type Socket = WebSocketStream<Stream>;

/// The subprotocol of OCPP 1.6.
pub const SUBPROTOCOL: &str = "ocpp1.6";

/// How long TCP, TLS and the WebSocket handshake may take together.
const DIAL_TIMEOUT: Duration = Duration::from_secs(10);
/// The default of 128 KiB per connection is what thousands of chargers cannot afford.
const READ_BUFFER_BYTES: usize = 4 * 1024;
/// Larger messages of the central system end the connection.
const MESSAGE_BYTES_MAX: usize = 1024 * 1024;
/// What may stand in a path segment as it is (RFC 3986, unreserved).
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Where a central system is: everything of a charger's URL but its identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    url: Url,
    host: String,
    port: u16,
}

/// A URL that leads to no central system.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEndpoint {
    /// Not a URL.
    #[error("{0:?} is not a URL: write it like ws://127.0.0.1:9000/ocpp")]
    Url(String),
    /// Another scheme than `ws` and `wss`.
    #[error("{0}:// is not spoken here: write a ws:// or wss:// URL such as ws://127.0.0.1:9000/ocpp")]
    Scheme(String),
}

/// What a charger proves itself with. Not `Debug`: it holds a password.
#[derive(Clone, Default)]
pub struct Credentials {
    /// For Basic authentication.
    pub password: Option<Vec<u8>>,
    /// How `wss://` is spoken; without it, it is not.
    pub tls: Option<Arc<ClientConfig>>,
}

/// Why there is no WebSocket.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// The host's name leads nowhere.
    #[error("{host} cannot be resolved ({cause}): is the host in --url right?")]
    Resolve {
        /// The name.
        host: String,
        /// What the system says.
        cause: io::Error,
    },
    /// No TCP connection.
    #[error("{}", describe_connect(address, cause))]
    Connect {
        /// Where to.
        address: SocketAddr,
        /// What the system says.
        cause: io::Error,
    },
    /// There are no roots to know the central system by.
    #[error("a wss:// central system is known by its root certificate: give the file with --ca")]
    NoRoots,
    /// The charger's own certificates cannot be used.
    #[error("the charger's certificates cannot be used: {0}")]
    Certificates(rustls::Error),
    /// No TLS.
    #[error("{}", describe_tls(address, cause))]
    Tls {
        /// Where to.
        address: SocketAddr,
        /// What was not agreed on.
        cause: io::Error,
    },
    /// The central system answered with something else than 101.
    #[error("{}", describe_status(*status, station, url))]
    Refused {
        /// What it answered.
        status: StatusCode,
        /// Who asked.
        station: StationId,
        /// Where.
        url: String,
    },
    /// The handshake failed in another way.
    #[error("the WebSocket handshake failed: {0}")]
    Handshake(tungstenite::Error),
    /// It took too long.
    #[error("no WebSocket within {} s", DIAL_TIMEOUT.as_secs())]
    TimedOut,
}

fn describe_connect(address: &SocketAddr, cause: &io::Error) -> String {
    match cause.kind() {
        io::ErrorKind::ConnectionRefused => {
            format!("nothing listens at {address}: start the gateway (chargehook serve), or correct --url")
        }
        // EMFILE and ENFILE have no stable ErrorKind.
        _ if matches!(cause.raw_os_error(), Some(23 | 24)) => {
            format!(
                "too many open files: allow more in this shell first, such as `ulimit -n 65536` ({cause})"
            )
        }
        io::ErrorKind::AddrNotAvailable | io::ErrorKind::AddrInUse => {
            format!("no local port is left to reach {address} from: use fewer chargers ({cause})")
        }
        _ => format!("{address} cannot be reached: {cause}"),
    }
}

fn describe_tls(address: &SocketAddr, cause: &io::Error) -> String {
    let of_tls = cause.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>());
    match of_tls {
        Some(rustls::Error::InvalidCertificate(reason)) => format!(
            "the certificate of the central system at {address} is not trusted ({reason:?}): does --ca hold its \
             root, and --url its name?"
        ),
        Some(rustls::Error::AlertReceived(alert)) => {
            format!(
                "the central system at {address} ended the TLS handshake ({alert:?}): does it take --cert?"
            )
        }
        Some(other) => format!("no TLS with {address}: {other}"),
        None => format!("no TLS with {address}, is this a wss:// port? ({cause})"),
    }
}

fn describe_status(status: StatusCode, station: &StationId, url: &str) -> String {
    match status.as_u16() {
        400 => format!("the central system does not offer {SUBPROTOCOL} at {url} (400)"),
        401 => format!(
            "{station} is not let in (401): this station has a password; give the right one with --password"
        ),
        403 => format!("{station} is not let in (403): it is blocked, or needs a higher security profile"),
        404 => format!(
            "the central system does not know {station} at {url} (404): register the station, or correct --id and the path of --url"
        ),
        426 => format!("{url} is no WebSocket endpoint (426): is this the OCPP port?"),
        503 => "the central system is at a limit (503): it lets no more chargers in for now".to_owned(),
        _ => format!("the central system answered {status} instead of opening a WebSocket at {url}"),
    }
}

impl Endpoint {
    /// Reads `ws://host[:port]/any/path`, or the same with `wss`.
    ///
    /// # Errors
    /// Says what is wrong with the URL.
    pub fn parse(text: &str) -> Result<Self, InvalidEndpoint> {
        let url = Url::parse(text).map_err(|_| InvalidEndpoint::Url(text.to_owned()))?;
        if !matches!(url.scheme(), "ws" | "wss") {
            return Err(InvalidEndpoint::Scheme(url.scheme().to_owned()));
        }
        let host = url.host_str().ok_or_else(|| InvalidEndpoint::Url(text.to_owned()))?;
        let host = host.trim_matches(['[', ']']).to_owned();
        let port = url.port_or_known_default().unwrap_or(80);
        Ok(Self { url, host, port })
    }

    /// Whether TLS is spoken there.
    pub fn is_encrypted(&self) -> bool {
        self.url.scheme() == "wss"
    }

    /// The same place over TLS; the same port too, unless it is the scheme's own.
    pub fn encrypted(&self) -> Self {
        let mut url = self.url.clone();
        // Both are schemes of the web, so one can take the other's place.
        let _ = url.set_scheme("wss");
        let port = url.port_or_known_default().unwrap_or(443);
        Self { url, host: self.host.clone(), port }
    }

    /// The URL that this station connects to: the endpoint's, and its identity behind it.
    pub fn station_url(&self, station: &StationId) -> String {
        let base = self.url.as_str().trim_end_matches('/');
        format!("{base}/{}", utf8_percent_encode(station.as_str(), SEGMENT))
    }

    /// The addresses behind the host's name.
    ///
    /// # Errors
    /// [`DialError::Resolve`].
    pub async fn resolve(&self) -> Result<SocketAddr, DialError> {
        if let Ok(literal) = self.host.parse::<IpAddr>() {
            return Ok(SocketAddr::new(literal, self.port));
        }
        let failed = |cause| DialError::Resolve { host: self.host.clone(), cause };
        let mut found = tokio::net::lookup_host((self.host.as_str(), self.port)).await.map_err(failed)?;
        found.next().ok_or_else(|| failed(io::Error::from(io::ErrorKind::NotFound)))
    }

    /// Opens a WebSocket for `station`, from the local address `source` if one is given.
    ///
    /// # Errors
    /// Says why there is none, and what to do about it.
    pub async fn dial(
        &self,
        station: &StationId,
        credentials: &Credentials,
        source: Option<IpAddr>,
    ) -> Result<Socket, DialError> {
        match tokio::time::timeout(DIAL_TIMEOUT, self.dial_patiently(station, credentials, source)).await {
            Ok(dialed) => dialed,
            Err(_) => Err(DialError::TimedOut),
        }
    }

    async fn dial_patiently(
        &self,
        station: &StationId,
        credentials: &Credentials,
        source: Option<IpAddr>,
    ) -> Result<Socket, DialError> {
        let address = self.resolve().await?;
        let stream = connect(address, source).await.map_err(|cause| DialError::Connect { address, cause })?;
        let stream = self.encrypt(stream, address, credentials).await?;
        let url = self.station_url(station);
        let mut request = url.as_str().into_client_request().map_err(DialError::Handshake)?;
        request.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
        if let Some(password) = &credentials.password {
            let mut credentials = format!("{station}:").into_bytes();
            credentials.extend_from_slice(password);
            let mut value = HeaderValue::try_from(format!("Basic {}", BASE64.encode(credentials)))
                .map_err(|error| DialError::Handshake(error.into()))?;
            value.set_sensitive(true);
            request.headers_mut().insert(AUTHORIZATION, value);
        }
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER_BYTES)
            .max_message_size(Some(MESSAGE_BYTES_MAX));
        match client_async_with_config(request, stream, Some(config)).await {
            Ok((socket, _)) => Ok(socket),
            Err(tungstenite::Error::Http(response)) => {
                Err(DialError::Refused { status: response.status(), station: station.clone(), url })
            }
            Err(error) => Err(DialError::Handshake(error)),
        }
    }
}

impl Endpoint {
    /// Agrees on encryption where the URL says so.
    async fn encrypt(
        &self,
        stream: TcpStream,
        address: SocketAddr,
        credentials: &Credentials,
    ) -> Result<Stream, DialError> {
        if !self.is_encrypted() {
            return Ok(Stream::Plain(stream));
        }
        let config = credentials.tls.clone().ok_or(DialError::NoRoots)?;
        let failed = |cause| DialError::Tls { address, cause };
        let name =
            ServerName::try_from(self.host.clone()).map_err(|error| failed(io::Error::other(error)))?;
        let stream = TlsConnector::from(config).connect(name, stream).await.map_err(failed)?;
        Ok(Stream::Tls(Box::new(stream.into())))
    }
}

async fn connect(address: SocketAddr, source: Option<IpAddr>) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if let Some(source) = source {
        socket.bind(SocketAddr::new(source, 0))?;
    }
    socket.set_nodelay(true)?;
    socket.connect(address).await
}

/// A local address for the `index`-th of many sockets to `address`: one address has only some 28,000
/// ports, but all of 127.0.0.0/8 is this machine (on Linux). `None`: let the system choose.
pub fn spread_source(address: SocketAddr, index: usize) -> Option<IpAddr> {
    /// Sockets per source address, well below the number of its ports.
    const PER_ADDRESS: usize = 8_000;
    let IpAddr::V4(target) = address.ip() else { return None };
    (cfg!(target_os = "linux") && target.is_loopback() && index >= PER_ADDRESS)
        .then(|| IpAddr::from([127, 0, 1, ((index / PER_ADDRESS) % 250) as u8 + 1]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_identity_becomes_the_last_segment() {
        let station = StationId::new("RDAM 123").expect("an identity");
        for (base, url) in [
            ("ws://127.0.0.1:9000/ocpp", "ws://127.0.0.1:9000/ocpp/RDAM%20123"),
            ("ws://localhost/", "ws://localhost/RDAM%20123"),
            ("wss://localhost:9443/ocpp/", "wss://localhost:9443/ocpp/RDAM%20123"),
        ] {
            assert_eq!(Endpoint::parse(base).expect(base).station_url(&station), url);
        }
        let plain = |url| Endpoint::parse(url).expect("a URL");
        assert_eq!(plain("ws://localhost:9000/ocpp").encrypted(), plain("wss://localhost:9000/ocpp"));
        assert_eq!(plain("ws://localhost/ocpp").encrypted().port, 443);
        assert_eq!(Endpoint::parse("http://x/"), Err(InvalidEndpoint::Scheme("http".to_owned())));
        assert!(Endpoint::parse("127.0.0.1").is_err());
    }

    #[test]
    fn many_sockets_to_this_machine_come_from_many_addresses() {
        let here = "127.0.0.1:9000".parse().expect("an address");
        let elsewhere = "192.0.2.1:9000".parse().expect("an address");
        assert_eq!(spread_source(here, 0), None);
        assert_eq!(spread_source(elsewhere, 50_000), None);
        if cfg!(target_os = "linux") {
            let sources: std::collections::BTreeSet<_> =
                (0..40_000).filter_map(|index| spread_source(here, index)).collect();
            assert_eq!(sources.len(), 4);
        }
    }
}
