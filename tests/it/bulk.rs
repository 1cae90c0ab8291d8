//! Commands to many stations, from the API to the chargers and back.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tls::Stream;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::crash::Place;
use crate::harness::{Charger, Running, call, eventually, http_client, start};
use crate::operator::run;

/// Chargers that answer every call, come back when they are cut off, and what they were asked and when.
struct Fleet {
    calls: Arc<Mutex<Vec<(String, String, Instant)>>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Fleet {
    fn start(ocpp: SocketAddr, ids: &[String]) -> Self {
        let calls = Arc::new(Mutex::new(Vec::new()));
        let tasks = ids
            .iter()
            .map(|id| {
                let (id, calls) = (id.clone(), calls.clone());
                tokio::spawn(async move {
                    loop {
                        serve(ocpp, &id, &calls).await;
                        // The gateway may be down for a while.
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                })
            })
            .collect();
        Self { calls, tasks }
    }

    /// The same, once each of them has booted.
    async fn booted(gateway: &Running, ids: &[String]) -> Self {
        let fleet = Self::start(gateway.ocpp(), ids);
        are_booted(gateway.gateway.api_addr(), ids.len()).await;
        fleet
    }

    /// How often each was called.
    fn times(&self) -> BTreeMap<String, usize> {
        let mut times = BTreeMap::new();
        for (id, ..) in self.calls.lock().expect("sound").iter() {
            *times.entry(id.clone()).or_default() += 1;
        }
        times
    }
}

/// One connection of a charger, until it ends.
async fn serve(ocpp: SocketAddr, id: &str, calls: &Mutex<Vec<(String, String, Instant)>>) {
    let Ok(stream) = TcpStream::connect(ocpp).await else { return };
    let url = format!("ws://{ocpp}/ocpp/{id}");
    let protocol = [("Sec-WebSocket-Protocol", "ocpp1.6")];
    let Some(Ok(mut charger)) = Charger::attempt(Stream::Plain(stream), &url, &protocol).await else {
        return;
    };
    let boot = json!([2, "boot", "BootNotification", {"chargePointVendor": "V", "chargePointModel": "M"}]);
    charger.send(&boot.to_string()).await;
    while let Some(text) = charger.receive_or_closed().await {
        let frame: Value = serde_json::from_str(&text).expect("JSON");
        if frame[0] == 2 {
            let action = frame[2].as_str().expect("a text").to_owned();
            calls.lock().expect("sound").push((id.to_owned(), action, Instant::now()));
            let verdict = if id.ends_with("_NO") { "Rejected" } else { "Accepted" };
            charger.send(&json!([3, frame[1], {"status": verdict}]).to_string()).await;
        }
    }
}

async fn are_booted(api: SocketAddr, count: usize) {
    eventually("all have booted", || async {
        let (_, page) = call(&http_client(), api, "GET", "/stations?connected=true&limit=500", None).await;
        let rows = page["data"].as_array().expect("rows");
        let booted = rows.iter().filter(|station| station["vendor"] == "V").count();
        (booted == count).then_some(())
    })
    .await;
}

fn names(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|n| format!("{prefix}_{n:02}")).collect()
}

async fn request(gateway: &Running, body: Value) -> Value {
    let (status, bulk) = gateway.api("POST", "/bulk-commands", Some(body)).await;
    assert_eq!(status, 202, "{bulk}");
    bulk
}

fn path(bulk: &Value) -> String {
    format!("/bulk-commands/{}", bulk["id"].as_str().expect("an id"))
}

async fn ended(gateway: &Running, bulk: &Value) -> Value {
    eventually("it ends", || async {
        let found = gateway.get(&path(bulk)).await;
        (!found["completed_at"].is_null()).then_some(found)
    })
    .await
}

/// `sent`, `accepted`, `rejected`, `failed`, `skipped`.
fn counts(bulk: &Value) -> [u64; 5] {
    ["sent", "accepted", "rejected", "failed", "skipped"].map(|name| bulk[name].as_u64().expect("a number"))
}

async fn results(gateway: &Running, bulk: &Value, query: &str) -> Vec<(String, Value, Value)> {
    let page = gateway.get(&format!("{}/stations{query}", path(bulk))).await;
    let rows = page["data"].as_array().expect("rows").iter();
    let shown = |row: &Value| {
        (row["station_id"].as_str().expect("a text").to_owned(), row["result"].clone(), row["reason"].clone())
    };
    rows.map(shown).collect()
}

#[tokio::test]
async fn each_station_is_sent_it_once_at_the_rate_and_what_comes_of_it_is_counted() {
    let gateway = start(|_| {}).await;
    let mut ids = names("CP", 14);
    ids.push("CP_NO".to_owned());
    let fleet = Fleet::booted(&gateway, &ids).await;
    let began = Instant::now();
    let body = json!({"stations": {"model": "M", "connected": true}, "action": "ClearCache", "rate": "10/s",
        "metadata": {"ticket": 7}});
    let bulk = request(&gateway, body).await;
    assert_eq!(
        (&bulk["status"], &bulk["matched"], &bulk["action"], &bulk["rate"], &bulk["offline"]),
        (&json!("running"), &json!(15), &json!("ClearCache"), &json!("10/s"), &json!("skip"))
    );
    assert_eq!(bulk["filter"], json!({"model": "M", "connected": true}));
    assert_eq!((&bulk["requested_by"]["name"], counts(&bulk)), (&json!("admin"), [0; 5]));
    let done = ended(&gateway, &bulk).await;
    assert_eq!((&done["status"], counts(&done)), (&json!("done"), [15, 14, 1, 0, 0]));
    assert!(began.elapsed() >= Duration::from_millis(1_400), "ten a second: {:?}", began.elapsed());
    for (nth, (.., at)) in fleet.calls.lock().expect("sound").iter().enumerate() {
        let most = at.duration_since(began).as_secs_f64() * 10.0 + 1.0;
        assert!(nth as f64 <= most, "{nth} at {:?}", at.duration_since(began));
    }
    assert_eq!(fleet.times(), ids.iter().map(|id| (id.clone(), 1)).collect());

    let commands = gateway.get(&format!("{}/commands?order=asc&limit=500", path(&bulk))).await;
    let commands = commands["data"].as_array().expect("rows");
    assert_eq!(commands.len(), 15);
    for command in commands {
        assert_eq!((&command["bulk_id"], &command["metadata"]), (&bulk["id"], &json!({"ticket": 7})));
        assert_eq!((&command["status"], &command["queue"]), (&json!("completed"), &json!(false)));
    }
    assert_eq!(gateway.get(&format!("{}/commands?status=queued", path(&bulk))).await["data"], json!([]));
    let of_one = gateway.get("/stations/CP_03/commands").await;
    assert_eq!(of_one["data"][0]["bulk_id"], bulk["id"]);
    let event = gateway.events_of("CP_03", "ClearCache").await.remove(0);
    assert_eq!(event["payload"]["metadata"], json!({"ticket": 7}));
    let rejected = results(&gateway, &bulk, "?result=rejected").await;
    assert_eq!(rejected, [("CP_NO".to_owned(), json!("rejected"), Value::Null)]);
    for list in ["", "?status=done&action=ClearCache&since=1h", "?limit=1"] {
        assert_eq!(gateway.get(&format!("/bulk-commands{list}")).await["data"], json!([done]), "{list}");
    }
    assert_eq!(gateway.get("/bulk-commands?status=running").await["data"], json!([]));
    let (status, problem) = gateway.api("POST", &format!("{}/cancel", path(&bulk)), None).await;
    assert_eq!(status, 409, "{problem}");
}

#[tokio::test]
async fn a_station_that_is_away_is_skipped_or_gets_it_when_it_is_back() {
    let gateway = start(|_| {}).await;
    let station = json!({"station_id": "NEVER"});
    assert_eq!(gateway.api("POST", "/stations", Some(station)).await.0, 201);
    drop(gateway.booted("AWAY").await);
    eventually("it is gone", || async {
        (gateway.get("/stations/AWAY").await["connected"] == false).then_some(())
    })
    .await;
    let _fleet = Fleet::booted(&gateway, &["HERE".to_owned()]).await;
    let body = |offline: &str| {
        json!({"stations": ["AWAY", "HERE", "NEVER"], "action": "Reset", "payload": {"type": "Soft"},
            "rate": "100/s", "offline": offline})
    };
    let skipped = ended(&gateway, &request(&gateway, body("skip")).await).await;
    assert_eq!((&skipped["status"], counts(&skipped)), (&json!("done"), [1, 1, 0, 0, 2]));
    let of = |station: &str, result: &str, reason: Value| (station.to_owned(), json!(result), reason);
    let away = json!("not_connected");
    assert_eq!(
        results(&gateway, &skipped, "").await,
        [
            of("AWAY", "skipped", away.clone()),
            of("HERE", "accepted", Value::Null),
            of("NEVER", "skipped", away)
        ]
    );

    let mut queue = body("queue");
    queue["expires_in"] = json!("2h");
    let queued = request(&gateway, queue).await;
    assert_eq!((&queued["expires_in"], &queued["filter"]), (&json!("2h"), &Value::Null));
    eventually("the one that is here has answered", || async {
        (counts(&gateway.get(&path(&queued)).await) == [1, 1, 0, 0, 0]).then_some(())
    })
    .await;
    assert_eq!(gateway.get(&path(&queued)).await["status"], "running", "two may still come");
    let waiting = results(&gateway, &queued, "?result=queued&order=desc").await;
    assert_eq!(waiting, [of("NEVER", "queued", Value::Null), of("AWAY", "queued", Value::Null)]);
    let _late = Fleet::booted_beside(&gateway, "AWAY").await;
    eventually("it gets it when it is back", || async {
        (counts(&gateway.get(&path(&queued)).await) == [2, 2, 0, 0, 0]).then_some(())
    })
    .await;
    // A station that is deleted takes its command along.
    assert_eq!(gateway.api("DELETE", "/stations/NEVER", None).await.0, 204);
    let done = ended(&gateway, &queued).await;
    assert_eq!((&done["status"], counts(&done)), (&json!("done"), [2, 2, 0, 0, 1]));
}

impl Fleet {
    async fn booted_beside(gateway: &Running, id: &str) -> Self {
        let fleet = Self::start(gateway.ocpp(), &[id.to_owned()]);
        eventually("it is back", || async {
            let (_, station) = gateway.api("GET", &format!("/stations/{id}"), None).await;
            (station["connected"] == true && station["vendor"] == "V").then_some(())
        })
        .await;
        fleet
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_in_the_middle_loses_no_station_and_sends_nothing_twice() {
    let dir = tempfile::tempdir().expect("a directory");
    let place = Place::new(dir.path());
    let process = place.serve();
    let http = http_client();
    let api = async |method: &str, path: &str, body: Option<Value>| {
        call(&http, place.api, method, path, body).await
    };
    let ids = names("KILL", 30);
    let fleet = Fleet::start(place.ocpp, &ids);
    are_booted(place.api, ids.len()).await;
    let body = json!({"stations": {}, "action": "ClearCache", "rate": "20/s"});
    let (status, bulk) = api("POST", "/bulk-commands", Some(body)).await;
    assert_eq!((status, &bulk["matched"]), (202, &json!(30)));
    eventually("some were sent", || async {
        (api("GET", &path(&bulk), None).await.1["sent"].as_u64() >= Some(8)).then_some(())
    })
    .await;
    process.kill();
    let process = tokio::task::block_in_place(|| place.serve());
    let before = fleet.times().len();
    assert!((8..30).contains(&before), "in the middle: {before}");
    let done = eventually("it ends", || async {
        let found = api("GET", &path(&bulk), None).await.1;
        (found["status"] == "done").then_some(found)
    })
    .await;
    // One that was under way at the kill has no answer on record; the station has obeyed it all the same.
    let [sent, accepted, rejected, failed, skipped] = counts(&done);
    assert_eq!((sent, accepted + failed, rejected, skipped), (30, 30, 0, 0), "{done}");
    assert!(failed <= 2, "{done}");
    let commands = api("GET", &format!("{}/commands?limit=500", path(&bulk)), None).await.1;
    let mut commanded: Vec<_> = commands["data"]
        .as_array()
        .expect("rows")
        .iter()
        .map(|row| row["station_id"].as_str().expect("a text"))
        .collect();
    commanded.sort_unstable();
    assert_eq!(commanded, ids, "one for each");
    assert!(fleet.times().values().all(|times| *times == 1), "{:?}", fleet.times());
    process.kill();
}

#[tokio::test]
async fn cancel_stops_what_is_not_sent() {
    let gateway = start(|_| {}).await;
    let ids = names("CP", 4);
    let fleet = Fleet::booted(&gateway, &ids).await;
    assert_eq!(gateway.api("POST", "/stations", Some(json!({"station_id": "AWAY"}))).await.0, 201);
    let body = json!({"stations": ["AWAY", "CP_00", "CP_01", "CP_02", "CP_03"], "action": "ClearCache",
        "rate": "60/m", "offline": "queue"});
    let bulk = request(&gateway, body).await;
    eventually("the first has it", || async {
        (counts(&gateway.get(&path(&bulk)).await) == [1, 1, 0, 0, 0]).then_some(())
    })
    .await;
    let (status, canceled) = gateway.api("POST", &format!("{}/cancel", path(&bulk)), None).await;
    assert_eq!((status, &canceled["status"]), (202, &json!("canceled")));
    let ended = ended(&gateway, &bulk).await;
    assert_eq!((&ended["status"], counts(&ended)), (&json!("canceled"), [1, 1, 0, 0, 4]));
    let rows = results(&gateway, &bulk, "?result=skipped").await;
    assert!(rows.len() == 4 && rows.iter().all(|(.., reason)| reason == "canceled"), "{rows:?}");
    let commands = gateway.get(&format!("{}/commands?status=canceled", path(&bulk))).await;
    assert_eq!(commands["data"].as_array().map(Vec::len), Some(1), "that of AWAY");
    assert_eq!(gateway.api("POST", &format!("{}/cancel", path(&bulk)), None).await.0, 409);
    // Another one goes on, and passes nobody twice.
    let body = json!({"stations": {"q": "CP_"}, "action": "ClearCache", "rate": "100/s"});
    let next = request(&gateway, body).await;
    assert_eq!(counts(&self::ended(&gateway, &next).await), [4, 4, 0, 0, 0]);
    assert_eq!(fleet.times()["CP_00"], 2);
    assert_eq!(fleet.times()["CP_03"], 1);
}

#[tokio::test]
async fn a_dry_run_counts_and_what_is_wrong_is_named_before_anything_is_sent() {
    let gateway = start(|_| {}).await;
    let fleet = Fleet::booted(&gateway, &names("CP", 3)).await;
    let count = async |stations: Value| {
        let body = json!({"stations": stations, "action": "ClearCache"});
        let (status, found) = gateway.api("POST", "/bulk-commands?dry_run=true", Some(body)).await;
        assert_eq!(status, 200, "{found}");
        found
    };
    for (stations, matched) in [
        (json!({}), 3),
        (json!({"vendor": "V", "model": "M", "since": "1h"}), 3),
        (json!({"vendor": "W"}), 0),
        (json!({"connected": false}), 0),
        (json!({"q": "cp_01"}), 1),
        (json!(["CP_01", "CP_02", "CP_01"]), 2),
    ] {
        assert_eq!(count(stations.clone()).await, json!({"matched": matched}), "{stations}");
    }
    let wrong = [
        (json!({"action": "ClearCache"}), vec!["stations"]),
        (json!({"stations": "CP_01", "action": "ClearCache"}), vec!["stations"]),
        (json!({"stations": [], "action": "ClearCache"}), vec!["stations"]),
        (
            json!({"stations": ["CP_01", "CP_1", "CP_02", "CP_2"], "action": "Rset"}),
            vec!["action", "stations.1", "stations.3"],
        ),
        (json!({"stations": ["CP_01", 7, "a/b"], "action": "ClearCache"}), vec!["stations.1", "stations.2"]),
        (
            json!({"stations": {"modle": "M", "blocked": "no", "since": "soon"}, "action": "ClearCache"}),
            vec!["stations.blocked", "stations.modle", "stations.since"],
        ),
        (
            json!({"stations": {}, "action": "Reset", "payload": {"type": "Gentle"}, "rate": "fast", "offline": "wait",
            "timeout": "1ms", "expires_in": "90d", "metadata": {"x": "y".repeat(17 << 10)}, "wait": true}),
            vec![
                "expires_in",
                "expires_in",
                "metadata",
                "offline",
                "payload.type",
                "rate",
                "timeout",
                "wait",
            ],
        ),
        (json!({"stations": {}, "action": "ClearCache", "expires_in": "1h"}), vec!["expires_in"]),
        (json!({"stations": {}, "action": "ClearCache", "rate": "0/s"}), vec!["rate"]),
    ];
    for (body, fields) in wrong {
        for query in ["", "?dry_run=true"] {
            let (status, problem) =
                gateway.api("POST", &format!("/bulk-commands{query}"), Some(body.clone())).await;
            assert_eq!(status, 422, "{body}: {problem}");
            let errors = problem["errors"].as_array().expect("errors").iter();
            let mut named: Vec<_> = errors.map(|error| error["field"].as_str().expect("a path")).collect();
            named.sort_unstable();
            assert_eq!(named, fields, "{body}: {problem}");
        }
    }
    let hint = json!({"stations": {"modle": "M"}, "action": "ClearCache"});
    let (_, problem) = gateway.api("POST", "/bulk-commands", Some(hint)).await;
    assert!(problem.to_string().contains("did you mean"), "{problem}");
    let (status, _) = gateway.api("GET", "/bulk-commands/blk_01jrs0m6nxk3v1c8d9e0f2g4h6", None).await;
    assert_eq!(status, 404);
    assert_eq!(gateway.get("/bulk-commands").await["data"], json!([]));
    assert_eq!(gateway.get("/commands").await["data"], json!([]));
    assert!(fleet.times().is_empty());

    // None at all is done at once.
    let none = request(&gateway, json!({"stations": {"vendor": "W"}, "action": "ClearCache"})).await;
    assert_eq!((&none["status"], &none["matched"]), (&json!("done"), &json!(0)));
    assert_eq!(none["completed_at"], none["created_at"]);
}

#[tokio::test]
async fn a_key_reaches_what_it_may_and_a_repeated_request_sends_nothing_again() {
    let gateway = start(|_| {}).await;
    for (station, owner) in [("A_1", "a"), ("A_2", "a"), ("B_1", "b")] {
        let station = json!({"station_id": station, "owner_id": owner});
        assert_eq!(gateway.api("POST", "/stations", Some(station)).await.0, 201);
    }
    let key = async |scopes: &[&str], owner: Option<&str>| {
        let body = json!({"name": "k", "scopes": scopes, "owner_id": owner});
        gateway.api("POST", "/api-keys", Some(body)).await.1["key"].as_str().expect("shown").to_owned()
    };
    let (of_a, of_b) =
        (key(&["command", "read"], Some("a")).await, key(&["command", "read"], Some("b")).await);
    let some = key(&["command:Clear*"], None).await;
    let post = async |key: &str, body: Value, once: &str| {
        let request = http_client().post(gateway.url("/api/v1/bulk-commands")).header("X-API-Key", key);
        let response = request.header("Idempotency-Key", once).json(&body).send().await.expect("answers");
        (response.status().as_u16(), response.json::<Value>().await.expect("JSON"))
    };
    let get = async |key: &str, path: &str| {
        let request = http_client().get(gateway.url(&format!("/api/v1{path}"))).header("X-API-Key", key);
        let response = request.send().await.expect("answers");
        (response.status().as_u16(), response.json::<Value>().await.expect("JSON"))
    };
    let clear = |stations: Value| json!({"stations": stations, "action": "ClearCache", "offline": "queue"});
    let (status, bulk) = post(&of_a, clear(json!({})), "1").await;
    assert_eq!((status, &bulk["matched"], &bulk["owner_id"]), (202, &json!(2), &json!("a")));
    assert_eq!(post(&of_a, clear(json!({})), "1").await.1["id"], bulk["id"], "the same answer again");
    let (status, problem) = post(&of_a, clear(json!(["A_1", "B_1"])), "2").await;
    assert_eq!((status, &problem["errors"][0]["field"]), (422, &json!("stations.1")), "{problem}");
    assert_eq!(post(&of_a, clear(json!({"owner_id": "b"})), "3").await.0, 403);
    assert_eq!(post(&some, clear(json!({})), "4").await.0, 202);
    let reset = json!({"stations": {}, "action": "Reset", "payload": {"type": "Soft"}});
    assert_eq!(post(&some, reset, "5").await.0, 403);
    eventually("both commands are queued", || async {
        let (_, page) = get(&of_a, &format!("{}/commands", path(&bulk))).await;
        (page["data"].as_array().map(Vec::len) == Some(2)).then_some(())
    })
    .await;
    assert_eq!(get(&of_a, "/bulk-commands").await.1["data"].as_array().map(Vec::len), Some(1));
    for own in ["", "/commands", "/stations"] {
        assert_eq!(get(&of_a, &format!("{}{own}", path(&bulk))).await.0, 200);
        assert_eq!(get(&of_b, &format!("{}{own}", path(&bulk))).await.0, 404);
    }
    assert_eq!(get(&of_b, "/bulk-commands").await.1["data"], json!([]));
    assert_eq!(gateway.get("/bulk-commands").await["data"].as_array().map(Vec::len), Some(2));
    let audit = gateway.get("/audit?action=bulk_commands_create&order=asc").await;
    assert_eq!(
        (&audit["data"][0]["resource"], &audit["data"][0]["result_id"], &audit["data"][0]["owner_id"]),
        (&json!("bulk-commands"), &bulk["id"], &json!("a"))
    );
}

#[tokio::test]
async fn a_password_for_many_is_shown_nowhere() {
    const KEY: &str = "4142434445464748495051525354555657585960";
    let gateway = start(|_| {}).await;
    let _fleet = Fleet::booted(&gateway, &names("CP", 2)).await;
    let body = json!({"stations": {}, "action": "ChangeConfiguration", "rate": "30/m",
        "payload": {"key": "AuthorizationKey", "value": KEY}});
    let bulk = request(&gateway, body).await;
    assert_eq!(bulk["payload"], json!({"key": "AuthorizationKey", "value": "***"}));
    eventually("the first has it", || async {
        (counts(&gateway.get(&path(&bulk)).await)[1] == 1).then_some(())
    })
    .await;
    for file in std::fs::read_dir(gateway.database().parent().expect("a directory"))
        .expect("a directory")
        .map(|file| file.expect("a file").path())
    {
        let bytes = std::fs::read(&file).unwrap_or_default();
        assert!(!bytes.windows(KEY.len()).any(|window| window == KEY.as_bytes()), "{}", file.display());
    }
    for shown in ["/commands", "", "/stations"] {
        let shown = gateway.get(&format!("{}{shown}", path(&bulk))).await.to_string();
        assert!(!shown.contains(KEY), "{shown}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_sends_a_command_to_many_and_follows_it() {
    let gateway = start(|_| {}).await;
    let mut ids = names("CP", 3);
    let _fleet = Fleet::booted(&gateway, &ids).await;
    let reset = r#"{"type": "Soft"}"#;
    let would = run(&gateway, &["command", "--model", "M", "--dry-run", "Reset", reset]).await.out();
    assert_eq!(would, "it would be sent to 3 stations\n");
    let line = ["command", "--all", "--rate", "50/s", "Reset", reset];
    let done = run(&gateway, &[line.as_slice(), &["--json"]].concat()).await.json();
    assert_eq!((&done["status"], counts(&done)), (&json!("done"), [3, 3, 0, 0, 0]));
    let id = done["id"].as_str().expect("an id");
    let shown = run(&gateway, &["bulk", "show", id]).await.out();
    assert!(shown.contains("accepted:") && shown.contains("50/s"), "{shown}");
    let listed = run(&gateway, &["bulk", "list", "--status", "done"]).await.out();
    assert!(listed.contains(id) && listed.contains("3/3"), "{listed}");
    let stations = run(&gateway, &["bulk", "stations", id, "--result", "accepted"]).await.out();
    assert!(ids.iter().all(|id| stations.contains(id.as_str())), "{stations}");
    assert!(run(&gateway, &["bulk", "commands", id]).await.out().contains("cmd_"));
    assert!(run(&gateway, &["bulk", "cancel", id]).await.error().contains("409"));

    ids.push("CP_NO".to_owned());
    let _another = Fleet::booted_beside(&gateway, "CP_NO").await;
    let line = ["command", "--station", "CP_00", "--station", "CP_NO", "--rate", "50/s", "Reset", reset];
    let told = run(&gateway, &line).await.error();
    assert!(told.contains("1 stations have not accepted Reset"), "{told}");
    let line = ["command", "--station", "NOBODY", "--no-wait", "ClearCache"];
    assert!(run(&gateway, &line).await.error().contains("stations.0"));
    for (line, words) in [
        (["command", "--all", "--model", "M", "Reset"].as_slice(), "--all"),
        (&["command", "--all", "CP_1", "Reset", reset], "one word too many"),
        (&["command", "CP_00", "Reset", reset, "--rate", "1/s"], "--rate is for many"),
        (&["command", "--all", "--queue", "ClearCache"], "--offline queue"),
        (&["command", "CP_00"], "what is asked"),
    ] {
        let ran = run(&gateway, line).await;
        assert_eq!(ran.code, Some(2), "{line:?}: {ran:?}");
        assert!(ran.stderr.contains(words), "{line:?}: {}", ran.stderr);
    }
}
