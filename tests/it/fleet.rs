//! A fleet as its operator looks at it: where stations stand, which are away and since when, what they last
//! complained of, which connectors are free.

use serde_json::{Value, json};

use crate::harness::{ADMIN_KEY, Running, http_client, start};

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
