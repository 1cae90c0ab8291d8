//! The gateways that work on one store, as they are listed, and which of them a station is connected to.

use serde_json::{Value, json};

use crate::csv::ask;
use crate::dashboard::Browser;
use crate::deliveries::webhook;
use crate::harness::{ADMIN_KEY, eventually, http_client, start};
use crate::operator::{row, run};
use crate::receiver::{Answer, Receiver};

#[tokio::test]
async fn a_gateway_with_a_store_of_its_own_lists_itself() {
    let gateway = start(|_| {}).await;
    webhook(&gateway, "http://127.0.0.1:9/x", json!({})).await;
    let charger = gateway.booted("CP_1").await;
    gateway.api("POST", "/stations", Some(json!({"station_id": "CP_2"}))).await;

    let nodes = gateway.get("/nodes").await;
    assert_eq!((&nodes["next_cursor"], nodes["data"].as_array().map(Vec::len)), (&Value::Null, Some(1)));
    let node = &nodes["data"][0];
    assert_eq!((&node["status"], &node["version"]), (&json!("active"), &json!(env!("CARGO_PKG_VERSION"))));
    assert_eq!((&node["stations_connected"], &node["lanes"]), (&json!(1), &json!(1)));
    let api = gateway.url("/").trim_start_matches("http://").trim_end_matches('/').to_owned();
    assert_eq!(node["api_addr"], api);
    assert!(node["ocpp_addr"].as_str().is_some_and(|address| address.starts_with("127.0.0.1:")), "{node}");
    assert!(node["last_seen_at"].as_str() > node["started_at"].as_str(), "it is seen whenever it is asked");
    let (name, epoch) = (node["name"].as_str().expect("a name"), node["epoch"].to_string());

    let listed = gateway.get("/stations?order=asc").await;
    assert_eq!((&listed["data"][0]["node"], &listed["data"][1]["node"]), (&json!(name), &Value::Null));
    assert_eq!(gateway.get("/stations/CP_1").await["node"], name);
    assert_eq!(ask(&gateway, ADMIN_KEY, "/stations?order=asc").await.column("node"), [name, ""]);

    let shown = run(&gateway, &["nodes"]).await.out();
    let heading = shown.lines().next().expect("a heading").split("  ").map(str::trim);
    let heading: Vec<_> = heading.filter(|name| !name.is_empty()).collect();
    assert_eq!(heading.join(","), "NAME,STATUS,STATIONS,LANES,LAST SEEN,SINCE,OCPP,API,VERSION,EPOCH");
    assert_eq!(row(&shown, name)[..5], [name, "active", "1", "1", "now"], "{shown}");
    assert_eq!(row(&shown, name)[7..], [&api, env!("CARGO_PKG_VERSION"), &epoch], "{shown}");
    let raw = run(&gateway, &["nodes", "--json"]).await.json();
    assert_eq!(raw["data"][0]["epoch"], node["epoch"]);
    let csv = run(&gateway, &["nodes", "--csv"]).await.out();
    let names =
        "name,epoch,version,status,started_at,last_seen_at,ocpp_addr,api_addr,stations_connected,lanes";
    assert_eq!(csv.lines().next(), Some(names));

    drop(charger);
    eventually("it is gone", async || {
        let station = gateway.get("/stations/CP_1").await;
        (station["connected"] == false).then(|| assert_eq!(station["node"], Value::Null))
    })
    .await;
    assert_eq!(gateway.get("/nodes").await["data"][0]["stations_connected"], 0);

    let gateway = gateway.restart(|_| {}).await;
    let again = gateway.get("/nodes").await;
    assert_eq!(again["data"].as_array().map(Vec::len), Some(1), "it leaves nothing behind: {again}");
    assert!(again["data"][0]["epoch"].as_i64() > node["epoch"].as_i64(), "{again}");
    gateway.stop().await;
}

#[tokio::test]
async fn nodes_are_not_for_the_key_of_an_owner() {
    let gateway = start(|_| {}).await;
    let key = json!({"name": "acme", "scopes": ["admin"], "owner_id": "acme"});
    let (_, key) = gateway.api("POST", "/api-keys", Some(key)).await;
    let key = key["key"].as_str().expect("a key");
    for accepts in ["application/json", "text/csv"] {
        let request = http_client().get(gateway.url("/api/v1/nodes")).header("Accept", accepts);
        let answer = request.header("X-API-Key", key).send().await.expect("answers");
        assert_eq!(answer.status(), 403);
        let problem: Value = answer.json().await.expect("a problem");
        assert!(
            problem["detail"].as_str().is_some_and(|text| text.contains("bound to an owner")),
            "{problem}"
        );
    }
    let own = Browser::signed_in(&gateway, key).await.page("/ui/system").await;
    assert!(own.contains("Storage") && !own.contains("csv/nodes"), "{own}");
    let whole = Browser::signed_in(&gateway, ADMIN_KEY).await.page("/ui/system").await;
    assert!(whole.contains("href=\"/ui/csv/nodes\"") && whole.contains("chip ok\">active"), "{whole}");
    gateway.stop().await;
}

#[tokio::test]
async fn the_metrics_say_which_node_they_are_of() {
    let gateway = start(|_| {}).await;
    webhook(&gateway, "http://127.0.0.1:9/x", json!({})).await;
    let node = gateway.get("/nodes").await["data"][0].clone();
    let answer = http_client().get(gateway.url("/metrics")).send().await.expect("answers");
    let text = answer.text().await.expect("text");
    let (name, epoch) = (node["name"].as_str().expect("a name"), &node["epoch"]);
    for line in [
        format!("chargehook_node_info{{name=\"{name}\",version=\"{}\"}} 1", env!("CARGO_PKG_VERSION")),
        format!("chargehook_node_epoch {epoch}"),
        "chargehook_node_leads 1".to_owned(),
        "chargehook_node_lanes 1".to_owned(),
    ] {
        assert!(text.lines().any(|told| told == line), "{line}: {text}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn events_about_nodes_can_be_tried_out() {
    let gateway = start(|_| {}).await;
    let receiver = Receiver::always(Answer::Status(200)).await;
    webhook(&gateway, &receiver.url, json!({})).await;
    for (event, member) in
        [("NodeJoined", "epoch"), ("NodeLost", "stations"), ("GatewayRestored", "backup_at")]
    {
        let (status, told) = gateway.api("POST", &format!("/webhooks/1/test?event={event}"), None).await;
        assert_eq!(status, 200, "{told}");
        let got = receiver.so_far().pop().expect("a request");
        let got: Value = serde_json::from_str(&got.body).expect("JSON");
        assert_eq!(got["event"], event);
        assert!(!got["payload"][member].is_null(), "{got}");
    }
    gateway.stop().await;
}
