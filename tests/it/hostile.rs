//! Delivery cases of hostile endpoints, bad lines and destinations that are refused. The numbers in the names
//! are those of the list of delivery cases.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::deliveries::{delivery, has, heartbeat, is_about, wait_of, webhook};
use crate::harness::{eventually, start};
use crate::proxy::{Proxy, Way};
use crate::receiver::{Answer, Receiver};

#[tokio::test]
async fn delivery_case_20_a_bad_line_costs_an_attempt_and_frees_its_slot() {
    let gateway = start(|_| {}).await;
    let mut charger = gateway.charger("CP").await;
    let limits = json!({"timeout": "400ms", "max_in_flight": 1, "retry_schedule": ["1s", "1s", "1s", "1h"]});
    let mut lines = Vec::new();
    for (way, becomes, error) in [
        (Way::Delay(Duration::from_secs(30)), "retry", json!("timeout")),
        (Way::Trickle, "retry", json!("timeout")),
        (Way::Swallow, "retry", json!("timeout")),
        (Way::CutAfter(0), "retry", json!("reset")),
        (Way::CutAfter(20), "retry", json!("reset")),
        (Way::Refuse, "retry", json!("reset")),
        // The head is whole: the verdict stands, whatever becomes of the body.
        (Way::CutAfter(60), "success", Value::Null),
    ] {
        let receiver = Receiver::start(|_| Answer::Raw(answer_of_100_bytes())).await;
        let (proxy, url) = Proxy::before(&receiver.url).await;
        proxy.set(way);
        let hook = webhook(&gateway, &url, limits.clone()).await;
        lines.push((receiver, proxy, hook, way, becomes, error));
    }
    charger.still_serves().await;
    for (_, line, hook, way, becomes, error) in &lines {
        let first = delivery(&gateway, hook, |one| one["attempts"][0]["duration_ms"].is_u64()).await;
        assert_eq!(first["attempts"][0]["error"]["code"], *error, "{way:?}: {first}");
        assert_eq!(first["status"] == "success", *becomes == "success", "{way:?}: {first}");
        line.set(Way::Open);
    }
    for (_, line, hook, way, becomes, _) in &lines {
        let done = delivery(&gateway, hook, has("success")).await;
        let tried = done["attempts"].as_array().map_or(0, Vec::len);
        let expected = if *becomes == "success" { 1..=1 } else { 2..=4 };
        assert!(expected.contains(&tried), "{way:?}: {done}");
        assert!(line.connections() >= *expected.start(), "a broken connection is not used again");
    }
}

fn answer_of_100_bytes() -> Vec<u8> {
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\nx: xxxxxxxxxx\r\n\r\n";
    let mut answer = head.to_vec();
    answer.resize(head.len() + 50, b'y');
    answer
}

/// A gzip member that would be so much larger, written by hand: one `A`, then over and over "258 bytes from
/// one byte before" in the fixed code of RFC 1951.
fn gzip_bomb(packed_bytes: usize) -> Vec<u8> {
    let mut bomb = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
    let (mut bits, mut count) = (0_u32, 0);
    let mut put = |value: u32, width: u32| {
        bits |= value << count;
        count += width;
        while count >= 8 {
            bomb.push(bits as u8);
            bits >>= 8;
            count -= 8;
        }
        bomb.len()
    };
    put(0b011, 3);
    // `A` is 01110001, the length 258 is 11000101; codes begin with their highest bit.
    put(0b1000_1110, 8);
    while put(0b1010_0011, 8) < packed_bytes {
        put(0, 5);
    }
    bomb
}

#[tokio::test]
async fn delivery_case_22_a_gzip_bomb_is_not_unpacked() {
    let gateway = start(|_| {}).await;
    let bomb = gzip_bomb(60_000);
    let mut answer =
        format!("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n", bomb.len())
            .into_bytes();
    answer.extend(&bomb);
    let receiver = Receiver::start(move |_| Answer::Raw(answer.clone())).await;
    let hook = webhook(&gateway, &receiver.url, json!({})).await;
    let _charger = heartbeat(&gateway).await;
    assert_eq!(receiver.wait_for(1).await[0].header("accept-encoding"), "", "nobody asks for it");
    let done = delivery(&gateway, &hook, has("success")).await;
    let kept = done["attempts"][0]["response_body"].as_str().expect("a body");
    assert!(
        kept.starts_with("\u{fffd}\u{fffd}") && !kept.contains("AA"),
        "as it came, not unpacked: {kept:?}"
    );
    assert!(kept.chars().count() <= 1024, "{kept:?}");
}

/// A server that speaks TLS with this certificate of `tests/tls`, and counts the requests it can read.
pub(crate) async fn tls_receiver(certificate: &str) -> (String, Arc<std::sync::atomic::AtomicUsize>) {
    let file = |name: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tls").join(name);
    let key = PrivateKeyDer::from_pem_file(file("server.key")).expect("a key");
    let chain = vec![CertificateDer::from_pem_file(file(certificate)).expect("a certificate")];
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("TLS versions")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("key and certificate fit");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("https://{}/hook", listener.local_addr().expect("an address"));
    let requests = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = requests.clone();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let (acceptor, counted) = (acceptor.clone(), counted.clone());
            tokio::spawn(async move {
                let mut stream = acceptor.accept(socket).await?;
                let mut some = [0; 4096];
                if stream.read(&mut some).await? > 0 {
                    counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await?;
                    stream.flush().await?;
                    while stream.read(&mut some).await? > 0 {}
                }
                Ok::<_, std::io::Error>(())
            });
        }
    });
    (url, requests)
}

#[tokio::test]
async fn delivery_case_27_bad_certificates_are_told_apart_and_there_is_no_way_around() {
    let ca = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tls/ca.pem");
    let gateway = start(|config| config.outbound.extra_ca = Some(ca)).await;
    let mut charger = gateway.charger("CP").await;
    for (certificate, words) in [
        ("good.pem", None),
        ("expired.pem", Some("has expired")),
        ("self-signed.pem", Some("is self-signed")),
        ("wrong-host.pem", Some("is not for 127.0.0.1")),
    ] {
        let (url, requests) = tls_receiver(certificate).await;
        let hook = webhook(&gateway, &url, json!({"retry_schedule": ["1h"]})).await;
        charger.still_serves().await;
        let becomes = if words.is_none() { "success" } else { "retry" };
        let ended = delivery(&gateway, &hook, has(becomes)).await;
        let count = requests.load(std::sync::atomic::Ordering::SeqCst);
        match words {
            None => assert_eq!(count, 1),
            Some(words) => {
                assert_eq!(ended["last_error"]["code"], "tls", "{ended}");
                let message = ended["last_error"]["message"].as_str().expect("words");
                assert!(message.contains(words), "{certificate}: {message}");
                assert_eq!(count, 0, "{certificate}: nothing was said to it");
            }
        }
        for member in ["verify_tls", "insecure", "skip_verify"] {
            let change = json!({member: false});
            let (status, problem) =
                gateway.api("PATCH", &format!("/webhooks/{}", hook["id"]), Some(change)).await;
            assert_eq!((status, &problem["errors"][0]["field"]), (422, &json!(member)));
        }
        assert_eq!(gateway.api("DELETE", &format!("/webhooks/{}", hook["id"]), None).await.0, 204);
    }
}

#[tokio::test]
async fn delivery_case_29_a_name_that_does_not_resolve_is_retried_by_the_schedule() {
    let gateway = start(|_| {}).await;
    let hook =
        webhook(&gateway, "http://no-such-name.invalid/hook", json!({"retry_schedule": ["100ms", "20s"]}))
            .await;
    let _charger = heartbeat(&gateway).await;
    let waiting = delivery(&gateway, &hook, |one| one["attempts"][1]["duration_ms"].is_u64()).await;
    assert_eq!(
        (&waiting["status"], &waiting["waiting_for"]),
        (&json!("retry"), &json!("schedule")),
        "{waiting}"
    );
    for attempt in waiting["attempts"].as_array().expect("attempts") {
        assert_eq!((&attempt["error"]["code"], &attempt["status_code"]), (&json!("dns"), &Value::Null));
        let message = attempt["error"]["message"].as_str().expect("words");
        assert!(message.contains("no-such-name.invalid does not resolve"), "{message}");
    }
    let wait = wait_of(&waiting, 1);
    assert!(is_about(wait, 20.0), "{wait:?}");
}

#[tokio::test]
async fn delivery_case_30_no_spelling_of_a_special_address_is_taken() {
    let gateway = start(|config| config.outbound.allowed_networks.clear()).await;
    for host in [
        "127.1",
        "0x7f000001",
        "2130706433",
        "017700000001",
        "[::1]",
        "[::ffff:169.254.169.254]",
        "[64:ff9b::a9fe:a9fe]",
        "[2002:7f00:1::]",
        "169.254.169.254",
        "10.0.0.7",
        "localhost",
        "localhost.",
    ] {
        let url = format!("http://{host}/hook");
        for (path, body) in [
            ("/webhooks", json!({"url": url})),
            ("/events", json!({"event": "invoice.paid", "payload": {}, "url": url})),
        ] {
            let (status, problem) = gateway.api("POST", path, Some(body)).await;
            assert_eq!((status, &problem["errors"][0]["field"]), (422, &json!("url")), "{url}: {problem}");
            let message = problem["errors"][0]["message"].as_str().expect("words");
            assert!(message.contains("--allow-network"), "{url}: it names the option: {message}");
        }
    }
    // A zone is no part of a URL's address at all.
    let (status, problem) =
        gateway.api("POST", "/webhooks", Some(json!({"url": "http://[fe80::1%25eth0]/hook"}))).await;
    assert_eq!((status, &problem["errors"][0]["field"]), (422, &json!("url")), "{problem}");
    assert_eq!(gateway.get("/webhooks").await["data"], json!([]));
}

/// `localhost` is a name of `127.0.0.1` everywhere and of `::1` in most places: here only the latter is
/// allowed.
#[tokio::test]
async fn delivery_case_32_of_a_name_with_two_addresses_the_refused_one_is_never_dialled() {
    let gateway = start(|config| {
        config.outbound.allowed_networks = vec!["::1/128".parse().expect("a network")];
    })
    .await;
    let refused = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = refused.local_addr().expect("an address").port();
    let found = tokio::net::lookup_host(("localhost", port)).await.expect("localhost resolves");
    let has_both = found.into_iter().any(|address| address.is_ipv6());
    let allowed = TcpListener::bind(("::1", port)).await.ok();
    let url = format!("http://localhost:{port}/hook");
    let body = json!({"url": url, "events": ["Heartbeat"], "retry_schedule": ["1h"]});
    let (status, hook) = gateway.api("POST", "/webhooks", Some(body)).await;
    assert_eq!(status, if has_both { 201 } else { 422 }, "{hook}");
    if has_both {
        let receiver = allowed.map(|listener| Receiver::on(listener, |_, _| Answer::Status(200)));
        let _charger = heartbeat(&gateway).await;
        let ended = delivery(&gateway, &hook, |one| one["attempts"][0]["duration_ms"].is_u64()).await;
        match receiver {
            Some(receiver) => assert_eq!((receiver.so_far().len(), &ended["status"]), (1, &json!("success"))),
            None => assert_eq!(ended["last_error"]["code"], "connect", "{ended}"),
        }
    }
    // Whoever had dialled it would be waiting here.
    let dialled = refused.into_std().expect("a socket").accept();
    assert_eq!(dialled.map(drop).map_err(|error| error.kind()), Err(std::io::ErrorKind::WouldBlock));
}

#[tokio::test]
async fn delivery_case_34_headers_that_inject_or_replace_are_refused() {
    let gateway = start(|_| {}).await;
    let receiver = Receiver::always(Answer::Status(200)).await;
    for (name, value) in [
        ("x-env", "prod\r\nx-injected: 1"),
        ("x-env", "prod\n"),
        ("x-env\r\nx-injected", "1"),
        ("x env", "1"),
        ("", "1"),
        ("Host", "example.com"),
        ("content-type", "text/plain"),
        ("Content-Length", "0"),
        ("Connection", "close"),
        ("Transfer-Encoding", "chunked"),
        ("webhook-id", "evt_1"),
        ("Webhook-Timestamp", "0"),
        ("webhook-signature", "v1,x"),
        ("X-Webhook-Signature", "sha256=00"),
        ("x-webhook-delivery-id", "dlv_1"),
        ("x-webhook-attempt", "1"),
        ("User-Agent", "me"),
    ] {
        let headers = json!({name: value});
        for (path, body) in [
            ("/webhooks", json!({"url": receiver.url, "custom_headers": headers})),
            ("/events", json!({"event": "a.b", "payload": {}, "broadcast": true, "custom_headers": headers})),
        ] {
            let (status, problem) = gateway.api("POST", path, Some(body)).await;
            let field = problem["errors"][0]["field"].as_str().unwrap_or_default();
            let is_named = field.starts_with("custom_headers");
            assert!(status == 422 && is_named, "{path} {name:?}: {value:?}: {status} {problem}");
        }
    }
    for (name, value) in [("Host", "x"), ("webhook-id", "x"), ("X-Secret", "a\r\nb: c")] {
        let body = json!({"url": receiver.url, "secret_header": name, "secret_value": value});
        let (status, problem) = gateway.api("POST", "/webhooks", Some(body)).await;
        assert_eq!(status, 422, "{name}: {problem}");
    }
    // What is allowed arrives as it was given.
    let hook = webhook(&gateway, &receiver.url, json!({"custom_headers": {"x-env": "prod; a=\"b\""}})).await;
    let _charger = heartbeat(&gateway).await;
    eventually("it arrives", || async { receiver.so_far().first().cloned() }).await;
    assert_eq!(receiver.so_far()[0].header("x-env"), "prod; a=\"b\"");
    delivery(&gateway, &hook, has("success")).await;
}
