//! A fleet as its operator looks at it: where stations stand, which are away and since when, what they last
//! complained of, which connectors are free.

use std::time::Duration;

use chargehook::client::Client;
use chargehook::config::Config;
use serde_json::{Value, json};
use vocabulary::clock::Clock;
use vocabulary::units::Span;

use crate::golden::NOW;
use crate::harness::{ADMIN_KEY, Charger, Running, eventually, http_client, start, start_by};
use crate::operator::{field, row, run};

async fn import(gateway: &Running, content_type: &str, body: &str) -> Value {
    let request = http_client().post(gateway.url("/api/v1/stations/import"));
    let request = request.header("X-API-Key", ADMIN_KEY).header("Content-Type", content_type);
    request.body(body.to_owned()).send().await.expect("answers").json().await.expect("JSON")
}

/// The stations that a list shows, in its order.
async fn found(gateway: &Running, query: &str) -> Vec<String> {
    let page = gateway.get(&format!("/stations?{query}")).await;
    let rows = page["data"].as_array().unwrap_or_else(|| panic!("{query}: {page}"));
    rows.iter().map(|row| row["station_id"].as_str().expect("an identity").to_owned()).collect()
}

#[tokio::test]
async fn stations_have_a_site_that_is_written_imported_and_filtered_by() {
    let gateway = start(|_| {}).await;
    let (status, made) =
        gateway.api("POST", "/stations", Some(json!({"station_id": "A", "site": "Harbour"}))).await;
    assert_eq!((status, &made["site"]), (201, &json!("Harbour")));
    let told = import(&gateway, "text/csv", "station_id,site\nB,Harbour\nC,12\nD,\n").await;
    assert!(told["data"].as_array().expect("rows").iter().all(|row| row["result"] == "created"), "{told}");
    assert_eq!(found(&gateway, "site=Harbour").await, ["B", "A"]);
    assert_eq!(found(&gateway, "site=12").await, ["C"], "a text, also where it looks like a number");
    assert_eq!(gateway.get("/stations/D").await["site"], Value::Null);
    let (_, moved) = gateway.api("PATCH", "/stations/A", Some(json!({"site": "Yard"}))).await;
    assert_eq!(moved["site"], "Yard");
    let (_, named) = gateway.api("PATCH", "/stations/A", Some(json!({"name": "Left"}))).await;
    assert_eq!(named["site"], "Yard", "another change leaves it as it is");
    let told = import(&gateway, "application/json", r#"[{"station_id": "B", "site": null}]"#).await;
    assert_eq!(told["data"][0]["result"], "updated");
    assert_eq!(gateway.get("/stations/B").await["site"], Value::Null);
    for wrong in [json!(""), json!(7), json!("x".repeat(201))] {
        let (status, told) = gateway.api("PATCH", "/stations/A", Some(json!({"site": wrong}))).await;
        assert_eq!((status, &told["errors"][0]["field"]), (422, &json!("site")));
    }
}

/// Waits until the station is as `is` says.
async fn becomes(gateway: &Running, station: &str, what: &str, is: impl Fn(&Value) -> bool) -> Value {
    eventually(&format!("{station} is {what}"), || async {
        let shown = gateway.get(&format!("/stations/{station}")).await;
        is(&shown).then_some(shown)
    })
    .await
}

#[tokio::test]
async fn a_station_tells_since_when_it_is_away_and_why() {
    let gateway = start(|_| {}).await;
    gateway.api("POST", "/stations", Some(json!({"station_id": "CP"}))).await;
    let never = gateway.get("/stations/CP").await;
    for field in ["disconnected_at", "disconnect_reason", "offline_since"] {
        assert_eq!(never[field], Value::Null, "{field}: it never came");
    }
    let charger = gateway.booted("CP").await;
    assert_eq!(gateway.get("/stations/CP").await["offline_since"], Value::Null);
    drop(charger);
    let away = becomes(&gateway, "CP", "away", |shown| shown["connected"] == false).await;
    assert!(away["disconnected_at"].is_string(), "{away}");
    assert_eq!(away["offline_since"], away["disconnected_at"]);
    assert_eq!(away["disconnect_reason"], "connection_lost");

    let before = gateway.booted("CP").await;
    let back = gateway.get("/stations/CP").await;
    assert_eq!(back["offline_since"], Value::Null);
    assert_eq!(back["disconnected_at"], away["disconnected_at"], "the last time, also while it is back");
    let mut taken_over = gateway.booted("CP").await;
    taken_over.still_serves().await;
    drop(before);
    let still = gateway.get("/stations/CP").await;
    assert_eq!(
        (&still["disconnected_at"], &still["disconnect_reason"], &still["offline_since"]),
        (&away["disconnected_at"], &away["disconnect_reason"], &Value::Null),
        "it was not away while another connection took over"
    );
    gateway.api("POST", "/stations/CP/disconnect", None).await;
    let asked = becomes(&gateway, "CP", "away", |shown| shown["connected"] == false).await;
    assert_eq!(asked["disconnect_reason"], "requested");
    assert!(asked["disconnected_at"].as_str() >= away["disconnected_at"].as_str());
}

fn impatient(config: &mut Config) {
    config.stations.offline_after = Some(Span(Duration::from_secs(1)));
    config.ocpp.ping_interval = Span(Duration::ZERO);
}

#[tokio::test]
async fn a_silent_station_is_away_since_its_last_message_though_its_socket_is_open() {
    let gateway = start(impatient).await;
    let mut charger = gateway.booted("CP").await;
    let silent = becomes(&gateway, "CP", "silent", |shown| shown["offline_since"].is_string()).await;
    assert_eq!((&silent["connected"], &silent["disconnected_at"]), (&json!(true), &Value::Null));
    assert_eq!(silent["offline_since"], silent["last_seen_at"]);
    assert_eq!(found(&gateway, "online=true").await, Vec::<String>::new());
    assert_eq!(found(&gateway, "online=false&connected=true").await, ["CP"]);
    charger.still_serves().await;
    becomes(&gateway, "CP", "heard of", |shown| shown["offline_since"].is_null()).await;
    let silent = becomes(&gateway, "CP", "silent", |shown| shown["offline_since"].is_string()).await;
    drop(charger);
    let gone = becomes(&gateway, "CP", "gone", |shown| shown["connected"] == false).await;
    assert_eq!(gone["offline_since"], silent["offline_since"], "it was away before its socket was");
    assert!(gone["disconnected_at"].as_str() > gone["offline_since"].as_str());
}

#[tokio::test]
async fn stations_are_found_by_how_they_are_and_by_their_metadata() {
    let gateway = start(|_| {}).await;
    for (id, metadata) in [
        ("A", json!({"zone": "7", "pole": {"no": 1}})),
        ("B", json!({"zone": 7, "note": "50%_\"\\ é"})),
        ("C", json!({"inner": {"zone": 7}, "a.b": true})),
    ] {
        gateway.api("POST", "/stations", Some(json!({"station_id": id, "metadata": metadata}))).await;
    }
    let _here = gateway.booted("B").await;
    drop(gateway.booted("C").await);
    becomes(&gateway, "C", "away", |shown| shown["connected"] == false).await;
    for (query, expected) in [
        ("online=true", vec!["B"]),
        ("online=false", vec!["C", "A"]),
        ("never_connected=true", vec!["A"]),
        ("never_connected=false", vec!["C", "B"]),
        ("metadata.zone=7", vec!["B", "A"]),
        ("metadata.zone=7&online=true", vec!["B"]),
        ("metadata.zone=07", vec![]),
        ("metadata.a.b=true", vec!["C"]),
        ("metadata.pole=%7B%22no%22%3A1%7D", vec!["A"]),
        ("metadata.note=50%25_%22%5C%20%C3%A9", vec!["B"]),
        ("metadata.note=50%25%25%22%5C%20%C3%A9", vec![]),
        ("metadata.zone=7&metadata.note=x", vec![]),
        ("metadata.zone=7&limit=1", vec!["B"]),
    ] {
        assert_eq!(found(&gateway, query).await, expected, "{query}");
    }
    let many = (0..17).map(|n| format!("metadata.m{n}=1")).collect::<Vec<_>>().join("&");
    for (query, wrong) in [
        ("metadata.=7", vec!["metadata."]),
        ("metadata=7&online=maybe", vec!["metadata", "online"]),
        ("metadata.a=1&metadata.b=2&metadata.a=3", vec!["metadata.a"]),
        (&format!("metadata.zone={}&limit=0", "x".repeat(201)), vec!["limit", "metadata.zone"]),
        (&many, vec!["metadata"]),
        ("sort=name&never=true", vec!["never", "sort"]),
    ] {
        let (status, told) = gateway.api("GET", &format!("/stations?{query}"), None).await;
        let mut fields: Vec<_> =
            told["errors"].as_array().expect("a list").iter().map(|e| e["field"].as_str()).collect();
        fields.sort_unstable();
        assert_eq!((status, fields), (422, wrong.into_iter().map(Some).collect()), "{query}: {told}");
    }
}

/// Every station of a list that is read in pages of one.
async fn walked(gateway: &Running, query: &str) -> Vec<String> {
    let (mut ids, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = gateway.get(&format!("/stations?limit=1&{query}{cursor}")).await;
        let rows = page["data"].as_array().unwrap_or_else(|| panic!("{query}: {page}"));
        ids.extend(rows.iter().map(|row| row["station_id"].as_str().expect("an identity").to_owned()));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return ids,
        }
    }
}

#[tokio::test]
async fn stations_are_sorted_by_when_they_were_last_seen() {
    let gateway = start(|_| {}).await;
    gateway.api("POST", "/stations", Some(json!({"station_id": "NEVER"}))).await;
    let _first = gateway.booted("HERE").await;
    for id in ["B", "A"] {
        let mut charger = gateway.booted(id).await;
        charger.still_serves().await;
        drop(charger);
        becomes(&gateway, id, "away", |shown| shown["connected"] == false).await;
    }
    let _last = gateway.booted("HERE_TOO").await;
    let by_last_seen = ["HERE_TOO", "HERE", "A", "B", "NEVER"];
    assert_eq!(walked(&gateway, "sort=last_seen_at").await, by_last_seen);
    let longest_first: Vec<_> = by_last_seen.into_iter().rev().collect();
    assert_eq!(walked(&gateway, "sort=last_seen_at&order=asc").await, longest_first);
    let away = "sort=offline_since&order=asc&online=false&never_connected=false";
    assert_eq!(walked(&gateway, away).await, ["B", "A"]);
    let page = gateway.get("/stations?sort=last_seen_at&limit=1").await;
    let cursor = page["next_cursor"].as_str().expect("more");
    for (other, expected) in [
        ("", 422),
        ("&sort=offline_since", 422),
        ("&sort=last_seen_at&order=asc", 422),
        ("&sort=last_seen_at", 200),
    ] {
        let (status, _) = gateway.api("GET", &format!("/stations?cursor={cursor}{other}"), None).await;
        assert_eq!(status, expected, "a cursor is of its own order: {other}");
    }
}

fn status(connector: i64, status: &str, error: &str, at: &str) -> Value {
    json!({"connectorId": connector, "status": status, "errorCode": error, "timestamp": at,
        "info": format!("info of {error}"), "vendorErrorCode": "E1"})
}

#[tokio::test]
async fn a_connector_tells_since_when_and_a_station_its_last_error_until_it_is_cleared() {
    let gateway = start_by(Clock::manual(NOW), tempfile::tempdir().expect("a directory"), |_| {}).await;
    let mut charger = gateway.booted("CP").await;
    let at = |second: u32| format!("2026-04-14T12:34:{:02}.000Z", 46 + second);
    let told = async |charger: &mut Charger, report: Value| {
        charger.call("StatusNotification", report).await;
        let connectors = gateway.get("/stations/CP/connectors").await;
        (gateway.get("/stations/CP").await["last_error"].clone(), connectors["data"].clone())
    };
    let (none, _) = told(&mut charger, status(1, "Available", "NoError", &at(1))).await;
    assert_eq!(none, Value::Null);
    let (error, _) = told(&mut charger, status(1, "Faulted", "GroundFailure", &at(2))).await;
    let ground = json!({"connector_id": 1, "error_code": "GroundFailure", "vendor_error_code": "E1",
        "info": "info of GroundFailure", "at": at(2)});
    assert_eq!(error, ground);
    let (error, connectors) = told(&mut charger, status(1, "Faulted", "GroundFailure", &at(9))).await;
    assert_eq!(error, ground, "telling of it again changes nothing");
    assert_eq!((&connectors[0]["since"], &connectors[0]["occurred_at"]), (&json!(at(2)), &json!(at(9))));
    let (error, _) = told(&mut charger, status(2, "Available", "WeakSignal", &at(5))).await;
    assert_eq!((&error["connector_id"], &error["at"]), (&json!(2), &json!(at(5))), "the newest");
    let (error, connectors) = told(&mut charger, status(2, "Available", "NoError", &at(7))).await;
    assert_eq!(error, ground, "the other one's is not cleared");
    assert_eq!(connectors[1]["since"], at(5), "another error code is no other status");
    let (error, connectors) = told(&mut charger, status(1, "Available", "NoError", &at(10))).await;
    assert_eq!((error, &connectors[0]["since"]), (Value::Null, &json!(at(10))));
    let (error, _) = told(&mut charger, status(1, "Faulted", "OtherError", &at(3))).await;
    assert_eq!(error, Value::Null, "what comes out of a queue is older than what cleared it");
}

/// The connectors that a list shows: station and number.
async fn connectors(gateway: &Running, query: &str) -> Vec<String> {
    let page = gateway.get(&format!("/connectors?{query}")).await;
    let rows = page["data"].as_array().unwrap_or_else(|| panic!("{query}: {page}"));
    let name =
        |row: &Value| format!("{}/{}", row["station_id"].as_str().expect("a station"), row["connector_id"]);
    rows.iter().map(name).collect()
}

/// Two stations with connectors, of which one is away.
async fn two_stations(gateway: &Running) -> Charger {
    for (id, owner, site) in [("A", json!("acme"), json!("Yard")), ("B", Value::Null, Value::Null)] {
        let body = json!({"station_id": id, "owner_id": owner, "site": site});
        gateway.api("POST", "/stations", Some(body)).await;
    }
    let mut here = gateway.booted("A").await;
    for (connector, state, error) in
        [(2, "Faulted", "GroundFailure"), (0, "Available", "NoError"), (1, "Charging", "NoError")]
    {
        let report = json!({"connectorId": connector, "status": state, "errorCode": error});
        here.call("StatusNotification", report).await;
    }
    let mut away = gateway.booted("B").await;
    away.call(
        "StatusNotification",
        json!({"connectorId": 1, "status": "Unavailable", "errorCode": "NoError"}),
    )
    .await;
    drop(away);
    becomes(gateway, "B", "away", |shown| shown["connected"] == false).await;
    here
}

#[tokio::test]
async fn connectors_of_all_stations_are_listed_by_how_they_are() {
    let gateway = start(|_| {}).await;
    let mut here = two_stations(&gateway).await;
    let start = json!({"connectorId": 1, "idTag": "T", "meterStart": 0, "timestamp": "2026-04-14T12:00:00Z"});
    let started = here.call("StartTransaction", start).await;
    let row = gateway.get("/connectors?station_id=A&status=Charging").await["data"][0].clone();
    assert_eq!(row["transaction_id"], started["transactionId"]);
    assert_eq!(
        (&row["site"], &row["owner_id"], &row["connected"]),
        (&json!("Yard"), &json!("acme"), &json!(true))
    );
    assert_eq!(gateway.get("/stations/A/connectors").await["data"][1], row, "the same row as of its station");
    for (query, expected) in [
        ("", vec!["B/1", "A/2", "A/1", "A/0"]),
        ("order=asc", vec!["A/0", "A/1", "A/2", "B/1"]),
        ("status=Faulted,Unavailable", vec!["B/1", "A/2"]),
        ("status=Unavailable&connected=true", vec![]),
        ("connected=false", vec!["B/1"]),
        ("error_code=GroundFailure", vec!["A/2"]),
        ("site=Yard&order=asc&limit=2", vec!["A/0", "A/1"]),
        ("owner_id=acme&status=Available", vec!["A/0"]),
        ("station_id=B", vec!["B/1"]),
        ("owner_id=nobody", vec![]),
    ] {
        assert_eq!(connectors(&gateway, query).await, expected, "{query}");
    }
    let page = gateway.get("/connectors?limit=2").await;
    let rest = format!("limit=2&cursor={}", page["next_cursor"].as_str().expect("more"));
    assert_eq!(connectors(&gateway, &rest).await, ["A/1", "A/0"]);
    for (query, field, legal) in [
        ("status=Available,Bogus", "status", "SuspendedEVSE"),
        ("error_code=Bogus", "error_code", "GroundFailure"),
    ] {
        let (status, told) = gateway.api("GET", &format!("/connectors?{query}"), None).await;
        let error = &told["errors"][0];
        assert_eq!((status, &error["field"]), (422, &json!(field)), "{told}");
        assert!(error["message"].as_str().expect("words").contains(legal), "{told}");
    }
    let (status, told) = gateway.api("GET", "/connectors?status=Faulted,&colour=red&cursor=x", None).await;
    let fields: Vec<_> = told["errors"].as_array().expect("a list").iter().map(|e| &e["field"]).collect();
    assert_eq!((status, json!(fields)), (422, json!(["colour", "cursor", "status"])), "{told}");

    let key = json!({"name": "other", "scopes": ["read"], "owner_id": "other"});
    let (_, key) = gateway.api("POST", "/api-keys", Some(key)).await;
    let bound = Client::new(&gateway.url(""), key["key"].as_str().expect("shown once")).expect("a client");
    assert!(bound.all_connectors(&[]).await.expect("allowed").data.is_empty(), "another owner's are none");
    assert!(bound.station_summary(&[("group_by", "site")]).await.expect("allowed").data.is_empty());
}

#[tokio::test]
async fn stations_are_counted_by_what_they_have_in_common() {
    let gateway = start(|_| {}).await;
    let _here = two_stations(&gateway).await;
    gateway
        .api("POST", "/stations", Some(json!({"station_id": "C", "site": "Yard", "boot_status": "pending"})))
        .await;
    for (query, expected) in [
        (
            "group_by=site",
            json!([
            {"site": null, "stations": 1, "connected_count": 0},
            {"site": "Yard", "stations": 2, "connected_count": 1}]),
        ),
        (
            "group_by=vendor,model",
            json!([
            {"vendor": null, "model": null, "stations": 1, "connected_count": 0},
            {"vendor": "V", "model": "M", "stations": 2, "connected_count": 1}]),
        ),
        (
            "group_by=connected,%20owner&site=Yard",
            json!([
            {"owner_id": null, "connected": false, "stations": 1, "connected_count": 0},
            {"owner_id": "acme", "connected": true, "stations": 1, "connected_count": 1}]),
        ),
        (
            "group_by=boot_status,boot_status,firmware_version&never_connected=true",
            json!([
            {"boot_status": "pending", "firmware_version": null, "stations": 1, "connected_count": 0}]),
        ),
        ("group_by=site&metadata.zone=1", json!([])),
    ] {
        let summary = gateway.get(&format!("/stations/summary?{query}")).await;
        assert_eq!((&summary["data"], &summary["next_cursor"]), (&expected, &Value::Null), "{query}");
    }
    let first = gateway.get("/stations/summary?group_by=site&limit=1").await;
    assert_eq!(first["data"].as_array().map(Vec::len), Some(1));
    let cursor = first["next_cursor"].as_str().expect("more");
    let rest = gateway.get(&format!("/stations/summary?group_by=site&cursor={cursor}")).await;
    assert_eq!((&rest["data"][0]["site"], &rest["next_cursor"]), (&json!("Yard"), &Value::Null));
    for (query, wrong) in
        [("", 1), ("group_by=", 1), ("group_by=site,colour,size", 2), ("group_by=site&colour=red", 1)]
    {
        let (status, told) = gateway.api("GET", &format!("/stations/summary?{query}"), None).await;
        assert_eq!((status, told["errors"].as_array().map(Vec::len)), (422, Some(wrong)), "{query}: {told}");
    }
}

#[tokio::test]
async fn names_that_paths_use_are_no_identities() {
    let gateway = start(|_| {}).await;
    for (name, path) in [("import", "import"), ("summary", "summary"), (".", "%2E"), ("..", "%2e%2E")] {
        let refused = Charger::connect(gateway.ocpp(), &format!("/ocpp/{path}"), &[]).await.err();
        assert_eq!(refused.expect("refused").status(), 404, "{name}");
        let (status, told) = gateway.api("POST", "/stations", Some(json!({"station_id": name}))).await;
        assert_eq!((status, &told["errors"][0]["field"]), (422, &json!("station_id")), "{name}");
        let rows = json!([{"station_id": name}]).to_string();
        let told = import(&gateway, "application/json", &rows).await;
        assert_eq!(told["data"][0]["result"], "invalid", "{name}");
    }
    assert_eq!(found(&gateway, "").await, Vec::<String>::new());
}

#[tokio::test]
async fn the_command_line_looks_at_the_fleet() {
    let gateway = start(|_| {}).await;
    let _here = two_stations(&gateway).await;
    let never = json!({"station_id": "C", "site": "Yard", "metadata": {"zone": "7"}});
    gateway.api("POST", "/stations", Some(never)).await;
    let out = async |line: &str| run(&gateway, &line.split(' ').collect::<Vec<_>>()).await.out();
    let all = out("stations list").await;
    let states: Vec<_> = ["A", "B", "C"].iter().map(|id| row(&all, id)[1]).collect();
    assert_eq!(states, ["online", "offline", "never"], "{all}");
    assert_eq!(row(&all, "A")[3..5], ["GroundFailure", "Yard"], "{all}");
    let away = out("stations list --online=false --never-connected=false --sort offline_since").await;
    assert!(row(&away, "B")[2] == "now" || row(&away, "B")[2].ends_with(" ago"), "{away}");
    assert_eq!(away.lines().count(), 2, "{away}");
    let found = out("stations list --metadata zone=7 --site Yard").await;
    assert_eq!((row(&found, "C")[1], found.lines().count()), ("never", 2), "{found}");
    let shown = out("stations show A").await;
    assert!(field(&shown, "last error").starts_with("GroundFailure of connector 2 since 20"), "{shown}");
    assert_eq!(field(&out("stations show B").await, "disconnected by"), "connection_lost");

    let faulted = out("connectors --status Faulted,Unavailable --connected").await;
    let shown = row(&faulted, "A");
    assert_eq!(
        (&shown[1..3], &shown[4..7]),
        (["2", "Faulted"].as_slice(), ["GroundFailure", "yes", "Yard"].as_slice())
    );
    assert_eq!(faulted.lines().count(), 2, "{faulted}");
    let counts = out("stations summary --by site,connected").await;
    assert_eq!(row(&counts, "-"), ["-", "no", "1", "0"], "{counts}");
    let yards: Vec<_> = counts.lines().filter(|line| line.starts_with("Yard")).collect();
    assert_eq!(yards.len(), 2, "{counts}");
    let refused = run(&gateway, &["stations", "summary", "--by", "colour"]).await.error();
    assert!(refused.contains("group_by: \"colour\" is nothing to group by"), "{refused}");
    let csv = out("stations summary --by site --csv").await;
    assert!(csv.lines().any(|line| line.contains("Yard")), "{csv}");
}
