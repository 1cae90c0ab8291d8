//! A TCP stream, encrypted or not.

use std::io::{self, Read};
use std::os::fd::AsFd;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsStream;

/// A connection.
#[derive(Debug)]
pub enum Stream {
    /// Not encrypted.
    Plain(TcpStream),
    /// Encrypted. Boxed: a plain connection keeps no room for it.
    Tls(Box<TlsStream<TcpStream>>),
}

/// Bytes that a TLS session may hold unread, received or decrypted: some records at most.
const HELD_BYTES: u64 = 64 << 10;

impl Stream {
    fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(encrypted) => encrypted.get_ref().0,
        }
    }

    /// How many bytes wait in the operating system; none if it does not say.
    pub fn waiting_bytes(&self) -> u64 {
        rustix::io::ioctl_fionread(self.socket()).unwrap_or(0)
    }

    /// At most how many bytes can be read of what has been received by now.
    pub fn received_bytes(&self) -> u64 {
        match self {
            Self::Plain(_) => self.waiting_bytes(),
            Self::Tls(_) => self.waiting_bytes() + HELD_BYTES,
        }
    }

    /// Waits until the runtime has heard that bytes wait.
    pub async fn readable(&self) {
        // Whatever the error is, reading tells.
        let _ = self.socket().readable().await;
    }

    /// After reading has failed: takes what was decrypted before that, which a failure in a later record
    /// would hide.
    pub fn read_before_failure(&mut self, buf: &mut ReadBuf<'_>) {
        let Self::Tls(encrypted) = self else { return };
        let read = match &mut **encrypted {
            TlsStream::Server(stream) => stream.get_mut().1.reader().read(buf.initialize_unfilled()),
            TlsStream::Client(stream) => stream.get_mut().1.reader().read(buf.initialize_unfilled()),
        };
        buf.advance(read.unwrap_or(0));
    }

    /// Has the socket watched by the runtime that this is called on, instead of the one that it came from.
    ///
    /// # Errors
    /// The operating system's: there is no file descriptor left, mostly.
    pub fn watch_here(&mut self) -> io::Result<()> {
        let socket = match self {
            Self::Plain(socket) => socket,
            Self::Tls(encrypted) => encrypted.get_mut().0,
        };
        // Another descriptor of the same socket: the old one leaves its runtime with its end.
        let again = socket.as_fd().try_clone_to_owned()?;
        *socket = TcpStream::from_std(again.into())?;
        Ok(())
    }
}

/// Calls the same method of whichever stream it is.
macro_rules! of_either {
    ($stream:expr, $inner:ident => $call:expr) => {
        match $stream.get_mut() {
            Stream::Plain(stream) => {
                let $inner = Pin::new(stream);
                $call
            }
            Stream::Tls(stream) => {
                let $inner = Pin::new(&mut **stream);
                $call
            }
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        of_either!(self, stream => stream.poll_read(cx, buf))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        of_either!(self, stream => stream.poll_write(cx, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        of_either!(self, stream => stream.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        of_either!(self, stream => stream.poll_shutdown(cx))
    }
}
