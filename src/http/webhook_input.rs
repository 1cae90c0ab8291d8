//! What is written in a webhook, checked as a whole: first by the schema, then by what the fields mean.
//! Every wrong field is named at once, whichever of the two finds it.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::problem::{ErrorAnswer, Result};
use super::{ApiState, body};
use outbound::destination::{Refusal, parse_url};
use outbound::headers::{check_custom_headers, check_secret_header, check_secret_value};
use outbound::signature::SigningSecret;
use store::StoredWebhook;
use vocabulary::api::problem::FieldError;
use vocabulary::api::webhook::WebhookInput;
use vocabulary::subscription::{EventPattern, Filter, StationGlob};
use vocabulary::units::Span;

/// Fields of a webhook that nobody writes; ignored in `PUT` and `PATCH`.
const READ_ONLY: [&str; 10] = [
    "id",
    "status",
    "disabled_reason",
    "paused_at",
    "paused_until",
    "paused_reason",
    "secret_value_set",
    "warnings",
    "created_at",
    "updated_at",
];

const TIMEOUT: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(60));
const ORDERING_MAX_WAIT: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(7 * 86_400));
const RETRY_WAIT: (Duration, Duration) = (Duration::from_millis(1), Duration::from_secs(7 * 86_400));

/// A body, and which of its members the caller gave. Those are blamed for what they mean, and for what they
/// make of the others: what was stored before is nobody's fault now.
pub(super) struct Draft {
    members: Map<String, Value>,
    given: Given,
}

/// What the caller has said something about.
enum Given {
    /// All of it: what is left out has its default.
    Everything,
    Members(Vec<String>),
}

impl Given {
    fn has(&self, name: &str) -> bool {
        match self {
            Self::Everything => true,
            Self::Members(names) => names.iter().any(|member| member == name),
        }
    }

    fn has_any(&self, names: &[&str]) -> bool {
        names.iter().any(|name| self.has(name))
    }
}

impl Draft {
    /// The body of a `POST`.
    ///
    /// # Errors
    /// A 422 if it is no object.
    pub(super) fn new(body: Value) -> Result<Self> {
        Ok(Self { members: object(body)?, given: Given::Everything })
    }

    /// The body of a `PUT`: everything anew, but for the two secrets.
    ///
    /// # Errors
    /// A 422 if it is no object.
    pub(super) fn replacing(before: &StoredWebhook, body: Value) -> Result<Self> {
        let mut draft = Self::new(without_read_only(body)?)?;
        keep_secrets(before, &mut draft.members);
        Ok(draft)
    }

    /// The body of a `PATCH`: what is given replaces what is there, member by member.
    ///
    /// # Errors
    /// A 422 if it is no object.
    pub(super) fn patching(before: &StoredWebhook, body: Value) -> Result<Self> {
        let patch = object(without_read_only(body)?)?;
        let given = Given::Members(patch.keys().cloned().collect());
        let mut members = present(before);
        members.extend(patch);
        keep_secrets(before, &mut members);
        Ok(Self { members, given })
    }

    /// The webhook that it describes.
    ///
    /// # Errors
    /// A 422 with every wrong field.
    pub(super) async fn check(self, state: &ApiState) -> Result<WebhookInput> {
        let Self { mut members, given } = self;
        let mut errors = body::errors::<WebhookInput>(&Value::Object(members.clone()))?;
        // What the schema found wrong is taken out, so that the rest can still be read and judged.
        for error in &errors {
            take_out(&mut members, &error.field);
        }
        let url_is_wrong = !members.contains_key("url");
        if url_is_wrong {
            members.insert("url".into(), "https://example.com".into());
        }
        let input: WebhookInput = body::into(Value::Object(members))?;
        let mut meanings = Vec::new();
        check_members(&input, &mut meanings);
        meanings.retain(|error| given.has(top(&error.field)));
        check_secret(&input, &given, &mut meanings);
        if !url_is_wrong && given.has_any(&["url", "secret_value", "secret_header"]) {
            check_url(state, &input, &given, &mut meanings).await;
        }
        errors.extend(meanings);
        if errors.is_empty() { Ok(input) } else { Err(ErrorAnswer::invalid(errors)) }
    }
}

/// Takes a wrong field out, and no more than that: its neighbours in a list keep their places.
fn take_out(members: &mut Map<String, Value>, field: &str) {
    if members.remove(field).is_some() {
        return;
    }
    let Some((list, place)) = field.split_once('.') else { return };
    let harmless = if list == "retry_schedule" { "1s" } else { "*" };
    match (members.get_mut(list), place.parse::<usize>()) {
        (Some(Value::Array(entries)), Ok(place)) if place < entries.len() => entries[place] = harmless.into(),
        (Some(Value::Object(headers)), _) if list == "custom_headers" && headers.contains_key(place) => {
            headers.remove(place);
        }
        _ => {
            members.remove(list);
        }
    }
}

fn top(field: &str) -> &str {
    field.split('.').next().unwrap_or_default()
}

fn object(body: Value) -> Result<Map<String, Value>> {
    match body {
        Value::Object(members) => Ok(members),
        _ => Err(ErrorAnswer::invalid_field("", "must be an object")),
    }
}

fn without_read_only(body: Value) -> Result<Value> {
    let mut members = object(body)?;
    members.retain(|name, _| !READ_ONLY.contains(&name.as_str()));
    Ok(Value::Object(members))
}

/// Absent, or for the signing secret null, means: as it is. A `secret_value` of null removes it.
fn keep_secrets(before: &StoredWebhook, members: &mut Map<String, Value>) {
    members.entry("secret_value").or_insert_with(|| json!(before.secret_value));
    let signing = members.entry("signing_secret").or_insert(Value::Null);
    if signing.is_null() {
        *signing = json!(before.signing_secret);
    }
}

/// What is there, as it would have been written; without the secrets.
fn present(before: &StoredWebhook) -> Map<String, Value> {
    let mut members = match serde_json::to_value(&before.webhook) {
        Ok(Value::Object(members)) => members,
        _ => Map::new(),
    };
    members.retain(|name, _| !READ_ONLY.contains(&name.as_str()));
    members
}

/// What the secret's header and the other headers make of each other. Header names are told apart whatever
/// their case.
fn check_secret(input: &WebhookInput, given: &Given, errors: &mut Vec<FieldError>) {
    let mut wrong = |message: String| errors.push(FieldError::new("secret_header", message));
    let Some(header) = &input.secret_header else {
        if input.secret_value.is_some() && given.has("secret_value") {
            wrong("is required with a secret_value".into());
        } else if input.secret_value.is_some() && given.has("secret_header") {
            let hint = "a secret_value of null removes it";
            wrong(format!(
                "is required while there is a secret_value, which would no longer be sent: {hint}"
            ));
        }
        return;
    };
    // Where the custom headers were given, it is them that are named.
    if given.has("secret_header")
        && !given.has("custom_headers")
        && let Some(taken) = input.custom_headers.keys().find(|name| name.eq_ignore_ascii_case(header))
    {
        wrong(format!("is one of the custom_headers already, {taken}: only one of the two can be sent"));
    }
}

/// The URL by itself if it was given, and otherwise with the secret that is sent there.
async fn check_url(state: &ApiState, input: &WebhookInput, given: &Given, errors: &mut Vec<FieldError>) {
    let checked = match parse_url(&input.url) {
        Ok(url) => state.poster.guard().check_creation(&url, input.secret_value.is_some()).await,
        Err(refusal) => Err(refusal),
    };
    let Err(refusal) = checked else { return };
    let field = ["url", "secret_value", "secret_header"].into_iter().find(|name| given.has(name));
    match field {
        Some("url") => errors.push(FieldError::new("url", refusal.to_string())),
        Some(field) if matches!(refusal, Refusal::SecretInClear { .. }) => {
            errors.push(FieldError::new(field, format!("the url does not go with it: {refusal}")));
        }
        _ => {}
    }
}

fn check_members(input: &WebhookInput, errors: &mut Vec<FieldError>) {
    let mut wrong = |field: String, message: String| errors.push(FieldError::new(field, message));
    for (place, pattern) in input.events.iter().enumerate() {
        if let Err(error) = EventPattern::asked(pattern) {
            wrong(format!("events.{place}"), error.to_string());
        }
    }
    for (place, pattern) in input.stations.iter().enumerate() {
        if let Err(error) = StationGlob::asked(pattern) {
            wrong(format!("stations.{place}"), error.to_string());
        }
    }
    if let Some(Err(message)) = input.secret_header.as_deref().map(check_secret_header) {
        wrong("secret_header".into(), message);
    }
    if let Some(Err(message)) = input.secret_value.as_deref().map(check_secret_value) {
        wrong("secret_value".into(), message);
    }
    if let Some(Err(error)) = input.signing_secret.as_deref().map(str::parse::<SigningSecret>) {
        wrong("signing_secret".into(), error.to_string());
    }
    if let Err(problems) = check_custom_headers(&input.custom_headers, input.secret_header.as_deref()) {
        for problem in problems {
            let field = problem.name.map_or("custom_headers".into(), |name| format!("custom_headers.{name}"));
            wrong(field, problem.message);
        }
    }
    if let Some(Err(problems)) = input.filter.as_ref().map(Filter::parse) {
        for problem in problems {
            let field = match problem.path.is_empty() {
                true => "filter".into(),
                false => format!("filter.{}", problem.path),
            };
            wrong(field, problem.message);
        }
    }
    let mut within = |field: String, span: Span, (least, most): (Duration, Duration)| {
        if !(least..=most).contains(&span.0) {
            wrong(field, format!("must be {} to {}", Span(least), Span(most)));
        }
    };
    within("timeout".into(), input.timeout, TIMEOUT);
    within("ordering_max_wait".into(), input.ordering_max_wait, ORDERING_MAX_WAIT);
    for (place, wait) in input.retry_schedule.iter().enumerate() {
        within(format!("retry_schedule.{place}"), *wait, RETRY_WAIT);
    }
}
