//! Where connections are accepted and handshakes made: on threads of their own, which also watch these
//! sockets.
//!
//! When thousands knock at once, the operating system shares the processor between these threads and those
//! that serve who is in already, and favours the latter; on the same threads they would all stand in one
//! line.

use std::io;
use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpSocket};
use tokio::runtime::{Builder, Handle, Runtime};

/// Connections the kernel may hold for us: what a reconnect storm needs.
const BACKLOG: u32 = 4_096;

/// How much less these threads insist on the processor: beside others they get a third of what those get.
#[cfg(target_os = "linux")]
const NICER_BY: i32 = 5;

/// The threads. What still runs on them when it is dropped ends at its next wait.
pub(super) struct HandshakeRuntime {
    handle: Handle,
    /// Only for the drop.
    threads: Option<Runtime>,
}

impl HandshakeRuntime {
    /// Starts as many threads as there are processors.
    ///
    /// # Errors
    /// The operating system's.
    pub(super) fn start() -> io::Result<Self> {
        let mut threads = Builder::new_multi_thread();
        threads.thread_name("handshakes").enable_all();
        // There a thread has a niceness of its own.
        #[cfg(target_os = "linux")]
        threads.on_thread_start(|| {
            // Refused or not: they do the same.
            let _ = rustix::process::nice(NICER_BY);
        });
        let threads = threads.build()?;
        Ok(Self { handle: threads.handle().clone(), threads: Some(threads) })
    }

    /// Binds a listener that is watched here, with a backlog for storms.
    ///
    /// # Errors
    /// The operating system's.
    pub(super) fn bind(&self, address: SocketAddr) -> io::Result<TcpListener> {
        let _watched_here = self.handle.enter();
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    }

    /// Where to spawn.
    pub(super) fn handle(&self) -> &Handle {
        &self.handle
    }
}

impl Drop for HandshakeRuntime {
    /// Whoever drops it may be a task, which must not wait for threads.
    fn drop(&mut self) {
        if let Some(threads) = self.threads.take() {
            threads.shutdown_background();
        }
    }
}
