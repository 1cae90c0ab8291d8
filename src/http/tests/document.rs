//! The OpenAPI document against the routes, and the gateway's own health.

use super::*;

#[tokio::test]
async fn every_route_has_an_entry_and_every_entry_a_route() {
    let api = Api::new().await;
    let document = openapi_document();
    let mut entries = 0;
    for (method, path, operation) in openapi::operations(document) {
        entries += 1;
        if path.starts_with(BASE) {
            assert!(openapi::required_scope(&method, path).is_some(), "{method} {path} names no scope");
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
        // To other methods it is a tag of this name.
        if path == "/api/v1/id-tags/import" {
            continue;
        }
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
async fn readiness_says_why_not() {
    let api = Api::new().await;
    assert_eq!(api.get("/readyz").await.body["status"], json!("ok"));
    api.store.close();
    let answer = api.get("/readyz").await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE.as_u16());
    assert!(answer.body["reasons"][0].as_str().is_some_and(|reason| reason.contains("store")));
    assert_eq!(api.get("/healthz").await.status, 200);
}

#[test]
fn headers_that_calls_take_and_answers_bring_are_in_the_document() {
    let document = openapi_document();
    let webhook = &document["paths"]["/api/v1/webhooks/{id}"];
    let takes = |operation: &Value, name: &str| {
        operation["parameters"].as_array().into_iter().flatten().any(|parameter| parameter["name"] == name)
    };
    for method in ["put", "patch", "delete"] {
        assert!(takes(&webhook[method], "If-Match"), "{method}");
    }
    assert!(!takes(&webhook["get"], "If-Match"));
    assert!(webhook["get"]["responses"]["200"]["headers"]["ETag"].is_object());
    let pause = &document["paths"]["/api/v1/webhooks/{id}/pause"]["post"];
    assert!(takes(pause, "Idempotency-Key"));
    assert!(pause["responses"]["200"]["headers"]["Idempotent-Replayed"].is_object());
    assert!(pause["responses"]["503"]["headers"]["Retry-After"].is_object());
    assert!(pause["responses"]["401"]["headers"]["WWW-Authenticate"].is_object());
}

#[tokio::test]
async fn what_cannot_be_read_is_answered_as_the_document_says() {
    let api = Api::new().await;
    let document = openapi_document();
    for (method, path, entry) in openapi::operations(document).filter(|(_, path, _)| path.starts_with(BASE)) {
        let name = |segment: &str| path.replace("{id}", segment).replace("{tag}", segment);
        let mut answers = Vec::new();
        if path.contains('{') {
            answers.push(api.call(&api.admin, method.clone(), &name("%ff"), None).await.status);
        }
        if method != Method::GET && method != Method::DELETE {
            for body in ["{".to_owned(), " ".repeat((1 << 20) + 1)] {
                let request = Request::builder().method(method.clone()).uri(name("1"));
                let request = request.header("x-api-key", &api.admin).body(Body::from(body));
                answers.push(api.send(request.expect("a request")).await.status);
            }
        }
        for status in answers {
            let told = &entry["responses"][status.to_string()];
            assert!(told.is_object(), "{method} {path} answers {status}, which is not in the document");
        }
    }
}
