//! A stream that counts what was read.
//!
//! The WebSocket library tells nothing of a text that is not UTF-8; what has been read since the last message
//! tells at least its size. Nor does it end a message of ever more fragments in which there is nothing, each
//! of which costs as much as one with something in it: here a message ends that takes too much room on the
//! line.
//!
//! And it ends with the first write that fails, although messages may have been received before that: here
//! such a stream falls mute, and goes on being read.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use tls::Stream;

/// A client's frame header: two bytes, up to eight more for the length, and the masking key.
const SMALL_HEADER: u64 = 6;
const MEDIUM_HEADER: u64 = 8;
const LARGE_HEADER: u64 = 14;

/// What may be read beyond a message in one go.
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
    /// What is written goes nowhere any more.
    mute: bool,
    /// Why reading failed, behind bytes that could still be read.
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

    /// Throws away what is written from now on.
    pub(super) fn fall_mute(&mut self) {
        self.mute = true;
    }

    /// Has only that read which has been received by now.
    pub(super) fn end_with_what_is_here(&mut self) {
        self.end = self.read + self.stream.received_bytes();
    }

    /// Has everything read again.
    pub(super) fn go_on(&mut self) {
        self.end = u64::MAX;
    }

    /// Whether nothing is left of what is to be read.
    pub(super) fn is_read(&self) -> bool {
        self.read >= self.end || self.stream.waiting_bytes() == 0
    }

    /// Waits until the runtime knows that there is something to read.
    pub(super) async fn readable(&self) {
        self.stream.readable().await;
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
            // Who has set the end looks by itself whether it is reached.
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
