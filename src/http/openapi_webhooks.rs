//! The `webhooks` section of the OpenAPI document: what receivers get.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use outbound::body::content_type;
use vocabulary::delivery::BodyFormat;
use vocabulary::ocpp::protocol::Protocol;

const HEADERS: [(&str, &str, bool); 10] = [
    ("webhook-id", "The event's id, the same on every attempt: what was seen before can be dropped", true),
    ("webhook-timestamp", "Unix seconds of this attempt; refuse what is older than a few minutes", true),
    (
        "webhook-signature",
        "`v1,` and base64 of HMAC-SHA256 over `id.timestamp.body`, keyed with the base64-decoded bytes after \
         `whsec_`; one per valid secret, space separated (Standard Webhooks)",
        false,
    ),
    ("X-Webhook-Delivery-Id", "The delivery's id", true),
    ("X-Webhook-Timestamp", "The same timestamp", true),
    (
        "X-Webhook-Signature",
        "`sha256=` and hex of HMAC-SHA256 over `timestamp.body`, by the newest secret",
        false,
    ),
    ("X-Webhook-Event", "The event's type", true),
    ("X-Webhook-Attempt", "1, 2, …", true),
    ("X-Webhook-Trigger", "`event`, `resend`, `replay` or `test`", true),
    ("X-Webhook-Sequence", "Counts the webhook's deliveries from 1 without gaps; none on tests", false),
];

/// The member that events have in which somebody shows an id tag.
const TAG_REASON: &str = "id_tag_reason";

fn text(description: &str) -> Value {
    json!({ "type": "string", "description": description })
}

fn moment(description: &str) -> Value {
    json!({ "type": "string", "format": "date-time", "description": description })
}

fn or_null(kind: &str, description: &str) -> Value {
    json!({ "type": [kind, "null"], "description": description })
}

/// The members about station, owner and transaction of an event.
fn belonging() -> Map<String, Value> {
    [
        ("station_id", or_null("string", "The station it is about")),
        ("station_seq", or_null("integer", "Counts the station's events from 1 without gaps")),
        ("owner_id", or_null("string", "The customer it belongs to")),
        ("occurred_at", or_null("string", "The charger's own time for it")),
        ("transaction_id", or_null("integer", "The transaction it was attached to")),
        (
            "protocol",
            or_null(
                "string",
                &format!("`{}` for what came from, or went to, a charger", Protocol::default()),
            ),
        ),
        (
            TAG_REASON,
            or_null(
                "string",
                "Of `Authorize`, `StartTransaction` and `StopTransaction` alone: why the id tag was refused; \
                 null if it was accepted",
            ),
        ),
        (
            "payload",
            json!({ "type": "object", "description": "What the charger sent, or the event's own members" }),
        ),
    ]
    .map(|(name, schema)| (name.to_owned(), schema))
    .into_iter()
    .collect()
}

fn object(title: &str, description: &str, members: Map<String, Value>) -> Value {
    let mut members = members;
    let required: Vec<String> = members.keys().filter(|name| *name != TAG_REASON).cloned().collect();
    if title != "CloudEvent" {
        let test = json!({ "type": "boolean", "description": "Present, and true, on test events" });
        members.insert("isTest".into(), test);
    }
    json!({ "title": title, "description": description, "type": "object", "properties": members, "required": required })
}

fn with(mut members: Map<String, Value>, more: Value) -> Map<String, Value> {
    if let Value::Object(more) = more {
        members.extend(more);
    }
    members
}

/// What a body of this format holds.
fn body(format: BodyFormat) -> Value {
    let (id, kind) = (text("The event's id"), text("The event's type"));
    let (arrived, data) = (moment("When it arrived"), json!({ "type": "object", "properties": belonging() }));
    let (title, members) = match format {
        BodyFormat::Flat => {
            let own = json!({ "id": id, "event": kind, "timestamp": arrived });
            ("FlatDelivery", with(belonging(), own))
        }
        BodyFormat::Envelope => {
            let own = json!({ "id": id, "type": kind, "createdAt": arrived, "data": data });
            ("EnvelopeDelivery", with(Map::new(), own))
        }
        BodyFormat::Standard => {
            let own = json!({ "type": kind, "timestamp": arrived, "data": data });
            ("StandardDelivery", with(Map::new(), own))
        }
        BodyFormat::CloudEvents => {
            let own = json!({
                "specversion": { "const": "1.0" },
                "id": id,
                "source": text("`/stations/WALLBOX_001`, or `/`"),
                "type": text("Category and name (`ocpp.StartTransaction`); a custom name as it is"),
                "time": arrived,
                "datacontenttype": { "const": "application/json" },
                "data": { "type": "object", "description": "The payload" }
            });
            ("CloudEvent", with(Map::new(), own))
        }
    };
    object(title, &format!("`format: {format}`"), members)
}

/// The bodies of every format, by their content types.
fn bodies() -> Map<String, Value> {
    let mut by_type: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    for &format in BodyFormat::ALL {
        by_type.entry(content_type(format)).or_default().push(body(format));
    }
    let content = by_type.into_iter().map(|(content_type, mut schemas)| {
        let schema = match schemas.len() {
            1 => schemas.remove(0),
            _ => json!({ "oneOf": schemas }),
        };
        (content_type.to_owned(), json!({ "schema": schema }))
    });
    content.collect()
}

/// The `webhooks` section.
pub(super) fn webhooks() -> Value {
    let parameters: Vec<Value> = HEADERS
        .iter()
        .map(|(name, description, required)| {
            json!({ "name": name, "in": "header", "required": required, "description": description, "schema": { "type": "string" } })
        })
        .collect();
    json!({ "event": { "post": {
        "operationId": "receive_event",
        "tags": ["webhooks"],
        "summary": "An event, as an endpoint receives it",
        "description": "Sent at least once. Answer 2xx within the webhook's timeout; anything else is tried again by its \
            schedule, but for 410, which disables the webhook.",
        "parameters": parameters,
        "requestBody": { "required": true, "content": bodies() },
        "responses": { "2XX": { "description": "It was taken" }, "410": { "description": "No more of this: the webhook is disabled" } }
    } } })
}
