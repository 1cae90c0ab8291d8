//! Connections to brokers: to permitted addresses only, and with the trust of all requests.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use url::Host;

use super::broker_failure::Failure;
use super::broker_url::BrokerUrl;
use super::destination::{Guard, Refusal};
use super::lookup::Lookups;
use super::trust;
use vocabulary::delivery::ErrorCode;

/// The addresses of a name share this time, so that a silent one leaves time for the next.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(6);

/// Opens connections.
pub(super) struct Dialer {
    guard: Arc<Guard>,
    lookups: Lookups,
    tls: Option<TlsConnector>,
}

impl Dialer {
    /// Without `tls` nobody can be verified, so nothing secure is opened.
    pub(super) fn new(guard: Arc<Guard>, lookups: Lookups, tls: Option<ClientConfig>) -> Self {
        let tls = tls.map(|mut config| {
            // It names HTTP, which brokers do not speak.
            config.alpn_protocols.clear();
            TlsConnector::from(Arc::new(config))
        });
        Self { guard, lookups, tls }
    }

    /// Opens a connection. `carries_secret`: a password or a token is sent over it.
    pub(super) async fn connect(&self, to: &BrokerUrl, carries_secret: bool) -> Result<TcpStream, Failure> {
        let refused = |refusal: Refusal| Failure::new(ErrorCode::ForbiddenDestination, refusal.to_string());
        to.check(&self.guard, carries_secret).map_err(refused)?;
        let allowed_only = carries_secret && !to.is_secure;
        let addresses = self.addresses(&to.host, allowed_only).await?;
        let addresses = addresses.map_err(|refusal| refused(to.in_its_words(refusal)))?;
        let share = CONNECT_TIMEOUT / u32::try_from(addresses.len().max(1)).unwrap_or(u32::MAX);
        let mut last = io::Error::other("no address");
        for address in addresses {
            let dialed = TcpStream::connect(SocketAddr::new(address, to.port));
            match tokio::time::timeout(share, dialed).await {
                Ok(Ok(stream)) => {
                    // Latency only: without it everything works too.
                    let _ = stream.set_nodelay(true);
                    return Ok(stream);
                }
                Ok(Err(error)) => last = error,
                Err(_) => last = io::Error::new(io::ErrorKind::TimedOut, "nobody answers"),
            }
        }
        Err(Failure::new(ErrorCode::Connect, format!("cannot connect to {}:{}: {last}", to.host, to.port)))
    }

    /// The addresses that may be connected to, as [`crate::resolve`] finds them for HTTP.
    async fn addresses(
        &self,
        host: &Host,
        allowed_only: bool,
    ) -> Result<Result<Vec<IpAddr>, Refusal>, Failure> {
        let name = match host {
            Host::Ipv4(address) => return Ok(Ok(vec![(*address).into()])),
            Host::Ipv6(address) => return Ok(Ok(vec![(*address).into()])),
            Host::Domain(name) => name,
        };
        let found = self.lookups.lookup(name).await;
        let found = found.map_err(|error| Failure::new(ErrorCode::Dns, error.to_string()))?;
        Ok(self.guard.permitted(name, &found).and_then(|mut permitted| {
            if allowed_only {
                permitted.retain(|address| self.guard.is_allowed_network(*address));
                if permitted.is_empty() {
                    return Err(Refusal::SecretInClear { host: name.clone() });
                }
            }
            Ok(permitted)
        }))
    }

    /// Goes on over TLS.
    pub(super) async fn secure(
        &self,
        to: &BrokerUrl,
        stream: TcpStream,
    ) -> Result<TlsStream<TcpStream>, Failure> {
        let failed = |message: String| Failure::new(ErrorCode::Tls, message);
        let host = to.host.to_string();
        let tls = self.tls.as_ref().ok_or_else(|| {
            failed("no certificate can be verified: install the system's CA certificates or set delivery.extra_ca".to_owned())
        })?;
        let name = match &to.host {
            Host::Domain(name) => ServerName::try_from(name.clone())
                .map_err(|_| failed(format!("{name} is no name that a certificate can be for")))?,
            Host::Ipv4(address) => ServerName::IpAddress(IpAddr::from(*address).into()),
            Host::Ipv6(address) => ServerName::IpAddress(IpAddr::from(*address).into()),
        };
        tls.connect(name, stream).await.map_err(|error| {
            match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
                Some(reason) => failed(trust::describe(&host, reason)),
                None => failed(format!(
                    "{host}:{} broke off the TLS handshake (does it speak TLS?): {error}",
                    to.port
                )),
            }
        })
    }
}
