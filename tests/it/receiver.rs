//! An endpoint that answers as a test wants, down to the single byte: an honest one, or as hostile as can be.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;

use super::harness::DEADLINE;

/// What an endpoint does with a request.
#[derive(Clone)]
pub(crate) enum Answer {
    Status(u16),
    /// A status and one more header.
    With(u16, &'static str),
    /// These bytes, whatever they are.
    Raw(Vec<u8>),
    /// A 200 that leaves the connection open, only to reset it when the next request comes on it.
    OnceThenReset,
    /// A status, but not before this long.
    After(Duration, u16),
    /// None: the connection is closed once the request is there.
    HangUp,
    /// Nothing, for as long as the connection lasts.
    Silence,
    /// A whole head at once, then the body byte by byte, without end.
    TrickledBody,
    /// The head byte by byte, without end.
    TrickledHead,
    /// As much body as is taken.
    Endless,
}

#[derive(Clone)]
pub(crate) struct Received {
    pub(crate) at: Instant,
    /// How many requests had been answered when this one came.
    pub(crate) answered_before: usize,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

impl Received {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

pub(crate) struct Receiver {
    pub(crate) url: String,
    received: watch::Receiver<Vec<Received>>,
    body_bytes_sent: watch::Receiver<usize>,
    resets: watch::Receiver<usize>,
}

/// What to do with a request, of which the number, from 0, is known.
type Judge = dyn Fn(usize, &Received) -> Answer + Send + Sync;

struct Tell {
    received: watch::Sender<Vec<Received>>,
    body_bytes_sent: watch::Sender<usize>,
    resets: watch::Sender<usize>,
    answered: AtomicUsize,
}

impl Receiver {
    /// `answer` is asked with the number of the request, from 0.
    pub(crate) async fn start(answer: impl Fn(usize) -> Answer + Send + Sync + 'static) -> Self {
        Self::judging(move |nth, _| answer(nth)).await
    }

    /// `answer` is asked with the number of the request and what is in it.
    pub(crate) async fn judging(answer: impl Fn(usize, &Received) -> Answer + Send + Sync + 'static) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").await.expect("a port"), answer)
    }

    /// The same, where it is asked for.
    pub(crate) fn on(
        listener: TcpListener,
        answer: impl Fn(usize, &Received) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let url = format!("http://{}/hook", listener.local_addr().expect("an address"));
        let (tell_received, received) = watch::channel(Vec::new());
        let (tell_sent, body_bytes_sent) = watch::channel(0);
        let (tell_resets, resets) = watch::channel(0);
        let tell = Arc::new(Tell {
            received: tell_received,
            body_bytes_sent: tell_sent,
            resets: tell_resets,
            answered: AtomicUsize::new(0),
        });
        let answer: Arc<Judge> = Arc::new(answer);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (tell, answer) = (tell.clone(), answer.clone());
                // A sender that hangs up is the sender's business.
                tokio::spawn(async move { serve(socket, &tell, &*answer).await });
            }
        });
        Self { url, received, body_bytes_sent, resets }
    }

    pub(crate) async fn always(answer: Answer) -> Self {
        Self::start(move |_| answer.clone()).await
    }

    /// Waits until there were `count` requests, and returns all there were.
    pub(crate) async fn wait_for(&self, count: usize) -> Vec<Received> {
        let mut received = self.received.clone();
        let enough = timeout(DEADLINE, received.wait_for(|all| all.len() >= count)).await;
        let so_far = self.so_far().len();
        enough.unwrap_or_else(|_| panic!("{count} requests expected, {so_far} came")).expect("alive").clone()
    }

    pub(crate) fn so_far(&self) -> Vec<Received> {
        self.received.borrow().clone()
    }

    /// How many connections were cut when a second request came on them.
    pub(crate) fn resets(&self) -> usize {
        *self.resets.borrow()
    }

    /// How much of an endless body was taken.
    pub(crate) fn body_bytes_sent(&self) -> usize {
        *self.body_bytes_sent.borrow()
    }
}

/// A request's head and body; `None` if the connection ends before.
async fn read_request(socket: &mut TcpStream) -> std::io::Result<Option<Received>> {
    let mut bytes = Vec::new();
    let body_at = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        if socket.read_buf(&mut bytes).await? == 0 {
            return Ok(None);
        }
    };
    let headers: BTreeMap<String, String> = String::from_utf8_lossy(&bytes[..body_at])
        .lines()
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let length: usize = headers.get("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    while bytes.len() < body_at + length {
        if socket.read_buf(&mut bytes).await? == 0 {
            return Ok(None);
        }
    }
    let body = String::from_utf8_lossy(&bytes[body_at..]).into_owned();
    Ok(Some(Received { at: Instant::now(), answered_before: 0, headers, body }))
}

async fn serve(mut socket: TcpStream, tell: &Tell, answer: &Judge) -> std::io::Result<()> {
    let Some(mut request) = read_request(&mut socket).await? else { return Ok(()) };
    request.answered_before = tell.answered.load(SeqCst);
    let mut nth = 0;
    tell.received.send_modify(|all| {
        nth = all.len();
        all.push(request.clone());
    });
    let answer = answer(nth, &request);
    if let Answer::After(wait, _) = answer {
        tokio::time::sleep(wait).await;
    }
    if !matches!(answer, Answer::Silence) {
        // Counted before it is written: who has the answer may ask again at once.
        tell.answered.fetch_add(1, SeqCst);
    }
    let plain = |status: u16, more: &str| {
        format!("HTTP/1.1 {status} X\r\n{more}Content-Length: 2\r\nConnection: close\r\n\r\nok")
    };
    match answer {
        Answer::Status(204) => socket.write_all(b"HTTP/1.1 204 X\r\nConnection: close\r\n\r\n").await,
        Answer::Status(304) => socket.write_all(b"HTTP/1.1 304 X\r\nConnection: close\r\n\r\n").await,
        Answer::HangUp => Ok(()),
        Answer::Status(status) | Answer::After(_, status) => {
            socket.write_all(plain(status, "").as_bytes()).await
        }
        Answer::With(status, header) => {
            socket.write_all(plain(status, &format!("{header}\r\n")).as_bytes()).await
        }
        Answer::Raw(bytes) => socket.write_all(&bytes).await,
        Answer::OnceThenReset => {
            socket.write_all(b"HTTP/1.1 200 X\r\nContent-Length: 0\r\n\r\n").await?;
            // Not read to its end: closing with unread bytes resets the connection.
            if socket.peek(&mut [0]).await? > 0 {
                tell.resets.send_modify(|all| *all += 1);
            }
            Ok(())
        }
        Answer::Silence => read_request(&mut socket).await.map(|_| ()),
        Answer::TrickledBody => {
            socket.write_all(b"HTTP/1.1 200 X\r\nContent-Length: 1000\r\n\r\n").await?;
            trickle(&mut socket).await
        }
        Answer::TrickledHead => {
            socket.write_all(b"HTTP/1.1 200 X\r\nx-slow: ").await?;
            trickle(&mut socket).await
        }
        Answer::Endless => {
            socket.write_all(b"HTTP/1.1 200 X\r\nContent-Length: 10000000000\r\n\r\n").await?;
            let block = [b'x'; 16 << 10];
            loop {
                let sent = socket.write(&block).await?;
                tell.body_bytes_sent.send_modify(|all| *all += sent);
            }
        }
    }
}

/// A byte now and then, until the other side has had enough.
async fn trickle(socket: &mut TcpStream) -> std::io::Result<()> {
    loop {
        socket.write_all(b"a").await?;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
