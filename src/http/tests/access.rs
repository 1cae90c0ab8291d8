//! Keys: who may do what, and what a key never reveals.

use super::*;

#[tokio::test]
async fn without_a_valid_key_nothing_is_revealed() {
    let api = Api::new().await;
    for path in ["/api/v1/webhooks", "/api/v1/nothing", "/api/v1/webhooks/1"] {
        for key in ["", "chk_wrong"] {
            let answer = api.call(key, Method::GET, path, None).await;
            assert_eq!(answer.status, 401, "{path}");
            assert!(answer.headers.contains_key("www-authenticate"));
            assert_eq!(answer.headers["content-type"], "application/problem+json");
        }
    }
    let bearer = format!("Bearer {}", api.admin);
    let request = Request::builder().uri("/api/v1/webhooks").header("authorization", bearer);
    assert_eq!(api.send(request.body(Body::empty()).expect("a request")).await.status, 200);
    assert_eq!(api.get("/api/v1/nothing").await.status, 404);
    let answer = api.call(&api.admin, Method::PUT, "/api/v1/webhooks", None).await;
    assert_eq!(
        (answer.status, &answer.headers["content-type"]),
        (405, &"application/problem+json".parse().expect("a value"))
    );
    for path in ["/healthz", "/readyz", "/openapi.json", "/metrics"] {
        let request = Request::builder().uri(path).body(Body::empty()).expect("a request");
        assert_eq!(api.send(request).await.status, 200, "{path} needs no key");
    }
    let request = Request::builder().uri("/docs/").body(Body::empty()).expect("a request");
    assert_eq!(api.send(request).await.status, 200);
}

#[tokio::test]
async fn scopes_and_owners_hold_everywhere() {
    let api = Api::new().await;
    let reader = key(&api.store, &["read"], None).await;
    let writer = key(&api.store, &["read", "write"], None).await;
    let commander = key(&api.store, &["command"], None).await;
    let one_command = key(&api.store, &["command:Reset"], None).await;
    let hook = json!({"url": URL});
    let station = json!({"station_id": "CP_1"});
    for (key, method, path, body, status) in [
        (&reader, Method::GET, "/api/v1/webhooks", None, 200),
        (&reader, Method::POST, "/api/v1/webhooks", Some(&hook), 403),
        (&reader, Method::GET, "/api/v1/webhooks/1/secret", None, 403),
        (&reader, Method::GET, "/api/v1/api-keys", None, 403),
        (&writer, Method::POST, "/api/v1/webhooks", Some(&hook), 201),
        (&writer, Method::POST, "/api/v1/stations", Some(&station), 403),
        (&writer, Method::POST, "/api/v1/api-keys", Some(&json!({"name": "x", "scopes": ["read"]})), 403),
        (&commander, Method::GET, "/api/v1/stations", None, 403),
        (&commander, Method::POST, "/api/v1/stations", Some(&station), 201),
        (&one_command, Method::POST, "/api/v1/stations", Some(&station), 403),
    ] {
        let answer = api.call(key, method.clone(), path, body.cloned()).await;
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.body);
        if status == 403 {
            assert!(answer.body["detail"].as_str().is_some_and(|text| text.contains("scope")));
        }
    }

    // An owner-bound key: what is not its owner's does not exist.
    let acme = key(&api.store, &["admin"], Some("acme")).await;
    assert_eq!(api.call(&acme, Method::GET, "/api/v1/webhooks/1", None).await.status, 404);
    assert_eq!(api.call(&acme, Method::DELETE, "/api/v1/webhooks/1", None).await.status, 404);
    assert_eq!(api.call(&acme, Method::GET, "/api/v1/stations/CP_1", None).await.status, 404);
    assert_eq!(api.call(&acme, Method::GET, "/api/v1/webhooks", None).await.body["data"], json!([]));
    let own = api.call(&acme, Method::POST, "/api/v1/webhooks", Some(hook.clone())).await;
    assert_eq!((own.status, &own.body["owner_id"]), (201, &json!("acme")));
    let path = format!("/api/v1/webhooks/{}", own.body["id"]);
    assert_eq!(api.call(&acme, Method::GET, &path, None).await.status, 200);
    let other = json!({"url": URL, "owner_id": "other"});
    assert_eq!(api.call(&acme, Method::POST, "/api/v1/webhooks", Some(other.clone())).await.status, 403);
    assert_eq!(api.call(&acme, Method::PATCH, &path, Some(json!({"owner_id": "other"}))).await.status, 403);
    assert_eq!(api.call(&acme, Method::GET, "/api/v1/events?owner_id=other", None).await.status, 403);
    let kept = api.call(&acme, Method::PATCH, &path, Some(json!({"owner_id": null}))).await;
    assert_eq!(kept.body["owner_id"], json!("acme"), "what it touches stays its owner's");
    let made = api
        .call(&acme, Method::POST, "/api/v1/api-keys", Some(json!({"name": "k", "scopes": ["read"]})))
        .await;
    assert_eq!((made.status, &made.body["owner_id"]), (201, &json!("acme")));
    assert_eq!(
        api.call(&acme, Method::GET, "/api/v1/api-keys", None).await.body["data"].as_array().map(Vec::len),
        Some(2)
    );
}

#[tokio::test]
async fn a_key_for_single_commands_sends_these_alone() {
    let api = Api::new().await;
    let (remote, acme) = (&["command:Remote*", "read"], Some("acme"));
    let (remote, bound) = (key(&api.store, remote, None).await, key(&api.store, &["admin"], acme).await);
    let reader = key(&api.store, &["read"], None).await;
    assert_eq!(api.post("/api/v1/stations", json!({"station_id": "CP"})).await.status, 201);
    let path = "/api/v1/stations/CP/commands";
    let start = json!({"action": "RemoteStartTransaction", "payload": {"idTag": "TAG"}, "queue": true});
    let reset = json!({"action": "Reset", "payload": {"type": "Soft"}, "queue": true});
    let send = async |key: &str, body: &Value| api.call(key, Method::POST, path, Some(body.clone())).await;
    let refused = send(&remote, &reset).await;
    assert_eq!(refused.status, 403);
    assert!(refused.body["detail"].as_str().is_some_and(|detail| detail.contains("command:Reset")));
    assert_eq!(send(&reader, &start).await.status, 403);
    assert_eq!(send(&bound, &start).await.status, 404, "another owner's station");
    let started = send(&remote, &start).await;
    assert_eq!((started.status, &started.body["requested_by"]["name"]), (202, &json!("test")));
    let kept = send(&api.admin, &reset).await.body;
    let of = |command: &Value| format!("/api/v1/commands/{}", command["id"].as_str().expect("an id"));
    let cancel = |command: &Value| format!("{}/cancel", of(command));
    assert_eq!(api.call(&remote, Method::POST, &cancel(&kept), None).await.status, 403);
    assert_eq!(api.call(&bound, Method::GET, &of(&kept), None).await.status, 404);
    assert_eq!(api.call(&bound, Method::GET, "/api/v1/commands", None).await.body["data"], json!([]));
    assert_eq!(api.call(&reader, Method::GET, &of(&kept), None).await.body, kept);
    let canceled = api.call(&remote, Method::POST, &cancel(&started.body), None).await;
    assert_eq!((canceled.status, &canceled.body["status"]), (200, &json!("canceled")));
}

#[tokio::test]
async fn a_key_that_asks_too_often_is_told_to_wait_and_no_other() {
    let api = Api::new().await;
    let (busy, quiet) = (key(&api.store, &["read"], None).await, key(&api.store, &["read"], None).await);
    // The clock stands still, so that the burst is all there is; a refused request counts like any other.
    for asked in 0..500 {
        let (method, status) = if asked % 2 == 0 { (Method::GET, 200) } else { (Method::POST, 403) };
        assert_eq!(api.call(&busy, method, "/api/v1/webhooks", None).await.status, status, "{asked}");
    }
    let refused = api.call(&busy, Method::GET, "/api/v1/webhooks", None).await;
    assert_eq!(
        (refused.status, &refused.headers["content-type"]),
        (429, &"application/problem+json".parse().expect("a value"))
    );
    let wait: u32 = refused.headers["retry-after"].to_str().expect("text").parse().expect("seconds");
    assert!(wait >= 1);
    assert_eq!(api.call(&quiet, Method::GET, "/api/v1/webhooks", None).await.status, 200);
    assert_eq!(api.call("chk_wrong", Method::GET, "/api/v1/webhooks", None).await.status, 401);
    assert_eq!(api.get("/healthz").await.status, 200);
}

#[tokio::test]
async fn an_address_that_guesses_keys_is_told_to_wait_and_no_valid_key() {
    let api = Api::new().await;
    let ask = async |key: &str, address: [u8; 4]| {
        let request = Request::builder().uri("/api/v1/webhooks").header("x-api-key", key);
        let mut request = request.body(Body::empty()).expect("a request");
        request.extensions_mut().insert(serve::Peer(address.into()));
        api.send(request).await
    };
    let (guesser, other) = ([203, 0, 113, 9], [203, 0, 113, 10]);
    assert_eq!(ask(&api.admin, guesser).await.status, 200);
    for guess in 0..50 {
        assert_eq!(ask(&format!("chk_{guess}"), guesser).await.status, 401);
    }
    let refused = ask("chk_50", guesser).await;
    assert_eq!(
        (refused.status, &refused.body["type"]),
        (429, &json!("urn:chargehook:problem:too-many-requests"))
    );
    assert!(refused.headers.contains_key("retry-after"));
    assert_eq!(ask(&api.admin, guesser).await.status, 200, "a key that is in use is not a guess");
    assert_eq!(ask("chk_51", other).await.status, 401);
}

#[tokio::test]
async fn keys_are_made_used_and_revoked() {
    let api = Api::new().await;
    let wrong = json!({"name": "n", "scopes": ["read", "fly"], "expires_at": "2020-01-01T00:00:00Z"});
    assert_eq!(api.post("/api/v1/api-keys", wrong).await.wrong_fields(), ["expires_at", "scopes.1"]);
    for (wrong, field, words) in [
        (
            json!({"name": "n", "scopes": ["command:RemoteStart"]}),
            "scopes.0",
            "did you mean RemoteStartTransaction?",
        ),
        (json!({"name": "n", "scopes": ["read", "command:Nope*"]}), "scopes.1", "fits no command"),
        (json!({"name": "", "scopes": ["read"]}), "name", ""),
        (json!({"name": " ", "scopes": ["read"]}), "name", "must not be empty"),
        (json!({"name": "n", "owner_id": " ", "scopes": ["read"]}), "owner_id", "must not be empty"),
    ] {
        let refused = api.post("/api/v1/api-keys", wrong).await;
        assert_eq!((refused.status, refused.wrong_fields()), (422, vec![field]), "{}", refused.body);
        assert!(refused.body.to_string().contains(words), "{}", refused.body);
    }
    let made =
        api.post("/api/v1/api-keys", json!({"name": "n", "scopes": ["read", "command:Remote*"]})).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let key = made.body["key"].as_str().expect("shown once").to_owned();
    assert_eq!(api.call(&key, Method::GET, "/api/v1/stations", None).await.status, 200);
    let listed = api.get("/api/v1/api-keys").await;
    assert!(!listed.body.to_string().contains(&key));
    let path = format!("/api/v1/api-keys/{}", made.body["id"].as_str().expect("an id"));
    assert_eq!(api.call(&api.admin, Method::DELETE, &path, None).await.status, 204);
    assert_eq!(api.call(&key, Method::GET, "/api/v1/stations", None).await.status, 401);
    assert_eq!(api.call(&api.admin, Method::DELETE, &path, None).await.status, 404);
}

#[tokio::test]
async fn the_first_key_is_given_or_generated() {
    let now = Timestamp::from_unix_ms(1_776_170_096_789);
    let dir = tempfile::tempdir().expect("a directory");
    let store = Store::open(dir.path(), Clock::manual(now)).expect("opens");
    let short = keys::ensure_first(&store, dir.path(), Some("too short"), now).await;
    assert!(matches!(short, Err(keys::KeyError::Unusable(_))));
    let made = keys::ensure_first(&store, dir.path(), None, now).await.expect("made");
    let keys::FirstKey::Generated(path) = made else { panic!("{made:?}") };
    let key = std::fs::read_to_string(&path).expect("written");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        for path in [&path, &dir.path().join("lock")] {
            let mode = std::fs::metadata(path).expect("there").permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{}", path.display());
        }
    }
    assert!(store.api_key(keys::hash(key.trim())).await.expect("reads").is_some());
    let later =
        keys::ensure_first(&store, dir.path(), Some("another-long-enough-key"), now).await.expect("known");
    assert_eq!(later, keys::FirstKey::Existing { given_is_valid: Some(false) });
    assert_eq!(keys::list(&store).await.expect("lists").len(), 1);
}

#[tokio::test]
async fn a_key_made_beside_a_running_gateway_counts_at_once() {
    let api = Api::new().await;
    let beside = Store::open_beside(api._dir.path(), Clock::System).expect("opens beside");
    let made = key(&beside, &["read"], None).await;
    assert_eq!(api.call(&made, Method::GET, "/api/v1/events", None).await.status, 200);
    let known = keys::list(&beside).await.expect("lists");
    assert_eq!(known.len(), 2);
    assert!(beside.revoke_api_key(known[1].id, None).await.expect("revokes"));
    assert_eq!(api.call(&made, Method::GET, "/api/v1/events", None).await.status, 401);
}

#[tokio::test]
async fn answers_are_kept_by_nobody_and_are_no_page() {
    let api = Api::new().await;
    for path in ["/api/v1/webhooks", "/api/v1/nothing", "/healthz", "/docs/"] {
        let answer = api.get(path).await;
        let of = |name: &str| answer.headers.get(name).and_then(|value| value.to_str().ok());
        assert_eq!(of("cache-control"), Some("no-store"), "{path}");
        assert_eq!(of("x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(of("content-security-policy"), Some("frame-ancestors 'none'"), "{path}");
    }
}
