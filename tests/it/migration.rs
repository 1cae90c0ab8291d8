//! A data directory that is carried over to PostgreSQL: two nodes go on where its gateway was killed, and a
//! migration that is killed has done nothing.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use rusqlite::Connection;
use serde_json::{Value, json};
use store::test_store::{is_shared, rows, shared_url};

use crate::crash::{Place, Process};
use crate::harness::{ADMIN_KEY, Charger, Running, call, eventually, http_client, program, start_in};
use crate::receiver::{Answer, Receiver};
use crate::stream::Reader;

/// A gateway with its embedded database, whatever the tests are run on.
fn embedded(place: &Place) -> Process {
    let mut command = place.command();
    place.start(command.env_remove("CHARGEHOOK_STORE_URL").args(["--log-level", "error"]))
}

fn migrate(data_dir: &Path, to: &str) -> Command {
    let mut command = program();
    // With a password, which nobody may see.
    let mut to = url::Url::parse(to).expect("a URL");
    to.set_password(Some("Sesame")).expect("set");
    command.args(["migrate", "--to", to.as_str(), "--data-dir"]).arg(data_dir);
    command
}

fn done(mut command: Command) -> Output {
    tokio::task::block_in_place(|| command.output().expect("runs"))
}

/// What it says, if it ends with this exit code.
fn said(output: &Output, code: i32) -> String {
    let text = [output.stdout.as_slice(), &output.stderr].concat();
    let text = String::from_utf8(text).expect("UTF-8");
    assert_eq!(output.status.code(), Some(code), "{text}");
    assert!(!text.contains("Sesame"), "{text}");
    text
}

/// A node on the database at `store`, with the key of another directory.
async fn node(name: &str, store: &str, key: &Path) -> Running {
    let dir = tempfile::tempdir().expect("a directory");
    start_in(dir, |config| {
        config.store.url = Some(store.parse().expect("a URL"));
        config.node.name = Some(name.parse().expect("a name"));
        config.secrets.key_file = Some(key.to_owned());
    })
    .await
}

async fn raw(api: std::net::SocketAddr, path: &str) -> String {
    let answer = http_client().get(format!("http://{api}/api/v1{path}")).header("X-API-Key", ADMIN_KEY);
    answer.send().await.expect("answers").text().await.expect("text")
}

fn start(tag: &str) -> Value {
    json!({"connectorId": 1, "idTag": tag, "meterStart": 0, "timestamp": "2026-04-14T12:00:00Z"})
}

/// Beyond 64 bits, and beyond what PostgreSQL's own texts and numbers hold.
const ODD: &str =
    r#"[2,"odd","DataTransfer",{"vendorId":"a\u0000b\ud800\u0001","n":12345678901234567890.10,"m":1e400}]"#;

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_go_on_where_a_killed_gateway_has_stopped() {
    if !is_shared() {
        return;
    }
    let (dir, target) =
        (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
    let store = shared_url(target.path()).expect("a database");
    let place = Place::new(dir.path());
    let gateway = tokio::task::block_in_place(|| embedded(&place));
    let http = http_client();
    let api = async |method: &str, path: &str, body| call(&http, place.api, method, path, body).await.1;
    let receiver = Receiver::always(Answer::Status(200)).await;
    let refusing = Receiver::always(Answer::Status(500)).await;
    api("POST", "/webhooks", Some(json!({"url": receiver.url}))).await;
    let dead = json!({"url": refusing.url, "events": ["DataTransfer"], "retry_schedule": []});
    api("POST", "/webhooks", Some(dead)).await;
    let charger = Charger::connect(place.ocpp, "/ocpp/CP", &[("Sec-WebSocket-Protocol", "ocpp1.6")]);
    let charger = &mut charger.await.expect("connects");
    charger.boot().await;
    let session =
        charger.call("StartTransaction", start("OLD")).await["transactionId"].as_i64().expect("a number");
    charger.exchange(ODD).await;
    let letters = eventually("a dead letter", || async {
        let letters = api("GET", "/failed-deliveries", None).await;
        letters["data"].as_array().filter(|letters| !letters.is_empty()).cloned()
    })
    .await;
    let cursor = api("GET", "/events?order=asc&limit=3", None).await["next_cursor"].clone();
    let newest = api("GET", "/events?limit=1", None).await["data"][0]["id"].clone();
    let odd = api("GET", "/events?event=DataTransfer", None).await["data"][0]["id"].clone();
    let odd = format!("/events/{}", odd.as_str().expect("an id"));
    let to_the_letter = raw(place.api, &odd).await;
    assert!(to_the_letter.contains(r#""n":12345678901234567890.10,"m":1e400"#), "{to_the_letter}");

    let running = said(&done(migrate(dir.path(), &store)), 1);
    assert!(running.contains("in use by another chargehook serve"), "{running}");
    gateway.kill();
    let output = done(migrate(dir.path(), &store));
    said(&output, 0);
    let (told, progress) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(told.lines().any(|line| line.split_whitespace().eq(["webhooks", "2"])), "{told}");
    assert!(told.contains("secrets.key") && told.contains("Start no `serve` on it again"), "{told}");
    assert!(progress.contains("webhooks: 2 of 2 rows, ") && progress.contains(" % of all"), "{progress}");
    let again = said(&done(migrate(dir.path(), &store)), 2);
    assert!(
        again.contains("something has happened in that database already: it has api_keys (1)"),
        "{again}"
    );

    let key = dir.path().join("secrets.key");
    let (one, two) = (node("one", &store, &key).await, node("two", &store, &key).await);
    let station = one.get("/stations/CP").await;
    assert_eq!(
        (&station["connected"], &station["disconnect_reason"]),
        (&json!(false), &json!("gateway_stopped"))
    );
    for node in [&one, &two] {
        assert_eq!(raw(node.gateway.api_addr(), &odd).await, to_the_letter);
    }
    assert_eq!(two.get("/failed-deliveries").await["data"], json!(letters));
    let mut stream = Reader::open(&two, ADMIN_KEY, "", newest.as_str()).await;
    let next = stream.next().await.expect("an event");
    assert!(next.event == "StationDisconnected" && Some(next.id.as_str()) > newest.as_str(), "{next:?}");

    let mut charger = one.booted("CP").await;
    let stop = json!({"transactionId": session, "meterStop": 1000, "timestamp": "2026-04-14T13:00:00Z"});
    charger.call("StopTransaction", stop).await;
    let number = charger.call("StartTransaction", start("NEW")).await["transactionId"].as_i64();
    assert!(number > Some(session), "{number:?} after {session}");
    two.booted("NEW").await;
    assert_eq!(two.get(&format!("/transactions/{session}")).await["meter_stop"], 1000);
    let counted = one.events("CP").await.into_iter().filter_map(|event| event["station_seq"].as_u64());
    let counted: BTreeSet<u64> = counted.collect();
    assert_eq!(counted.iter().copied().collect::<Vec<_>>(), (1..=counted.len() as u64).collect::<Vec<_>>());
    let cursor = cursor.as_str().expect("there is more");
    let rest = two.get(&format!("/events?order=asc&limit=500&cursor={cursor}")).await;
    assert!(rest["data"].as_array().is_some_and(|rows| rows.len() > 8), "{rest}");
    let all = two.get("/events?limit=500").await["data"].as_array().map_or(0, Vec::len) as u64;
    let sequences = eventually("everything is delivered", || async {
        let got = receiver.so_far();
        let sequences: BTreeSet<u64> =
            got.iter().filter_map(|got| got.header("x-webhook-sequence").parse().ok()).collect();
        (sequences.len() as u64 >= all - 1).then_some(sequences)
    })
    .await;
    assert_eq!(
        sequences.iter().copied().collect::<Vec<_>>(),
        (1..=sequences.len() as u64).collect::<Vec<_>>()
    );
    drop(stream);
    one.stop().await;
    two.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_that_is_killed_has_done_nothing() {
    if !is_shared() {
        return;
    }
    let (dir, target) =
        (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
    let store = shared_url(target.path()).expect("a database");
    let place = Place::new(dir.path());
    tokio::task::block_in_place(|| embedded(&place)).kill();
    let database = dir.path().join("chargehook.db");
    let fill = "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 100000)
                INSERT INTO events (id, event, category, timestamp_ms, payload)
                SELECT printf('evt_%026d', n), 'Heartbeat', 'ocpp', n, '{}' FROM n;
                PRAGMA wal_checkpoint(TRUNCATE);";
    Connection::open(&database).and_then(|conn| conn.execute_batch(fill)).expect("filled");
    let before = std::fs::read(&database).expect("reads");

    let mut command = migrate(dir.path(), &store);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("starts");
    let lines = BufReader::new(child.stderr.take().expect("piped")).lines();
    // It copies since just now.
    let copying =
        tokio::task::block_in_place(|| lines.map_while(Result::ok).find(|line| line.starts_with("events: ")));
    assert!(copying.is_some_and(|line| !line.contains("100000 of 100000")), "it is killed in the midst");
    child.kill().expect("kills");
    tokio::task::block_in_place(|| child.wait()).expect("ends");
    let count = || rows::<1>(target.path(), "SELECT count(*) FROM events", &[])[0][0].clone();
    assert_eq!(count(), 0);
    let node = "SELECT count(*) FROM stations";
    assert_eq!(rows::<1>(target.path(), node, &[])[0][0], 0);
    assert!(std::fs::read(&database).expect("reads") == before, "it is as it was");

    said(&done(migrate(dir.path(), &store)), 0);
    assert_eq!(count(), 100_000);
    assert!(std::fs::read(&database).expect("reads") == before, "it is as it was");
    let indexes = "SELECT count(*) FROM pg_indexes WHERE schemaname = current_schema() AND indexname = 'events_by_type'";
    assert_eq!(rows::<1>(target.path(), indexes, &[])[0][0], 1);
}
