//! Backups of a busy gateway, and what becomes of the numbers that were told since, once one is put back.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rusqlite::Connection;
use serde_json::{Value, json};
use store::Store;
use tempfile::TempDir;
use vocabulary::clock::Clock;

use crate::harness::{Charger, Running, eventually, is_of_embedded, program, start, start_in};
use crate::receiver::{Answer, Receiver};

fn command(arguments: &[&str], data_dir: &Path) -> Command {
    let mut command = program();
    command.args(arguments).arg("--data-dir").arg(data_dir);
    command
}

fn run(arguments: &[&str], data_dir: &Path) -> Output {
    command(arguments, data_dir).output().expect("the program runs")
}

/// What it says, if it ends with this exit code.
fn said(output: &Output, code: i32) -> String {
    let text = [output.stdout.as_slice(), &output.stderr].concat();
    let text = String::from_utf8(text).expect("UTF-8");
    assert_eq!(output.status.code(), Some(code), "{text}");
    text
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

async fn begin(charger: &mut Charger, tag: &str) -> i64 {
    let start = json!({"connectorId": 1, "idTag": tag, "meterStart": 0, "timestamp": "2026-04-14T12:00:00Z"});
    let answer = charger.call("StartTransaction", start).await;
    answer["transactionId"].as_i64().unwrap_or_else(|| panic!("a number: {answer}"))
}

/// The largest number a station's events have.
async fn counted(gateway: &Running, station: &str) -> i64 {
    let events = gateway.events(station).await;
    events.iter().filter_map(|event| event["station_seq"].as_i64()).max().expect("an event")
}

/// A cursor that stands on the last event but one.
async fn before_the_last(gateway: &Running, mut cursor: String) -> String {
    loop {
        let path = format!("/events?order=asc&limit=500&cursor={cursor}");
        let (_, page) = gateway.api("GET", &path, None).await;
        if let Some(next) = page["next_cursor"].as_str() {
            cursor = next.to_owned();
            continue;
        }
        let rows = page["data"].as_array().expect("a list").len();
        if rows == 1 {
            return cursor;
        }
        let path = format!("/events?order=asc&limit={}&cursor={cursor}", rows - 1);
        let (_, page) = gateway.api("GET", &path, None).await;
        return page["next_cursor"].as_str().expect("one more").to_owned();
    }
}

fn largest_sequence(receiver: &Receiver) -> i64 {
    let sequences = receiver.so_far();
    sequences
        .iter()
        .filter_map(|got| got.header("x-webhook-sequence").parse().ok())
        .max()
        .expect("a delivery")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_a_busy_gateway_comes_back_and_collides_with_nothing_told_since() {
    if is_of_embedded("PostgreSQL has its own backups") {
        return;
    }
    let gateway = start(|_| {}).await;
    let data_dir = gateway.database().parent().expect("a directory").to_owned();
    let receiver = Receiver::start(|_| Answer::Status(200)).await;
    let (status, _) = gateway.api("POST", "/webhooks", Some(json!({"url": receiver.url}))).await;
    assert_eq!(status, 201);
    let mut charger = gateway.booted("CP").await;
    let mut told = BTreeSet::from([begin(&mut charger, "BEFORE").await]);

    // A load that goes on while the copy is made.
    let over = Arc::new(AtomicBool::new(false));
    let mut busy = gateway.booted("BUSY").await;
    let load = tokio::spawn({
        let over = over.clone();
        async move {
            while !over.load(Ordering::Relaxed) {
                busy.call("Heartbeat", json!({})).await;
            }
        }
    });
    let aside = tempfile::tempdir().expect("a directory");
    let (backup, key) = (aside.path().join("backup.db"), aside.path().join("backup.key"));
    let made =
        tokio::task::block_in_place(|| run(&["backup", text(&backup), "--with-key", text(&key)], &data_dir));
    over.store(true, Ordering::Relaxed);
    load.await.expect("every heartbeat is answered");
    assert!(said(&made, 0).contains("checked"));
    let plain = tokio::task::block_in_place(|| run(&["backup", text(aside.path())], &data_dir));
    assert!(
        said(&plain, 0).contains("secrets.key; keep a copy"),
        "it says what is not in it, and where that is"
    );

    // Told to the world after the backup, and then lost.
    let (_, page) = gateway.api("GET", "/events?order=asc&limit=1", None).await;
    let first = page["next_cursor"].as_str().expect("there is more").to_owned();
    for n in 0..3 {
        told.insert(begin(&mut charger, &format!("LOST_{n}")).await);
    }
    let mut newcomer = gateway.booted("NEWCOMER").await;
    told.insert(begin(&mut newcomer, "LOST").await);
    let lost_hook = json!({"url": receiver.url, "events": ["Reset"]});
    let (_, lost_hook) = gateway.api("POST", "/webhooks", Some(lost_hook)).await;
    let cursor = before_the_last(&gateway, first).await;
    let (seq, newcomers_seq) = (counted(&gateway, "CP").await, counted(&gateway, "NEWCOMER").await);
    eventually("everything is delivered", || async {
        let (_, waiting) = gateway.api("GET", "/deliveries?status=scheduled", None).await;
        waiting["data"].as_array().is_some_and(Vec::is_empty).then_some(())
    })
    .await;
    let sequence = largest_sequence(&receiver);
    gateway.gateway.stop().await;

    let anew = tempfile::tempdir().expect("a directory");
    let restored = tokio::task::block_in_place(|| {
        run(&["restore", text(&backup), "--key-file", text(&key)], anew.path())
    });
    let told_by_program = said(&restored, 0);
    assert!(told_by_program.contains("API keys that were revoked"), "{told_by_program}");
    let gateway = start_in(anew, |_| {}).await;
    let event = eventually("the event is delivered", || async {
        receiver.so_far().into_iter().find(|got| got.header("x-webhook-event") == "GatewayRestored")
    })
    .await;
    let body: Value = serde_json::from_str(&event.body).expect("JSON");
    assert!(body["payload"]["backup_at"].as_str() <= body["payload"]["restored_at"].as_str(), "{body}");
    assert!(event.header("x-webhook-sequence").parse::<i64>().expect("a number") > sequence);
    let mut charger = gateway.booted("CP").await;
    let mut newcomer = gateway.booted("NEWCOMER").await;
    for (charger, tag) in [(&mut charger, "AFTER"), (&mut newcomer, "AFTER")] {
        let number = begin(charger, tag).await;
        assert!(told.insert(number), "{number} was told to somebody before: {told:?}");
    }
    let least = |events: Vec<Value>| events.iter().filter_map(|event| event["station_seq"].as_i64()).min();
    let after = gateway.events_of("CP", "StationConnected").await;
    let newest = after.iter().filter_map(|event| event["station_seq"].as_i64()).max();
    assert!(newest > Some(seq), "{newest:?} is behind {seq}");
    assert!(
        least(gateway.events("NEWCOMER").await) > Some(newcomers_seq),
        "a station that nothing is known of"
    );
    let (_, hook) = gateway.api("POST", "/webhooks", Some(json!({"url": receiver.url}))).await;
    assert!(hook["id"].as_i64() > lost_hook["id"].as_i64(), "{hook}");
    // Who was paging misses nothing, although the rows it had seen are lost.
    let (status, page) =
        gateway.api("GET", &format!("/events?order=asc&limit=500&cursor={cursor}"), None).await;
    assert_eq!(status, 200, "{page}");
    assert_eq!(page["data"][0]["event"], "GatewayRestored");
    gateway.gateway.stop().await;
}

/// A data directory whose database holds this word, as a killed gateway leaves it: the word is in the log
/// alone.
fn killed_with(word: &str) -> TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    Store::open(dir.path(), Clock::System).expect("opens").close();
    let database = dir.path().join("chargehook.db");
    let conn = Connection::open(&database).expect("opens");
    conn.execute_batch("PRAGMA wal_autocheckpoint = 0").expect("sets");
    for n in 0..8 {
        let filling =
            format!("INSERT INTO meta (key, text) VALUES ('filling_{n}', hex(randomblob(1 << 19)))");
        conn.execute_batch(&filling).expect("inserts");
    }
    conn.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").expect("copies");
    conn.execute("INSERT INTO meta (key, text) VALUES ('word', ?1)", [word]).expect("inserts");
    let copied = tempfile::tempdir().expect("a directory");
    for file in ["chargehook.db", "chargehook.db-wal", "secrets.key"] {
        std::fs::copy(dir.path().join(file), copied.path().join(file)).expect("copies");
    }
    copied
}

fn word(data_dir: &Path) -> String {
    let conn = Connection::open(data_dir.join("chargehook.db")).expect("opens");
    let whole: String = conn.query_row("PRAGMA quick_check", [], |row| row.get(0)).expect("checks");
    assert_eq!(whole, "ok");
    conn.query_row("SELECT text FROM meta WHERE key = 'word'", [], |row| row.get(0)).expect("either word")
}

/// Lets a program run for so long, and then kills it, if it is not done.
fn kill_after(mut child: Child, time: Duration) {
    let end = std::time::Instant::now() + time;
    while std::time::Instant::now() < end && child.try_wait().expect("waits").is_none() {
        std::thread::sleep(Duration::from_millis(1));
    }
    let _ = child.kill();
    child.wait().expect("ends");
}

#[test]
fn a_restore_that_is_killed_leaves_the_old_database_or_the_new_one() {
    if is_of_embedded("PostgreSQL has its own backups") {
        return;
    }
    let aside = tempfile::tempdir().expect("a directory");
    let backup = aside.path().join("backup.db");
    let new = killed_with("new");
    said(&run(&["backup", text(&backup)], new.path()), 0);
    let (old, key) = (killed_with("old"), new.path().join("secrets.key"));
    // The backup's key is there already: what is replaced is of the same installation.
    std::fs::copy(&key, old.path().join("secrets.key")).expect("copies");
    let restore = ["restore", text(&backup), "--force"];
    let mut time = Duration::from_millis(2);
    while word(old.path()) == "old" {
        let quiet = command(&restore, old.path()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        kill_after(quiet.expect("starts"), time);
        time = time * 3 / 2;
        assert!(time < Duration::from_secs(60), "it never comes to its end");
    }
    assert_eq!(word(old.path()), "new");
    let replaced = Connection::open(old.path().join("chargehook.db.replaced")).expect("opens");
    let kept: String =
        replaced.query_row("SELECT text FROM meta WHERE key = 'word'", [], |row| row.get(0)).expect("reads");
    assert_eq!(kept, "old", "with what was in its log");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_that_cannot_be_is_refused_and_changes_nothing() {
    if is_of_embedded("PostgreSQL has its own backups") {
        return;
    }
    let gateway = start(|_| {}).await;
    let data_dir = gateway.database().parent().expect("a directory").to_owned();
    let aside = tempfile::tempdir().expect("a directory");
    let backup = aside.path().join("backup.db");
    tokio::task::block_in_place(|| {
        said(&run(&["backup", text(&backup)], &data_dir), 0);
        assert!(said(&run(&["backup", text(&backup)], &data_dir), 2).contains("is there already"));
        let running = run(&["restore", text(&backup), "--force"], &data_dir);
        assert!(said(&running, 1).contains("in use by another chargehook serve"));

        // Everything else, somewhere else.
        let place = tempfile::tempdir().expect("a directory");
        let restore = |from: &Path| run(&["restore", text(from)], place.path());
        let missing = said(&restore(&backup), 2);
        assert!(missing.contains("secrets.key") && missing.contains("--key-file"), "{missing}");
        let key = place.path().join("secrets.key");
        std::fs::write(&key, "00".repeat(32)).expect("writes");
        assert!(said(&restore(&backup), 2).contains("not the key"));
        let of_backup = data_dir.join("secrets.key");
        let named = ["restore", text(&backup), "--key-file", text(&of_backup)];
        assert!(said(&run(&named, place.path()), 2).contains("Move it away"));
        std::fs::copy(data_dir.join("secrets.key"), &key).expect("copies");

        let bad = aside.path().join("bad.db");
        let mut bytes = std::fs::read(&backup).expect("reads");
        let middle = bytes.len() / 2 / 4096 * 4096;
        bytes[middle..middle + 16 * 4096].fill(0xA5);
        std::fs::write(&bad, &bytes).expect("writes");
        assert!(said(&restore(&bad), 1).contains("bad.db is damaged"));
        std::fs::write(&bad, "hello").expect("writes");
        assert!(said(&restore(&bad), 1).contains("no chargehook database"));
        std::fs::copy(&backup, &bad).expect("copies");
        Connection::open(&bad).expect("opens").pragma_update(None, "user_version", 9_999).expect("sets");
        assert!(said(&restore(&bad), 1).contains("use a newer chargehook"));
        let names: Vec<_> = std::fs::read_dir(place.path())
            .expect("reads")
            .map(|file| file.expect("a file").file_name().into_string().expect("UTF-8"))
            .collect();
        assert!(names.iter().all(|name| ["secrets.key", "lock"].contains(&name.as_str())), "{names:?}");

        said(&restore(&backup), 0);
        let again = said(&restore(&backup), 2);
        assert!(again.contains("--force"), "{again}");
        // A second one over it is as good as the first.
        let forced = said(&run(&["restore", text(&backup), "--force"], place.path()), 0);
        assert!(forced.contains("chargehook.db.replaced\n"), "{forced}");
        // And what the first has set aside is nobody's to overwrite.
        let first = std::fs::read(place.path().join("chargehook.db.replaced")).expect("reads");
        let forced = said(&run(&["restore", text(&backup), "--force"], place.path()), 0);
        assert!(forced.contains("chargehook.db.replaced-2\n"), "{forced}");
        assert!(std::fs::read(place.path().join("chargehook.db.replaced")).expect("reads") == first);
        Store::open(place.path(), Clock::System).expect("opens").close();
    });
    gateway.gateway.stop().await;
}
