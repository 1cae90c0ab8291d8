//! A database that gateways share, when it cannot be reached, refuses us, or is asked for what only the
//! embedded one can do.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Output, Stdio};

use serde_json::{Value, json};
use store::test_store::{TEST_STORE_VARIABLE, is_shared, shared_url};

use crate::crash::Place;
use crate::deliveries::webhook;
use crate::harness::{ADMIN_KEY, Charger, Running, call, eventually, http_client, program, start, start_in};
use crate::proxy::{Proxy, Way};
use crate::receiver::{Answer, Receiver};

/// A test run says what it did not try.
#[test]
fn a_run_without_postgresql_says_so() {
    if !is_shared() {
        // Past the capture of what tests print.
        let _ = writeln!(
            std::io::stderr(),
            "left out: everything on PostgreSQL. {TEST_STORE_VARIABLE}=postgres://USER@HOST/DATABASE runs the tests there"
        );
    }
}

/// Where the database's server is.
pub(crate) fn server(url: &str) -> SocketAddr {
    let url = url::Url::parse(url).expect("a URL");
    let address = format!("{}:{}", url.host_str().expect("a host"), url.port().unwrap_or(5432));
    address.parse().expect("CHARGEHOOK_TEST_STORE names an IP address")
}

/// The same database by way of another address.
pub(crate) fn by_way(url: &str, address: SocketAddr) -> String {
    let mut url = url::Url::parse(url).expect("a URL");
    url.set_ip_host(address.ip()).expect("an address");
    url.set_port(Some(address.port())).expect("a port");
    url.into()
}

async fn answer(url: String) -> (u16, Option<String>, Value) {
    let answer = http_client().get(url).header("X-API-Key", ADMIN_KEY).send().await.expect("answers");
    let retry_after =
        answer.headers().get("retry-after").map(|value| value.to_str().expect("text").to_owned());
    (answer.status().as_u16(), retry_after, answer.json().await.expect("JSON"))
}

#[tokio::test(flavor = "multi_thread")]
async fn while_it_is_away_nobody_is_answered_and_afterwards_everybody_is() {
    if !is_shared() {
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let url = shared_url(dir.path()).expect("a database");
    let line = Proxy::to(server(&url)).await;
    let gateway = start(|config| {
        config.store.url = Some(by_way(&url, line.address).parse().expect("a URL"));
    })
    .await;
    let mut charger = gateway.booted("CP").await;
    let events = gateway.events("CP").await.len();

    line.set(Way::Refuse);
    for path in ["/api/v1/stations", "/api/v1/events"] {
        let (status, retry_after, problem) = answer(gateway.url(path)).await;
        assert_eq!((status, retry_after.as_deref()), (503, Some("2")), "{problem}");
        let detail = problem["detail"].as_str().expect("a text");
        assert!(detail.contains("cannot reach its database"), "{problem}");
    }
    let hook = json!({"url": "http://127.0.0.1:1/"});
    let (status, problem) = gateway.api("POST", "/webhooks", Some(hook.clone())).await;
    assert_eq!(status, 503, "{problem}");
    let (status, _, health) = answer(gateway.url("/readyz")).await;
    assert_eq!(status, 503);
    assert!(health["reasons"][0].as_str().expect("a text").contains("cannot be reached"), "{health}");
    assert_eq!(answer(gateway.url("/healthz")).await.0, 200);
    charger.send(r#"[2,"unanswered","Heartbeat",{}]"#).await;
    let closed = charger.closed().await.expect("a close frame");
    assert_eq!(u16::from(closed.code), 1011);
    assert_eq!(handshake(&gateway).await, Some(503));

    line.set(Way::Open);
    let mut charger = eventually("chargers are let in again", async || connect(&gateway).await.ok()).await;
    charger.exchange(r#"[2,"unanswered","Heartbeat",{}]"#).await;
    let (status, _, health) = answer(gateway.url("/readyz")).await;
    assert_eq!(status, 200, "{health}");
    assert_eq!(gateway.api("POST", "/webhooks", Some(hook)).await.0, 201);
    let stored = gateway.events_of("CP", "Heartbeat").await;
    assert_eq!(stored.len(), 1, "the repeated message is stored once");
    assert!(gateway.events("CP").await.len() > events);
}

/// The station CP; the status of a refusal.
pub(crate) async fn connect(gateway: &Running) -> Result<Charger, u16> {
    let offer = [("Sec-WebSocket-Protocol", "ocpp1.6")];
    Charger::connect(gateway.ocpp(), "/ocpp/CP", &offer).await.map_err(|refusal| refusal.status().as_u16())
}

async fn handshake(gateway: &Running) -> Option<u16> {
    connect(gateway).await.err()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_waits_for_it_and_says_so() {
    if !is_shared() {
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let url = shared_url(dir.path()).expect("a database");
    let line = Proxy::to(server(&url)).await;
    line.set(Way::Refuse);
    let place = Place::new(dir.path());
    let mut process = place
        .command()
        .env("CHARGEHOOK_STORE_URL", by_way(&url, line.address))
        .stderr(Stdio::null())
        .spawn()
        .expect("starts");
    let at = |path: &str| format!("http://{}{path}", place.api);
    let (status, health) = eventually("it answers that it is not ready", async || {
        let answer = http_client().get(at("/readyz")).send().await.ok()?;
        Some((answer.status().as_u16(), answer.json::<Value>().await.ok()?))
    })
    .await;
    assert_eq!(status, 503);
    assert!(health["reasons"][0].as_str().expect("a text").contains("cannot be reached"), "{health}");
    assert_eq!(answer(at("/healthz")).await.0, 200);
    let (status, retry_after, _) = answer(at("/api/v1/stations")).await;
    assert_eq!((status, retry_after.as_deref()), (503, Some("2")));
    assert!(tokio::net::TcpStream::connect(place.ocpp).await.is_err(), "chargers go elsewhere");

    line.set(Way::Open);
    let mut line = String::new();
    let mut stdout = BufReader::new(process.stdout.take().expect("piped"));
    tokio::task::block_in_place(|| stdout.read_line(&mut line)).expect("a line");
    assert_eq!(line, format!("chargehook ready ocpp={} api={}\n", place.ocpp, place.api));
    assert_eq!(call(&http_client(), place.api, "GET", "/stations", None).await.0, 200);
    process.kill().expect("is there");
    process.wait().expect("ends");
}

#[test]
fn a_gateway_that_waits_for_it_can_be_stopped() {
    let dir = tempfile::tempdir().expect("a directory");
    let nobody = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let mut process = program()
        .args(["serve", "--ocpp-listen", "127.0.0.1:0", "--api-listen", "127.0.0.1:0", "--data-dir"])
        .arg(dir.path())
        .args(["--store", &format!("postgres://user:Sesame@{nobody}/none?sslmode=disable")])
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    let mut stderr = BufReader::new(process.stderr.take().expect("piped"));
    let mut told = String::new();
    while !told.contains("cannot be reached; the gateway waits for it") {
        assert_ne!(stderr.read_line(&mut told).expect("reads"), 0, "{told}");
    }
    assert!(told.contains("this is the node ") && !told.contains("Sesame"), "{told}");
    let id = process.id().to_string();
    assert!(std::process::Command::new("kill").args(["-TERM", &id]).status().expect("runs").success());
    assert_eq!(process.wait().expect("ends").code(), Some(0));
}

/// What the program says to this database.
fn run(arguments: &[&str], store: &str) -> Output {
    program().args(arguments).args(["--store", store]).output().expect("runs")
}

fn said(output: &Output, code: i32) -> String {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{text}");
    text
}

#[test]
fn who_is_refused_ends_at_once_and_shows_no_password() {
    let dir = tempfile::tempdir().expect("a directory");
    let Some(url) = shared_url(dir.path()) else { return };
    let data = dir.path().to_str().expect("UTF-8");
    let serve = ["serve", "--ocpp-listen", "127.0.0.1:0", "--api-listen", "127.0.0.1:0", "--data-dir", data];
    let mut wrong = url::Url::parse(&url).expect("a URL");
    wrong.set_password(Some("Sesame")).expect("set");
    wrong.set_path("/there_is_no_such_database");
    let database = said(&run(&serve, wrong.as_str()), 1);
    assert!(database.contains("refuses this gateway: database \"there_is_no_such_database\""), "{database}");
    let mut stranger = url::Url::parse(&url).expect("a URL");
    stranger.set_username("there_is_no_such_user").expect("set");
    stranger.set_password(Some("Sesame")).expect("set");
    let user = said(&run(&serve, stranger.as_str()), 1);
    assert!(user.contains("refuses this gateway: ") && user.contains("there_is_no_such_user"), "{user}");
    assert!(!database.contains("Sesame") && !user.contains("Sesame"));
}

#[test]
fn what_only_the_embedded_database_can_do_says_what_takes_its_place() {
    let nowhere = "postgres://user:Sesame@127.0.0.1:1/none";
    for (arguments, words) in
        [(["backup", "/tmp"].as_slice(), "pg_dump"), (&["restore", "/tmp/none"], "pg_restore")]
    {
        let told = said(&run(arguments, nowhere), 2);
        assert!(told.contains(words) && told.contains("PITR") && !told.contains("Sesame"), "{told}");
        assert!(told.contains("`chargehook counts advance`"), "{told}");
    }
    for arguments in [["secrets", "change-key"], ["secrets", "drop"], ["counts", "advance"]] {
        let told = said(&run(&arguments, nowhere), 1);
        assert!(told.contains("the database cannot be reached") && !told.contains("Sesame"), "{told}");
    }
    let dir = tempfile::tempdir().expect("a directory");
    let counts = program().args(["counts", "advance", "--data-dir"]).arg(dir.path()).output().expect("runs");
    assert!(said(&counts, 2).contains("name it with --store"));
    let told = said(&run(&["serve"], "postgres://user:Sesame@127.0.0.1:1/none?sslmode=maybe"), 2);
    assert!(told.contains("option --store: store.url: sslmode=maybe") && !told.contains("Sesame"), "{told}");
    let sized = program()
        .args(["config", "check"])
        .env("CHARGEHOOK_STORE_URL", nowhere)
        .env("CHARGEHOOK_RETENTION_MAX_DATABASE_SIZE", "20GiB")
        .output()
        .expect("runs");
    let told = said(&sized, 2);
    assert!(told.contains("retention.max_database_size: goes with the embedded"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_made_beside_a_gateway_that_runs() {
    if !is_shared() {
        return;
    }
    let gateway = start(|_| {}).await;
    let url = shared_url(gateway.data_dir()).expect("a database");
    let store = url.clone();
    let keys = async |arguments: &[&str]| {
        let (arguments, store) =
            (arguments.iter().map(ToString::to_string).collect::<Vec<_>>(), store.clone());
        let run = move || run(&arguments.iter().map(String::as_str).collect::<Vec<_>>(), &store);
        tokio::task::spawn_blocking(run).await.expect("runs")
    };
    let made = keys(&["keys", "create", "--name", "n", "--scopes", "read"]).await;
    said(&made, 0);
    let key = String::from_utf8_lossy(&made.stdout).trim().to_owned();
    let stations = http_client().get(gateway.url("/api/v1/stations")).header("X-API-Key", &key).send();
    assert_eq!(stations.await.expect("answers").status(), 200);
    let listed = keys(&["keys", "list"]).await;
    assert_eq!(String::from_utf8_lossy(&listed.stdout).lines().count(), 3, "{listed:?}");

    let empty = url::Url::parse(&url).expect("a URL");
    let nowhere = empty.as_str().replace("schema=test_", "schema=none_");
    let none = tokio::task::spawn_blocking(move || run(&["keys", "list"], &nowhere)).await.expect("runs");
    assert!(said(&none, 1).contains("has no tables of chargehook"));
}

/// A gateway that is a node of the database of `dir`, under the key in its file.
async fn node(dir: tempfile::TempDir) -> (Running, String) {
    let url = shared_url(dir.path()).expect("a database");
    (start_in(dir, |_| {}).await, url)
}

/// What the program says to this database, beside a runtime that goes on.
fn blocked(arguments: &[&str], store: &str, data_dir: &Path) -> Output {
    tokio::task::block_in_place(|| {
        program().args(arguments).args(["--store", store, "--data-dir"]).arg(data_dir).output().expect("runs")
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn counts_move_on_once_no_node_is_active() {
    if !is_shared() {
        return;
    }
    let (gateway, url) = node(tempfile::tempdir().expect("a directory")).await;
    let receiver = Receiver::always(Answer::Status(200)).await;
    webhook(&gateway, &receiver.url, json!({"events": ["*"]})).await;
    let begin = json!({"connectorId": 1, "idTag": "T", "meterStart": 0, "timestamp": "2026-04-14T12:00:00Z"});
    let mut charger = gateway.booted("CP").await;
    let before =
        charger.call("StartTransaction", begin.clone()).await["transactionId"].as_i64().expect("a number");
    let newest = |events: Vec<Value>| events.iter().filter_map(|event| event["station_seq"].as_i64()).max();
    let seq = newest(gateway.events("CP").await).expect("an event");
    let node_before = gateway.get("/nodes").await["data"][0].clone();
    let (_, page) = gateway.api("GET", "/events?order=asc&limit=2", None).await;
    let cursor = page["next_cursor"].as_str().expect("there is more").to_owned();

    let refused = blocked(&["counts", "advance"], &url, gateway.data_dir());
    let refused = said(&refused, 1);
    let name = node_before["name"].as_str().expect("a name");
    assert!(refused.contains("nodes are active: ") && refused.contains(name), "{refused}");
    drop(charger);
    let dir = gateway.stop().await;
    let advanced = blocked(&["counts", "advance"], &url, dir.path());
    said(&advanced, 0);
    let told = String::from_utf8_lossy(&advanced.stdout).into_owned();
    assert!(
        told.contains("passed over") && told.contains("10000 epochs") && told.contains("revoked"),
        "{told}"
    );
    assert!(told.contains("/chargehook") && !told.contains('@'), "the URL without its user: {told}");

    let (gateway, _) = node(dir).await;
    let restored = eventually("the event is delivered", || async {
        receiver.so_far().into_iter().find(|got| got.header("x-webhook-event") == "GatewayRestored")
    })
    .await;
    assert!(restored.header("x-webhook-sequence").parse::<i64>().expect("a number") > 1_000_000);
    let mut charger = gateway.booted("CP").await;
    let begin = json!({"timestamp": "2026-04-14T13:00:00Z", "connectorId": 1, "idTag": "T", "meterStart": 0});
    let after = charger.call("StartTransaction", begin).await["transactionId"].as_i64().expect("a number");
    assert!(after > before + 1_000_000, "{after} is not behind {before}");
    assert!(newest(gateway.events("CP").await) > Some(seq + 1_000_000));
    let epoch = gateway.get("/nodes").await["data"][0]["epoch"].as_i64();
    assert!(epoch > node_before["epoch"].as_i64().map(|epoch| epoch + 10_000), "{epoch:?}");
    let (status, page) =
        gateway.api("GET", &format!("/events?order=asc&limit=500&cursor={cursor}"), None).await;
    assert!(status == 200 && page["data"].as_array().is_some_and(|rows| rows.len() > 5), "{page}");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_secrets_of_a_shared_database_get_another_key_and_a_lost_one_is_given_up() {
    if !is_shared() {
        return;
    }
    let (gateway, url) = node(tempfile::tempdir().expect("a directory")).await;
    let receiver = Receiver::always(Answer::Status(200)).await;
    let own = json!({"events": ["*"], "secret_header": "X-Own", "secret_value": "kept"});
    let hook = webhook(&gateway, &receiver.url, own).await["id"].clone();
    let secret = gateway.get(&format!("/webhooks/{hook}/secret")).await["signing_secret"].clone();
    for arguments in [["secrets", "change-key"].as_slice(), &["secrets", "drop", "--force"]] {
        let refused = said(&blocked(arguments, &url, gateway.data_dir()), 1);
        assert!(refused.contains("nodes are active: "), "{refused}");
    }
    let dir = gateway.stop().await;
    let changed = blocked(&["secrets", "change-key"], &url, dir.path());
    said(&changed, 0);
    let told = String::from_utf8_lossy(&changed.stdout).into_owned();
    assert!(told.contains("every node needs this key") && told.contains("VACUUM FULL"), "{told}");

    let (gateway, _) = node(dir).await;
    assert_eq!(gateway.get(&format!("/webhooks/{hook}/secret")).await["signing_secret"], secret);
    gateway.booted("CP").await;
    let got = eventually("something is delivered", || async { receiver.so_far().pop() }).await;
    assert_eq!(got.header("x-own"), "kept");
    let dir = gateway.stop().await;

    let elsewhere = tempfile::tempdir().expect("a directory");
    std::fs::rename(dir.path().join("secrets.key"), elsewhere.path().join("aside")).expect("moves");
    let listed = blocked(&["secrets", "drop"], &url, dir.path());
    let told = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert!(said(&listed, 2).contains("nothing was dropped") && told.contains("value of X-Own"), "{told}");
    assert!(!dir.path().join("secrets.key").exists(), "looking makes nothing");
    said(&blocked(&["secrets", "drop", "--force"], &url, dir.path()), 0);
    let (gateway, _) = node(dir).await;
    assert_eq!(gateway.get(&format!("/webhooks/{hook}")).await["status"], "paused");
    assert_ne!(gateway.get(&format!("/webhooks/{hook}/secret")).await["signing_secret"], secret);
    gateway.stop().await;
}
