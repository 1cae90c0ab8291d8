//! Files of other programs where ours should be: every command refuses them, and leaves them as they were.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Output;

use rusqlite::Connection;
use serde_json::json;
use store::Store;
use vocabulary::clock::Clock;

use crate::crash::Place;
use crate::harness::{call, eventually, http_client, is_of_embedded, program};

fn run(arguments: &[&str]) -> Output {
    let mut command = program();
    command.env_clear().args(arguments).output().expect("the program runs")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// Every file of a directory, to the byte.
fn content(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = std::fs::read_dir(dir).expect("a directory").map(|file| file.expect("a file").path());
    files
        .map(|path| {
            let name = path.file_name().and_then(|name| name.to_str()).expect("UTF-8").to_owned();
            (name, std::fs::read(path).expect("reads"))
        })
        .collect()
}

/// Puts something foreign at this path.
type Make = fn(&Path);

fn not_sqlite(path: &Path) {
    std::fs::write(path, "a letter that somebody has called so by mistake\n".repeat(50)).expect("writes");
}

fn short(path: &Path) {
    std::fs::write(path, "hello").expect("writes");
}

fn another_id(path: &Path) {
    let conn = Connection::open(path).expect("opens");
    conn.execute_batch("PRAGMA application_id = 252006673; CREATE TABLE meta (a); CREATE TABLE stations (a)")
        .expect("makes");
}

fn other_tables(path: &Path) {
    let conn = Connection::open(path).expect("opens");
    conn.execute_batch("CREATE TABLE customers (name TEXT); INSERT INTO customers VALUES ('one')")
        .expect("makes");
}

/// What it has stands in its write-ahead log alone, as a program that was killed leaves it.
fn tables_in_the_log(path: &Path) {
    let made = tempfile::tempdir().expect("a directory");
    let source = made.path().join("a.db");
    let conn = Connection::open(&source).expect("opens");
    conn.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0; CREATE TABLE customers (a)",
    )
    .expect("makes");
    for suffix in ["", "-wal"] {
        std::fs::copy(text(&source).to_owned() + suffix, text(path).to_owned() + suffix).expect("copies");
    }
}

/// As the programs before 0.2.0 made it: `CHGH`, and a version that means another schema than it does now.
fn development(path: &Path) {
    let conn = Connection::open(path).expect("opens");
    conn.execute_batch(
        "PRAGMA application_id = 1128810312; PRAGMA journal_mode = WAL; CREATE TABLE meta (a); PRAGMA user_version = 1",
    )
    .expect("makes");
}

const FOREIGN: [(&str, Make, &str); 5] = [
    ("no SQLite", not_sqlite, "it is no SQLite file"),
    ("hardly anything", short, "it is no SQLite file"),
    ("another program's", another_id, "application_id"),
    ("other tables", other_tables, "tables of another program, such as \"customers\""),
    ("other tables in the log", tables_in_the_log, "tables of another program, such as \"customers\""),
];

#[test]
fn a_foreign_database_is_refused_untouched_by_every_command() {
    if is_of_embedded("its own files are looked at") {
        return;
    }
    let aside = tempfile::tempdir().expect("a directory");
    let ours = aside.path().join("ours");
    Store::open(&ours, Clock::System).expect("opens").close();
    let (backup, copy) = (aside.path().join("ours.db"), aside.path().join("copy.db"));
    let backed_up = run(&["backup", text(&backup), "--data-dir", text(&ours)]);
    assert_eq!(backed_up.status.code(), Some(0), "{backed_up:?}");
    let elsewhere = aside.path().join("elsewhere");
    let old: [(&str, Make, &str); 1] =
        [("a development version's", development, "a development version of chargehook before 0.2.0")];
    for (what, make, words) in FOREIGN.into_iter().chain(old) {
        let dir = tempfile::tempdir().expect("a directory");
        let database = dir.path().join("chargehook.db");
        make(&database);
        // The backup's own key, so that nothing else keeps it from being put back.
        std::fs::copy(ours.join("secrets.key"), dir.path().join("secrets.key")).expect("copies");
        let before = content(dir.path());
        let place = ["--data-dir", text(dir.path())];
        let listen = ["--ocpp-listen", "127.0.0.1:0", "--api-listen", "127.0.0.1:0"];
        for arguments in [
            [["serve"].as_slice(), &place, &listen].concat(),
            [["keys", "list"].as_slice(), &place].concat(),
            [["keys", "create", "--name", "n", "--scopes", "read"].as_slice(), &place].concat(),
            [["backup", text(&copy)].as_slice(), &place].concat(),
            [["backup", text(&copy), "--with-key", text(&elsewhere)].as_slice(), &place].concat(),
            [["restore", text(&backup), "--force"].as_slice(), &place].concat(),
            vec!["restore", text(&database), "--data-dir", text(&elsewhere)],
            [["secrets", "change-key"].as_slice(), &place].concat(),
            [["secrets", "drop"].as_slice(), &place].concat(),
            [["secrets", "drop", "--force"].as_slice(), &place].concat(),
        ] {
            let refused = run(&arguments);
            let error = String::from_utf8(refused.stderr).expect("UTF-8");
            assert_eq!(refused.status.code(), Some(1), "{what}: {arguments:?}: {error}");
            assert!(error.contains("It was left as it is") && error.contains(words), "{what}: {error}");
            assert!(content(dir.path()) == before, "{what}: {arguments:?} has changed something");
            assert!(!copy.exists() && !elsewhere.exists(), "{what}: {arguments:?} has made something");
        }
    }
}

#[tokio::test]
async fn a_foreign_search_index_is_left_alone_and_searches_go_without() {
    if is_of_embedded("its own files are looked at") {
        return;
    }
    for (what, make, words) in FOREIGN {
        let dir = tempfile::tempdir().expect("a directory");
        make(&dir.path().join("search.db"));
        let foreign = |dir: &Path| -> BTreeMap<_, _> {
            content(dir).into_iter().filter(|(name, _)| name.starts_with("search.db")).collect()
        };
        let before = foreign(dir.path());
        let place = Place::new(dir.path());
        let log = dir.path().join("log.txt");
        let stderr = std::fs::File::create(&log).expect("makes");
        let _process = place.start(place.command().stderr(stderr));
        eventually("it says why there is no index", || async {
            let told = std::fs::read_to_string(&log).expect("reads");
            (told.contains("is no chargehook database") && told.contains(words)).then_some(())
        })
        .await;
        let http = http_client();
        let event = json!({"event": "invoice.paid", "payload": {"word": "rhubarb"}, "broadcast": true});
        let (status, sent) = call(&http, place.api, "POST", "/events", Some(event)).await;
        assert_eq!(status, 202, "{sent}");
        let (_, found) = call(&http, place.api, "GET", "/events?q=rhubarb", None).await;
        assert_eq!(found["data"].as_array().map(Vec::len), Some(1), "{what}: {found}");
        assert!(foreign(dir.path()) == before, "{what}: the file was changed");
    }
}
