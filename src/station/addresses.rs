//! Where chargers connect.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;

use super::NotStarted;
use super::handshake_runtime::HandshakeRuntime;
use super::settings::Ocpp;
use tls::Tls;

/// The addresses that chargers connect to, with the real ports.
#[derive(Debug, Clone, Copy)]
pub struct Addresses {
    /// `ocpp.listen`
    pub listen: SocketAddr,
    /// `ocpp.tls_listen`
    pub tls_listen: Option<SocketAddr>,
}

/// A listener with its TLS.
pub(super) struct BoundListener {
    pub(super) listener: TcpListener,
    /// `None`: nothing is encrypted.
    pub(super) tls: Option<Arc<Tls>>,
}

/// Binds the listeners, each with its TLS. If TLS has a listener of its own, the other one is plain.
pub(super) fn bind(
    handshake_runtime: &HandshakeRuntime,
    settings: &Ocpp,
    tls: Option<&Arc<Tls>>,
) -> Result<(Vec<BoundListener>, Addresses), NotStarted> {
    let bind = |key, address| {
        let refused = |reason| NotStarted::Listen { key, address, reason };
        let listener = handshake_runtime.bind(address).map_err(refused)?;
        let real = listener.local_addr().map_err(refused)?;
        Ok((listener, real))
    };
    let (first, listen) = bind("ocpp.listen", settings.listen)?;
    match settings.tls_listen {
        None => {
            let only = BoundListener { listener: first, tls: tls.cloned() };
            Ok((vec![only], Addresses { listen, tls_listen: None }))
        }
        Some(address) => {
            let (second, real) = bind("ocpp.tls_listen", address)?;
            let addresses = Addresses { listen, tls_listen: Some(real) };
            let plain = BoundListener { listener: first, tls: None };
            let encrypted = BoundListener { listener: second, tls: tls.cloned() };
            Ok((vec![plain, encrypted], addresses))
        }
    }
}
