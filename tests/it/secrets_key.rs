//! The key of the secrets changed, and lost: the real program, killed in the middle, and what becomes of
//! webhooks.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use outbound::signature::{SigningSecret, verify_standard};
use serde_json::{Value, json};
use store::Store;
use tempfile::TempDir;
use tokio::task::block_in_place;
use vocabulary::clock::Clock;

use crate::crash::Place;
use crate::harness::{Running, eventually, is_of_embedded, program, start, start_in};
use crate::receiver::{Answer, Received, Receiver};

const SIGNING: &str = "whsec_RmlyU3RTaWduaW5nU2VjcmV0T2ZBV2ViaG9vazEyMzQ=";
const ONE_KEY: &str = "1111111111111111111111111111111111111111111111111111111111111111";
const OTHER_KEY: &str = "2222222222222222222222222222222222222222222222222222222222222222";

fn secrets(arguments: &[&str], data_dir: &Path) -> Command {
    let mut command = program();
    command.arg("secrets").args(arguments).arg("--data-dir").arg(data_dir);
    command
}

/// What it says, if it ends with this exit code.
fn said(output: &Output, code: i32) -> String {
    let text = [output.stdout.as_slice(), &output.stderr].concat();
    let text = String::from_utf8(text).expect("UTF-8");
    assert_eq!(output.status.code(), Some(code), "{text}");
    text
}

fn run(arguments: &[&str], data_dir: &Path, env: &[(&str, &str)]) -> Output {
    block_in_place(|| secrets(arguments, data_dir).envs(env.iter().copied()).output().expect("runs"))
}

/// A database of a gateway that has stopped, with a webhook that has secrets.
async fn with_a_webhook(url: &str) -> TempDir {
    let gateway = start(|_| {}).await;
    let hook = json!({"url": url, "signing_secret": SIGNING, "secret_header": "x-token", "secret_value": "t0ken",
        "retry_schedule": ["100ms"]});
    let (status, answer) = gateway.api("POST", "/webhooks", Some(hook)).await;
    assert_eq!((status, &answer["id"]), (201, &json!(1)), "{answer}");
    gateway.stop().await
}

async fn tells_its_secret(data_dir: &Path) {
    let store = block_in_place(|| Store::open(data_dir, Clock::System)).expect("opens by itself");
    let secrets = store.webhook_secrets(1, Clock::System.now()).await.expect("opens").expect("is there");
    assert_eq!(secrets.signing_secret, SIGNING);
    block_in_place(|| store.close());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_the_key_that_is_killed_leaves_a_database_that_opens() {
    if is_of_embedded("a change or loss of the key is of its own files") {
        return;
    }
    let dir = with_a_webhook("https://example.com/").await;
    let key_file = dir.path().join("secrets.key");
    let old = std::fs::read_to_string(&key_file).expect("reads");
    let mut time = Duration::from_millis(2);
    loop {
        let mut child = secrets(&["change-key"], dir.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("starts");
        let done = block_in_place(|| {
            let end = std::time::Instant::now() + time;
            while std::time::Instant::now() < end && child.try_wait().expect("waits").is_none() {
                std::thread::sleep(Duration::from_millis(1));
            }
            let _ = child.kill();
            child.wait().expect("ends").success()
        });
        tells_its_secret(dir.path()).await;
        if done {
            break;
        }
        time = time * 3 / 2;
        assert!(time < Duration::from_secs(60), "it never comes to its end");
    }
    assert_ne!(std::fs::read_to_string(&key_file).expect("reads"), old);
    let kept = std::fs::read_to_string(dir.path().join("secrets.key.replaced")).expect("backups need it");
    assert_eq!(kept, old);
    let place = Place::new(dir.path());
    let refused = place.command().env("CHARGEHOOK_SECRETS_KEY", old.trim()).stderr(Stdio::piped()).output();
    assert!(said(&refused.expect("runs"), 2).contains("not the key"), "the old one opens nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_the_environment_is_changed_for_another_one() {
    if is_of_embedded("a change or loss of the key is of its own files") {
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let place = Place::new(dir.path());
    let in_use = ("CHARGEHOOK_SECRETS_KEY", ONE_KEY);
    let next = ("CHARGEHOOK_NEW_SECRETS_KEY", OTHER_KEY);
    let process = place.start(place.command().env(in_use.0, in_use.1));
    let running = said(&run(&["change-key"], dir.path(), &[in_use, next]), 1);
    assert!(running.contains("in use by another chargehook serve"), "{running}");
    process.kill();
    let unnamed = said(&run(&["change-key"], dir.path(), &[in_use, ("CHARGEHOOK_NEW_SECRETS_KEY", "")]), 2);
    assert!(unnamed.contains(next.0) && unnamed.contains("--new-key-file"), "{unnamed}");
    let wrong = said(&run(&["change-key"], dir.path(), &[in_use, (next.0, "0815")]), 2);
    assert!(wrong.contains("64 hex digits") && !wrong.contains("0815"), "{wrong}");
    let same = said(&run(&["change-key"], dir.path(), &[in_use, (next.0, ONE_KEY)]), 2);
    assert!(same.contains("the key in use"), "{same}");
    for _ in 0..2 {
        // Twice: whoever was killed may not know how far it has come.
        let changed = said(&run(&["change-key"], dir.path(), &[in_use, next]), 0);
        assert!(changed.contains("CHARGEHOOK_SECRETS_KEY") && !changed.contains(OTHER_KEY), "{changed}");
    }
    let refused = place.command().env(in_use.0, in_use.1).stderr(Stdio::piped()).output().expect("runs");
    assert!(said(&refused, 2).contains("chargehook secrets drop"));
    place.start(place.command().env(in_use.0, OTHER_KEY)).kill();
}

fn is_signed_with(got: &Received, secret: &str) -> bool {
    let secret: SigningSecret = secret.parse().expect("a secret");
    let seconds = got.header("webhook-timestamp").parse().expect("seconds");
    let (id, signature) = (got.header("webhook-id"), got.header("webhook-signature"));
    let now = Clock::System.now();
    verify_standard(&secret, id, seconds, got.body.as_bytes(), signature, now, Duration::from_secs(300))
        .is_ok()
}

async fn asked(gateway: &Running, method: &str, path: &str, body: Option<Value>) -> Value {
    let (status, answer) = gateway.api(method, path, body).await;
    assert_eq!(status, 200, "{answer}");
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_lost_key_a_gateway_goes_on_and_webhooks_wait_for_new_secrets() {
    if is_of_embedded("a change or loss of the key is of its own files") {
        return;
    }
    let receiver = Receiver::start(|_| Answer::Status(200)).await;
    let dir = with_a_webhook(&receiver.url).await;
    let key_file = dir.path().join("secrets.key");
    let told = said(&run(&["drop", "--force"], dir.path(), &[]), 2);
    assert!(told.contains("nothing is lost"), "{told}");
    std::fs::remove_file(&key_file).expect("lost");

    let told = said(&run(&["drop"], dir.path(), &[]), 2);
    for words in ["signing secret, value of x-token", "passwords of stations", "with --force"] {
        assert!(told.contains(words), "{words}: {told}");
    }
    assert!(!key_file.exists(), "looking makes nothing");
    let told = said(&run(&["drop", "--force"], dir.path(), &[]), 0);
    assert!(told.contains("value of x-token") && told.contains("secrets.key"), "{told}");

    let gateway = start_in(dir, |_| {}).await;
    let hook = asked(&gateway, "GET", "/webhooks/1", None).await;
    assert_eq!((&hook["status"], &hook["secret_value_set"]), (&json!("paused"), &json!(false)));
    let reason = hook["paused_reason"].as_str().expect("told");
    assert!(
        reason.contains("lost with the key of the secrets: signing secret, value of x-token"),
        "{reason}"
    );
    gateway.booted("CP").await;
    let waiting = gateway.get("/deliveries?status=scheduled").await;
    assert!(waiting["data"].as_array().is_some_and(|rows| !rows.is_empty()), "{waiting}");
    assert!(receiver.so_far().is_empty(), "nothing goes out before somebody has seen to it");

    let new = asked(&gateway, "GET", "/webhooks/1/secret", None).await;
    let new = new["signing_secret"].as_str().expect("a secret").to_owned();
    assert_ne!(new, SIGNING);
    asked(&gateway, "PATCH", "/webhooks/1", Some(json!({"secret_value": "an0ther"}))).await;
    let hook = asked(&gateway, "POST", "/webhooks/1/resume", None).await;
    assert_eq!((&hook["status"], &hook["paused_reason"]), (&json!("active"), &Value::Null));
    let got = eventually("what has waited", || async { receiver.so_far().into_iter().next() }).await;
    assert_eq!(got.header("x-token"), "an0ther");
    assert!(is_signed_with(&got, &new) && !is_signed_with(&got, SIGNING));
    let audit = gateway.get("/audit?resource=secrets").await;
    assert_eq!(audit["data"][0]["action"], "secrets_drop", "{audit}");
    gateway.gateway.stop().await;
}
