//! The real binary, under load, killed with SIGKILL again and again: what was acknowledged is there,
//! what is there was delivered, and what was retried has one number.
//!
//! Twenty kills by default; `CRASH_KILLS` and `CRASH_CHARGERS` make it longer.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use charger_sim::connection::Endpoint;
use charger_sim::{Acknowledged, ChargerOptions, Notice, Sessions, session};
use http::{HeaderMap, StatusCode};
use outbound::signature::{SigningSecret, verify_standard};
use serde_json::{Value, json};
use store::test_store::{TEST_STORE_VARIABLE, rows};
use tokio_util::sync::CancellationToken;
use vocabulary::clock::Clock;
use vocabulary::id::StationId;

use crate::harness::{ADMIN_KEY, DEADLINE, eventually, http_client, program_in};

pub(crate) fn setting(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

/// The gateway's own process, on ports that stay the same over restarts.
pub(crate) struct Process {
    pub(crate) child: Child,
}

pub(crate) struct Place {
    pub(crate) data_dir: PathBuf,
    pub(crate) ocpp: SocketAddr,
    pub(crate) api: SocketAddr,
}

/// An address that a process finds free again after it was killed: its port is none of those that the system
/// gives to connections, of which another test may open one in between.
fn free_address() -> SocketAddr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let begin = std::process::id() % 100 * 100;
    loop {
        let port = 20_000 + (begin + NEXT.fetch_add(1, Relaxed)) % 12_000;
        if let Ok(taken) = TcpListener::bind(("127.0.0.1", port as u16)) {
            return taken.local_addr().expect("an address");
        }
    }
}

impl Place {
    pub(crate) fn new(data_dir: &Path) -> Self {
        Self { data_dir: data_dir.to_owned(), ocpp: free_address(), api: free_address() }
    }

    /// Starts `serve` and waits for its ready line.
    pub(crate) fn serve(&self) -> Process {
        self.start(self.command().args(["--log-level", "error"]))
    }

    /// `serve`, here.
    pub(crate) fn command(&self) -> Command {
        // Another build of it, to compare figures.
        let mut command = match std::env::var_os("LONG_PROGRAM") {
            Some(program) => {
                let mut command = Command::new(program);
                command.env_remove(TEST_STORE_VARIABLE);
                command
            }
            None => program_in(&self.data_dir),
        };
        command
            .args(["serve", "--allow-network", "127.0.0.0/8"])
            .arg("--data-dir")
            .arg(&self.data_dir)
            .args(["--ocpp-listen", &self.ocpp.to_string(), "--api-listen", &self.api.to_string()])
            .env("CHARGEHOOK_API_KEY", ADMIN_KEY)
            .stdout(Stdio::piped());
        command
    }

    pub(crate) fn start(&self, command: &mut Command) -> Process {
        let mut child = command.spawn().expect("the binary starts");
        let mut line = String::new();
        let stdout = child.stdout.as_mut().expect("piped");
        BufReader::new(stdout).read_line(&mut line).expect("reads");
        assert_eq!(line, format!("chargehook ready ocpp={} api={}\n", self.ocpp, self.api));
        Process { child }
    }
}

impl Process {
    /// SIGKILL: nothing is flushed, nothing is said.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("kills");
        self.child.wait().expect("ends");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the receiver got: how often each event, by its id.
#[derive(Default)]
pub(crate) struct Received {
    pub(crate) times: Mutex<BTreeMap<String, u32>>,
    secret: Mutex<Option<SigningSecret>>,
    badly_signed: Mutex<u32>,
}

async fn receive(State(received): State<Arc<Received>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let header = |name: &str| headers[name].to_str().expect("text").to_owned();
    let (id, timestamp) = (header("webhook-id"), header("webhook-timestamp").parse().expect("seconds"));
    let secret = received.secret.lock().expect("sound").clone().expect("set before the first delivery");
    let signature = header("webhook-signature");
    let now = Clock::System.now();
    if verify_standard(&secret, &id, timestamp, &body, &signature, now, Duration::from_secs(300)).is_err() {
        *received.badly_signed.lock().expect("sound") += 1;
        return StatusCode::BAD_REQUEST;
    }
    *received.times.lock().expect("sound").entry(id).or_default() += 1;
    StatusCode::NO_CONTENT
}

pub(crate) async fn start_receiver() -> (SocketAddr, Arc<Received>) {
    let received = Arc::new(Received::default());
    let app = Router::new().route("/", post(receive)).with_state(received.clone());
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.expect("binds");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move { axum::serve(listener, app).await });
    (address, received)
}

pub(crate) async fn subscribe(place: &Place, receiver: SocketAddr, received: &Received) {
    let schedule = vec!["1s"; 20];
    let response = http_client()
        .post(format!("http://{}/api/v1/webhooks", place.api))
        .header("X-API-Key", ADMIN_KEY)
        .json(&json!({"url": format!("http://{receiver}/"), "retry_schedule": schedule}))
        .send()
        .await
        .expect("the API answers");
    let webhook: Value = response.json().await.expect("JSON");
    let secret = webhook["signing_secret"].as_str().unwrap_or_else(|| panic!("no secret: {webhook}"));
    *received.secret.lock().expect("sound") = Some(secret.parse().expect("a secret"));
}

/// Everything that any charger was told is safe.
pub(crate) type Ledger = Arc<Mutex<Vec<Acknowledged>>>;

pub(crate) fn start_chargers(
    place: &Place,
    count: usize,
    stop: &CancellationToken,
) -> (Ledger, Vec<tokio::task::JoinHandle<()>>) {
    start_chargers_that_tell(place, count, stop, |_| ())
}

/// The same; `tell` hears what happens to them.
pub(crate) fn start_chargers_that_tell(
    place: &Place,
    count: usize,
    stop: &CancellationToken,
    tell: impl Fn(&Notice) + Clone + Send + Sync + 'static,
) -> (Ledger, Vec<tokio::task::JoinHandle<()>>) {
    let ledger = Ledger::default();
    let endpoint = Endpoint::parse(&format!("ws://{}/ocpp", place.ocpp)).expect("a URL");
    let chargers = (0..count)
        .map(|number| {
            let id = StationId::new(&format!("CRASH_{number}")).expect("legal");
            let options = ChargerOptions {
                sessions: Sessions::Endless,
                session_duration: Duration::from_secs(600),
                sample_interval: Duration::from_secs(30),
                time_scale: 300.0,
                handling: Duration::from_millis(20),
                pause: Duration::from_millis(50),
                call_timeout: Duration::from_secs(5),
                reconnect_first: Duration::from_millis(20),
                reconnect_max: Duration::from_millis(200),
                seed: Some(number as u64),
                ..ChargerOptions::new(endpoint.clone(), id)
            };
            let (ledger, stop, tell) = (ledger.clone(), stop.clone(), tell.clone());
            tokio::spawn(async move {
                session::run(options, stop, move |_, notice| {
                    tell(notice);
                    if let Notice::Acknowledged(acknowledged) = notice {
                        ledger.lock().expect("sound").push(acknowledged.clone());
                    }
                })
                .await;
            })
        })
        .collect();
    (ledger, chargers)
}

/// An event row, as far as the comparison needs it.
pub(crate) struct Stored {
    pub(crate) id: String,
    pub(crate) station: String,
    pub(crate) event: String,
    pub(crate) message_id: Option<String>,
    pub(crate) payload: Value,
    pub(crate) duplicate: bool,
    pub(crate) transaction_id: Option<i64>,
}

pub(crate) fn read_events(data_dir: &Path) -> Vec<Stored> {
    let sql = "SELECT id, coalesce(station_id, ''), event, message_id, payload, duplicate_of IS NOT NULL, transaction_id
             FROM events ORDER BY seq";
    let text = |cell: &Value| cell.as_str().expect("a text").to_owned();
    rows(data_dir, sql, &[])
        .into_iter()
        .map(|row: [Value; 7]| Stored {
            id: text(&row[0]),
            station: text(&row[1]),
            event: text(&row[2]),
            message_id: row[3].as_str().map(str::to_owned),
            payload: serde_json::from_str(&text(&row[4])).expect("JSON"),
            duplicate: row[5] == 1,
            transaction_id: row[6].as_i64(),
        })
        .collect()
}

/// Small deterministic chance, so that a failure can be repeated.
pub(crate) fn next_chance(state: &mut u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *state >> 33
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::print_stderr, reason = "a long run tells how far it is, and its figures")]
async fn delivery_cases_1_to_4_an_acknowledged_message_is_never_lost() {
    let kills = setting("CRASH_KILLS", 20);
    let chargers = setting("CRASH_CHARGERS", 30);
    let dir = tempfile::tempdir().expect("a directory");
    let place = Place::new(dir.path());
    let (receiver, received) = start_receiver().await;

    let mut process = place.serve();
    subscribe(&place, receiver, &received).await;
    let stop = CancellationToken::new();
    let (ledger, tasks) = start_chargers(&place, chargers, &stop);
    let mut chance = 42;
    for kill in 0..kills {
        let before = ledger.lock().expect("sound").len();
        eventually("chargers are served", || async {
            (ledger.lock().expect("sound").len() > before + chargers).then_some(())
        })
        .await;
        // A random moment is the point here, not a wait for something.
        tokio::time::sleep(Duration::from_millis(next_chance(&mut chance) % 400)).await;
        process.kill();
        process = tokio::task::block_in_place(|| place.serve());
        eprintln!("kill {}: {} acknowledged", kill + 1, ledger.lock().expect("sound").len());
    }
    stop.cancel();
    for task in tasks {
        task.await.expect("the charger ends");
    }

    drained(&place).await;
    process.kill();
    let events = read_events(dir.path());
    let ledger = std::mem::take(&mut *ledger.lock().expect("sound"));
    let lost = missing(&ledger, &events);
    assert!(lost.is_empty(), "acknowledged and lost: {lost:#?}");
    assert_eq!(*received.badly_signed.lock().expect("sound"), 0);
    let times = std::mem::take(&mut *received.times.lock().expect("sound"));
    let undelivered: Vec<_> = events
        .iter()
        // What the gateway told of itself before the webhook was made.
        .skip_while(|event| event.event == "NodeJoined")
        .filter(|event| !event.duplicate && !times.contains_key(&event.id) && event.event != "DeliveryFailed")
        .map(|event| format!("{} {} {}", event.id, event.station, event.event))
        .collect();
    assert!(undelivered.is_empty(), "stored and never delivered: {undelivered:#?}");
    for duplicate in events.iter().filter(|event| event.duplicate) {
        assert!(!times.contains_key(&duplicate.id), "a repeated message makes no delivery: {}", duplicate.id);
    }
    let numbers = numbers_of_starts(&ledger, &events);
    let twice = times.values().filter(|times| **times > 1).count();
    eprintln!(
        "{kills} kills, {} acknowledged, {} events ({} repeats), {numbers} transactions, {} deliveries, {twice} more than once",
        ledger.len(),
        events.len(),
        events.iter().filter(|event| event.duplicate).count(),
        times.len(),
    );
}

/// Waits until no delivery is on its way any more.
pub(crate) async fn drained(place: &Place) {
    let http = http_client();
    let open = |status: &'static str| {
        let request = http
            .get(format!("http://{}/api/v1/deliveries?status={status}&limit=1", place.api))
            .header("X-API-Key", ADMIN_KEY);
        async move {
            let page: Value = request.send().await.expect("answers").json().await.expect("JSON");
            page["data"].as_array().expect("a list").len()
        }
    };
    let began = tokio::time::Instant::now();
    loop {
        if open("scheduled").await + open("retry").await + open("processing").await == 0 {
            return;
        }
        assert!(began.elapsed() < DEADLINE * 6, "deliveries are still open");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Acknowledged messages without an event of the same station, message id and content.
pub(crate) fn missing(ledger: &[Acknowledged], events: &[Stored]) -> Vec<String> {
    let mut by_message: HashMap<(&str, &str), Vec<&Stored>> = HashMap::new();
    for event in events {
        if let Some(message_id) = &event.message_id {
            by_message.entry((&event.station, message_id)).or_default().push(event);
        }
    }
    let is_there = |acknowledged: &&Acknowledged| {
        let sent: Value = serde_json::from_str(acknowledged.payload.get()).expect("JSON");
        let found = by_message.get(&(acknowledged.station_id.as_str(), acknowledged.message_id.as_str()));
        found.is_some_and(|events| {
            events.iter().any(|event| {
                let mut kept = event.payload.clone();
                if event.event == "StartTransaction" {
                    kept.as_object_mut().expect("an object").remove("transactionId");
                }
                event.event == acknowledged.action && kept == sent
            })
        })
    };
    ledger
        .iter()
        .filter(|acknowledged| !is_there(acknowledged))
        .map(|acknowledged| {
            format!("{} {} {}", acknowledged.station_id, acknowledged.action, acknowledged.payload)
        })
        .collect()
}

/// Checks that every start, however often it was sent and stored, has one transaction number, and that
/// no two have the same; returns how many there are.
pub(crate) fn numbers_of_starts(ledger: &[Acknowledged], events: &[Stored]) -> usize {
    let mut numbers: BTreeMap<(String, String), BTreeSet<i64>> = BTreeMap::new();
    for event in events.iter().filter(|event| event.event == "StartTransaction") {
        let mut content = event.payload.clone();
        let number = content.as_object_mut().expect("an object").remove("transactionId").expect("a number");
        assert_eq!(number.as_i64(), event.transaction_id);
        let start = (event.station.clone(), content.to_string());
        numbers.entry(start).or_default().insert(number.as_i64().expect("an integer"));
    }
    for acknowledged in ledger.iter().filter(|acknowledged| acknowledged.action == "StartTransaction") {
        let sent: Value = serde_json::from_str(acknowledged.payload.get()).expect("JSON");
        let answer: Value = serde_json::from_str(acknowledged.response.get()).expect("JSON");
        let start = (acknowledged.station_id.to_string(), sent.to_string());
        let stored = numbers.get(&start).expect("acknowledged starts are stored");
        assert_eq!(
            stored.iter().copied().collect::<Vec<_>>(),
            [answer["transactionId"].as_i64().expect("a number")]
        );
    }
    assert!(numbers.values().all(|numbers| numbers.len() == 1), "one start, one number: {numbers:#?}");
    let distinct: BTreeSet<_> = numbers.values().flatten().collect();
    assert_eq!(distinct.len(), numbers.len(), "one number, one start");
    numbers.len()
}
