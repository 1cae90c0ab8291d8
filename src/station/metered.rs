//! A stream that counts what was read.
//!
//! The WebSocket library tells nothing of a text that is not UTF-8; what has been read since the last
//! message tells at least its size. Nor does it end a message of ever more fragments in which there is nothing, each of
//! which costs as much as one with something in it: here a message ends that takes too much room on the line.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::tls::Stream;

/// A client's frame header: two bytes, up to eight more for the length, and the masking key.
const SMALL_HEADER: u64 = 6;
const MEDIUM_HEADER: u64 = 8;
const LARGE_HEADER: u64 = 14;

/// What may be read beyond a message in one go.
const READ_AHEAD: u64 = 16 << 10;

pub(super) struct Metered {
    stream: Stream,
    read: u64,
    marked: u64,
    /// Between two marks at most: twice the largest message, which leaves a frame header to every six bytes of it.
    most: u64,
}

impl Metered {
    pub(super) fn new(stream: Stream, already_read: usize, message_size_bytes: usize) -> Self {
        let most = 2 * message_size_bytes as u64 + READ_AHEAD;
        Self { stream, read: already_read as u64, marked: 0, most }
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
        if self.read - self.marked > self.most {
            return Poll::Ready(Err(io::Error::other("a message in far too many fragments")));
        }
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
