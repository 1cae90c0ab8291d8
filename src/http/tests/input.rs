//! Bodies, parameters and repeats: what is refused, and how it is told.

use super::*;

#[tokio::test]
async fn every_wrong_field_is_named_at_once() {
    let api = Api::new().await;
    let body = json!({
        "url": "http://127.0.0.1:9/hook", "events": ["StartTransction", "ocpp.*"], "enabled": "yes",
        "filter": {"connectorId": {"$near": 1}}, "custom_headers": {"host": "x", "x-ok": "1"},
        "timeout": "10", "retry_schedule": ["30s", "soon", "400d"], "max_in_flight": 0, "format": "xml",
        "signing_secret": "whsec_c2hvcnQ=", "secret_value": "s3cr3t-value", "rate_limit": "fast", "colour": "red",
    });
    let answer = api.post("/api/v1/webhooks", body).await;
    assert_eq!(answer.status, 422);
    let fields = answer.wrong_fields();
    for field in [
        "colour",
        "custom_headers.host",
        "enabled",
        "events.0",
        "filter.connectorId.$near",
        "format",
        "max_in_flight",
        "rate_limit",
        "retry_schedule.1",
        "secret_header",
        "signing_secret",
        "timeout",
        "url",
    ] {
        assert!(fields.contains(&field), "{field} is missing in {fields:?}");
    }
    assert!(answer.message("url").contains("--allow-network"), "{}", answer.message("url"));
    assert!(answer.message("events.0").contains("StartTransaction"), "{}", answer.message("events.0"));
    let text = answer.body.to_string();
    assert!(!text.contains("s3cr3t-value") && !text.contains("c2hvcnQ="), "{text}");
    let beside = json!({
        "url": URL, "events": [7, "StartTransction"], "retry_schedule": ["30", "400d"], "stations": [3],
        "custom_headers": {"x-one": 1, "Host": "x"}, "a.b": 1,
    });
    let answer = api.post("/api/v1/webhooks", beside).await;
    let mut fields = answer.wrong_fields();
    fields.sort_unstable();
    let all = ["a.b", "custom_headers.Host", "custom_headers.x-one", "events.0", "events.1"];
    assert_eq!(fields[..5], all, "a wrong entry does not hide its neighbours");
    assert_eq!(fields[5..], ["retry_schedule.0", "retry_schedule.1", "stations.0"]);
    assert_eq!(api.post("/api/v1/webhooks", json!({})).await.wrong_fields(), ["url"]);
    assert_eq!(api.post("/api/v1/webhooks", json!([1])).await.status, 422);
}

#[tokio::test]
async fn a_call_without_body_takes_none_in_silence() {
    let api = Api::new().await;
    api.post("/api/v1/webhooks", json!({"url": URL})).await;
    let rotate = "/api/v1/webhooks/1/secret/rotate";
    let ignored = api.post(rotate, json!({"signing_secret": "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz"})).await;
    assert_eq!((ignored.status, ignored.wrong_fields().as_slice()), (422, ["signing_secret"].as_slice()));
    assert_eq!(api.post(rotate, json!([1])).await.status, 422);
    assert_eq!(api.post(rotate, json!({})).await.status, 200);
    assert_eq!(api.call(&api.admin, Method::POST, rotate, None).await.status, 200);
}

#[tokio::test]
async fn a_parameter_that_may_come_again_has_one_name() {
    let api = Api::new().await;
    let answer = api.get("/api/v1/events?event=Strt&limit=0&x=1").await;
    assert_eq!((answer.status, answer.wrong_fields().as_slice()), (422, ["event", "limit", "x"].as_slice()));
    let answer = api.get("/api/v1/deliveries?status=failed&status=bogus").await;
    assert_eq!((answer.status, answer.wrong_fields().as_slice()), (422, ["status"].as_slice()));
}

#[tokio::test]
async fn a_wrong_parameter_hides_none_beside_it() {
    let api = Api::new().await;
    for _ in 0..2 {
        assert_eq!(api.post("/api/v1/webhooks", json!({"url": URL})).await.status, 201);
    }
    let page = api.get("/api/v1/webhooks?limit=1").await;
    let cursor = page.body["next_cursor"].as_str().expect("more");
    let of_webhooks = format!("cursor={cursor}");
    for (list, query, wrong) in [
        ("webhooks", "limit=0&cursor=x", ["cursor", "limit"].as_slice()),
        ("webhooks", &format!("limit=0&order=asc&{of_webhooks}"), &["cursor", "limit"]),
        ("webhooks", &format!("limit=0&{of_webhooks}"), &["limit"]),
        ("stations", &format!("since=now&{of_webhooks}"), &["cursor", "since"]),
        ("events", &format!("event=Strt&wait=2h&{of_webhooks}"), &["after", "cursor", "event", "wait"]),
        (
            "deliveries",
            &format!("event=Strt&limit=0&min_attempts=0&status_code=6xx&{of_webhooks}"),
            &["cursor", "event", "limit", "min_attempts", "status_code"],
        ),
        ("failed-deliveries", &format!("webhook_id=0&{of_webhooks}"), &["cursor", "webhook_id"]),
        ("commands", &format!("action=Fly&limit=0&{of_webhooks}"), &["action", "cursor", "limit"]),
        ("bulk-commands", &format!("action=Fly&status=x&{of_webhooks}"), &["action", "cursor", "status"]),
        ("bulk-commands/1/stations", &format!("result=x&{of_webhooks}"), &["cursor", "result"]),
        ("bulk-commands/1/commands", &format!("action=Fly&{of_webhooks}"), &["action", "cursor"]),
        ("transactions", &format!("status=lost&{of_webhooks}"), &["cursor", "status"]),
        ("transactions/1/meter-values", &format!("limit=0&{of_webhooks}"), &["cursor", "limit"]),
        ("reservations", &format!("x=1&{of_webhooks}"), &["cursor", "x"]),
        ("id-tags", &format!("x=1&{of_webhooks}"), &["cursor", "x"]),
        ("replays", &format!("x=1&{of_webhooks}"), &["cursor", "x"]),
        ("api-keys", &format!("x=1&{of_webhooks}"), &["cursor", "x"]),
        ("audit", &format!("x=1&{of_webhooks}"), &["cursor", "x"]),
        ("stations/A/messages", &format!("x=1&{of_webhooks}"), &["cursor", "x"]),
        ("stations/A/commands", &format!("action=Fly&{of_webhooks}"), &["action", "cursor"]),
        ("stations/A/connectors", &format!("limit=501&{of_webhooks}"), &["cursor", "limit"]),
        ("stations/A/configuration", &format!("order=up&{of_webhooks}"), &["cursor", "order"]),
        ("event-types", &format!("x=1&{of_webhooks}"), &["cursor", "x"]),
        ("nodes", &format!("x=1&{of_webhooks}"), &["cursor", "x"]),
        ("webhooks/1/stats", "window=999d&x=1", &["window", "x"]),
    ] {
        let answer = api.get(&format!("/api/v1/{list}?{query}")).await;
        assert_eq!((answer.status, answer.wrong_fields().as_slice()), (422, wrong), "{list}?{query}");
    }
    for (call, wrong) in [
        (
            "deliveries/resend?status=success&status=retry&x=1",
            ["force", "status", "webhook_id", "x"].as_slice(),
        ),
        ("webhooks/1/secret/rotate?overlap=31d&x=1", &["overlap", "x"]),
        ("webhooks/1/test?event=Strt&x=1", &["event", "x"]),
    ] {
        let answer = api.call(&api.admin, Method::POST, &format!("/api/v1/{call}"), None).await;
        assert_eq!((answer.status, answer.wrong_fields().as_slice()), (422, wrong), "{call}");
    }
}

#[tokio::test]
async fn an_event_type_that_there_is_not_is_told_where_there_are_some() {
    let api = Api::new().await;
    let answer = api.get("/api/v1/events?event=StartTransction").await;
    assert!(answer.message("event").contains("did you mean \"StartTransaction\"?"), "{}", answer.body);
    let answer = api.post("/api/v1/webhooks", json!({"url": URL, "events": ["Qqq"]})).await;
    assert!(answer.message("events.0").contains("/api/v1/event-types"), "{}", answer.body);
}

#[tokio::test]
async fn the_event_types_come_whole_or_in_pages() {
    let api = Api::new().await;
    let whole = api.get("/api/v1/event-types").await.body;
    let all = whole["data"].as_array().expect("rows").clone();
    assert!(all.len() > 50 && whole["next_cursor"].is_null(), "{whole}");
    for (order, mut expected) in [("asc", all.clone()), ("desc", all)] {
        if order == "desc" {
            expected.reverse();
        }
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = api.get(&format!("/api/v1/event-types?limit=20&order={order}{cursor}")).await.body;
            let rows = page["data"].as_array().unwrap_or_else(|| panic!("{page}"));
            assert!(rows.len() <= 20);
            seen.extend(rows.iter().cloned());
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert_eq!(seen, expected, "{order}");
    }
}

#[tokio::test]
async fn bodies_that_cannot_be_read_are_told_apart() {
    let api = Api::new().await;
    let send = async |content_type: &str, body: String| {
        let request = Request::builder()
            .method(Method::POST)
            .uri("/api/v1/webhooks")
            .header("x-api-key", &api.admin)
            .header("content-type", content_type);
        api.send(request.body(Body::from(body)).expect("a request")).await.status
    };
    assert_eq!(send("application/json", "{".into()).await, 400);
    assert_eq!(send("text/csv", "{}".into()).await, 415);
    assert_eq!(send("application/json", " ".repeat((1 << 20) + 1)).await, 413);
    assert_eq!(send("application/json; charset=utf-8", json!({"url": URL}).to_string()).await, 201);
}

#[tokio::test]
async fn unknown_and_impossible_parameters_are_refused() {
    let api = Api::new().await;
    let path = "/api/v1/events?limit=501&webhok_id=1&since=yesterday&order=up&event=Nonsense&duplicate=maybe";
    let answer = api.get(path).await;
    assert_eq!(answer.status, 422);
    assert_eq!(answer.wrong_fields(), ["duplicate", "event", "limit", "order", "since", "webhok_id"]);
    assert_eq!(api.get("/api/v1/events?event=Nonsense&event=Start*").await.wrong_fields(), ["event"]);
    assert_eq!(api.get("/api/v1/events?limit=0").await.status, 422);
    let answer =
        api.get("/api/v1/events?order=asc&after=evt_iiiiiiiiiiiiiiiiiiiiiiiiii&wait=99999999999d").await;
    assert_eq!(answer.wrong_fields(), ["after", "wait"]);
    assert!(answer.message("after").contains("evt_01"), "{}", answer.message("after"));
    assert_eq!(api.get("/api/v1/events?limit=1&limit=2").await.status, 422);
    assert_eq!(api.get("/api/v1/webhooks/1?x=1").await.status, 422);
    let good = "/api/v1/events?event=Start*&event=ocpp.*&since=2026-04-14T12:34:56Z&station_id=A&duplicate=false&limit=500";
    let answer = api.get(good).await;
    assert_eq!((answer.status, &answer.body), (200, &json!({"data": [], "next_cursor": null})));
    assert_eq!(api.get("/api/v1/deliveries?status=failed&status=retry").await.status, 200);
    assert_eq!(api.get("/api/v1/deliveries?status=lost").await.wrong_fields(), ["status"]);
    assert_eq!(api.get("/api/v1/failed-deliveries").await.status, 200);
}

#[tokio::test]
async fn a_post_that_is_sent_again_is_answered_again() {
    let api = Api::new().await;
    let header = [("idempotency-key", "order-1")];
    let post = async |key: &str, body: Value| {
        api.call_with(key, Method::POST, "/api/v1/api-keys", Some(body), &header).await
    };
    let body = json!({"name": "n", "scopes": ["read"]});
    let first = post(&api.admin, body.clone()).await;
    assert_eq!(first.status, 201, "{}", first.body);
    assert!(!first.headers.contains_key("idempotent-replayed"));
    let again = post(&api.admin, body.clone()).await;
    assert_eq!(
        (again.status, &again.headers["idempotent-replayed"]),
        (201, &"true".parse().expect("a value"))
    );
    assert_eq!(again.body, first.body);
    assert_eq!(again.headers["content-type"], first.headers["content-type"]);
    assert_eq!(post(&api.admin, json!({"name": "other", "scopes": ["read"]})).await.status, 422);
    let other = key(&api.store, &["admin"], None).await;
    assert_ne!(post(&other, body.clone()).await.body["id"], first.body["id"], "keys are per API key");

    // The key itself is in no file: not in the clear, not in an answer that is kept.
    let secret = first.body["key"].as_str().expect("shown once").as_bytes();
    let files = std::fs::read_dir(api._dir.path()).expect("the directory");
    for file in files.map(|file| file.expect("a file").path()) {
        let bytes = std::fs::read(&file).expect("readable");
        assert!(!bytes.windows(secret.len()).any(|window| window == secret), "{}", file.display());
    }

    // Fifty at once: one runs, the others hear that it does, or its answer.
    let header = [("idempotency-key", "order-2")];
    let calls = (0..50).map(|_| {
        api.call_with(&api.admin, Method::POST, "/api/v1/webhooks", Some(json!({"url": URL})), &header)
    });
    let answers = futures_util::future::join_all(calls).await;
    assert!(answers.iter().all(|answer| answer.status == 201 || answer.status == 409));
    assert_eq!(api.get("/api/v1/webhooks").await.body["data"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn what_was_refused_under_a_key_is_decided_anew() {
    let api = Api::new().await;
    let header = [("idempotency-key", "order-3")];
    let post = async |path: &str, body: Value| {
        let answer = api.call_with(&api.admin, Method::POST, path, Some(body), &header).await;
        (answer.status, answer.headers.contains_key("idempotent-replayed"), answer.body)
    };
    let hooks = "/api/v1/webhooks";
    let disabled = json!({"url": URL, "enabled": false});
    assert_eq!(api.post(hooks, disabled).await.status, 201);
    // A wrong body, a path that there is not, a state that it is not in, none of which changes anything.
    let replay = json!({"since": "2020-01-01T00:00:00Z"});
    for (path, body, status) in [
        (hooks, json!({"url": "nowhere"}), 422),
        ("/api/v1/webhooks/7/test", json!({}), 404),
        ("/api/v1/webhooks/1/replay", replay.clone(), 409),
    ] {
        let (answered, replayed, body) = post(path, body).await;
        assert_eq!((answered, replayed), (status, false), "{body}");
    }
    api.post("/api/v1/webhooks/1/enable", json!({})).await;
    let (status, replayed, first) = post("/api/v1/webhooks/1/replay", replay.clone()).await;
    assert_eq!((status, replayed), (202, false), "the very request that was refused: {first}");
    assert_eq!(post("/api/v1/webhooks/1/replay", replay).await, (202, true, first));
    assert_eq!(post(hooks, json!({"url": URL})).await.0, 422, "the key is used up now");
}

#[tokio::test]
async fn an_answer_that_cannot_be_kept_leaves_and_is_kept_later() {
    let api = Api::new().await;
    let header = [("idempotency-key", "order-4")];
    let post = async || {
        let body = Some(json!({"url": URL}));
        let answer = api.call_with(&api.admin, Method::POST, "/api/v1/webhooks", body, &header).await;
        (answer.status, answer.headers.contains_key("idempotent-replayed"))
    };
    let fails =
        "CREATE TRIGGER full BEFORE UPDATE ON idempotent_requests BEGIN SELECT RAISE(FAIL, 'full'); END";
    api.store.seed_run(fails).await;
    assert_eq!(post().await, (201, false), "the webhook is made");
    assert_eq!(post().await, (409, false), "and must not be made twice");
    api.store.seed_run("DROP TRIGGER full").await;
    let began = Instant::now();
    let again = loop {
        match post().await {
            (409, _) if began.elapsed() < Duration::from_secs(20) => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            other => break other,
        }
    };
    assert_eq!(again, (201, true));
    assert_eq!(api.get("/api/v1/webhooks").await.body["data"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn what_the_schema_refuses_hides_nothing_beside_it() {
    let api = Api::new().await;
    let replay = json!({
        "since": "2026-01-01T00:00:00Z", "until": "2020-01-01T00:00:00Z", "only": "some",
        "events": ["Heartbeat", "Heartbaet"], "colour": "red",
    });
    let answer = api.post("/api/v1/webhooks/1/replay", replay).await;
    assert_eq!(answer.status, 422);
    assert_eq!(answer.wrong_fields(), ["colour", "events.1", "only", "until"]);

    let key = json!({
        "name": "", "scopes": ["read", "all", 7], "expires_at": "2020-01-01T00:00:00Z", "colour": "red",
    });
    let answer = api.post("/api/v1/api-keys", key).await;
    assert_eq!(answer.status, 422);
    assert_eq!(answer.wrong_fields(), ["colour", "expires_at", "name", "scopes.1", "scopes.2"]);

    let tag = json!({ "status": "Lost", "note": 7 });
    let answer = api.call(&api.admin, Method::PUT, "/api/v1/id-tags/%20T", Some(tag)).await;
    assert_eq!(answer.status, 422);
    assert_eq!(answer.wrong_fields(), ["note", "status", "tag"]);
}

#[tokio::test]
async fn an_id_tag_can_be_put_back_as_it_was_got() {
    let api = Api::new().await;
    let path = "/api/v1/id-tags/TAG_1";
    let made = api.call(&api.admin, Method::PUT, path, Some(json!({ "note": "a" }))).await;
    assert_eq!(made.status, 201);
    let mut again = made.body;
    again["note"] = "b".into();
    let answer = api.call(&api.admin, Method::PUT, path, Some(again)).await;
    assert_eq!((answer.status, &answer.body["note"]), (200, &json!("b")), "{}", answer.body);
}

#[tokio::test]
async fn an_import_says_what_it_can_read() {
    let api = Api::new().await;
    for path in ["/api/v1/stations/import", "/api/v1/id-tags/import"] {
        let send = |content_type: &'static str| {
            let headers = [("content-type", content_type)];
            let rows = Some(json!([]));
            let api = &api;
            async move { api.call_with(&api.admin, Method::POST, path, rows, &headers).await }
        };
        let refused = send("application/xml").await;
        assert_eq!(refused.status, 415);
        assert!(refused.body["detail"].as_str().is_some_and(|detail| detail.contains("text/csv")));
        assert_eq!(send("application/json; charset=utf-8").await.status, 200);
    }
}

#[tokio::test]
async fn of_very_many_wrong_fields_the_first_are_named() {
    let api = Api::new().await;
    let body: serde_json::Map<String, Value> = (0..5_000).map(|nth| (format!("f{nth}"), json!(1))).collect();
    let answer = api.post("/api/v1/webhooks", Value::Object(body)).await;
    assert_eq!(answer.status, 422);
    assert_eq!(answer.wrong_fields().len(), 1_000);
    let detail = answer.body["detail"].as_str().expect("a text");
    assert!(detail.starts_with("500") && detail.ends_with("the first 1000 are named"), "{detail}");
}

#[tokio::test]
async fn a_name_that_is_unknown_is_told_which_one_is_meant_and_where_it_belongs() {
    let api = Api::new().await;
    assert_eq!(api.post("/api/v1/webhooks", json!({"url": URL})).await.status, 201);
    let since = "2020-01-01T00:00:00Z";
    for (method, path, body, field, hint) in [
        (
            "POST",
            "webhooks",
            json!({"url": URL, "secretValue": "s"}),
            "secretValue",
            "did you mean \"secret_value\"?",
        ),
        ("PATCH", "webhooks/1", json!({"retry_shedule": ["1s"]}), "retry_shedule", "\"retry_schedule\""),
        ("PUT", "webhooks/1", json!({"url": URL, "event": ["*"]}), "event", "\"events\""),
        ("POST", "webhooks/1/secret/rotate", json!({"overlap": "1h"}), "overlap", "query parameter"),
        ("POST", "webhooks/1/secret/rotate", json!({"overlapp": "1h"}), "overlapp", "query parameter"),
        (
            "POST",
            "deliveries/resend?since=2h",
            json!({"webhook_id": 1}),
            "webhook_id",
            "query parameter of this call, ?webhook_id=",
        ),
        (
            "POST",
            "webhooks/1/replay?dry_run=true",
            json!({"since": since}),
            "dry_run",
            "field of this call's body",
        ),
        ("POST", "webhooks/1/replay?dryrun=true", json!({"since": since}), "dryrun", "\"dry_run\"? (a field"),
        (
            "POST",
            "stations/CP/commands?wait=false",
            json!({"action": "Reset"}),
            "wait",
            "field of this call's body",
        ),
        ("GET", "events?webhok_id=1", Value::Null, "webhok_id", "did you mean \"webhook_id\"?"),
        ("GET", "deliveries?stauts=failed", Value::Null, "stauts", "\"status\""),
    ] {
        let body = Some(body).filter(|body| !body.is_null());
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        let answer = api.call(&api.admin, method, &format!("/api/v1/{path}"), body).await;
        let message = answer.message(field);
        let known = message.starts_with("is not a known ");
        assert!(answer.status == 422 && known && message.contains(hint), "{path}: {}", answer.body);
        assert_eq!(answer.headers["content-type"], "application/problem+json");
    }
    let answer = api.post("/api/v1/webhooks", json!({"url": URL, "colour": "red"})).await;
    assert_eq!(answer.message("colour"), "is not a known field", "nothing is near");
    assert_eq!(api.get("/api/v1/webhooks/1?x=1").await.message("x"), "is not a known parameter");
}

#[tokio::test]
async fn times_that_narrow_a_list_may_be_durations_back_from_now() {
    let api = Api::new().await;
    let made = api.post("/api/v1/webhooks", json!({"url": URL})).await;
    assert_eq!(made.status, 201);
    for (query, count) in [("since=1h", 1), ("since=0s", 1), ("until=1m", 0), ("since=2h&until=1h", 0)] {
        let answer = api.get(&format!("/api/v1/webhooks?{query}")).await;
        assert_eq!(answer.body["data"].as_array().map(Vec::len), Some(count), "{query}: {}", answer.body);
    }
    let of_document = openapi::operations(openapi_document());
    let mut asked = 0;
    for (method, path, operation) in of_document.filter(|(method, ..)| method == Method::GET) {
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            let name = parameter["name"].as_str().expect("a name");
            if !name.ends_with("since") && !name.ends_with("until") {
                continue;
            }
            let path = path.replace("{id}", "CP").replace("/transactions/CP", "/transactions/1");
            // A report has a beginning, and a summary something to group by.
            let more = match (path.as_str(), name) {
                ("/api/v1/reports/uptime", "until") => "&since=3h",
                (path, _) if path.ends_with("/summary") => "&group_by=owner",
                _ => "",
            };
            let asks = format!("{path}?{name}=2h{more}");
            let answer = api.call(&api.admin, method.clone(), &asks, None).await;
            assert_ne!(answer.status, 422, "{path} {name}: {}", answer.body);
            let answer = api.call(&api.admin, method.clone(), &format!("{path}?{name}=2x"), None).await;
            assert!(answer.message(name).contains("such as 2h"), "{path} {name}: {}", answer.body);
            asked += 1;
        }
    }
    assert!(asked > 30, "{asked}");
    let replay = |since: &str, until: &str| {
        let body = json!({"since": since, "until": until, "only": "missing", "dry_run": true});
        let api = &api;
        async move { api.post("/api/v1/webhooks/1/replay", body).await }
    };
    assert_eq!(replay("2h", "1h").await.status, 200);
    assert_eq!(replay("1h", "2h").await.wrong_fields(), ["until"]);
    assert!(replay("2x", "1h").await.message("since").contains("such as 2h"));
    let begun = api.post("/api/v1/webhooks/1/replay", json!({"since": "2h"})).await;
    assert_eq!(begun.body["selection"]["since"], "2026-04-14T10:34:56.789Z", "{}", begun.body);
    let resend = api.post("/api/v1/deliveries/resend?since=2h&dry_run=true", json!({})).await;
    assert_eq!((resend.status, &resend.body["matched"]), (200, &json!(0)));
}

#[tokio::test]
async fn what_says_nothing_is_refused_where_something_is_asked_for() {
    let api = Api::new().await;
    let replay = json!({"since": "2h", "events": [""]});
    for (path, body, wrong) in [
        ("webhooks", json!({"url": URL, "events": [""], "stations": [""]}), vec!["events.0", "stations.0"]),
        (
            "webhooks",
            json!({"url": "", "name": "", "signing_secret": ""}),
            vec!["name", "signing_secret", "url"],
        ),
        ("webhooks/1/replay", replay, vec!["events.0"]),
        ("stations", json!({"station_id": "", "name": ""}), vec!["name", "station_id"]),
        ("api-keys", json!({"name": "", "scopes": ["read"], "owner_id": ""}), vec!["name", "owner_id"]),
    ] {
        let answer = api.post(&format!("/api/v1/{path}"), body).await;
        assert_eq!((answer.status, answer.wrong_fields()), (422, wrong), "{path}: {}", answer.body);
    }
    for (query, wrong) in [("events?event=", "event"), ("webhooks?cursor=", "cursor"), ("events?q=", "q")] {
        assert_eq!(api.get(&format!("/api/v1/{query}")).await.wrong_fields(), [wrong], "{query}");
    }
}
