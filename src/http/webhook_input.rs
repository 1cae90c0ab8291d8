//! The fields of a webhook, checked first by the schema, then by their meaning. All wrong fields of both
//! checks are named at once.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::problem::{ErrorAnswer, Result};
use super::{ApiState, body, webhook_broker};
use outbound::broker_url::BrokerUrl;
use outbound::destination::{Refusal, parse_url};
use outbound::headers::{check_custom_headers, check_secret_header, check_secret_value};
use outbound::signature::SigningSecret;
use store::StoredWebhook;
use vocabulary::api::problem::FieldError;
use vocabulary::api::webhook::WebhookInput;
use vocabulary::subscription::{EventPattern, Filter, StationGlob};
use vocabulary::units::Span;

/// Read-only fields of a webhook; ignored in `PUT` and `PATCH`.
const READ_ONLY: [&str; 11] = [
    "id",
    "status",
    "disabled_reason",
    "paused_at",
    "paused_until",
    "paused_reason",
    "secret_value_set",
    "credentials_set",
    "warnings",
    "created_at",
    "updated_at",
];

const TIMEOUT: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(60));
const ORDERING_MAX_WAIT: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(7 * 86_400));
const RETRY_WAIT: (Duration, Duration) = (Duration::from_millis(1), Duration::from_secs(7 * 86_400));

/// A body, and which of its members the caller gave. Errors are reported for given members only, also if they
/// conflict with stored ones.
pub(super) struct Draft {
    members: Map<String, Value>,
    given: Given,
}

/// The members that the caller gave.
enum Given {
    /// All of them: a missing one has its default.
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

    /// The body of a `PUT`: it replaces everything but the two secrets and the credentials.
    ///
    /// # Errors
    /// A 422 if it is no object.
    pub(super) fn replacing(before: &StoredWebhook, body: Value) -> Result<Self> {
        let mut draft = Self::new(without_read_only(body)?)?;
        keep_secrets(before, &mut draft.members);
        Ok(draft)
    }

    /// The body of a `PATCH`: given members replace the old ones.
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
        // Fields that the schema has refused are removed, so that the others can still be read and checked.
        for error in &errors {
            take_out(&mut members, &error.field);
        }
        let url_is_wrong = !members.contains_key("url");
        if url_is_wrong {
            members.insert("url".into(), "https://example.com".into());
        }
        let mut input: WebhookInput = body::into(Value::Object(members))?;
        let mut meanings = Vec::new();
        check_members(&input, &mut meanings);
        meanings.retain(|error| given.has(top(&error.field)));
        check_secret(&input, &given, &mut meanings);
        if !url_is_wrong {
            webhook_broker::check(state, &mut input, &|name| given.has(name), &mut meanings).await;
        }
        let is_endpoint = !BrokerUrl::is_meant_by(&input.url);
        if !url_is_wrong && is_endpoint && given.has_any(&["url", "secret_value", "secret_header"]) {
            check_url(state, &input, &given, &mut meanings).await;
        }
        errors.extend(meanings);
        if errors.is_empty() { Ok(input) } else { Err(ErrorAnswer::invalid(errors)) }
    }
}

/// Removes a wrong field. Its neighbours in a list keep their places.
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

/// A missing secret, or a signing secret of null, keeps the old one, and so do missing credentials. A
/// `secret_value` or `credentials` of null removes them.
fn keep_secrets(before: &StoredWebhook, members: &mut Map<String, Value>) {
    members.entry("secret_value").or_insert_with(|| json!(before.secret_value));
    members.entry("credentials").or_insert_with(|| json!(before.credentials));
    let signing = members.entry("signing_secret").or_insert(Value::Null);
    if signing.is_null() {
        *signing = json!(before.signing_secret);
    }
}

/// The webhook as its fields would be written, without the secrets.
fn present(before: &StoredWebhook) -> Map<String, Value> {
    let mut members = match serde_json::to_value(&before.webhook) {
        Ok(Value::Object(members)) => members,
        _ => Map::new(),
    };
    members.retain(|name, _| !READ_ONLY.contains(&name.as_str()));
    members
}

/// Checks the secret's header against the other headers. Header names are equal in any letter case.
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
    // If the custom headers were given, the error names them.
    if given.has("secret_header")
        && !given.has("custom_headers")
        && let Some(taken) = input.custom_headers.keys().find(|name| name.eq_ignore_ascii_case(header))
    {
        wrong(format!("is one of the custom_headers already, {taken}: only one of the two can be sent"));
    }
}

/// Checks the URL if it was given, and otherwise together with the secret that is sent there.
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
