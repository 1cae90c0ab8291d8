//! Stations as operators manage them: imported in bulk, found by filters, approved, blocked, removed.

use chargehook::client::Client;
use chargehook::station::Admission;
use serde_json::{Value, json};
use vocabulary::clock::{Clock, Timestamp};

use crate::harness::{ADMIN_KEY, Charger, Running, eventually, http_client, start};

async fn import(gateway: &Running, key: &str, content_type: &str, body: String) -> (u16, Value) {
    let response = http_client()
        .post(gateway.url("/api/v1/stations/import"))
        .header("X-API-Key", key)
        .header("Content-Type", content_type)
        .body(body)
        .send()
        .await
        .expect("answers");
    (response.status().as_u16(), response.json().await.expect("JSON"))
}

fn results(told: &Value) -> Vec<&str> {
    let rows = told["data"].as_array().expect("a list");
    rows.iter().map(|row| row["result"].as_str().expect("a word")).collect()
}

fn ids(listed: &Value) -> Vec<&str> {
    let rows = listed["data"].as_array().expect("a list");
    rows.iter().map(|row| row["station_id"].as_str().expect("an id")).collect()
}

#[tokio::test]
async fn an_import_makes_and_changes_stations_row_by_row() {
    let gateway = start(|_| {}).await;
    let known = json!({"station_id": "KNOWN", "name": "Old", "owner_id": "acme", "password": "12345678"});
    gateway.api("POST", "/stations", Some(known)).await;
    let csv = "\u{feff}station_id,name,password,min_security_profile,blocked,ping,time_zone,metadata,message_size\n\
        NEW,\"Yard, left\",a-password,1,false,false,Europe/Berlin,\"{\"\"site\"\": 7}\",64KiB\n\
        KNOWN,New,,,,,,,\n\
        NEW,Twice,,,,,,,\n\
        a/b,,short,9,maybe,,not a zone,[],1B\n\
        ,Nameless,,,,,,,\n";
    let (status, told) = import(&gateway, ADMIN_KEY, "text/csv; charset=utf-8", csv.to_owned()).await;
    assert_eq!(status, 200, "{told}");
    assert_eq!(results(&told), ["created", "updated", "invalid", "invalid", "invalid"], "{told}");
    assert!(!told.to_string().contains("a-password"));
    let new = gateway.get("/stations/NEW").await;
    for (field, value) in [
        ("name", json!("Yard, left")),
        ("password_set", json!(true)),
        ("min_security_profile", json!(1)),
        ("blocked", json!(false)),
        ("ping", json!(false)),
        ("time_zone", json!("Europe/Berlin")),
        ("metadata", json!({"site": 7})),
        ("message_size", json!("64KiB")),
    ] {
        assert_eq!(new[field], value, "{field}");
    }
    let known = gateway.get("/stations/KNOWN").await;
    assert_eq!(
        (&known["name"], &known["owner_id"], &known["password_set"]),
        (&json!("New"), &json!("acme"), &json!(true)),
        "what the row does not give stays"
    );
    assert_eq!(told["data"][2]["errors"][0]["message"], "is that of row 1 too");
    let mut wrong: Vec<_> =
        told["data"][3]["errors"].as_array().expect("a list").iter().map(|e| &e["field"]).collect();
    wrong.sort_by_key(ToString::to_string);
    let expected = [
        "blocked",
        "message_size",
        "metadata",
        "min_security_profile",
        "password",
        "station_id",
        "time_zone",
    ];
    assert_eq!(wrong, expected, "{told}");
    assert_eq!(told["data"][4]["errors"][0], json!({"field": "station_id", "message": "is required"}));

    // The imported password is the one that lets the station in.
    let basic = |password: &str| {
        use base64::Engine;
        format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("NEW:{password}")))
    };
    let refused =
        Charger::connect(gateway.ocpp(), "/ocpp/NEW", &[("Authorization", &basic("another1"))]).await.err();
    assert_eq!(refused.expect("refused").status(), 401);
    let headers = [("Authorization", &*basic("a-password")), ("Sec-WebSocket-Protocol", "ocpp1.6")];
    Charger::connect(gateway.ocpp(), "/ocpp/NEW", &headers).await.expect("let in").still_serves().await;

    let rows = json!([{"station_id": "J1", "password": null}, {"station_id": "KNOWN", "password": null}, 7,
        {"station_id": "J2", "vendor": "X"}]);
    let (_, told) = import(&gateway, ADMIN_KEY, "application/json", rows.to_string()).await;
    assert_eq!(results(&told), ["created", "updated", "invalid", "invalid"], "{told}");
    assert_eq!(gateway.get("/stations/KNOWN").await["password_set"], false);
    assert_eq!(import(&gateway, ADMIN_KEY, "text/csv", "name\nX\n".to_owned()).await.0, 400);
    assert_eq!(import(&gateway, ADMIN_KEY, "application/json", "{}".to_owned()).await.0, 400);
}

#[tokio::test]
async fn an_import_has_limits_and_a_bound_key_its_owner() {
    let gateway = start(|_| {}).await;
    let rows: Vec<_> =
        (0..1_001).map(|n| json!({"station_id": format!("S{n}"), "password": "12345678"})).collect();
    let (status, told) = import(&gateway, ADMIN_KEY, "application/json", json!(rows).to_string()).await;
    assert_eq!(status, 422, "{told}");
    assert!(
        told["errors"][0]["message"].as_str().is_some_and(|text| text.contains("1000 rows with a password"))
    );
    let csv = (0..3_000).fold("station_id\n".to_owned(), |csv, n| csv + format!("S{n}\n").as_str());
    let (status, told) = import(&gateway, ADMIN_KEY, "text/csv", csv).await;
    assert_eq!((status, results(&told)), (200, vec!["created"; 3_000]));

    gateway.api("POST", "/stations", Some(json!({"station_id": "THEIRS", "owner_id": "other"}))).await;
    let key = json!({"name": "acme", "scopes": ["command"], "owner_id": "acme"});
    let (_, key) = gateway.api("POST", "/api-keys", Some(key)).await;
    let key = key["key"].as_str().expect("shown once");
    let rows = json!([{"station_id": "OURS"}, {"station_id": "THEIRS", "name": "Mine now"}]);
    let (_, told) = import(&gateway, key, "application/json", rows.to_string()).await;
    assert_eq!(results(&told), ["created", "invalid"], "{told}");
    assert_eq!(gateway.get("/stations/OURS").await["owner_id"], "acme");
    assert_eq!(gateway.get("/stations/THEIRS").await["name"], Value::Null);
    let rows = json!([{"station_id": "OURS", "owner_id": "other"}]).to_string();
    let (status, told) = import(&gateway, key, "application/json", rows).await;
    assert_eq!((status, results(&told)), (200, vec!["invalid"]));
    assert_eq!(told["data"][0]["errors"][0]["field"], "owner_id");
}

/// Every row of a list, page by page, and how many pages that took.
async fn walked(gateway: &Running, list: &str, key: &str) -> (Vec<Value>, usize) {
    let (mut rows, mut pages, mut cursor) = (Vec::new(), 0, String::new());
    loop {
        let page = gateway.get(&format!("{list}{cursor}")).await;
        rows.extend(page["data"].as_array().expect("rows").iter().map(|row| row[key].clone()));
        pages += 1;
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return (rows, pages),
        }
    }
}

#[tokio::test]
async fn connectors_and_configuration_come_whole_or_in_pages() {
    let gateway = start(|_| {}).await;
    let mut charger = gateway.booted("CP").await;
    for connector in [2, 0, 11, 1, 3] {
        let status = json!({"connectorId": connector, "errorCode": "NoError", "status": "Available"});
        charger.call("StatusNotification", status).await;
    }
    let keys: Vec<_> =
        (0..60).map(|n| json!({"key": format!("Key {n:02}"), "readonly": false, "value": "v"})).collect();
    let asked = gateway.api("POST", "/stations/CP/commands", Some(json!({"action": "GetConfiguration"})));
    let answering = async {
        let call: Value = serde_json::from_str(&charger.receive().await).expect("JSON");
        charger.send(&json!([3, call[1], {"configurationKey": keys}]).to_string()).await;
    };
    let ((status, told), ()) = tokio::join!(asked, answering);
    assert_eq!((status, &told["status"]), (200, &json!("completed")), "{told}");

    let numbers = || [0, 1, 2, 3, 11].map(|number| json!(number)).to_vec();
    let names = || keys.iter().map(|key| key["key"].clone()).collect::<Vec<_>>();
    for (list, key, rows) in [("connectors", "connector_id", numbers()), ("configuration", "key", names())] {
        let list = format!("/stations/CP/{list}");
        assert_eq!(walked(&gateway, &format!("{list}?"), key).await, (rows.clone(), 1));
        let pages = rows.len().div_ceil(2);
        assert_eq!(walked(&gateway, &format!("{list}?limit=2"), key).await, (rows.clone(), pages));
        let backwards: Vec<_> = rows.into_iter().rev().collect();
        assert_eq!(walked(&gateway, &format!("{list}?limit=2&order=desc"), key).await, (backwards, pages));
        let (status, told) = gateway.api("GET", &format!("{list}?limit=0&cursor=x"), None).await;
        assert_eq!((status, told["errors"].as_array().map(Vec::len)), (422, Some(2)), "{told}");
    }
}

#[tokio::test]
async fn a_connector_does_not_name_a_transaction_of_the_owner_before() {
    let gateway = start(|_| {}).await;
    gateway.api("POST", "/stations", Some(json!({"station_id": "CP", "owner_id": "before"}))).await;
    let mut charger = gateway.booted("CP").await;
    let status = json!({"connectorId": 1, "errorCode": "NoError", "status": "Charging"});
    charger.call("StatusNotification", status).await;
    let begun = json!({"connectorId": 1, "idTag": "T", "meterStart": 0, "timestamp": "2026-04-14T12:00:00Z"});
    let number = charger.call("StartTransaction", begun).await["transactionId"].clone();
    gateway.api("PATCH", "/stations/CP", Some(json!({"owner_id": "after"}))).await;
    let key = json!({"name": "after", "scopes": ["read"], "owner_id": "after"});
    let (_, key) = gateway.api("POST", "/api-keys", Some(key)).await;
    let client = Client::new(&gateway.url(""), key["key"].as_str().expect("shown once")).expect("a client");
    let seen = client.connectors("CP").await.expect("its station").data;
    assert_eq!((seen[0].status.as_deref(), seen[0].transaction_id), (Some("Charging"), None));
    assert_eq!(gateway.get("/stations/CP/connectors").await["data"][0]["transaction_id"], number);
}

#[tokio::test]
async fn stations_are_found_by_what_they_are() {
    let gateway = start(|_| {}).await;
    let rows = json!([
        {"station_id": "A", "owner_id": "acme", "name": "Yard 100% left"},
        {"station_id": "B", "boot_status": "pending"},
        {"station_id": "C", "blocked": true},
    ]);
    import(&gateway, ADMIN_KEY, "application/json", rows.to_string()).await;
    let mut a = gateway.charger("A").await;
    let boot = json!({"chargePointVendor": "Vendor", "chargePointModel": "M1", "firmwareVersion": "1.2",
        "chargePointSerialNumber": "SN-77"});
    a.call("BootNotification", boot).await;
    for (query, expected) in [
        ("connected=true", vec!["A"]),
        ("connected=false", vec!["C", "B"]),
        ("owner_id=acme", vec!["A"]),
        ("boot_status=pending", vec!["B"]),
        ("boot_status=accepted&blocked=false", vec!["A"]),
        ("blocked=true", vec!["C"]),
        ("vendor=Vendor", vec!["A"]),
        ("vendor=Vend", vec![]),
        ("model=M1", vec!["A"]),
        ("firmware_version=1.2", vec!["A"]),
        ("q=yard", vec!["A"]),
        ("q=100%25", vec!["A"]),
        ("q=0_", vec![]),
        ("q=sn-7", vec!["A"]),
        ("order=asc", vec!["A", "B", "C"]),
    ] {
        let listed = gateway.get(&format!("/stations?{query}")).await;
        assert_eq!(ids(&listed), expected, "{query}");
    }
    for query in ["connected=maybe", "boot_status=Accepted", "colour=red"] {
        assert_eq!(gateway.api("GET", &format!("/stations?{query}"), None).await.0, 422, "{query}");
    }
}

#[tokio::test]
async fn a_stranger_waits_until_it_is_approved() {
    let gateway = start(|config| config.stations.unknown = Admission::Pending).await;
    let boot = || json!({"chargePointVendor": "V", "chargePointModel": "M"});
    let mut stranger = gateway.charger("NEW").await;
    assert_eq!(stranger.call("BootNotification", boot()).await["status"], "Pending");
    let (status, _) = gateway.api("PATCH", "/stations/NEW", Some(json!({"boot_status": "accepted"}))).await;
    assert_eq!(status, 200);
    assert_eq!(stranger.call("BootNotification", boot()).await["status"], "Accepted", "on the same socket");
    gateway.api("PATCH", "/stations/NEW", Some(json!({"boot_status": "rejected"}))).await;
    assert_eq!(stranger.call("BootNotification", boot()).await["status"], "Rejected");
}

#[tokio::test]
async fn a_blocked_station_is_out_until_it_is_let_in_again() {
    let gateway = start(|_| {}).await;
    let mut charger = gateway.charger("CP").await;
    // Welcomed before it is on record; once it is served it is known.
    charger.still_serves().await;
    gateway.api("PATCH", "/stations/CP", Some(json!({"blocked": true}))).await;
    let frame = charger.closed().await.expect("a close frame");
    assert_eq!((u16::from(frame.code), frame.reason.as_str()), (1008, "blocked"));
    let offer = [("Sec-WebSocket-Protocol", "ocpp1.6")];
    let refused = Charger::connect(gateway.ocpp(), "/ocpp/CP", &offer).await.err().expect("refused");
    assert_eq!(refused.status(), 403);
    eventually("the refusal is an event", || async {
        let events = gateway.events_of("CP", "StationRejected").await;
        events.first().filter(|event| event["payload"]["http_status"] == 403).map(drop)
    })
    .await;
    gateway.api("PATCH", "/stations/CP", Some(json!({"blocked": false}))).await;
    let mut charger = gateway.charger("CP").await;
    charger.still_serves().await;
    // By an import too.
    let rows = json!([{"station_id": "CP", "blocked": true}]).to_string();
    import(&gateway, ADMIN_KEY, "application/json", rows).await;
    assert_eq!(charger.closed().await.map(|frame| u16::from(frame.code)), Some(1008));
}

#[tokio::test]
async fn rules_that_change_hold_from_the_next_message_on() {
    let gateway = start(|_| {}).await;
    let mut charger = gateway.charger("CP").await;
    let status = |timestamp: &str| json!({"connectorId": 1, "errorCode": "NoError", "status": "Available", "timestamp": timestamp});
    let local = (Clock::System.now().after(std::time::Duration::from_secs(5 * 3_600))).to_string();
    let local = local.trim_end_matches('Z');
    charger.call("StatusNotification", status(local)).await;
    let (patched, _) = gateway.api("PATCH", "/stations/CP", Some(json!({"time_zone": "Etc/GMT-5"}))).await;
    assert_eq!(patched, 200);
    charger.call("StatusNotification", status(local)).await;
    let told = gateway.events_of("CP", "StatusNotification").await;
    let occurred = |nth: usize| {
        told[nth]["occurred_at"].as_str().expect("a time").parse::<Timestamp>().expect("RFC 3339")
    };
    assert_eq!(occurred(0).since(occurred(1)).as_secs(), 5 * 3_600, "{told:?}");
    assert_eq!(told[1]["payload"]["timestamp"], local, "the text stays");
    assert_eq!(told[1]["violations"][0]["problem"], "time_without_zone: read as the station's local time");

    gateway.api("PATCH", "/stations/CP", Some(json!({"validation": "strict"}))).await;
    let answer = charger.exchange(r#"[2,"s","StatusNotification",{"connectorId":1}]"#).await;
    assert_eq!(answer[0], 4, "{answer}");
    let (status, problem) =
        gateway.api("PATCH", "/stations/CP", Some(json!({"time_zone": "Europe/Atlantis"}))).await;
    assert_eq!((status, &problem["errors"][0]["field"]), (422, &json!("time_zone")));
}
