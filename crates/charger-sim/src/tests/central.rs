//! A central system for tests: it accepts chargers, answers by rule, and remembers what it was told.

use std::sync::{Arc, Mutex};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};

use crate::connection::Endpoint;

/// What it does with a call.
pub(super) enum Rule {
    Answer(Value),
    /// Answers, then sends this CALL of its own.
    AnswerAndAsk(Value, &'static str, Value),
    /// Takes it in, and cuts the connection instead of answering.
    Cut,
}

/// A message as it came: action and payload.
pub(super) type Heard = (String, Value);

pub(super) struct Central {
    pub endpoint: Endpoint,
    heard: Arc<Mutex<Vec<Heard>>>,
}

impl Central {
    /// Listens on a port of its own; `rule` is asked with everything heard so far, the new message last.
    pub(super) async fn start(rule: impl Fn(&[Heard]) -> Rule + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("ws://{}/ocpp", listener.local_addr().expect("an address"));
        let heard = Arc::new(Mutex::new(Vec::new()));
        let (rule, log) = (Arc::new(rule), Arc::clone(&heard));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&log), Arc::clone(&rule)));
            }
        });
        Self { endpoint: Endpoint::parse(&url).expect("a URL"), heard }
    }

    pub(super) fn heard(&self) -> Vec<Heard> {
        self.heard.lock().expect("not poisoned").clone()
    }

    /// The actions heard, in order; answers to its own calls are there as `answer`.
    pub(super) fn actions(&self) -> Vec<String> {
        self.heard().into_iter().map(|(action, _)| action).collect()
    }
}

async fn serve(
    stream: TcpStream,
    heard: Arc<Mutex<Vec<Heard>>>,
    rule: Arc<impl Fn(&[Heard]) -> Rule + Send + Sync + 'static>,
) {
    #[expect(clippy::result_large_err, reason = "the signature is the library's")]
    let choose = |request: &Request, mut response: Response| {
        let offered = request.headers().get("Sec-WebSocket-Protocol").cloned().expect("a subprotocol");
        assert_eq!(offered, "ocpp1.6");
        response.headers_mut().insert("Sec-WebSocket-Protocol", offered);
        Ok(response)
    };
    let Ok(mut socket) = tokio_tungstenite::accept_hdr_async(stream, choose).await else { return };
    while let Some(Ok(message)) = socket.next().await {
        let Message::Text(text) = message else { continue };
        let frame: Value = serde_json::from_str(&text).expect("the charger writes JSON");
        if frame[0] != 2 {
            heard.lock().expect("not poisoned").push(("answer".to_owned(), frame[2].clone()));
            continue;
        }
        let action = frame[2].as_str().expect("an action").to_owned();
        let verdict = {
            let mut heard = heard.lock().expect("not poisoned");
            heard.push((action, frame[3].clone()));
            rule(&heard)
        };
        let mut say = Vec::new();
        match verdict {
            Rule::Answer(answer) => say.push(json!([3, frame[1], answer])),
            Rule::AnswerAndAsk(answer, action, payload) => {
                say.push(json!([3, frame[1], answer]));
                say.push(json!([2, "from-central", action, payload]));
            }
            Rule::Cut => return,
        }
        for frame in say {
            if socket.send(Message::text(frame.to_string())).await.is_err() {
                return;
            }
        }
    }
}

/// What an ordinary central system answers.
pub(super) fn answer(action: &str) -> Value {
    let now = "2026-04-14T12:00:00Z";
    match action {
        "BootNotification" => json!({"status": "Accepted", "currentTime": now, "interval": 300}),
        "Heartbeat" => json!({"currentTime": now}),
        "Authorize" => json!({"idTagInfo": {"status": "Accepted"}}),
        "StartTransaction" => json!({"transactionId": 4711, "idTagInfo": {"status": "Accepted"}}),
        _ => json!({}),
    }
}
