//! The router as a whole, on a temporary store: one request in, one answer out.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::{HeaderMap, Method, Request, StatusCode};
use serde_json::{Value, json};
use tower::ServiceExt;

use super::*;
use crate::api::access::ApiKeyInput;
use crate::clock::Timestamp;
use crate::id::StationId;
use crate::keys;
use crate::outbound::destination::Guard;
use crate::store::Connected;

/// A router on a store of its own, and keys to it.
struct Api {
    router: Router,
    store: Store,
    admin: String,
    stop: CancellationToken,
    _dir: tempfile::TempDir,
}

struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Value,
}

impl Answer {
    /// The fields that a 422 names, sorted.
    fn wrong_fields(&self) -> Vec<&str> {
        let errors = self.body["errors"].as_array().map(Vec::as_slice).unwrap_or_default();
        let mut fields: Vec<&str> = errors.iter().filter_map(|error| error["field"].as_str()).collect();
        fields.sort_unstable();
        fields
    }

    fn message(&self, field: &str) -> &str {
        let errors = self.body["errors"].as_array().map(Vec::as_slice).unwrap_or_default();
        errors.iter().find(|error| error["field"] == field).and_then(|e| e["message"].as_str()).unwrap_or("")
    }

    fn etag(&self) -> String {
        self.headers["etag"].to_str().expect("visible").to_owned()
    }
}

impl Api {
    async fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let clock = Clock::manual(Timestamp::from_unix_ms(1_776_170_096_789));
        let store = Store::open(dir.path(), clock.clone()).expect("opens");
        let admin = key(&store, &["admin"], None).await;
        let state = ApiState {
            store: store.clone(),
            clock,
            poster: Poster::new(Guard::default(), None).expect("a poster"),
            stations: Arc::default(),
            lanes: watch::Sender::new(LaneViews::default()).subscribe(),
            readiness: Readiness::default(),
            config: ApiConfig::default(),
            stop: CancellationToken::new(),
        };
        let stop = state.stop.clone();
        Self { router: router(state), store, admin, stop, _dir: dir }
    }

    async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.expect("infallible");
        let (parts, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, usize::MAX).await.expect("a body");
        let body = serde_json::from_slice(&bytes)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into_owned()));
        Answer { status: parts.status.as_u16(), headers: parts.headers, body }
    }

    async fn call(&self, key: &str, method: Method, path: &str, body: Option<Value>) -> Answer {
        self.call_with(key, method, path, body, &[]).await
    }

    async fn call_with(
        &self,
        key: &str,
        method: Method,
        path: &str,
        body: Option<Value>,
        headers: &[(&str, &str)],
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path).header("x-api-key", key);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        self.send(request.body(body).expect("a request")).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.call(&self.admin, Method::GET, path, None).await
    }

    async fn post(&self, path: &str, body: Value) -> Answer {
        self.call(&self.admin, Method::POST, path, Some(body)).await
    }
}

async fn key(store: &Store, scopes: &[&str], owner: Option<&str>) -> String {
    let input = ApiKeyInput {
        name: "test".into(),
        scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
        owner_id: owner.map(str::to_owned),
        expires_at: None,
    };
    keys::create(store, input).await.expect("made").key.expect("shown once")
}

/// A literal public address: nothing has to be resolved.
const URL: &str = "https://8.8.8.8/hook";

#[tokio::test]
async fn every_route_has_an_entry_and_every_entry_a_route() {
    let api = Api::new().await;
    let document = openapi_document();
    let mut entries = 0;
    for (method, path, operation) in openapi::operations(document) {
        entries += 1;
        if path.starts_with(BASE) {
            assert!(openapi::need(&method, path).is_some(), "{method} {path} names no scope");
        }
        assert!(operation["summary"].is_string(), "{method} {path} has no summary");
        let concrete = path.replace("{id}", "1");
        let answer = api.call(&api.admin, method.clone(), &concrete, None).await;
        assert_ne!(answer.status, 405, "{method} {path} is in the document only");
        if answer.status == 404 {
            let detail = answer.body["detail"].as_str().unwrap_or_default();
            assert!(!detail.contains("path"), "{method} {path} is in the document only: {detail}");
        }
    }
    assert!(entries > 30, "{entries}");
    // The reverse: no method beside those of the document is answered on any of its paths.
    for path in document["paths"].as_object().expect("paths").keys() {
        let item = &document["paths"][path];
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
            if item.get(method.to_lowercase()).is_none() {
                let method = Method::from_bytes(method.as_bytes()).expect("a method");
                let answer = api.call(&api.admin, method.clone(), &path.replace("{id}", "1"), None).await;
                assert_eq!(answer.status, 405, "{method} {path} has no entry");
            }
        }
    }
}

#[tokio::test]
async fn the_document_is_whole() {
    let document = openapi_document();
    assert_eq!(document["openapi"], "3.1.0");
    let mut names: Vec<&str> =
        openapi::operations(document).filter_map(|(_, _, entry)| entry["operationId"].as_str()).collect();
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(
        (names.len(), all),
        (all, openapi::operations(document).count()),
        "operations have names of their own"
    );
    assert!(names.contains(&"webhooks_create") && names.contains(&"healthz"), "{names:?}");
    for (method, path, entry) in openapi::operations(document) {
        for (status, answer) in entry["responses"].as_object().expect("answers") {
            assert!(answer["description"].is_string(), "{method} {path} {status} is not described");
        }
    }
    // Every reference leads somewhere.
    let mut references = Vec::new();
    fn collect<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
        match value {
            Value::Object(members) => {
                found.extend(members.get("$ref").and_then(Value::as_str));
                members.values().for_each(|value| collect(value, found));
            }
            Value::Array(values) => values.iter().for_each(|value| collect(value, found)),
            _ => {}
        }
    }
    collect(document, &mut references);
    assert!(references.len() > 50);
    for reference in references {
        let pointer = reference.strip_prefix('#').expect("a local reference");
        assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
}

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

    // PUT replaces; only what is explicitly null goes among the secrets.
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
async fn keys_are_made_used_and_revoked() {
    let api = Api::new().await;
    let wrong = json!({"name": "", "scopes": ["read", "fly"], "expires_at": "2020-01-01T00:00:00Z"});
    assert_eq!(api.post("/api/v1/api-keys", wrong).await.wrong_fields(), ["name"]);
    let wrong = json!({"name": "n", "scopes": ["read", "fly"], "expires_at": "2020-01-01T00:00:00Z"});
    assert_eq!(api.post("/api/v1/api-keys", wrong).await.wrong_fields(), ["expires_at", "scopes.1"]);
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
async fn a_station_lives_its_life() {
    let api = Api::new().await;
    let wrong = json!({"station_id": "a/b", "password": "short", "min_security_profile": 4, "boot_status": "maybe",
        "validation": "loose", "time_zone": "not a zone", "vendor": "X"});
    let answer = api.post("/api/v1/stations", wrong).await;
    assert_eq!(
        answer.wrong_fields(),
        [
            "boot_status",
            "min_security_profile",
            "password",
            "station_id",
            "time_zone",
            "validation",
            "vendor"
        ],
        "{}",
        answer.body
    );
    assert!(answer.message("station_id").contains("no /"), "{}", answer.message("station_id"));
    assert!(answer.message("time_zone").contains("Europe/Berlin"), "{}", answer.message("time_zone"));
    let body = json!({"station_id": "WALLBOX 1", "password": "0001020304050607FFFFFFFFFFFFFFFFFFFFFFFF", "metadata": {"site": 7}});
    let made = api.post("/api/v1/stations", body.clone()).await;
    assert_eq!(made.status, 201, "{}", made.body);
    assert_eq!((&made.body["password_set"], &made.body["boot_status"]), (&json!(true), &json!("accepted")));
    assert!(!made.body.to_string().contains("0001020304050607"));
    assert_eq!(api.post("/api/v1/stations", body).await.status, 409);
    let path = "/api/v1/stations/WALLBOX%201";
    assert_eq!(api.get(path).await.body["metadata"], json!({"site": 7}));
    let patch = json!({"name": "Yard", "blocked": true, "password": null, "vendor": "ignored", "message_size": "64KiB"});
    let patched =
        api.call_with(&api.admin, Method::PATCH, path, Some(patch), &[("if-match", &made.etag())]).await;
    assert_eq!(patched.status, 200, "{}", patched.body);
    assert_eq!((&patched.body["password_set"], &patched.body["vendor"]), (&json!(false), &Value::Null));
    assert_eq!((&patched.body["blocked"], &patched.body["message_size"]), (&json!(true), &json!("64KiB")));
    let stale = api.call_with(&api.admin, Method::DELETE, path, None, &[("if-match", &made.etag())]).await;
    assert_eq!(stale.status, 412);
    assert_eq!(
        api.get("/api/v1/stations?q=wall&blocked=true").await.body["data"].as_array().map(Vec::len),
        Some(1)
    );
    assert_eq!(api.get("/api/v1/stations?connected=true").await.body["data"], json!([]));
    assert_eq!(api.get(&format!("{path}/connectors")).await.body["data"], json!([]));
    assert_eq!(api.call(&api.admin, Method::POST, &format!("{path}/disconnect"), None).await.status, 409);
    assert_eq!(api.call(&api.admin, Method::DELETE, path, None).await.status, 204);
    assert_eq!(api.get(path).await.status, 404);
}

#[tokio::test]
async fn the_first_key_is_given_or_generated() {
    let now = Timestamp::from_unix_ms(1_776_170_096_789);
    let dir = tempfile::tempdir().expect("a directory");
    let store = Store::open(dir.path(), Clock::manual(now)).expect("opens");
    let short = keys::ensure_first(&store, dir.path(), Some("too short"), now).await;
    assert!(matches!(short, Err(keys::KeyError::TooShort)));
    let made = keys::ensure_first(&store, dir.path(), None, now).await.expect("made");
    let keys::FirstKey::Generated(path) = made else { panic!("{made:?}") };
    let key = std::fs::read_to_string(&path).expect("written");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    assert!(store.api_key(keys::hash(key.trim())).await.expect("reads").is_some());
    let later =
        keys::ensure_first(&store, dir.path(), Some("another-long-enough-key"), now).await.expect("known");
    assert_eq!(later, keys::FirstKey::Existing { given_is_valid: Some(false) });
    assert_eq!(keys::list(&store).await.expect("lists").len(), 1);
}

/// Lets a charger connect, which makes two events.
async fn connect(api: &Api, station: &str) {
    let connected = Connected {
        station_id: StationId::new(station).expect("legal"),
        generation: 1,
        remote_addr: "192.0.2.1:5000".into(),
        security_profile: 0,
        discovered_as: Some(crate::ocpp::v16::answer::BootStatus::Accepted),
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
    assert_eq!(api.call(&acme, Method::POST, &format!("{path}/resend"), None).await.status, 404);
    assert_eq!(api.call(&acme, Method::GET, &format!("/api/v1/events/{id}"), None).await.status, 404);
    assert_eq!(ids(&api.call(&acme, Method::GET, "/api/v1/events", None).await), all[2..]);

    // A deleted webhook's backlog is discarded.
    assert_eq!(api.call(&api.admin, Method::DELETE, "/api/v1/webhooks/2", None).await.status, 204);
    assert_eq!(api.get(&path).await.body["status"], json!("discarded"));
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
async fn readiness_says_why_not() {
    let api = Api::new().await;
    assert_eq!(api.get("/readyz").await.body["status"], json!("ok"));
    api.store.close();
    let answer = api.get("/readyz").await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE.as_u16());
    assert!(answer.body["reasons"][0].as_str().is_some_and(|reason| reason.contains("store")));
    assert_eq!(api.get("/healthz").await.status, 200);
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
