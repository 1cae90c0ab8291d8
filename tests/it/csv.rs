//! Lists as CSV: every list of the OpenAPI document, whole, and safe to open in a spreadsheet.

use std::collections::BTreeSet;

use chargehook::http::openapi_document;
use futures_util::StreamExt;
use reqwest::header::{ACCEPT, HeaderMap};
use serde_json::{Value, json};

use crate::harness::{ADMIN_KEY, Running, http_client, start};

/// An answer to somebody who prefers a CSV.
pub(crate) struct Answer {
    status: u16,
    headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("visible"))
    }

    /// The names of the columns, and the rows.
    fn table(&self) -> (Vec<String>, Vec<Vec<String>>) {
        assert_eq!(self.status, 200, "{}", self.text);
        assert_eq!(self.header("content-type"), "text/csv; charset=utf-8; header=present");
        let mut reader = csv::Reader::from_reader(self.text.as_bytes());
        let names = reader.headers().expect("a line of names").iter().map(str::to_owned).collect();
        let rows = reader.records().map(|row| row.expect("a row").iter().map(str::to_owned).collect());
        (names, rows.collect())
    }

    /// The cells of one column.
    pub(crate) fn column(&self, name: &str) -> Vec<String> {
        let (names, rows) = self.table();
        let place = names.iter().position(|column| column == name);
        let place = place.unwrap_or_else(|| panic!("no column {name} in {names:?}"));
        rows.into_iter().map(|mut row| row.swap_remove(place)).collect()
    }
}

fn request(gateway: &Running, key: &str, path: &str) -> reqwest::RequestBuilder {
    http_client().get(gateway.url(path)).header("X-API-Key", key).header(ACCEPT, "text/csv")
}

pub(crate) async fn ask(gateway: &Running, key: &str, path: &str) -> Answer {
    let response = request(gateway, key, &format!("/api/v1{path}")).send().await.expect("answers");
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    Answer { status, headers, text: response.text().await.expect("a whole body") }
}

/// What the cell of a value must say.
fn fits(value: &Value, cell: &str) -> bool {
    match value {
        Value::Null => cell.is_empty(),
        Value::String(text) => cell == text || cell == format!("'{text}"),
        Value::Bool(flag) => cell == if *flag { "true" } else { "false" },
        Value::Number(number) => cell == number.as_str(),
        other => serde_json::from_str::<Value>(cell).ok().as_ref() == Some(other),
    }
}

/// The value of a column: its name is a path, but for members whose names have dots themselves.
fn value_at<'v>(row: &'v Value, name: &str) -> &'v Value {
    name.split('.').fold(row, |value, step| &value[step])
}

/// A gateway with something in every list.
async fn busy() -> (Running, String, String) {
    let gateway = start(|_| {}).await;
    let made = |path: &'static str, body: Value| {
        let gateway = &gateway;
        async move {
            let (status, body) = gateway.api("POST", path, Some(body)).await;
            assert!((200..300).contains(&status), "{path}: {status} {body}");
            body
        }
    };
    let station = json!({"station_id": "CP_1", "name": "=HYPERLINK(1)", "metadata": {"note": "a,\"b\"\n"}});
    made("/stations", station).await;
    let hook = json!({"url": "http://127.0.0.1:9/x", "name": "-x", "custom_headers": {"x-a": "1"}});
    made("/webhooks", hook).await;
    made("/id-tags/import", json!([{"id_tag": "+49", "note": "@home"}, {"id_tag": "B", "note": null}])).await;
    let mut charger = gateway.booted("CP_1").await;
    let status = json!({"connectorId": 1, "errorCode": "NoError", "status": "Charging", "info": "\tx"});
    charger.call("StatusNotification", status).await;
    let began =
        json!({"connectorId": 1, "idTag": "B", "meterStart": -5, "timestamp": "2026-04-14T12:00:00Z"});
    let transaction = charger.call("StartTransaction", began).await["transactionId"].to_string();
    let sampled = json!([{"value": "-0.50", "measurand": "Power.Active.Import"}, {"value": "-x"}]);
    let values = json!({"connectorId": 1, "transactionId": transaction.parse::<i64>().expect("a number"),
        "meterValue": [{"timestamp": "2026-04-14T12:05:00Z", "sampledValue": sampled}]});
    charger.call("MeterValues", values).await;
    drop(charger);
    let reset = json!({"action": "Reset", "payload": {"type": "Soft"}, "queue": true});
    made("/stations/CP_1/commands", reset).await;
    let bulk = json!({"stations": {"q": "CP"}, "action": "ClearCache", "offline": "queue"});
    made("/bulk-commands", bulk).await;
    let event = made("/events", json!({"event": "a.b", "payload": {"n": 1.5}, "webhook_id": 1})).await;
    made("/webhooks/1/replay", json!({"since": "2020-01-01T00:00:00Z", "only": "all"})).await;
    let event = event["id"].as_str().expect("an id").to_owned();
    (gateway, event, transaction)
}

#[tokio::test]
async fn every_list_of_the_document_is_a_csv_of_its_rows() {
    let (gateway, event, transaction) = busy().await;
    let mut lists = 0;
    for (path, item) in openapi_document()["paths"].as_object().expect("paths") {
        let content = &item["get"]["responses"]["200"]["content"];
        let schema = content["application/json"]["schema"].to_string();
        if content["text/csv"].is_null() {
            assert!(!schema.contains("/Page_"), "{path} is a list, and no CSV");
            continue;
        }
        lists += 1;
        let path = path.trim_start_matches("/api/v1");
        let id = match path {
            path if path.starts_with("/stations") => "CP_1",
            path if path.starts_with("/events") => &event,
            path if path.starts_with("/transactions") => &transaction,
            path if path.starts_with("/webhooks") => "1",
            _ => "none",
        };
        let query = match path {
            path if path.ends_with("/summary") => "?group_by=owner",
            // A span that does not go on while one looks.
            path if path.ends_with("/uptime") => "?month=2020-01",
            _ => "",
        };
        let path = format!("{}{query}", path.replace("{id}", id));
        let before = gateway.api("GET", &path, None).await;
        let answer = ask(&gateway, ADMIN_KEY, &path).await;
        if before.0 != 200 {
            assert_eq!(
                (answer.status, answer.header("content-type")),
                (before.0, "application/problem+json")
            );
            continue;
        }
        let (names, rows) = answer.table();
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len(), "{path}: {names:?}");
        // What goes on meanwhile may have changed a row.
        let data = gateway.get(&path).await["data"].clone();
        assert_eq!(rows.len(), data.as_array().expect("rows").len(), "{path}");
        for (row, cells) in data.as_array().expect("rows").iter().zip(&rows) {
            for (name, cell) in names.iter().zip(cells) {
                let value = value_at(row, name);
                let same = fits(value, cell) || fits(value_at(&before.1, name), cell);
                let moves = name.ends_with("_at") || ["attempts", "status", "done"].contains(&name.as_str());
                assert!(same || moves, "{path}: {name} is {value}, the cell {cell}");
            }
            for member in row.as_object().expect("an object").keys() {
                let has = |name: &String| {
                    name.strip_prefix(member.as_str())
                        .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
                };
                assert!(names.iter().any(has), "{path}: no column for {member}");
            }
        }
    }
    assert!(lists >= 17, "{lists}");
}

#[tokio::test]
async fn a_text_is_no_formula_and_a_number_stays_one() {
    let (gateway, event, transaction) = busy().await;
    let get = |path: String| {
        let gateway = &gateway;
        async move { ask(gateway, ADMIN_KEY, &path).await }
    };
    let stations = get("/stations".into()).await;
    assert_eq!(stations.column("name"), ["'=HYPERLINK(1)"]);
    assert_eq!(stations.column("metadata"), [r#"{"note":"a,\"b\"\n"}"#]);
    assert_eq!(stations.column("station_id"), ["CP_1"]);
    assert!(stations.text.starts_with("station_id,"), "as the answers have them: {}", stations.text);
    assert_eq!(stations.header("content-disposition"), r#"attachment; filename="stations.csv""#);
    let tags = get("/id-tags?order=asc".into()).await;
    assert_eq!(
        (tags.column("id_tag"), tags.column("note")),
        (["'+49", "B"].map(str::to_owned).to_vec(), ["'@home", ""].map(str::to_owned).to_vec())
    );
    assert_eq!(get("/stations/CP_1/connectors".into()).await.column("info"), ["'\tx"]);
    assert_eq!(get("/transactions".into()).await.column("meter_start"), ["-5"]);
    let values = get(format!("/transactions/{transaction}/meter-values?measurand=Power.Active.Import")).await;
    assert_eq!(
        (values.column("value"), values.column("value_base")),
        (vec!["-0.50".into()], vec!["-0.5".into()])
    );
    let name = format!("attachment; filename=\"transactions-{transaction}-meter-values.csv\"");
    assert_eq!(values.header("content-disposition"), name);
    let events = get("/events?event=a.b".into()).await;
    assert_eq!(
        (events.column("id"), events.column("payload")),
        (vec![event], vec![r#"{"n":1.5}"#.to_owned()])
    );
    let commands = get("/commands?action=Reset".into()).await;
    assert_eq!(
        (commands.column("requested_by.name"), commands.column("error.code")),
        (vec!["admin".to_owned()], vec![String::new()])
    );
}

/// A gateway with so many stations, each with metadata of this size.
async fn with_stations(many: usize, bytes: usize) -> Running {
    let gateway = start(|config| config.api_limits.api_body.0 = 64 << 20).await;
    let metadata = json!({"fill": "x".repeat(bytes)});
    let rows: Vec<Value> = (0..many)
        .map(|number| {
            let owner = if number % 2 == 0 { "even" } else { "odd" };
            json!({"station_id": format!("S{number:04}"), "owner_id": owner, "metadata": metadata})
        })
        .collect();
    for rows in rows.chunks(1_000) {
        let (status, body) = gateway.api("POST", "/stations/import", Some(json!(rows))).await;
        assert_eq!(status, 200, "{body}");
    }
    gateway
}

async fn key(gateway: &Running, owner: Option<&str>) -> (String, String) {
    let body = json!({"name": "k", "scopes": ["read"], "owner_id": owner});
    let (_, made) = gateway.api("POST", "/api-keys", Some(body)).await;
    let text = |name: &str| made[name].as_str().expect("a text").to_owned();
    (text("id"), text("key"))
}

#[tokio::test]
async fn all_pages_come_or_the_one_that_is_asked_for() {
    let gateway = with_stations(1_234, 1).await;
    let all = ask(&gateway, ADMIN_KEY, "/stations?order=asc").await.column("station_id");
    let numbered =
        |range: std::ops::Range<usize>| range.map(|number| format!("S{number:04}")).collect::<Vec<_>>();
    assert_eq!(all, numbered(0..1_234));
    let (_, bound) = key(&gateway, Some("odd")).await;
    let own = ask(&gateway, &bound, "/stations?order=asc").await.column("station_id");
    assert_eq!((own.len(), own[0].as_str()), (617, "S0001"));

    let page = ask(&gateway, ADMIN_KEY, "/stations?order=asc&limit=2").await;
    assert_eq!(page.column("station_id"), numbered(0..2));
    let link =
        page.header("link").strip_prefix("</api/v1").and_then(|link| link.split_once(">; rel=\"next\""));
    let next = link.unwrap_or_else(|| panic!("{:?}", page.headers)).0;
    let page = ask(&gateway, ADMIN_KEY, next).await;
    assert_eq!(page.column("station_id"), numbered(2..4));
    let rest = ask(&gateway, ADMIN_KEY, &next.replace("limit=2&", "")).await;
    assert_eq!(rest.column("station_id"), numbered(2..1_234));
    assert_eq!(rest.header("link"), "", "there is nothing behind it");

    let head = http_client().head(gateway.url("/api/v1/stations")).header("X-API-Key", ADMIN_KEY);
    let head = head.header(ACCEPT, "text/csv").send().await.expect("answers");
    assert!(head.headers()["content-type"].as_bytes().starts_with(b"text/csv"));
    assert_eq!(head.text().await.expect("none"), "");
}

#[tokio::test]
async fn errors_are_problems_and_json_stays_the_default() {
    let gateway = with_stations(600, 1).await;
    let (_, bound) = key(&gateway, Some("odd")).await;
    for (key, path, status, field) in [
        (ADMIN_KEY, "/stations?limit=0&conected=true", 422, "limit"),
        (ADMIN_KEY, "/stations?cursor=x", 422, "cursor"),
        (ADMIN_KEY, "/stations/none/connectors", 404, ""),
        ("nobody's", "/stations", 401, ""),
        (bound.as_str(), "/stations?owner_id=even", 403, ""),
        (bound.as_str(), "/audit", 403, ""),
    ] {
        let answer = ask(&gateway, key, path).await;
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (status, "application/problem+json"),
            "{path}"
        );
        let problem: Value = serde_json::from_str(&answer.text).expect("JSON");
        let fields: Vec<&str> =
            problem["errors"].as_array().into_iter().flatten().filter_map(|e| e["field"].as_str()).collect();
        assert!(field.is_empty() || fields.contains(&field), "{path}: {}", answer.text);
    }
    let empty = ask(&gateway, ADMIN_KEY, "/transactions").await;
    let (names, rows) = empty.table();
    assert!(names.contains(&"energy_wh".to_owned()) && rows.is_empty(), "a list without rows has its names");
    for accept in ["*/*", "application/json, text/csv;q=0.5", "text/html,*/*;q=0.8"] {
        let request = http_client().get(gateway.url("/api/v1/stations")).header("X-API-Key", ADMIN_KEY);
        let answer = request.header(ACCEPT, accept).send().await.expect("answers");
        assert_eq!(answer.headers()["content-type"], "application/json", "{accept}");
    }
    let single = ask(&gateway, ADMIN_KEY, "/stations/S0001").await;
    assert_eq!(single.header("content-type"), "application/json", "it is no list");
    let stream = request(&gateway, ADMIN_KEY, "/api/v1/stations/S0001/messages?follow=true");
    let stream = stream.send().await.expect("answers");
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
}

#[tokio::test]
async fn a_file_that_cannot_be_finished_is_cut_off() {
    let gateway = with_stations(1_500, 15_000).await;
    let (id, key) = key(&gateway, None).await;
    let response = request(&gateway, &key, "/api/v1/stations").send().await.expect("answers");
    assert_eq!(response.status(), 200);
    let mut body = response.bytes_stream();
    body.next().await.expect("a first page").expect("arrives");
    assert_eq!(gateway.api("DELETE", &format!("/api-keys/{id}"), None).await.0, 204);
    // What fits into the buffers of the sockets still comes; they hold less than all of it.
    let mut ended_badly = false;
    while let Some(chunk) = body.next().await {
        ended_badly = chunk.is_err();
        if ended_badly {
            break;
        }
    }
    assert!(ended_badly, "a short file must not look whole");
}

#[tokio::test]
async fn a_long_file_takes_the_place_of_a_stream() {
    let gateway = with_stations(501, 1).await;
    let gateway = gateway.restart(|config| config.api_limits.streams = 0).await;
    let answer = ask(&gateway, ADMIN_KEY, "/stations").await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, "2"), "{}", answer.text);
    assert_eq!(ask(&gateway, ADMIN_KEY, "/stations?limit=500").await.column("station_id").len(), 500);
}
