//! A site's network comes back, or the gateway does: every station knocks within seconds, while commands go
//! out and deliveries flow.
//!
//! 200 stations by default; `STORM_STATIONS=5000` makes a real one, `STORM_PASSWORDS=5000` gives so many of
//! them a password. What was measured is then told on stderr: let it be the release build that is measured.

use std::collections::BTreeSet;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::routing::post;
use base64::Engine;
use futures_util::future::join_all;
use futures_util::{SinkExt, StreamExt};
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};
use tokio_util::sync::CancellationToken;

use crate::crash::{Place, setting};
use crate::harness::{call, http_client};

/// All come back within this time.
pub(crate) const WINDOW: Duration = Duration::from_secs(10);
/// Much longer than any storm may take.
const PATIENCE: Duration = Duration::from_secs(180);
const PASSWORD: &str = "a password of the storm";

/// What the stations of one storm went through.
#[derive(Default)]
pub(crate) struct Weather {
    /// From a station's first knock to the answer to its boot.
    pub(crate) boots: Mutex<Vec<Duration>>,
    refused: AtomicUsize,
    broken: AtomicUsize,
    asked: AtomicUsize,
}

impl Weather {
    fn booted(&self) -> usize {
        self.boots.lock().expect("sound").len()
    }
}

fn station(nth: usize) -> String {
    format!("STORM_{nth:05}")
}

type Socket = WebSocketStream<TcpStream>;

/// Knocks once; `Err` is how long to stay away.
async fn knock(
    ocpp: SocketAddr,
    station: &str,
    password: bool,
    weather: &Weather,
) -> Result<Socket, Duration> {
    let mut request = format!("ws://{ocpp}/ocpp/{station}").into_client_request().expect("a request");
    let headers = request.headers_mut();
    headers.insert("Sec-WebSocket-Protocol", "ocpp1.6".parse().expect("a value"));
    if password {
        let credentials = base64::prelude::BASE64_STANDARD.encode(format!("{station}:{PASSWORD}"));
        headers.insert("Authorization", format!("Basic {credentials}").parse().expect("a value"));
    }
    let again = Duration::from_millis(500);
    let Ok(stream) = TcpStream::connect(ocpp).await else {
        weather.broken.fetch_add(1, Relaxed);
        return Err(again);
    };
    let config = WebSocketConfig::default().read_buffer_size(4 << 10);
    match client_async_with_config(request, stream, Some(config)).await {
        Ok((socket, _)) => Ok(socket),
        Err(Error::Http(response)) => {
            assert_eq!(response.status(), 503, "{station} is known and may come in");
            let after =
                response.headers().get("Retry-After").and_then(|value| value.to_str().ok()?.parse().ok());
            weather.refused.fetch_add(1, Relaxed);
            Err(Duration::from_secs(after.expect("it is told when to come back")))
        }
        Err(_) => {
            weather.broken.fetch_add(1, Relaxed);
            Err(again)
        }
    }
}

/// Comes back after `delay`, boots, and answers whatever it is asked until the end.
async fn come_back(
    ocpp: SocketAddr,
    nth: usize,
    password: bool,
    delay: Duration,
    weather: Arc<Weather>,
    end: CancellationToken,
) {
    let station = station(nth);
    sleep(delay).await;
    let began = Instant::now();
    let mut socket = loop {
        match knock(ocpp, &station, password, &weather).await {
            Ok(socket) => break socket,
            Err(wait) => sleep(wait).await,
        }
    };
    let boot = json!([2, "boot", "BootNotification", {"chargePointVendor": "V", "chargePointModel": "M"}]);
    socket.send(Message::text(boot.to_string())).await.expect("sends");
    loop {
        let message = tokio::select! {
            message = socket.next() => message,
            () = end.cancelled() => return,
        };
        let Some(Ok(message)) = message else { return };
        let Message::Text(text) = message else { continue };
        let frame: Value = serde_json::from_str(&text).expect("JSON");
        if frame[0] == 3 && frame[1] == "boot" {
            assert_eq!(frame[2]["status"], "Accepted", "{station}");
            weather.boots.lock().expect("sound").push(began.elapsed());
        } else if frame[0] == 2 {
            weather.asked.fetch_add(1, Relaxed);
            let answer = json!([3, frame[1], {"configurationKey": [], "unknownKey": []}]);
            socket.send(Message::text(answer.to_string())).await.expect("sends");
        }
    }
}

async fn receiver() -> (SocketAddr, watch::Receiver<BTreeSet<String>>) {
    let (tell, seen) = watch::channel(BTreeSet::new());
    let receive = async |State(tell): State<Arc<watch::Sender<BTreeSet<String>>>>, headers: HeaderMap| {
        let id = headers["webhook-id"].to_str().expect("text").to_owned();
        tell.send_modify(|all| {
            all.insert(id);
        });
        StatusCode::NO_CONTENT
    };
    let app = Router::new().route("/", post(receive)).with_state(Arc::new(tell));
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.expect("binds");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move { axum::serve(listener, app).await });
    (address, seen)
}

/// All stations come, spread over the window; returns how long it took until all had booted.
pub(crate) async fn storm(
    place: &Place,
    count: usize,
    passwords: usize,
    window: Duration,
    weather: &Arc<Weather>,
    end: &CancellationToken,
) -> Duration {
    let began = Instant::now();
    for nth in 0..count {
        let delay = window.mul_f64(nth as f64 / count as f64);
        // Passwords are everywhere among them.
        let password = nth * passwords / count != (nth + 1) * passwords / count;
        tokio::spawn(come_back(place.ocpp, nth, password, delay, weather.clone(), end.clone()));
    }
    while weather.booted() < count {
        assert!(began.elapsed() < PATIENCE, "{} of {count} are back", weather.booted());
        sleep(Duration::from_millis(20)).await;
    }
    began.elapsed()
}

/// Asks station after station something until the end; how long each answer took.
async fn ask(place: &Place, count: usize, end: &CancellationToken) -> Vec<Duration> {
    let http = http_client();
    let mut answered = Vec::new();
    let mut nth = 0;
    while !end.is_cancelled() {
        let began = Instant::now();
        let path = format!("/stations/{}/commands", station(nth % count));
        let body = json!({"action": "GetConfiguration", "payload": {}, "wait": true, "timeout": "10s"});
        let (status, answer) = call(&http, place.api, "POST", &path, Some(body)).await;
        match status {
            200 => {
                assert_eq!(answer["status"], "completed", "{answer}");
                answered.push(began.elapsed());
                nth += 1;
            }
            // Not back yet.
            409 => sleep(Duration::from_millis(5)).await,
            _ => panic!("{status}: {answer}"),
        }
    }
    answered
}

fn quantile(times: &mut [Duration], share: f64) -> Duration {
    times.sort();
    let at = (times.len() as f64 * share) as usize;
    times.get(at.min(times.len() - 1)).copied().expect("at least one")
}

#[tokio::test(flavor = "multi_thread")]
async fn case_90_a_storm_of_reconnects_is_served_with_commands_and_deliveries_flowing() {
    chargehook::serve::raise_open_files_limit();
    let count = setting("STORM_STATIONS", 200);
    let passwords = setting("STORM_PASSWORDS", count / 20);
    let window = if count < 1_000 { WINDOW / 5 } else { WINDOW };
    let dir = tempfile::tempdir().expect("a directory");
    let place = Place::new(dir.path());
    let discovered = count.max(600).to_string();
    let serve = || {
        let mut command = place.command();
        command.args(["--log-level", "error"]).env("CHARGEHOOK_LIMITS_DISCOVERED_PER_MINUTE", &discovered);
        place.start(&mut command)
    };
    let gateway = serve();
    let (address, delivered) = receiver().await;
    let http = http_client();
    let webhook = json!({"url": format!("http://{address}/"), "events": ["BootNotification"], "retry_schedule": ["1s", "1s", "1s"]});
    assert_eq!(call(&http, place.api, "POST", "/webhooks", Some(webhook)).await.0, 201);
    for chunk in (0..count)
        .filter(|nth| nth * passwords / count != (nth + 1) * passwords / count)
        .collect::<Vec<_>>()
        .chunks(8)
    {
        let made = chunk.iter().map(|nth| {
            let body = json!({"station_id": station(*nth), "password": PASSWORD});
            call(&http, place.api, "POST", "/stations", Some(body))
        });
        join_all(made).await.into_iter().for_each(|(status, body)| assert_eq!(status, 201, "{body}"));
    }

    // The first time they are strangers, or known by their password only.
    let (first, end) = (Arc::new(Weather::default()), CancellationToken::new());
    let took_first = storm(&place, count, passwords, window, &first, &end).await;
    gateway.kill();
    end.cancel();
    let gateway = serve();

    // Everybody comes back at once, and nothing is remembered of passwords.
    let (second, end) = (Arc::new(Weather::default()), CancellationToken::new());
    let over = CancellationToken::new();
    let (took_second, mut answers) = tokio::join!(
        async {
            let took = storm(&place, count, passwords, window, &second, &end).await;
            over.cancel();
            took
        },
        ask(&place, count, &over),
    );
    let mut seen = delivered.clone();
    let all = timeout(PATIENCE, seen.wait_for(|all| all.len() >= 2 * count)).await;
    assert!(all.is_ok(), "{} of {} boots were delivered", delivered.borrow().len(), 2 * count);
    let (_, failed) = call(&http, place.api, "GET", "/deliveries?status=failed", None).await;
    assert_eq!(failed["data"], json!([]), "no delivery is lost");
    assert!(!answers.is_empty(), "stations were asked in the middle of it");
    assert_eq!(second.asked.load(Relaxed), answers.len(), "each command was sent once");
    if std::env::var_os("STORM_STATIONS").is_some() {
        let mut told = std::io::stderr().lock();
        for (which, weather, took) in [("first", &first, took_first), ("second", &second, took_second)] {
            let mut boots = weather.boots.lock().expect("sound");
            let (p50, p99) = (quantile(&mut boots, 0.5), quantile(&mut boots, 0.99));
            let (refused, broken) = (weather.refused.load(Relaxed), weather.broken.load(Relaxed));
            writeln!(told, "{which}: {count} stations, {passwords} with passwords, back in {took:?}; knock to boot p50 {p50:?} p99 {p99:?}; {refused} refused, {broken} broken off").expect("writes");
        }
        let (p50, p99) = (quantile(&mut answers, 0.5), quantile(&mut answers, 0.99));
        writeln!(told, "{} commands meanwhile, p50 {p50:?} p99 {p99:?}", answers.len()).expect("writes");
    }
    end.cancel();
    gateway.kill();
}
