//! The authorisation call-out: an endpoint that answers, refuses, dawdles, talks nonsense or is dead, and
//! what chargers are told (cases 31 to 34 of the reference among it).

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use chargehook::config::Config;
use outbound::destination::PrivateUrl;
use outbound::signature::{SigningSecret, verify_plain, verify_standard};
use serde_json::{Value, json};
use vocabulary::clock::Clock;
use vocabulary::ocpp::authorization::UnknownIdTag;
use vocabulary::units::Span;

use crate::harness::{Charger, Running, eventually, http_client, start};
use crate::receiver::{Answer, Received, Receiver};

const SECRET: &str = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

/// An endpoint whose mind can be changed.
struct Endpoint {
    receiver: Receiver,
    says: Arc<Mutex<Answer>>,
}

impl Endpoint {
    async fn that(says: Answer) -> Self {
        let says = Arc::new(Mutex::new(says));
        let told = says.clone();
        let receiver = Receiver::start(move |_| told.lock().expect("no panic").clone()).await;
        Self { receiver, says }
    }

    async fn of(verdict: Value) -> Self {
        Self::that(json_answer(&verdict.to_string())).await
    }

    fn says(&self, answer: Answer) {
        *self.says.lock().expect("no panic") = answer;
    }

    fn asked(&self) -> Vec<Received> {
        self.receiver.so_far()
    }
}

fn json_answer(body: &str) -> Answer {
    let length = body.len();
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n";
    Answer::Raw(format!("{head}Content-Length: {length}\r\n\r\n{body}").into_bytes())
}

fn asking(url: &str) -> impl FnOnce(&mut Config) {
    let url = url.parse().expect("a URL");
    move |config| {
        config.authorization.url = Some(PrivateUrl(url));
        config.authorization.signing_secret = Some(SECRET.parse().expect("a secret"));
        // As long as a busy machine may take; tests of slowness set less.
        config.authorization.timeout = Span::seconds(20);
    }
}

async fn authorize(charger: &mut Charger, tag: &str) -> Value {
    charger.call("Authorize", json!({"idTag": tag})).await["idTagInfo"].clone()
}

fn a_start(connector: u32, tag: &str) -> Value {
    json!({"connectorId": connector, "idTag": tag, "meterStart": 0, "timestamp": "2026-04-14T12:00:00Z"})
}

async fn counted(gateway: &Running, result: &str) -> u64 {
    let text = http_client().get(gateway.url("/metrics")).send().await.expect("answers");
    let text = text.text().await.expect("text");
    let name = format!("chargehook_authorization_call_outs_total{{result=\"{result}\"}} ");
    let line = text.lines().find_map(|line| line.strip_prefix(&name)).expect("the metric");
    line.parse().expect("a number")
}

#[tokio::test]
async fn the_question_is_signed_and_says_who_asks() {
    let endpoint = Endpoint::of(json!({"status": "Accepted"})).await;
    let gateway = start(asking(&endpoint.receiver.url)).await;
    gateway.api("POST", "/stations", Some(json!({"station_id": "CP", "owner_id": "acme"}))).await;
    gateway.api("PUT", "/id-tags/KNOWN", Some(json!({"owner_id": "acme"}))).await;
    let mut charger = gateway.booted("CP").await;
    assert_eq!(authorize(&mut charger, "KNOWN").await, json!({"status": "Accepted"}));
    let started = charger.call("StartTransaction", a_start(2, "NEW")).await;
    let stop = json!({"transactionId": started["transactionId"], "meterStop": 1, "idTag": "NEW",
        "timestamp": "2026-04-14T12:30:00Z"});
    assert_eq!(charger.call("StopTransaction", stop).await, json!({"idTagInfo": {"status": "Accepted"}}));
    let silent = json!({"transactionId": started["transactionId"], "meterStop": 2,
        "timestamp": "2026-04-14T12:31:00Z"});
    assert_eq!(charger.call("StopTransaction", silent).await, json!({}), "nobody to ask about");

    let asked = endpoint.asked();
    let bodies: Vec<Value> =
        asked.iter().map(|request| serde_json::from_str(&request.body).expect("JSON")).collect();
    let questions: Vec<Value> = bodies
        .iter()
        .cloned()
        .map(|mut body| {
            body.as_object_mut().expect("an object").remove("id");
            body
        })
        .collect();
    let question = |action, connector, tag, registered| {
        json!({"type": "authorize", "action": action, "station_id": "CP", "connector_id": connector,
            "owner_id": "acme", "id_tag": tag, "registered": registered})
    };
    assert_eq!(
        questions,
        [
            question("Authorize", Value::Null, "KNOWN", true),
            question("StartTransaction", json!(2), "NEW", false),
            question("StopTransaction", Value::Null, "NEW", false),
        ]
    );
    let secret: SigningSecret = SECRET.parse().expect("a secret");
    for (request, body) in asked.iter().zip(&bodies) {
        let id = body["id"].as_str().expect("an id");
        assert!(id.starts_with("auth_"), "{id}");
        assert_eq!((request.header("webhook-id"), request.header("x-webhook-delivery-id")), (id, id));
        assert_eq!(request.header("x-webhook-event"), "authorize");
        assert_eq!(request.header("content-type"), "application/json");
        assert!(request.header("user-agent").starts_with("chargehook/"));
        let timestamp_s: i64 = request.header("webhook-timestamp").parse().expect("seconds");
        assert_eq!(request.header("x-webhook-timestamp"), timestamp_s.to_string());
        let (body, now, minute) = (request.body.as_bytes(), Clock::System.now(), Duration::from_secs(60));
        let standard = request.header("webhook-signature");
        assert_eq!(verify_standard(&secret, id, timestamp_s, body, standard, now, minute), Ok(()));
        let plain = request.header("x-webhook-signature");
        assert_eq!(verify_plain(&secret, timestamp_s, body, plain, now, minute), Ok(()));
    }
    assert_eq!(counted(&gateway, "answered").await, 3);
}

#[tokio::test]
async fn case_31_32_33_34_the_endpoints_verdict_is_the_verdict() {
    let endpoint = Endpoint::of(json!({"status": "Invalid"})).await;
    let gateway = start(asking(&endpoint.receiver.url)).await;
    gateway.api("PUT", "/id-tags/T", Some(json!({}))).await;
    let mut charger = gateway.booted("CP").await;
    for (connector, verdict) in (1..).zip(["Invalid", "Expired", "Blocked", "ConcurrentTx"]) {
        endpoint.says(json_answer(&json!({"status": verdict}).to_string()));
        assert_eq!(authorize(&mut charger, "T").await, json!({"status": verdict}), "case 31");
        let started = charger.call("StartTransaction", a_start(connector, "T")).await;
        assert!(started["transactionId"].as_i64().is_some_and(|number| number > 0), "case 32: {started}");
        assert_eq!(started["idTagInfo"], json!({"status": verdict}), "cases 32 and 33");
        let stop = json!({"transactionId": started["transactionId"], "meterStop": 0, "reason": "DeAuthorized",
            "timestamp": "2026-04-14T12:00:01Z"});
        assert_eq!(charger.call("StopTransaction", stop).await, json!({}), "case 32: accepted");
    }
    let group =
        json!({"status": "Accepted", "expiry_date": "2099-01-01T01:00:00+01:00", "parent_id_tag": "FLEET"});
    endpoint.says(json_answer(&group.to_string()));
    let told =
        json!({"status": "Accepted", "expiryDate": "2099-01-01T00:00:00.000Z", "parentIdTag": "FLEET"});
    assert_eq!(authorize(&mut charger, "T").await, told, "case 34");
}

#[tokio::test]
async fn no_answer_is_made_up_for_by_the_last_one_then_the_registered_tag_then_the_fallback() {
    let endpoint = Endpoint::of(json!({"status": "Blocked", "parent_id_tag": "FLEET"})).await;
    let gateway = start(asking(&endpoint.receiver.url)).await;
    gateway.api("PUT", "/id-tags/REGISTERED", Some(json!({"status": "Expired"}))).await;
    gateway.api("POST", "/stations", Some(json!({"station_id": "ACME", "owner_id": "acme"}))).await;
    let mut charger = gateway.booted("CP").await;
    assert_eq!(authorize(&mut charger, "Asked").await["status"], "Blocked");
    // An answer about the moment leaves what was known of the tag.
    endpoint.says(json_answer(r#"{"status":"ConcurrentTx"}"#));
    assert_eq!(authorize(&mut charger, "ASKED").await["status"], "ConcurrentTx");
    for nonsense in [
        Answer::Status(500),
        Answer::Status(204),
        Answer::Status(410),
        json_answer("<html>"),
        json_answer(r#"{"status":"Fine"}"#),
        json_answer(r#"{"status":"Accepted","expiry_date":"2020-01-01T00:00:00Z"}"#),
        Answer::Raw(b"nonsense\r\n\r\n".to_vec()),
    ] {
        let asked = endpoint.asked().len();
        endpoint.says(nonsense);
        let last = json!({"status": "Blocked", "parentIdTag": "FLEET"});
        assert_eq!(authorize(&mut charger, "asked").await, last, "in any letter case");
        assert_eq!(authorize(&mut charger, "REGISTERED").await["status"], "Expired");
        assert_eq!(authorize(&mut charger, "NOBODYS").await["status"], "Invalid");
        assert!(endpoint.asked().len() >= asked + 3, "each was asked about");
    }
    let mut theirs = gateway.booted("ACME").await;
    assert_eq!(
        authorize(&mut theirs, "ASKED").await["status"],
        "Invalid",
        "the answer was for another owner"
    );
    assert_eq!(counted(&gateway, "answered").await, 2);
    assert_eq!(counted(&gateway, "unanswered").await, 7 * 3 + 1);

    // The last answer outlives a restart; the endpoint does not.
    let nowhere = "http://127.0.0.1:9/authorize";
    let gateway = gateway.restart(asking(nowhere)).await;
    let mut charger = gateway.charger("CP").await;
    assert_eq!(authorize(&mut charger, "ASKED").await["status"], "Blocked");
    let gateway = gateway
        .restart(|config| {
            asking(nowhere)(config);
            config.authorization.cache = Span::seconds(0);
            config.authorization.fallback = UnknownIdTag::Accept;
        })
        .await;
    let mut charger = gateway.charger("CP").await;
    assert_eq!(authorize(&mut charger, "ASKED").await["status"], "Accepted", "too old, so unknown");
    assert_eq!(authorize(&mut charger, "REGISTERED").await["status"], "Expired");
}

#[tokio::test]
async fn what_was_accepted_until_a_time_that_is_over_has_expired() {
    let soon = Clock::System.now().after(Duration::from_secs(2));
    let endpoint = Endpoint::of(json!({"status": "Accepted", "expiry_date": soon})).await;
    let gateway = start(asking(&endpoint.receiver.url)).await;
    let mut charger = gateway.booted("CP").await;
    assert_eq!(authorize(&mut charger, "T").await["status"], "Accepted");
    endpoint.says(Answer::Status(503));
    let charger = Arc::new(tokio::sync::Mutex::new(charger));
    eventually("the answer lapses", || {
        let charger = charger.clone();
        async move {
            let told = authorize(&mut *charger.lock().await, "T").await;
            (told["status"] == "Expired").then_some(())
        }
    })
    .await;
}

#[tokio::test]
async fn a_slow_endpoint_costs_its_timeout_and_delays_no_other_station() {
    let endpoint = Endpoint::that(Answer::Silence).await;
    let gateway = start(|config| {
        asking(&endpoint.receiver.url)(config);
        config.authorization.timeout = Span::seconds(3);
    })
    .await;
    let mut waiting = gateway.booted("WAITING").await;
    let mut other = gateway.booted("OTHER").await;
    let began = Instant::now();
    waiting.send(r#"[2,"a","Authorize",{"idTag":"T"}]"#).await;
    endpoint.receiver.wait_for(1).await;
    tokio::select! {
        biased;
        early = waiting.receive() => panic!("nobody answered yet: {early}"),
        () = other.still_serves() => {}
    }
    assert_eq!(waiting.receive().await, r#"[3,"a",{"idTagInfo":{"status":"Invalid"}}]"#);
    assert!(began.elapsed() >= Duration::from_secs(3), "{:?}", began.elapsed());
    // A body that trickles in is none in time.
    endpoint.says(Answer::TrickledBody);
    let began = Instant::now();
    assert_eq!(authorize(&mut waiting, "T").await["status"], "Invalid");
    assert!(began.elapsed() >= Duration::from_secs(3), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_retry_gets_the_first_answer_and_asks_nobody() {
    let endpoint = Endpoint::of(json!({"status": "Accepted", "parent_id_tag": "FLEET"})).await;
    let gateway = start(asking(&endpoint.receiver.url)).await;
    let mut charger = gateway.booted("CP").await;
    let first = charger.call("StartTransaction", a_start(1, "T")).await;
    endpoint.says(json_answer(r#"{"status":"Blocked"}"#));
    assert_eq!(charger.call("StartTransaction", a_start(1, "T")).await, first);
    let stop = json!({"transactionId": first["transactionId"], "meterStop": 1, "idTag": "T",
        "timestamp": "2026-04-14T12:30:00Z"});
    let stopped = charger.call("StopTransaction", stop.clone()).await;
    assert_eq!(stopped["idTagInfo"]["status"], "Blocked");
    endpoint.says(json_answer(r#"{"status":"Accepted"}"#));
    assert_eq!(charger.call("StopTransaction", stop).await, stopped);
    assert_eq!(endpoint.asked().len(), 2, "once for the start, once for the stop");
}

#[tokio::test]
async fn a_station_that_is_not_accepted_is_refused_unasked() {
    let endpoint = Endpoint::of(json!({"status": "Accepted"})).await;
    let gateway = start(asking(&endpoint.receiver.url)).await;
    gateway.api("POST", "/stations", Some(json!({"station_id": "P", "boot_status": "pending"}))).await;
    let mut pending = gateway.charger("P").await;
    assert_eq!(pending.boot().await, "Pending");
    assert_eq!(authorize(&mut pending, "T").await["status"], "Invalid");
    let started = pending.call("StartTransaction", a_start(1, "T")).await;
    assert_eq!(started["idTagInfo"]["status"], "Invalid");
    assert_eq!(endpoint.asked().len(), 0);
}

#[tokio::test]
async fn the_question_goes_only_where_deliveries_may_go() {
    let endpoint = Endpoint::of(json!({"status": "Accepted"})).await;
    let gateway = start(|config| {
        asking(&endpoint.receiver.url)(config);
        config.outbound.allowed_networks = Vec::new();
    })
    .await;
    let mut charger = gateway.booted("CP").await;
    assert_eq!(authorize(&mut charger, "T").await["status"], "Invalid");
    assert_eq!(endpoint.asked().len(), 0);
}
