//! Refused connections leave a trace: one folded line for each address, with the reason in words, and a
//! count.

use std::fs::File;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;

use rcgen::date_time_ymd;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::crash::{Place, Process};
use crate::harness::{Charger, DEADLINE, eventually, http_client};
use crate::tls::{self, Authority, OCPP16};

/// The real program, whose log is a file.
struct Logged {
    process: Process,
    place: Place,
    log: PathBuf,
    _dir: TempDir,
}

impl Logged {
    fn start(settings: &[(&str, String)]) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let (place, log) = (Place::new(dir.path()), dir.path().join("log"));
        let mut command = place.command();
        command
            .args(["--log-level", "warn", "--log-format", "text"])
            .envs(settings.iter().map(|(name, value)| (name, value)))
            .stderr(Stdio::from(File::create(&log).expect("a file")));
        Self { process: place.start(&mut command), place, log, _dir: dir }
    }

    fn lines(&self, words: &str) -> Vec<String> {
        let log = std::fs::read_to_string(&self.log).expect("a log");
        log.lines().filter(|line| line.contains(words)).map(str::to_owned).collect()
    }

    /// Waits for a line with these words, and sees that there is one alone.
    async fn told_once(&self, words: &str) -> String {
        eventually(words, || async { self.lines(words).pop() }).await;
        let mut lines = self.lines(words);
        assert_eq!(lines.len(), 1, "{lines:#?}");
        let line = lines.remove(0);
        assert!(line.contains("WARN") && line.contains("127.0.0.1"), "{line}");
        line
    }

    async fn count(&self, reason: &str) -> u64 {
        let url = format!("http://{}/metrics", self.place.api);
        let text = http_client().get(url).send().await.expect("answers").text().await.expect("a text");
        let name = format!("chargehook_connections_refused_total{{reason=\"{reason}\"}} ");
        let line = text.lines().find_map(|line| line.strip_prefix(&name));
        line.unwrap_or_else(|| panic!("{reason}: {text}")).parse().expect("a number")
    }

    /// Stops it by SIGTERM; all that it has logged.
    async fn stop(mut self) -> String {
        let id = self.process.child.id().to_string();
        std::process::Command::new("kill").args(["-TERM", &id]).status().expect("runs");
        let ended = spawn_blocking(move || self.process.child.wait());
        let ended = timeout(DEADLINE, ended).await.expect("ends in time").expect("joins");
        assert!(ended.expect("waits").success());
        std::fs::read_to_string(&self.log).expect("a log")
    }
}

/// Says something, and reads until the connection is closed.
async fn say(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.expect("connects");
    stream.write_all(bytes).await.expect("sends");
    let mut answer = Vec::new();
    // A reset is an end too.
    let _ = timeout(DEADLINE, stream.read_to_end(&mut answer)).await.expect("is closed in time");
    String::from_utf8_lossy(&answer).into_owned()
}

/// A request for a WebSocket with these further lines in its head.
fn request(path: &str, lines: &str) -> Vec<u8> {
    let websocket =
        "Host: x\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13";
    format!("GET {path} HTTP/1.1\r\n{websocket}\r\n{lines}\r\n\r\n").into_bytes()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_kind_of_refusal_is_told_once_and_counted() {
    let settings = [
        ("CHARGEHOOK_STATIONS_UNKNOWN", "reject".to_owned()),
        ("CHARGEHOOK_LIMITS_HANDSHAKE_TIMEOUT", "500ms".to_owned()),
        ("CHARGEHOOK_LIMITS_BAD_CREDENTIALS_PER_MINUTE", "1000".to_owned()),
    ];
    let gateway = Logged::start(&settings);
    let ocpp = gateway.place.ocpp;
    // Somebody looks whether the port is open, as load balancers do: that is nothing.
    drop(TcpStream::connect(ocpp).await.expect("connects"));
    let silent = TcpStream::connect(ocpp).await.expect("connects");
    assert_eq!(tls::Place::new().client().knock(ocpp, "CP", None).await, None);
    say(ocpp, b"\x00\x01\x02 hello\r\n\r\n").await;
    assert!(
        say(ocpp, b"GET /ocpp/CP HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.contains(" 426 ")
    );
    for key in ["", "Sec-WebSocket-Key: c2hvcnQ=", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAAAA"] {
        let answer = say(ocpp, &request("/ocpp/CP", key)).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{key}: {answer}");
    }
    let twice = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n".repeat(2);
    assert!(say(ocpp, &request("/ocpp/CP", twice.trim_end())).await.starts_with("HTTP/1.1 400 "));
    for nth in 0..20 {
        let refused = Charger::connect(ocpp, &format!("/ocpp/STRANGER{nth}"), &[OCPP16]).await;
        assert_eq!(refused.err().expect("refused").status(), 404);
    }
    let path = format!("/ocpp/{}%3A", "x".repeat(500));
    assert_eq!(Charger::connect(ocpp, &path, &[OCPP16]).await.err().expect("refused").status(), 404);

    for (words, reason, count) in [
        ("a TLS hello on a plain port", "tls_on_plain_port", 1),
        ("not HTTP", "not_http", 1),
        ("connect with a WebSocket", "not_a_websocket", 1),
        ("Sec-WebSocket-Key", "bad_websocket_key", 4),
        ("/ocpp/STRANGER0 was refused: this station is not registered", "unknown_station", 20),
        ("no station identity here", "not_found", 1),
        ("timeout", "handshake_timeout", 1),
    ] {
        let line = gateway.told_once(words).await;
        assert!(line.len() < 400, "{line}");
        assert_eq!(gateway.count(reason).await, count, "{reason}");
    }
    drop(silent);
    assert_eq!(gateway.count("broken_off").await, 0);
    let log = gateway.stop().await;
    let folded: Vec<&str> = log.lines().filter(|line| line.contains(" more connections from ")).collect();
    assert_eq!(folded.len(), 1, "{log}");
    assert!(folded[0].contains("22 more connections from 127.0.0.1 "), "{}", folded[0]);
    assert!(folded[0].contains("19 × this station is not registered"), "{}", folded[0]);
}

/// The hello of a client that speaks TLS 1.0 and nothing newer.
fn old_hello() -> Vec<u8> {
    let mut hello = vec![3, 1];
    hello.extend([7; 32]);
    // No session; one cipher suite; no compression.
    hello.extend([0, 0, 2, 0, 0x2f, 1, 0]);
    let mut message = vec![1, 0, 0, hello.len() as u8];
    message.extend(hello);
    let mut record = vec![22, 3, 1, 0, message.len() as u8];
    record.extend(message);
    record
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_in_tls_is_told_in_words() {
    let place = tls::Place::new();
    let file = |name: &str| place.path(name).display().to_string();
    let settings = [
        ("CHARGEHOOK_OCPP_TLS_CERTIFICATE", file("ecdsa.pem")),
        ("CHARGEHOOK_OCPP_TLS_KEY", file("ecdsa.key")),
        ("CHARGEHOOK_OCPP_TLS_CLIENT_CA", file("stations.pem")),
    ];
    let gateway = Logged::start(&settings);
    let ocpp = gateway.place.ocpp;
    let expired = place.stations.station("CP", |params| {
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
    });
    let early = place.stations.station("CP", |params| params.not_before = date_time_ymd(2100, 1, 1));
    let foreign = Authority::new("somebody else").station("CP", |_| {});
    for identity in [expired, early, foreign] {
        assert_eq!(place.client_of(identity).knock(ocpp, "CP", None).await, None);
    }
    let mut stranger = place.client();
    stranger.roots = Authority::new("another").certificate;
    assert_eq!(stranger.knock(ocpp, "CP", None).await, None);
    say(ocpp, &old_hello()).await;
    say(ocpp, &request("/ocpp/CP", "")).await;
    say(ocpp, b"\x80\x2e\x01\x03\x01 nothing of the kind").await;
    for (words, reason) in [
        ("certificate has expired", "tls_certificate_expired"),
        ("not valid yet", "tls_certificate_not_yet_valid"),
        ("unknown issuer", "tls_unknown_issuer"),
        ("does not trust the gateway's certificate", "tls_gateway_not_trusted"),
        ("protocol version is too old", "tls_version_too_old"),
        ("plain HTTP on a TLS port", "plain_on_tls_port"),
        ("not TLS", "tls_not_tls"),
    ] {
        gateway.told_once(words).await;
        assert_eq!(gateway.count(reason).await, 1, "{reason}");
    }
    // Good ones stay good.
    let station = place.client_of(place.stations.station("CP", |_| {}));
    assert_eq!(station.knock(ocpp, "CP", None).await, Some(101));
}
