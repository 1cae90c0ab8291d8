//! Delivery cases of a disk that is full, and of one that lost the end of what was written. The numbers in the names
//! are those of the list of delivery cases.

use std::fs::OpenOptions;
use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::harness::{Charger, eventually, http_client};
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

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn delivery_case_5_a_full_disk_acknowledges_nothing_and_is_recovered_from() {
    let outside = Outside::new();
    let plain = outside.place.command();
    // A file at its limit fails a write as a full disk does, if the signal that comes with it is ignored.
    let mut command = Command::new("sh");
    command.args(["-c", r#"trap '' XFSZ; exec "$0" "$@""#]).arg(plain.get_program()).args(plain.get_args());
    command.args(["--log-level", "off"]).stdout(Stdio::piped());
    for (name, value) in plain.get_envs() {
        command.env(name, value.expect("set"));
    }
    let mut process = outside.place.start(&mut command);
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

#[tokio::test(flavor = "multi_thread")]
async fn delivery_case_6_a_torn_log_is_opened_at_its_last_commit() {
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
