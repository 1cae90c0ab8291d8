//! Webhooks, from their making to their end.

use super::*;

#[tokio::test]
async fn a_webhook_lives_its_life() {
    let api = Api::new().await;
    let made = api
        .post(
            "/api/v1/webhooks",
            json!({"url": URL, "secret_header": "x-secret", "secret_value": "s3cr3t-value"}),
        )
        .await;
    assert_eq!(made.status, 201, "{}", made.body);
    assert_eq!(made.body["events"], json!(["*"]));
    assert_eq!(made.body["retry_schedule"], json!(["30s", "1m", "5m", "30m", "2h", "6h", "24h"]));
    assert_eq!((&made.body["status"], &made.body["timeout"]), (&json!("active"), &json!("10s")));
    let secret = made.body["signing_secret"].as_str().expect("shown in the 201").to_owned();
    let path = format!("/api/v1/webhooks/{}", made.body["id"]);

    // The secrets are nowhere but where they belong.
    for path in [path.as_str(), "/api/v1/webhooks"] {
        let text = api.get(path).await.body.to_string();
        assert!(!text.contains(&secret) && !text.contains("s3cr3t-value"), "{text}");
        assert!(text.contains("\"secret_value_set\":true"));
    }
    assert_eq!(api.get(&format!("{path}/secret")).await.body["signing_secret"], json!(secret));

    // PATCH merges, ignores what is read-only, and keeps both secrets.
    let patch = json!({"name": "Mine", "status": "paused", "id": 77, "filter": {"connectorId": 1}});
    let patched = api.call(&api.admin, Method::PATCH, &path, Some(patch)).await;
    assert_eq!(patched.status, 200, "{}", patched.body);
    assert_eq!((&patched.body["name"], &patched.body["status"]), (&json!("Mine"), &json!("active")));
    assert_eq!(patched.body["filter"], json!({"connectorId": 1}));
    assert_eq!(patched.body["secret_value_set"], json!(true));
    assert_ne!(made.etag(), patched.etag());

    // Versions.
    let stale = [("if-match", made.etag())];
    let headers: Vec<(&str, &str)> = stale.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let refused =
        api.call_with(&api.admin, Method::PATCH, &path, Some(json!({"name": "Other"})), &headers).await;
    assert_eq!(refused.status, 412);
    let etag = patched.etag();
    let fresh = api.call_with(&api.admin, Method::GET, &path, None, &[("if-none-match", &etag)]).await;
    assert_eq!(fresh.status, 304);

    let nameless = api.call(&api.admin, Method::PATCH, &path, Some(json!({"name": ""}))).await;
    assert_eq!(nameless.wrong_fields(), ["name"]);

    // PUT replaces; only what is explicitly null goes among the secrets.
    let put = json!({"url": URL, "secret_header": "x-other"});
    let replaced = api.call(&api.admin, Method::PUT, &path, Some(put)).await;
    assert_eq!(replaced.body["secret_header"], "x-other");
    assert_eq!(replaced.body["secret_value_set"], json!(true), "kept");
    let etag = replaced.etag();
    let put = json!({"url": URL, "secret_value": null});
    let replaced = api.call_with(&api.admin, Method::PUT, &path, Some(put), &[("if-match", &etag)]).await;
    assert_eq!(replaced.status, 200, "{}", replaced.body);
    assert_eq!((&replaced.body["name"], &replaced.body["filter"]), (&json!("8.8.8.8"), &Value::Null));
    assert_eq!(replaced.body["secret_value_set"], json!(false));
    assert_eq!(api.get(&format!("{path}/secret")).await.body["signing_secret"], json!(secret));
    let wrong = api.call(&api.admin, Method::PATCH, &path, Some(json!({"events": ["Nix"], "x": 1}))).await;
    assert_eq!(wrong.wrong_fields(), ["events.0", "x"]);

    // Rotation.
    let rotated = api.call(&api.admin, Method::POST, &format!("{path}/secret/rotate?overlap=1h"), None).await;
    assert_eq!(rotated.status, 200, "{}", rotated.body);
    assert_ne!(rotated.body["signing_secret"], json!(secret));
    assert_eq!(rotated.body["previous"][0]["signing_secret"], json!(secret));
    assert_eq!(rotated.body["previous"][0]["expires_at"], json!("2026-04-14T13:34:56.789Z"));

    // Off, on, gone.
    let off = api.call(&api.admin, Method::PATCH, &path, Some(json!({"enabled": false}))).await;
    assert_eq!((&off.body["status"], &off.body["enabled"]), (&json!("disabled"), &json!(false)));
    let on = api.call(&api.admin, Method::POST, &format!("{path}/enable"), None).await;
    assert_eq!((&on.body["status"], &on.body["disabled_reason"]), (&json!("active"), &Value::Null));
    assert_eq!(api.call(&api.admin, Method::DELETE, &path, None).await.status, 204);
    assert_eq!(api.get(&path).await.status, 404);
    let next = api.post("/api/v1/webhooks", json!({"url": URL})).await;
    assert_eq!(next.body["id"], json!(2), "a number is never given again");
}

#[tokio::test]
async fn what_a_change_makes_of_the_rest_is_checked_whichever_field_was_given() {
    let api = Api::new().await;
    let make = async |body: Value| {
        let made = api.post("/api/v1/webhooks", body).await;
        assert_eq!(made.status, 201, "{}", made.body);
        format!("/api/v1/webhooks/{}", made.body["id"])
    };
    let plain = make(json!({"url": "http://8.8.8.8/hook", "custom_headers": {"X-Env": "prod"}})).await;
    let secret = json!({"url": URL, "secret_header": "X-Key", "secret_value": "s3cr3t-value"});
    let secret = make(secret).await;
    let (patch, put) = (Method::PATCH, Method::PUT);
    for (path, method, body, wrong) in [
        // A secret over plain HTTP.
        (&plain, &patch, json!({"secret_header": "X-Key", "secret_value": "s"}), &["secret_value"][..]),
        (&secret, &patch, json!({"url": "http://8.8.8.8/hook"}), &["url"]),
        (&secret, &put, json!({"url": "http://8.8.8.8/hook", "secret_header": "X-Key"}), &["url"]),
        // A header that would be sent twice.
        (&plain, &patch, json!({"secret_header": "x-env"}), &["secret_header"]),
        (&secret, &patch, json!({"custom_headers": {"x-key": "1", "x-ok": "1"}}), &["custom_headers.x-key"]),
        (
            &secret,
            &patch,
            json!({"secret_header": "X-A", "custom_headers": {"x-a": "1"}}),
            &["custom_headers.x-a"],
        ),
        (
            &secret,
            &put,
            json!({"url": URL, "secret_header": "X-A", "custom_headers": {"x-a": "1"}}),
            &["custom_headers.x-a"],
        ),
        // A secret that would no longer be sent.
        (&secret, &patch, json!({"secret_header": null}), &["secret_header"]),
        (&secret, &patch, json!({"secret_header": null, "secret_value": "other"}), &["secret_header"]),
        (&secret, &put, json!({"url": URL, "secret_header": null}), &["secret_header"]),
        (&secret, &put, json!({"url": URL}), &["secret_header"]),
        (&plain, &patch, json!({"secret_value": "s"}), &["secret_header", "secret_value"]),
    ] {
        let answer = api.call(&api.admin, method.clone(), path, Some(body.clone())).await;
        assert_eq!((answer.status, answer.wrong_fields().as_slice()), (422, wrong), "{method} {body}");
        assert!(!answer.body.to_string().contains("s3cr3t-value"));
    }
    for (path, body) in [
        (&secret, json!({"name": "n", "custom_headers": {"x-ok": "1"}})),
        (&secret, json!({"secret_header": "x-other"})),
        (&secret, json!({"secret_header": null, "secret_value": null})),
        (&secret, json!({"url": "http://8.8.8.8/hook"})),
        (&plain, json!({"custom_headers": {}, "secret_header": "X-Env"})),
    ] {
        let answer = api.call(&api.admin, Method::PATCH, path, Some(body.clone())).await;
        assert_eq!(answer.status, 200, "{body}: {}", answer.body);
    }
}

#[tokio::test]
async fn a_schedule_has_at_most_a_hundred_entries() {
    let api = Api::new().await;
    let make = async |entries: usize| {
        api.post("/api/v1/webhooks", json!({"url": URL, "retry_schedule": vec!["1h"; entries]})).await
    };
    assert_eq!(make(100).await.status, 201);
    assert_eq!(make(101).await.wrong_fields(), ["retry_schedule"]);
}

#[tokio::test]
async fn an_endpoint_that_does_not_pass_the_test_makes_no_webhook() {
    let api = Api::new().await;
    // Nothing listens there, and the guard lets nobody find out: both are a test that was not passed.
    let answer =
        api.post("/api/v1/webhooks", json!({"url": "https://unresolvable.invalid/x", "verify": true})).await;
    assert_eq!(answer.status, 400, "{}", answer.body);
    assert_eq!(api.get("/api/v1/webhooks").await.body["data"], json!([]));
    let made = api.post("/api/v1/webhooks", json!({"url": "https://unresolvable.invalid/x"})).await;
    assert_eq!(made.status, 201, "a name that does not resolve now is accepted: {}", made.body);
    let path = format!("/api/v1/webhooks/{}/test", made.body["id"]);
    let tested = api.call(&api.admin, Method::POST, &path, None).await;
    assert_eq!(
        (tested.status, &tested.body["ok"], &tested.body["error"]["code"]),
        (200, &json!(false), &json!("dns"))
    );
    assert_eq!(api.post(&format!("{path}?event=Nix"), json!({})).await.wrong_fields(), ["event"]);
}

#[tokio::test]
async fn replays_are_their_owners_business() {
    let api = Api::new().await;
    let acme = key(&api.store, &["admin"], Some("acme")).await;
    let reader = key(&api.store, &["read"], None).await;
    for hook in [json!({"url": URL}), json!({"url": URL, "owner_id": "acme"})] {
        assert_eq!(api.post("/api/v1/webhooks", hook).await.status, 201);
    }
    let body = json!({"since": "2020-01-01T00:00:00Z", "only": "missing"});
    let replay = |id: i64| format!("/api/v1/webhooks/{id}/replay");
    let as_acme = |path: String, body| {
        let (api, acme) = (&api, &acme);
        async move { api.call(acme, Method::POST, &path, body).await }
    };
    assert_eq!(api.call(&reader, Method::POST, &replay(1), Some(body.clone())).await.status, 403);
    assert_eq!(as_acme(replay(1), Some(body.clone())).await.status, 404);
    let operators = api.post(&replay(1), body.clone()).await;
    let theirs = as_acme(replay(2), Some(body)).await;
    assert_eq!((operators.status, theirs.status), (202, 202), "{} {}", operators.body, theirs.body);
    assert_eq!(theirs.body["requested_by"]["name"], "test");
    let path = |replay: &Answer| format!("/api/v1/replays/{}", replay.body["id"].as_str().expect("an id"));
    assert_eq!(api.call(&acme, Method::GET, &path(&operators), None).await.status, 404);
    assert_eq!(as_acme(format!("{}/cancel", path(&operators)), None).await.status, 404);
    assert_eq!(api.call(&acme, Method::GET, &path(&theirs), None).await.body, theirs.body);
    let seen = api.call(&acme, Method::GET, "/api/v1/replays", None).await;
    assert_eq!(seen.body["data"], json!([theirs.body]));
    assert_eq!(api.get("/api/v1/replays").await.body["data"].as_array().map(Vec::len), Some(2));
    let bulk = "/api/v1/deliveries/resend?since=2020-01-01T00:00:00Z";
    assert_eq!(as_acme(format!("{bulk}&owner_id=other"), None).await.status, 403);
    assert_eq!(as_acme(bulk.to_owned(), None).await.status, 202);

    for (wrong, fields) in [
        (json!({}), vec!["since"]),
        (json!({"since": "2020-01-02T00:00:00Z", "until": "2020-01-01T00:00:00Z"}), vec!["until"]),
        (json!({"since": "2099-01-01T00:00:00Z"}), vec!["since"]),
        (json!({"since": "2020-01-01T00:00:00Z", "only": "lost", "x": 1}), vec!["only", "x"]),
        (json!({"since": "2020-01-01T00:00:00Z", "events": ["Hartbeat"]}), vec!["events.0"]),
    ] {
        let refused = api.post(&replay(1), wrong.clone()).await;
        assert_eq!(refused.wrong_fields(), fields, "{wrong}: {}", refused.body);
    }
}

#[tokio::test]
async fn webhooks_and_keys_are_listed_by_when_they_were_made_like_everything_else() {
    let api = Api::new().await;
    let made = api.post("/api/v1/webhooks", json!({"url": URL})).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let at = made.body["created_at"].as_str().expect("a time");
    let count = async |path: String| {
        let listed = api.get(&path).await;
        listed.body["data"].as_array().map(Vec::len).unwrap_or_else(|| panic!("{path}: {}", listed.body))
    };
    assert_eq!(count(format!("/api/v1/webhooks?since={at}")).await, 1);
    assert_eq!(count(format!("/api/v1/webhooks?until={at}")).await, 0);
    for (query, expected) in [("since=2000-01-01T00:00:00Z", true), ("until=2000-01-01T00:00:00Z", false)] {
        assert_eq!(count(format!("/api/v1/api-keys?{query}")).await > 0, expected, "{query}");
    }
}

#[tokio::test]
async fn a_pattern_that_may_not_be_meant_is_told_of_and_one_that_nothing_fits_is_refused() {
    let api = Api::new().await;
    let made = api.post("/api/v1/webhooks", json!({"url": URL, "events": ["ocp.*", "Start*"]})).await;
    let warnings = made.body["warnings"].as_array().unwrap_or_else(|| panic!("{}", made.body));
    assert_eq!((made.status, warnings.len()), (201, 1));
    assert!(
        warnings[0].as_str().is_some_and(|told| told.contains("\"ocp.*\"") && told.contains("\"ocpp.*\""))
    );
    let path = "/api/v1/webhooks/1";
    for (method, body, told) in [
        (Method::PATCH, json!({"name": "n"}), 1),
        (Method::PUT, json!({"url": URL, "events": ["invoice.*", "ocp.*"]}), 2),
        (Method::PUT, json!({"url": URL, "events": ["invoice.paid", "ocpp.*"], "warnings": ["x"]}), 0),
        (Method::PATCH, json!({"events": ["start*"]}), 1),
    ] {
        let answer = api.call(&api.admin, method, path, Some(body.clone())).await;
        assert_eq!(answer.status, 200, "{body}: {}", answer.body);
        assert_eq!(answer.body["warnings"].as_array().map(Vec::len), Some(told), "{body}: {}", answer.body);
    }
    assert_eq!(api.get(path).await.body["warnings"].as_array().map(Vec::len), Some(1));
    let refused = api
        .post(
            "/api/v1/webhooks",
            json!({"url": URL, "events": ["Strat*", "ocpp.Boot*"], "stations": ["a/*", "b*"]}),
        )
        .await;
    assert_eq!(refused.wrong_fields(), ["events.0", "events.1", "stations.0"]);
    assert!(refused.message("events.0").contains("did you mean \"StartTransaction\"?"), "{}", refused.body);
    assert!(refused.message("events.1").contains("did you mean \"Boot*\"?"), "{}", refused.body);
    for list in ["events", "deliveries"] {
        assert_eq!(api.get(&format!("/api/v1/{list}?event=Strat*")).await.wrong_fields(), ["event"]);
        assert_eq!(api.get(&format!("/api/v1/{list}?event=ocp.*")).await.status, 200);
    }

    // Why an event did not go there.
    let event = json!({"event": "invoice.paid", "payload": {}, "broadcast": true});
    let event = api.post("/api/v1/events", event).await;
    let id = event.body["id"].as_str().expect("an id");
    let explained = api.get(&format!("/api/v1/events/{id}/deliveries?explain=true")).await;
    let why = &explained.body["not_matched"][0];
    assert_eq!(why["reason"], "event_type");
    assert!(why["warnings"][0].as_str().is_some_and(|told| told.contains("start*")), "{}", explained.body);
}
