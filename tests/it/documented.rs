//! Every answer that any test gets of the API, against the OpenAPI document: a client that was generated from
//! it must be able to read what really comes.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex};

use chargehook::http::openapi_document;
use jsonschema::Validator;
use serde_json::{Value, json};

/// Compiled schemas of answers, by their place in the document.
static COMPILED: LazyLock<Mutex<HashMap<String, &'static Validator>>> = LazyLock::new(Mutex::default);

/// Panics if the document does not tell of this answer: of its status, or of a member of its body.
pub(crate) fn check(method: &str, path: &str, status: u16, body: &Value) {
    let path = path.split('?').next().unwrap_or_default();
    let Some((entry, operation)) = operation(method, path) else {
        assert!(
            matches!(status, 401 | 404 | 405),
            "{method} {path} is not in the document, and answered {status}"
        );
        return;
    };
    let place = format!("{method} {entry} {status}");
    let answer = &operation["responses"][status.to_string()];
    assert!(answer.is_object(), "{place} is not in the document: {body}");
    let schemas: Vec<&Value> =
        answer["content"].as_object().into_iter().flatten().map(|(_, content)| &content["schema"]).collect();
    if schemas.is_empty() {
        assert!(body.is_null(), "{place} has no body in the document: {body}");
        return;
    }
    if body.is_null() {
        return; // A stream, or a text: not ours to read.
    }
    let validator = *COMPILED.lock().expect("no panic holds it").entry(place.clone()).or_insert_with(|| {
        let schema = closed(&json!({ "anyOf": schemas, "components": openapi_document()["components"] }));
        Box::leak(Box::new(jsonschema::validator_for(&schema).expect("our own schemas compile")))
    });
    let wrong: Vec<String> =
        validator.iter_errors(body).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(wrong.is_empty(), "{place} is not as the document says: {}", wrong.join("; "));
}

/// The entry with most literal segments in common: `/stations/import` is no station.
fn operation(method: &str, path: &str) -> Option<(&'static str, &'static Value)> {
    let wanted: Vec<&str> = path.trim_matches('/').split('/').collect();
    let entries = openapi_document()["paths"].as_object()?;
    let fits = |entry: &&String| {
        let segments: Vec<&str> = entry.trim_start_matches("/api/v1/").split('/').collect();
        segments.len() == wanted.len()
            && segments
                .iter()
                .zip(&wanted)
                .all(|(segment, given)| segment.starts_with('{') || segment == given)
    };
    let entry = entries.keys().filter(fits).min_by_key(|entry| entry.matches('{').count())?;
    let operation = entries[entry].get(method.to_lowercase())?;
    Some((entry, operation))
}

/// The same schema, with nothing but the members it names: what is not documented is found too.
fn closed(schema: &Value) -> Value {
    match schema {
        Value::Object(members) => {
            let mut members: serde_json::Map<String, Value> =
                members.iter().map(|(name, value)| (name.clone(), closed(value))).collect();
            if members.get("properties").is_some_and(Value::is_object)
                && !members.contains_key("additionalProperties")
            {
                members.insert("unevaluatedProperties".into(), false.into());
            }
            Value::Object(members)
        }
        Value::Array(values) => values.iter().map(closed).collect(),
        other => other.clone(),
    }
}

#[test]
#[should_panic(expected = "GET /api/v1/event-types 200 is not as the document says")]
fn a_member_without_an_entry_is_found() {
    let event = json!({ "event": "Heartbeat", "category": "ocpp", "colour": "red" });
    check("GET", "/event-types", 200, &json!({ "data": [event], "next_cursor": null }));
}

#[test]
#[should_panic(expected = "GET /api/v1/stations/{id} 418 is not in the document")]
fn a_status_without_an_entry_is_found() {
    check("GET", "/stations/CP_1", 418, &Value::Null);
}
