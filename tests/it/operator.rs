//! The daily commands, as an operator types them: the real program against a real gateway.

use std::io::Write;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::deliveries::webhook;
use crate::harness::{ADMIN_KEY, Charger, Running, eventually, program, start};
use crate::listen::{Ongoing, bring};
use crate::receiver::{Answer, Receiver};
use crate::replays::{changeable, wait_for};

/// What came of a command.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    /// What was printed by a command that went well.
    pub(crate) fn out(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.stdout
    }

    pub(crate) fn json(self) -> Value {
        serde_json::from_str(&self.out()).expect("JSON")
    }

    /// What was said by a command that went wrong.
    pub(crate) fn error(self) -> String {
        assert_eq!(self.code, Some(1), "{self:?}");
        self.stderr
    }
}

async fn with_input(gateway: &Running, line: &[&str], input: &str) -> Ran {
    let mut command = program();
    command
        .env_clear()
        .args(line)
        .env("CHARGEHOOK_URL", gateway.url(""))
        .env("CHARGEHOOK_API_KEY", ADMIN_KEY);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let input = input.to_owned();
    let output = tokio::task::spawn_blocking(move || {
        let mut child = command.spawn().expect("the program starts");
        child.stdin.take().expect("piped").write_all(input.as_bytes()).expect("reads");
        child.wait_with_output().expect("runs")
    });
    let output = output.await.expect("runs");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    Ran { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

pub(crate) async fn run(gateway: &Running, line: &[&str]) -> Ran {
    with_input(gateway, line, "").await
}

/// The line of a table that begins with this cell, cell by cell.
pub(crate) fn row<'a>(table: &'a str, first: &str) -> Vec<&'a str> {
    let line = table.lines().find(|line| line.split("  ").next() == Some(first));
    let line = line.unwrap_or_else(|| panic!("no {first} in\n{table}"));
    line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect()
}

/// A field of a single thing.
pub(crate) fn field<'a>(text: &'a str, name: &str) -> &'a str {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {name} in\n{text}")).trim()
}

/// The API's answer, byte for byte.
async fn as_it_came(gateway: &Running, path: &str) -> String {
    let request = crate::harness::http_client().get(gateway.url(&format!("/api/v1{path}")));
    let response = request.header("X-API-Key", ADMIN_KEY).send().await.expect("the API answers");
    response.text().await.expect("text")
}

#[tokio::test]
async fn stations_are_provisioned_listed_changed_and_removed() {
    let gateway = start(|_| {}).await;
    let added = ["stations", "add", "CP_1", "--name", "Garage left", "--owner", "acme", "--password", "-"];
    let made = with_input(&gateway, &added, "open sesame 12\n").await.out();
    assert_eq!(row(&made, "CP_1")[..7], ["CP_1", "never", "-", "-", "-", "accepted", "acme"]);
    let again = run(&gateway, &added[..3]).await.error();
    assert!(again.starts_with("error: 409 ") && again.contains("there is a station CP_1 already"), "{again}");

    let wrong = ["stations", "set", "CP_1", "--time-zone", "Mars/Olympus", "--validation", "harsh"];
    let wrong = run(&gateway, &wrong).await.error();
    assert!(wrong.contains("time_zone: ") && wrong.contains("validation: "), "every field: {wrong}");
    let set =
        ["stations", "set", "CP_1", "--blocked", "--metadata", r#"{"floor": -1}"#, "--clear", "password"];
    run(&gateway, &set).await.out();
    run(&gateway, &["stations", "set", "CP_1", "--certificate-serial", "00:4F:A0"]).await.out();
    let shown = run(&gateway, &["stations", "show", "CP_1"]).await.out();
    assert_eq!(field(&shown, "name"), "Garage left");
    assert_eq!((field(&shown, "blocked"), field(&shown, "password")), ("yes", "no"));
    assert_eq!(field(&shown, "metadata"), r#"{"floor":-1}"#);
    assert_eq!(field(&shown, "certificate serial"), "4fa0");
    run(&gateway, &["stations", "set", "CP_1", "--blocked=false"]).await.out();

    let mut charger = gateway.booted("CP_2").await;
    charger
        .call("StatusNotification", json!({"connectorId": 1, "errorCode": "NoError", "status": "Available"}))
        .await;
    let listed = run(&gateway, &["stations", "list", "--connected"]).await.out();
    let shown = row(&listed, "CP_2");
    assert!(shown[2] == "now" || shown[2].ends_with(" s ago"), "{listed}");
    assert_eq!((shown[1], &shown[3..8]), ("online", ["-", "-", "accepted", "-", "V M"].as_slice()));
    assert!(!listed.contains("CP_1"), "{listed}");
    let shown = run(&gateway, &["stations", "show", "CP_2"]).await.out();
    assert_eq!(row(&shown, "1")[..3], ["1", "Available", "NoError"]);
    let wire = run(&gateway, &["stations", "messages", "CP_2", "--direction", "inbound"]).await.out();
    assert!(wire.contains("station  CALL  StatusNotification  [2,"), "{wire}");
    let following = Ongoing::start(&gateway, &["stations", "messages", "CP_2", "--follow", "--limit", "1"]);
    following.says(&["gateway", "CALLRESULT", "StatusNotification"]).await;
    charger.still_serves().await;
    following.says(&["station", "CALL ", "Heartbeat"]).await;
    following.says(&["gateway", "CALLRESULT", "Heartbeat"]).await;
    assert_eq!(following.lines().len(), 4, "the heading, the last one, two new ones");
    assert_eq!(following.end("-INT").await, Some(0));
    let json = run(&gateway, &["stations", "show", "CP_1", "--json"]).await.out();
    assert_eq!(json, format!("{}\n", as_it_came(&gateway, "/stations/CP_1").await));

    run(&gateway, &["stations", "disconnect", "CP_2"]).await.out();
    assert_eq!(u16::from(charger.closed().await.expect("a close frame").code), 1000);
    let gone = run(&gateway, &["stations", "delete", "CP_1", "CP_2"]).await.out();
    assert_eq!(gone, "CP_1 is removed\nCP_2 is removed\n");
    assert!(run(&gateway, &["stations", "show", "CP_1"]).await.error().contains("404"), "no more");
}

#[tokio::test]
async fn an_import_says_what_was_left_out() {
    let gateway = start(|_| {}).await;
    let csv = "station_id,name,min_security_profile\nA,left,0\nB,right,9\nA,twice,0\n";
    let ran = with_input(&gateway, &["stations", "import", "-"], csv).await;
    assert_eq!(ran.code, Some(1));
    let wrong = row(&ran.stdout, "2");
    assert!(wrong[1] == "B" && wrong[2].contains("min_security_profile"), "{wrong:?}");
    assert!(row(&ran.stdout, "3")[2].contains("row 1"), "{}", ran.stdout);
    assert!(ran.stdout.ends_with("1 created, 0 changed, 2 left out\n"), "{}", ran.stdout);
    assert_eq!(ran.stderr, "error: 2 rows were left out\n");

    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("stations.json");
    std::fs::write(&file, r#" [{"station_id": "A", "name": "again"}, {"station_id": "C"}]"#)
        .expect("written");
    let ran = run(&gateway, &["stations", "import", file.to_str().expect("UTF-8")]).await;
    assert_eq!(ran.out(), "1 created, 1 changed, 0 left out\n");
    assert!(run(&gateway, &["stations", "import", "/nowhere"]).await.error().contains("/nowhere: "), "named");
}

#[tokio::test]
async fn sessions_are_listed_looked_into_and_closed() {
    let gateway = start(|_| {}).await;
    let mut charger = gateway.booted("CP_1").await;
    let mut numbers = Vec::new();
    for connector in [1, 2] {
        let begun = json!({"connectorId": connector, "idTag": "TAG", "meterStart": 100, "timestamp": "2026-04-14T12:00:00Z"});
        numbers.push(charger.call("StartTransaction", begun).await["transactionId"].to_string());
    }
    let number: i64 = numbers[0].parse().expect("a number");
    let sampled =
        json!([{"value": "7.5", "measurand": "Power.Active.Import", "unit": "kW"}, {"value": "350"}]);
    let values = json!({"connectorId": 1, "transactionId": number,
        "meterValue": [{"timestamp": "2026-04-14T12:05:00Z", "sampledValue": sampled}]});
    charger.call("MeterValues", values).await;
    let stop = json!({"transactionId": number, "meterStop": 1_600, "timestamp": "2026-04-14T13:00:00Z",
        "reason": "EVDisconnected"});
    charger.call("StopTransaction", stop).await;

    let listed = run(&gateway, &["transactions", "list", "--station", "CP_1", "--id-tag", "tag"]).await.out();
    assert_eq!(listed.lines().count(), 3, "{listed}");
    let done = row(&listed, &numbers[0]);
    assert_eq!((done[3], done[9], done[10]), ("completed", "1500", "metered"));
    let active = run(&gateway, &["transactions", "list", "--status", "active"]).await.out();
    assert!(active.contains(&numbers[1]) && !active.contains(&numbers[0]), "{active}");
    let shown = run(&gateway, &["transactions", "show", &numbers[0]]).await.out();
    assert_eq!((field(&shown, "stop reason"), field(&shown, "energy in Wh")), ("EVDisconnected", "1500"));
    let power = ["transactions", "meter-values", &numbers[0], "--measurand", "Power.Active.Import"];
    let metered = run(&gateway, &power).await.out();
    assert_eq!(row(&metered, "2026-04-14T12:05:00.000Z")[1..4], ["Power.Active.Import", "7.5", "kW"]);
    assert_eq!(metered.lines().count(), 2, "{metered}");

    let close = ["transactions", "close", &numbers[1], "--meter-stop", "400", "--reason", "PowerLoss"];
    let closed = run(&gateway, &close).await.out();
    assert_eq!(row(&closed, &numbers[1])[3], "completed");
    let shown = run(&gateway, &["transactions", "show", &numbers[1]]).await.out();
    assert_eq!((field(&shown, "inferred"), field(&shown, "stop reason")), ("yes", "PowerLoss"));
    assert!(run(&gateway, &close).await.error().contains("409"), "it is over");
    let json = run(&gateway, &["transactions", "show", &numbers[1], "--json"]).await.out();
    assert_eq!(json, format!("{}\n", as_it_came(&gateway, &format!("/transactions/{}", numbers[1])).await));
}

#[tokio::test]
async fn uptime_is_reported_by_connector_and_by_station() {
    let gateway = start(|_| {}).await;
    let mut charger = gateway.booted("CP").await;
    for connector in [1, 2] {
        let status = json!({"connectorId": connector, "errorCode": "NoError", "status": "Available"});
        charger.call("StatusNotification", status).await;
    }
    let span = ["--since", "2020-01-01T00:00:00Z", "--until", "2020-01-02T00:00:00Z"];
    let ask = async |more: &[&str]| run(&gateway, &[&["reports", "uptime"], &span[..], more].concat()).await;
    let table = ask(&[]).await.out();
    let cells = |line: usize| table.lines().nth(line).expect("a line").split_whitespace().collect::<Vec<_>>();
    assert_eq!(cells(0)[..2], ["STATION", "CONNECTOR"]);
    assert_eq!(cells(2), ["CP", "2", "-", "-", "-", "0", "0", "0", "1440", "0", "0", "0"]);
    let table = ask(&["--by", "station", "--rule", "uk"]).await.out();
    let heads = |table: &str| table.split_whitespace().take(2).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!((heads(&table), &row(&table, "CP")[1]), (vec!["STATION".into(), "CONNECTORS".into()], &"2"));
    let table = ask(&["--by", "site"]).await.out();
    assert_eq!((heads(&table), &row(&table, "(none)")[1]), (vec!["SITE".into(), "CONNECTORS".into()], &"2"));
    let report = ask(&["--by", "site", "--json"]).await.json();
    assert_eq!((&report["data"][0]["minutes"], &report["group_by"]), (&json!(2880.0), &json!("site")));
    assert!(ask(&["--rule", "eu"]).await.error().contains("rule"));
}

#[tokio::test]
async fn id_tags_are_registered_blocked_and_forgotten() {
    let gateway = start(|_| {}).await;
    let tag = ["id-tags", "register", "04A1", "--owner", "acme"];
    let more = ["--parent", "FLEET", "--max-active", "2", "--expires", "2099-01-01T00:00:00Z"];
    let made = run(&gateway, &[tag.as_slice(), &more].concat()).await.out();
    let fleet = ["04A1", "Accepted", "acme", "FLEET", "2099-01-01", "0 of 2", "-"];
    assert_eq!(row(&made, "04A1"), fleet);
    let blocked =
        run(&gateway, &[tag.as_slice(), &["--status", "Blocked", "--note", "lost"]].concat()).await.out();
    assert_eq!(row(&blocked, "04A1"), ["04A1", "Blocked", "acme", "-", "-", "0", "lost"], "all of it anew");
    run(&gateway, &["id-tags", "register", "NOBODYS"]).await.out();
    let listed = run(&gateway, &["id-tags", "list", "--owner", "acme"]).await.out();
    assert!(listed.contains("04A1") && !listed.contains("NOBODYS"), "{listed}");
    assert_eq!(run(&gateway, &["id-tags", "list"]).await.out().lines().count(), 3);
    let shown = run(&gateway, &["id-tags", "show", "04a1", "--owner", "acme"]).await.out();
    assert_eq!((field(&shown, "id tag"), field(&shown, "status")), ("04A1", "Blocked"));
    assert!(run(&gateway, &["id-tags", "show", "04A1"]).await.error().contains("404"), "it is acme's");
    let wrong = run(&gateway, &["id-tags", "register", "X", "--status", "Lost"]).await.error();
    assert!(wrong.contains("status: "), "{wrong}");

    let csv = "id_tag,status\nA,Accepted\nB,Lost\n04A1,Blocked\n";
    let ran = with_input(&gateway, &["id-tags", "import", "-"], csv).await;
    assert_eq!((ran.code, row(&ran.stdout, "2")[1]), (Some(1), "B"));
    assert!(ran.stdout.ends_with("2 created, 0 changed, 1 left out\n"), "{}", ran.stdout);
    let gone = run(&gateway, &["id-tags", "delete", "A", "NOBODYS"]).await.out();
    assert_eq!(gone, "A is forgotten\nNOBODYS is forgotten\n");

    let log =
        run(&gateway, &["audit", "--resource", "id-tags", "--id", "NOBODYS", "--oldest-first"]).await.out();
    let actions: Vec<&str> = log.lines().skip(1).filter_map(|line| line.split("  ").nth(3)).collect();
    assert_eq!(actions, ["id_tags_put", "id_tags_delete"], "{log}");
    let put = log.lines().nth(1).expect("a line");
    assert!(put.contains("  admin  127.0.0.1  ") && put.contains("  201"), "{log}");
    let json = run(&gateway, &["audit", "--owner", "acme", "--json"]).await.json();
    assert_eq!(json["data"][0]["resource_id"], "04A1");
}

#[tokio::test]
async fn long_lists_go_on_where_they_are_asked_to() {
    let gateway = start(|_| {}).await;
    for number in 0..5 {
        bring(&gateway, "invoice.paid", number).await;
    }
    let list = ["events", "list", "--event", "invoice.*", "--since", "1h", "--oldest-first"];
    let numbers = |table: &str| -> Vec<char> {
        let payloads = table.lines().skip(1).filter_map(|line| line.strip_suffix('}'));
        payloads.filter_map(|line| line.chars().last()).collect()
    };
    let first = run(&gateway, &[list.as_slice(), &["--limit", "2"]].concat()).await;
    assert_eq!(numbers(&first.stdout), ['0', '1'], "{first:?}");
    let cursor = first.stderr.split("--cursor ").nth(1).and_then(|rest| rest.split(',').next());
    let cursor = cursor.unwrap_or_else(|| panic!("{first:?}"));
    let next = run(&gateway, &[list.as_slice(), &["--limit", "9", "--cursor", cursor]].concat()).await;
    assert_eq!((numbers(&next.stdout), next.stderr.as_str()), (vec!['2', '3', '4'], ""));
    let all = run(&gateway, &[list.as_slice(), &["--all"]].concat()).await.out();
    assert_eq!(numbers(&all), ['0', '1', '2', '3', '4']);
    let json = run(&gateway, &[list.as_slice(), &["--all", "--json"]].concat()).await.json();
    let whole = gateway.get("/events?event=invoice.*&order=asc").await;
    assert_eq!(json, whole, "the API's own shape");
    let nothing = run(&gateway, &["events", "list", "--event", "invoice.*", "--until", "1h"]).await.out();
    assert_eq!(nothing.lines().count(), 1, "{nothing}");
}

#[tokio::test]
async fn events_are_brought_explained_and_sent_again() {
    let gateway = start(|_| {}).await;
    let (receiver, _) = changeable(200).await;
    let hook = webhook(&gateway, &receiver.url, json!({"events": ["invoice.*"]})).await;
    webhook(&gateway, &receiver.url, json!({"events": ["ocpp.*"]})).await;
    let send =
        ["events", "send", "invoice.paid", r#"{"n": 1.50}"#, "--broadcast", "--idempotency-key", "INV-1"];
    let more = ["--station", "CP_1", "--header", "x-trace: 7", "--json"];
    let sent = run(&gateway, &[send.as_slice(), &more].concat()).await.json();
    assert_eq!((&sent["deliveries"], &sent["duplicate"]), (&json!(1), &json!(false)));
    let received = &receiver.wait_for(1).await[0];
    assert!(received.body.contains(r#""payload":{"n": 1.50}"#), "byte for byte: {}", received.body);
    assert_eq!(received.header("x-trace"), "7");
    assert!(run(&gateway, &send).await.out().contains("goes nowhere"), "the key was used");

    wait_for(&gateway, &hook, "success", 1).await;
    let id = sent["id"].as_str().expect("an id");
    let shown = run(&gateway, &["events", "show", id, "--explain"]).await.out();
    assert_eq!((field(&shown, "station"), field(&shown, "payload")), ("CP_1", r#"{"n": 1.50}"#));
    assert!(shown.contains("  success  1"), "{shown}");
    let other = shown.lines().last().expect("a line");
    assert!(other.starts_with("2 ") && other.ends_with("does not subscribe to this event type"), "{shown}");
    let json = run(&gateway, &["events", "show", id, "--explain", "--json"]).await.json();
    assert_eq!(json["not_matched"], json!([{"webhook_id": 2, "reason": "event_type"}]));

    assert!(run(&gateway, &["events", "resend", id]).await.error().contains("force"), "it has arrived");
    assert!(run(&gateway, &["events", "resend", id, "--force"]).await.out().contains("on its way again"));
    assert_eq!(receiver.wait_for(2).await[1].header("webhook-id"), id);
    let directly = ["events", "send", "invoice.sent", "{}", "--to", &receiver.url];
    assert!(run(&gateway, &directly).await.out().contains("with 1 deliveries"), "no webhook is needed");
    let types = run(&gateway, &["events", "types"]).await.out();
    assert_eq!(row(&types, "StartTransaction"), ["StartTransaction", "ocpp"]);

    let nowhere = run(&gateway, &["events", "send", "invoice.paid", "{}"]).await;
    assert_eq!(nowhere.code, Some(2), "{nowhere:?}");
    let wrong = run(&gateway, &["events", "send", "Invoice", "{}", "--webhook", "1"]).await.error();
    assert!(wrong.contains("\n") && wrong.contains("event: "), "{wrong}");
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_followed_over_a_restart() {
    let gateway = start(|_| {}).await;
    for number in 0..4 {
        bring(&gateway, "invoice.paid", number).await;
    }
    let follow = ["events", "list", "--event", "invoice.*", "--follow", "--limit", "2", "--json"];
    let following = Ongoing::start(&gateway, &follow);
    following.says(&[r#""n":3"#]).await;
    let api = gateway.gateway.api_addr();
    let gateway = gateway.restart(|config| config.api.listen = api).await;
    bring(&gateway, "invoice.paid", 4).await;
    bring(&gateway, "order.placed", 5).await;
    bring(&gateway, "invoice.paid", 6).await;
    following.says(&[r#""n":6"#]).await;
    let numbers: Vec<Value> = following
        .lines()
        .iter()
        .map(|line| serde_json::from_str::<Value>(line).expect("one event a line")["payload"]["n"].clone())
        .collect();
    assert_eq!(numbers, [2, 3, 4, 6]);
    assert_eq!(following.end("-TERM").await, Some(0));
}

#[tokio::test]
async fn deliveries_are_looked_at_sent_again_and_canceled() {
    let gateway = start(|_| {}).await;
    let (receiver, answer) = changeable(500).await;
    let hook = webhook(&gateway, &receiver.url, json!({"retry_schedule": [], "events": ["invoice.*"]})).await;
    for number in 0..2 {
        bring(&gateway, "invoice.paid", number).await;
    }
    wait_for(&gateway, &hook, "failed", 2).await;
    let failed =
        run(&gateway, &["deliveries", "failed", "--since", "1h", "--event", "invoice.*"]).await.out();
    let ids: Vec<&str> = failed.lines().skip(1).filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(row(&failed, ids[0])[2..7], ["invoice.paid", "-", "1", "failed", "1"]);
    let shown = run(&gateway, &["deliveries", "show", ids[0]]).await.out();
    assert_eq!(field(&shown, "last error"), "http_status: the endpoint answered 500 Internal Server Error");
    assert_eq!(row(&shown, "1")[1], "event");
    assert!(shown.ends_with("the last answer:\n  ok\n"), "{shown}");

    answer.store(200, std::sync::atomic::Ordering::SeqCst);
    let resent = run(&gateway, &["deliveries", "resend", ids[0]]).await.out();
    assert_eq!(row(&resent, ids[0])[0], ids[0]);
    wait_for(&gateway, &hook, "success", 1).await;
    let bulk = ["deliveries", "resend", "--webhook", "1", "--since", "1h"];
    let counted = run(&gateway, &[bulk.as_slice(), &["--dry-run"]].concat()).await.out();
    assert_eq!(counted, "1 would be sent\n");
    let begun = run(&gateway, &bulk).await;
    assert!(begun.stderr.contains("chargehook webhooks replays show rpl_"), "{begun:?}");
    wait_for(&gateway, &hook, "success", 2).await;
    let unbounded = run(&gateway, &["deliveries", "resend", "--station", "CP_1"]).await;
    assert_eq!(unbounded.code, Some(2), "{unbounded:?}");
    assert!(unbounded.stderr.contains("--webhook <ID>|--event-id <ID>|--since <TIME>"), "{unbounded:?}");
    let both = run(&gateway, &["deliveries", "resend", ids[0], "--webhook", "1"]).await;
    assert_eq!(both.code, Some(2), "{both:?}");

    run(&gateway, &["webhooks", "pause", "1"]).await.out();
    bring(&gateway, "invoice.paid", 3).await;
    let waiting = run(&gateway, &["deliveries", "list", "--status", "scheduled", "--json"]).await.json();
    let id = waiting["data"][0]["id"].as_str().expect("one waits");
    let canceled = run(&gateway, &["deliveries", "cancel", id]).await.out();
    assert_eq!(row(&canceled, id)[5], "discarded");
    assert!(run(&gateway, &["deliveries", "cancel", id]).await.error().contains("409"), "once is enough");
}

#[tokio::test]
async fn webhooks_are_made_tested_paused_and_replayed() {
    let gateway = start(|_| {}).await;
    let (receiver, answer) = changeable(200).await;
    let create = ["webhooks", "create", &receiver.url, "--event", "invoice.*", "--header", "x-env: prod"];
    let more =
        ["--retry-schedule", "1s,2s", "--filter", r#"{"n": {"$lt": 9}}"#, "--format", "envelope", "--verify"];
    let made = run(&gateway, &[create.as_slice(), &more].concat()).await.out();
    let secret = field(&made, "signing secret").to_owned();
    assert!(secret.starts_with("whsec_"), "{made}");
    assert_eq!((field(&made, "retries after"), field(&made, "headers")), ("1s,2s", "x-env: prod"));
    let wrong = ["webhooks", "create", "ftp://x", "--rate-limit", "fast", "--timeout", "90s"];
    let wrong = run(&gateway, &wrong).await.error();
    for name in ["url: ", "rate_limit: ", "timeout: "] {
        assert!(wrong.contains(name), "every field: {wrong}");
    }
    let set = ["webhooks", "set", "1", "--name", "billing", "--clear", "filter", "--clear", "rate-limit"];
    let set = run(&gateway, &set).await.out();
    assert_eq!((field(&set, "name"), field(&set, "filter")), ("billing", "-"));
    assert!(!set.contains("signing secret"), "shown once: {set}");

    let shown = run(&gateway, &["webhooks", "show", "1", "--json"]).await.out();
    assert_eq!(shown, format!("{}\n", as_it_came(&gateway, "/webhooks/1").await));
    assert!(run(&gateway, &["webhooks", "secret", "1"]).await.out().contains(&secret));
    let rotated = run(&gateway, &["webhooks", "rotate", "1", "--overlap", "1h"]).await.out();
    assert!(row(&rotated, &secret).len() == 2 && rotated.lines().count() == 3, "both sign: {rotated}");

    assert!(run(&gateway, &["webhooks", "test", "1"]).await.out().starts_with("taken: 200 after"));
    answer.store(500, std::sync::atomic::Ordering::SeqCst);
    let refused = run(&gateway, &["webhooks", "test", "1", "--event", "StartTransaction"]).await;
    assert!(refused.stdout.contains("http_status: "), "{refused:?}");
    assert_eq!(refused.error(), "error: the endpoint did not take the test event\n");

    run(&gateway, &["webhooks", "pause", "1", "--for", "2h"]).await.out();
    let paused = run(&gateway, &["webhooks", "list", "--status", "paused"]).await.out();
    assert_eq!(row(&paused, "1")[..4], ["1", "billing", "paused", "invoice.*"]);
    run(&gateway, &["webhooks", "resume", "1"]).await.out();
    run(&gateway, &["webhooks", "disable", "1"]).await.out();
    bring(&gateway, "invoice.paid", 1).await;
    answer.store(200, std::sync::atomic::Ordering::SeqCst);
    assert_eq!(field(&run(&gateway, &["webhooks", "enable", "1"]).await.out(), "status"), "active");
    let replay = ["webhooks", "replay", "1", "--since", "1h", "--only", "missing"];
    let counted = run(&gateway, &[replay.as_slice(), &["--dry-run"]].concat()).await.out();
    assert_eq!(counted, "1 would be sent\n");
    let begun = run(&gateway, &[replay.as_slice(), &["--json"]].concat()).await.json();
    let id = begun["id"].as_str().expect("an id");
    eventually("the replay is done", || async {
        let shown = run(&gateway, &["webhooks", "replays", "show", id]).await.out();
        (field(&shown, "status") == "done" && field(&shown, "matched") == "1").then_some(())
    })
    .await;
    assert!(
        run(&gateway, &["webhooks", "replays", "cancel", id]).await.error().contains("409"),
        "it is done"
    );
    let replays = run(&gateway, &["webhooks", "replays", "--webhook", "1"]).await.out();
    assert_eq!(row(&replays, id).last(), Some(&"replay to webhook 1"));
    let hook = gateway.get("/webhooks/1").await;
    wait_for(&gateway, &hook, "success", 1).await;
    let glance = run(&gateway, &["webhooks", "glance"]).await.out();
    assert!(glance.contains("BREAKER") && glance.contains("closed"), "{glance}");
    let stats = run(&gateway, &["webhooks", "stats", "1"]).await.out();
    assert_eq!((field(&stats, "success"), field(&stats, "breaker")), ("1", "closed"));
    run(&gateway, &["webhooks", "delete", "1"]).await.out();
    assert_eq!(run(&gateway, &["webhooks", "list"]).await.out().lines().count(), 1);
}

/// Answers the next CALL.
pub(crate) async fn answer(charger: &mut Charger, payload: Value) {
    let call: Value = serde_json::from_str(&charger.receive().await).expect("a CALL");
    charger.send(&json!([3, call[1], payload]).to_string()).await;
}

#[tokio::test]
async fn commands_exit_as_the_charger_answers() {
    let gateway = start(|_| {}).await;
    let reset = ["command", "CP_1", "Reset", r#"{"type": "Soft"}"#];
    assert!(run(&gateway, &reset).await.error().contains("404"), "no such station");
    let mut charger = gateway.booted("CP_1").await;
    let (ran, ()) = tokio::join!(run(&gateway, &reset), answer(&mut charger, json!({"status": "Accepted"})));
    let table = ran.out();
    assert!(table.contains("CP_1") && table.contains(r#"{"status":"Accepted"}"#), "{table}");
    let json = [reset.as_slice(), &["--json"]].concat();
    let (ran, ()) = tokio::join!(run(&gateway, &json), answer(&mut charger, json!({"status": "Rejected"})));
    assert_eq!(serde_json::from_str::<Value>(&ran.stdout).expect("JSON")["accepted"], false);
    let said = ran.error();
    let refused = "Reset was not accepted: the charger has answered Rejected; for more: chargehook why cmd_";
    assert!(said.contains(refused), "{said}");
    let wrong = run(&gateway, &["command", "CP_1", "Reset", r#"{"type": "Gentle"}"#]).await.error();
    assert!(wrong.contains("payload.type: "), "{wrong}");
}

#[tokio::test]
async fn the_key_is_taken_from_where_it_is_given() {
    let gateway = start(|_| {}).await;
    let directory = tempfile::tempdir().expect("a directory");
    let list = |options: Vec<String>| {
        let mut command = program();
        command.env_clear().current_dir(directory.path()).args(["stations", "list"]).args(options);
        // A container may have no certificates at all.
        command.env("SSL_CERT_FILE", "/nowhere").env("SSL_CERT_DIR", "/nowhere");
        async move { tokio::task::spawn_blocking(move || command.output()).await.expect("runs").expect("runs") }
    };
    let there = |more: &[&str]| {
        [&["--url", &gateway.url("")], more].concat().into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(list(there(&[])).await.status.code(), Some(2), "no key anywhere");
    std::fs::create_dir(directory.path().join("data")).expect("made");
    std::fs::write(directory.path().join("data/admin-key"), format!("{ADMIN_KEY}\n")).expect("written");
    assert_eq!(list(there(&[])).await.status.code(), Some(0), "the default data directory's");
    assert_eq!(list(there(&["--data-dir", "elsewhere"])).await.status.code(), Some(2));
    let wrong = list(there(&["--api-key", "chk_wrong"])).await;
    assert_eq!(wrong.status.code(), Some(1), "what is given wins");
    assert!(String::from_utf8_lossy(&wrong.stderr).starts_with("error: 401 "), "{wrong:?}");
    let abroad = ["--url", "http://192.0.2.1:8080"].map(str::to_owned).to_vec();
    assert_eq!(list(abroad).await.status.code(), Some(2), "this machine's key is not sent elsewhere");
}

#[tokio::test]
async fn whoever_has_seen_enough_may_hang_up() {
    let gateway = start(|_| {}).await;
    let receiver = Receiver::always(Answer::Status(200)).await;
    let follow = ["events", "list", "--follow", "--json"];
    let mut child = program()
        .env_clear()
        .args(follow)
        .args(["--url", &gateway.url(""), "--api-key", ADMIN_KEY])
        .stdout(Stdio::piped())
        .spawn()
        .expect("starts");
    drop(child.stdout.take());
    webhook(&gateway, &receiver.url, json!({})).await;
    let code = eventually("it ends by itself", || {
        let ended = child.try_wait().expect("is ours");
        let gateway = &gateway;
        async move {
            if ended.is_none() {
                bring(gateway, "invoice.paid", 1).await;
            }
            ended
        }
    });
    assert_eq!(code.await.code(), Some(0));
}
