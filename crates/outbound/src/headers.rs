//! The headers of one attempt, and the rules for custom headers.

use std::collections::{BTreeMap, BTreeSet};

use http::header::{CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::body;
use super::signature::{self, SigningSecret};
use vocabulary::delivery::{BodyFormat, Trigger};
use vocabulary::id::{AuthorizationId, DeliveryId, EventId};

/// The most custom headers of one webhook, or of one event.
pub const MAX_CUSTOM_HEADERS: usize = 32;
/// The longest name of a header, in bytes.
pub const MAX_NAME_BYTES: usize = 128;
/// The longest value of a header, in bytes.
pub const MAX_VALUE_BYTES: usize = 4 * 1024;
/// The most that the custom headers of one webhook, or of one event, may take together, in bytes.
pub const MAX_TOTAL_BYTES: usize = 16 * 1024;

const AGENT: HeaderValue = HeaderValue::from_static(concat!("chargehook/", env!("CARGO_PKG_VERSION")));

/// The contents of the headers of one attempt.
#[derive(Clone, Copy)]
pub struct AttemptHeaders<'a> {
    /// The delivery.
    pub delivery_id: DeliveryId,
    /// The event: `webhook-id`, the same on every attempt.
    pub event_id: EventId,
    /// The event's type.
    pub event: &'a str,
    /// 1, 2, …
    pub attempt: u32,
    /// Why the attempt is made.
    pub trigger: Trigger,
    /// The webhook's count of deliveries; `None` on tests and dynamic URLs.
    pub sequence: Option<i64>,
    /// When this attempt is made, in Unix seconds.
    pub timestamp_s: i64,
    /// The body's format, for its content type.
    pub format: BodyFormat,
    /// The valid secrets, newest first. Empty sends unsigned (a dynamic URL without secret).
    pub signing: &'a [SigningSecret],
    /// `secret_header` and `secret_value`.
    pub secret: Option<(&'a str, &'a str)>,
    /// The webhook's own headers.
    pub webhook_headers: &'a BTreeMap<String, String>,
    /// The event's own headers; they win over the webhook's of the same name.
    pub event_headers: &'a BTreeMap<String, String>,
}

impl AttemptHeaders<'_> {
    /// The headers for `body`. A custom header that [`check_custom_headers`] would refuse is left out.
    pub fn build(&self, body: &[u8]) -> HeaderMap {
        let mut headers =
            HeaderMap::with_capacity(12 + self.webhook_headers.len() + self.event_headers.len());
        for (name, value) in self.webhook_headers.iter().chain(self.event_headers) {
            if let (Ok(name), Ok(mut value)) =
                (HeaderName::try_from(name), HeaderValue::from_bytes(value.as_bytes()))
                && !is_reserved(&name)
            {
                // It is often a token: this keeps it out of `Debug`.
                value.set_sensitive(true);
                headers.insert(name, value);
            }
        }
        if let Some((name, value)) = self.secret
            && let (Ok(name), Ok(mut value)) =
                (HeaderName::try_from(name), HeaderValue::from_bytes(value.as_bytes()))
        {
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        // The gateway's own headers are set last, so that no stored custom header can replace them.
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(body::content_type(self.format)));
        headers.insert(USER_AGENT, AGENT);
        let timestamp = HeaderValue::from(self.timestamp_s);
        let event_id = self.event_id.to_string();
        insert_text(&mut headers, "x-webhook-delivery-id", &self.delivery_id.to_string());
        insert_text(&mut headers, "x-webhook-event", self.event);
        insert_text(&mut headers, "x-webhook-trigger", self.trigger.as_str());
        headers.insert(HeaderName::from_static("x-webhook-attempt"), HeaderValue::from(self.attempt));
        headers.insert(HeaderName::from_static("x-webhook-timestamp"), timestamp.clone());
        if let Some(sequence) = self.sequence {
            headers.insert(HeaderName::from_static("x-webhook-sequence"), HeaderValue::from(sequence));
        }
        insert_text(&mut headers, "webhook-id", &event_id);
        headers.insert(HeaderName::from_static("webhook-timestamp"), timestamp);
        if let Some(newest) = self.signing.first() {
            let standard = signature::standard(self.signing, &event_id, self.timestamp_s, body);
            insert_text(&mut headers, "webhook-signature", &standard);
            insert_text(
                &mut headers,
                "x-webhook-signature",
                &signature::plain(newest, self.timestamp_s, body),
            );
        }
        headers
    }
}

/// The headers of a question to the authorisation endpoint: those of a delivery's first attempt, with the
/// question's id as event id and delivery id, and without a sequence.
pub fn of_question(
    id: AuthorizationId,
    kind: &'static str,
    timestamp_s: i64,
    secret: &SigningSecret,
    body: &[u8],
) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(10);
    let timestamp = HeaderValue::from(timestamp_s);
    let id = id.to_string();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(USER_AGENT, AGENT);
    headers.insert(HeaderName::from_static("x-webhook-attempt"), HeaderValue::from(1));
    headers.insert(HeaderName::from_static("x-webhook-timestamp"), timestamp.clone());
    headers.insert(HeaderName::from_static("webhook-timestamp"), timestamp);
    insert_text(&mut headers, "x-webhook-delivery-id", &id);
    insert_text(&mut headers, "x-webhook-event", kind);
    insert_text(&mut headers, "x-webhook-trigger", Trigger::Event.as_str());
    insert_text(&mut headers, "webhook-id", &id);
    let standard = signature::standard(std::slice::from_ref(secret), &id, timestamp_s, body);
    insert_text(&mut headers, "webhook-signature", &standard);
    insert_text(&mut headers, "x-webhook-signature", &signature::plain(secret, timestamp_s, body));
    headers
}

/// Sets a header of the gateway, whose value is always ASCII.
fn insert_text(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(HeaderName::from_static(name), value);
    }
}

/// Names of headers of the gateway itself, or of HTTP framing.
const RESERVED: [&str; 20] = [
    "connection",
    "expect",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "webhook-id",
    "webhook-signature",
    "webhook-timestamp",
    "x-webhook-attempt",
    "x-webhook-delivery-id",
    "x-webhook-event",
    "x-webhook-sequence",
    "x-webhook-signature",
    "x-webhook-timestamp",
    "x-webhook-trigger",
];

fn is_reserved(name: &HeaderName) -> bool {
    let name = name.as_str();
    name.starts_with("content-") || RESERVED.contains(&name)
}

/// What is wrong with one custom header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderProblem {
    /// The header's name as given; `None` if all headers are concerned.
    pub name: Option<String>,
    /// What is wrong, in words.
    pub message: String,
}

fn name_problem(name: &str) -> Result<HeaderName, String> {
    if name.len() > MAX_NAME_BYTES {
        return Err(format!("a header's name has at most {MAX_NAME_BYTES} characters"));
    }
    let parsed = HeaderName::try_from(name).map_err(|_| {
        "not a header's name: letters, digits and !#$%&'*+-.^_`|~ are allowed (RFC 9110)".to_owned()
    })?;
    if is_reserved(&parsed) {
        return Err(format!("{name} is set by the gateway and may not be replaced"));
    }
    Ok(parsed)
}

fn value_problem(value: &str) -> Option<String> {
    if value.len() > MAX_VALUE_BYTES {
        return Some(format!("a header's value has at most {MAX_VALUE_BYTES} bytes"));
    }
    HeaderValue::from_bytes(value.as_bytes())
        .is_err()
        .then(|| "a header's value has no line breaks and no control characters".to_owned())
}

/// Checks the custom headers of a webhook or an event. `secret_header` is the webhook's.
///
/// # Errors
/// One problem or more for every wrong header.
pub fn check_custom_headers(
    headers: &BTreeMap<String, String>,
    secret_header: Option<&str>,
) -> Result<(), Vec<HeaderProblem>> {
    let mut problems = Vec::new();
    let mut seen = BTreeSet::new();
    for (name, value) in headers {
        let mut wrong = |message| problems.push(HeaderProblem { name: Some(name.clone()), message });
        match name_problem(name) {
            Err(message) => wrong(message),
            Ok(parsed) => {
                if secret_header.is_some_and(|secret| parsed.as_str().eq_ignore_ascii_case(secret)) {
                    wrong(format!("{name} is the secret_header and may not be replaced"));
                }
                if !seen.insert(parsed.as_str().to_owned()) {
                    wrong(format!("{name} is given twice, in different letter case"));
                }
            }
        }
        if let Some(message) = value_problem(value) {
            wrong(message);
        }
    }
    if headers.len() > MAX_CUSTOM_HEADERS {
        let message = format!("at most {MAX_CUSTOM_HEADERS} custom headers, not {}", headers.len());
        problems.push(HeaderProblem { name: None, message });
    }
    let total: usize = headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    if total > MAX_TOTAL_BYTES {
        let message = format!("at most {MAX_TOTAL_BYTES} bytes of custom headers, not {total}");
        problems.push(HeaderProblem { name: None, message });
    }
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

/// Whether `name` may be a webhook's `secret_header`.
///
/// # Errors
/// Says what is wrong with it.
pub fn check_secret_header(name: &str) -> Result<(), String> {
    name_problem(name).map(drop)
}

/// Whether `value` may be a webhook's `secret_value`. The error does not show it.
///
/// # Errors
/// Says what is wrong with it.
pub fn check_secret_value(value: &str) -> Result<(), String> {
    value_problem(value).map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests;
