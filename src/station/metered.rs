//! A stream that counts what was read.
//!
//! The WebSocket library tells nothing of a text that is not UTF-8; what has been read since the last
//! message tells at least its size.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::tls::Stream;

/// A client's frame header: two bytes, up to eight more for the length, and the masking key.
const SMALL_HEADER: u64 = 6;
const MEDIUM_HEADER: u64 = 8;
const LARGE_HEADER: u64 = 14;

pub(super) struct Metered {
    stream: Stream,
    read: u64,
    marked: u64,
}

impl Metered {
    pub(super) fn new(stream: Stream, already_read: usize) -> Self {
        Self { stream, read: already_read as u64, marked: 0 }
    }

    /// A message is complete: what comes now belongs to the next.
    pub(super) fn mark(&mut self) {
        self.marked = self.read;
    }

    /// The payload's size if one frame, and nothing else, has been read since the mark; else at least it.
    pub(super) fn payload_bytes(&self) -> usize {
        let framed = self.read - self.marked;
        let payload = match framed {
            ..=131 => framed.saturating_sub(SMALL_HEADER),
            132..=65_543 => framed - MEDIUM_HEADER,
            _ => framed - LARGE_HEADER,
        };
        payload as usize
    }
}

impl AsyncRead for Metered {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        self.read += (buf.filled().len() - before) as u64;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Metered {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
