//! The demo's endpoint, as an integrator would write it. It refuses requests without a good signature.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use outbound::signature::{SigningSecret, verify_standard};
use vocabulary::clock::{Clock, Timestamp};
use vocabulary::event::{self, Category};

/// How far a signature's time may be from now (Standard Webhooks).
const TOLERANCE: Duration = Duration::from_secs(300);

/// A webhook whose signature is good, in the `flat` format.
#[derive(Debug, Deserialize)]
pub(super) struct Arrival {
    pub(super) event: String,
    pub(super) station_id: Option<String>,
    pub(super) timestamp: Timestamp,
    pub(super) payload: Value,
}

impl Arrival {
    /// Whether it is a message of a charger, not an event of the gateway.
    pub(super) fn is_ocpp(&self) -> bool {
        event::category_of(&self.event) == Ok(Category::Ocpp)
    }
}

/// The state of the handler.
struct ReceiverState {
    secret: OnceLock<SigningSecret>,
    arrived: mpsc::UnboundedSender<Arrival>,
    refused: AtomicU64,
}

/// A running endpoint; it ends when it is dropped.
pub(super) struct Receiver {
    address: SocketAddr,
    state: Arc<ReceiverState>,
    task: JoinHandle<()>,
}

impl Receiver {
    pub(super) async fn start(arrived: mpsc::UnboundedSender<Arrival>) -> std::io::Result<Self> {
        let state = Arc::new(ReceiverState { secret: OnceLock::new(), arrived, refused: AtomicU64::new(0) });
        let app = Router::new().route("/webhooks", post(receive)).with_state(state.clone());
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let task = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, app).await {
                tracing::warn!("the demo's receiver ended: {error}");
            }
        });
        Ok(Self { address, state, task })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accepts signatures of this secret from now on.
    pub(super) fn trust(&self, secret: &str) {
        if let Ok(secret) = secret.parse() {
            let _ = self.state.secret.set(secret);
        }
    }

    /// Requests that were refused.
    pub(super) fn refused(&self) -> u64 {
        self.state.refused.load(Relaxed)
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn receive(State(state): State<Arc<ReceiverState>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    match verified(&state, &headers, &body) {
        Some(arrival) => {
            // The demo may be over.
            let _ = state.arrived.send(arrival);
            StatusCode::NO_CONTENT
        }
        None => {
            state.refused.fetch_add(1, Relaxed);
            StatusCode::BAD_REQUEST
        }
    }
}

fn verified(state: &ReceiverState, headers: &HeaderMap, body: &[u8]) -> Option<Arrival> {
    let header = |name: &str| headers.get(name)?.to_str().ok();
    let (id, timestamp) = (header("webhook-id")?, header("webhook-timestamp")?.parse().ok()?);
    let signature = header("webhook-signature")?;
    let now = Clock::System.now();
    verify_standard(state.secret.get()?, id, timestamp, body, signature, now, TOLERANCE).ok()?;
    serde_json::from_slice(body).ok()
}
