//! Full-text search through the API: what is found, for whom, and that any text may be asked for.

use serde_json::{Value, json};

use crate::deliveries::webhook;
use crate::harness::{Running, eventually, http_client, start};
use crate::receiver::{Answer, Receiver};

async fn found(gateway: &Running, list: &str, q: &str, more: &str) -> Vec<Value> {
    let q: String = url::form_urlencoded::byte_serialize(q.as_bytes()).collect();
    let (status, body) = gateway.api("GET", &format!("/{list}?q={q}&{more}"), None).await;
    assert_eq!(status, 200, "{q}: {body}");
    body["data"].as_array().expect("a list").clone()
}

async fn metric(gateway: &Running, name: &str) -> String {
    let text = http_client().get(gateway.url("/metrics")).send().await.expect("answers").text().await;
    let text = text.expect("text");
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
    line.unwrap_or_else(|| panic!("no {name}: {text}")).to_owned()
}

async fn is_indexed(gateway: &Running) {
    eventually("the index has caught up", || async {
        (metric(gateway, "chargehook_search_events_behind").await == "0").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_fresh_event_is_found_at_once_and_an_old_one_by_the_index() {
    let gateway = start(|_| {}).await;
    let receiver = Receiver::always(Answer::Status(200)).await;
    webhook(&gateway, &receiver.url, json!({"events": ["StatusNotification", "Authorize"]})).await;
    let mut charger = gateway.booted("CP").await;
    let fault = json!({"connectorId": 1, "errorCode": "GroundFailure", "status": "Faulted",
        "info": "L1-N über 12.5 mA", "vendorErrorCode": "0x7F"});
    charger.call("StatusNotification", fault).await;
    charger.call("Authorize", json!({"idTag": "04A1B2"})).await;
    let questions = [
        ("04a1b2", 1),
        ("04A1B2 authorize", 0),
        ("groundfailure FAULTED", 1),
        ("ground*", 1),
        ("\"l1-n über\"", 1),
        ("12.5", 1),
        ("0x7F", 1),
        ("over 12.5", 0),
        ("status:Faulted", 1),
        ("\"idTag\":\"04A1B2\"", 1),
        ("A1B2", 0),
        ("04A1B2 OR groundfailure", 0),
        ("\"", 0),
        (" ", 0),
        ("{", 0),
        ("-", 1),
        ("faulted) AND (", 0),
        ("^faulted", 1),
    ];
    for round in ["at once", "indexed", "after a restart"] {
        for (q, count) in questions {
            for list in ["events", "deliveries"] {
                let rows = found(&gateway, list, q, "event=StatusNotification&event=Authorize").await;
                assert_eq!(rows.len(), count, "{round}: {list} with {q}: {rows:?}");
            }
        }
        assert_eq!(
            found(&gateway, "events", "ground*", "station_id=CP&since=2020-01-01T00:00:00Z").await.len(),
            1
        );
        assert_eq!(found(&gateway, "events", "ground*", "station_id=OTHER").await.len(), 0);
        assert_eq!(found(&gateway, "events", "ground*", "until=2020-01-01T00:00:00Z").await.len(), 0);
        assert_eq!(found(&gateway, "deliveries", "ground*", "event=Authorize").await.len(), 0);
        is_indexed(&gateway).await;
        if round == "indexed" {
            break;
        }
    }
    let gateway = gateway.restart(|_| {}).await;
    is_indexed(&gateway).await;
    assert_eq!(found(&gateway, "events", "04A1B2", "order=asc").await.len(), 1);
}

#[tokio::test]
async fn a_key_bound_to_an_owner_finds_its_own_and_any_text_may_be_asked_for() {
    let gateway = start(|_| {}).await;
    for (station, owner) in [("CP_1", "acme"), ("CP_2", "umbrella")] {
        let body = json!({"station_id": station, "owner_id": owner});
        assert_eq!(gateway.api("POST", "/stations", Some(body)).await.0, 201);
        let mut charger = gateway.booted(station).await;
        charger.call("Authorize", json!({"idTag": format!("SECRET {owner}")})).await;
    }
    is_indexed(&gateway).await;
    let key = json!({"name": "acme", "scopes": ["read"], "owner_id": "acme"});
    let (_, key) = gateway.api("POST", "/api-keys", Some(key)).await;
    let key = key["key"].as_str().expect("a key");
    for (q, count) in [("secret", 1), ("umbrella", 0), ("acme", 1), ("secre*", 1), ("umb*", 0)] {
        let url = gateway.url(&format!("/api/v1/events?q={q}"));
        let answer = http_client().get(url).header("X-API-Key", key).send().await.expect("answers");
        let body: Value = answer.json().await.expect("JSON");
        assert_eq!(body["data"].as_array().map(Vec::len), Some(count), "{q}: {body}");
    }
    for q in [
        "*",
        "**",
        "\"",
        "\"\"",
        "\"a",
        "a\"",
        "(",
        ")",
        "a AND",
        "OR",
        "NOT a",
        "NEAR(a b)",
        "a:b",
        "{a}: b",
        "-a",
        "+a",
        "^",
        "a^b",
        "'",
        "''",
        "\\",
        "%",
        "_",
        "[",
        "\u{0}",
        "\u{fffd}",
        "a*b*",
        "\"a\"*\"b\"*",
        ";--",
        "💥",
        "rowid:1",
        "text: a",
    ] {
        found(&gateway, "events", q, "").await;
        found(&gateway, "deliveries", q, "").await;
    }
}
