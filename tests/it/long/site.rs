//! A gateway in a process of its own, whose start, memory and end can be watched.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::block_in_place;

use crate::crash::{Place, Process};
use crate::harness::{call, http_client};

pub(super) struct Site {
    pub(super) place: Place,
    process: Option<Process>,
    http: reqwest::Client,
    _dir: tempfile::TempDir,
}

impl Site {
    /// Not started yet.
    pub(super) fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        Self { place: Place::new(dir.path()), process: None, http: http_client(), _dir: dir }
    }

    pub(super) fn started() -> Self {
        let mut site = Self::new();
        site.start(&[]);
        site
    }

    /// Starts it, with settings by their variables, and returns when it says that it is ready.
    pub(super) fn start(&mut self, settings: &[(&str, &str)]) {
        let mut command = self.place.command();
        command.args(["--log-level", "error"]).envs(settings.iter().copied());
        self.process = Some(block_in_place(|| self.place.start(&mut command)));
    }

    pub(super) fn kill(&mut self) {
        block_in_place(|| self.process.take().expect("it runs").kill());
    }

    pub(super) fn database(&self) -> PathBuf {
        self.place.data_dir.join("chargehook.db")
    }

    pub(super) async fn api(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        call(&self.http, self.place.api, method, path, body).await
    }

    /// Makes a webhook for what [`super::load`] says; `more` of its members. Returns its number.
    pub(super) async fn webhook(&self, url: &str, more: Value) -> i64 {
        let mut body = json!({ "url": url, "events": ["DataTransfer"] });
        for (name, value) in more.as_object().expect("members") {
            body[name] = value.clone();
        }
        let (status, made) = self.api("POST", "/webhooks", Some(body)).await;
        assert_eq!(status, 201, "{made}");
        made["id"].as_i64().expect("a number")
    }

    /// Does something to a webhook: `pause`, `resume`, …
    pub(super) async fn tell_webhook(&self, id: i64, verb: &str) {
        let (status, said) = self.api("POST", &format!("/webhooks/{id}/{verb}"), None).await;
        assert!((200..300).contains(&status), "{verb}: {status} {said}");
    }

    /// Memory of the process now, in MiB.
    pub(super) fn memory_mib(&self) -> u64 {
        self.kib_of("VmRSS") / 1024
    }

    /// The most memory it ever had, in MiB.
    pub(super) fn memory_peak_mib(&self) -> u64 {
        self.kib_of("VmHWM") / 1024
    }

    fn kib_of(&self, field: &str) -> u64 {
        let pid = self.process.as_ref().expect("it runs").child.id();
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a Linux process");
        let line = status.lines().find(|line| line.starts_with(field)).expect("the field");
        line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number of KiB")
    }

    /// One number of the database, read beside the gateway.
    pub(super) fn number(&self, sql: &str) -> i64 {
        let read = || {
            let conn = rusqlite::Connection::open(self.database())?;
            conn.busy_timeout(Duration::from_secs(10))?;
            conn.query_row(sql, [], |row| row.get(0))
        };
        block_in_place(read).expect("a number")
    }
}
