//! Registered id tags: the API, and what chargers are told (cases 31 to 34 of the reference).

use serde_json::{Value, json};
use vocabulary::ocpp::authorization::UnknownIdTag;

use crate::harness::{ADMIN_KEY, Charger, Running, http_client, start};

async fn put(gateway: &Running, tag: &str, body: Value) -> (u16, Value) {
    gateway.api("PUT", &format!("/id-tags/{tag}"), Some(body)).await
}

async fn start_at(charger: &mut Charger, connector: u32, tag: &str) -> Value {
    let payload =
        json!({"connectorId": connector, "idTag": tag, "meterStart": 0, "timestamp": "2026-04-14T12:00:00Z"});
    charger.call("StartTransaction", payload).await
}

#[tokio::test]
async fn case_31_32_34_tags_are_answered_as_they_are_registered() {
    let gateway = start(|config| config.authorization.unknown_id_tag = UnknownIdTag::Invalid).await;
    for (tag, body) in [
        ("GOOD", json!({"parent_id_tag": "FLEET", "expiry_date": "2099-01-01T00:00:00Z"})),
        ("BLOCKED", json!({"status": "Blocked"})),
        ("OLD", json!({"expiry_date": "2020-01-01T00:00:00Z"})),
        ("BAD", json!({"status": "Invalid"})),
    ] {
        assert_eq!(put(&gateway, tag, body).await.0, 201, "{tag}");
    }
    let mut charger = gateway.booted("CP").await;
    for (tag, verdict) in [
        ("good", "Accepted"),
        ("BLOCKED", "Blocked"),
        ("OLD", "Expired"),
        ("BAD", "Invalid"),
        ("NOBODY", "Invalid"),
    ] {
        let told = charger.call("Authorize", json!({"idTag": tag})).await;
        assert_eq!(told["idTagInfo"]["status"], verdict, "{tag}");
        let started = start_at(&mut charger, 1, tag).await;
        assert!(started["transactionId"].as_i64().is_some_and(|number| number > 0), "{tag}: always a number");
        assert_eq!(started["idTagInfo"]["status"], verdict, "{tag}");
        let stop = json!({"transactionId": started["transactionId"], "meterStop": 0,
            "timestamp": "2026-04-14T12:00:01Z", "reason": "DeAuthorized"});
        assert_eq!(charger.call("StopTransaction", stop).await, json!({}), "{tag}: accepted");
    }
    let told = charger.call("Authorize", json!({"idTag": "GOOD"})).await;
    assert_eq!(told["idTagInfo"]["parentIdTag"], "FLEET");
    assert_eq!(told["idTagInfo"]["expiryDate"], "2099-01-01T00:00:00.000Z");
    // Quirk Q10: stray bytes behind a tag.
    let told = charger.exchange("[2,\"q10\",\"Authorize\",{\"idTag\":\"GOOD\\r\\u0000\"}]").await;
    assert_eq!(told[2]["idTagInfo"]["status"], "Accepted");
}

#[tokio::test]
async fn case_33_a_tag_charges_as_often_as_it_may() {
    let gateway = start(|_| {}).await;
    put(&gateway, "ONCE", json!({"max_active_transactions": 1})).await;
    let mut a = gateway.booted("A").await;
    let mut b = gateway.booted("B").await;
    let first = start_at(&mut a, 1, "ONCE").await;
    assert_eq!(first["idTagInfo"]["status"], "Accepted");
    let second = start_at(&mut b, 1, "once").await;
    assert_eq!(second["idTagInfo"]["status"], "ConcurrentTx");
    assert_ne!(second["transactionId"], first["transactionId"]);
    assert_eq!(start_at(&mut a, 1, "ONCE").await, first, "a retry is not refused for its own sake");
    let told = a.call("Authorize", json!({"idTag": "ONCE"})).await;
    assert_eq!(told["idTagInfo"]["status"], "Accepted", "the driver may want to stop");
    // The refused one counts for nothing.
    assert_eq!(gateway.get("/id-tags/ONCE").await["active_transactions"], 1);
}

#[tokio::test]
async fn what_does_not_charge_does_not_count() {
    let gateway = start(|_| {}).await;
    let verdict = |started: &Value| started["idTagInfo"]["status"].as_str().expect("a verdict").to_owned();
    let at = |connector: u32, tag: &str, time: &str| json!({"connectorId": connector, "idTag": tag, "meterStart": 0, "timestamp": time});
    for tag in ["GHOST", "ORPHAN", "REFUSED", "BLOCKED"] {
        assert_eq!(put(&gateway, tag, json!({"max_active_transactions": 1})).await.0, 201);
    }
    let mut a = gateway.booted("A").await;
    let mut b = gateway.booted("B").await;

    // Its stop is lost, and the same card starts again on that connector.
    a.call("StartTransaction", at(1, "GHOST", "2026-04-14T12:00:00Z")).await;
    let again = at(1, "ghost\u{1}", "2026-04-14T13:00:00Z");
    let started = a.call("StartTransaction", again.clone()).await;
    assert_eq!(verdict(&started), "Accepted");
    assert_eq!(a.call("StartTransaction", again).await, started, "a retry is not refused for its own sake");
    for (charger, connector) in [(&mut a, 2), (&mut b, 1)] {
        let elsewhere =
            charger.call("StartTransaction", at(connector, "GHOST", "2026-04-14T13:05:00Z")).await;
        assert_eq!(verdict(&elsewhere), "ConcurrentTx", "it charges on connector 1 of A");
    }

    // Another card has followed on the connector: an orphan charges nowhere.
    a.call("StartTransaction", at(3, "ORPHAN", "2026-04-14T12:00:00Z")).await;
    a.call("StartTransaction", at(3, "OTHER", "2026-04-14T13:00:00Z")).await;
    let started = b.call("StartTransaction", at(2, "ORPHAN", "2026-04-14T14:00:00Z")).await;
    assert_eq!(verdict(&started), "Accepted");

    // Refused as one too many, and never stopped.
    a.call("StartTransaction", at(4, "REFUSED", "2026-04-14T12:00:00Z")).await;
    let one_too_many = b.call("StartTransaction", at(3, "REFUSED", "2026-04-14T12:30:00Z")).await;
    assert_eq!(verdict(&one_too_many), "ConcurrentTx");
    let stop = json!({"transactionId": -1, "idTag": "REFUSED\u{2}", "meterStop": 900, "timestamp": "2026-04-14T13:00:00Z"});
    a.call("StopTransaction", stop).await;
    let started = a.call("StartTransaction", at(4, "REFUSED", "2026-04-14T14:00:00Z")).await;
    assert_eq!(verdict(&started), "Accepted");

    // Refused as blocked, and let in since.
    assert_eq!(put(&gateway, "BLOCKED", json!({"status": "Blocked"})).await.0, 200);
    let refused = a.call("StartTransaction", at(5, "BLOCKED", "2026-04-14T12:00:00Z")).await;
    assert_eq!(verdict(&refused), "Blocked");
    assert_eq!(put(&gateway, "BLOCKED", json!({"max_active_transactions": 1})).await.0, 200);
    let started = b.call("StartTransaction", at(5, "BLOCKED", "2026-04-14T13:00:00Z")).await;
    assert_eq!(verdict(&started), "Accepted");

    // What counts against the limit is what is shown.
    for tag in ["GHOST", "ORPHAN", "REFUSED", "BLOCKED"] {
        assert_eq!(gateway.get(&format!("/id-tags/{tag}")).await["active_transactions"], 1, "{tag}");
    }
}

#[tokio::test]
async fn a_station_looks_at_its_owners_tags_first() {
    let gateway = start(|config| config.authorization.unknown_id_tag = UnknownIdTag::Invalid).await;
    gateway.api("POST", "/stations", Some(json!({"station_id": "ACME", "owner_id": "acme"}))).await;
    put(&gateway, "T", json!({"status": "Blocked"})).await;
    assert_eq!(put(&gateway, "T", json!({"owner_id": "acme"})).await.0, 201);
    assert_eq!(put(&gateway, "ONLY", json!({"owner_id": "acme"})).await.0, 201);
    let mut theirs = gateway.booted("ACME").await;
    let mut nobodys = gateway.booted("FREE").await;
    for (tag, of_acme, of_nobody) in [("T", "Accepted", "Blocked"), ("ONLY", "Accepted", "Invalid")] {
        let told = theirs.call("Authorize", json!({"idTag": tag})).await;
        assert_eq!(told["idTagInfo"]["status"], of_acme, "{tag}");
        let told = nobodys.call("Authorize", json!({"idTag": tag})).await;
        assert_eq!(told["idTagInfo"]["status"], of_nobody, "{tag}");
    }
}

#[tokio::test]
async fn tags_are_put_listed_and_deleted() {
    let gateway = start(|_| {}).await;
    let (status, made) = put(&gateway, "AB12", json!({"note": "spare"})).await;
    assert_eq!((status, &made["status"], &made["owner_id"]), (201, &json!("Accepted"), &Value::Null));
    let (status, changed) = put(&gateway, "ab12", json!({"status": "Blocked"})).await;
    assert_eq!((status, &changed["status"], &changed["note"]), (200, &json!("Blocked"), &Value::Null));
    assert_eq!(
        put(&gateway, "AB12", json!({"owner_id": "acme"})).await.0,
        201,
        "a tag belongs to (owner, tag)"
    );
    assert_eq!(gateway.get("/id-tags").await["data"].as_array().expect("a list").len(), 2);
    let of_acme = gateway.get("/id-tags?owner_id=acme").await;
    assert_eq!(of_acme["data"][0]["owner_id"], "acme");
    assert_eq!(gateway.get("/id-tags/AB12?owner_id=acme").await["status"], "Accepted");
    assert_eq!(gateway.get("/id-tags/AB12").await["status"], "Blocked");
    assert_eq!(gateway.api("DELETE", "/id-tags/Ab12", None).await.0, 204);
    assert_eq!(gateway.api("GET", "/id-tags/AB12", None).await.0, 404);
    assert_eq!(gateway.api("DELETE", "/id-tags/AB12", None).await.0, 404);
    let (status, problem) =
        put(&gateway, "X", json!({"status": "ConcurrentTx", "max_active_transactions": -1, "colour": "red"}))
            .await;
    assert_eq!(status, 422);
    let mut fields: Vec<_> =
        problem["errors"].as_array().expect("a list").iter().map(|e| e["field"].clone()).collect();
    fields.sort_by_key(ToString::to_string);
    assert_eq!(fields, [json!("colour"), json!("max_active_transactions"), json!("status")]);
}

async fn import(gateway: &Running, content_type: &str, body: &str) -> (u16, Value) {
    let response = http_client()
        .post(gateway.url("/api/v1/id-tags/import"))
        .header("X-API-Key", ADMIN_KEY)
        .header("Content-Type", content_type)
        .body(body.to_owned())
        .send()
        .await
        .expect("answers");
    (response.status().as_u16(), response.json().await.expect("JSON"))
}

#[tokio::test]
async fn an_import_tells_what_became_of_each_row() {
    let gateway = start(|_| {}).await;
    put(&gateway, "KNOWN", json!({})).await;
    let csv = "id_tag,status,max_active_transactions,note\nNEW,Blocked,2,\"a, b\"\nKNOWN,,,\n,Accepted,,\nODD,Maybe,x,\n";
    let (status, told) = import(&gateway, "text/csv; charset=utf-8", csv).await;
    assert_eq!(status, 200, "{told}");
    let results: Vec<_> =
        told["data"].as_array().expect("a list").iter().map(|row| row["result"].clone()).collect();
    assert_eq!(results, [json!("created"), json!("updated"), json!("invalid"), json!("invalid")]);
    assert_eq!(told["data"][2]["errors"][0]["field"], "id_tag");
    assert_eq!(told["data"][3]["errors"].as_array().expect("a list").len(), 2, "{told}");
    let new = gateway.get("/id-tags/NEW").await;
    assert_eq!(
        (&new["status"], &new["max_active_transactions"], &new["note"]),
        (&json!("Blocked"), &json!(2), &json!("a, b"))
    );
    assert_eq!(gateway.api("GET", "/id-tags/ODD", None).await.0, 404);

    let rows = json!([{"id_tag": "J1", "owner_id": "acme"}, {"id_tag": "J2", "colour": "red"}, 7]);
    let (status, told) = import(&gateway, "application/json", &rows.to_string()).await;
    assert_eq!(status, 200, "{told}");
    let results: Vec<_> =
        told["data"].as_array().expect("a list").iter().map(|row| row["result"].clone()).collect();
    assert_eq!(results, [json!("created"), json!("invalid"), json!("invalid")]);
    assert_eq!(import(&gateway, "text/csv", "status\nBlocked\n").await.0, 400);
    assert_eq!(import(&gateway, "application/json", "{}").await.0, 400);
}
