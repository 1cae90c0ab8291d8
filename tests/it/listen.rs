//! `chargehook listen`: the real program between a real gateway and a receiver that verifies what it gets.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chargehook::client::{Client, FollowerEvent};
use outbound::signature::{SigningSecret, verify_plain, verify_standard};
use serde_json::{Value, json};
use vocabulary::clock::Clock;
use vocabulary::id::EventId;

use crate::harness::{ADMIN_KEY, Running, eventually, program, start};
use crate::receiver::{Answer, Received, Receiver};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo=";

/// A program that goes on until it is told to stop, and what it has printed so far.
pub(crate) struct Ongoing {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Ongoing {
    pub(crate) fn start(gateway: &Running, arguments: &[&str]) -> Self {
        let mut child = program()
            .env_clear()
            .args(arguments)
            .args(["--url", &gateway.url(""), "--api-key", ADMIN_KEY])
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let stdout = BufReader::new(child.stdout.take().expect("piped"));
        let lines = Arc::new(Mutex::new(Vec::new()));
        let told = lines.clone();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                told.lock().expect("sound").push(line);
            }
        });
        Self { child, lines }
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.lines.lock().expect("sound").clone()
    }

    /// Waits for a line that contains all of these texts.
    pub(crate) async fn says(&self, texts: &[&str]) -> String {
        eventually(&format!("a line with {texts:?}"), || async {
            self.lines().into_iter().find(|line| texts.iter().all(|text| line.contains(text)))
        })
        .await
    }

    /// Sends a signal and returns the exit code.
    pub(crate) async fn end(mut self, signal: &str) -> Option<i32> {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().expect("kills").success());
        eventually("it ends", || {
            let ended = self.child.try_wait().expect("is ours");
            async move { ended }
        })
        .await
        .code()
    }
}

impl Drop for Ongoing {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Brings an event that says a number.
pub(crate) async fn bring(gateway: &Running, event: &str, number: u64) {
    let body = json!({"event": event, "payload": {"n": number}, "broadcast": true});
    let (status, answer) = gateway.api("POST", "/events", Some(body)).await;
    assert_eq!(status, 202, "{answer}");
}

/// What a delivery says, once both of its signatures are good.
fn verified(received: &Received) -> Value {
    let secret: SigningSecret = SECRET.parse().expect("a secret");
    let (now, minutes) = (Clock::System.now(), Duration::from_secs(300));
    let header = |name| received.header(name);
    let seconds = header("webhook-timestamp").parse().expect("seconds");
    let (id, body) = (header("webhook-id"), received.body.as_bytes());
    verify_standard(&secret, id, seconds, body, header("webhook-signature"), now, minutes).expect("genuine");
    verify_plain(&secret, seconds, body, header("x-webhook-signature"), now, minutes).expect("genuine");
    assert_eq!(header("x-webhook-timestamp"), header("webhook-timestamp"));
    assert_eq!((header("x-webhook-attempt"), header("x-webhook-trigger")), ("1", "event"));
    assert!(header("x-webhook-delivery-id").starts_with("dlv_"));
    serde_json::from_str(&received.body).expect("JSON")
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_forwarded_once_each_though_the_gateway_restarts() {
    let gateway = start(|_| {}).await;
    let receiver = Receiver::always(Answer::Status(204)).await;
    bring(&gateway, "invoice.paid", 0).await;
    let arguments = ["listen", "--to", &receiver.url, "--secret", SECRET, "--event", "invoice.*"];
    let listening = Ongoing::start(&gateway, &arguments);
    listening.says(&["forwarding to", &receiver.url]).await;
    for number in 1..=3 {
        bring(&gateway, "invoice.paid", number).await;
        bring(&gateway, "order.placed", number).await;
    }
    receiver.wait_for(3).await;
    let api = gateway.gateway.api_addr();
    let gateway = gateway.restart(|config| config.api.listen = api).await;
    for number in 4..=6 {
        bring(&gateway, "invoice.paid", number).await;
    }
    let received = receiver.wait_for(6).await;
    listening.says(&["broke off"]).await;
    listening.says(&["connected again"]).await;
    // One more behind them all: a repeat would have come before it.
    bring(&gateway, "invoice.paid", 7).await;
    assert_eq!(received.len(), 6);
    let received = receiver.wait_for(7).await;
    let numbers: Vec<Value> = received.iter().map(|one| verified(one)["payload"]["n"].clone()).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5, 6, 7]);
    let counts: Vec<&str> = received.iter().map(|one| one.header("x-webhook-sequence")).collect();
    assert_eq!(counts, ["1", "2", "3", "4", "5", "6", "7"]);
    let (first, id) = (&received[0], received[6].header("webhook-id"));
    assert_eq!(first.header("x-webhook-event"), "invoice.paid");
    assert_eq!(first.header("content-type"), "application/json");
    listening.says(&[id, "invoice.paid", "204", " ms"]).await;
    assert_eq!(listening.end("-INT").await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_in_trouble_ends_nothing() {
    let gateway = start(|_| {}).await;
    let answers = |nth| match nth {
        0 => Answer::Status(500),
        1 => Answer::Raw(b"nonsense\r\n\r\n".to_vec()),
        _ => Answer::Status(200),
    };
    let receiver = Receiver::start(answers).await;
    let nobody =
        std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let arguments = ["listen", "--to", &receiver.url, "--format", "cloudevents"];
    let listening = Ongoing::start(&gateway, &arguments);
    let in_vain = Ongoing::start(&gateway, &["listen", "--to", &format!("http://{nobody}/")]);
    listening.says(&["forwarding to"]).await;
    in_vain.says(&["forwarding to"]).await;
    for number in 0..3 {
        bring(&gateway, "invoice.paid", number).await;
    }
    listening.says(&["  500  "]).await;
    listening.says(&["  reset ("]).await;
    listening.says(&["  200  "]).await;
    let tries = || async {
        (in_vain.lines().iter().filter(|line| line.contains("  connect (")).count() == 3).then_some(())
    };
    eventually("each event was tried", tries).await;
    let printed = listening.lines();
    let secret: SigningSecret =
        printed[0].strip_prefix("signing secret ").expect("printed").parse().expect("a secret");
    let last = &receiver.wait_for(3).await[2];
    assert_eq!(last.header("content-type"), "application/cloudevents+json");
    let seconds = last.header("webhook-timestamp").parse().expect("seconds");
    let (id, signature) = (last.header("webhook-id"), last.header("webhook-signature"));
    let (now, minutes) = (Clock::System.now(), Duration::from_secs(300));
    verify_standard(&secret, id, seconds, last.body.as_bytes(), signature, now, minutes).expect("genuine");
    assert_eq!(listening.end("-TERM").await, Some(0));
    assert_eq!(in_vain.end("-INT").await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_hangs_holds_up_one_station() {
    let gateway = start(|_| {}).await;
    let receiver = Receiver::start(|nth| if nth == 0 { Answer::Silence } else { Answer::Status(200) }).await;
    let arguments = ["listen", "--to", &receiver.url, "--secret", SECRET, "--event", "invoice.*"];
    let listening = Ongoing::start(&gateway, &arguments);
    listening.says(&["forwarding to"]).await;
    let told = [("A", 1), ("A", 2), ("B", 1), ("B", 2), ("C", 1)];
    for (nth, (station, number)) in told.into_iter().enumerate() {
        let payload = json!({"n": number});
        let body =
            json!({"event": "invoice.paid", "payload": payload, "broadcast": true, "station_id": station});
        assert_eq!(gateway.api("POST", "/events", Some(body)).await.0, 202);
        if nth == 0 {
            receiver.wait_for(1).await;
        }
    }
    listening.says(&["  C  200  "]).await;
    let of = |station: &str| -> Vec<Value> {
        let all: Vec<Value> = receiver.so_far().iter().map(verified).collect();
        let of_it = all.iter().filter(|told| told["station_id"] == station);
        of_it.map(|told| told["payload"]["n"].clone()).collect()
    };
    eventually("both of B have come", || async { (of("B").len() == 2).then_some(()) }).await;
    assert_eq!(of("B"), [1, 2], "each station in its order");
    assert_eq!(of("A"), [1], "and one after the other");
    assert_eq!(listening.end("-INT").await, Some(0));
}

/// An event as a stream tells it.
fn streamed(number: u128) -> String {
    let id = EventId::from_value(number);
    let event = json!({
        "id": id, "event": "invoice.paid", "category": "custom", "protocol": null, "station_id": null,
        "station_seq": null, "owner_id": null, "timestamp": "2026-04-14T12:00:00.000Z", "occurred_at": null,
        "transaction_id": null, "payload": {"n": number as u64}, "message_id": null, "response": null,
        "violations": [], "duplicate_of": null, "idempotency_key": null, "test": false,
    });
    format!("id: {id}\nevent: invoice.paid\ndata: {event}\n\n")
}

#[tokio::test]
async fn a_stream_that_is_cut_in_two_is_resumed_in_front_of_the_cut() {
    let stream = |text: &str| {
        Answer::Raw(format!("HTTP/1.1 200 X\r\ncontent-type: text/event-stream\r\n\r\n{text}").into_bytes())
    };
    let problem = |status: u16, title: &str| {
        let body = json!({"type": "x", "title": title, "status": status}).to_string();
        let length = body.len();
        Answer::Raw(format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\n\r\n{body}").into_bytes())
    };
    let gateway = Receiver::start(move |nth| match nth {
        0 => {
            let second = streamed(2);
            stream(&format!(
                "id: {}\n\n{}{}",
                EventId::from_value(0),
                streamed(1),
                &second[..second.len() - 9]
            ))
        }
        1 => Answer::Status(503),
        2 => problem(410, "Gone"),
        3 => stream(&streamed(3)),
        _ => problem(401, "Unauthorized"),
    })
    .await;
    let client = Client::new(gateway.url.trim_end_matches("/hook"), "k").expect("a client");
    let mut follower = client.follow_events(Vec::new()).await.expect("open");
    let mut told = Vec::new();
    let end = loop {
        match follower.next().await {
            Ok(FollowerEvent::Next(streamed)) => told.push(streamed.told.payload.get().to_owned()),
            Ok(other) => told.push(format!("{other:?}").split('(').next().expect("a name").to_owned()),
            Err(end) => break end,
        }
    };
    assert_eq!(end.status(), Some(401), "{end}");
    let expected = [r#"{"n":1}"#, "BrokeOff", "Forgotten", "Again", r#"{"n":3}"#, "BrokeOff"];
    assert_eq!(told, expected);
    let asked: Vec<String> =
        gateway.so_far().iter().map(|request| request.header("last-event-id").to_owned()).collect();
    let (first, third) = (EventId::from_value(1).to_string(), EventId::from_value(3).to_string());
    assert_eq!(asked, ["", &first, &first, "", &third]);
}

#[test]
fn what_cannot_be_done_is_said_at_once() {
    let listen = |arguments: &[&str]| {
        let mut command = program();
        let output = command.env_clear().arg("listen").args(arguments).output().expect("the program runs");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let nobody =
        std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let gateway = format!("http://{nobody}");
    let to = ["--to", "http://127.0.0.1:1/", "--url", &gateway];
    let (code, said) = listen(&[&to, ["--api-key", "k"].as_slice()].concat());
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("no answer from the gateway") && said.contains("refused"), "{said}");
    for wrong in [["--secret", "whsec_abc"], ["--format", "xml"], ["--to", "ftp://127.0.0.1/"]] {
        let (code, said) = listen(&[["--api-key", "k"].as_slice(), &wrong].concat());
        assert_eq!(code, Some(2), "{wrong:?}: {said}");
    }
    let (code, said) = listen(&[&to, ["--data-dir", "/nowhere"].as_slice()].concat());
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("CHARGEHOOK_API_KEY") && said.contains("/nowhere/admin-key"), "{said}");
}
