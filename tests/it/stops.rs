//! What a stop waits for, and what it does not.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use vocabulary::units::Span;

use crate::harness::{ADMIN_KEY, DEADLINE, start};
use crate::receiver::{Answer, Receiver};

/// Far beyond what a stop may take when there is nothing to wait for.
const STOP_DEADLINE: Duration = Duration::from_secs(120);

#[tokio::test]
async fn nobody_holds_up_a_stop_with_half_a_request() {
    let gateway = start(|config| config.server.stop_deadline = Span(STOP_DEADLINE)).await;
    let api = gateway.gateway.api_addr();
    let mut held = Vec::new();
    let half_body = format!(
        "POST /api/v1/events HTTP/1.1\r\nHost: x\r\nX-API-Key: {ADMIN_KEY}\r\nContent-Length: 9\r\n\r\n{{"
    );
    for sent in ["", "GET /healthz HTTP/1.1\r\nHost:", &half_body] {
        let mut stream = TcpStream::connect(api).await.expect("connects");
        stream.write_all(sent.as_bytes()).await.expect("sends");
        held.push(stream);
    }
    // And one that is kept after its answer.
    let mut kept = TcpStream::connect(api).await.expect("connects");
    kept.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("sends");
    let mut head = [0; 15];
    kept.read_exact(&mut head).await.expect("answers");
    assert_eq!(&head, b"HTTP/1.1 200 OK");
    let began = Instant::now();
    timeout(DEADLINE, gateway.gateway.stop()).await.expect("nothing to wait for");
    assert!(began.elapsed() < DEADLINE, "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_whole_request_is_answered_before_the_end() {
    let gateway = start(|config| config.server.stop_deadline = Span(STOP_DEADLINE)).await;
    let receiver = Receiver::always(Answer::TrickledHead).await;
    let webhook = json!({"url": receiver.url, "timeout": "2s"});
    let (status, webhook) = gateway.api("POST", "/webhooks", Some(webhook)).await;
    assert_eq!(status, 201, "{webhook}");
    let path = format!("/webhooks/{}/test", webhook["id"]);
    let api = gateway.gateway.api_addr();
    let asked = tokio::spawn(async move {
        let http = crate::harness::http_client();
        crate::harness::call(&http, api, "POST", &path, None).await
    });
    receiver.wait_for(1).await;
    gateway.gateway.stop().await;
    let (status, answer) = asked.await.expect("answered");
    assert_eq!((status, &answer["ok"]), (200, &json!(false)), "{answer}");
}
