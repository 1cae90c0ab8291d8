//! Nothing that is secret is told: the log of a whole busy run at its most talkative, metrics, errors.

use std::fs::File;
use std::net::{IpAddr, SocketAddr};
use std::process::Stdio;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rcgen::KeyPair;
use serde_json::{Value, json};
use tls::Stream;
use tokio::net::TcpSocket;
use tokio::task::spawn_blocking;
use vocabulary::api::access::ApiKey;
use vocabulary::api::ingest::EventInput;
use vocabulary::api::station::StationInput;
use vocabulary::api::webhook::{Webhook, WebhookInput, WebhookSecrets};

use crate::crash::{Place, Process};
use crate::harness::{ADMIN_KEY, Charger, DEADLINE, eventually, http_client};
use crate::receiver::{Answer, Receiver};

const OCPP16: (&str, &str) = ("Sec-WebSocket-Protocol", "ocpp1.6");

/// What no line may show. Each is told apart from all that may.
struct Secrets(Vec<String>);

impl Secrets {
    /// A secret that says what it is, to be found if it is told.
    fn new_one(&mut self, what: &str) -> String {
        let text = format!("hush-{what}-{:04}", self.0.len());
        self.0.push(text.clone());
        text
    }

    /// A signing secret, its text and its bytes.
    fn signing(&mut self, what: &str) -> String {
        let bytes = format!("{:x<32}", self.new_one(what));
        let secret = format!("whsec_{}", BASE64_STANDARD.encode(&bytes));
        self.0.extend([bytes, secret.clone()]);
        secret
    }

    /// The header of a station's password.
    fn basic(&mut self, station: &str, password: &str) -> String {
        let credentials = BASE64_STANDARD.encode(format!("{station}:{password}"));
        self.0.push(credentials.clone());
        format!("Basic {credentials}")
    }

    #[track_caller]
    fn are_not_in(&self, what: &str, text: &str) {
        for secret in &self.0 {
            let told = text.lines().find(|line| line.contains(secret.as_str()));
            assert!(told.is_none(), "{what} shows {secret}: {}", told.unwrap_or_default());
        }
    }
}

/// Asks the API, and sees to it that no refusal repeats a secret.
async fn ask(
    place: &Place,
    secrets: &Secrets,
    key: &str,
    method: &str,
    path: &str,
    body: Value,
) -> (u16, Value) {
    let mut request = http_client()
        .request(method.parse().expect("a method"), format!("http://{}/api/v1{path}", place.api))
        .bearer_auth(key);
    if !body.is_null() {
        request = request.json(&body);
    }
    let response = request.send().await.expect("answers");
    let status = response.status().as_u16();
    let text = response.text().await.expect("text");
    if status >= 400 {
        secrets.are_not_in(&format!("the answer to {method} {path}"), &text);
    }
    (status, serde_json::from_str(&text).unwrap_or_default())
}

/// Connects from another address of this machine.
async fn connect_from(source: IpAddr, ocpp: SocketAddr, path: &str, credentials: &str) -> Charger {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind((source, 0).into()).expect("binds");
    let stream = Stream::Plain(socket.connect(ocpp).await.expect("TCP connects"));
    let headers = [OCPP16, ("Authorization", credentials)];
    let attempted = Charger::attempt(stream, &format!("ws://{ocpp}{path}"), &headers).await;
    attempted.expect("the connection stands").unwrap_or_else(|refused| panic!("{}", refused.status()))
}

async fn stop(mut process: Process) {
    let id = process.child.id().to_string();
    std::process::Command::new("kill").args(["-TERM", &id]).status().expect("runs");
    let ended = spawn_blocking(move || process.child.wait());
    let ended = tokio::time::timeout(DEADLINE, ended).await.expect("ends in time").expect("joins");
    assert!(ended.expect("waits").success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_at_trace_level_shows_no_secret() {
    let dir = tempfile::tempdir().expect("a directory");
    let place = Place::new(dir.path());
    let mut secrets = Secrets(vec![ADMIN_KEY.to_owned()]);
    let receiver =
        Receiver::start(|nth| if nth % 3 == 0 { Answer::Status(503) } else { Answer::Status(200) }).await;
    let deciding = Receiver::always(Answer::Raw(
        b"HTTP/1.1 200 OK\r\nContent-Length: 21\r\nConnection: close\r\n\r\n{\"status\":\"Accepted\"}"
            .to_vec(),
    ))
    .await;
    let log = dir.path().join("log");
    let call_out = format!("{}?token={}", deciding.url, secrets.new_one("call-out-url"));
    let certificate = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("signs");
    let tls_key: &KeyPair = &certificate.signing_key;
    secrets.0.extend(tls_key.serialize_pem().lines().filter(|line| !line.contains("---")).map(str::to_owned));
    std::fs::write(dir.path().join("tls.pem"), certificate.cert.pem()).expect("written");
    std::fs::write(dir.path().join("tls.key"), tls_key.serialize_pem()).expect("written");
    let signing = secrets.signing("call-out");
    let mut command = place.command();
    command
        .args(["--log-level", "trace"])
        .env("CHARGEHOOK_AUTHORIZATION_URL", call_out)
        .env("CHARGEHOOK_AUTHORIZATION_SIGNING_SECRET", signing)
        .env("CHARGEHOOK_LIMITS_BAD_CREDENTIALS_PER_MINUTE", "2")
        .stderr(Stdio::from(File::create(&log).expect("a file")));
    let gateway = place.start(&mut command);

    // Keys, right, wrong and revoked.
    let (made, key) =
        ask(&place, &secrets, ADMIN_KEY, "POST", "/api-keys", json!({"name": "busy", "scopes": ["admin"]}))
            .await;
    assert_eq!(made, 201);
    let key_id = key["id"].clone();
    let key = key["key"].as_str().expect("shown once").to_owned();
    secrets.0.push(key.clone());
    let wrong = secrets.new_one("wrong-api-key");
    assert_eq!(ask(&place, &secrets, &wrong, "GET", "/events", Value::Null).await.0, 401);
    let queried = format!("/events?api_key={key}");
    assert_eq!(ask(&place, &secrets, &key, "GET", &queried, Value::Null).await.0, 422);

    // Webhooks with all that they may hold, well and badly written.
    let hook = json!({
        "url": format!("{}?token={}", receiver.url, secrets.new_one("webhook-url")),
        "events": ["*"], "retry_schedule": ["100ms"],
        "secret_header": "Authorization", "secret_value": format!("Bearer {}", secrets.new_one("secret-value")),
        "signing_secret": secrets.signing("webhook"),
        "custom_headers": {"X-Custom": secrets.new_one("custom-header")},
    });
    let (made, hook) = ask(&place, &secrets, &key, "POST", "/webhooks", hook).await;
    assert_eq!(made, 201, "{hook}");
    let hook = format!("/webhooks/{}", hook["id"]);
    let broker = json!({"url": "nats://127.0.0.1:1", "topic": "t", "retry_schedule": ["100ms"],
        "credentials": {"username": "ann", "password": secrets.new_one("broker-password")}});
    let (made, _) = ask(&place, &secrets, &key, "POST", "/webhooks", broker).await;
    assert_eq!(made, 201);
    let refusing = json!({"url": format!("http://127.0.0.1:1/?token={}", secrets.new_one("dead-url")), "retry_schedule": ["100ms"]});
    let (made, refusing) = ask(&place, &secrets, &key, "POST", "/webhooks", refusing).await;
    assert_eq!(made, 201);
    secrets.0.push(refusing["signing_secret"].as_str().expect("shown once").to_owned());
    for (name, value) in [
        ("url", json!(format!("http://user:{}@127.0.0.1/", secrets.new_one("userinfo")))),
        ("url", json!(format!("http://10.0.0.1/?token={}", secrets.new_one("forbidden-url")))),
        ("signing_secret", json!(format!("whsec_{}", secrets.new_one("no-base64")))),
        ("secret_value", json!(format!("{}\n", secrets.new_one("line-break")))),
    ] {
        let mut body = json!({"url": receiver.url, "secret_header": "X-Secret"});
        body[name] = value;
        let (refused, problem) = ask(&place, &secrets, &key, "POST", "/webhooks", body).await;
        assert_eq!(refused, 422, "{name}: {problem}");
    }
    let (rotated, rotation) =
        ask(&place, &secrets, &key, "POST", &format!("{hook}/secret/rotate"), Value::Null).await;
    assert_eq!(rotated, 200, "{rotation}");
    secrets.0.push(rotation["signing_secret"].as_str().expect("the new one").to_owned());
    assert_eq!(ask(&place, &secrets, &key, "POST", &format!("{hook}/test"), Value::Null).await.0, 200);

    // A station with a password, its right and wrong use, and the change of it.
    let password = secrets.new_one("password");
    let station = json!({"station_id": "CP", "password": password});
    assert_eq!(ask(&place, &secrets, &key, "POST", "/stations", station).await.0, 201);
    let wrong = secrets.new_one("wrong-password");
    for expected in [401, 401, 503] {
        let header = secrets.basic("CP", &wrong);
        let knocked = Charger::connect(place.ocpp, "/ocpp/CP", &[OCPP16, ("Authorization", &header)]).await;
        assert_eq!(knocked.err().expect("refused").status(), expected);
    }
    let next = hex::encode("hush-next-password");
    secrets.0.push(next.clone());
    let asking = {
        let body = json!({"action": "ChangeConfiguration",
            "payload": {"key": "AuthorizationKey", "value": next}, "queue": true, "wait": false});
        ask(&place, &secrets, &key, "POST", "/stations/CP/commands", body).await
    };
    assert_eq!(asking.0, 202, "{}", asking.1);
    let odd = secrets.new_one("odd-command");
    let refused =
        json!({"action": "ChangeConfiguration", "payload": {"key": "AuthorizationKey", "value": [odd]}});
    assert_eq!(ask(&place, &secrets, &key, "POST", "/stations/CP/commands", refused).await.0, 422);
    let url = format!("/ocpp/CP?token={}", secrets.new_one("ocpp-query"));
    // Another address has nothing to do with who has tried wrong ones.
    let header = secrets.basic("CP", &password);
    let mut charger = connect_from([127, 0, 0, 2].into(), place.ocpp, &url, &header).await;
    charger.call("BootNotification", json!({"chargePointVendor": "V", "chargePointModel": "M"})).await;
    let called = charger.called().await;
    assert_eq!(called.payload["value"], next.as_str(), "the charger is told");
    charger.answer(&called.id, json!({"status": "Accepted"})).await;
    assert_eq!(charger.call("Authorize", json!({"idTag": "TAG"})).await["idTagInfo"]["status"], "Accepted");

    // Events to addresses that come with their own secrets.
    for url in [receiver.url.clone(), "http://127.0.0.1:1/".to_owned()] {
        let event = json!({"event": "invoice.paid", "payload": {"n": 1},
            "url": format!("{url}?token={}", secrets.new_one("dynamic-url")), "secret": secrets.signing("dynamic"),
            "custom_headers": {"X-Once": secrets.new_one("event-header")}});
        assert_eq!(ask(&place, &secrets, &key, "POST", "/events", event).await.0, 202);
    }
    eventually("everything has come to an end", || async {
        let path = "/deliveries?status=scheduled&status=processing&status=retry";
        let (status, left) = ask(&place, &secrets, &key, "GET", path, Value::Null).await;
        assert_eq!(status, 200, "{left}");
        // What was sent to an address of its own and failed waits for half a minute.
        let waits = |row: &Value| row["webhook_id"].is_null() && row["status"] == "retry";
        left["data"].as_array().expect("a list").iter().all(waits).then_some(())
    })
    .await;
    let (_, commands) = ask(&place, &secrets, &key, "GET", "/commands", Value::Null).await;
    secrets.are_not_in("the list of commands", &commands.to_string());
    let metrics = http_client().get(format!("http://{}/metrics", place.api)).send().await.expect("answers");
    secrets.are_not_in("the metrics", &metrics.text().await.expect("text"));
    let revoked = ask(
        &place,
        &secrets,
        ADMIN_KEY,
        "DELETE",
        &format!("/api-keys/{}", key_id.as_str().expect("an id")),
        Value::Null,
    )
    .await;
    assert_eq!(revoked.0, 204);
    assert!(deciding.so_far().len() == 1 && receiver.so_far().len() > 5, "it was busy");

    drop(charger);
    stop(gateway).await;
    let written = std::fs::read_to_string(&log).expect("text");
    for line in ["DEBUG", "CP disconnected", "/api/v1/webhooks was answered 422"] {
        assert!(written.contains(line), "the log tells of {line}");
    }
    secrets.are_not_in("the log", &written);
}

#[test]
fn what_has_a_secret_does_not_show_it_to_who_debugs() {
    const HUSH: &str = "hush-hush";
    let signing = "whsec_aHVzaC1odXNoaHVzaC1odXNoaHVzaC1odXNoaHVzaA==";
    let url = format!("http://127.0.0.1/?token={HUSH}");
    let headers = json!({"X-Custom": HUSH});
    fn shown<T: serde::de::DeserializeOwned + std::fmt::Debug>(value: Value) -> String {
        format!("{:?}", serde_json::from_str::<T>(&value.to_string()).expect("reads"))
    }
    let at = "2026-04-14T12:00:00.000Z";
    let all = [
        shown::<WebhookInput>(json!({"url": url, "secret_header": "X", "secret_value": HUSH,
            "signing_secret": signing, "custom_headers": headers, "credentials": {"token": HUSH}})),
        shown::<WebhookSecrets>(json!({"signing_secret": signing,
            "previous": [{"signing_secret": signing, "expires_at": at}]})),
        shown::<Webhook>(json!({"id": 1, "name": "n", "url": url, "enabled": true, "status": "active",
            "disabled_reason": null, "paused_at": null, "paused_until": null, "events": [], "stations": [],
            "owner_id": null, "secret_header": "X", "secret_value_set": true, "signing_secret": signing,
            "format": "flat", "custom_headers": headers, "filter": null, "ordering": "none",
            "ordering_max_wait": "5m", "timeout": "10s", "retry_schedule": [], "max_in_flight": 1,
            "rate_limit": null, "created_at": at, "updated_at": at})),
        shown::<StationInput>(json!({"station_id": "CP", "password": HUSH})),
        shown::<EventInput>(json!({"event": "a.b", "payload": {}, "url": url, "secret": signing,
            "custom_headers": headers})),
        shown::<ApiKey>(
            json!({"id": "key_00000000000000000000000000", "key": HUSH, "name": "n", "scopes": [],
            "owner_id": null, "created_at": at, "expires_at": null, "last_used_at": null}),
        ),
    ];
    for text in all {
        assert!(!text.contains(HUSH) && !text.contains("aHVzaC"), "{text}");
    }
}
