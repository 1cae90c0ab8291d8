//! The audit log: who changed what, and who may see it.

use super::*;

/// The entries that a query finds, the oldest first.
async fn entries(api: &Api, key: &str, query: &str) -> Vec<Value> {
    let answer = api.call(key, Method::GET, &format!("/api/v1/audit?order=asc{query}"), None).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.body["data"].as_array().expect("a list").clone()
}

#[tokio::test]
async fn every_change_is_on_record_and_no_value_of_it() {
    let api = Api::new().await;
    let hook =
        json!({"url": URL, "owner_id": "acme", "secret_header": "x-key", "secret_value": "s3cr3t-value"});
    let made = api.post("/api/v1/webhooks", hook).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let patch = json!({"secret_value": "an0ther-value", "enabled": true});
    assert_eq!(api.call(&api.admin, Method::PATCH, "/api/v1/webhooks/1", Some(patch)).await.status, 200);
    assert_eq!(api.post("/api/v1/webhooks/1/pause", json!({})).await.status, 200);
    assert_eq!(api.post("/api/v1/stations", json!({"station_id": "CP 1"})).await.status, 201);
    let start = json!({"action": "ClearCache", "payload": {}, "queue": true});
    let sent = api.post("/api/v1/stations/CP%201/commands", start).await;
    assert_eq!(sent.status, 202, "{}", sent.body);
    let tag = "/api/v1/id-tags/TAG?owner_id=acme";
    assert_eq!(api.call(&api.admin, Method::PUT, tag, Some(json!({}))).await.status, 201);
    assert_eq!(api.call(&api.admin, Method::DELETE, "/api/v1/webhooks/1", None).await.status, 204);

    // What is refused has changed nothing, and what only looks changes nothing.
    assert_eq!(api.post("/api/v1/webhooks", json!({"url": "nowhere"})).await.status, 422);
    assert_eq!(api.call(&api.admin, Method::DELETE, "/api/v1/webhooks/9", None).await.status, 404);
    assert_eq!(api.get("/api/v1/webhooks").await.status, 200);
    let reader = key(&api.store, &["read"], None).await;
    assert_eq!(api.call(&reader, Method::DELETE, "/api/v1/stations/CP%201", None).await.status, 403);

    let all = entries(&api, &api.admin, "").await;
    let told: Vec<Value> = all
        .iter()
        .map(|e| json!([e["action"], e["resource_id"], e["owner_id"], e["status"], e["fields"]]))
        .collect();
    let given = json!(["owner_id", "secret_header", "secret_value", "url"]);
    let sorted = |entry: &Value| {
        let mut fields: Vec<_> = entry[4].as_array().expect("names").iter().map(Value::to_string).collect();
        fields.sort_unstable();
        fields
    };
    assert_eq!(sorted(&told[0]), sorted(&json!([0, 0, 0, 0, given])));
    assert_eq!(
        told[0].as_array().expect("five")[..4],
        [json!("webhooks_create"), json!("1"), json!("acme"), json!(201)]
    );
    assert_eq!(sorted(&told[1]), ["\"enabled\"", "\"secret_value\""]);
    assert_eq!(
        told[2..],
        [
            json!(["webhooks_pause", "1", "acme", 200, []]),
            json!(["stations_create", "CP 1", null, 201, ["station_id"]]),
            json!(["commands_send", "CP 1", null, 202, all[4]["fields"]]),
            json!(["id_tags_put", "TAG", "acme", 201, []]),
            json!(["webhooks_delete", "1", "acme", 204, []]),
        ]
    );
    assert_eq!(all[4]["result_id"], sent.body["id"]);
    assert_eq!(all[4]["path"], "/api/v1/stations/CP%201/commands");
    assert_eq!(all[1]["requested_by"]["name"], "test");
    let text = Value::from(all).to_string();
    assert!(!text.contains("s3cr3t-value") && !text.contains("an0ther-value") && !text.contains(&api.admin));
}

#[tokio::test]
async fn the_log_is_narrowed_paged_and_kept_to_owners() {
    let api = Api::new().await;
    let acme = key(&api.store, &["admin"], Some("acme")).await;
    let other = key(&api.store, &["admin"], Some("other")).await;
    for (key, owner) in
        [(&api.admin, Some("acme")), (&api.admin, Some("other")), (&api.admin, None), (&acme, None)]
    {
        let hook = json!({"url": URL, "owner_id": owner});
        let hook = if owner.is_none() { json!({"url": URL}) } else { hook };
        assert_eq!(api.call(key, Method::POST, "/api/v1/webhooks", Some(hook)).await.status, 201);
    }
    let patch = json!({"enabled": false});
    for id in 1..=4 {
        let path = format!("/api/v1/webhooks/{id}");
        assert_eq!(api.call(&api.admin, Method::PATCH, &path, Some(patch.clone())).await.status, 200);
    }
    assert_eq!(api.call(&acme, Method::PATCH, "/api/v1/webhooks/2", Some(patch)).await.status, 404);
    let ids = |rows: &[Value]| -> Vec<String> {
        rows.iter()
            .map(|e| {
                format!(
                    "{} {}",
                    e["method"].as_str().unwrap_or("-"),
                    e["resource_id"].as_str().unwrap_or("-")
                )
            })
            .collect()
    };
    assert_eq!(ids(&entries(&api, &acme, "").await), ["POST 1", "POST 4", "PATCH 1", "PATCH 4"]);
    assert_eq!(ids(&entries(&api, &other, "").await), ["POST 2", "PATCH 2"]);
    assert_eq!(api.call(&acme, Method::GET, "/api/v1/audit?owner_id=other", None).await.status, 403);
    assert_eq!(ids(&entries(&api, &api.admin, "&owner_id=other").await), ["POST 2", "PATCH 2"]);
    let bound = entries(&api, &acme, "").await[1]["requested_by"]["id"].as_str().expect("an id").to_owned();
    assert_eq!(ids(&entries(&api, &api.admin, &format!("&key_id={bound}")).await), ["POST 4"]);
    assert_eq!(
        ids(&entries(&api, &api.admin, "&method=PATCH&resource=webhooks&resource_id=3").await),
        ["PATCH 3"]
    );
    assert_eq!(entries(&api, &api.admin, "&action=webhooks_create").await.len(), 4);
    for nothing in
        ["&resource=stations", "&key_id=nobody", "&until=2020-01-01T00:00:00Z", "&since=2050-01-01T00:00:00Z"]
    {
        assert_eq!(entries(&api, &api.admin, nothing).await.len(), 0, "{nothing}");
    }
    assert_eq!(api.get("/api/v1/audit?method=GET&colour=red").await.wrong_fields(), ["colour", "method"]);
    let mut walked = Vec::new();
    let mut path = "/api/v1/audit?limit=3".to_owned();
    loop {
        let page = api.get(&path).await.body;
        walked.extend(ids(page["data"].as_array().expect("rows")));
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/api/v1/audit?limit=3&cursor={cursor}");
    }
    let mut all = ids(&entries(&api, &api.admin, "").await);
    all.reverse();
    assert_eq!((walked.len(), walked), (8, all));
}

#[tokio::test]
async fn a_repeated_request_and_a_key_made_by_hand_have_one_entry() {
    let api = Api::new().await;
    let hook = json!({"url": URL});
    for status in ["", "true"] {
        let once = [("idempotency-key", "one")];
        let answer =
            api.call_with(&api.admin, Method::POST, "/api/v1/webhooks", Some(hook.clone()), &once).await;
        let replayed =
            answer.headers.get("idempotent-replayed").map_or("", |value| value.to_str().expect("text"));
        assert_eq!((answer.status, replayed), (201, status));
    }
    let beside = Store::open_beside(api._dir.path(), Clock::System).expect("opens beside");
    let input = ApiKeyInput {
        name: "by hand".into(),
        scopes: vec!["read".into()],
        owner_id: Some("acme".into()),
        expires_at: None,
    };
    let made = keys::create_by_hand(&beside, input).await.expect("made");
    assert!(beside.revoke_api_key_by_hand(made.id).await.expect("revokes"));
    assert!(!beside.revoke_api_key_by_hand(made.id).await.expect("there is none"));
    let told: Vec<Value> = entries(&api, &api.admin, "")
        .await
        .iter()
        .map(|e| {
            json!([e["action"], e["resource"], e["resource_id"], e["owner_id"], e["requested_by"].is_null()])
        })
        .collect();
    let id = made.id.to_string();
    assert_eq!(
        told,
        [
            json!(["webhooks_create", "webhooks", "1", null, false]),
            json!(["api_keys_create", "api-keys", id, "acme", true]),
            json!(["api_keys_revoke", "api-keys", id, "acme", true]),
        ]
    );
}

#[tokio::test]
async fn a_change_waits_for_two_commits_and_a_refusal_for_none() {
    let api = Api::new().await;
    // The first use of a key is noted aside.
    assert_eq!(api.get("/api/v1/webhooks").await.status, 200);
    let used = "SELECT count(*) FROM api_keys WHERE last_used_at_ms IS NOT NULL";
    while api.store.seed_number(used).await == 0 {
        tokio::task::yield_now().await;
    }
    // A commit is seen before it is counted; with the next one it has been.
    api.store.note_clock().await.expect("commits");
    let commits = || api.store.statistics().commit_us.count();
    let mut nth = 0;
    let mut costs = async |method: Method, path: &str, body: Value, status: u16| {
        let before = commits();
        nth += 1;
        let key = nth.to_string();
        let headers = [("idempotency-key", key.as_str())];
        let headers = if method == Method::POST { &headers[..] } else { &[] };
        let path = format!("/api/v1{path}");
        let answer = api.call_with(&api.admin, method, &path, Some(body), headers).await;
        assert_eq!(answer.status, status, "{path}: {}", answer.body);
        commits() - before
    };
    assert_eq!(costs(Method::POST, "/webhooks", json!({"url": URL}), 201).await, 2);
    assert_eq!(costs(Method::PATCH, "/webhooks/1", json!({"name": "Billing"}), 200).await, 2);
    assert_eq!(costs(Method::POST, "/webhooks/1/pause", json!({}), 200).await, 2);
    assert_eq!(costs(Method::POST, "/stations", json!({"station_id": "CP"}), 201).await, 2);
    let command = json!({"action": "ClearCache", "payload": {}, "queue": true});
    assert_eq!(costs(Method::POST, "/stations/CP/commands", command, 202).await, 2);
    assert_eq!(costs(Method::PUT, "/id-tags/TAG", json!({}), 201).await, 2);
    let event = json!({"event": "a.b", "payload": {}, "broadcast": true});
    assert_eq!(costs(Method::POST, "/events", event, 202).await, 2);
    let refused = [
        (Method::POST, "/webhooks", json!({"url": "nowhere"}), 422),
        (Method::PATCH, "/webhooks/9", json!({"name": "Billing"}), 404),
        (Method::POST, "/stations/CP/disconnect", json!({}), 409),
    ];
    for (method, path, body, status) in refused {
        assert_eq!(costs(method, path, body, status).await, 0, "{path}");
    }
    let entries = entries(&api, &api.admin, "").await;
    assert_eq!(entries.len(), 7, "those that changed something: {entries:?}");
    assert!(entries.iter().all(|entry| entry["status"].is_u64()), "{entries:?}");
}
