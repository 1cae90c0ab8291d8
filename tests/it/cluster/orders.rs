//! What operators and stations do while something happens to the cluster: commands to everybody, and one
//! station on two nodes at once.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use charger_sim::Notice;
use futures_util::SinkExt;
use serde_json::{Value, json};
use tls::Stream;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_util::sync::CancellationToken;

use crate::harness::{ADMIN_KEY, Charger, http_client};

/// The station that comes to two nodes at once.
pub(super) const TWICE: &str = "TWICE";

/// How often each command came to its charger, by what it says.
#[derive(Clone, Default)]
pub(super) struct Orders {
    arrived: Arc<Mutex<BTreeMap<String, u32>>>,
    given: Arc<Mutex<u32>>,
}

impl Orders {
    /// A charger tells what it was told.
    pub(super) fn note(&self, notice: &Notice) {
        if let Notice::Commanded { action, payload, .. } = notice
            && action == "DataTransfer"
        {
            *self.arrived.lock().expect("sound").entry(payload.get().to_owned()).or_default() += 1;
        }
    }

    /// Gives one command after the other until `stop`, each through one of the nodes.
    pub(super) fn give(&self, apis: Vec<SocketAddr>, stations: usize, stop: CancellationToken) {
        let orders = self.clone();
        tokio::spawn(async move {
            let http = http_client();
            for nth in 0.. {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(Duration::from_millis(150)) => {}
                }
                let (api, station) = (apis[nth % apis.len()], nth % stations);
                let request = http
                    .post(format!("http://{api}/api/v1/stations/CRASH_{station}/commands"))
                    .header("X-API-Key", ADMIN_KEY)
                    .timeout(Duration::from_secs(8))
                    .json(&json!({"action": "DataTransfer", "queue": true, "expires_in": "10m",
                        "payload": {"vendorId": "ledger", "data": nth.to_string()}}));
                let given = orders.given.clone();
                tokio::spawn(async move {
                    if request.send().await.is_ok_and(|answer| answer.status().is_success()) {
                        *given.lock().expect("sound") += 1;
                    }
                });
            }
        });
    }

    /// Commands that somebody was told are taken; those that have arrived; those that have arrived more than
    /// once.
    pub(super) fn counts(&self) -> (u32, usize, Vec<String>) {
        let arrived = self.arrived.lock().expect("sound");
        let doubled = arrived.iter().filter(|(_, times)| **times > 1).map(|(what, _)| what.clone());
        (*self.given.lock().expect("sound"), arrived.len(), doubled.collect())
    }
}

/// Connects one station to two nodes at once and speaks on both connections. Returns the ids of messages that
/// were answered.
pub(super) async fn taken_twice(nodes: [SocketAddr; 2], round: usize) -> Vec<String> {
    let (one, other) = tokio::join!(connect(nodes[0]), connect(nodes[1]));
    let mut answered = Vec::new();
    let (Some(mut one), Some(mut other)) = (one, other) else { return answered };
    for nth in 0..20 {
        let (first, second) = (format!("{round}-a{nth}"), format!("{round}-b{nth}"));
        let said = tokio::join!(say(&mut one, &first), say(&mut other, &second));
        answered.extend(said.0.then_some(first));
        answered.extend(said.1.then_some(second));
    }
    // Both nodes know by now who has it.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (first, second) = (format!("{round}-last-a"), format!("{round}-last-b"));
    let said = tokio::join!(say(&mut one, &first), say(&mut other, &second));
    assert!(!(said.0 && said.1), "round {round}: one of the two connections has to give way");
    answered.extend(said.0.then_some(first));
    answered.extend(said.1.then_some(second));
    answered
}

async fn connect(node: SocketAddr) -> Option<Charger> {
    let stream = TcpStream::connect(node).await.ok()?;
    let url = format!("ws://{node}/ocpp/{TWICE}");
    Charger::attempt(Stream::Plain(stream), &url, &[("Sec-WebSocket-Protocol", "ocpp1.6")]).await?.ok()
}

/// Says something; whether it is answered.
async fn say(charger: &mut Charger, id: &str) -> bool {
    let text = json!([2, id, "DataTransfer", {"vendorId": "twice"}]).to_string();
    if charger.socket.send(Message::text(text)).await.is_err() {
        return false;
    }
    let Some(answer) = charger.receive_or_closed().await else { return false };
    let answer: Value = serde_json::from_str(&answer).expect("JSON");
    answer[0] == 3 && answer[1] == id
}
