//! The form of a station: everything that an operator writes in one.

use axum::extract::Path;
use axum::response::IntoResponse;
use maud::{Markup, html};
use serde_json::{Map, Value};

use crate::client::ClientError;
use crate::ui::components::fields::Fields;
use crate::ui::components::layout::Section;
use crate::ui::components::{action, card};
use crate::ui::form::Form;
use crate::ui::links;
use crate::ui::page::{Answer, Page, Posted};
use crate::ui::session::Session;
use vocabulary::api::problem::FieldError;
use vocabulary::api::station::Station;

/// Fields that are null when they are empty.
const NULLABLE: [&str; 8] = [
    "name",
    "owner_id",
    "site",
    "certificate_name",
    "certificate_serial",
    "validation",
    "time_zone",
    "message_size",
];

/// Boxes to tick.
const TICKS: [&str; 2] = ["blocked", "ping"];

/// Every field of the form; what is wrong with others stands above it.
const NAMES: [&str; 14] = [
    "name",
    "owner_id",
    "site",
    "password",
    "min_security_profile",
    "certificate_name",
    "certificate_serial",
    "boot_status",
    "blocked",
    "validation",
    "time_zone",
    "message_size",
    "ping",
    "metadata",
];

const PROFILES: [(&str, &str); 4] = [
    ("0", "0: no password"),
    ("1", "1: password"),
    ("2", "2: TLS and password"),
    ("3", "3: TLS with its own certificate"),
];

const BOOTS: [(&str, &str); 3] =
    [("accepted", "accepted"), ("pending", "pending: it waits"), ("rejected", "rejected: it keeps silent")];

const VALIDATIONS: [(&str, &str); 4] = [
    ("", "as the gateway is configured"),
    ("lenient", "lenient: oddities are noted"),
    ("strict", "strict: oddities are refused"),
    ("off", "off: oddities are not looked for"),
];

/// The form with what the station has.
pub(in crate::ui) async fn edit(session: Session, Path(id): Path<String>) -> Answer {
    let station = session.client.station(&id).await?;
    let shown = |name: &str| value_of(&station, name);
    Ok(page(&session, &id, &shown, &shown, &[]))
}

/// Changes what was changed in the form.
pub(in crate::ui) async fn change(session: Session, Path(id): Path<String>, form: Form) -> Posted {
    let patch = match patch(&form) {
        Ok(patch) if patch.is_empty() => {
            return Ok(session.done(&links::station(&id), "Nothing was changed."));
        }
        Ok(patch) => patch,
        Err(error) => return Ok(again(&session, &id, &form, &[error])),
    };
    match session.client.patch_station(&id, &patch).await {
        Ok(_) => Ok(session.done(&links::station(&id), format!("{id} is changed."))),
        Err(ClientError::Refused(problem)) if matches!(problem.status, 409 | 422) => {
            let mut errors = problem.errors;
            if errors.is_empty() {
                errors.push(FieldError::new("", problem.detail.unwrap_or(problem.title)));
            }
            Ok(again(&session, &id, &form, &errors))
        }
        Err(error) => Err(error.into()),
    }
}

/// Deletes the station.
pub(in crate::ui) async fn delete(session: Session, Path(id): Path<String>, _: Form) -> Posted {
    match session.client.delete_station(&id).await {
        Ok(()) => Ok(session.done("/ui/stations", format!("{id} is deleted."))),
        refused => session.outcome(refused, &links::station(&id), |()| String::new()),
    }
}

/// The form once more, with what is wrong at its fields.
fn again(session: &Session, id: &str, form: &Form, errors: &[FieldError]) -> axum::response::Response {
    let filled = |name: &str| form.get(name).map(str::to_owned);
    let shown = |name: &str| form.get(&before(name)).map(str::to_owned);
    page(session, id, &filled, &shown, errors).invalid().into_response()
}

/// What a field says: its value, or none if it is empty.
type Said<'a> = &'a (dyn Fn(&str) -> Option<String> + Sync);

/// `filled`: what the fields say. `shown`: what they said when the form was opened.
fn page(session: &Session, id: &str, filled: Said<'_>, shown: Said<'_>, errors: &[FieldError]) -> Page {
    let path = links::station(id);
    let fields = Fields::new(filled, errors);
    let whose = session.identity.owner_id().is_none();
    let body = html! {
        div.grid {
            (card::card(card::Width::TwoThirds, "Station", html! {}, form(session.token(), &path, &fields, shown, whose)))
            (card::card(card::Width::Third, "Delete", html! {}, html! {
                p.muted { "Its events and sessions stay. It comes back as a new station if it connects again, and strangers are let in." }
                (action::confirmed(session.token(), &format!("{path}/delete"), "Delete", "Its socket is closed, and what is written here is gone.", &[]))
            }))
        }
    };
    Page::new(session, Section::Stations, format!("Change {id}"), body)
}

/// `whose`: the key may say who owns it.
fn form(token: &str, path: &str, fields: &Fields<'_>, shown: Said<'_>, whose: bool) -> Markup {
    html! {
        form method="post" action={ (path) "/edit" } {
            (action::hidden(token, &[]))
            @for name in NAMES.iter().filter(|name| **name != "password") {
                @if let Some(value) = shown(name) { input type="hidden" name=(before(name)) value=(value); }
            }
            (fields.others(&NAMES))
            (fields.text("name", "Name", "For people"))
            (fields.text("site", "Site", "Where it stands, such as a car park"))
            @if whose { (fields.text("owner_id", "Owner", "The customer that it belongs to")) }
            (fields.choice("boot_status", "Its boots are", "From its next boot on", &BOOTS))
            (fields.tick("blocked", "Blocked", "It is refused when it connects"))
            details.more open {
                summary { "How it signs in" }
                (fields.secret("password", "New password", "8 to 40 characters; empty keeps the one that it has"))
                (fields.tick("remove_password", "Remove the password", ""))
                (fields.choice("min_security_profile", "Security profile at least", "A connection with a higher one raises it", &PROFILES))
                (fields.text("certificate_name", "Name in its certificate", "If that is not its identity"))
                (fields.text("certificate_serial", "Serial number of its certificate", "In hex; then no other one opens"))
            }
            details.more {
                summary { "How its messages are read" }
                (fields.choice("validation", "Validation", "", &VALIDATIONS))
                (fields.text("time_zone", "Time zone", "Of its times without one, such as Europe/Berlin; UTC if it is empty"))
                (fields.text("message_size", "Largest message", "Such as 64KiB; as the gateway is configured if it is empty"))
                (fields.tick("ping", "Pinged", "The gateway looks whether its socket is still there"))
            }
            details.more {
                summary { "Metadata" }
                (fields.area("metadata", "Metadata", "A JSON object of your own, such as {\"zone\": 7}"))
            }
            div.buttons { button.primary { "Save" } a.button href=(path) { "Back" } }
        }
    }
}

/// The hidden field with what a field said when the form was opened.
fn before(name: &str) -> String {
    format!("before-{name}")
}

/// What was changed in the form, as the API takes it. The rest is left out: it may have become another since
/// the form was opened, such as a security profile that a connection has raised.
///
/// # Errors
/// What is wrong with a field that the API cannot be asked about.
fn patch(form: &Form) -> Result<Map<String, Value>, FieldError> {
    // Browsers send the ends of lines in their own way.
    let lines = |name: &str| form.get(name).map(|text| text.replace("\r\n", "\n"));
    let is_changed = |name: &str| lines(name) != lines(&before(name));
    let mut patch = Map::new();
    for name in NULLABLE.into_iter().filter(|name| is_changed(name)) {
        patch.insert(name.to_owned(), form.get(name).map_or(Value::Null, Value::from));
    }
    for name in TICKS.into_iter().filter(|name| is_changed(name)) {
        patch.insert(name.to_owned(), form.get(name).is_some().into());
    }
    if let Some(word) = form.get("boot_status").filter(|_| is_changed("boot_status")) {
        patch.insert("boot_status".to_owned(), word.into());
    }
    if let Some(text) = form.get("min_security_profile").filter(|_| is_changed("min_security_profile")) {
        let value = text.parse::<u64>().map_or_else(|_| Value::from(text), Value::from);
        patch.insert("min_security_profile".to_owned(), value);
    }
    match (form.get("password"), form.get("remove_password")) {
        (Some(_), Some(_)) => {
            return Err(FieldError::new("password", "is new, and to be removed: which of the two?"));
        }
        (Some(password), None) => _ = patch.insert("password".to_owned(), password.into()),
        (None, Some(_)) => _ = patch.insert("password".to_owned(), Value::Null),
        (None, None) => {}
    }
    if is_changed("metadata") {
        let text = form.get("metadata").unwrap_or("{}");
        let value: Value = serde_json::from_str(text)
            .map_err(|error| FieldError::new("metadata", format!("is no JSON: {error}")))?;
        patch.insert("metadata".to_owned(), value);
    }
    Ok(patch)
}

/// A field of a station as the form shows it.
fn value_of(station: &Station, name: &str) -> Option<String> {
    let ticked = |yes: bool| yes.then(|| "true".to_owned());
    match name {
        "name" => station.name.clone(),
        "owner_id" => station.owner_id.clone(),
        "site" => station.site.clone(),
        "min_security_profile" => Some(station.min_security_profile.to_string()),
        "certificate_name" => station.certificate_name.clone(),
        "certificate_serial" => station.certificate_serial.as_ref().map(ToString::to_string),
        "boot_status" => Some(station.boot_status.as_str().to_owned()),
        "blocked" => ticked(station.blocked),
        "validation" => station.validation.map(|validation| validation.as_str().to_owned()),
        "time_zone" => station.time_zone.clone(),
        "message_size" => station.message_size.map(|size| size.to_string()),
        "ping" => ticked(station.ping),
        "metadata" if station.metadata.is_empty() => None,
        "metadata" => serde_json::to_string_pretty(&station.metadata).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn patched(body: &str) -> Result<Value, String> {
        patch(&Form::parse(body)).map(Value::Object).map_err(|error| error.field)
    }

    #[test]
    fn only_what_was_changed_is_sent() {
        let shown = "before-name=Old&before-site=P4&before-ping=true&before-min_security_profile=1\
                     &before-boot_status=accepted&before-metadata=%7B%0A%7D";
        let kept = format!(
            "{shown}&name=Old&site=P4&ping=true&min_security_profile=1&boot_status=accepted&metadata=%7B%0D%0A%7D"
        );
        assert_eq!(patched(&kept), Ok(json!({})));
        let changed = format!(
            "{shown}&name=New&site=&min_security_profile=2&boot_status=pending&blocked=true&password=secretsecret\
             &metadata=%7B%22a%22%3A1%7D&certificate_serial="
        );
        let expected = json!({"name": "New", "site": null, "min_security_profile": 2, "boot_status": "pending",
            "blocked": true, "ping": false, "password": "secretsecret", "metadata": {"a": 1}});
        assert_eq!(patched(&changed), Ok(expected));
        assert_eq!(patched("remove_password=true"), Ok(json!({"password": null})));
    }

    #[test]
    fn what_cannot_be_read_names_its_field() {
        assert_eq!(patched("metadata=%7B"), Err("metadata".to_owned()));
        assert_eq!(patched("password=secretsecret&remove_password=true"), Err("password".to_owned()));
    }
}
