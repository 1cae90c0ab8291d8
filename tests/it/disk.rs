//! Delivery cases of a disk that is full, and of one that lost the end of what was written. The numbers in
//! the names are those of the list of delivery cases.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::OpenOptions;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use futures_util::SinkExt;
use futures_util::future::join_all;
use serde_json::{Value, json};
use tls::Stream;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use vocabulary::clock::Timestamp;

use crate::harness::{ADMIN_KEY, Charger, eventually, http_client, is_of_embedded};
use crate::kills::Outside;

/// Files of this process may not grow beyond this from here on; `None`: as far as they like.
fn files_may_grow_to(process: u32, bytes: Option<u64>) {
    let limit = bytes.map_or("unlimited:".to_owned(), |bytes| format!("{bytes}:"));
    let done = Command::new("prlimit")
        .args(["--pid", &process.to_string(), &format!("--fsize={limit}")])
        .status()
        .expect("prlimit is there");
    assert!(done.success());
}

async fn ready(outside: &Outside) -> (u16, Value) {
    let answer = http_client().get(format!("http://{}/readyz", outside.place.api)).send().await;
    let answer = answer.expect("the gateway lives");
    (answer.status().as_u16(), answer.json().await.expect("JSON"))
}

/// Sends heartbeats until one is not answered; how many were.
async fn beat_until_refused(charger: &mut Charger) -> usize {
    let mut acknowledged = 0;
    loop {
        charger.send(&json!([2, format!("beat {acknowledged}"), "Heartbeat", {}]).to_string()).await;
        match charger.receive_or_closed().await {
            Some(_) => acknowledged += 1,
            None => return acknowledged,
        }
    }
}

/// `serve`, which lives on when a file is at its limit: that fails a write as a full disk does, if the signal
/// that comes with it is ignored.
fn command_that_bears_limits(outside: &Outside) -> Command {
    let plain = outside.place.command();
    let mut command = Command::new("sh");
    command.args(["-c", r#"trap '' XFSZ; exec "$0" "$@""#]).arg(plain.get_program()).args(plain.get_args());
    command.stdout(Stdio::piped());
    for (name, value) in plain.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn delivery_case_5_a_full_disk_acknowledges_nothing_and_is_recovered_from() {
    if is_of_embedded("limits of the file system hold for its own files") {
        return;
    }
    let outside = Outside::new();
    let mut command = command_that_bears_limits(&outside);
    let mut process = outside.place.start(command.args(["--log-level", "off"]));
    let mut charger = outside.heartbeat().await;
    assert_eq!(ready(&outside).await.0, 200);
    let wal = std::fs::metadata(outside.place.data_dir.join("chargehook.db-wal")).expect("a log").len();
    files_may_grow_to(process.child.id(), Some(wal + (64 << 10)));
    let acknowledged = 1 + beat_until_refused(&mut charger).await;
    let (status, health) = eventually("it says that it cannot serve", || async {
        Some(ready(&outside).await).filter(|(status, _)| *status == 503)
    })
    .await;
    let reasons = health["reasons"].to_string();
    assert!(status == 503 && reasons.contains("store: "), "it says why: {health}");
    // Reading goes on; what was acknowledged is there, and nothing that was not.
    let kept = outside.events_of("Heartbeat").await.len();
    assert_eq!(kept, acknowledged);
    assert!(process.child.try_wait().expect("asks").is_none(), "it lives");

    files_may_grow_to(process.child.id(), None);
    eventually("it has recovered by itself", || async { (ready(&outside).await.0 == 200).then_some(()) })
        .await;
    let _charger = outside.heartbeat().await;
    let events = outside.events_of("Heartbeat").await;
    assert_eq!(events.len(), acknowledged + 1);
    let counted: Vec<i64> = events.iter().filter_map(|event| event["station_seq"].as_i64()).collect();
    assert!(counted.is_sorted() && counted.len() == events.len(), "{counted:?}");
}

/// What a line tells, whoever it is about and how many.
fn kind(line: &Value) -> String {
    let message = line["message"].as_str().unwrap_or_default();
    let is_name = |word: &&str| word.bytes().any(|byte| byte.is_ascii_digit());
    let words = message.split(' ').map(|word| if is_name(&word) { "#" } else { word });
    format!("{} {}", line["target"], words.collect::<Vec<_>>().join(" "))
}

/// Comes and speaks, again and again, whatever becomes of it.
async fn insist(outside: &Outside, station: &str, until: Instant) {
    while Instant::now() < until {
        let url = format!("ws://{}/ocpp/{station}", outside.place.ocpp);
        let Ok(stream) = TcpStream::connect(outside.place.ocpp).await else { continue };
        let offer = [("Sec-WebSocket-Protocol", "ocpp1.6")];
        let Some(Ok(mut charger)) = Charger::attempt(Stream::Plain(stream), &url, &offer).await else {
            continue;
        };
        let _ = charger.socket.send(Message::text(r#"[2,"1","Heartbeat",{}]"#)).await;
        charger.receive_or_closed().await;
    }
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_told_of_once_a_second_and_not_by_every_charger() {
    if is_of_embedded("limits of the file system hold for its own files") {
        return;
    }
    let outside = Outside::new();
    let log = outside.place.data_dir.join("log.json");
    let mut command = command_that_bears_limits(&outside);
    command.args(["--log-level", "warn", "--log-format", "json"]);
    let process = outside.place.start(command.stderr(std::fs::File::create(&log).expect("made")));
    let mut charger = outside.heartbeat().await;
    let wal = std::fs::metadata(outside.place.data_dir.join("chargehook.db-wal")).expect("a log").len();
    files_may_grow_to(process.child.id(), Some(wal + (16 << 10)));
    beat_until_refused(&mut charger).await;
    let until = Instant::now() + Duration::from_millis(1_500);
    let stations: Vec<String> = (0..8).map(|number| format!("CP_{number}")).collect();
    let insisting = stations.iter().map(|station| insist(&outside, station, until));
    let asking = async {
        while Instant::now() < until {
            let event = json!({"event": "a.b", "payload": {}, "broadcast": true});
            let (status, _) = outside.api("POST", "/events", Some(event)).await;
            assert_eq!(status, 503);
        }
    };
    tokio::join!(join_all(insisting), asking);
    let told = std::fs::read_to_string(&log).expect("reads");
    let lines: Vec<Value> = told.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let mut last: BTreeMap<String, Timestamp> = BTreeMap::new();
    for line in &lines {
        let text = line["timestamp"].as_str().expect("a time");
        // Of its six digits we read three.
        let at: Timestamp = format!("{}Z", &text[..23]).parse().expect("a time");
        if let Some(before) = last.insert(kind(line), at) {
            assert!(
                at.since(before) >= Duration::from_millis(900),
                "twice within a second: {}: {told}",
                kind(line)
            );
        }
    }
    let left_out: u64 = lines.iter().filter_map(|line| line["left_out"].as_u64()).sum();
    assert!(last.len() >= 3 && left_out > 20, "{} kinds, {left_out} left out: {told}", last.len());
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn an_audit_entry_and_its_change_are_there_together_or_not_at_all_however_much_room_there_was() {
    if is_of_embedded("limits of the file system hold for its own files") {
        return;
    }
    let outside = Outside::new();
    let mut command = command_that_bears_limits(&outside);
    let process = outside.place.start(command.args(["--log-level", "off"]));
    let log = outside.place.data_dir.join("chargehook.db-wal");
    let (mut made, mut refused) = (0, 0);
    // Now the entry is the last thing that finds room, now the change, now nothing of it.
    for room in 1..24 {
        let name = format!("room of {room}");
        let headers = json!({"x-filling": "x".repeat(4_000)});
        let hook = json!({"name": name, "url": "http://127.0.0.1:9/", "custom_headers": headers});
        let bytes = std::fs::metadata(&log).expect("a log").len();
        files_may_grow_to(process.child.id(), Some(bytes + room * 2_100));
        let (status, answer) = outside.api("POST", "/webhooks", Some(hook)).await;
        files_may_grow_to(process.child.id(), None);
        match status {
            201 => made += 1,
            503 => refused += 1,
            _ => panic!("{status}: {answer}"),
        }
    }
    assert!(made > 3 && refused > 3, "{made} made, {refused} refused");
    eventually("each webhook has its entry, and each entry its webhook", || async {
        let list = |path: &'static str| async {
            let (status, page) = outside.api("GET", path, None).await;
            assert_eq!(status, 200, "{page}");
            page["data"].as_array().expect("a list").clone()
        };
        let hooks: BTreeSet<String> =
            list("/webhooks?limit=500").await.iter().map(|hook| hook["id"].to_string()).collect();
        let entries = list("/audit?action=webhooks_create&limit=500").await;
        let settled = entries.iter().all(|entry| entry["status"] == 201);
        let of: BTreeSet<String> =
            entries.iter().filter_map(|entry| entry["resource_id"].as_str().map(str::to_owned)).collect();
        (settled && hooks.len() >= made && of == hooks && entries.len() == hooks.len()).then_some(())
    })
    .await;
}

#[tokio::test]
async fn too_little_room_is_warned_of_while_all_goes_well() {
    if is_of_embedded("limits of the file system hold for its own files") {
        return;
    }
    let outside = Outside::new();
    let log = outside.place.data_dir.join("log.txt");
    let mut command = outside.place.command();
    command.env("CHARGEHOOK_SERVER_WARN_FREE_SPACE", "1000000000GiB");
    let process = outside.place.start(command.stderr(std::fs::File::create(&log).expect("made")));
    let (status, health) = ready(&outside).await;
    assert_eq!((status, &health["status"]), (200, &json!("ok")));
    let free = health["free_bytes"].as_u64().expect("a number");
    assert!(free > 0 && health["reasons"].to_string().contains("server.warn_free_space"), "{health}");
    let metrics = http_client().get(format!("http://{}/metrics", outside.place.api));
    let metrics =
        metrics.header("X-API-Key", ADMIN_KEY).send().await.expect("answers").text().await.expect("text");
    assert!(metrics.contains("\nchargehook_disk_nearly_full 1\n"), "{metrics}");
    assert!(metrics.contains("\nchargehook_disk_free_bytes "), "{metrics}");
    eventually("the log warns", || async {
        let told = std::fs::read_to_string(&log).expect("reads");
        (told.contains(" WARN ") && told.contains("server.warn_free_space")).then_some(())
    })
    .await;
    process.kill();
    let _process = outside.place.serve();
    let (_, health) = ready(&outside).await;
    assert!(health["reasons"].is_null() && health["free_bytes"].is_u64(), "there is room enough: {health}");
}

#[tokio::test(flavor = "multi_thread")]
async fn delivery_case_6_a_torn_log_is_opened_at_its_last_commit() {
    if is_of_embedded("limits of the file system hold for its own files") {
        return;
    }
    let outside = Outside::new();
    let process = outside.place.serve();
    let mut charger = outside.heartbeat().await;
    for _ in 0..9 {
        charger.still_serves().await;
    }
    let before = outside.events_of("Heartbeat").await;
    assert_eq!(before.len(), 10);
    process.kill();
    let wal = outside.place.data_dir.join("chargehook.db-wal");
    let mut log = OpenOptions::new().append(true).open(&wal).expect("a log");
    let length = log.metadata().expect("a file").len();
    // The last page of the last commit is cut in two, and behind it stands what was there by chance.
    log.set_len(length - 2_000).expect("cut");
    log.write_all(&[0x5a; 3_000]).expect("written");
    drop(log);
    let _process = outside.place.serve();
    let after = outside.events_of("Heartbeat").await;
    assert!(
        after.len() >= before.len() - 1,
        "one commit at most is torn: {} of {}",
        after.len(),
        before.len()
    );
    assert_eq!(after, before[..after.len()], "and nothing else is touched");
    let mut charger = outside.heartbeat().await;
    charger.still_serves().await;
    assert_eq!(outside.events_of("Heartbeat").await.len(), after.len() + 2, "it goes on from there");
}
