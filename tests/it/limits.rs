//! Every limit at its edge: the last that is served and the first that is not.
//!
//! Others stand with what they are about: messages a second, connections and handshakes a second, streams.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use futures_util::SinkExt;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use vocabulary::units::{ByteSize, Span};

use crate::harness::{ADMIN_KEY, Charger, DEADLINE, Running, eventually, http_client, start};

const OCPP16: (&str, &str) = ("Sec-WebSocket-Protocol", "ocpp1.6");
const WEBSOCKET: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: ocpp1.6\r\n";

/// A heartbeat of exactly so many bytes.
fn heartbeat(id: &str, bytes: usize) -> String {
    let frame = |filler: usize| format!(r#"[2,"{id}","Heartbeat",{{"x":"{}"}}]"#, "x".repeat(filler));
    let filler = bytes - frame(0).len();
    frame(filler)
}

fn fragment(text: &[u8], opcode: Data, fin: bool) -> Message {
    Message::Frame(Frame::message(text.to_vec(), OpCode::Data(opcode), fin))
}

/// The status line of what a bare connection is answered; empty if it is closed without a word.
async fn answered(address: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.expect("connects");
    // A refusal may come, and the connection go, before everything is out.
    let _ = stream.write_all(request).await;
    status_of(&mut stream).await
}

async fn status_of(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let mut chunk = [0; 4_096];
    while !answer.contains(&b'\n') {
        match timeout(DEADLINE, stream.read(&mut chunk)).await.expect("answered, or closed, in time") {
            Ok(0) | Err(_) => break,
            Ok(count) => answer.extend_from_slice(&chunk[..count]),
        }
    }
    String::from_utf8_lossy(&answer).lines().next().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_message_of_the_limit_is_served_and_one_byte_more_is_1009() {
    const LIMIT: usize = 2 << 10;
    let gateway = start(|config| config.limits.message_size = ByteSize(LIMIT as u64)).await;
    let mut charger = gateway.charger("WHOLE").await;
    charger.send(&heartbeat("fits", LIMIT)).await;
    assert!(charger.receive().await.starts_with(r#"[3,"fits","#));
    charger.send(&heartbeat("over", LIMIT + 1)).await;
    assert_eq!(charger.closed().await.map(|frame| frame.code.into()), Some(1009u16));

    let mut charger = gateway.charger("PIECES").await;
    for (bytes, fits) in [(LIMIT, true), (LIMIT + 1, false)] {
        let text = heartbeat("pieces", bytes);
        let (first, rest) = text.as_bytes().split_at(1_000);
        let (second, third) = rest.split_at(900);
        charger.socket.send(fragment(first, Data::Text, false)).await.expect("sends");
        charger.socket.send(fragment(second, Data::Continue, false)).await.expect("sends");
        charger.socket.send(fragment(third, Data::Continue, true)).await.expect("sends");
        match fits {
            true => assert!(charger.receive().await.starts_with(r#"[3,"pieces","#)),
            false => assert_eq!(charger.closed().await.map(|frame| frame.code.into()), Some(1009u16)),
        }
    }
    for station in ["WHOLE", "PIECES"] {
        let rejected = gateway.events_of(station, "MessageRejected").await.pop().expect("an event");
        assert_eq!(rejected["payload"]["reason"], "too_large", "{station}");
    }
}

#[tokio::test]
async fn a_large_message_counts_more_than_once_against_the_rate() {
    let gateway = start(|config| {
        config.limits.messages_per_second = 40;
        config.limits.message_burst = 10;
    })
    .await;
    // One and eight more: it fits into the burst, and what follows is read at once, or after it has gathered.
    let large = heartbeat("large", 64 << 10);
    for (repeats, waits) in [(1, false), (4, true)] {
        let mut charger = gateway.charger(&format!("X{repeats}")).await;
        let began = Instant::now();
        for _ in 0..repeats {
            assert_eq!(charger.exchange(&large).await[0], 3);
        }
        // Two of them have to wait for nine tokens each, of forty a second.
        let waited = began.elapsed() >= Duration::from_millis(400);
        assert!(waited || !waits, "{repeats}: {:?}", began.elapsed());
    }
}

#[tokio::test]
async fn compression_is_not_agreed_to() {
    let gateway = start(|_| {}).await;
    let offer = ("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits");
    let charger = Charger::connect(gateway.ocpp(), "/ocpp/CP", &[OCPP16, offer]).await.expect("welcome");
    assert!(!charger.response.headers().contains_key("sec-websocket-extensions"));
}

#[tokio::test]
async fn frames_may_nest_64_levels() {
    let gateway = start(|_| {}).await;
    let mut charger = gateway.booted("DEEP").await;
    let transfer = |id: &str, levels: usize| {
        let inner = levels - 1;
        let data = format!("{}{}", "[".repeat(inner), "]".repeat(inner));
        format!(r#"[2,"{id}","DataTransfer",{{"vendorId":"v","data":{data}}}]"#)
    };
    assert_eq!(charger.exchange(&transfer("64", 64)).await[0], 3);
    let refused = charger.exchange(&transfer("65", 65)).await;
    assert_eq!((&refused[0], &refused[2]), (&json!(4), &json!("FormationViolation")));
    charger.still_serves().await;
}

#[tokio::test]
async fn a_slow_handshake_is_given_up() {
    let gateway = start(|config| config.limits.handshake_timeout = Span(Duration::from_millis(300))).await;
    // Nothing at all, and a header that never ends.
    for (first, more) in [("", ""), ("GET /ocpp/SLOW HTTP/1.1\r\nHost: x\r\n", "X-Slow: x\r\n")] {
        let mut stream = TcpStream::connect(gateway.ocpp()).await.expect("connects");
        let began = Instant::now();
        let mut trickle = first.as_bytes();
        while stream.write_all(trickle).await.is_ok() {
            assert!(began.elapsed() < DEADLINE, "still served");
            trickle = more.as_bytes();
            if let Ok(Ok(0) | Err(_)) = timeout(Duration::from_millis(30), stream.read(&mut [0; 256])).await {
                break;
            }
        }
        assert!(began.elapsed() >= Duration::from_millis(250), "it had its time");
    }
    assert_eq!(gateway.events("SLOW").await.len(), 0);
    gateway.charger("CP").await.still_serves().await;
}

#[tokio::test]
async fn a_silent_socket_is_closed_after_the_idle_timeout_and_a_talking_one_is_not() {
    let gateway = start(|config| {
        config.limits.idle_timeout = Some(Span(Duration::from_millis(400)));
        config.ocpp.ping_interval = Span::seconds(0);
    })
    .await;
    let mut silent = gateway.charger("SILENT").await;
    let mut talking = gateway.charger("TALKING").await;
    let began = Instant::now();
    let talk = async {
        loop {
            talking.still_serves().await;
            sleep(Duration::from_millis(50)).await;
        }
    };
    let closed = tokio::select! {
        closed = silent.closed() => closed,
        () = talk => None,
    };
    assert_eq!(closed.map(|frame| frame.code.into()), Some(1000u16));
    assert!(began.elapsed() >= Duration::from_millis(350));
    let ended = eventually("the end is an event", || async {
        gateway.events_of("SILENT", "StationDisconnected").await.pop()
    })
    .await;
    assert_eq!(ended["payload"]["reason"], "idle_timeout");
    assert_eq!(gateway.get("/stations/TALKING").await["connected"], true);
}

#[tokio::test]
async fn so_many_strangers_a_minute_are_registered() {
    let gateway = start(|config| config.limits.discovered_per_minute = 3).await;
    for station in ["A", "B", "C"] {
        gateway.charger(station).await.still_serves().await;
    }
    let refused = Charger::connect(gateway.ocpp(), "/ocpp/D", &[OCPP16]).await.err().expect("refused");
    assert_eq!(refused.status(), 503);
    assert!(refused.headers().contains_key("retry-after"));
    gateway.charger("A").await.still_serves().await;
    assert_eq!(gateway.get("/stations").await["data"].as_array().map(Vec::len), Some(3));
}

#[tokio::test]
async fn heads_of_handshakes_are_bounded() {
    let gateway = start(|_| {}).await;
    // A hundred lines, of which seven are there anyway; and at least 16 KiB, at most twice that.
    let head = |station: &str, lines: usize, bytes: usize| {
        let lines = "X-More: x\r\n".repeat(lines);
        let long = "x".repeat(bytes);
        format!("GET /ocpp/{station} HTTP/1.1\r\nHost: x\r\n{WEBSOCKET}{lines}X-Long: {long}\r\n\r\n")
    };
    let (ocpp, welcome) = (gateway.ocpp(), "HTTP/1.1 101 Switching Protocols");
    assert_eq!(answered(ocpp, head("A", 93, 1).as_bytes()).await, welcome);
    let too_many = answered(ocpp, head("B", 94, 1).as_bytes()).await;
    assert_eq!(too_many, "HTTP/1.1 431 Request Header Fields Too Large");
    assert_eq!(answered(ocpp, head("C", 0, 12 << 10).as_bytes()).await, welcome);
    let too_long = answered(ocpp, head("D", 0, 40 << 10).as_bytes()).await;
    assert_eq!(too_long, "HTTP/1.1 431 Request Header Fields Too Large");
    let long_path = format!("GET /{}/E HTTP/1.1\r\nHost: x\r\n\r\n", "x".repeat(70_000));
    let answer = answered(ocpp, long_path.as_bytes()).await;
    assert!(
        ["HTTP/1.1 414 URI Too Long", "HTTP/1.1 431 Request Header Fields Too Large"].contains(&&*answer),
        "{answer}"
    );
}

#[tokio::test]
async fn heads_of_api_requests_are_bounded() {
    let gateway = start(|_| {}).await;
    let api = gateway.gateway.api_addr();
    let head = |lines: usize, bytes: usize, path: &str| {
        let lines = "X-More: x\r\n".repeat(lines);
        let long = "x".repeat(bytes);
        format!("GET {path} HTTP/1.1\r\nHost: x\r\n{lines}X-Long: {long}\r\n\r\n")
    };
    assert_eq!(answered(api, head(98, 1, "/healthz").as_bytes()).await, "HTTP/1.1 200 OK");
    let too_large = "HTTP/1.1 431 Request Header Fields Too Large";
    assert_eq!(answered(api, head(99, 1, "/healthz").as_bytes()).await, too_large);
    assert_eq!(answered(api, head(0, 50 << 10, "/healthz").as_bytes()).await, "HTTP/1.1 200 OK");
    assert_eq!(answered(api, head(0, 140 << 10, "/healthz").as_bytes()).await, too_large);
    let long = format!("/healthz?{}", "x".repeat(50 << 10));
    assert_eq!(answered(api, head(0, 1, &long).as_bytes()).await, "HTTP/1.1 200 OK");
    let too_long = format!("/healthz?{}", "x".repeat(70_000));
    let answer = answered(api, head(0, 1, &too_long).as_bytes()).await;
    assert!([too_large, "HTTP/1.1 414 URI Too Long"].contains(&&*answer), "{answer}");
}

/// A POST of an event whose body has exactly so many bytes.
fn event_of(bytes: usize) -> String {
    let body = |filler: usize| {
        format!(r#"{{"event":"a.b","broadcast":true,"payload":{{"x":"{}"}}}}"#, "x".repeat(filler))
    };
    let filler = bytes - body(0).len();
    body(filler)
}

#[tokio::test]
async fn a_body_of_the_limit_is_taken_and_one_byte_more_is_413() {
    const LIMIT: usize = 4 << 10;
    let gateway = start(|config| config.api_limits.api_body = ByteSize(LIMIT as u64)).await;
    let post = |body: reqwest::Body| {
        let request = http_client().post(gateway.url("/api/v1/events")).header("X-API-Key", ADMIN_KEY);
        request.header("Content-Type", "application/json").body(body).send()
    };
    for (bytes, status) in [(LIMIT, 202), (LIMIT + 1, 413)] {
        let body = event_of(bytes);
        assert_eq!(body.len(), bytes);
        let whole = post(body.clone().into()).await.expect("answers");
        assert_eq!(whole.status(), status, "{bytes} bytes");
        // In chunks, so that nobody says before how many there will be.
        let chunks: Vec<Result<String, std::io::Error>> = body
            .as_bytes()
            .chunks(1_000)
            .map(|chunk| Ok(String::from_utf8_lossy(chunk).into_owned()))
            .collect();
        let chunked = post(reqwest::Body::wrap_stream(futures_util::stream::iter(chunks))).await;
        assert_eq!(chunked.expect("answers").status(), status, "{bytes} bytes in chunks");
    }
}

#[tokio::test]
async fn bodies_may_nest_as_deep_as_they_can_be_read() {
    let gateway = start(|_| {}).await;
    let post = |levels: usize| {
        // The body itself and the payload are two of them.
        let inner = levels - 2;
        let nested = format!(r#"{{"x":{}{}}}"#, "[".repeat(inner), "]".repeat(inner));
        let body = format!(r#"{{"event":"a.b","broadcast":true,"payload":{nested}}}"#);
        http_client()
            .post(gateway.url("/api/v1/events"))
            .header("X-API-Key", ADMIN_KEY)
            .header("Content-Type", "application/json")
            .body(body)
            .send()
    };
    assert_eq!(post(60).await.expect("answers").status(), 202);
    for levels in [128, 10_000] {
        assert_eq!(post(levels).await.expect("answers").status(), 400, "{levels}");
    }
}

#[tokio::test]
async fn an_owner_may_have_so_many_webhooks() {
    let gateway = start(|config| config.api_limits.webhooks = 2).await;
    let make = |owner: Value| {
        gateway.api("POST", "/webhooks", Some(json!({"url": "http://127.0.0.1:9/", "owner_id": owner})))
    };
    for owner in [json!("acme"), Value::Null] {
        let (_, first) = make(owner.clone()).await;
        assert_eq!(make(owner.clone()).await.0, 201);
        let (status, refused) = make(owner.clone()).await;
        assert_eq!(status, 409, "{refused}");
        assert!(refused["detail"].as_str().is_some_and(|detail| detail.contains("limits.webhooks")));
        assert_eq!(gateway.api("DELETE", &format!("/webhooks/{}", first["id"]), None).await.0, 204);
        assert_eq!(make(owner).await.0, 201, "there is room again");
    }
}

#[tokio::test]
async fn urls_of_webhooks_are_bounded() {
    let gateway = start(|_| {}).await;
    let url = |bytes: usize| format!("{:x<bytes$}", "http://127.0.0.1:9/");
    for (bytes, expected) in [(2_048, 201), (2_049, 422)] {
        let (status, answer) = gateway.api("POST", "/webhooks", Some(json!({"url": url(bytes)}))).await;
        assert_eq!(status, expected, "{answer}");
    }
}

const SHORT: Span = Span(Duration::from_millis(400));

/// Reads to the end of a connection; how long that took.
async fn end_of(mut stream: TcpStream) -> Duration {
    let began = Instant::now();
    let mut rest = Vec::new();
    let _ = timeout(DEADLINE, stream.read_to_end(&mut rest)).await.expect("it is closed in time");
    began.elapsed()
}

#[tokio::test]
async fn api_clients_that_send_slowly_are_given_up() {
    let gateway = start(|config| config.api_limits.api_patience = SHORT).await;
    let api = gateway.gateway.api_addr();
    let connect = || async { TcpStream::connect(api).await.expect("connects") };
    let silent = connect().await;
    let mut half = connect().await;
    half.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Half: ").await.expect("sends");
    let mut kept = connect().await;
    kept.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("sends");
    assert_eq!(status_of(&mut kept).await, "HTTP/1.1 200 OK");
    for stream in [silent, half, kept] {
        let took = end_of(stream).await;
        assert!(took < Duration::from_secs(5), "{took:?}");
    }
    // A body of which the end never comes.
    let mut body = connect().await;
    let head = format!(
        "POST /api/v1/events HTTP/1.1\r\nHost: x\r\nX-API-Key: {ADMIN_KEY}\r\n\
         Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{{\"event\":"
    );
    body.write_all(head.as_bytes()).await.expect("sends");
    assert_eq!(status_of(&mut body).await, "HTTP/1.1 503 Service Unavailable");
}

#[tokio::test]
async fn a_reader_that_takes_nothing_loses_its_stream() {
    let gateway = start(|config| {
        config.api_limits.api_patience = SHORT;
        config.api_limits.streams = 1;
        config.limits.message_burst = 100_000;
    })
    .await;
    let mut stuck = TcpStream::connect(gateway.gateway.api_addr()).await.expect("connects");
    let head = format!("GET /api/v1/events/stream HTTP/1.1\r\nHost: x\r\nX-API-Key: {ADMIN_KEY}\r\n\r\n");
    stuck.write_all(head.as_bytes()).await.expect("sends");
    assert_eq!(status_of(&mut stuck).await, "HTTP/1.1 200 OK");
    // More than the sockets of both ends hold.
    let mut charger = gateway.booted("CP").await;
    let data = "x".repeat(500_000);
    for n in 0..40 {
        charger.call("DataTransfer", json!({"vendorId": n.to_string(), "data": data})).await;
    }
    eventually("its place is free", || async {
        let response = http_client()
            .get(gateway.url("/api/v1/events/stream"))
            .header("X-API-Key", ADMIN_KEY)
            .send()
            .await
            .expect("answers");
        (response.status() == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn requests_that_wait_for_an_event_have_a_place_each() {
    let gateway = start(|config| config.api_limits.streams = 1).await;
    gateway.charger("CP").await.still_serves().await;
    let newest = eventually("there is an event", || async {
        gateway.events("CP").await.pop().map(|event| event["id"].as_str().expect("an id").to_owned())
    })
    .await;
    // The charger may say goodbye at any time: only what nobody sends is waited for.
    let path = format!("/api/v1/events?event=Authorize&order=asc&wait=30s&after={newest}");
    let url = gateway.url(&path);
    let waits = move || http_client().get(&url).header("X-API-Key", ADMIN_KEY).send();
    // The second one may have been quicker to the only place: this one asks until it has it.
    let holds = waits.clone();
    let first = tokio::spawn(async move {
        loop {
            drop(holds().await);
        }
    });
    eventually("the second one has no place", || async {
        let second = timeout(Duration::from_millis(200), waits()).await.ok()?.expect("answers");
        (second.status() == 503).then_some(())
    })
    .await;
    first.abort();
    let _ = first.await;
    eventually("there is a place again", || async {
        let next = timeout(Duration::from_millis(200), waits()).await;
        next.is_err().then_some(())
    })
    .await;
}

#[tokio::test]
async fn api_connections_beyond_the_limit_are_answered_503() {
    let gateway = start(|config| config.api_limits.api_connections = 2).await;
    let api = gateway.gateway.api_addr();
    let request = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
    let mut open = Vec::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(api).await.expect("connects");
        stream.write_all(request).await.expect("sends");
        assert_eq!(status_of(&mut stream).await, "HTTP/1.1 200 OK");
        open.push(stream);
    }
    assert_eq!(answered(api, request).await, "HTTP/1.1 503 Service Unavailable");
    open.pop();
    eventually("there is room again", || async {
        (answered(api, request).await == "HTTP/1.1 200 OK").then_some(())
    })
    .await;
}

/// Wrong passwords, as the handshake sees them.
async fn knock(gateway: &Running, station: &str, password: &str) -> (u16, bool) {
    use base64::Engine;
    let credentials = base64::prelude::BASE64_STANDARD.encode(format!("{station}:{password}"));
    let headers = [OCPP16, ("Authorization", &*format!("Basic {credentials}"))];
    match Charger::connect(gateway.ocpp(), &format!("/ocpp/{station}"), &headers).await {
        Ok(_) => (101, false),
        Err(response) => (response.status().as_u16(), response.headers().contains_key("retry-after")),
    }
}

#[tokio::test]
async fn wrong_passwords_are_told_so_for_a_while_and_then_to_come_back_later() {
    let gateway = start(|config| config.limits.bad_credentials_per_minute = 3).await;
    for station in ["GUESSED", "NEIGHBOUR"] {
        let body = json!({"station_id": station, "password": "the right one"});
        assert_eq!(gateway.api("POST", "/stations", Some(body)).await.0, 201);
    }
    for nth in 0..3 {
        assert_eq!(knock(&gateway, "GUESSED", &format!("wrong {nth}")).await, (401, false));
    }
    assert_eq!(knock(&gateway, "GUESSED", "wrong again").await, (503, true));
    assert_eq!(knock(&gateway, "NEIGHBOUR", "the right one").await.0, 101, "others are let in");
    assert_eq!(knock(&gateway, "NEIGHBOUR", "a wrong one").await.0, 401);
    let rejected = gateway.events_of("GUESSED", "StationRejected").await;
    let reasons: Vec<_> = rejected.iter().map(|event| event["payload"]["reason"].clone()).collect();
    assert_eq!(reasons, ["bad_credentials", "bad_credentials", "bad_credentials", "too_many_failures"]);
}

#[tokio::test]
async fn strangers_that_are_turned_away_are_counted_by_address() {
    let gateway = start(|config| {
        config.stations.unknown = chargehook::station::Admission::Reject;
        config.limits.bad_credentials_per_minute = 1;
    })
    .await;
    gateway.api("POST", "/stations", Some(json!({"station_id": "KNOWN"}))).await;
    for nth in 0..10 {
        assert_eq!(knock(&gateway, &format!("GUESS_{nth}"), "x").await.0, 404);
    }
    assert_eq!(
        knock(&gateway, "GUESS_10", "x").await,
        (503, true),
        "whether it is known is not told any more"
    );
    gateway.charger("KNOWN").await.still_serves().await;
}

#[tokio::test]
async fn a_message_of_ever_more_empty_fragments_is_ended() {
    let gateway = start(|config| config.limits.message_size = ByteSize(4 << 10)).await;
    let fragment = |text: &'static str, code, last| {
        Message::Frame(Frame::message(text.as_bytes().to_vec(), OpCode::Data(code), last))
    };
    // Few of them are an ordinary message.
    let mut charger = gateway.booted("FEW").await;
    for (text, code, last) in [
        (r#"[2,"1","#, Data::Text, false),
        ("", Data::Continue, false),
        (r#""Heartbeat",{}]"#, Data::Continue, true),
    ] {
        charger.socket.send(fragment(text, code, last)).await.expect("sends");
    }
    assert!(charger.receive().await.starts_with(r#"[3,"1","#));
    let mut flooding = gateway.booted("MANY").await;
    flooding.socket.send(fragment("[", Data::Text, false)).await.expect("sends");
    // Six bytes each: twice as many as the largest message and some reading ahead have room for.
    let mut ended = false;
    for _ in 0..8_000 {
        ended |= flooding.socket.feed(fragment("", Data::Continue, false)).await.is_err();
    }
    ended |= flooding.socket.flush().await.is_err();
    assert!(ended || flooding.receive_or_closed().await.is_none(), "it goes on");
    eventually("its end is on record", || async {
        gateway.events_of("MANY", "StationDisconnected").await.pop()
    })
    .await;
    charger.still_serves().await;
}
