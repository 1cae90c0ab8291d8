//! Where chargers connect.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::{TcpListener, TcpSocket};

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

/// Addresses that are taken although nobody listens there yet: who connects is refused by the system.
pub struct ReservedAddresses {
    pub(super) handshake_runtime: HandshakeRuntime,
    listen: Reserved,
    tls_listen: Option<Reserved>,
}

/// One of them.
struct Reserved {
    key: &'static str,
    socket: TcpSocket,
    /// With the real port.
    address: SocketAddr,
}

/// A listener with its TLS.
pub(super) struct BoundListener {
    pub(super) listener: TcpListener,
    /// `None`: nothing is encrypted.
    pub(super) tls: Option<Arc<Tls>>,
}

impl ReservedAddresses {
    /// Takes the addresses of the settings.
    ///
    /// # Errors
    /// If one cannot be bound.
    pub fn take(settings: &Ocpp) -> Result<Self, NotStarted> {
        let handshake_runtime = HandshakeRuntime::start().map_err(NotStarted::HandshakeRuntime)?;
        let reserve = |key, address| {
            let refused = |reason| NotStarted::Listen { key, address, reason };
            let socket = handshake_runtime.bind(address).map_err(refused)?;
            let address = socket.local_addr().map_err(refused)?;
            Ok(Reserved { key, socket, address })
        };
        let listen = reserve("ocpp.listen", settings.listen)?;
        let tls_listen =
            settings.tls_listen.map(|address| reserve("ocpp.tls_listen", address)).transpose()?;
        Ok(Self { listen, tls_listen, handshake_runtime })
    }

    /// Which ones they are.
    pub fn addresses(&self) -> Addresses {
        let tls_listen = self.tls_listen.as_ref().map(|reserved| reserved.address);
        Addresses { listen: self.listen.address, tls_listen }
    }

    /// Listens there, at each with its TLS. If TLS has a listener of its own, the other one is plain.
    pub(super) fn listen(
        self,
        tls: Option<&Arc<Tls>>,
    ) -> Result<(HandshakeRuntime, Vec<BoundListener>), NotStarted> {
        let Self { handshake_runtime, listen, tls_listen } = self;
        let open = |Reserved { key, socket, address }, tls| {
            let refused = |reason| NotStarted::Listen { key, address, reason };
            let listener = handshake_runtime.listen(socket).map_err(refused)?;
            Ok(BoundListener { listener, tls })
        };
        let listeners = match tls_listen {
            None => vec![open(listen, tls.cloned())?],
            Some(encrypted) => vec![open(listen, None)?, open(encrypted, tls.cloned())?],
        };
        Ok((handshake_runtime, listeners))
    }
}
