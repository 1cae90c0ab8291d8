//! A stream that counts the bytes that were read.
//!
//! The WebSocket library says nothing about a text that is not UTF-8; the bytes read since the last message
//! are at least its size. Nor does the library limit a message of endless empty fragments, each of which
//! costs as much as a full one. Here a message ends that takes too many bytes on the wire.
//!
//! And the library stops at the first write that fails, although messages may have been received before it.
//! Here such a stream falls mute and is still read.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use tls::Stream;

/// A client's frame header: two bytes, up to eight more for the length, and the masking key.
const SMALL_HEADER: u64 = 6;
const MEDIUM_HEADER: u64 = 8;
const LARGE_HEADER: u64 = 14;

/// Bytes that one read may take beyond a message.
const READ_AHEAD: u64 = 16 << 10;

pub(super) struct CountedStream {
    stream: Stream,
    read: u64,
    marked: u64,
    /// Between two marks at most: twice the largest message, which leaves a frame header to every six bytes
    /// of it.
    most: u64,
    /// Where reading ends.
    end: u64,
    /// Written bytes are dropped.
    mute: bool,
    /// Why reading failed; it is reported once the bytes before the failure are read.
    failure: Option<io::Error>,
}

impl CountedStream {
    pub(super) fn new(stream: Stream, already_read: usize, message_size_bytes: usize) -> Self {
        let most = 2 * message_size_bytes as u64 + READ_AHEAD;
        Self { stream, read: already_read as u64, marked: 0, most, end: u64::MAX, mute: false, failure: None }
    }

    /// Whether writing has failed.
    pub(super) fn is_mute(&self) -> bool {
        self.mute
    }

    /// Drops what is written from now on.
    pub(super) fn fall_mute(&mut self) {
        self.mute = true;
    }

    /// Lets only bytes be read that have been received by now.
    pub(super) fn end_with_what_is_here(&mut self) {
        self.end = self.read + self.stream.received_bytes();
    }

    /// Lets everything be read again.
    pub(super) fn go_on(&mut self) {
        self.end = u64::MAX;
    }

    /// Whether everything that may be read was read.
    pub(super) fn is_read(&self) -> bool {
        self.read >= self.end || self.stream.waiting_bytes() == 0
    }

    /// Waits until the runtime knows that there is something to read.
    pub(super) async fn readable(&self) {
        self.stream.readable().await;
    }

    /// A message is complete: the next byte belongs to the next one.
    pub(super) fn mark(&mut self) {
        self.marked = self.read;
    }

    /// The payload's size if exactly one frame was read since the mark; otherwise an upper bound of it.
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

impl AsyncRead for CountedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(failure) = self.failure.take() {
            return Poll::Ready(Err(failure));
        }
        if self.read >= self.end {
            // The caller that has set the end checks by itself whether it is reached.
            return Poll::Pending;
        }
        let before = buf.filled().len();
        if let Err(failure) = ready!(Pin::new(&mut self.stream).poll_read(cx, buf)) {
            self.stream.read_before_failure(buf);
            if buf.filled().len() == before {
                return Poll::Ready(Err(failure));
            }
            self.failure = Some(failure);
        }
        self.read += (buf.filled().len() - before) as u64;
        if self.read - self.marked > self.most {
            return Poll::Ready(Err(io::Error::other("a message in far too many fragments")));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for CountedStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if !self.mute {
            match ready!(Pin::new(&mut self.stream).poll_write(cx, bytes)) {
                Ok(count) => return Poll::Ready(Ok(count)),
                Err(_) => self.mute = true,
            }
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.mute && ready!(Pin::new(&mut self.stream).poll_flush(cx)).is_err() {
            self.mute = true;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
