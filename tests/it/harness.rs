//! A real gateway on free ports, chargers on real sockets, and patience with a deadline.

use std::io::Write;
use std::net::SocketAddr;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use chargehook::config::Config;
use chargehook::gateway::{Gateway, StartError};
use chargehook::keys;
use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use store::StoreError;
use store::test_store::{TEST_STORE_VARIABLE, is_shared, shared_address, shared_url};
use tempfile::TempDir;
use tls::Stream;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error as WsError, Message};
use tokio_tungstenite::{WebSocketStream, client_async};
use vocabulary::clock::Clock;
use vocabulary::units::Span;

use crate::documented;

/// Longer than anything here takes on a busy machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// The admin key of every gateway under test.
pub(crate) const ADMIN_KEY: &str = "test-admin-key-0123456789";

pub(crate) struct Running {
    pub(crate) gateway: Held,
    dir: TempDir,
    http: reqwest::Client,
}

/// A gateway that stops when its test ends, however that ends: threads and sessions of the database that were
/// left would be a burden to all other tests.
pub(crate) struct Held(Option<Gateway>);

impl Deref for Held {
    type Target = Gateway;

    fn deref(&self) -> &Gateway {
        self.0.as_ref().expect("it is there until it stops")
    }
}

impl Held {
    pub(crate) async fn stop(mut self) {
        if let Some(gateway) = self.0.take() {
            gateway.stop().await;
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let Some(gateway) = self.0.take() else { return };
        // Beside the test, whose tasks end in this moment.
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(gateway.stop());
        });
    }
}

/// Whether a test is about the embedded database alone, and the tests are run on PostgreSQL: there it has
/// nothing to try, and says why.
pub(crate) fn is_of_embedded(why: &str) -> bool {
    if is_shared() {
        let _ = writeln!(std::io::stderr(), "left out on PostgreSQL: {why}");
    }
    is_shared()
}

/// The program, with its data in `data_dir`, or where the tests keep it for that directory.
pub(crate) fn program_in(data_dir: &Path) -> Command {
    let mut command = program();
    if let Some(url) = shared_url(data_dir) {
        command.env("CHARGEHOOK_STORE_URL", url);
    }
    command
}

/// The program, which is told nothing of where the tests keep their data.
pub(crate) fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chargehook"));
    command.env_remove(TEST_STORE_VARIABLE);
    command
}

/// A configuration on free ports in `dir`, with local receivers allowed.
pub(crate) fn config(dir: &Path) -> Config {
    let mut config = Config::default();
    config.server.data_dir = dir.to_owned();
    config.store.url = shared_address(dir).map(Into::into);
    config.node.drain = Span::seconds(0);
    config.ocpp.listen = SocketAddr::from(([127, 0, 0, 1], 0));
    config.api.listen = SocketAddr::from(([127, 0, 0, 1], 0));
    config.outbound.allowed_networks = vec!["127.0.0.0/8".parse().expect("a network")];
    config
}

/// Starts a gateway whose configuration `change` has had a word in.
pub(crate) async fn start(change: impl FnOnce(&mut Config)) -> Running {
    let dir = tempfile::tempdir().expect("a directory");
    start_in(dir, change).await
}

pub(crate) async fn start_in(dir: TempDir, change: impl FnOnce(&mut Config)) -> Running {
    start_by(Clock::System, dir, change).await
}

/// Starts a gateway that lives by this clock.
pub(crate) async fn start_by(clock: Clock, dir: TempDir, change: impl FnOnce(&mut Config)) -> Running {
    let mut config = config(dir.path());
    change(&mut config);
    let began = tokio::time::Instant::now();
    let gateway = loop {
        match Gateway::start(config.clone(), clock.clone()).await {
            // A program that another test starts has for a moment a copy of all that is open here, the lock
            // of the gateway that was stopped just now among it.
            Err(StartError::Store(StoreError::InUse(_))) if began.elapsed() < DEADLINE => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            started => break started.expect("starts"),
        }
    };
    keys::ensure_first(gateway.store(), dir.path(), Some(ADMIN_KEY), clock.now())
        .await
        .expect("an admin key");
    Running { gateway: Held(Some(gateway)), dir, http: http_client() }
}

/// A client that goes where it is told; nothing of the environment's proxies.
pub(crate) fn http_client() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().timeout(DEADLINE).build().expect("a client")
}

/// A call of the API at `api` with the admin key: status and JSON body (`null` if there is none).
pub(crate) async fn call(
    http: &reqwest::Client,
    api: SocketAddr,
    method: &str,
    path: &str,
    body: Option<Value>,
) -> (u16, Value) {
    let mut request = http
        .request(method.parse().expect("a method"), format!("http://{api}/api/v1{path}"))
        .header("X-API-Key", ADMIN_KEY);
    if let Some(body) = body {
        request = request.json(&body);
    }
    let response = request.send().await.expect("the API answers");
    let status = response.status().as_u16();
    let text = response.text().await.expect("text");
    let body = match text.as_str() {
        "" => Value::Null,
        _ => serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}")),
    };
    documented::check(method, path, status, &body);
    (status, body)
}

impl Running {
    /// Stops this gateway and starts another one on its data.
    pub(crate) async fn restart(self, change: impl FnOnce(&mut Config)) -> Self {
        self.gateway.stop().await;
        start_in(self.dir, change).await
    }

    /// The same with another one that lives by this clock.
    pub(crate) async fn restart_by(self, clock: &Clock) -> Self {
        self.gateway.stop().await;
        start_by(clock.clone(), self.dir, |_| {}).await
    }

    /// Stops this gateway; what it leaves behind.
    pub(crate) async fn stop(self) -> TempDir {
        self.gateway.stop().await;
        self.dir
    }

    /// The database, as another program would open it.
    pub(crate) fn database(&self) -> PathBuf {
        self.dir.path().join("chargehook.db")
    }

    pub(crate) fn data_dir(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn ocpp(&self) -> SocketAddr {
        self.gateway.ocpp_addr()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.gateway.api_addr())
    }

    /// An API call with the admin key: status and JSON body (`null` if there is none).
    pub(crate) async fn api(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        call(&self.http, self.gateway.api_addr(), method, path, body).await
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let (status, body) = self.api("GET", path, None).await;
        assert_eq!(status, 200, "GET {path}: {body}");
        body
    }

    /// All events of a station, oldest first.
    pub(crate) async fn events(&self, station: &str) -> Vec<Value> {
        let body = self.get(&format!("/events?station_id={station}&order=asc&limit=500")).await;
        body["data"].as_array().expect("a list").clone()
    }

    /// A station's events of one type, oldest first.
    pub(crate) async fn events_of(&self, station: &str, event: &str) -> Vec<Value> {
        let all = self.events(station).await;
        all.into_iter().filter(|found| found["event"] == event).collect()
    }

    /// Connects as a charger that does everything right.
    pub(crate) async fn charger(&self, id: &str) -> Charger {
        Charger::connect(self.ocpp(), &format!("/ocpp/{id}"), &[("Sec-WebSocket-Protocol", "ocpp1.6")])
            .await
            .expect("connects")
    }

    /// Connects as a charger that does everything right, and boots.
    pub(crate) async fn booted(&self, id: &str) -> Charger {
        let mut charger = self.charger(id).await;
        assert_eq!(charger.boot().await, "Accepted");
        charger
    }
}

/// Waits until `condition` holds; fails loudly if it never does.
pub(crate) async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut condition: impl FnMut() -> F,
) -> T {
    let began = tokio::time::Instant::now();
    loop {
        if let Some(found) = condition().await {
            return found;
        }
        assert!(began.elapsed() < DEADLINE, "still not so: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A charger's socket, with nothing clever behind it.
pub(crate) struct Charger {
    pub(crate) socket: WebSocketStream<Stream>,
    pub(crate) response: http::Response<Option<Vec<u8>>>,
    next_id: u32,
}

impl Charger {
    /// Opens a WebSocket; `Err` is the HTTP response of a refusal.
    pub(crate) async fn connect(
        address: SocketAddr,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<Self, http::Response<Option<Vec<u8>>>> {
        let stream = TcpStream::connect(address).await.expect("TCP connects");
        let url = format!("ws://{address}{path}");
        Self::attempt(Stream::Plain(stream), &url, headers).await.expect("the connection stands")
    }

    /// Opens a WebSocket on a connection that there is already; `None` if that breaks.
    pub(crate) async fn attempt(
        stream: Stream,
        url: &str,
        headers: &[(&str, &str)],
    ) -> Option<Result<Self, http::Response<Option<Vec<u8>>>>> {
        let mut request = url.into_client_request().expect("a request");
        for (name, value) in headers {
            let name: http::HeaderName = name.parse().expect("a header name");
            request.headers_mut().append(name, value.parse().expect("a header value"));
        }
        match client_async(request, stream).await {
            Ok((socket, response)) => Some(Ok(Self { socket, response, next_id: 1 })),
            // The client insists on a subprotocol in the answer when it offered one; refusals come as Http.
            Err(WsError::Http(response)) => Some(Err(*response)),
            Err(WsError::Io(_)) => None,
            Err(other) => panic!("neither welcomed nor refused: {other}"),
        }
    }

    pub(crate) async fn send(&mut self, text: &str) {
        self.socket.send(Message::text(text)).await.expect("sends");
    }

    /// The next text message.
    pub(crate) async fn receive(&mut self) -> String {
        self.receive_or_closed().await.expect("the socket is open")
    }

    /// The next text message; `None` if the gateway closes the socket.
    pub(crate) async fn receive_or_closed(&mut self) -> Option<String> {
        loop {
            let message = timeout(DEADLINE, self.socket.next()).await.expect("something comes in time");
            match message? {
                Ok(Message::Text(text)) => return Some(text.to_string()),
                Ok(Message::Ping(_) | Message::Pong(_)) => {}
                Ok(Message::Close(_)) | Err(_) => return None,
                Ok(other) => panic!("a text message was due, not {other:?}"),
            }
        }
    }

    /// Sends a text and returns what it is answered.
    pub(crate) async fn exchange(&mut self, text: &str) -> Value {
        self.send(text).await;
        serde_json::from_str(&self.receive().await).expect("JSON")
    }

    /// Sends a CALL with a fresh id; the CALLRESULT's payload.
    pub(crate) async fn call(&mut self, action: &str, payload: Value) -> Value {
        let id = self.next_id.to_string();
        self.next_id += 1;
        let answer = self.exchange(&serde_json::json!([2, id, action, payload]).to_string()).await;
        assert_eq!((&answer[0], &answer[1]), (&Value::from(3), &Value::from(id)), "{action}: {answer}");
        answer[2].clone()
    }

    /// Boots; the status that is the answer.
    pub(crate) async fn boot(&mut self) -> Value {
        let boot = serde_json::json!({"chargePointVendor": "V", "chargePointModel": "M"});
        self.call("BootNotification", boot).await["status"].clone()
    }

    /// Proves that the socket is open and nothing else is on its way.
    pub(crate) async fn still_serves(&mut self) {
        let answer = self.call("Heartbeat", serde_json::json!({})).await;
        assert!(answer["currentTime"].is_string(), "{answer}");
    }

    /// Waits for the gateway's close frame.
    pub(crate) async fn closed(&mut self) -> Option<CloseFrame> {
        loop {
            match timeout(DEADLINE, self.socket.next()).await.expect("closes in time") {
                Some(Ok(Message::Close(frame))) => return frame,
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return None,
            }
        }
    }
}
