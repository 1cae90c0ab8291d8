//! NATS with JetStream, as much of its protocol as publishing needs: a text protocol of lines, over a socket
//! that was opened by the rules of all destinations. Source: docs.nats.io, "Client protocol", "JetStream wire
//! API reference".
//!
//! Each message asks for its answer on an inbox of this connection. Only the acknowledgement of a stream
//! counts: a server that merely takes a message has kept nothing.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufWriter};
use tokio::sync::{mpsc, oneshot};

use super::Message;
use crate::broker_failure::Failure;
use crate::broker_url::BrokerUrl;
use crate::dial::Dialer;
use vocabulary::broker::BrokerCredentials;
use vocabulary::delivery::ErrorCode;

mod sign_in;
mod wire;

pub(super) use sign_in::problem as credentials_problem;
use sign_in::sign_in;
use wire::{Operation, next};

/// How often the server is asked whether it is there. One that is silent twice is not.
const PING_EVERY: Duration = Duration::from_secs(10);
/// A connection on which nothing was published for so long is closed.
const IDLE: Duration = Duration::from_secs(60);
/// Messages that wait for the socket.
const QUEUE: usize = 256;
const WRITE_BUFFER_BYTES: usize = 64 * 1024;
/// What JetStream calls "message size exceeds maximum allowed".
const STREAM_MESSAGE_EXCEEDS_MAXIMUM: u32 = 10_054;
/// Characters that a header's value cannot hold, by the binding of CloudEvents.
const ATTRIBUTE: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'%');

/// A connection; clones are the same one.
#[derive(Clone)]
pub(super) struct Connection {
    link: Arc<Link>,
    frames: mpsc::Sender<Bytes>,
}

/// What the connection's tasks share with those who publish.
struct Link {
    /// Answers come to this subject, a dot, and the number of the message.
    inbox: String,
    max_payload: AtomicUsize,
    state: Mutex<State>,
}

struct State {
    ended: bool,
    last_number: u64,
    waiting: HashMap<u64, Waiting>,
    published_at: Instant,
    heard_at: Instant,
}

struct Waiting {
    subject: String,
    answer: oneshot::Sender<Result<String, Failure>>,
}

impl Connection {
    /// Connects and signs in.
    pub(super) async fn open(
        dialer: &Dialer,
        to: &BrokerUrl,
        credentials: Option<&BrokerCredentials>,
    ) -> Result<Self, Failure> {
        let mut tcp = dialer.connect(to, credentials.is_some_and(BrokerCredentials::are_sent)).await?;
        let mut read = BytesMut::new();
        // The server speaks first, in the clear, and says whether it wants TLS from there on.
        let info = sign_in::greeting(&mut tcp, &mut read).await?;
        let is_secure = to.is_secure || info.tls_required;
        if !is_secure {
            return Self::start(tcp, read, &info, is_secure, credentials).await;
        }
        if !info.tls_required && !info.tls_available {
            return Err(Failure::new(
                ErrorCode::Tls,
                format!("{}:{} does not offer TLS: write nats://, or turn it on there", to.host, to.port),
            ));
        }
        if !read.is_empty() {
            // Somebody on the way would like it to be taken for what is said over TLS.
            return Err(Failure::new(ErrorCode::Tls, "the server goes on in the clear after asking for TLS"));
        }
        Self::start(dialer.secure(to, tcp).await?, read, &info, is_secure, credentials).await
    }

    async fn start<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        mut stream: S,
        mut read: BytesMut,
        info: &sign_in::Info,
        is_secure: bool,
        credentials: Option<&BrokerCredentials>,
    ) -> Result<Self, Failure> {
        let inbox = sign_in(&mut stream, &mut read, info, is_secure, credentials).await?;
        let now = Instant::now();
        let state =
            State { ended: false, last_number: 0, waiting: HashMap::new(), published_at: now, heard_at: now };
        let link = Arc::new(Link {
            inbox,
            max_payload: AtomicUsize::new(info.max_payload),
            state: Mutex::new(state),
        });
        let (frames, queue) = mpsc::channel(QUEUE);
        tokio::spawn(run(stream, read, queue, link.clone()));
        Ok(Self { link, frames })
    }

    /// Whether something can be published on it.
    pub(super) fn is_open(&self) -> bool {
        !self.link.state().ended
    }

    /// What the stream has acknowledged, as it says so in JSON. `None`: the connection has ended before.
    pub(super) async fn publish(&self, message: &Message) -> Option<Result<String, Failure>> {
        let head = head(message);
        let size = head.len() + message.body.len();
        let most = self.link.max_payload.load(Relaxed);
        if size > most {
            let message = format!(
                "the message has {size} bytes with its headers, the server takes {most} (max_payload)"
            );
            return Some(Err(Failure::new(ErrorCode::TooLarge, message)));
        }
        let (ticket, answer) = self.link.expect(&message.topic)?;
        let line =
            format!("HPUB {} {}.{} {} {size}\r\n", message.topic, self.link.inbox, ticket.number, head.len());
        let mut frame = BytesMut::with_capacity(line.len() + size + 2);
        for part in [line.as_bytes(), head.as_bytes(), &message.body, b"\r\n"] {
            frame.extend_from_slice(part);
        }
        // If nobody takes it any more, the end of the connection answers.
        let _ = self.frames.send(frame.freeze()).await;
        Some(answer.await.unwrap_or_else(|_| Err(broken("it was closed"))))
    }
}

/// The block of headers of a message.
fn head(message: &Message) -> String {
    let mut head = "NATS/1.0\r\n".to_owned();
    let mut line = |name: &str, value: &dyn std::fmt::Display| {
        // Written to memory, which cannot fail.
        let _ = write!(head, "{name}: {value}\r\n");
    };
    line("Nats-Msg-Id", &message.id);
    line("Content-Type", &message.content_type);
    for (name, value) in &message.attributes {
        line(&format!("ce-{name}"), &utf8_percent_encode(value, ATTRIBUTE));
    }
    for (name, value) in &message.headers {
        line(name, value);
    }
    head.push_str("\r\n");
    head
}

/// A message that waits for its answer; without its ticket it waits no longer.
struct Ticket<'l> {
    link: &'l Link,
    number: u64,
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        self.link.state().waiting.remove(&self.number);
    }
}

impl Link {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn expect(&self, subject: &str) -> Option<(Ticket<'_>, oneshot::Receiver<Result<String, Failure>>)> {
        let mut state = self.state();
        if state.ended {
            return None;
        }
        state.last_number += 1;
        state.published_at = Instant::now();
        let (number, (answer, answered)) = (state.last_number, oneshot::channel());
        state.waiting.insert(number, Waiting { subject: subject.to_owned(), answer });
        Some((Ticket { link: self, number }, answered))
    }

    /// Takes in an answer to a message.
    fn answered(&self, subject: &str, status: Option<u16>, body: &[u8]) {
        let number = subject.strip_prefix(&self.inbox).and_then(|rest| rest.strip_prefix('.')?.parse().ok());
        let waiting = number.and_then(|number: u64| self.state().waiting.remove(&number));
        // One that comes too late is for nobody.
        if let Some(Waiting { subject, answer }) = waiting {
            let _ = answer.send(acknowledged(&subject, status, body));
        }
    }

    /// Takes in what the server finds wrong. Returns why the connection ends, if it does.
    fn told(&self, error: &str) -> Option<Failure> {
        let lower = error.to_ascii_lowercase();
        if let Some(subject) = lower.strip_prefix("permissions violation for publish to ") {
            let subject = subject.trim_matches('"');
            let mut state = self.state();
            let refused =
                state.waiting.extract_if(|_, waiting| waiting.subject.eq_ignore_ascii_case(subject));
            for (_, Waiting { subject, answer }) in refused {
                let message = format!("the server does not let these credentials publish on {subject}");
                let _ = answer.send(Err(Failure::new(ErrorCode::NotAuthorized, message)));
            }
            return None;
        }
        Some(sign_in::refusal(error))
    }

    /// Why the connection is to end now: nobody uses it, or nobody is there.
    fn is_over(&self) -> Option<Failure> {
        let mut state = self.state();
        if state.waiting.is_empty() && state.published_at.elapsed() >= IDLE {
            // Nobody may begin to wait from here on.
            state.ended = true;
            return Some(broken("nobody used it"));
        }
        (state.heard_at.elapsed() > PING_EVERY * 2).then(|| broken("the server is silent"))
    }

    fn end(&self, failure: &Failure) {
        let mut state = self.state();
        state.ended = true;
        for (_, waiting) in state.waiting.drain() {
            let _ = waiting.answer.send(Err(failure.clone()));
        }
    }
}

/// The answer of JetStream to a message.
#[derive(Deserialize)]
struct Acknowledgement {
    #[serde(default)]
    stream: String,
    #[serde(default)]
    seq: u64,
    error: Option<StreamError>,
}

#[derive(Deserialize)]
struct StreamError {
    #[serde(default)]
    err_code: u32,
    #[serde(default)]
    description: String,
}

/// What an answer means. A repetition that the stream recognises has arrived too.
fn acknowledged(subject: &str, status: Option<u16>, body: &[u8]) -> Result<String, Failure> {
    let no_stream = |why: &str| Err(Failure::new(ErrorCode::NoStream, format!("{why} {subject}")));
    if status == Some(503) {
        return no_stream("no stream of JetStream takes the subject");
    }
    match serde_json::from_slice(body) {
        Ok(Acknowledgement { error: Some(StreamError { err_code, description }), .. }) => {
            let code = match err_code {
                STREAM_MESSAGE_EXCEEDS_MAXIMUM => ErrorCode::TooLarge,
                _ => ErrorCode::Nack,
            };
            Err(Failure::new(code, format!("the stream of {subject} refuses the message: {description}")))
        }
        Ok(Acknowledgement { stream, seq, error: None }) if !stream.is_empty() && seq > 0 => {
            Ok(String::from_utf8_lossy(body).into_owned())
        }
        _ => no_stream("somebody answers who is no stream of JetStream, on the subject"),
    }
}

fn broken(why: impl std::fmt::Display) -> Failure {
    let message = format!("the connection broke before the message was confirmed: {why}");
    Failure::new(ErrorCode::Reset, message)
}

/// Serves the connection until it ends.
async fn run<S: AsyncRead + AsyncWrite + Send + 'static>(
    stream: S,
    read: BytesMut,
    frames: mpsc::Receiver<Bytes>,
    link: Arc<Link>,
) {
    let (from, to) = tokio::io::split(stream);
    let (ponged, pongs) = mpsc::channel(4);
    let failure = tokio::select! {
        failure = receive(from, read, &link, ponged) => failure,
        failure = send(to, frames, pongs, &link) => failure,
    };
    link.end(&failure);
}

async fn receive<R: AsyncRead + Unpin>(
    mut from: R,
    mut read: BytesMut,
    link: &Link,
    pongs: mpsc::Sender<()>,
) -> Failure {
    loop {
        loop {
            match next(&mut read) {
                Ok(None) => break,
                Ok(Some(Operation::Message { subject, status, body })) => {
                    link.answered(&subject, status, &body);
                }
                // A server that asks faster than it takes answers has its answer in those that wait already.
                Ok(Some(Operation::Ping)) => drop(pongs.try_send(())),
                Ok(Some(Operation::Info(info))) => {
                    if let Some(info) = sign_in::Info::read(&info) {
                        link.max_payload.store(info.max_payload, Relaxed);
                    }
                }
                Ok(Some(Operation::Error(error))) => {
                    if let Some(failure) = link.told(&error) {
                        return failure;
                    }
                }
                Ok(Some(Operation::Fine)) => {}
                Err(unreadable) => return broken(unreadable),
            }
        }
        match from.read_buf(&mut read).await {
            Ok(0) => return broken("the server closed it"),
            Ok(_) => link.state().heard_at = Instant::now(),
            Err(error) => return broken(error),
        }
    }
}

async fn send<W: AsyncWrite + Unpin>(
    to: W,
    mut frames: mpsc::Receiver<Bytes>,
    mut pongs: mpsc::Receiver<()>,
    link: &Link,
) -> Failure {
    let mut to = BufWriter::with_capacity(WRITE_BUFFER_BYTES, to);
    let mut tick = tokio::time::interval_at(tokio::time::Instant::now() + PING_EVERY, PING_EVERY);
    loop {
        let written = tokio::select! {
            Some(frame) = frames.recv() => write_all(&mut to, frame, &mut frames).await,
            Some(()) = pongs.recv() => write_one(&mut to, b"PONG\r\n").await,
            _ = tick.tick() => {
                if let Some(failure) = link.is_over() {
                    return failure;
                }
                write_one(&mut to, b"PING\r\n").await
            }
        };
        if let Err(error) = written {
            return broken(error);
        }
    }
}

/// Writes a message, and those that wait behind it.
async fn write_all<W: AsyncWrite + Unpin>(
    to: &mut BufWriter<W>,
    first: Bytes,
    frames: &mut mpsc::Receiver<Bytes>,
) -> std::io::Result<()> {
    to.write_all(&first).await?;
    for _ in 0..QUEUE {
        match frames.try_recv() {
            Ok(frame) => to.write_all(&frame).await?,
            Err(_) => break,
        }
    }
    to.flush().await
}

async fn write_one<W: AsyncWrite + Unpin>(to: &mut BufWriter<W>, line: &[u8]) -> std::io::Result<()> {
    to.write_all(line).await?;
    to.flush().await
}

#[cfg(test)]
mod tests;
