//! An endpoint that takes thousands a second, measures how old they are, and changes its manners on demand.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::load;
use super::{Times, record, times};

/// What an endpoint does with its requests from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Conduct {
    Prompt,
    Slow(Duration),
    /// Answers nothing, until its conduct changes: then whoever still waits is answered.
    Hangs,
    /// It answers 503.
    Refuses,
    /// Of so many requests one is taken, and its connection cut instead of an answer.
    CutsOneIn(u64),
}

/// What an endpoint has seen.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) requests: u64,
    pub(super) accepted: u64,
    pub(super) cut: u64,
    pub(super) under_way: usize,
    /// Requests that were under way at most when so many had been accepted.
    pub(super) most_under_way: Vec<usize>,
    /// From the charger's call to the request.
    pub(super) ages: Times,
    /// How often each event came.
    pub(super) events: HashMap<String, u32>,
}

pub(super) struct Endpoint {
    pub(super) url: String,
    conduct: watch::Sender<Conduct>,
    seen: Arc<Mutex<Seen>>,
}

impl Endpoint {
    pub(super) async fn start(conduct: Conduct) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/", listener.local_addr().expect("an address"));
        let seen = Arc::new(Mutex::new(Seen {
            requests: 0,
            accepted: 0,
            cut: 0,
            under_way: 0,
            most_under_way: Vec::new(),
            ages: times(),
            events: HashMap::new(),
        }));
        let (conduct, conducts) = watch::channel(conduct);
        let of_listener = seen.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (seen, conducts) = (of_listener.clone(), conducts.clone());
                let service = service_fn(move |request| {
                    answer(request, Instant::now(), seen.clone(), conducts.clone())
                });
                // Whoever hangs up, or is cut off, is not an error here.
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(socket), service),
                );
            }
        });
        Self { url, conduct, seen }
    }

    pub(super) fn conduct(&self, conduct: Conduct) {
        self.conduct.send_replace(conduct);
    }

    pub(super) fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().expect("sound")
    }

    /// How old what came since the last time was.
    pub(super) fn take_ages(&self) -> Times {
        std::mem::replace(&mut self.seen().ages, times())
    }
}

/// Counts a request as under way until it is answered or given up.
struct UnderWay(Arc<Mutex<Seen>>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.lock().expect("sound").under_way -= 1;
    }
}

/// The connection is cut.
#[derive(Debug, thiserror::Error)]
#[error("cut")]
struct Cut;

async fn answer(
    request: Request<Incoming>,
    came_at: Instant,
    seen: Arc<Mutex<Seen>>,
    mut conducts: watch::Receiver<Conduct>,
) -> Result<Response<Empty<Bytes>>, Cut> {
    let event = request.headers()["webhook-id"].to_str().expect("text").to_owned();
    let conduct = *conducts.borrow_and_update();
    let _under_way = UnderWay(seen.clone());
    let cuts = {
        let mut seen = seen.lock().expect("sound");
        seen.requests += 1;
        seen.under_way += 1;
        let (accepted, under_way) = (seen.accepted as usize, seen.under_way);
        if seen.most_under_way.len() <= accepted {
            seen.most_under_way.resize(accepted + 1, 0);
        }
        let most = &mut seen.most_under_way[accepted];
        *most = under_way.max(*most);
        matches!(conduct, Conduct::CutsOneIn(n) if seen.requests.is_multiple_of(n))
    };
    let body = request.into_body().collect().await.map_err(|_| Cut)?.to_bytes();
    {
        let mut seen = seen.lock().expect("sound");
        *seen.events.entry(event).or_default() += 1;
        if let Some(said_at) = load::said_at(&body) {
            record(&mut seen.ages, came_at.saturating_duration_since(said_at));
        }
        if cuts {
            seen.cut += 1;
            return Err(Cut);
        }
    }
    match conduct {
        Conduct::Slow(span) => tokio::time::sleep(span).await,
        // Its end is that of the endpoint: nobody waits then.
        Conduct::Hangs => drop(conducts.changed().await),
        Conduct::Prompt | Conduct::Refuses | Conduct::CutsOneIn(_) => {}
    }
    let status = match conduct {
        Conduct::Refuses => StatusCode::SERVICE_UNAVAILABLE,
        _ => {
            seen.lock().expect("sound").accepted += 1;
            StatusCode::NO_CONTENT
        }
    };
    let mut response = Response::new(Empty::new());
    *response.status_mut() = status;
    Ok(response)
}
