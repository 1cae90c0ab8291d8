//! `why` on a real gateway: what a support person is told of stations, sessions, commands and tags.

use chargehook::config::Config;
use chargehook::http::openapi_document;
use chargehook::station::Admission;
use serde_json::{Value, json};
use vocabulary::api::why::Verdict;
use vocabulary::ocpp::authorization::UnknownIdTag;

use crate::harness::{Charger, Running, eventually, http_client, start};
use crate::tls::Place;

/// What `why` answers, with the form that every answer has: facts in order and with ids that lead to
/// something, and something to do where something is wrong.
pub(crate) async fn why(gateway: &Running, path: &str) -> Value {
    let answer = gateway.get(&format!("{path}/why")).await;
    let mut last = String::new();
    for fact in answer["facts"].as_array().expect("facts") {
        let at = fact["at"].as_str().expect("a moment").to_owned();
        assert!(last <= at, "facts are in order: {answer}");
        last = at;
        assert!(!fact["text"].as_str().expect("a sentence").is_empty());
        let list = match fact["kind"].as_str().expect("a kind") {
            "event" => "events",
            "command" => "commands",
            "delivery" => "deliveries",
            "transaction" => "transactions",
            "state" => {
                assert_eq!(fact["id"], Value::Null, "{answer}");
                continue;
            }
            other => panic!("{other}"),
        };
        gateway.get(&format!("/{list}/{}", fact["id"].as_str().expect("an id"))).await;
    }
    let is_ordinary =
        ["ok", "stopped_by_driver", "stopped_remotely", "unplugged", "unlocked"].contains(&verdict(&answer));
    assert_eq!(answer["next"] == json!([]), is_ordinary, "{answer}");
    answer
}

pub(crate) fn verdict(answer: &Value) -> &str {
    answer["verdict"].as_str().expect("a code")
}

/// Waits until `why` says so.
async fn why_is(gateway: &Running, path: &str, expected: &str) -> Value {
    eventually(&format!("{path} is {expected}"), || async {
        let answer = why(gateway, path).await;
        (verdict(&answer) == expected).then_some(answer)
    })
    .await
}

fn says(answer: &Value, words: &str) {
    let summary = answer["summary"].as_str().expect("a summary");
    assert!(summary.contains(words), "{words:?} is not in {answer:#}");
}

async fn status(charger: &mut Charger, connector: u32, status: &str, error: &str) {
    let report = json!({"connectorId": connector, "status": status, "errorCode": error});
    charger.call("StatusNotification", report).await;
}

async fn started(charger: &mut Charger, tag: &str) -> i64 {
    let now = vocabulary::clock::Clock::System.now().to_string();
    let start = json!({"connectorId": 1, "idTag": tag, "meterStart": 1_000, "timestamp": now});
    charger.call("StartTransaction", start).await["transactionId"].as_i64().expect("a number")
}

async fn stop(charger: &mut Charger, id: i64, meter: i64, reason: Option<&str>) {
    let now = vocabulary::clock::Clock::System.now().to_string();
    let mut stop = json!({"transactionId": id, "meterStop": meter, "timestamp": now});
    if let Some(reason) = reason {
        stop["reason"] = reason.into();
    }
    charger.call("StopTransaction", stop).await;
}

#[tokio::test]
async fn an_orphan_is_explained_by_the_session_after_it_though_all_began_in_one_second() {
    let gateway = start(|_| {}).await;
    let mut charger = gateway.booted("CP").await;
    let mut numbers = Vec::new();
    for tag in ["A", "B", "C"] {
        let start = json!({"connectorId": 1, "idTag": tag, "meterStart": 1_000,
                           "timestamp": "2026-04-14T12:00:00Z"});
        let started = charger.call("StartTransaction", start).await;
        numbers.push(started["transactionId"].as_i64().expect("a number"));
    }
    for (lost, next) in [(numbers[0], numbers[1]), (numbers[1], numbers[2])] {
        let answer = why_is(&gateway, &format!("/transactions/{lost}"), "orphaned").await;
        says(&answer, &format!("session {next} began on its connector"));
    }
}

#[tokio::test]
async fn stations_that_do_not_get_in() {
    let gateway = start(|config: &mut Config| config.stations.unknown = Admission::Reject).await;
    let (code, _) = gateway.api("GET", "/stations/NOBODY/why", None).await;
    assert_eq!(code, 404, "never heard of");
    let ocpp = [("Sec-WebSocket-Protocol", "ocpp1.6")];
    assert!(Charger::connect(gateway.ocpp(), "/ocpp/STRANGER", &ocpp).await.is_err());
    let answer = why_is(&gateway, "/stations/STRANGER", "refused_unknown").await;
    says(&answer, "404");
    assert!(answer["next"][0].as_str().expect("a text").contains("POST /stations"), "{answer}");

    let made = json!({"station_id": "CP", "password": "correct horse", "owner_id": "acme"});
    assert_eq!(gateway.api("POST", "/stations", Some(made)).await.0, 201);
    why_is(&gateway, "/stations/CP", "never_connected").await;
    assert!(Charger::connect(gateway.ocpp(), "/ocpp/CP", &ocpp).await.is_err());
    says(&why_is(&gateway, "/stations/CP", "refused_bad_credentials").await, "401");

    // The owner sees its own station, and nothing of identities that are nobody's.
    let key = json!({"name": "acme", "scopes": ["read"], "owner_id": "acme"});
    let key = gateway.api("POST", "/api-keys", Some(key)).await.1["key"].as_str().expect("a key").to_owned();
    for (station, expected) in [("CP", 200), ("STRANGER", 404)] {
        let url = gateway.url(&format!("/api/v1/stations/{station}/why"));
        let answer = http_client().get(url).header("X-API-Key", &key).send().await.expect("answers");
        assert_eq!(answer.status(), expected, "{station}");
    }

    let free = json!({"password": null, "min_security_profile": 2});
    assert_eq!(gateway.api("PATCH", "/stations/CP", Some(free)).await.0, 200);
    assert!(Charger::connect(gateway.ocpp(), "/ocpp/CP", &ocpp).await.is_err());
    why_is(&gateway, "/stations/CP", "refused_profile").await;
    let free = json!({"min_security_profile": 0});
    assert_eq!(gateway.api("PATCH", "/stations/CP", Some(free)).await.0, 200);
    let mut charger = gateway.booted("CP").await;
    charger.still_serves().await;
    why_is(&gateway, "/stations/CP", "ok").await;
    drop(charger);
    says(&why_is(&gateway, "/stations/CP", "offline").await, "the connection broke off");
    assert_eq!(gateway.api("PATCH", "/stations/CP", Some(json!({"blocked": true}))).await.0, 200);
    why_is(&gateway, "/stations/CP", "blocked").await;
}

#[tokio::test]
async fn a_flood_of_refusals_is_counted_for_each_identity() {
    let gateway = start(|config: &mut Config| config.stations.unknown = Admission::Reject).await;
    let ocpp = [("Sec-WebSocket-Protocol", "ocpp1.6")];
    for nth in 0..30 {
        let path = format!("/ocpp/STRANGER_{}", nth % 3);
        assert!(Charger::connect(gateway.ocpp(), &path, &ocpp).await.is_err());
    }
    for nth in 0..3 {
        eventually("all are counted", || async {
            let answer = why(&gateway, &format!("/stations/STRANGER_{nth}")).await;
            answer["summary"].as_str()?.contains("10 times").then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn stations_without_tls() {
    let place = Place::new();
    let gateway = start(|config| place.encrypt(config)).await;
    let made = json!({"station_id": "CP", "min_security_profile": 3, "certificate_name": "SN-0815"});
    assert_eq!(gateway.api("POST", "/stations", Some(made)).await.0, 201);
    // Its certificate says who it is, though it has expired; nobody is let in by that.
    let old = place.stations.station("SN-0815", |params| {
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2021, 1, 1);
    });
    assert_eq!(place.client_of(old).knock(gateway.ocpp(), "CP", None).await, None);
    says(&why_is(&gateway, "/stations/CP", "refused_tls").await, "has expired");
    // Another station's certificate.
    let other = place.stations.station("OTHER", |_| {});
    assert_eq!(place.client_of(other).knock(gateway.ocpp(), "CP", None).await, Some(403));
    says(&why_is(&gateway, "/stations/CP", "refused_tls").await, "not that of this station");
    // No certificate at all.
    assert_eq!(place.client().knock(gateway.ocpp(), "CP", None).await, Some(403));
    why_is(&gateway, "/stations/CP", "refused_profile").await;

    // A stranger that fails before it names anybody may be any station that never came.
    let made = json!({"station_id": "NEW"});
    assert_eq!(gateway.api("POST", "/stations", Some(made)).await.0, 201);
    let told = eventually("the failed connections are told", || async {
        let answer = why(&gateway, "/stations/NEW").await;
        answer["facts"]
            .as_array()?
            .iter()
            .any(|fact| fact["text"].as_str().unwrap_or("").contains("127.0.0.1"))
            .then_some(answer)
    })
    .await;
    assert_eq!(verdict(&told), "never_connected");
}

#[tokio::test]
async fn stations_that_do_not_work() {
    let gateway = start(|_| {}).await;
    let pending = json!({"station_id": "NEW", "boot_status": "pending"});
    assert_eq!(gateway.api("POST", "/stations", Some(pending)).await.0, 201);
    let mut charger = gateway.charger("NEW").await;
    charger.still_serves().await;
    why_is(&gateway, "/stations/NEW", "pending").await;
    let accepted = json!({"boot_status": "accepted"});
    assert_eq!(gateway.api("PATCH", "/stations/NEW", Some(accepted)).await.0, 200);
    why_is(&gateway, "/stations/NEW", "not_booted").await;
    assert_eq!(charger.boot().await, "Accepted");
    why_is(&gateway, "/stations/NEW", "ok").await;
    status(&mut charger, 1, "Unavailable", "NoError").await;
    why_is(&gateway, "/stations/NEW", "unavailable").await;
    status(&mut charger, 1, "Faulted", "GroundFailure").await;
    says(&why_is(&gateway, "/stations/NEW", "faulted").await, "residual current");
    status(&mut charger, 1, "Available", "NoError").await;
    why_is(&gateway, "/stations/NEW", "ok").await;
    let refused = json!({"boot_status": "rejected"});
    assert_eq!(gateway.api("PATCH", "/stations/NEW", Some(refused)).await.0, 200);
    why_is(&gateway, "/stations/NEW", "rejected").await;
    drop(charger);

    for _ in 0..6 {
        let mut again = gateway.booted("FLAP").await;
        again.still_serves().await;
    }
    why_is(&gateway, "/stations/FLAP", "flapping").await;
}

#[tokio::test]
async fn sessions_from_their_start_to_their_end() {
    let gateway = start(|_| {}).await;
    let mut charger = gateway.booted("CP").await;
    charger.still_serves().await;
    let id = started(&mut charger, "TAG").await;
    let path = format!("/transactions/{id}");
    why_is(&gateway, &path, "ok").await;
    status(&mut charger, 1, "SuspendedEV", "NoError").await;
    why_is(&gateway, &path, "suspended_by_car").await;
    why_is(&gateway, "/stations/CP", "suspended_by_car").await;
    status(&mut charger, 1, "SuspendedEVSE", "NoError").await;
    why_is(&gateway, &path, "suspended_by_station").await;
    status(&mut charger, 1, "Available", "NoError").await;
    why_is(&gateway, &path, "never_stopped").await;
    stop(&mut charger, id, 8_000, None).await;
    says(&why_is(&gateway, &path, "stopped_by_driver").await, "7.00 kWh");
    for (reason, meter, expected) in [
        ("Remote", 2_000, "stopped_remotely"),
        ("PowerLoss", 2_000, "power_loss"),
        ("EmergencyStop", 2_000, "emergency_stop"),
        ("DeAuthorized", 2_000, "deauthorized"),
        ("EVDisconnected", 2_000, "unplugged"),
        ("SoftReset", 2_000, "station_restarted"),
        ("Local", 500, "energy_implausible"),
        ("PowerLoss", 5_000_000, "energy_implausible"),
        ("Local", 1_000, "no_energy"),
    ] {
        let id = started(&mut charger, "TAG").await;
        stop(&mut charger, id, meter, Some(reason)).await;
        why_is(&gateway, &format!("/transactions/{id}"), expected).await;
    }
    let (lost, next) = (started(&mut charger, "TAG").await, started(&mut charger, "TAG").await);
    let answer = why_is(&gateway, &format!("/transactions/{lost}"), "orphaned").await;
    says(&answer, &next.to_string());
    let (code, _) = gateway.api("POST", &format!("/transactions/{next}/close"), Some(json!({}))).await;
    assert_eq!(code, 200);
    why_is(&gateway, &format!("/transactions/{next}"), "never_stopped").await;
    let open = started(&mut charger, "TAG").await;
    drop(charger);
    why_is(&gateway, &format!("/transactions/{open}"), "offline").await;
}

/// Orders a command, answers it as the charger, and returns its id.
async fn commanded(gateway: &Running, charger: &mut Charger, order: Value, answer: Option<Value>) -> String {
    let mut order = order;
    order["wait"] = false.into();
    let (code, command) = gateway.api("POST", "/stations/CP/commands", Some(order)).await;
    assert_eq!(code, 202, "{command}");
    let call: Value = serde_json::from_str(&charger.receive().await).expect("JSON");
    if let Some(answer) = answer {
        charger.send(&json!([3, call[1], answer]).to_string()).await;
    }
    command["id"].as_str().expect("an id").to_owned()
}

#[tokio::test]
async fn commands_and_what_came_of_them() {
    let gateway = start(|_| {}).await;
    let mut charger = gateway.booted("CP").await;
    charger.still_serves().await;
    status(&mut charger, 1, "Available", "NoError").await;
    let wait =
        json!({"action": "ChangeConfiguration", "payload": {"key": "ConnectionTimeOut", "value": "1"}});
    let id = commanded(&gateway, &mut charger, wait, Some(json!({"status": "Accepted"}))).await;
    why_is(&gateway, &format!("/commands/{id}"), "ok").await;

    let go = json!({"action": "RemoteStartTransaction", "payload": {"idTag": "TAG", "connectorId": 1}});
    let id = commanded(&gateway, &mut charger, go.clone(), Some(json!({"status": "Accepted"}))).await;
    let answer = why_is(&gateway, &format!("/commands/{id}"), "no_cable").await;
    says(&answer, "no StartTransaction followed within 1 s; the connector was Available the whole time");
    says(&answer, &id);
    says(&why_is(&gateway, "/stations/CP", "no_cable").await, &id);

    let id = commanded(&gateway, &mut charger, go, Some(json!({"status": "Rejected"}))).await;
    says(&why_is(&gateway, &format!("/commands/{id}"), "charger_said_no").await, "Rejected");

    let reset = |timeout: &str| json!({"action": "Reset", "payload": {"type": "Soft"}, "timeout": timeout});
    for _ in 0..2 {
        let id = commanded(&gateway, &mut charger, reset("200ms"), None).await;
        why_is(&gateway, &format!("/commands/{id}"), "timeout").await;
    }
    says(&why_is(&gateway, "/stations/CP", "not_answering").await, "2 commands");
    let id = commanded(&gateway, &mut charger, reset("1m"), None).await;
    why_is(&gateway, &format!("/commands/{id}"), "waiting").await;
    drop(charger);
    why_is(&gateway, &format!("/commands/{id}"), "connection_lost").await;

    let queued = |more: Value| {
        let mut order = reset("1s");
        order["queue"] = true.into();
        order.as_object_mut().expect("members").extend(more.as_object().expect("members").clone());
        order
    };
    eventually("it is gone", || async {
        (gateway.get("/stations/CP").await["connected"] == false).then_some(())
    })
    .await;
    let (code, command) = gateway.api("POST", "/stations/CP/commands", Some(queued(json!({})))).await;
    assert_eq!(code, 202, "{command}");
    let path = format!("/commands/{}", command["id"].as_str().expect("an id"));
    says(&why_is(&gateway, &path, "waiting").await, "its station is not connected");
    assert_eq!(gateway.api("POST", &format!("{path}/cancel"), None).await.0, 200);
    why_is(&gateway, &path, "canceled").await;
    let short = queued(json!({"expires_in": "1s"}));
    let (_, command) = gateway.api("POST", "/stations/CP/commands", Some(short)).await;
    why_is(&gateway, &format!("/commands/{}", command["id"].as_str().expect("an id")), "expired").await;
}

#[tokio::test]
async fn tags_and_where_they_were_refused() {
    let gateway =
        start(|config: &mut Config| config.authorization.unknown_id_tag = UnknownIdTag::Invalid).await;
    let put = async |tag: &str, body: Value| {
        assert!((200..300).contains(&gateway.api("PUT", &format!("/id-tags/{tag}"), Some(body)).await.0));
    };
    put("GOOD", json!({})).await;
    put("BLOCKED", json!({"status": "Blocked"})).await;
    put("INVALID", json!({"status": "Invalid"})).await;
    put("OLD", json!({"expiry_date": "2020-01-01T00:00:00Z"})).await;
    put("ONCE", json!({"max_active_transactions": 1})).await;
    put("THEIRS", json!({"owner_id": "acme"})).await;
    let mut charger = gateway.booted("CP").await;
    charger.still_serves().await;
    for (tag, expected) in [
        ("GOOD", "ok"),
        ("BLOCKED", "tag_blocked"),
        ("INVALID", "tag_invalid"),
        ("OLD", "tag_expired"),
        ("ONCE", "ok"),
        ("THEIRS", "tag_other_owner"),
        ("NOBODYS", "tag_unknown"),
    ] {
        charger.call("Authorize", json!({"idTag": tag})).await;
        let answer = why_is(&gateway, &format!("/id-tags/{tag}"), expected).await;
        let facts = answer["facts"].as_array().expect("facts");
        assert!(facts.iter().any(|fact| fact["kind"] == "event"), "where it was held: {answer}");
    }
    let id = started(&mut charger, "ONCE").await;
    says(&why_is(&gateway, "/id-tags/ONCE", "concurrent").await, &id.to_string());
    let id = started(&mut charger, "BLOCKED").await;
    says(&why_is(&gateway, &format!("/transactions/{id}"), "tag_blocked").await, "BLOCKED");
}

#[test]
fn every_verdict_is_documented() {
    let page = include_str!("../../docs/why.md");
    for verdict in Verdict::ALL {
        let row = format!("| `{verdict}` | {} |", verdict.meaning());
        assert!(page.contains(&row), "docs/why.md has no row {row:?}");
    }
    let description = &openapi_document()["components"]["schemas"]["WhyVerdict"]["description"];
    assert!(description.as_str().expect("a text").contains("`no_cable`"));
}

#[tokio::test]
async fn deliveries_that_do_not_arrive() {
    let gateway = start(|_| {}).await;
    let hook =
        json!({"url": "http://127.0.0.1:9/", "events": ["BootNotification"], "retry_schedule": ["1h"]});
    let (code, hook) = gateway.api("POST", "/webhooks", Some(hook)).await;
    assert_eq!(code, 201);
    let mut charger = gateway.booted("CP").await;
    charger.still_serves().await;
    let delivery = gateway.get("/deliveries").await["data"][0]["id"].as_str().expect("an id").to_owned();
    let path = format!("/deliveries/{delivery}");
    eventually("the first attempt is over", || async {
        let answer = why(&gateway, &path).await;
        answer["summary"].as_str()?.contains("(connect)").then_some(())
    })
    .await;
    why_is(&gateway, &path, "retrying").await;
    assert_eq!(gateway.api("POST", &format!("/webhooks/{}/pause", hook["id"]), Some(json!({}))).await.0, 200);
    says(&why(&gateway, &path).await, "is paused");
    assert_eq!(gateway.api("POST", &format!("{path}/cancel"), None).await.0, 200);
    why_is(&gateway, &path, "discarded").await;
}
