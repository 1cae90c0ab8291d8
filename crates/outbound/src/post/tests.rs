//! Hostile HTTP (delivery cases 19 to 29) and forbidden destinations, against servers on this machine.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::*;
use vocabulary::api::delivery::DeliveryError;
use vocabulary::clock::Timestamp;
use vocabulary::delivery::ErrorCode;

const TEST_CA: &[u8] = include_bytes!("../../../../tests/tls/ca.pem");
const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(300);
const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

fn poster() -> Poster {
    let allowed = ["127.0.0.0/8", "::1/128"].map(|net| net.parse().expect("a network")).to_vec();
    Poster::new(Guard { allowed, https_only: false }, Some(TEST_CA)).expect("a poster")
}

fn request(url: &str) -> Request {
    Request {
        url: destination::parse_url(url).expect(url),
        headers: HeaderMap::new(),
        body: Bytes::from_static(b"{\"a\":1}"),
        timeout: LONG,
        carries_secret: false,
    }
}

/// A server that gives each connection, with its number from 0, to `serve`.
struct Server {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

impl Server {
    async fn start<F: Future<Output = ()> + Send + 'static>(
        serve: impl Fn(TcpStream, usize) -> F + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let connections = Arc::new(AtomicUsize::new(0));
        let counter = connections.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, counter.fetch_add(1, Ordering::SeqCst)));
            }
        });
        Self { address, connections }
    }

    /// A server that answers every request with these bytes and keeps its connections open.
    async fn answering(answer: impl Into<Vec<u8>>) -> Self {
        let answer = Arc::new(answer.into());
        Self::start(move |mut stream, _| {
            let answer = answer.clone();
            async move {
                while read_request(&mut stream).await.is_some() {
                    if stream.write_all(&answer).await.is_err() {
                        return;
                    }
                }
            }
        })
        .await
    }

    fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// Reads one request with its body of seven bytes; `None` once the client has closed.
async fn read_request(stream: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut text = Vec::new();
    loop {
        if stream.read_buf(&mut text).await.ok()? == 0 {
            return None;
        }
        if text.windows(4).position(|w| w == b"\r\n\r\n").is_some_and(|end| text.len() >= end + 4 + 7) {
            return Some(String::from_utf8_lossy(&text).into_owned());
        }
    }
}

async fn never() {
    std::future::pending().await
}

fn error(outcome: &Outcome) -> DeliveryError {
    outcome.error().expect("a failure")
}

#[tokio::test]
async fn every_2xx_is_a_success_and_nothing_else() {
    for (status, success) in [
        ("200 OK", true),
        ("201 Created", true),
        ("204 No Content", true),
        ("206 Partial Content", true),
        ("299 Whatever", true),
        ("300 Multiple Choices", false),
        ("304 Not Modified", false),
        ("410 Gone", false),
        ("418 Teapot", false),
        ("500 Internal Server Error", false),
    ] {
        let server = Server::answering(format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n")).await;
        let outcome = poster().post(request(&server.url())).await;
        assert_eq!(outcome.is_success(), success, "{status}");
        assert_eq!(outcome.status(), status[..3].parse().ok(), "{status}");
        assert_eq!(outcome.error().map(|error| error.code), (!success).then_some(ErrorCode::HttpStatus));
    }
}

#[tokio::test]
async fn the_request_arrives_as_it_was_given_and_connections_are_used_again() {
    let (seen, mut requests) = tokio::sync::mpsc::unbounded_channel();
    let server = Server::start(move |mut stream, _| {
        let seen = seen.clone();
        async move {
            while let Some(text) = read_request(&mut stream).await {
                let _ = seen.send(text);
                let _ = stream.write_all(OK).await;
            }
        }
    })
    .await;
    let poster = poster();
    for _ in 0..3 {
        let mut request = request(&format!("{}?q=1", server.url()));
        request.headers.insert("x-env", "prod".parse().expect("a value"));
        let outcome = poster.post(request).await;
        assert_eq!(outcome.verdict, AttemptVerdict::Delivered { status: 200 });
        assert_eq!(outcome.response_body.as_deref(), Some("ok"));
        let text = requests.recv().await.expect("a request").to_ascii_lowercase();
        assert!(text.starts_with("post /hook?q=1 http/1.1\r\n"), "{text}");
        assert!(text.contains("\r\nx-env: prod\r\n") && text.contains("\r\ncontent-length: 7\r\n"), "{text}");
        assert!(!text.contains("accept-encoding"), "no compressed answer is asked for: {text}");
        assert!(text.ends_with("\r\n\r\n{\"a\":1}"), "{text}");
    }
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn redirects_are_failures_with_their_location() {
    for status in [301, 302, 307, 308] {
        let server = Server::start(move |mut stream, _| async move {
            let back = stream.local_addr().expect("an address");
            while read_request(&mut stream).await.is_some() {
                let answer = format!(
                    "HTTP/1.1 {status} X\r\nlocation: http://{back}/loop\r\ncontent-length: 0\r\n\r\n"
                );
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        })
        .await;
        let outcome = poster().post(request(&server.url())).await;
        assert_eq!(outcome.verdict, AttemptVerdict::Refused { status, retry_after: None });
        let location = format!("http://{}/loop", server.address);
        assert!(outcome.response_headers.contains(&("location".to_owned(), location.clone())));
        assert!(error(&outcome).message.contains(&location));
    }
}

#[tokio::test]
async fn retry_after_is_read_where_it_means_something() {
    let answer = |status: u16, value: &str| {
        format!("HTTP/1.1 {status} X\r\nretry-after: {value}\r\ncontent-length: 0\r\n\r\n")
    };
    let two_minutes = Some(RetryAfter::Delay(Duration::from_secs(120)));
    let date = Some(RetryAfter::At(Timestamp::from_unix_ms(784_111_777_000)));
    for (status, value, expected) in [
        (429, "120", two_minutes),
        (503, "120", two_minutes),
        (503, "Sun, 06 Nov 1994 08:49:37 GMT", date),
        (503, "soon", None),
        (500, "120", None),
    ] {
        let server = Server::answering(answer(status, value)).await;
        let outcome = poster().post(request(&server.url())).await;
        assert_eq!(
            outcome.verdict,
            AttemptVerdict::Refused { status, retry_after: expected },
            "{status} {value}"
        );
    }
}

#[tokio::test]
async fn silence_and_trickling_headers_end_at_the_deadline() {
    let silent = Server::start(|stream, _| async move {
        let _open = stream;
        never().await;
    })
    .await;
    let trickling = Server::start(|mut stream, _| async move {
        read_request(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nx: ").await;
        let mut tick = tokio::time::interval(Duration::from_millis(20));
        while stream.write_all(b"x").await.is_ok() {
            tick.tick().await;
        }
    })
    .await;
    for server in [silent, trickling] {
        let start = Instant::now();
        let outcome = poster().post(Request { timeout: SHORT, ..request(&server.url()) }).await;
        assert_eq!(outcome.verdict, AttemptVerdict::TimedOut);
        assert_eq!(error(&outcome).code, ErrorCode::Timeout);
        assert!(start.elapsed() >= SHORT && start.elapsed() < SHORT * 10, "{:?}", start.elapsed());
    }
}

#[tokio::test]
async fn a_trickling_body_ends_at_the_deadline_and_is_a_success_all_the_same() {
    let server = Server::start(|mut stream, _| async move {
        read_request(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n").await;
        let mut tick = tokio::time::interval(Duration::from_millis(20));
        while stream.write_all(b"x").await.is_ok() {
            tick.tick().await;
        }
    })
    .await;
    let start = Instant::now();
    let outcome = poster().post(Request { timeout: SHORT, ..request(&server.url()) }).await;
    assert_eq!(outcome.verdict, AttemptVerdict::Delivered { status: 200 });
    assert!(outcome.response_body.is_some_and(|body| body.starts_with('x')));
    assert!(start.elapsed() >= SHORT && start.elapsed() < SHORT * 10, "{:?}", start.elapsed());
}

#[tokio::test]
async fn of_an_endless_body_no_more_than_the_cap_is_read() {
    let (closed, mut end) = tokio::sync::mpsc::unbounded_channel();
    let server = Server::start(move |mut stream, _| {
        let closed = closed.clone();
        async move {
            read_request(&mut stream).await;
            let _ = stream.write_all(b"HTTP/1.1 500 X\r\ncontent-length: 10000000000\r\n\r\n").await;
            let mut sent = 0_usize;
            while stream.write_all(&[b'y'; 16 * 1024]).await.is_ok() {
                sent += 16 * 1024;
            }
            let _ = closed.send(sent);
        }
    })
    .await;
    let outcome = poster().post(request(&server.url())).await;
    assert_eq!(outcome.verdict, AttemptVerdict::Refused { status: 500, retry_after: None });
    assert_eq!(outcome.response_body.expect("a body"), "y".repeat(KEPT_BODY_BYTES));
    let sent = end.recv().await.expect("the connection is given up");
    assert!(sent < 100 * 1024 * 1024, "what the system buffers comes on top, but not 10 GB: {sent}");
}

#[tokio::test]
async fn what_is_not_text_is_stored_safely() {
    let mut answer = b"HTTP/1.1 400 X\r\nserver: a\xffb\r\ncontent-length: 7\r\n\r\n".to_vec();
    answer.extend_from_slice(b"a\xff\0\x1bb\n\xc3");
    let server = Server::answering(answer).await;
    let outcome = poster().post(request(&server.url())).await;
    assert_eq!(outcome.response_body.as_deref(), Some("a\u{fffd}\u{fffd}\u{fffd}b\n"));
    assert!(outcome.response_headers.contains(&("server".to_owned(), "a\u{fffd}b".to_owned())));
    assert_eq!(safe_text("é".as_bytes()), "é");
    assert_eq!(safe_text(&"é".as_bytes()[..1]), "");
}

#[tokio::test]
async fn what_an_endpoint_echoes_of_a_secret_is_not_kept() {
    // An answer as debugging endpoints give it: all that was sent, and a redirect with the token in its
    // address.
    let server = Server::start(move |mut stream, _| async move {
        while let Some(seen) = read_request(&mut stream).await {
            let head = format!(
                "HTTP/1.1 302 X\r\nlocation: /login?was=sesame-open-1234\r\ncontent-length: {}\r\n\r\n",
                seen.len()
            );
            let _ = stream.write_all(head.as_bytes()).await;
            let _ = stream.write_all(seen.as_bytes()).await;
        }
    })
    .await;
    let mut secret = http::HeaderValue::from_static("sesame-open-1234");
    secret.set_sensitive(true);
    let mut asked = request(&server.url());
    asked.headers.insert("x-webhook-secret", secret);
    let outcome = poster().post(asked).await;
    let body = outcome.response_body.clone().expect("a body");
    assert!(body.contains("x-webhook-secret: ***\r\n"), "{body}");
    assert!(!format!("{outcome:?}{:?}", outcome.error()).contains("sesame"), "{outcome:?}");
    assert!(error(&outcome).message.contains("/login?was=***"), "{:?}", outcome.error());
}

#[tokio::test]
async fn an_idle_connection_that_is_dead_gets_one_second_try_in_the_same_attempt() {
    // Every connection serves one request; on the next one it is closed before any byte came back.
    let server = Server::start(|mut stream, _| async move {
        if read_request(&mut stream).await.is_some() {
            let _ = stream.write_all(OK).await;
        }
        let _ = stream.read_u8().await;
    })
    .await;
    let poster = poster();
    let first = poster.post(request(&server.url())).await;
    assert!(first.is_success() && !first.reconnected, "{first:?}");
    let second = poster.post(request(&server.url())).await;
    assert!(second.is_success() && second.reconnected, "{second:?}");
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn the_second_try_is_the_last() {
    // Only the first request of the first connection is ever answered.
    let server = Server::start(|mut stream, number| async move {
        if number == 0 && read_request(&mut stream).await.is_some() {
            let _ = stream.write_all(OK).await;
        }
        let _ = stream.read_u8().await;
    })
    .await;
    let poster = poster();
    assert!(poster.post(request(&server.url())).await.is_success());
    let outcome = poster.post(request(&server.url())).await;
    assert!(outcome.reconnected);
    assert_eq!(error(&outcome).code, ErrorCode::Reset);
    assert_eq!(server.connections(), 2);
    // On a connection of its own there is no second try: the receiver may have acted on the first.
    let outcome = poster.post(request(&server.url())).await;
    assert!(!outcome.reconnected);
    assert_eq!(error(&outcome).code, ErrorCode::Reset);
    assert_eq!(server.connections(), 3);
}

#[tokio::test]
async fn the_ways_to_get_no_answer_are_told_apart() {
    let closed = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let refusing = closed.local_addr().expect("an address");
    drop(closed);
    let garbage = Server::answering(&b"SSH-2.0-OpenSSH_9.6\r\n\r\n"[..]).await;
    let plain = Server::start(|mut stream, _| async move {
        let _ = stream.read_u8().await;
        let _ = stream.write_all(OK).await;
        never().await;
    })
    .await;
    let mute = Server::start(|stream, _| async move { drop(stream) }).await;
    for (url, code, words) in [
        (format!("http://{refusing}/"), ErrorCode::Connect, "refused"),
        ("http://no-such-name.invalid/".to_owned(), ErrorCode::Dns, "does not resolve"),
        (garbage.url(), ErrorCode::Reset, "cannot be read"),
        (mute.url(), ErrorCode::Reset, "without an answer"),
        (plain.url().replace("http:", "https:"), ErrorCode::Tls, "does not speak TLS"),
        (mute.url().replace("http:", "https:"), ErrorCode::Tls, "TLS handshake"),
    ] {
        let outcome = poster().post(request(&url)).await;
        let DeliveryError { code: found, message } = error(&outcome);
        assert!(found == code && message.contains(words), "{url}: {found} {message}");
        assert_eq!((outcome.status(), outcome.response_body), (None, None));
    }
}

async fn tls_server(certificate: &'static [u8]) -> Server {
    let key =
        PrivateKeyDer::from_pem_slice(include_bytes!("../../../../tests/tls/server.key")).expect("a key");
    let chain = vec![CertificateDer::from_pem_slice(certificate).expect("a certificate")];
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("TLS versions")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("key and certificate fit");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    Server::start(move |stream, _| {
        let acceptor = acceptor.clone();
        async move {
            if let Ok(mut stream) = acceptor.accept(stream).await {
                answer_all(&mut stream).await;
            }
        }
    })
    .await
}

async fn answer_all(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) {
    while read_request(stream).await.is_some() {
        let _ = stream.write_all(OK).await;
        let _ = stream.flush().await;
    }
}

#[tokio::test]
async fn bad_certificates_are_told_apart_and_there_is_no_way_around() {
    let https = |server: &Server| server.url().replace("http:", "https:");
    let good = tls_server(include_bytes!("../../../../tests/tls/good.pem")).await;
    let outcome = poster().post(request(&https(&good))).await;
    assert!(outcome.is_success(), "{outcome:?}");
    for (certificate, words) in [
        (&include_bytes!("../../../../tests/tls/expired.pem")[..], "has expired"),
        (&include_bytes!("../../../../tests/tls/wrong-host.pem")[..], "is not for 127.0.0.1"),
        (&include_bytes!("../../../../tests/tls/self-signed.pem")[..], "is self-signed"),
    ] {
        let server = tls_server(certificate).await;
        let outcome = poster().post(request(&https(&server))).await;
        let DeliveryError { code, message } = error(&outcome);
        assert!(code == ErrorCode::Tls && message.contains(words), "{words}: {code} {message}");
    }
    let allowed = vec!["127.0.0.0/8".parse().expect("a network")];
    let without_extra_ca = Poster::new(Guard { allowed, https_only: false }, None).expect("a poster");
    let DeliveryError { code, message } = error(&without_extra_ca.post(request(&https(&good))).await);
    assert!(code == ErrorCode::Tls && message.contains("delivery.extra_ca"), "{code} {message}");
}

#[tokio::test]
async fn a_forbidden_destination_is_never_dialled() {
    let server = Server::answering(OK).await;
    let closed = Poster::new(Guard::default(), None).expect("a poster");
    let port = server.address.port();
    for host in ["127.0.0.1", "127.1", "2130706433", "[::ffff:127.0.0.1]", "localhost"] {
        let url = format!("http://{host}:{port}/hook");
        let outcome = closed.post(request(&url)).await;
        let DeliveryError { code, message } = error(&outcome);
        assert_eq!(code, ErrorCode::ForbiddenDestination, "{url}: {message}");
        assert!(message.contains("--allow-network"), "{message}");
        assert!(matches!(outcome.verdict, AttemptVerdict::Forbidden { .. }));
    }
    assert_eq!(server.connections(), 0);
    for host in ["127.0.0.1", "localhost"] {
        let outcome = poster().post(request(&format!("http://{host}:{port}/hook"))).await;
        assert!(outcome.is_success(), "the same URL, opened: {outcome:?}");
    }
}

#[tokio::test]
async fn a_secret_in_clear_reaches_allowed_networks_only() {
    let server = Server::answering(OK).await;
    let opened = poster();
    for host in ["127.0.0.1", "localhost"] {
        let url = format!("http://{host}:{}/", server.address.port());
        let outcome = opened.post(Request { carries_secret: true, ..request(&url) }).await;
        assert!(outcome.is_success(), "{outcome:?}");
    }
    let outcome = opened.post(Request { carries_secret: true, ..request("http://8.8.8.8/") }).await;
    assert_eq!(error(&outcome).code, ErrorCode::ForbiddenDestination);
}

#[test]
fn extra_roots_must_be_certificates() {
    let broken = b"-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n";
    assert!(Poster::new(Guard::default(), Some(broken)).is_err());
}
