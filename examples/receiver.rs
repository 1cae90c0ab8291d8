//! A webhook receiver to copy: verifies signatures, answers at once, handles each event once.
//!
//! ```sh
//! WEBHOOK_SECRET=whsec_… cargo run --example receiver
//! ```
//!
//! `WEBHOOK_SECRET` is the `signing_secret` of the webhook; `PORT` is 4000 unless set. In a crate of your own
//! it needs axum, base64, hex, hmac, sha2, serde_json and tokio.
#![expect(clippy::print_stdout, reason = "a program for a terminal")]

use std::collections::HashSet;
use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use tokio::sync::mpsc;

/// How far the sender's clock may be from ours: what is older may be a replay.
const TOLERANCE_S: u64 = 5 * 60;

struct Receiver {
    key: Vec<u8>,
    /// The ids seen so far. In production: a unique column in your database, written in the same
    /// transaction as what the event changes, so that it survives a restart.
    seen: Mutex<HashSet<String>>,
    inbox: mpsc::Sender<Bytes>,
}

type Refusal = (StatusCode, &'static str);

/// Takes the body as bytes: the signature is over exactly what was sent, not over JSON written anew.
async fn receive(
    State(receiver): State<Arc<Receiver>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<&'static str, Refusal> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let id = verify_standard(&receiver.key, &headers, &body, now)?;
    // One of the two is enough; chargehook sends both.
    if headers.contains_key("x-webhook-signature") {
        verify_plain(&receiver.key, &headers, &body, now)?;
    }
    // At-least-once: the same event can come twice, always under the same webhook-id.
    let mut seen = receiver.seen.lock().unwrap_or_else(PoisonError::into_inner);
    if seen.contains(&id) {
        return Ok("seen before");
    }
    // Answer first, work later: what takes longer than the webhook's timeout is sent again.
    receiver.inbox.try_send(body).map_err(|_| (StatusCode::SERVICE_UNAVAILABLE, "inbox full, send again"))?;
    seen.insert(id);
    Ok("ok")
}

/// Standard Webhooks: HMAC-SHA256 over `id.timestamp.body` in base64, one per valid secret. Returns the id.
fn verify_standard(key: &[u8], headers: &HeaderMap, body: &[u8], now: u64) -> Result<String, Refusal> {
    let id = header(headers, "webhook-id")?;
    let timestamp = fresh(header(headers, "webhook-timestamp")?, now)?;
    let signatures = header(headers, "webhook-signature")?;
    let mac = mac(key, &[id.as_bytes(), b".", timestamp.as_bytes(), b".", body])?;
    let genuine = signatures
        .split(' ')
        .filter_map(|signature| BASE64.decode(signature.strip_prefix("v1,")?).ok())
        // verify_slice takes the same time whatever differs, so it gives no hints to a forger.
        .any(|signature| mac.clone().verify_slice(&signature).is_ok());
    if genuine { Ok(id.to_owned()) } else { Err((StatusCode::UNAUTHORIZED, "wrong webhook-signature")) }
}

/// The plain form: HMAC-SHA256 over `timestamp.body`, in hex after `sha256=`.
fn verify_plain(key: &[u8], headers: &HeaderMap, body: &[u8], now: u64) -> Result<(), Refusal> {
    let timestamp = fresh(header(headers, "x-webhook-timestamp")?, now)?;
    let signature = header(headers, "x-webhook-signature")?;
    let mac = mac(key, &[timestamp.as_bytes(), b".", body])?;
    signature
        .strip_prefix("sha256=")
        .and_then(|text| hex::decode(text).ok())
        .filter(|signature| mac.verify_slice(signature).is_ok())
        .map(|_| ())
        .ok_or((StatusCode::UNAUTHORIZED, "wrong X-Webhook-Signature"))
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Result<&'a str, Refusal> {
    let value = headers.get(name).and_then(|value| value.to_str().ok());
    value.ok_or((StatusCode::BAD_REQUEST, "a signature header is missing"))
}

fn fresh(timestamp: &str, now: u64) -> Result<&str, Refusal> {
    let sent: u64 = timestamp.parse().map_err(|_| (StatusCode::BAD_REQUEST, "unreadable timestamp"))?;
    if sent.abs_diff(now) > TOLERANCE_S {
        return Err((StatusCode::UNAUTHORIZED, "timestamp too far from now"));
    }
    Ok(timestamp)
}

fn mac(key: &[u8], parts: &[&[u8]]) -> Result<Hmac<Sha256>, Refusal> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key)
        .map_err(|_| (StatusCode::INTERNAL_SERVER_ERROR, "unusable secret"))?;
    parts.iter().for_each(|part| mac.update(part));
    Ok(mac)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let secret = std::env::var("WEBHOOK_SECRET").map_err(|_| "set WEBHOOK_SECRET to the signing_secret")?;
    // The key is not the text: it is the bytes that the base64 after whsec_ stands for.
    let key = BASE64.decode(secret.strip_prefix("whsec_").ok_or("the secret begins with whsec_")?)?;
    let port: u16 = std::env::var("PORT").map_or(Ok(4000), |port| port.parse())?;

    let (inbox, mut work) = mpsc::channel::<Bytes>(1_000);
    tokio::spawn(async move {
        while let Some(body) = work.recv().await {
            match serde_json::from_slice::<serde_json::Value>(&body) {
                Ok(event) => {
                    println!("{} from {}: {}", event["event"], event["station_id"], event["payload"])
                }
                Err(error) => println!("no JSON: {error}"),
            }
        }
    });

    let receiver = Arc::new(Receiver { key, seen: Mutex::default(), inbox });
    let app = Router::new().route("/", post(receive)).with_state(receiver);
    let listener = tokio::net::TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await?;
    println!("receiving at http://{}/", listener.local_addr()?);
    Ok(axum::serve(listener, app).await?)
}
