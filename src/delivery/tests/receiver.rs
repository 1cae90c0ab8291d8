//! An endpoint on a local port that answers as a test wants.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// How long a test waits for what must happen.
pub(super) const DEADLINE: Duration = Duration::from_secs(20);

/// What an endpoint does with a request.
#[derive(Clone, Copy)]
pub(super) enum Answer {
    Status(u16),
    /// A status and one more header.
    With(u16, &'static str),
    /// Nothing, for as long as the connection lasts.
    Hang,
}

#[derive(Clone)]
pub(super) struct Received {
    pub(super) at: Instant,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: String,
}

impl Received {
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

pub(super) struct Receiver {
    pub(super) url: String,
    received: watch::Receiver<Vec<Received>>,
    most_at_once: Arc<Mutex<(usize, usize)>>,
}

impl Receiver {
    /// `answer` is asked with the number of the request, from 0.
    pub(super) async fn start(answer: impl Fn(usize) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/hook", listener.local_addr().expect("an address"));
        let (tell, received) = watch::channel(Vec::new());
        let most_at_once = Arc::new(Mutex::new((0, 0)));
        let counts = most_at_once.clone();
        let (tell, answer) = (Arc::new(tell), Arc::new(answer));
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (tell, answer, counts) = (tell.clone(), answer.clone(), counts.clone());
                tokio::spawn(async move {
                    {
                        let mut counts = counts.lock().expect("no panic");
                        counts.0 += 1;
                        counts.1 = counts.1.max(counts.0);
                    }
                    let _ = serve(socket, &tell, &*answer).await;
                    counts.lock().expect("no panic").0 -= 1;
                });
            }
        });
        Self { url, received, most_at_once }
    }

    pub(super) async fn always(answer: Answer) -> Self {
        Self::start(move |_| answer).await
    }

    /// Waits until there were `count` requests, and returns them all.
    pub(super) async fn wait_for(&self, count: usize) -> Vec<Received> {
        let mut received = self.received.clone();
        let enough = tokio::time::timeout(DEADLINE, received.wait_for(|all| all.len() >= count)).await;
        let so_far = self.so_far().len();
        enough.unwrap_or_else(|_| panic!("{count} requests expected, {so_far} came")).expect("alive").clone()
    }

    pub(super) fn so_far(&self) -> Vec<Received> {
        self.received.borrow().clone()
    }

    /// The most connections there were at a time.
    pub(super) fn most_at_once(&self) -> usize {
        self.most_at_once.lock().expect("no panic").1
    }
}

async fn serve(
    mut socket: TcpStream,
    tell: &watch::Sender<Vec<Received>>,
    answer: &(dyn Fn(usize) -> Answer + Send + Sync),
) -> std::io::Result<()> {
    let mut bytes = Vec::new();
    let (head, body_at) = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break (String::from_utf8_lossy(&bytes[..end]).into_owned(), end + 4);
        }
        if socket.read_buf(&mut bytes).await? == 0 {
            return Ok(());
        }
    };
    let headers: BTreeMap<String, String> = head
        .lines()
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let length: usize = headers.get("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    while bytes.len() < body_at + length {
        if socket.read_buf(&mut bytes).await? == 0 {
            return Ok(());
        }
    }
    let body = String::from_utf8_lossy(&bytes[body_at..]).into_owned();
    let mut nth = 0;
    tell.send_modify(|all| {
        nth = all.len();
        all.push(Received { at: Instant::now(), headers, body });
    });
    let (status, more) = match answer(nth) {
        Answer::Status(status) => (status, String::new()),
        Answer::With(status, header) => (status, format!("{header}\r\n")),
        Answer::Hang => {
            // Until the other side gives up.
            while socket.read_buf(&mut bytes).await? > 0 {}
            return Ok(());
        }
    };
    let answer = format!("HTTP/1.1 {status} X\r\n{more}Content-Length: 2\r\nConnection: close\r\n\r\nok");
    socket.write_all(answer.as_bytes()).await
}
