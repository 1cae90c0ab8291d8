//! What a thief of the database's files gets: none of the secrets that a busy gateway was given.

use std::path::Path;
use std::process::Stdio;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::crash::Place;
use crate::harness::{ADMIN_KEY, Charger, Running, eventually, is_of_embedded, program_in, start};
use crate::receiver::{Answer, Receiver};

const SIGNING: &str = "whsec_RmlyU3RTaWduaW5nU2VjcmV0T2ZBV2ViaG9vazEyMzQ=";
const DYNAMIC: &str = "whsec_RHluYW1pY1VybFNlY3JldEZvckFuRXZlbnQxMjM0NTY=";
const VALUE: &str = "Bearer s3cret-value-of-a-header";
const HOOK_HEADER: &str = "t0ken-in-a-webhooks-headers";
const BROKER_TOKEN: &str = "t0ken-of-a-broker";
const EVENT_HEADER: &str = "t0ken-in-an-events-headers";
const PASSWORD: &str = "Stat1onPassword-0815";
const NEW_PASSWORD: &str = "4e657753746174696f6e50617373773072642d34";

/// Everything in the database's files, as a copy of them would have it.
fn copied(database: &Path) -> Vec<(String, Vec<u8>)> {
    let name = database.file_name().expect("a name").to_string_lossy().into_owned();
    ["", "-wal", "-shm"]
        .map(|suffix| {
            let file = format!("{name}{suffix}");
            let bytes = std::fs::read(database.with_file_name(&file)).expect("a busy database has all three");
            (file, bytes)
        })
        .into()
}

fn assert_hides(database: &Path, secrets: &[(&str, Vec<u8>)]) {
    // The cells of PostgreSQL are those of SQLite, and its files are not ours to read.
    if is_of_embedded("its own files are read") {
        return;
    }
    for (file, bytes) in copied(database) {
        for (what, secret) in secrets {
            let found = bytes.windows(secret.len()).any(|window| window == secret);
            assert!(!found, "{file} tells the {what}");
        }
    }
}

async fn post_once(gateway: &Running, path: &str, body: &Value) -> Value {
    let http = crate::harness::http_client();
    let request = http.post(gateway.url(&format!("/api/v1{path}"))).header("X-API-Key", ADMIN_KEY);
    let response =
        request.header("Idempotency-Key", format!("once{path}")).json(body).send().await.expect("answers");
    assert_eq!(response.status(), 201);
    serde_json::from_str(&response.text().await.expect("text")).expect("JSON")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copied_database_reveals_no_secret_of_a_busy_gateway() {
    let gateway = start(|_| {}).await;
    let receiver = Receiver::start(|nth| Answer::Status(if nth % 2 == 0 { 503 } else { 200 })).await;
    let post = async |path: &str, body: Value, wanted: u16| {
        let (status, answer) = gateway.api("POST", path, Some(body)).await;
        assert_eq!(status, wanted, "{answer}");
        answer
    };
    let hook = json!({"url": receiver.url, "signing_secret": SIGNING, "secret_header": "Authorization",
        "secret_value": VALUE, "custom_headers": {"x-token": HOOK_HEADER}, "retry_schedule": ["100ms", "100ms"]});
    let hook = post("/webhooks", hook, 201).await;
    let broker = json!({"url": "nats://127.0.0.1:1", "topic": "t", "credentials": {"token": BROKER_TOKEN}});
    let broker = post("/webhooks", broker, 201).await;
    assert_eq!(broker["credentials_set"], true);
    let rotated = post(&format!("/webhooks/{}/secret/rotate", hook["id"]), json!({}), 200).await;
    let generated = post_once(&gateway, "/webhooks", &json!({"url": receiver.url})).await;
    let key = post_once(&gateway, "/api-keys", &json!({"name": "n", "scopes": ["read"]})).await;
    post("/stations", json!({"station_id": "CP", "password": PASSWORD}), 201).await;
    let change = json!({"action": "ChangeConfiguration", "queue": true,
        "payload": {"key": "AuthorizationKey", "value": NEW_PASSWORD}});
    let command = post("/stations/CP/commands", change, 202).await;
    let elsewhere = json!({"event": "a.b", "payload": {}, "url": receiver.url, "secret": DYNAMIC,
        "custom_headers": {"x-token": EVENT_HEADER}});
    post("/events", elsewhere, 202).await;

    let of = |value: &Value| value.as_str().expect("a text").as_bytes().to_vec();
    let mut secrets = vec![
        ("secret value", VALUE.into()),
        ("webhook's header", HOOK_HEADER.into()),
        ("broker's token", BROKER_TOKEN.into()),
        ("event's header", EVENT_HEADER.into()),
        ("station's password", PASSWORD.into()),
        ("new password", NEW_PASSWORD.into()),
        ("admin key", ADMIN_KEY.into()),
        ("new API key", of(&key["key"])),
    ];
    for (what, text) in [
        ("previous signing secret", of(&json!(SIGNING))),
        ("current signing secret", of(&rotated["signing_secret"])),
        ("generated signing secret", of(&generated["signing_secret"])),
        ("secret of an event's own URL", of(&json!(DYNAMIC))),
    ] {
        let encoded = &text["whsec_".len()..];
        secrets.push((what, STANDARD.decode(encoded).expect("base64")));
        secrets.push((what, encoded.to_vec()));
    }
    assert_hides(&gateway.database(), &secrets);

    // In use they come out as they went in, and are no more to be seen than before.
    let received = eventually("a delivery has come with everything it carries", || async {
        receiver
            .so_far()
            .into_iter()
            .find(|got| got.headers.get("x-token").is_some_and(|token| token == EVENT_HEADER))
    })
    .await;
    assert!(received.header("webhook-signature").starts_with("v1,"));
    let authorization = format!("Basic {}", STANDARD.encode(format!("CP:{PASSWORD}")));
    let offer = [("Sec-WebSocket-Protocol", "ocpp1.6"), ("Authorization", authorization.as_str())];
    let mut charger = Charger::connect(gateway.ocpp(), "/ocpp/CP", &offer).await.expect("connects");
    let boot = json!({"chargePointVendor": "V", "chargePointModel": "M"});
    charger.call("BootNotification", boot).await;
    let sent: Value = serde_json::from_str(&charger.receive().await).expect("JSON");
    assert_eq!(sent[3], json!({"key": "AuthorizationKey", "value": NEW_PASSWORD}));
    let (_, told) =
        gateway.api("GET", &format!("/commands/{}", command["id"].as_str().expect("an id")), None).await;
    assert_eq!((&told["status"], &told["payload"]["value"]), (&json!("sent"), &json!("***")));
    let (_, shown) = gateway.api("GET", &format!("/webhooks/{}/secret", hook["id"]), None).await;
    assert_eq!(shown["signing_secret"], rotated["signing_secret"]);
    assert_eq!(shown["previous"][0]["signing_secret"], SIGNING);
    assert_eq!(post_once(&gateway, "/api-keys", &json!({"name": "n", "scopes": ["read"]})).await, key);
    let from_hook = eventually("the webhook's own deliveries", || async {
        receiver
            .so_far()
            .into_iter()
            .find(|got| got.headers.get("x-token").is_some_and(|token| token == HOOK_HEADER))
    })
    .await;
    assert_eq!(from_hook.header("authorization"), VALUE);
    assert_hides(&gateway.database(), &secrets);
    gateway.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_key_a_gateway_does_not_start_and_touches_nothing() {
    if is_of_embedded("its own files are read") {
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let place = Place::new(dir.path());
    place.serve().kill();
    let key_file = dir.path().join("secrets.key");
    let key = std::fs::read_to_string(&key_file).expect("made at the first start");
    std::fs::remove_file(&key_file).expect("removed");
    let files = || {
        ["chargehook.db", "chargehook.db-wal"]
            .map(|name| std::fs::read(dir.path().join(name)).expect("reads"))
    };
    let before = files();
    let refused = |env: &[(&str, &str)], words: &[&str]| {
        let output = place.command().envs(env.iter().copied()).stderr(Stdio::piped()).output().expect("runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(words.iter().all(|word| said.contains(word)), "{said}");
        assert_eq!((output.stdout.as_slice(), files() == before), (b"".as_slice(), true), "{said}");
    };
    refused(&[], &[&key_file.display().to_string(), "Put the file back", "CHARGEHOOK_SECRETS_KEY"]);
    assert!(!key_file.exists(), "none is made in its place");
    refused(&[("CHARGEHOOK_SECRETS_KEY", &"ab".repeat(32))], &["not the key"]);
    std::fs::write(&key_file, "not a key\n").expect("writes");
    refused(&[], &[&key_file.display().to_string(), "64 hex digits"]);
    std::fs::remove_file(&key_file).expect("removed");

    // Keys of the API need it not, and the key itself may come from elsewhere.
    let made = program_in(dir.path())
        .args(["keys", "create", "--name", "n", "--scopes", "read", "--data-dir"])
        .arg(dir.path())
        .output()
        .expect("runs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let process = place.start(place.command().env("CHARGEHOOK_SECRETS_KEY", key.trim()));
    process.kill();

    // A file that others can read is worth a warning.
    std::fs::write(&key_file, &key).expect("writes");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let database = dir.path().join("chargehook.db");
        let mode = std::fs::Permissions::from_mode;
        std::fs::set_permissions(&key_file, mode(0o644)).expect("opens it to all");
        std::fs::set_permissions(&database, mode(0o640)).expect("opens it to a group");
        let mut process = place.start(place.command().stderr(Stdio::piped()));
        process.child.kill().expect("kills");
        let mut said = String::new();
        std::io::Read::read_to_string(&mut process.child.stderr.take().expect("piped"), &mut said)
            .expect("reads");
        for file in ["secrets.key (mode 0644)", "chargehook.db (mode 0640)"] {
            assert!(said.lines().any(|line| line.contains(file) && line.contains("chmod 600")), "{said}");
        }
        assert!(!said.contains("search.db"), "what is as it should be is not told: {said}");
    }
}
