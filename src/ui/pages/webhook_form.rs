//! The form of a webhook: to create one, and to change one.

use axum::extract::Path;
use maud::{Markup, html};
use serde_json::{Map, Value};

use crate::client::ClientError;
use crate::ui::components::action;
use crate::ui::components::card;
use crate::ui::components::fields::Fields;
use crate::ui::components::layout::Section;
use crate::ui::failure::Failure;
use crate::ui::form::Form;
use crate::ui::links;
use crate::ui::page::{Answer, Page, Posted};
use crate::ui::session::Session;
use axum::response::IntoResponse;
use vocabulary::api::problem::FieldError;
use vocabulary::api::webhook::Webhook;
use vocabulary::delivery::BodyFormat;
use vocabulary::id::WebhookId;
use vocabulary::webhook::Ordering;

/// Fields that are lists, one entry a line.
const LISTS: [&str; 3] = ["events", "stations", "retry_schedule"];

/// Fields that are null when they are empty.
const NULLABLE: [&str; 5] = ["name", "owner_id", "rate_limit", "secret_header", "topic"];

/// Fields with a default, which they keep when they are empty.
const DEFAULTED: [&str; 5] = ["url", "format", "ordering", "ordering_max_wait", "timeout"];

/// Every field of the form; what is wrong with others stands above it.
const NAMES: [&str; 17] = [
    "name",
    "url",
    "events",
    "stations",
    "owner_id",
    "secret_header",
    "secret_value",
    "custom_headers",
    "topic",
    "credentials",
    "format",
    "filter",
    "ordering",
    "timeout",
    "retry_schedule",
    "max_in_flight",
    "rate_limit",
];

/// An empty form.
pub(in crate::ui) async fn new(session: Session) -> Answer {
    let first = |name: &str| match name {
        "events" | "stations" => Some("*".to_owned()),
        "retry_schedule" => Some("30s\n1m\n5m\n30m\n2h\n6h\n24h".to_owned()),
        "timeout" => Some("10s".to_owned()),
        "max_in_flight" => Some("32".to_owned()),
        _ => None,
    };
    Ok(page(&session, None, &first, &[]))
}

/// Creates the webhook.
pub(in crate::ui) async fn create(session: Session, form: Form) -> Posted {
    let made = match body(&form) {
        Ok(body) => session.client.create_webhook(&body).await,
        Err(error) => return Ok(refused(&session, None, &form, &[error])),
    };
    match made {
        Ok(webhook) => Ok(session.done(&links::webhook(webhook.id), format!("{} is created.", webhook.name))),
        Err(error) => wrong(&session, None, &form, error),
    }
}

/// The form with what the webhook has.
pub(in crate::ui) async fn edit(session: Session, Path(id): Path<String>) -> Answer {
    let id: WebhookId = id.parse().map_err(|_| Failure::UnknownPath)?;
    let webhook = session.client.webhook(id).await?;
    let values = |name: &str| value_of(&webhook, name);
    Ok(page(&session, Some((id, &webhook.name)), &values, &[]))
}

/// Changes the webhook.
pub(in crate::ui) async fn change(session: Session, Path(id): Path<String>, form: Form) -> Posted {
    let id: WebhookId = id.parse().map_err(|_| Failure::UnknownPath)?;
    let made = match body(&form) {
        Ok(body) => session.client.patch_webhook(id, &body).await,
        Err(error) => return Ok(refused(&session, Some(id), &form, &[error])),
    };
    match made {
        Ok(webhook) => Ok(session.done(&links::webhook(id), format!("{} is changed.", webhook.name))),
        Err(error) => wrong(&session, Some(id), &form, error),
    }
}

/// The form once more, with what the API finds wrong at its fields.
fn wrong(session: &Session, id: Option<WebhookId>, form: &Form, error: ClientError) -> Posted {
    match error {
        ClientError::Refused(problem) if matches!(problem.status, 400 | 409 | 422) => {
            let mut errors = problem.errors;
            if errors.is_empty() {
                errors.push(FieldError::new("", problem.detail.unwrap_or(problem.title)));
            }
            Ok(refused(session, id, form, &errors))
        }
        error => Err(error.into()),
    }
}

fn refused(
    session: &Session,
    id: Option<WebhookId>,
    form: &Form,
    errors: &[FieldError],
) -> axum::response::Response {
    let values = |name: &str| form.get(name).map(str::to_owned);
    let name = form.get("name").unwrap_or("webhook").to_owned();
    page(session, id.map(|id| (id, name.as_str())), &values, errors).invalid().into_response()
}

/// `known`: the webhook that is changed, with its name.
fn page(
    session: &Session,
    known: Option<(WebhookId, &str)>,
    values: &(dyn Fn(&str) -> Option<String> + Sync),
    errors: &[FieldError],
) -> Page {
    let (path, title) = match known {
        Some((id, name)) => (format!("{}/edit", links::webhook(id)), format!("Change {name}")),
        None => ("/ui/webhooks/new".to_owned(), "New webhook".to_owned()),
    };
    let form = form(session.token(), &path, known.is_some(), &Fields::new(values, errors));
    let body = html! { div.grid { (card::card(card::Width::TwoThirds, "Webhook", html! {}, form)) } };
    Page::new(session, Section::Webhooks, title, body)
}

fn form(token: &str, path: &str, is_known: bool, fields: &Fields<'_>) -> Markup {
    let formats: Vec<(&str, &str)> = BodyFormat::WORDS.iter().map(|word| (*word, *word)).collect();
    let orders: Vec<(&str, &str)> = Ordering::WORDS.iter().map(|word| (*word, *word)).collect();
    let value_hint = if is_known {
        "Empty keeps the one that is stored."
    } else {
        "Sent with every delivery, never shown again."
    };
    html! {
        form method="post" action=(path) {
            (action::hidden(token, &[]))
            (fields.others(&NAMES))
            (fields.text("url", "URL", "Where events are posted to, such as https://my-app.example.com/webhooks/ocpp; or a broker, such as nats://nats.example.com"))
            (fields.text("topic", "Topic", "Brokers only: the subject of messages, such as ev.{station_id}.{event}"))
            (fields.text("name", "Name", "For people; the URL's host if it is empty"))
            (fields.area("events", "Events", "Types or patterns, one a line: StartTransaction, Start*, ocpp.*; * is all but webhook.*"))
            details.more {
                summary { "Which of them, and how they are sent" }
                (fields.area("stations", "Stations", "Identities or patterns, one a line; * is all"))
                (fields.area("filter", "Filter of payloads", "JSON, such as {\"status\": \"Faulted\"}; empty is no filter"))
                (fields.text("owner_id", "Owner", "Then only events of this owner are sent"))
                (fields.text("secret_header", "Secret header", "Such as Authorization"))
                (fields.secret("secret_value", "Secret value", value_hint))
                (fields.secret("credentials", "Credentials", "Brokers only: JSON, such as {\"token\": \"…\"} or {\"username\": \"…\", \"password\": \"…\"}; empty keeps those that are stored"))
                (fields.area("custom_headers", "More headers", "Name: value, one a line"))
                (fields.choice("format", "Format of the body", "", &formats))
                (fields.choice("ordering", "Order", "station: the events of a station one after the other", &orders))
                (fields.text("timeout", "Timeout", "100ms to 60s"))
                (fields.area("retry_schedule", "Waits between attempts", "One a line; empty is a single attempt"))
                (fields.text("max_in_flight", "Requests at once", "1 to 1000"))
                (fields.text("rate_limit", "Rate limit", "Such as 10/s; empty is none"))
            }
            div.buttons { button.primary { @if is_known { "Save" } @else { "Create" } } a.button href="/ui/webhooks" { "Back" } }
        }
    }
}

/// What the form says, as the API takes it.
///
/// # Errors
/// What is wrong with a field that the API cannot be asked about.
fn body(form: &Form) -> Result<Map<String, Value>, FieldError> {
    let mut body = form.texts(&NULLABLE);
    for name in DEFAULTED {
        if let Some(text) = form.get(name) {
            body.insert(name.to_owned(), text.into());
        }
    }
    for name in LISTS {
        let entries = form.get(name).unwrap_or_default().split([',', '\n']).map(str::trim);
        let entries: Vec<&str> = entries.filter(|entry| !entry.is_empty()).collect();
        // Only an empty schedule means something: a single attempt.
        if !entries.is_empty() || name == "retry_schedule" {
            body.insert(name.to_owned(), entries.into());
        }
    }
    if let Some(number) = form.get("max_in_flight") {
        let value = number.parse::<u64>().map_or_else(|_| Value::from(number), Value::from);
        body.insert("max_in_flight".to_owned(), value);
    }
    if let Some(secret) = form.get("secret_value") {
        body.insert("secret_value".to_owned(), secret.into());
    }
    if let Some(credentials) = form.get("credentials") {
        let credentials: Value =
            serde_json::from_str(credentials).map_err(|_| FieldError::new("credentials", "is no JSON"))?;
        body.insert("credentials".to_owned(), credentials);
    }
    let filter = form.get("filter").map(serde_json::from_str).transpose();
    let filter: Option<Value> =
        filter.map_err(|error| FieldError::new("filter", format!("is no JSON: {error}")))?;
    body.insert("filter".to_owned(), filter.unwrap_or_default());
    body.insert("custom_headers".to_owned(), headers(form.get("custom_headers").unwrap_or_default())?.into());
    Ok(body)
}

fn headers(lines: &str) -> Result<Map<String, Value>, FieldError> {
    let mut headers = Map::new();
    for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(':').ok_or_else(|| {
            FieldError::new("custom_headers", format!("{line:?} is no header: write Name: value"))
        })?;
        headers.insert(name.trim().to_owned(), value.trim().into());
    }
    Ok(headers)
}

/// A field of a webhook as the form shows it.
fn value_of(webhook: &Webhook, name: &str) -> Option<String> {
    Some(match name {
        "name" => webhook.name.clone(),
        "url" => webhook.url.clone(),
        "events" => webhook.events.join("\n"),
        "stations" => webhook.stations.join("\n"),
        "owner_id" => webhook.owner_id.clone()?,
        "secret_header" => webhook.secret_header.clone()?,
        "custom_headers" => {
            let lines = webhook.custom_headers.iter().map(|(name, value)| format!("{name}: {value}"));
            lines.collect::<Vec<_>>().join("\n")
        }
        "topic" => webhook.topic.clone()?,
        "format" => webhook.format.as_str().to_owned(),
        "filter" => webhook.filter.as_ref()?.to_string(),
        "ordering" => webhook.ordering.as_str().to_owned(),
        "timeout" => webhook.timeout.to_string(),
        "retry_schedule" => {
            webhook.retry_schedule.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
        }
        "max_in_flight" => webhook.max_in_flight.to_string(),
        "rate_limit" => webhook.rate_limit.clone()?,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_form_says_what_the_api_takes() {
        let form = Form::parse(
            "url=https%3A%2F%2Fa.example%2Fx&name=&events=Start*%0D%0Aocpp.*&retry_schedule=&max_in_flight=8&filter=%7B%22a%22%3A1%7D&custom_headers=X-A%3A+b%3Ac",
        );
        let body = Value::Object(body(&form).expect("a body"));
        let expected = json!({"url": "https://a.example/x", "name": null, "owner_id": null, "rate_limit": null,
            "secret_header": null, "topic": null, "events": ["Start*", "ocpp.*"], "retry_schedule": [], "max_in_flight": 8,
            "filter": {"a": 1}, "custom_headers": {"X-A": "b:c"}});
        assert_eq!(body, expected);
    }

    #[test]
    fn what_cannot_be_read_names_its_field() {
        for (text, field) in
            [("url=x&filter=%7B", "filter"), ("url=x&custom_headers=nonsense", "custom_headers")]
        {
            assert_eq!(body(&Form::parse(text)).expect_err(text).field, field);
        }
    }
}
