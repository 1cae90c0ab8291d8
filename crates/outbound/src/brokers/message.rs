//! One message, as every protocol lays it out in its own way.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, USER_AGENT};

use crate::body::{self, Attributes};
use crate::headers::AttemptHeaders;
use vocabulary::broker::CloudEventsMode;
use vocabulary::delivery::BodyFormat;
use vocabulary::event::Event;

/// A message.
#[derive(Clone)]
pub struct Message {
    /// The event's id, by which receivers tell a repetition.
    pub id: String,
    /// What it is published on.
    pub topic: String,
    /// The media type of `body`.
    pub content_type: &'static str,
    /// The headers of a delivery, spelled as they are documented, or as they were given.
    pub headers: Vec<(String, String)>,
    /// The attributes of a CloudEvent that are not in the body. Each protocol has its own prefix for them.
    pub attributes: Attributes,
    /// The body, as it was signed.
    pub body: Bytes,
}

impl Message {
    /// The message of this attempt. `rendered` is the event in the attempt's format.
    pub fn new(
        topic: String,
        attempt: &AttemptHeaders<'_>,
        event: &Event,
        rendered: Bytes,
        mode: Option<CloudEventsMode>,
    ) -> Self {
        let is_binary = attempt.format == BodyFormat::CloudEvents && mode == Some(CloudEventsMode::Binary);
        let (body, attributes, content_type) = match is_binary {
            true => {
                let (attributes, data) = body::in_binary_mode(event);
                (data, attributes, "application/json")
            }
            false => (rendered, Attributes::new(), body::content_type(attempt.format)),
        };
        let built = attempt.build(&body);
        let not_of_http = built.iter().filter(|(name, _)| *name != CONTENT_TYPE && *name != USER_AGENT);
        let headers = not_of_http
            .map(|(name, value)| {
                (spelled(name.as_str(), attempt), String::from_utf8_lossy(value.as_bytes()).into_owned())
            })
            .collect();
        Self { id: attempt.event_id.to_string(), topic, content_type, headers, attributes, body }
    }
}

/// The name of a header as people wrote it: brokers, unlike HTTP, tell letter cases apart.
fn spelled(name: &str, attempt: &AttemptHeaders<'_>) -> String {
    let given = attempt.event_headers.keys().chain(attempt.webhook_headers.keys());
    if let Some(given) = given.into_iter().find(|given| given.eq_ignore_ascii_case(name)) {
        return given.clone();
    }
    match name.strip_prefix("x-webhook-") {
        None => name.to_owned(),
        Some(rest) => rest.split('-').fold("X-Webhook".to_owned(), |spelled, word| {
            let (first, others) = word.split_at(word.len().min(1));
            format!("{spelled}-{}{others}", first.to_ascii_uppercase())
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::body::tests::start_transaction;
    use vocabulary::delivery::Trigger;
    use vocabulary::id::DeliveryId;

    fn message(format: BodyFormat, mode: Option<CloudEventsMode>) -> Message {
        let event = start_transaction();
        let own = BTreeMap::from([("X-Env".to_owned(), "prod".to_owned())]);
        let attempt = AttemptHeaders {
            delivery_id: DeliveryId::from_value(7),
            event_id: event.id,
            event: &event.event,
            attempt: 2,
            trigger: Trigger::Event,
            sequence: Some(3),
            timestamp_s: 1_776_170_096,
            format,
            signing: &[],
            secret: None,
            webhook_headers: &own,
            event_headers: &BTreeMap::new(),
        };
        Message::new("t".to_owned(), &attempt, &event, body::render(format, &event), mode)
    }

    #[test]
    fn headers_are_spelled_as_they_are_documented() {
        let message = message(BodyFormat::Flat, None);
        let names: Vec<&str> = message.headers.iter().map(|(name, _)| name.as_str()).collect();
        for name in
            ["X-Env", "X-Webhook-Delivery-Id", "X-Webhook-Attempt", "X-Webhook-Sequence", "webhook-id"]
        {
            assert!(names.contains(&name), "{name} of {names:?}");
        }
        assert!(!names.iter().any(|name| name.eq_ignore_ascii_case("user-agent")), "{names:?}");
        assert_eq!(message.id, start_transaction().id.to_string());
        assert_eq!(message.content_type, "application/json");
    }

    #[test]
    fn a_cloud_event_is_whole_or_in_two_parts() {
        for mode in [None, Some(CloudEventsMode::Structured)] {
            let whole = message(BodyFormat::CloudEvents, mode);
            assert_eq!(whole.content_type, "application/cloudevents+json");
            assert!(whole.attributes.is_empty() && whole.body.starts_with(b"{\"specversion\""));
        }
        let parts = message(BodyFormat::CloudEvents, Some(CloudEventsMode::Binary));
        assert_eq!(parts.body, r#"{ "idTag":"T", "connectorId":1.50 }"#);
        assert_eq!(parts.content_type, "application/json");
        let of =
            |name: &str| parts.attributes.iter().find(|(known, _)| known == name).map(|(_, v)| v.as_str());
        assert_eq!(of("specversion"), Some("1.0"));
        assert_eq!(of("subject"), Some("WALLBOX 1-\"a\""));
        assert_eq!((of("stationseq"), of("data")), (Some("17"), None));
    }
}
