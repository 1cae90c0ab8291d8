//! Everything at a glance: each count, and each thing that needs a person.

use std::sync::atomic::Ordering;
use std::time::Duration;

use rcgen::{KeyPair, date_time_ymd};
use serde_json::{Value, json};
use vocabulary::clock::{Clock, Timestamp};
use vocabulary::units::ByteSize;

use crate::deliveries::webhook;
use crate::harness::{ADMIN_KEY, Charger, Running, eventually, http_client, start, start_by};
use crate::operator::run;
use crate::passwords::knock;
use crate::replays::{beats, changeable};
use crate::tls::Place;
use chargehook::station::Admission;

/// The overview, once it is as `is` wants it: it is counted anew once a second only.
async fn once(gateway: &Running, what: &str, is: impl Fn(&Value) -> bool) -> Value {
    once_of(gateway, "/overview", what, is).await
}

async fn once_of(gateway: &Running, path: &str, what: &str, is: impl Fn(&Value) -> bool) -> Value {
    let mut last = Value::Null;
    let began = std::time::Instant::now();
    loop {
        let overview = gateway.get(path).await;
        if is(&overview) {
            return overview;
        }
        assert!(began.elapsed() < crate::harness::DEADLINE, "{what}: {last:#}");
        last = overview;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// What needs a person, by kind: texts and causes.
fn kinds(overview: &Value) -> Vec<&str> {
    let entries = overview["attention"].as_array().expect("a list").iter();
    entries.map(|entry| entry["kind"].as_str().expect("a word")).collect()
}

fn entry<'a>(overview: &'a Value, kind: &str) -> &'a Value {
    let entries = overview["attention"].as_array().expect("a list");
    entries.iter().find(|entry| entry["kind"] == kind).unwrap_or_else(|| panic!("no {kind}: {overview:#}"))
}

async fn make(gateway: &Running, path: &str, body: Value) {
    let (status, made) = gateway.api("POST", path, Some(body)).await;
    assert_eq!(status, 201, "{made}");
}

async fn status(charger: &mut Charger, connector: i64, status: &str, code: &str) {
    let body = json!({"connectorId": connector, "status": status, "errorCode": code, "info": "a word"});
    charger.call("StatusNotification", body).await;
}

/// Starts a session; its number.
async fn started(charger: &mut Charger, meter: i64) -> i64 {
    let now = Clock::System.now();
    let body = json!({"connectorId": 1, "idTag": "TAG", "meterStart": meter, "timestamp": now});
    charger.call("StartTransaction", body).await["transactionId"].as_i64().expect("a number")
}

async fn power(charger: &mut Charger, transaction: i64, power_w: i64) {
    let sampled = json!([{"value": power_w.to_string(), "measurand": "Power.Active.Import", "unit": "W"}]);
    let values = json!([{"timestamp": Clock::System.now(), "sampledValue": sampled}]);
    let body = json!({"connectorId": 1, "transactionId": transaction, "meterValue": values});
    charger.call("MeterValues", body).await;
}

async fn stopped(charger: &mut Charger, transaction: i64, meter: i64) {
    let body = json!({"transactionId": transaction, "meterStop": meter, "timestamp": Clock::System.now()});
    charger.call("StopTransaction", body).await;
}

#[tokio::test]
async fn an_empty_gateway_needs_nobody() {
    let gateway = start(|_| {}).await;
    let overview = gateway.get("/overview").await;
    let none =
        json!({"total": 0, "connected": 0, "offline": 0, "never_connected": 0, "pending": 0, "blocked": 0});
    assert_eq!((&overview["stations"], &overview["connectors"]), (&none, &json!({})));
    let none = json!({"waiting": 0, "in_flight": 0, "oldest_waiting_s": null, "succeeded_24h": 0, "failed_24h": 0,
        "dead_letters": 0});
    assert_eq!((&overview["deliveries"], &overview["attention"]), (&none, &json!([])));
    assert_eq!(overview["webhooks"], json!({"total": 0, "failing": 0, "paused": 0, "disabled": 0}));
    assert_eq!(overview["version"], env!("CARGO_PKG_VERSION"));
    assert!(overview["storage"]["used_bytes"].as_u64() > Some(0), "{overview}");
    assert!(overview["storage"]["free_bytes"].as_u64() > Some(0), "{overview}");
    assert!(overview["uptime_s"].as_u64() < Some(60), "{overview}");
    for (query, field) in [("time_zone=Mars", "time_zone"), ("limit=5", "limit"), ("owner_id=", "owner_id")] {
        let (status, problem) = gateway.api("GET", &format!("/overview?{query}"), None).await;
        assert_eq!((status, &problem["errors"][0]["field"]), (422, &json!(field)), "{problem}");
    }
    let told = run(&gateway, &["status"]).await.out();
    assert!(told.contains("Nothing needs you."), "{told}");
}

#[tokio::test]
async fn each_station_is_in_every_count_that_fits() {
    let gateway = start(|_| {}).await;
    for (id, more) in [
        ("NEVER", json!({})),
        ("BLOCKED", json!({"blocked": true})),
        ("PENDING", json!({"boot_status": "pending"})),
    ] {
        let mut body = json!({"station_id": id});
        body.as_object_mut().expect("members").extend(more.as_object().expect("members").clone());
        make(&gateway, "/stations", body).await;
    }
    let mut first = gateway.booted("CP_1").await;
    let mut second = gateway.booted("CP_2").await;
    let gone = gateway.booted("CP_3").await;
    let mut pending = gateway.charger("PENDING").await;
    assert_eq!(pending.boot().await, "Pending");
    for (connector, state) in [(0, "Available"), (1, "Charging"), (2, "Available")] {
        status(&mut first, connector, state, "NoError").await;
    }
    status(&mut second, 1, "Faulted", "GroundFailure").await;
    drop(gone);
    let expected =
        json!({"total": 6, "connected": 3, "offline": 1, "never_connected": 2, "pending": 1, "blocked": 1});
    let overview = once(&gateway, "all are counted", |overview| overview["stations"] == expected).await;
    assert_eq!(overview["connectors"], json!({"Charging": 1, "Available": 1, "Faulted": 1}));
    assert_eq!(kinds(&overview), ["connector_faulted", "station_offline", "boot_pending"]);
    let faulted = entry(&overview, "connector_faulted");
    assert_eq!(faulted["subject"], json!({"type": "connector", "id": "CP_2/1"}));
    assert_eq!(faulted["text"], "Connector 1 of CP_2 is faulted: GroundFailure");
    assert!(faulted["cause"].as_str().is_some_and(|cause| cause.contains("\"a word\"")), "{faulted}");
    assert!(faulted["since"].is_string(), "{faulted}");
    assert_eq!(entry(&overview, "station_offline")["subject"]["id"], "CP_3");
    assert_eq!(entry(&overview, "boot_pending")["subject"]["id"], "PENDING");
}

#[tokio::test]
async fn sessions_are_counted_with_their_power_and_the_energy_of_today() {
    let gateway = start(|_| {}).await;
    let (mut first, mut second) = (gateway.booted("CP_1").await, gateway.booted("CP_2").await);
    let ended = started(&mut first, 1_000).await;
    stopped(&mut first, ended, 2_500).await;
    let charging = started(&mut first, 2_500).await;
    power(&mut first, charging, 7_400).await;
    let other = started(&mut second, 10).await;
    power(&mut second, other, 11_000).await;
    let expected = |sessions: &Value| {
        sessions["active"] == 2 && sessions["power_w"] == 18_400 && sessions["energy_today_wh"] == 1_500
    };
    let overview = once(&gateway, "both are counted", |overview| expected(&overview["sessions"])).await;
    assert_eq!(overview["attention"], json!([]));
    assert!(overview["sessions"]["power_last_hour"].is_array());

    // A stop below the start, and a session that another one follows on its connector.
    stopped(&mut second, other, 2).await;
    started(&mut first, 9_000).await;
    let overview = once(&gateway, "both need a look", |overview| {
        kinds(overview) == ["energy_implausible", "session_orphaned"]
    })
    .await;
    assert_eq!(entry(&overview, "energy_implausible")["subject"]["id"], other.to_string());
    assert_eq!(entry(&overview, "session_orphaned")["subject"]["id"], charging.to_string());
    assert_eq!(overview["sessions"]["active"], 1, "an orphan charges nothing");
    assert_eq!(overview["sessions"]["energy_today_wh"], 1_500, "what is not metered is not added");
}

#[tokio::test]
async fn today_begins_where_one_is() {
    // Half past midnight in UTC.
    let now: Timestamp = "2026-07-15T00:30:00Z".parse().expect("a time");
    let gateway = start_by(Clock::manual(now), tempfile::tempdir().expect("a directory"), |_| {}).await;
    let mut charger = gateway.booted("CP").await;
    let start = json!({"connectorId": 1, "idTag": "T", "meterStart": 0, "timestamp": "2026-07-14T20:00:00Z"});
    let transaction = charger.call("StartTransaction", start).await["transactionId"].clone();
    let stop = json!({"transactionId": transaction, "meterStop": 700, "timestamp": "2026-07-14T23:00:00Z"});
    charger.call("StopTransaction", stop).await;
    for (query, energy_wh) in
        [("", 0), ("?time_zone=Europe/Berlin", 700), ("?time_zone=America/New_York", 700)]
    {
        let overview = gateway.get(&format!("/overview{query}")).await;
        assert_eq!(overview["sessions"]["energy_today_wh"], energy_wh, "{query}");
    }
}

#[tokio::test]
async fn deliveries_and_webhooks_are_counted_and_those_that_fail_say_why() {
    let gateway = start(|_| {}).await;
    let (receiver, answer) = changeable(200).await;
    let hook = webhook(
        &gateway,
        &receiver.url,
        json!({"name": "CRM", "retry_schedule": ["1s"], "max_in_flight": 1}),
    )
    .await;
    let paused = webhook(&gateway, &receiver.url, json!({"events": ["a.b"]})).await;
    assert_eq!(gateway.api("POST", &format!("/webhooks/{}/pause", paused["id"]), None).await.0, 200);
    let mut charger = gateway.booted("CP").await;
    beats(&mut charger, 3).await;
    let well =
        once(&gateway, "all have arrived", |overview| overview["deliveries"]["succeeded_24h"] == 3).await;
    assert_eq!(well["webhooks"], json!({"total": 2, "failing": 0, "paused": 1, "disabled": 0}));
    assert_eq!((&well["deliveries"]["waiting"], &well["attention"]), (&json!(0), &json!([])));

    answer.store(500, Ordering::SeqCst);
    beats(&mut charger, 6).await;
    let failing = once(&gateway, "the breaker is open", |overview| {
        overview["webhooks"]["failing"] == 1 && overview["deliveries"]["waiting"].as_u64() > Some(0)
    })
    .await;
    assert!(failing["deliveries"]["oldest_waiting_s"].is_u64(), "{failing}");
    let told = entry(&failing, "webhook_failing");
    assert_eq!((&told["severity"], &told["text"]), (&json!("bad"), &json!("Webhook CRM fails")));
    assert_eq!(told["subject"], json!({"type": "webhook", "id": hook["id"].to_string()}));
    let cause = told["cause"].as_str().expect("a sentence");
    assert!(cause.contains("http_status") && cause.contains("it will be disabled at"), "{cause}");
    once(&gateway, "some are dead letters", |overview| {
        let dead = &overview["deliveries"];
        dead["dead_letters"].as_u64() > Some(0) && dead["dead_letters"] == dead["failed_24h"]
    })
    .await;

    answer.store(410, Ordering::SeqCst);
    // At once: the next probe of the open breaker may be far.
    let dead = gateway.get("/failed-deliveries?limit=1").await["data"][0]["id"].clone();
    let again = format!("/deliveries/{}/resend", dead.as_str().expect("a dead letter"));
    assert_eq!(gateway.api("POST", &again, None).await.0, 202);
    let gone = once(&gateway, "it is disabled", |overview| overview["webhooks"]["disabled"] == 1).await;
    assert_eq!(gone["webhooks"]["failing"], 0, "nothing is sent to it");
    let told = entry(&gone, "webhook_disabled");
    assert!(told["cause"].as_str().is_some_and(|cause| cause.contains("410 Gone")), "{told}");
    let screen = run(&gateway, &["status"]).await.out();
    for words in
        ["2 (0 failing, 1 paused, 1 disabled)", "!! Webhook CRM was disabled by the gateway", "3 arrived"]
    {
        assert!(screen.contains(words), "{words} in\n{screen}");
    }
    let json: Value = serde_json::from_str(&run(&gateway, &["status", "--json"]).await.out()).expect("JSON");
    assert_eq!(json["webhooks"], gone["webhooks"]);
}

#[tokio::test]
async fn stations_of_a_site_that_leave_together_are_one_entry() {
    let gateway = start(|_| {}).await;
    let mut chargers = Vec::new();
    for nth in 0..6 {
        let id = format!("CP_{nth}");
        make(&gateway, "/stations", json!({"station_id": id, "site": "P4"})).await;
        let mut charger = gateway.booted(&id).await;
        charger.still_serves().await;
        chargers.push(charger);
    }
    drop(chargers);
    let overview = once(&gateway, "all have left", |overview| overview["stations"]["offline"] == 6).await;
    assert_eq!(kinds(&overview), ["stations_offline"]);
    let told = entry(&overview, "stations_offline");
    assert_eq!((&told["severity"], &told["count"]), (&json!("bad"), &json!(6)));
    assert_eq!(told["subject"], json!({"type": "site", "id": "P4"}));
    let cause = told["cause"].as_str().expect("a sentence");
    assert!(cause.starts_with("All six left ") && cause.contains("the site's uplink"), "{cause}");
    assert_eq!(told["ids"].as_array().map(Vec::len), Some(6));
}

#[tokio::test]
async fn oddities_and_the_disk_need_somebody() {
    let gateway = start(|config| config.server.warn_free_space = ByteSize(u64::MAX)).await;
    let mut charger = gateway.booted("CP").await;
    let ahead = Clock::System.now().after(Duration::from_secs(7_200));
    let body = json!({"connectorId": 1, "status": "Available", "errorCode": "NoError", "timestamp": ahead});
    charger.call("StatusNotification", body).await;
    let overview =
        once(&gateway, "both are told", |overview| kinds(overview) == ["disk_nearly_full", "clock_wrong"])
            .await;
    let cause = entry(&overview, "clock_wrong")["cause"].as_str().expect("a sentence");
    assert!(cause.contains("ahead"), "{cause}");
}

#[tokio::test]
async fn a_certificate_that_has_expired_needs_somebody() {
    let place = Place::new();
    let well = start(|config| place.encrypt(config)).await;
    assert_eq!(well.get("/overview").await["attention"], json!([]));
    let key = KeyPair::generate().expect("a key");
    let expired = place.servers.sign(&key, |params| {
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
    });
    place.write("ecdsa", &expired);
    let gateway = start(|config| place.encrypt(config)).await;
    let overview = gateway.get("/overview").await;
    let told = entry(&overview, "certificate_expires");
    assert_eq!((&told["severity"], &told["since"]), (&json!("bad"), &json!("2021-01-01T00:00:00.000Z")));
    assert_eq!(told["subject"], json!({"type": "certificate", "id": "the OCPP listener"}));
}

#[tokio::test]
async fn whoever_is_refused_needs_somebody_until_it_is_let_in() {
    let gateway = start(|config| config.stations.unknown = Admission::Reject).await;
    make(
        &gateway,
        "/stations",
        json!({"station_id": "CP", "password": "the right password", "owner_id": "a"}),
    )
    .await;
    for _ in 0..3 {
        assert_eq!(knock(&gateway, "a wrong password").await, 401);
    }
    assert!(Charger::connect(gateway.ocpp(), "/ocpp/STRANGER", &[]).await.is_err());
    let is_told = |overview: &Value| kinds(overview).len() == 2;
    let overview = once(&gateway, "both are told", is_told).await;
    let told: Vec<_> = overview["attention"].as_array().expect("a list").iter().collect();
    for (entry, severity, id, cause) in [
        (
            told[0],
            "warn",
            "CP",
            "Its password is missing or is not the one that is registered here; it was refused 3",
        ),
        (told[1], "info", "STRANGER", "No such station is registered"),
    ] {
        assert_eq!((&entry["severity"], &entry["subject"]["id"]), (&json!(severity), &json!(id)), "{entry}");
        assert_eq!(entry["kind"], "refused_handshakes");
        assert!(
            entry["since"].is_string() && entry["cause"].as_str().expect("a text").starts_with(cause),
            "{entry}"
        );
    }
    // Its owner is told of the station, and of no stranger.
    let own = once_of(&gateway, "/overview?owner_id=a", "its own", |own| kinds(own).len() == 1).await;
    assert_eq!(entry(&own, "refused_handshakes")["subject"]["id"], "CP");
    assert_eq!(knock(&gateway, "the right password").await, 101);
    // It has come in, and gone.
    let offline = |overview: &Value| kinds(overview).contains(&"station_offline");
    let overview = once(&gateway, "it came in", offline).await;
    assert_eq!(entry(&overview, "refused_handshakes")["subject"]["id"], "STRANGER");
    assert_eq!(kinds(&overview).len(), 2, "{overview:#}");
}

#[tokio::test]
async fn an_owner_sees_its_own_numbers() {
    let gateway = start(|config| config.server.warn_free_space = ByteSize(u64::MAX)).await;
    let (receiver, _) = changeable(200).await;
    for owner in ["a", "b"] {
        let id = format!("CP_{owner}");
        make(&gateway, "/stations", json!({"station_id": id, "owner_id": owner})).await;
        webhook(&gateway, &receiver.url, json!({"owner_id": owner})).await;
        let mut charger = gateway.booted(&id).await;
        beats(&mut charger, if owner == "a" { 1 } else { 2 }).await;
        status(&mut charger, 1, "Charging", "NoError").await;
        let session = started(&mut charger, 0).await;
        power(&mut charger, session, if owner == "a" { 1_000 } else { 2_000 }).await;
        // They leave, one by one.
        drop(charger);
        let path = format!("/stations/{id}");
        eventually("it has left", || async {
            (gateway.get(&path).await["connected"] == false).then_some(())
        })
        .await;
    }
    let all = once(&gateway, "all is counted", |overview| {
        overview["stations"]["offline"] == 2 && overview["deliveries"]["succeeded_24h"] == 3
    })
    .await;
    assert_eq!((&all["sessions"]["power_w"], &all["webhooks"]["total"]), (&json!(3_000), &json!(2)));
    let key = json!({"name": "k", "scopes": ["read"], "owner_id": "a"});
    let (_, key) = gateway.api("POST", "/api-keys", Some(key)).await;
    let get = async |path: &str, key: &str| {
        let request = http_client().get(gateway.url(&format!("/api/v1{path}"))).header("X-API-Key", key);
        let response = request.send().await.expect("answers");
        (response.status().as_u16(), response.json::<Value>().await.expect("JSON"))
    };
    let key = key["key"].as_str().expect("shown once");
    let (_, own) = get("/overview", key).await;
    assert_eq!((&own["stations"]["total"], &own["stations"]["offline"]), (&json!(1), &json!(1)));
    assert_eq!((&own["sessions"]["active"], &own["sessions"]["power_w"]), (&json!(1), &json!(1_000)));
    assert_eq!((&own["deliveries"]["succeeded_24h"], &own["webhooks"]["total"]), (&json!(1), &json!(1)));
    assert_eq!(own["connectors"], json!({"Charging": 1}));
    assert_eq!(own["storage"], json!({"used_bytes": null, "free_bytes": null}));
    assert_eq!(kinds(&own), ["station_offline"], "of the disk it is told nothing");
    assert_eq!(entry(&own, "station_offline")["subject"]["id"], "CP_a");
    let (status, same) = get("/overview?owner_id=a", ADMIN_KEY).await;
    assert_eq!((status, &same["stations"]), (200, &own["stations"]));
    assert_eq!(get("/overview?owner_id=b", key).await.0, 403);
}
