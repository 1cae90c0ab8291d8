//! SIGHUP: a running gateway reads its configuration again, puts in force what can be, says what cannot, and
//! never dies of it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::crash::{Place, Process};
use crate::harness::{Charger, call, eventually, http_client};
use crate::listen::Ongoing;
use crate::tls;

/// A gateway with a configuration file and a log, both of which are looked at again.
struct Configured {
    place: Place,
    process: Process,
    dir: tempfile::TempDir,
}

const OFFER: [(&str, &str); 1] = [("Sec-WebSocket-Protocol", "ocpp1.6")];

fn log_in(dir: &Path) -> PathBuf {
    dir.join("log.txt")
}

impl Configured {
    fn start(text: &str) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let place = Place::new(&dir.path().join("data"));
        std::fs::write(dir.path().join("gateway.toml"), text).expect("written");
        let log = std::fs::File::create(log_in(dir.path())).expect("made");
        let mut command = place.command();
        command.arg("--config").arg(dir.path().join("gateway.toml")).stderr(log);
        let process = place.start(&mut command);
        Self { place, process, dir }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(log_in(self.dir.path())).expect("reads")
    }

    /// Tells the gateway to look at this file again; what it has said of that.
    async fn reread(&self, text: &str) -> String {
        std::fs::write(self.dir.path().join("gateway.toml"), text).expect("written");
        self.hang_up().await
    }

    /// Sends SIGHUP; what is logged of it.
    async fn hang_up(&self) -> String {
        let before = self.log().len();
        signal("-HUP", self.process.child.id());
        eventually("it says what has become of it", || async {
            let told = self.log().split_off(before);
            // A second line may follow the first.
            let whole = told.ends_with('\n') && told.contains("SIGHUP");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            (whole && self.log().split_off(before) == told).then_some(told)
        })
        .await
    }

    async fn api(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        call(&http_client(), self.place.api, method, path, body).await
    }

    async fn charger(&self, id: &str) -> Result<Charger, u16> {
        Charger::connect(self.place.ocpp, &format!("/ocpp/{id}"), &OFFER)
            .await
            .map_err(|refusal| refusal.status().as_u16())
    }
}

fn signal(kind: &str, process: u32) {
    let told = Command::new("kill").args([kind, &process.to_string()]).status().expect("kill is there");
    assert!(told.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_and_the_level_are_in_force_at_once_and_the_rest_is_named() {
    let mut gateway = Configured::start("[log]\nlevel = \"info\"\n");
    let mut first = gateway.charger("FIRST").await.expect("is let in");
    first.still_serves().await;
    let told = gateway
        .reread(
            "[log]\nlevel = \"INFO,chargehook::http=debug\"\n[limits]\nconnections = 1\napi_body = \"1KiB\"\n\
             webhooks = 1\nmessages_per_second = 50\n[retention]\nevents = \"1d\"\n[ocpp]\nheartbeat_interval = \"60s\"\n",
        )
        .await;
    let applied = "in force now: limits.messages_per_second, limits.connections, limits.api_body, limits.webhooks, log.level";
    assert!(told.contains(applied), "{told}");
    let restart = "WARN chargehook::serve::reload: SIGHUP: different in the configuration, and in force only after a \
                   restart: ocpp.heartbeat_interval, retention.events";
    assert!(told.contains(restart), "{told}");

    assert_eq!(gateway.charger("SECOND").await.err(), Some(503), "one connection is the limit now");
    first.still_serves().await;
    let large = json!({"event": "a.b", "broadcast": true, "payload": {"text": "x".repeat(2_000)}});
    assert_eq!(gateway.api("POST", "/events", Some(large.clone())).await.0, 413);
    let hook = json!({"url": "http://127.0.0.1:9/"});
    assert_eq!(gateway.api("POST", "/webhooks", Some(hook.clone())).await.0, 201);
    assert_eq!(gateway.api("POST", "/webhooks", Some(hook)).await.0, 409);
    assert!(gateway.log().contains("POST /api/v1/webhooks was answered 409"), "debug lines of the API");

    let told = gateway.reread("[log]\nlevel = \"info\"\n[retention]\nevents = \"1d\"\n").await;
    assert!(told.contains("limits.connections") && told.contains("restart: retention.events\n"), "{told}");
    let mut second = gateway.charger("SECOND").await.expect("is let in again");
    second.still_serves().await;
    assert_eq!(gateway.api("POST", "/events", Some(large)).await.0, 202);
    let quiet = gateway.log().len();
    gateway.api("GET", "/stations", None).await;
    assert_eq!(gateway.log().split_off(quiet), "", "no debug lines any more");
    let told = gateway.hang_up().await;
    assert!(told.contains("nothing in it that could be changed is different"), "{told}");
    assert!(gateway.process.child.try_wait().expect("asks").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn stations_that_are_connected_follow_their_limits_too() {
    let gateway = Configured::start("[limits]\nmessages_per_second = 1\nmessage_burst = 1\n");
    let mut charger = gateway.charger("CP").await.expect("is let in");
    charger.still_serves().await;
    // At the old rate the last of them would be answered after a minute.
    for number in 0..60 {
        charger.send(&json!([2, format!("{number}"), "Heartbeat", {}]).to_string()).await;
    }
    gateway.reread("[limits]\nmessages_per_second = 1000\nmessage_burst = 1000\n").await;
    for _ in 0..60 {
        charger.receive().await;
    }
    let told =
        gateway.reread("[limits]\nidle_timeout = \"15m\"\n[ocpp]\nheartbeat_interval = \"10s\"\n").await;
    assert!(told.contains("limits.idle_timeout") && told.contains("ocpp.heartbeat_interval"), "{told}");
    charger.still_serves().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_used_changes_nothing_and_is_told_without_any_secret() {
    let mut gateway = Configured::start("[limits]\nwebhooks = 5\n");
    let file = gateway.dir.path().join("gateway.toml").display().to_string();
    for (text, words) in [
        ("[limits]\nwebhooks = 0\n", format!("{file}:2: limits.webhooks: must be more than nothing")),
        ("[limits]\nwebhooks = 1\n[log]\nlevel = \"inof\"\n", format!("{file}:4: log.level: \"inof\"")),
        ("[limits\nwebhooks = 1\n", format!("{file}:1: is not valid TOML")),
        ("[limits]\nwebhook = 1\n", "did you mean webhooks?".to_owned()),
        ("[secrets]\nkey = \"t0ps3cr3t\"\n", format!("{file}:2: secrets.key: ")),
        (
            "[ocpp]\nheartbeat_interval = \"10s\"\n[limits]\nwebhooks = 1\nidle_timeout = \"2m\"\n",
            "limits.idle_timeout: must be at least three times".to_owned(),
        ),
    ] {
        let told = gateway.reread(text).await;
        assert!(
            told.contains("ERROR") && told.contains("nothing was changed") && told.contains(&words),
            "{told}"
        );
        assert!(!told.contains("t0ps3cr3t") && !told.contains("in force now"), "{told}");
    }
    let hook = json!({"url": "http://127.0.0.1:9/"});
    for expected in [201, 201, 201, 201, 201, 409] {
        assert_eq!(
            gateway.api("POST", "/webhooks", Some(hook.clone())).await.0,
            expected,
            "five, as at first"
        );
    }
    std::fs::remove_file(&file).expect("removes");
    let told = gateway.hang_up().await;
    assert!(told.contains(&format!("{file}: cannot be read")), "{told}");
    let secret = "[secrets]\nkey = \"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\"\n";
    let told = gateway.reread(secret).await;
    assert!(told.contains("restart: secrets.key") && !told.contains("0001020304"), "{told}");
    assert_eq!(gateway.api("POST", "/webhooks", Some(hook)).await.0, 201, "that file sets no limit");
    assert!(gateway.process.child.try_wait().expect("asks").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_read_again_also_under_other_names_and_a_wrong_one_changes_nothing() {
    let (before, after) = (tls::Place::new(), tls::Place::new());
    let with = |place: &tls::Place, certificate: &str| {
        let path = |name: &str| place.path(name).display().to_string();
        format!(
            "[ocpp]\ntls_certificate = [{:?}]\ntls_key = [{:?}]\ntls_client_ca = {:?}\n",
            path(certificate),
            path("ecdsa.key"),
            path("stations.pem")
        )
    };
    let gateway = Configured::start(&with(&before, "ecdsa.pem"));
    let reached = async |place: &tls::Place| {
        let client = place.client_of(place.stations.station("CP", |_| {}));
        client.knock(gateway.place.ocpp, "CP", None).await
    };
    assert_eq!((reached(&before).await, reached(&after).await), (Some(101), None));
    let told = gateway.reread(&with(&after, "missing.pem")).await;
    let missing = format!("ocpp.tls_certificate: {}: cannot be read", after.path("missing.pem").display());
    assert!(told.contains("ERROR") && told.contains(&missing), "{told}");
    assert_eq!((reached(&before).await, reached(&after).await), (Some(101), None));
    let told = gateway.reread(&with(&after, "ecdsa.pem")).await;
    let applied = "in force now: ocpp.tls_certificate, ocpp.tls_key, ocpp.tls_client_ca; the files of TLS were read anew";
    assert!(told.contains(applied), "{told}");
    assert_eq!((reached(&before).await, reached(&after).await), (None, Some(101)));
    let told = gateway.reread("").await;
    assert!(told.contains("only after a restart: ocpp.tls_certificate"), "{told}");
    assert_eq!(reached(&after).await, Some(101));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_sighup_ends_a_gateway_that_starts_or_stops() {
    let dir = tempfile::tempdir().expect("a directory");
    let place = Place::new(dir.path());
    let mut command = place.command();
    let log = std::fs::File::create(log_in(dir.path())).expect("made");
    let mut child = command.stderr(log).stdout(Stdio::null()).spawn().expect("starts");
    // It has made its lock, or says who it is: it has begun, and is not ready.
    eventually("it begins", || async {
        let log = std::fs::read_to_string(log_in(dir.path())).expect("reads");
        (dir.path().join("lock").exists() || log.contains("this is the node")).then_some(())
    })
    .await;
    for _ in 0..20 {
        signal("-HUP", child.id());
    }
    let http = http_client();
    eventually("it is ready all the same", || async {
        http.get(format!("http://{}/healthz", place.api)).send().await.ok()
    })
    .await;
    eventually("and has read its configuration again", || async {
        let log = std::fs::read_to_string(log_in(dir.path())).expect("reads");
        log.contains("SIGHUP: the configuration was read again").then_some(())
    })
    .await;
    signal("-TERM", child.id());
    let status = loop {
        match child.try_wait().expect("asks") {
            Some(status) => break status,
            None => {
                let _ = Command::new("kill")
                    .args(["-HUP", &child.id().to_string()])
                    .stderr(Stdio::null())
                    .status();
            }
        }
    };
    assert_eq!(status.code(), Some(0), "an orderly stop");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_whose_terminal_is_gone_ends_in_order() {
    let gateway = crate::harness::start(|_| {}).await;
    let following = Ongoing::start(&gateway, &["events", "list", "--follow"]);
    following.says(&["EVENT"]).await;
    assert_eq!(following.end("-HUP").await, Some(0));
}
