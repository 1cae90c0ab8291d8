//! How long connectors were up: what chargers told and when they were there, as reports count it.

use std::time::Duration;

use chargehook::config::Config;
use chargehook::retention::Keep;
use serde_json::{Value, json};
use vocabulary::clock::{Clock, Timestamp};
use vocabulary::units::Span;

use crate::harness::{Charger, Running, eventually, http_client, start_by};

/// A Sunday, and the first of a month.
const MIDNIGHT: &str = "2026-11-01T00:00:00Z";

fn midnight() -> Timestamp {
    MIDNIGHT.parse().expect("a time")
}

/// Nothing falls silent by itself here: hours pass in which nobody says anything.
async fn living_by(clock: &Clock) -> Running {
    start_by(clock.clone(), tempfile::tempdir().expect("a directory"), patient).await
}

fn patient(config: &mut Config) {
    config.stations.offline_after = Some(Span::seconds(90 * 86_400));
    config.ocpp.ping_interval = Span::seconds(0);
}

fn hours_pass(clock: &Clock, hours: u64) {
    clock.advance(Duration::from_secs(hours * 3_600));
}

async fn tells(charger: &mut Charger, connector: i64, status: &str, at: Timestamp) {
    tells_code(charger, connector, status, "NoError", at).await;
}

async fn tells_code(charger: &mut Charger, connector: i64, status: &str, code: &str, at: Timestamp) {
    let payload = json!({"connectorId": connector, "errorCode": code, "status": status, "timestamp": at});
    charger.call("StatusNotification", payload).await;
}

/// Waits until the gateway knows whether the station is there.
async fn is_connected(gateway: &Running, station: &str, connected: bool) {
    eventually("its connection is on record", || async {
        (gateway.get(&format!("/stations/{station}")).await["connected"] == connected).then_some(())
    })
    .await;
}

async fn rows(gateway: &Running, query: &str) -> Vec<Value> {
    let report = gateway.get(&format!("/reports/uptime?{query}")).await;
    report["data"].as_array().expect("rows").clone()
}

/// Hours up, down, excluded and unknown.
fn hours(row: &Value) -> [f64; 4] {
    let parts = ["up", "down", "excluded", "unknown"].map(|part| row[part].as_f64().expect(part));
    let sum: f64 = parts.iter().sum();
    assert!((sum - row["minutes"].as_f64().expect("minutes")).abs() < 0.01, "they add up: {row}");
    parts.map(|minutes| minutes / 60.0)
}

#[tokio::test]
async fn a_months_uptime_is_what_was_told_while_the_station_was_there() {
    let clock = Clock::manual(midnight());
    let gateway = living_by(&clock).await;
    hours_pass(&clock, 2);
    let mut charger = gateway.booted("CP").await;
    tells(&mut charger, 0, "Available", clock.now()).await;
    tells(&mut charger, 1, "Available", clock.now()).await;
    tells(&mut charger, 2, "Available", clock.now()).await;
    hours_pass(&clock, 10);
    tells(&mut charger, 1, "Charging", clock.now()).await;
    hours_pass(&clock, 4);
    tells(&mut charger, 1, "Faulted", clock.now()).await;
    hours_pass(&clock, 1);
    tells(&mut charger, 1, "Available", clock.now()).await;
    // The same again changes nothing.
    hours_pass(&clock, 1);
    tells(&mut charger, 1, "Available", clock.now()).await;
    // The station as a whole.
    tells(&mut charger, 0, "Unavailable", clock.now()).await;
    hours_pass(&clock, 2);
    tells(&mut charger, 0, "Available", clock.now()).await;
    drop(charger);
    is_connected(&gateway, "CP", false).await;
    hours_pass(&clock, 4);

    let found = rows(&gateway, "month=2026-11").await;
    assert_eq!(found.len(), 2, "connector 0 is no connector: {found:?}");
    let (first, second) = (&found[0], &found[1]);
    assert_eq!((&first["station_id"], &first["connector_id"]), (&json!("CP"), &json!(1)));
    assert_eq!((hours(first), hours(second)), ([15.0, 7.0, 0.0, 2.0], [16.0, 6.0, 0.0, 2.0]));
    let minutes = |name: &str| first[name].as_f64().expect(name) / 60.0;
    assert_eq!(
        ["available", "charging", "faulted", "unavailable", "offline"].map(minutes),
        [11.0, 4.0, 1.0, 2.0, 4.0]
    );
    assert_eq!((&first["reasons"]["faulted"], &first["reasons"]["offline"]), (&json!(60.0), &json!(240.0)));
    assert_eq!(first["uptime_percent"], json!(68.181), "cut off: 15 of 22 hours");
    assert_eq!(first["site"], Value::Null);

    let together = rows(&gateway, "month=2026-11&group_by=station").await;
    assert_eq!((hours(&together[0]), &together[0]["connectors"]), ([31.0, 13.0, 0.0, 4.0], &json!(2)));
    assert_eq!((together.len(), together[0].get("connector_id")), (1, None));
    // The month before, and the one of other clocks.
    let report = gateway.get("/reports/uptime?month=2026-10").await;
    assert_eq!(hours(&report["data"][0]), [0.0, 0.0, 0.0, 744.0]);
    assert_eq!(report["data"][0]["uptime_percent"], Value::Null);
    let report = gateway.get("/reports/uptime?month=2026-11&time_zone=Europe/Berlin").await;
    assert_eq!(report["since"], "2026-10-31T23:00:00.000Z");
    assert_eq!((&report["until"], hours(&report["data"][0])), (&json!(clock.now()), [15.0, 7.0, 0.0, 3.0]));
    // Any other span, and the running month without a word.
    let part = "since=2026-11-01T12:00:00Z&until=2026-11-01T18:00:00Z";
    assert_eq!(hours(&rows(&gateway, part).await[0]), [5.0, 1.0, 0.0, 0.0]);
    assert_eq!(rows(&gateway, "").await, found);
}

#[tokio::test]
async fn a_status_out_of_a_queue_takes_its_place_in_the_past() {
    let clock = Clock::manual(midnight());
    let gateway = living_by(&clock).await;
    let mut charger = gateway.booted("CP").await;
    tells(&mut charger, 1, "Available", clock.now()).await;
    let ago = |hours: u64| clock.now().before(Duration::from_secs(hours * 3_600));
    hours_pass(&clock, 10);
    tells(&mut charger, 1, "Available", clock.now()).await;
    tells(&mut charger, 1, "Faulted", ago(6)).await;
    tells(&mut charger, 1, "Available", ago(4)).await;
    assert_eq!(hours(&rows(&gateway, "").await[0]), [8.0, 2.0, 0.0, 0.0]);
    // What lies before all that is known of the connector is not.
    tells(&mut charger, 1, "Faulted", ago(30)).await;
    assert_eq!(hours(&rows(&gateway, "since=40h").await[0]), [8.0, 2.0, 0.0, 30.0]);
}

#[tokio::test]
async fn a_station_that_fell_silent_is_away_since_its_last_message() {
    let clock = Clock::manual(midnight());
    let dir = tempfile::tempdir().expect("a directory");
    let gateway = start_by(clock.clone(), dir, |config| {
        patient(config);
        config.stations.offline_after = Some(Span::seconds(1_800));
    })
    .await;
    let mut charger = gateway.booted("CP").await;
    tells(&mut charger, 1, "Available", clock.now()).await;
    hours_pass(&clock, 1);
    eventually("it is offline", || async {
        (gateway.events_of("CP", "StationOffline").await.len() == 1).then_some(())
    })
    .await;
    assert_eq!(hours(&rows(&gateway, "").await[0]), [0.0, 1.0, 0.0, 0.0]);
    charger.still_serves().await;
    eventually("it is back", || async {
        (gateway.events_of("CP", "StationOnline").await.len() == 1).then_some(())
    })
    .await;
    clock.advance(Duration::from_secs(900));
    assert_eq!(hours(&rows(&gateway, "").await[0]), [0.25, 1.0, 0.0, 0.0]);
}

#[tokio::test]
async fn a_stop_of_the_gateway_is_an_absence() {
    let clock = Clock::manual(midnight());
    let gateway = living_by(&clock).await;
    let mut charger = gateway.booted("CP").await;
    tells(&mut charger, 1, "Available", clock.now()).await;
    hours_pass(&clock, 3);
    let dir = gateway.stop().await;
    hours_pass(&clock, 2);
    let gateway = start_by(clock.clone(), dir, patient).await;
    assert_eq!(hours(&rows(&gateway, "").await[0]), [3.0, 2.0, 0.0, 0.0]);
    let mut charger = gateway.charger("CP").await;
    charger.still_serves().await;
    hours_pass(&clock, 4);
    assert_eq!(hours(&rows(&gateway, "").await[0]), [7.0, 2.0, 0.0, 0.0]);
}

/// Orders a connector's availability, and answers for the charger.
async fn order(gateway: &Running, charger: &mut Charger, connector: i64, to: &str, answer: &str) {
    let payload = json!({"connectorId": connector, "type": to});
    let body = json!({"action": "ChangeAvailability", "payload": payload, "wait": false});
    let asked = gateway.api("POST", "/stations/CP/commands", Some(body));
    let answered = async {
        let call: Value = serde_json::from_str(&charger.receive().await).expect("JSON");
        assert_eq!(call[2], "ChangeAvailability", "{call}");
        charger.send(&json!([3, call[1], {"status": answer}]).to_string()).await;
    };
    let ((status, command), ()) = tokio::join!(asked, answered);
    assert!((200..300).contains(&status), "{command}");
    let path = format!("/commands/{}", command["id"].as_str().expect("an id"));
    eventually("it has ended", || async {
        (gateway.get(&path).await["status"] == "completed").then_some(())
    })
    .await;
}

#[tokio::test]
async fn each_rule_leaves_out_what_it_says() {
    let clock = Clock::manual(midnight());
    let gateway = living_by(&clock).await;
    let mut charger = gateway.booted("CP").await;
    tells(&mut charger, 1, "Available", clock.now()).await;
    hours_pass(&clock, 1);
    // Refused: what follows is nobody's maintenance.
    order(&gateway, &mut charger, 1, "Inoperative", "Rejected").await;
    tells(&mut charger, 1, "Unavailable", clock.now()).await;
    hours_pass(&clock, 1);
    tells(&mut charger, 1, "Available", clock.now()).await;
    order(&gateway, &mut charger, 0, "Inoperative", "Accepted").await;
    tells(&mut charger, 1, "Unavailable", clock.now()).await;
    hours_pass(&clock, 2);
    order(&gateway, &mut charger, 0, "Operative", "Accepted").await;
    tells(&mut charger, 1, "Available", clock.now()).await;
    tells_code(&mut charger, 1, "Faulted", "EVCommunicationError", clock.now()).await;
    hours_pass(&clock, 3);
    let start = json!({"connectorId": 1, "idTag": "T", "meterStart": 0, "timestamp": clock.now()});
    let started = charger.call("StartTransaction", start).await;
    tells(&mut charger, 1, "Charging", clock.now()).await;
    let lost_at = clock.now();
    drop(charger);
    is_connected(&gateway, "CP", false).await;
    hours_pass(&clock, 4);
    let mut charger = gateway.booted("CP").await;
    let stop = json!({
        "transactionId": started["transactionId"], "meterStop": 5, "timestamp": lost_at, "reason": "PowerLoss",
    });
    charger.call("StopTransaction", stop).await;
    tells(&mut charger, 1, "Available", clock.now()).await;
    hours_pass(&clock, 1);
    drop(charger);
    is_connected(&gateway, "CP", false).await;
    hours_pass(&clock, 5);

    let row = async |rule: &str| rows(&gateway, &format!("month=2026-11&rule={rule}")).await.remove(0);
    let (plain, cec, uk) = (row("plain").await, row("cec").await, row("uk").await);
    assert_eq!(hours(&plain), [2.0, 15.0, 0.0, 0.0]);
    assert_eq!(hours(&cec), [2.0, 6.0, 9.0, 0.0]);
    assert_eq!(hours(&uk), [2.0, 6.0, 9.0, 0.0]);
    let reasons = |row: &Value| {
        ["faulted", "unavailable", "offline", "maintenance", "vehicle_fault", "power_outage"]
            .map(|reason| row["reasons"][reason].as_f64().expect(reason) / 60.0)
    };
    assert_eq!(reasons(&plain), [3.0, 3.0, 9.0, 0.0, 0.0, 0.0]);
    assert_eq!(reasons(&cec), [0.0, 1.0, 5.0, 2.0, 3.0, 4.0]);
    assert_eq!(reasons(&uk), [3.0, 3.0, 5.0, 0.0, 0.0, 4.0]);
    assert_eq!((&cec["uptime_percent"], &cec["rule_percent"]), (&json!(25.0), &json!(64.705)));
    assert_eq!(plain["uptime_percent"], plain["rule_percent"]);
}

#[tokio::test]
async fn sites_are_sums_and_filters_and_owners_bound_what_is_seen() {
    let clock = Clock::manual(midnight());
    let gateway = living_by(&clock).await;
    for (id, site, owner) in [("A1", Some("North"), "a"), ("A2", Some("North"), "a"), ("B", None, "b")] {
        let body = json!({"station_id": id, "site": site, "owner_id": owner});
        assert_eq!(gateway.api("POST", "/stations", Some(body)).await.0, 201);
        let mut charger = gateway.booted(id).await;
        // A station that has told of itself alone is its own connector.
        tells(&mut charger, if id == "A2" { 0 } else { 1 }, "Available", clock.now()).await;
        drop(charger);
        is_connected(&gateway, id, false).await;
        hours_pass(&clock, 1);
    }
    let sites = rows(&gateway, "group_by=site").await;
    let shown = |row: &Value| (row["site"].clone(), row["connectors"].clone(), hours(row));
    let expected =
        [(Value::Null, json!(1), [0.0, 1.0, 0.0, 2.0]), (json!("North"), json!(2), [0.0, 5.0, 0.0, 1.0])];
    assert_eq!(sites.iter().map(shown).collect::<Vec<_>>(), expected);
    let names = async |query: &str| {
        let found = rows(&gateway, query).await;
        found.iter().map(|row| row["station_id"].as_str().expect("an id").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names("").await, ["A1", "A2", "B"]);
    assert_eq!(names("site=North").await, ["A1", "A2"]);
    assert_eq!(names("owner_id=b").await, ["B"]);
    assert_eq!(names("station_id=A2&owner_id=a").await, ["A2"]);
    assert_eq!(rows(&gateway, "station_id=A2").await[0]["connector_id"], 0);

    let key = json!({"name": "bound", "scopes": ["read"], "owner_id": "b"});
    let (_, key) = gateway.api("POST", "/api-keys", Some(key)).await;
    let ask = async |query: &str| {
        let request = http_client().get(gateway.url(&format!("/api/v1/reports/uptime{query}")));
        let answer = request.header("X-API-Key", key["key"].as_str().expect("a key")).send().await;
        let answer = answer.expect("answers");
        (answer.status().as_u16(), answer.json::<Value>().await.expect("JSON"))
    };
    let (status, report) = ask("").await;
    assert_eq!((status, report["data"].as_array().map(Vec::len)), (200, Some(1)), "{report}");
    assert_eq!(report["data"][0]["station_id"], "B");
    assert_eq!(ask("?station_id=A1").await.1["data"], json!([]));
    assert_eq!(ask("?owner_id=a").await.0, 403);

    assert_eq!(gateway.api("DELETE", "/stations/A1", None).await.0, 204);
    assert_eq!(names("").await, ["A2", "B"]);
}

#[tokio::test]
async fn what_cannot_be_reported_is_refused_with_every_wrong_parameter() {
    let clock = Clock::manual(midnight());
    let gateway = living_by(&clock).await;
    for (query, fields) in [
        ("month=2026-13", &["month"][..]),
        ("month=november", &["month"]),
        ("month=2026-12", &["month"]),
        ("month=2026-10&since=2h&until=1h", &["since", "until"]),
        ("until=1h", &["since"]),
        ("since=1h&until=2h", &["until"]),
        ("since=2027-01-01T00:00:00Z", &["since"]),
        ("rule=eu&group_by=city&time_zone=Mars/Base", &["group_by", "rule", "time_zone"]),
        ("by=site", &["by"]),
    ] {
        let (status, problem) = gateway.api("GET", &format!("/reports/uptime?{query}"), None).await;
        assert_eq!(status, 422, "{query}: {problem}");
        let mut named: Vec<_> =
            problem["errors"].as_array().expect("errors").iter().map(|error| &error["field"]).collect();
        named.sort_by_key(|field| field.to_string());
        named.dedup();
        assert_eq!(named, fields, "{query}: {problem}");
    }
}

#[tokio::test]
async fn history_is_bounded_and_what_holds_at_its_border_stays() {
    let clock = Clock::manual(midnight());
    let dir = tempfile::tempdir().expect("a directory");
    let gateway = start_by(clock.clone(), dir, |config| {
        patient(config);
        config.retention.history = Keep::For(Span::seconds(86_400));
        // It looks as often as the shortest rule needs.
        config.retention.audit = Keep::For(Span(Duration::from_millis(400)));
    })
    .await;
    let mut charger = gateway.booted("CP").await;
    for status in ["Available", "Preparing", "Charging", "Faulted"] {
        tells(&mut charger, 1, status, clock.now()).await;
        hours_pass(&clock, 1);
    }
    assert_eq!(hours(&rows(&gateway, "month=2026-11").await[0]), [3.0, 1.0, 0.0, 0.0]);
    hours_pass(&clock, 47);
    eventually("only the last status is left", || async {
        (hours(&rows(&gateway, "month=2026-11").await[0]) == [0.0, 48.0, 0.0, 3.0]).then_some(())
    })
    .await;
    assert_eq!(hours(&rows(&gateway, "since=24h").await[0]), [0.0, 24.0, 0.0, 0.0]);
}

/// A report that goes on from what earlier ones have counted says what one says that counts anew: a span that
/// begins a millisecond later is counted from its beginning.
async fn goes_on_rightly(gateway: &Running, when: &str) {
    for query in ["rule=plain", "rule=cec", "rule=uk&group_by=station", "group_by=site", "owner_id=a"] {
        let kept = rows(gateway, &format!("month=2026-11&{query}")).await;
        let anew = rows(gateway, &format!("since=2026-11-01T00:00:00.001Z&{query}")).await;
        let shown = |rows: &[Value]| -> Vec<String> {
            let figure = |row: &Value, name: &str| {
                let number = row[name].as_f64().map_or_else(String::new, |number| format!("{number:.1}"));
                if row[name].is_string() { row[name].to_string() } else { number }
            };
            let names = [
                "station_id",
                "connector_id",
                "site",
                "owner_id",
                "up",
                "down",
                "excluded",
                "unknown",
                "uptime_percent",
                "charging",
            ];
            rows.iter().map(|row| names.map(|name| figure(row, name)).join(" ")).collect()
        };
        assert_eq!(shown(&kept), shown(&anew), "{when}: {query}");
    }
}

#[tokio::test]
async fn a_report_goes_on_from_the_last_one_and_hears_of_corrections() {
    let clock = Clock::manual(midnight());
    let gateway = living_by(&clock).await;
    for (station, owner) in [("A", "a"), ("B", "a"), ("C", "c")] {
        let station = json!({"station_id": station, "owner_id": owner, "site": "North"});
        assert_eq!(gateway.api("POST", "/stations", Some(station)).await.0, 201);
    }
    let mut chargers = Vec::new();
    for station in ["A", "B", "C"] {
        let mut charger = gateway.booted(station).await;
        tells(&mut charger, 1, "Available", clock.now()).await;
        chargers.push(charger);
    }
    hours_pass(&clock, 1);
    goes_on_rightly(&gateway, "at the beginning").await;
    hours_pass(&clock, 9);
    goes_on_rightly(&gateway, "nothing was told").await;
    tells(&mut chargers[0], 1, "Faulted", clock.now()).await;
    hours_pass(&clock, 2);
    goes_on_rightly(&gateway, "a fault").await;
    assert_eq!(hours(&rows(&gateway, "month=2026-11&station_id=A").await[0]), [10.0, 2.0, 0.0, 0.0]);
    // Out of a queue: it was faulted for two hours that were counted as up.
    let ago = |hours: i64| Timestamp::from_unix_ms(clock.now().unix_ms() - hours * 3_600_000);
    tells(&mut chargers[1], 1, "Faulted", ago(6)).await;
    tells(&mut chargers[1], 1, "Available", ago(4)).await;
    goes_on_rightly(&gateway, "a queue").await;
    assert_eq!(hours(&rows(&gateway, "month=2026-11&station_id=B").await[0]), [10.0, 2.0, 0.0, 0.0]);
    // A second connector, and a station as a whole.
    tells(&mut chargers[1], 2, "Charging", clock.now()).await;
    tells(&mut chargers[1], 0, "Unavailable", clock.now()).await;
    hours_pass(&clock, 3);
    goes_on_rightly(&gateway, "another connector").await;
    // It is away, and tells afterwards that it had no power.
    drop(chargers.remove(2));
    is_connected(&gateway, "C", false).await;
    hours_pass(&clock, 5);
    goes_on_rightly(&gateway, "an absence").await;
    let mut back = gateway.booted("C").await;
    hours_pass(&clock, 2);
    goes_on_rightly(&gateway, "it is back").await;
    let began = json!({"connectorId": 1, "idTag": "B", "meterStart": 0, "timestamp": ago(9)});
    let number = back.call("StartTransaction", began).await["transactionId"].clone();
    let stop = json!({"transactionId": number, "meterStop": 5, "timestamp": ago(7), "reason": "PowerLoss"});
    back.call("StopTransaction", stop).await;
    goes_on_rightly(&gateway, "a loss of power").await;
    let excluded = hours(&rows(&gateway, "month=2026-11&station_id=C&rule=cec").await[0])[2];
    assert_eq!(excluded, 5.0, "the absence is explained");
    // Whose station it is counts from now on, for the past too.
    let moved = json!({"owner_id": "c", "site": "South"});
    assert_eq!(gateway.api("PATCH", "/stations/A", Some(moved)).await.0, 200);
    goes_on_rightly(&gateway, "another owner").await;
    assert!(rows(&gateway, "month=2026-11&owner_id=a").await.iter().all(|row| row["station_id"] == "B"));
    hours_pass(&clock, 1);
    drop(chargers.remove(0));
    assert_eq!(gateway.api("DELETE", "/stations/A", None).await.0, 204);
    goes_on_rightly(&gateway, "a station less").await;
    let mut again = gateway.booted("A").await;
    tells(&mut again, 1, "Available", clock.now()).await;
    hours_pass(&clock, 1);
    goes_on_rightly(&gateway, "a new station of that name").await;
    assert_eq!(hours(&rows(&gateway, "month=2026-11&station_id=A").await[0])[0], 1.0);
    // A month that is over.
    hours_pass(&clock, 24 * 31);
    let over = rows(&gateway, "month=2026-11").await;
    assert_eq!(over, rows(&gateway, "month=2026-11").await);
    tells(&mut chargers[0], 1, "Faulted", midnight()).await;
    assert_ne!(over, rows(&gateway, "month=2026-11").await, "a correction is seen in a month that is over");
}

#[tokio::test]
async fn only_the_worst_are_listed_and_all_are_added_up() {
    let clock = Clock::manual(midnight());
    let gateway = living_by(&clock).await;
    for (station, status) in [("A", "Available"), ("B", "Faulted"), ("C", "Available")] {
        let mut charger = gateway.booted(station).await;
        tells(&mut charger, 1, status, clock.now()).await;
        charger.still_serves().await;
    }
    hours_pass(&clock, 4);
    let report = gateway.get("/reports/uptime?worst=1&group_by=station&rule=uk").await;
    assert_eq!(
        (&report["data"][0]["station_id"], report["data"].as_array().map(Vec::len)),
        (&json!("B"), Some(1))
    );
    assert_eq!((&report["row_count"], &report["total"]["connectors"]), (&json!(3), &json!(3)), "{report}");
    let whole = gateway.get("/reports/uptime?rule=uk").await;
    let sum: f64 =
        whole["data"].as_array().expect("rows").iter().filter_map(|row| row["minutes"].as_f64()).sum();
    assert!((report["total"]["minutes"].as_f64().expect("minutes") - sum).abs() < 0.1, "{report}");
    assert_eq!(gateway.api("GET", "/reports/uptime?worst=0", None).await.0, 422);
}
