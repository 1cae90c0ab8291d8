//! The threads that accept connections and serve handshakes, and watch their sockets.
//!
//! When thousands of chargers connect at once, the operating system shares the processor between these
//! threads and those that serve connected stations, and favours the latter. On the same threads all would
//! wait in one queue.

use std::io;
use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpSocket};
use tokio::runtime::{Builder, Handle, Runtime};

/// Connections the kernel may hold for us: what a reconnect storm needs.
const BACKLOG: u32 = 4_096;

/// The niceness of these threads: beside others they get a third of the processor time that those get.
#[cfg(target_os = "linux")]
const NICER_BY: i32 = 5;

/// The threads. Tasks that still run on them when it is dropped end at their next wait.
pub(super) struct HandshakeRuntime {
    handle: Handle,
    /// Taken when this is dropped.
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
        // On Linux each thread has a niceness of its own.
        #[cfg(target_os = "linux")]
        threads.on_thread_start(|| {
            // A refusal does not matter: the threads do the same work.
            let _ = rustix::process::nice(NICER_BY);
        });
        let threads = threads.build()?;
        Ok(Self { handle: threads.handle().clone(), threads: Some(threads) })
    }

    /// Takes an address.
    ///
    /// # Errors
    /// The operating system's.
    pub(super) fn bind(&self, address: SocketAddr) -> io::Result<TcpSocket> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        Ok(socket)
    }

    /// Makes it a listener that these threads watch, with a backlog for reconnect storms.
    ///
    /// # Errors
    /// The operating system's.
    pub(super) fn listen(&self, socket: TcpSocket) -> io::Result<TcpListener> {
        let _watched_here = self.handle.enter();
        socket.listen(BACKLOG)
    }

    /// Spawns tasks on these threads.
    pub(super) fn handle(&self) -> &Handle {
        &self.handle
    }
}

impl Drop for HandshakeRuntime {
    /// It may be dropped by a task, which must not wait for threads.
    fn drop(&mut self) {
        if let Some(threads) = self.threads.take() {
            threads.shutdown_background();
        }
    }
}
