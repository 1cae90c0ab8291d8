//! The OpenAPI 3.1 document. It is built from the routes, so that none can be missing.

use std::collections::HashMap;
use std::sync::LazyLock;

use http::Method;
use serde_json::{Value, json};
use utoipa::openapi::schema::Schema;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{
    Components, ContactBuilder, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder, Server,
};

use super::csv_columns::Sheet;
use super::scope::RequiredScope;
use vocabulary::api::why::Verdict;

const DESCRIPTION: &str = "\
chargehook is an OCPP 1.6-J central system that hands every message of every charger to webhooks.

**Keys.** Send `X-API-Key: KEY` or `Authorization: Bearer KEY`. Every operation names the scope it needs; \
`admin` includes all. A key that is bound to an owner sees and touches nothing else: to it, other owners' \
resources do not exist (404). A key with the scope `command:PATTERN` may send the commands whose action fits, \
and nothing else; where `command:ACTION` is asked for, it or `command` will do.

**Errors** are `application/problem+json` (RFC 9457); a 422 names every wrong field.

**Times.** `since`, `until` and the other times that lists are narrowed by, also in the body of a replay, are RFC 3339 \
or a duration back from now (`2h`).

**Lists** answer `data` and `next_cursor`, newest first unless `order=asc`; pass `next_cursor` as `cursor` with \
the other parameters unchanged. `since` is inclusive, `until` exclusive.

**CSV.** Every list, summary and report answers `Accept: text/csv` with the same filters: a line of names, then the \
rows of all pages, as a stream. Fields of an object of fixed shape are columns of their own (`requested_by.name`); \
payloads and arrays are JSON in one cell; null is an empty cell. A text that begins with `=`, `+`, `-`, `@`, tab or CR \
is prefixed with `'`, since spreadsheets would take it for a formula; numbers never are. With `cursor` it begins \
there. With `limit` it is that page alone, and the header `Link` (`rel=\"next\"`) leads to the next one. If something \
fails on the way the connection is cut off, so a file that ended well is whole. One that takes several pages counts as \
one request, and as an open stream (`limits.streams`).

**Idempotency.** Every POST takes an `Idempotency-Key` header (at most 255 characters, per API key, for 24 hours): \
the same key and body get the first answer again, with `Idempotent-Replayed: true`. A request that was refused and \
changed nothing is decided anew, also with another body: only answers 2xx, and the 504 of a command that was sent, are kept.

**Versions.** Webhooks and stations carry an `ETag`; a PUT, PATCH or DELETE with `If-Match` answers 412 if it changed.";

static DOCUMENT: LazyLock<OpenApi> = LazyLock::new(|| super::routes().split_for_parts().1);

static AS_JSON: LazyLock<Value> = LazyLock::new(|| {
    let mut document = serde_json::to_value(&*DOCUMENT).unwrap_or_default();
    complete(&mut document);
    offer_csv(&mut document);
    document["webhooks"] = super::openapi_webhooks::webhooks();
    document["components"]["schemas"]["WhyVerdict"]["description"] = meanings().into();
    document
});

/// What each verdict of `why` means, as a list.
fn meanings() -> String {
    let lines = Verdict::ALL.iter().map(|verdict| format!("\n- `{verdict}`: {}", verdict.meaning()));
    format!("What is the matter, as a code. More may be added.\n{}", lines.collect::<String>())
}

static REQUIRED_SCOPES: LazyLock<HashMap<(Method, String), RequiredScope>> = LazyLock::new(|| {
    operations(&AS_JSON)
        .filter_map(|(method, path, operation)| {
            let scope = operation["security"][0]["api_key"][0].as_str()?;
            Some(((method, path.to_owned()), RequiredScope::named(scope)?))
        })
        .collect()
});

/// The document as `chargehook openapi` prints it and `/openapi.json` answers it.
pub fn document() -> &'static Value {
    &AS_JSON
}

/// The document's component section, for checking bodies.
pub(super) fn components() -> &'static Value {
    &AS_JSON["components"]
}

/// The scope that a call needs; `None` for a path or method that is no operation of the API.
pub(super) fn required_scope(method: &Method, path: &str) -> Option<RequiredScope> {
    let method = if method == Method::HEAD { Method::GET } else { method.clone() };
    REQUIRED_SCOPES.get(&(method, path.to_owned())).copied()
}

/// The name of an operation, as the document has it; `None` for what is no operation of the API.
pub(super) fn operation_id(method: &Method, path: &str) -> Option<&'static str> {
    operation(method, path)?["operationId"].as_str()
}

/// An operation's entry; `None` for what is none of the API.
pub(super) fn operation(method: &Method, path: &str) -> Option<&'static Value> {
    AS_JSON["paths"].get(path)?.get(method.as_str().to_ascii_lowercase())
}

/// Every operation: method, path, and its entry.
pub(super) fn operations(document: &Value) -> impl Iterator<Item = (Method, &str, &Value)> {
    document["paths"].as_object().into_iter().flatten().flat_map(|(path, item)| {
        item.as_object().into_iter().flatten().filter_map(move |(method, operation)| {
            let method = Method::from_bytes(method.to_ascii_uppercase().as_bytes()).ok()?;
            operation.get("responses")?;
            Some((method, path.as_str(), operation))
        })
    })
}

/// The part of the document about the API as a whole, with schemas that are made of parameters.
pub(super) fn preamble(schemas: impl IntoIterator<Item = (&'static str, Schema)>) -> OpenApi {
    let mut components = Components::new();
    components.schemas.extend(schemas.into_iter().map(|(name, schema)| (name.to_owned(), schema.into())));
    components.add_security_scheme(
        "api_key",
        SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::with_description(
            "X-API-Key",
            "An API key of this gateway",
        ))),
    );
    components.add_security_scheme(
        "bearer",
        SecurityScheme::Http(
            HttpBuilder::new()
                .scheme(HttpAuthScheme::Bearer)
                .description(Some("The same API key as a bearer token"))
                .build(),
        ),
    );
    let info = InfoBuilder::new()
        .title("chargehook")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(DESCRIPTION))
        .contact(Some(ContactBuilder::new().name(Some("chargehook")).build()))
        .license(Some(
            LicenseBuilder::new().name("Apache-2.0 OR MIT").identifier(Some("Apache-2.0 OR MIT")).build(),
        ))
        .build();
    OpenApiBuilder::new().info(info).components(Some(components)).servers(Some([Server::new("/")])).build()
}

/// Schemas of resources that are shown with an `ETag`.
const VERSIONED: [&str; 2] = ["#/components/schemas/Webhook", "#/components/schemas/Station"];

/// Handlers have the same names in every resource; operations must differ: `webhooks_create`.
fn name_operation(operation: &mut Value) {
    if let (Some(tag), Some(handler)) = (operation["tags"][0].as_str(), operation["operationId"].as_str()) {
        operation["operationId"] = format!("{}_{handler}", tag.replace(' ', "_")).into();
    }
}

/// OpenAPI requires a description of every answer, and the errors here are not plain JSON.
fn describe_answers(operation: &mut Value) {
    for (status, answer) in operation["responses"].as_object_mut().into_iter().flatten() {
        let words = match status.as_str() {
            "201" => "It was made",
            "202" => "It is under way",
            "204" => "It is done",
            _ => "What was asked for",
        };
        if answer["description"].as_str().unwrap_or_default().is_empty() {
            answer["description"] = words.into();
        }
        let shape = "/content/application~1json/schema/$ref";
        if answer.pointer(shape).is_some_and(|shape| shape == "#/components/schemas/Problem") {
            let content = answer["content"]["application/json"].take();
            answer["content"] = json!({ super::problem::MEDIA_TYPE: content });
        }
    }
}

/// A header that a call takes.
fn take_header(operation: &mut Value, name: &str, description: &str, schema: Value) {
    let header = json!({ "name": name, "in": "header", "required": false, "description": description, "schema": schema });
    match operation["parameters"].as_array_mut() {
        Some(parameters) => parameters.push(header),
        None => operation["parameters"] = json!([header]),
    }
}

/// The headers of answers.
fn name_headers(operation: &mut Value, is_post: bool) {
    for (status, answer) in operation["responses"].as_object_mut().into_iter().flatten() {
        let mut name = |header: &str, description: &str| {
            answer["headers"][header] = json!({ "description": description, "schema": { "type": "string" } });
        };
        match status.as_str() {
            "401" => name("WWW-Authenticate", "How a key may be sent"),
            "429" | "503" => name("Retry-After", "Seconds to wait for"),
            _ => {}
        }
        if is_post && !["401", "403", "429", "503"].contains(&status.as_str()) {
            name("Idempotent-Replayed", "`true` on an answer that is given again");
        }
        let shown = answer.pointer("/content/application~1json/schema/$ref").and_then(Value::as_str);
        if shown.is_some_and(|shown| VERSIONED.contains(&shown)) {
            let words = "Its version, for `If-Match`";
            answer["headers"]["ETag"] = json!({ "description": words, "schema": { "type": "string" } });
        }
    }
}

/// Adds to every operation what all have in common: errors that any call can answer, the header of every
/// POST, and the second place of the key.
fn complete(document: &mut Value) {
    let Some(paths) = document["paths"].as_object_mut() else { return };
    for (path, item) in paths {
        for (method, operation) in item.as_object_mut().into_iter().flatten() {
            if operation.get("responses").is_none() {
                continue;
            }
            describe_answers(operation);
            if path.starts_with(super::BASE) {
                complete_operation(path, method == "post", operation);
            }
        }
    }
}

/// Adds the second media type of every list.
fn offer_csv(document: &mut Value) {
    let lists: Vec<String> = operations(document)
        .filter(|(method, _, operation)| *method == Method::GET && Sheet::of(operation, document).is_some())
        .map(|(_, path, _)| path.to_owned())
        .collect();
    for path in lists {
        let answer = &mut document["paths"][path]["get"]["responses"]["200"];
        answer["content"]["text/csv"] = json!({ "schema": { "type": "string" } });
        let link = "With `text/csv` and `limit`: where the next page is";
        answer["headers"]["Link"] = json!({ "description": link, "schema": { "type": "string" } });
    }
}

fn complete_operation(path: &str, is_post: bool, operation: &mut Value) {
    name_operation(operation);
    if let Some(scope) = operation["security"][0]["api_key"][0].as_str() {
        let scope = scope.to_owned();
        operation["security"] = json!([{ "api_key": [scope] }, { "bearer": [scope] }]);
    }
    if is_post {
        let words = "Makes the call safe to repeat for 24 hours";
        let schema = json!({ "type": "string", "minLength": 1, "maxLength": 255 });
        take_header(operation, "Idempotency-Key", words, schema);
    }
    if operation["responses"].get("412").is_some() {
        let words = "The `ETag` that it must still have; otherwise the answer is a 412";
        take_header(operation, "If-Match", words, json!({ "type": "string" }));
    }
    let takes_body = operation.get("requestBody").is_some();
    for (status, description) in general_errors(path, is_post, takes_body) {
        if operation["responses"].get(status).is_none() {
            operation["responses"][status] = json!({
                "description": description,
                "content": { super::problem::MEDIA_TYPE: { "schema": { "$ref": "#/components/schemas/Problem" } } }
            });
        }
    }
    name_headers(operation, is_post);
}

/// The errors that a call can answer beside its own: status and description.
fn general_errors(path: &str, is_post: bool, takes_body: bool) -> Vec<(&'static str, &'static str)> {
    let mut errors = vec![
        ("401", "No API key, or none that is valid"),
        ("403", "The key lacks the scope that `security` names, or another owner was named"),
        ("422", "Wrong fields or parameters; `errors` names every one"),
        (
            "429",
            "Too many requests a second with this key, or with bad keys from this address; see `Retry-After`",
        ),
        ("503", "Not now; see `Retry-After`"),
    ];
    if path.contains('{') {
        errors.push(("404", "There is none, or it belongs to another owner"));
    }
    let kept_for_a_time =
        ["/events", "/deliveries", "/commands", "/bulk-commands", "/transactions", "/replays"];
    let of_one = kept_for_a_time.iter().any(|list| path.contains(&format!("{list}/{{")));
    if of_one || path.ends_with("/events") || path.ends_with("/events/stream") {
        errors.push(("410", "Older than what is kept: see `retention` in the configuration"));
    }
    // A POST without a body may still get one, and a path may not be UTF-8.
    if takes_body || is_post || path.contains('{') {
        errors.push(("400", "It cannot be read: the body is not JSON, or the path not UTF-8"));
    }
    if takes_body || is_post {
        errors.push(("413", "The body is too large"));
    }
    if takes_body {
        errors.push(("415", "The body's Content-Type is none that this call takes"));
    }
    if is_post {
        errors.push((
            "409",
            "In conflict with the present state, or a request with this Idempotency-Key is still running",
        ));
    }
    errors
}
