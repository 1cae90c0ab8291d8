//! The delivery cases that need a process of its own to be killed, stopped or refused. The numbers in the
//! names are those of the list of delivery cases.

use std::net::SocketAddr;

use serde_json::{Value, json};
use store::{Store, StoreError};
use vocabulary::clock::Clock;

use crate::crash::Place;
use crate::deliveries::time;
use crate::harness::{Charger, DEADLINE, call, eventually, http_client, is_of_embedded, program_in};
use crate::proxy::{Proxy, Way};
use crate::receiver::{Answer, Receiver};

/// A gateway in a process of its own, for what only a process can suffer.
pub(crate) struct Outside {
    pub(crate) place: Place,
    http: reqwest::Client,
    _dir: tempfile::TempDir,
}

impl Outside {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        Self { place: Place::new(dir.path()), http: http_client(), _dir: dir }
    }

    pub(crate) async fn api(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        call(&self.http, self.place.api, method, path, body).await
    }

    pub(crate) async fn webhook(&self, body: Value) {
        let (status, made) = self.api("POST", "/webhooks", Some(body)).await;
        assert_eq!(status, 201, "{made}");
    }

    pub(crate) async fn heartbeat(&self) -> Charger {
        let mut charger = self.charger_at(self.place.ocpp).await;
        charger.still_serves().await;
        charger
    }

    /// A charger that reaches the gateway at this address.
    async fn charger_at(&self, address: SocketAddr) -> Charger {
        let offer = [("Sec-WebSocket-Protocol", "ocpp1.6")];
        Charger::connect(address, "/ocpp/CP", &offer).await.expect("connects")
    }

    /// All events of one type, oldest first.
    pub(crate) async fn events_of(&self, event: &str) -> Vec<Value> {
        let (status, listed) =
            self.api("GET", &format!("/events?event={event}&order=asc&limit=500"), None).await;
        assert_eq!(status, 200, "{listed}");
        listed["data"].as_array().expect("a list").clone()
    }

    /// Waits until the oldest delivery has this status.
    async fn delivery(&self, status: &str) -> Value {
        eventually("the delivery has come so far", || async {
            let (_, listed) = self.api("GET", "/deliveries?order=asc", None).await;
            Some(listed["data"][0].clone()).filter(|delivery| delivery["status"] == status)
        })
        .await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn delivery_case_2_a_message_whose_answer_a_kill_swallowed_is_sent_again_and_delivered_once() {
    let outside = Outside::new();
    let process = outside.place.serve();
    let receiver = Receiver::always(Answer::Status(200)).await;
    outside.webhook(json!({"url": receiver.url, "events": ["StartTransaction"]})).await;
    let line = Proxy::to(outside.place.ocpp).await;
    let mut charger = outside.charger_at(line.address).await;
    charger.still_serves().await;
    line.set(Way::Swallow);
    let start =
        json!({"connectorId": 1, "idTag": "TAG", "meterStart": 7, "timestamp": "2026-04-14T12:00:00Z"});
    charger.send(&json!([2, "first", "StartTransaction", start]).to_string()).await;
    // It is committed; its answer never comes, for the gateway is killed.
    eventually("it is on record", || async {
        (outside.events_of("StartTransaction").await.len() == 1).then_some(())
    })
    .await;
    process.kill();
    let _process = outside.place.serve();
    let mut charger = outside.charger_at(outside.place.ocpp).await;
    let answer = charger.exchange(&json!([2, "second", "StartTransaction", start]).to_string()).await;
    let events = outside.events_of("StartTransaction").await;
    assert_eq!(events.len(), 2, "both stand in the log");
    assert_eq!((&events[0]["duplicate_of"], &events[1]["duplicate_of"]), (&Value::Null, &events[0]["id"]));
    assert_eq!(answer[2]["transactionId"], events[0]["payload"]["transactionId"], "and have one number");
    let done = outside.delivery("success").await;
    assert_eq!(done["event_id"], events[0]["id"]);
    let (_, listed) = outside.api("GET", "/deliveries", None).await;
    assert_eq!(listed["data"].as_array().map(Vec::len), Some(1), "one delivery: {listed}");
    let received = receiver.so_far();
    // What was under way at the kill may have been sent twice, under one id.
    assert!(received.iter().all(|one| events[0]["id"] == one.header("webhook-id")));
}

#[tokio::test(flavor = "multi_thread")]
async fn delivery_case_3_an_attempt_cut_off_by_a_kill_is_shown_and_made_again() {
    let outside = Outside::new();
    let process = outside.place.serve();
    let receiver = Receiver::start(|nth| if nth == 0 { Answer::Silence } else { Answer::Status(200) }).await;
    outside.webhook(json!({"url": receiver.url, "events": ["Heartbeat"]})).await;
    let _charger = outside.heartbeat().await;
    receiver.wait_for(1).await;
    process.kill();
    let _process = outside.place.serve();
    let done = outside.delivery("success").await;
    let received = receiver.wait_for(2).await;
    assert_eq!(received.len(), 2, "one more send");
    assert_eq!(received[0].header("webhook-id"), received[1].header("webhook-id"));
    let attempts = done["attempts"].as_array().expect("attempts");
    assert_eq!(attempts.len(), 2);
    assert_eq!(
        (&attempts[0]["number"], &attempts[0]["error"]["code"]),
        (&json!(1), &json!("outcome_unknown"))
    );
    assert_eq!((&attempts[1]["number"], &attempts[1]["status_code"]), (&json!(2), &json!(200)));
}

#[tokio::test(flavor = "multi_thread")]
async fn delivery_case_4_a_retry_keeps_its_time_over_a_kill() {
    let outside = Outside::new();
    let process = outside.place.serve();
    let receiver = Receiver::start(|nth| Answer::Status(if nth == 0 { 503 } else { 200 })).await;
    let hook = json!({"url": receiver.url, "events": ["Heartbeat"], "retry_schedule": ["3s"]});
    outside.webhook(hook).await;
    let _charger = outside.heartbeat().await;
    let before = outside.delivery("retry").await;
    process.kill();
    let _process = outside.place.serve();
    let done = outside.delivery("success").await;
    let due = time(&before["next_attempt_at"]);
    let began = time(&done["attempts"][1]["started_at"]);
    assert!(began >= due, "not before its time: due {due}, began {began}");
    assert_eq!(done["attempts"].as_array().map(Vec::len), Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn delivery_case_7_a_terminated_gateway_finishes_its_sends_and_exits_0() {
    let outside = Outside::new();
    let mut process = outside.place.serve();
    let (answer, told) = std::sync::mpsc::channel::<()>();
    let told = std::sync::Mutex::new(told);
    let receiver = Receiver::start(move |_| {
        let told = told.lock().expect("sound");
        tokio::task::block_in_place(|| told.recv_timeout(DEADLINE)).expect("told to answer");
        Answer::Status(200)
    })
    .await;
    outside.webhook(json!({"url": receiver.url, "events": ["Heartbeat"]})).await;
    let mut charger = outside.heartbeat().await;
    receiver.wait_for(1).await;
    let pid = process.child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-TERM", &pid]).status().expect("kills").success());
    let frame = charger.closed().await.expect("says goodbye");
    assert_eq!(u16::from(frame.code), 1001);
    answer.send(()).expect("the receiver waits");
    let ended = tokio::task::block_in_place(|| process.child.wait()).expect("ends");
    assert_eq!(ended.code(), Some(0));
    let _process = outside.place.serve();
    let done = outside.delivery("success").await;
    assert_eq!(done["attempts"].as_array().map(Vec::len), Some(1), "{done}");
    assert_eq!(receiver.so_far().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn delivery_case_8_a_second_process_on_the_same_data_refuses_to_start() {
    if is_of_embedded("one process has the data directory to itself") {
        return;
    }
    let outside = Outside::new();
    let _process = outside.place.serve();
    let second = program_in(&outside.place.data_dir)
        .args(["serve", "--ocpp-listen", "127.0.0.1:0", "--api-listen", "127.0.0.1:0", "--data-dir"])
        .arg(&outside.place.data_dir)
        .output()
        .expect("the binary starts");
    assert_eq!((second.status.code(), second.stdout.as_slice()), (Some(1), b"".as_slice()));
    let said = String::from_utf8_lossy(&second.stderr);
    assert!(said.contains("is in use by another chargehook serve"), "{said}");
    let _charger = outside.heartbeat().await;
}

#[test]
fn delivery_case_8_a_closed_store_lets_another_begin_though_somebody_holds_a_handle() {
    if is_of_embedded("one process has the data directory to itself") {
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let first = Store::open(dir.path(), Clock::System).expect("opens");
    let held = first.clone();
    let refused = Store::open(dir.path(), Clock::System).err().expect("in use");
    assert!(matches!(refused, StoreError::InUse(_)), "{refused}");
    first.close();
    let second = Store::open(dir.path(), Clock::System).expect("opens after the close");
    drop(held);
    second.close();
}
