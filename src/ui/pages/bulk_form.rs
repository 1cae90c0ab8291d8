//! The form that sends a command to many stations: which ones, how many they are, and then all of them.

use axum::response::{IntoResponse, Response};
use maud::{Markup, html};
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::client::ClientError;
use crate::ui::components::action::{self, TOKEN};
use crate::ui::components::fields::Fields;
use crate::ui::components::layout::Section;
use crate::ui::components::{card, command_fields, units};
use crate::ui::failure::{Failure, sentence};
use crate::ui::form::Form;
use crate::ui::handy_commands::{self, Handy};
use crate::ui::links;
use crate::ui::page::{Answer, Page, Posted};
use crate::ui::query::Query;
use crate::ui::session::Session;
use vocabulary::api::problem::FieldError;
use vocabulary::ocpp::command::CommandAction;

const LIST: &str = "/ui/commands/bulk";
const NEW: &str = "/ui/commands/bulk/new";
const COUNT: &str = "/ui/commands/bulk/count";

/// Filters of the stations, each with its label.
const FILTERS: [(&str, &str); 6] = [
    ("site", "Site"),
    ("vendor", "Vendor"),
    ("model", "Model"),
    ("firmware_version", "Firmware"),
    ("owner_id", "Owner"),
    ("q", "Identity, name or serial"),
];

/// The other fields beside those of the payload.
const OWN: [&str; 7] = ["payload", "stations", "connected", "rate", "offline", "expires_in", "timeout"];

/// The body of `POST /bulk-commands`.
#[derive(Serialize)]
struct Body<'a> {
    stations: Value,
    action: &'a str,
    payload: Box<RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rate: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    offline: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_in: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout: Option<&'a str>,
}

/// The action that a form is for, and how its payload is written.
struct Asked<'a> {
    action: &'a str,
    handy: Option<&'static Handy>,
}

impl<'a> Asked<'a> {
    fn of(query: &'a Query) -> Result<Self, Failure> {
        let action = query.get("action").ok_or(Failure::UnknownPath)?;
        action.parse::<CommandAction>().map_err(|_| Failure::UnknownPath)?;
        Ok(Self { action, handy: Handy::named(action).filter(|_| query.get("payload").is_none()) })
    }
}

/// The form of an action, or the actions that there are.
pub(in crate::ui) async fn show(session: Session, query: Query) -> Answer {
    if query.get("action").is_none() {
        let may = |name: &str| name.parse().is_ok_and(|action| session.identity.may_send(action));
        let body = command_fields::chooser(&|name| query.link(NEW, &[("action", Some(name))]), &may);
        return Ok(Page::new(&session, Section::Commands, "New bulk command", body));
    }
    Ok(page(&session, &Asked::of(&query)?, &query, &[]))
}

/// Counts the stations, and asks.
pub(in crate::ui) async fn count(session: Session, form: Form) -> Posted {
    let asked = Asked::of(form.query())?;
    let counted = match body(&asked, &form) {
        Ok(body) => session.client.count_bulk_command(&body).await,
        Err(error) => return Ok(again(&session, &asked, &form, &[error])),
    };
    match counted {
        Ok(counted) => {
            let body = confirmation(session.token(), &asked, form.query(), counted.matched);
            Ok(Page::new(&session, Section::Commands, "New bulk command", body).into_response())
        }
        Err(error) => refused(&session, &asked, &form, error),
    }
}

/// Sends it.
pub(in crate::ui) async fn start(session: Session, form: Form) -> Posted {
    let asked = Asked::of(form.query())?;
    let made = match body(&asked, &form) {
        Ok(body) => session.client.send_bulk_command(&body).await,
        Err(error) => return Ok(again(&session, &asked, &form, &[error])),
    };
    match made {
        Ok(bulk) => Ok(session.done(&links::bulk_command(bulk.id), "It is on its way.")),
        Err(error) => refused(&session, &asked, &form, error),
    }
}

/// What the form says, as the API takes it.
///
/// # Errors
/// The payload is no JSON.
fn body<'a>(asked: &Asked<'a>, form: &'a Form) -> Result<Body<'a>, FieldError> {
    let payload = handy_commands::payload(asked.handy, &|name| form.get(name).map(str::to_owned))?;
    Ok(Body {
        stations: stations(form),
        action: asked.action,
        payload,
        rate: form.get("rate"),
        offline: form.get("offline"),
        expires_in: form.get("expires_in"),
        timeout: form.get("timeout"),
    })
}

/// The stations that are named, or a filter of them.
fn stations(form: &Form) -> Value {
    let named = form.get("stations").unwrap_or_default().split([',', '\n']).map(str::trim);
    let named: Vec<&str> = named.filter(|id| !id.is_empty()).collect();
    if !named.is_empty() {
        return named.into();
    }
    let mut filter = Map::new();
    for (name, _) in FILTERS {
        if let Some(text) = form.get(name) {
            filter.insert(name.to_owned(), text.into());
        }
    }
    if let Some(connected) = form.get("connected") {
        filter.insert("connected".to_owned(), (connected == "true").into());
    }
    filter.into()
}

fn refused(session: &Session, asked: &Asked<'_>, form: &Form, error: ClientError) -> Posted {
    match error {
        ClientError::Refused(problem) if matches!(problem.status, 400 | 409 | 422) => {
            let mut errors = problem.errors;
            if errors.is_empty() {
                errors.push(FieldError::new("", sentence(&problem.detail.unwrap_or(problem.title))));
            }
            Ok(again(session, asked, form, &errors))
        }
        error => Err(error.into()),
    }
}

/// The form once more, with what the API finds wrong at its fields.
fn again(session: &Session, asked: &Asked<'_>, form: &Form, errors: &[FieldError]) -> Response {
    let errors: Vec<FieldError> = errors.iter().map(|error| at_field(error, asked.handy)).collect();
    page(session, asked, form.query(), &errors).invalid().into_response()
}

/// An error of the payload or the filter, at the field that it is of.
fn at_field(error: &FieldError, handy: Option<&Handy>) -> FieldError {
    let filter = error.field.strip_prefix("stations.");
    match filter.filter(|name| FILTERS.iter().any(|(one, _)| one == name)) {
        Some(name) => FieldError::new(name, error.message.clone()),
        None => handy_commands::at_field(error, handy),
    }
}

fn page(session: &Session, asked: &Asked<'_>, query: &Query, errors: &[FieldError]) -> Page {
    let values = |name: &str| query.get(name).map(str::to_owned);
    let form = form(session.token(), asked, &Fields::new(&values, errors));
    let body = html! { div.grid { (card::card(card::Width::TwoThirds, asked.action, html! {}, form)) } };
    Page::new(session, Section::Commands, format!("{} to many stations", asked.action), body)
}

fn form(token: &str, asked: &Asked<'_>, fields: &Fields<'_>) -> Markup {
    let members = asked.handy.map_or(&[][..], |handy| handy.members).iter().map(|member| member.name);
    let filters = FILTERS.iter().map(|(name, _)| *name);
    let names: Vec<&str> = members.chain(filters).chain(OWN).collect();
    let offline = [("skip", "are skipped"), ("queue", "get it once they are back")];
    let connected = [("", "all of them"), ("true", "connected ones"), ("false", "those that are away")];
    html! {
        form method="post" action=(COUNT) {
            (action::hidden(token, &[("action", asked.action)]))
            (fields.others(&names))
            (command_fields::payload(asked.handy, fields))
            h3 { "Which stations" }
            @for (name, label) in FILTERS { (fields.text(name, label, "")) }
            (fields.choice("connected", "Connection", "", &connected))
            (fields.area("stations", "Or these alone", "Identities, one a line; then what stands above counts for nothing"))
            h3 { "How" }
            (fields.text("rate", "How fast", "Such as 10/s or 30/m; empty is 10/s"))
            (fields.choice("offline", "Stations that are away", "", &offline))
            (fields.text("expires_in", "For how long they may", "With the former: 1s to 30d; empty is an hour"))
            (fields.text("timeout", "Wait for each answer", "100ms to 10m; empty is 30s"))
            div.buttons { button.primary { "Count first…" } a.button href=(LIST) { "Back" } }
        }
    }
}

/// What would be sent, and the button that sends it.
fn confirmation(token: &str, asked: &Asked<'_>, query: &Query, matched: u64) -> Markup {
    let fields: Vec<(&str, &str)> = query.all().into_iter().filter(|(name, _)| *name != TOKEN).collect();
    let told = fields.iter().filter(|(name, _)| *name != "action");
    let stations = units::plural(matched, "station", "stations");
    let body = html! {
        (card::big(units::count(matched), if matched == 1 { "station fits" } else { "stations fit" }))
        ul { @for (name, value) in told { li { (name.replace('_', " ")) " " b { (value) } } } }
        p.muted { "Each gets a command of its own, one after the other. It can be canceled meanwhile." }
        div.buttons {
            @if matched > 0 { (action::primary(token, LIST, &format!("Send {} to {stations}", asked.action), &fields)) }
            a.button href=(LIST) { "Back" }
        }
    };
    html! { div.grid { (card::card(card::Width::TwoThirds, asked.action, html! {}, body)) } }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_form_says_which_stations() {
        for (form, expected) in [
            ("site=north&connected=true&model=", json!({"site": "north", "connected": true})),
            ("site=north&stations=A%0D%0AB", json!(["A", "B"])),
            ("", json!({})),
        ] {
            assert_eq!(stations(&Form::parse(form)), expected, "{form}");
        }
    }

    #[test]
    fn what_is_wrong_stands_at_its_field() {
        let reset = Handy::named("Reset");
        for (field, expected) in [
            ("payload.type", "type"),
            ("stations.site", "site"),
            ("stations.3", "stations.3"),
            ("rate", "rate"),
        ] {
            assert_eq!(at_field(&FieldError::new(field, "is wrong"), reset).field, expected);
        }
    }

    #[test]
    fn what_was_counted_is_sent_as_it_was_counted() {
        let query = Query::parse("_token=old&action=Reset&type=Soft&site=north");
        let asked = Asked::of(&query).expect("an action");
        let shown = confirmation("new", &asked, &query, 40).into_string();
        assert!(
            shown.contains("Send Reset to 40 stations") && shown.contains("name=\"site\" value=\"north\"")
        );
        assert!(
            shown.contains("name=\"_token\" value=\"new\"") && !shown.contains("value=\"old\""),
            "{shown}"
        );
        assert!(!confirmation("new", &asked, &query, 0).into_string().contains("<button"), "nothing to send");
    }
}
