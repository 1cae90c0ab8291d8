//! Events, their deliveries, lists of them, and waiting for the next.

use super::*;
use vocabulary::ocpp::protocol::Protocol;

/// Lets a charger connect, which makes two events.
async fn connect(api: &Api, station: &str) {
    let connected = Connected {
        station_id: StationId::new(station).expect("legal"),
        generation: 1,
        protocol: Protocol::default(),
        remote_addr: "192.0.2.1:5000".into(),
        security_profile: 0,
        certificate: None,
        ratchet: true,
        discovered_as: Some(vocabulary::ocpp::boot_status::BootStatus::Accepted),
        flags: Vec::new(),
    };
    api.store.connected(connected).await.expect("stored").expect("known");
}

#[tokio::test]
async fn events_and_their_deliveries_are_found() {
    let api = Api::new().await;
    let owned = json!({"station_id": "CP_A", "owner_id": "acme"});
    assert_eq!(api.post("/api/v1/stations", owned).await.status, 201);
    let hooks = [
        json!({"url": URL, "events": ["StationConnected"], "enabled": false}),
        json!({"url": URL, "events": ["station.*"], "stations": ["CP_B"]}),
        json!({"url": URL, "events": ["ocpp.*"], "owner_id": "acme"}),
    ];
    for hook in hooks {
        assert_eq!(api.post("/api/v1/webhooks", hook).await.status, 201);
    }
    connect(&api, "CP_A").await;
    connect(&api, "CP_B").await;

    let ids = |answer: &Answer| -> Vec<String> {
        let rows = answer.body["data"].as_array().unwrap_or_else(|| panic!("{}", answer.body));
        rows.iter()
            .map(|row| {
                format!(
                    "{} {}",
                    row["station_id"].as_str().unwrap_or("-"),
                    row["event"].as_str().unwrap_or("-")
                )
            })
            .collect()
    };
    let all = ["CP_B StationConnected", "CP_B StationDiscovered", "CP_A StationConnected"];
    assert_eq!(ids(&api.get("/api/v1/events").await), all);
    for (query, expected) in [
        ("event=Station*&station_id=CP_B", &all[..2]),
        ("event=StationDiscovered&event=Heartbeat", &all[1..2]),
        ("event=ocpp.*", &[]),
        ("event=station.*&duplicate=false", &all),
        ("event=*", &all),
        ("owner_id=acme", &all[2..]),
        ("webhook_id=1", &["CP_B StationConnected", "CP_A StationConnected"]),
        ("webhook_id=2", &all[..2]),
        ("webhook_id=3", &[]),
        ("since=2026-04-14T12:34:56.789Z", &all),
        ("since=2026-04-14T12:34:56.790Z", &[]),
        ("until=2026-04-14T12:34:56.789Z", &[]),
        ("until=2026-04-14T12:34:56.790Z", &all),
        ("transaction_id=1", &[]),
        ("q=192.0.2.1:5000&event=StationConnected", &["CP_B StationConnected", "CP_A StationConnected"]),
        ("q=SECURITY_profile&station_id=CP_A", &all[2..]),
        ("q=nowhere", &[]),
        ("occurred_since=2020-01-01T00:00:00Z", &[]),
    ] {
        assert_eq!(ids(&api.get(&format!("/api/v1/events?{query}")).await), expected, "{query}");
    }

    let newest = api.get("/api/v1/events?limit=1").await.body["data"][0].clone();
    let id = newest["id"].as_str().expect("an id");
    assert_eq!(api.get(&format!("/api/v1/events/{id}")).await.body, newest);
    let oldest = api.get("/api/v1/events?limit=1&order=asc").await.body["data"][0].clone();
    let after = format!("/api/v1/events?order=asc&wait=60s&after={}", oldest["id"].as_str().expect("an id"));
    assert_eq!(ids(&api.get(&after).await), ["CP_B StationDiscovered", "CP_B StationConnected"]);
    let without_order = after.replace("order=asc&", "");
    assert_eq!(
        ids(&api.get(&without_order).await),
        ids(&api.get(&after).await),
        "a poll begins with the oldest"
    );
    let page = api.get(&format!("{without_order}&limit=1")).await;
    let cursor = page.body["next_cursor"].as_str().expect("another page");
    assert_eq!(ids(&api.get(&format!("{without_order}&cursor={cursor}")).await), ["CP_B StationConnected"]);
    assert_eq!(api.get(&format!("{without_order}&order=desc")).await.wrong_fields(), ["order"]);
    let page = api.get(&format!("{after}&limit=1")).await;
    let cursor = page.body["next_cursor"].as_str().expect("another page");
    let page = api.get(&format!("{after}&limit=1&cursor={cursor}")).await;
    assert_eq!(ids(&page), ["CP_B StationConnected"], "the other parameters stay as they were");

    // Why each webhook got it, or not.
    let answer = api.get(&format!("/api/v1/events/{id}/deliveries?explain=true")).await;
    let shown = |row: &Value| (row["webhook_id"].clone(), row["status"].clone(), row["sequence"].clone());
    let rows = answer.body["data"].as_array().expect("rows");
    assert_eq!(
        rows.iter().map(shown).collect::<Vec<_>>(),
        [(json!(1), json!("discarded"), json!(2)), (json!(2), json!("scheduled"), json!(2)),]
    );
    assert_eq!(answer.body["not_matched"], json!([{"webhook_id": 3, "reason": "event_type"}]));

    // Deliveries: found by their filters, and by nobody who may not see them.
    assert_eq!(api.get("/api/v1/deliveries").await.body["data"].as_array().map(Vec::len), Some(4));
    for (query, count) in [
        ("status=scheduled", 2),
        ("status=scheduled&status=discarded", 4),
        ("station_id=CP_A", 1),
        ("event=StationDiscovered", 1),
        ("event=*Connected&event=ocpp.*", 3),
        ("since=2026-04-14T12:34:56.789Z", 4),
        ("until=2026-04-14T12:34:56.789Z", 0),
        ("webhook_id=2&limit=1", 1),
        ("q=Security_Profile&webhook_id=2", 1),
        ("q=nowhere", 0),
        ("owner_id=acme", 1),
    ] {
        let answer = api.get(&format!("/api/v1/deliveries?{query}")).await;
        assert_eq!(answer.body["data"].as_array().map(Vec::len), Some(count), "{query}: {}", answer.body);
    }
    assert_eq!(
        api.get(&format!("/api/v1/deliveries?event_id={id}")).await.body["data"].as_array().map(Vec::len),
        Some(2)
    );
    let waiting = rows[1]["id"].as_str().expect("an id");
    let path = format!("/api/v1/deliveries/{waiting}");
    assert_eq!(api.get(&path).await.body, rows[1]);
    assert_eq!(api.call(&api.admin, Method::POST, &format!("{path}/resend"), None).await.status, 409);
    let acme = key(&api.store, &["admin"], Some("acme")).await;
    assert_eq!(api.call(&acme, Method::GET, &path, None).await.status, 404);
    for verb in ["resend", "cancel"] {
        assert_eq!(api.call(&acme, Method::POST, &format!("{path}/{verb}"), None).await.status, 404);
    }
    for wrong in ["q=", "status=gone", "station_id=", "since=yesterday", "webhook_id=0", "x=1"] {
        let refused = api.get(&format!("/api/v1/failed-deliveries?{wrong}")).await;
        assert_eq!(refused.wrong_fields().len(), 1, "{wrong}: {}", refused.body);
    }
    assert_eq!(api.call(&acme, Method::GET, &format!("/api/v1/events/{id}"), None).await.status, 404);
    assert_eq!(ids(&api.call(&acme, Method::GET, "/api/v1/events", None).await), all[2..]);

    // A deleted webhook's backlog is discarded.
    assert_eq!(api.call(&api.admin, Method::DELETE, "/api/v1/webhooks/2", None).await.status, 204);
    assert_eq!(api.get(&path).await.body["status"], json!("discarded"));
}

#[tokio::test]
async fn lists_are_walked_without_gap_or_repeat() {
    let api = Api::new().await;
    for _ in 0..7 {
        assert_eq!(api.post("/api/v1/webhooks", json!({"url": URL})).await.status, 201);
    }
    for (order, expected) in [("desc", [7, 6, 5, 4, 3, 2, 1]), ("asc", [1, 2, 3, 4, 5, 6, 7])] {
        let mut seen = Vec::new();
        let mut path = format!("/api/v1/webhooks?limit=3&order={order}");
        loop {
            let page = api.get(&path).await;
            assert_eq!(page.status, 200, "{}", page.body);
            let rows = page.body["data"].as_array().expect("rows");
            seen.extend(rows.iter().filter_map(|row| row["id"].as_i64()));
            let Some(cursor) = page.body["next_cursor"].as_str() else { break };
            assert_eq!(rows.len(), 3);
            path = format!("/api/v1/webhooks?limit=3&order={order}&cursor={cursor}");
        }
        assert_eq!(seen, expected);
    }
    let first = api.get("/api/v1/webhooks?limit=3").await;
    let cursor = first.body["next_cursor"].as_str().expect("more");
    let elsewhere = api.get(&format!("/api/v1/stations?cursor={cursor}")).await;
    assert_eq!(elsewhere.wrong_fields(), ["cursor"]);
}

#[tokio::test]
async fn a_long_poll_does_not_hold_up_a_stop() {
    let api = Api::new().await;
    connect(&api, "CP").await;
    let events = api.get("/api/v1/events").await;
    let last = events.body["data"][0]["id"].as_str().expect("an event");
    let poll = format!("/api/v1/events?after={last}&order=asc&wait=60s");
    let both = async { tokio::join!(api.get(&poll), async { api.stop.cancel() }) };
    let (answer, ()) = tokio::time::timeout(Duration::from_secs(20), both).await.expect("long before 60s");
    assert_eq!((answer.status, &answer.body["data"]), (200, &json!([])));
}

#[tokio::test]
async fn a_long_poll_ends_when_its_time_is_up() {
    let api = Api::new().await;
    let answer = api.get("/api/v1/events?wait=1s").await;
    assert_eq!(answer.wrong_fields(), ["after"]);
    let unknown = "/api/v1/events?order=asc&wait=1ms&after=evt_00000000000000000000000000";
    let answer = tokio::time::timeout(Duration::from_secs(10), api.get(unknown)).await.expect("ends");
    assert_eq!(answer.wrong_fields(), ["after"]);
}

#[tokio::test]
async fn a_bound_key_brings_events_for_its_owner_only() {
    let api = Api::new().await;
    let acme = key(&api.store, &["write", "read"], Some("acme")).await;
    let reader = key(&api.store, &["read"], None).await;
    for hook in
        [json!({"url": URL}), json!({"url": URL, "owner_id": "acme"}), json!({"url": URL, "owner_id": "b"})]
    {
        assert_eq!(api.post("/api/v1/webhooks", hook).await.status, 201);
    }
    assert_eq!(
        api.post("/api/v1/stations", json!({"station_id": "CP_B", "owner_id": "b"})).await.status,
        201
    );
    let bring = |key: &str, more: Value| {
        let mut body = json!({"event": "invoice.paid", "payload": {"b": 1, "a": 1.50}});
        for (name, value) in more.as_object().expect("members") {
            body[name] = value.clone();
        }
        let (api, key) = (&api, key.to_owned());
        async move { api.call(&key, Method::POST, "/api/v1/events", Some(body)).await }
    };
    assert_eq!(
        api.post("/api/v1/stations", json!({"station_id": "CP_A", "owner_id": "acme"})).await.status,
        201
    );
    for (more, status) in [
        (json!({"broadcast": true}), 403),
        (json!({"owner_id": "b"}), 403),
        (json!({"webhook_id": 1}), 404),
        (json!({"webhook_id": 3}), 404),
        (json!({"webhook_id": 2, "station_id": "CP_B"}), 404),
        (json!({"webhook_id": 2, "station_id": "CP_C"}), 404),
        (json!({"webhook_id": 2, "station_id": "CP_A"}), 202),
        (json!({"webhook_id": 2}), 202),
        (json!({"owner_id": "acme"}), 202),
        (json!({"url": URL}), 202),
    ] {
        let answer = bring(&acme, more.clone()).await;
        assert_eq!(answer.status, status, "{more}: {}", answer.body);
        if status == 202 {
            assert_eq!(answer.body["deliveries"], json!(1), "those it may see: {more}");
            let id = answer.body["id"].as_str().expect("an id");
            let event = api.call(&acme, Method::GET, &format!("/api/v1/events/{id}"), None).await;
            assert_eq!((&event.body["owner_id"], &event.body["station_seq"]), (&json!("acme"), &Value::Null));
        }
    }
    let foreign = bring(&acme, json!({"webhook_id": 2, "station_id": "CP_B"})).await;
    let unknown = bring(&acme, json!({"webhook_id": 2, "station_id": "CP_C"})).await;
    assert_eq!(foreign.body, unknown.body, "a station of another owner is like none");
    let anybodys = bring(&api.admin, json!({"broadcast": true, "station_id": "CP_C"})).await;
    assert_eq!(anybodys.status, 202, "who is not bound may name a station that is yet to come");
    assert_eq!(bring(&reader, json!({"webhook_id": 2})).await.status, 403);
    // What is broadcast shows itself to an owner only in what its own webhooks got.
    let before = api.call(&acme, Method::GET, "/api/v1/deliveries", None).await.body;
    assert_eq!(bring(&api.admin, json!({"broadcast": true})).await.body["deliveries"], json!(3));
    let after = api.call(&acme, Method::GET, "/api/v1/deliveries", None).await.body;
    let count = |listed: &Value| listed["data"].as_array().map_or(0, Vec::len);
    assert_eq!(count(&after), count(&before) + 1, "{after}");
}
