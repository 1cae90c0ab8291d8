//! The form that sends a command to a station.

use std::time::Duration;

use axum::extract::Path;
use axum::response::{IntoResponse, Redirect};
use maud::{Markup, html};
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::time::{Instant, sleep};

use crate::client::ClientError;
use crate::ui::components::fields::Fields;
use crate::ui::components::layout::Section;
use crate::ui::components::{action, card, command, command_fields, table};
use crate::ui::failure::{Failure, sentence};
use crate::ui::form::Form;
use crate::ui::handy_commands::{self, Handy};
use crate::ui::links;
use crate::ui::page::{Answer, Page, Posted};
use crate::ui::query::Query;
use crate::ui::session::Session;
use vocabulary::api::command::Command;
use vocabulary::api::problem::FieldError;
use vocabulary::ocpp::command::CommandAction;

/// How long the page of a command waits for its end before it is shown; then it is looked at again and again.
const WAIT: Duration = Duration::from_millis(1_500);

/// How often a command is looked at meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Fields that every form has beside those of the payload.
const OWN: [&str; 3] = ["payload", "timeout", "queue"];

/// What is asked of a station: the body of `POST /stations/{id}/commands`.
#[derive(Serialize)]
struct Body<'a> {
    action: &'a str,
    payload: Box<RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout: Option<&'a str>,
    queue: bool,
    wait: bool,
}

/// The form of an action, or the actions that there are.
pub(in crate::ui) async fn show(session: Session, Path(id): Path<String>, query: Query) -> Answer {
    // Another owner's station is not found.
    session.client.station(&id).await?;
    let Some(named) = query.get("action") else {
        let may = |name: &str| name.parse().is_ok_and(|action| session.identity.may_send(action));
        let body = command_fields::chooser(&|name| command::form_path(&id, Some(name)), &may);
        return Ok(Page::new(&session, Section::Stations, format!("Command to {id}"), body));
    };
    named.parse::<CommandAction>().map_err(|_| Failure::UnknownPath)?;
    let payload: Value =
        query.get("payload").and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let handy = Handy::named(named).filter(|handy| payload.is_null() || handy.can_say(&payload));
    let handy = handy.filter(|_| query.get("as") != Some("json"));
    let values = |name: &str| match name {
        "timeout" => Some("30s".to_owned()),
        "payload" => Some(query.get("payload").unwrap_or("{}").to_owned()),
        name => {
            let member = handy?.members.iter().find(|member| member.name == name)?;
            query.get(name).map(str::to_owned).or_else(|| handy_commands::shown(&payload, member))
        }
    };
    Ok(page(&session, &id, named, handy, &Fields::new(&values, &[])))
}

/// Sends the command, and leads to its page.
pub(in crate::ui) async fn send(session: Session, Path(id): Path<String>, form: Form) -> Posted {
    let named = form.get("action").ok_or(Failure::UnknownPath)?;
    // Buttons of other pages send a whole payload.
    let handy = Handy::named(named).filter(|_| form.get("payload").is_none());
    let payload = match handy_commands::payload(handy, &|name| form.get(name).map(str::to_owned)) {
        Ok(payload) => payload,
        Err(error) => return Ok(again(&session, &id, named, handy, &form, &[error])),
    };
    let queue = form.get("queue").is_some();
    let body = Body { action: named, payload, timeout: form.get("timeout"), queue, wait: false };
    match session.client.send_command(&id, &body).await {
        Ok(sent) => {
            wait_for(&session, &sent).await;
            Ok(Redirect::to(&links::command(sent.id)).into_response())
        }
        Err(ClientError::Refused(problem)) if matches!(problem.status, 400 | 409 | 422) => {
            let mut errors = problem.errors;
            if errors.is_empty() {
                let detail = sentence(&problem.detail.unwrap_or(problem.title));
                // That it is not connected, for example: it could wait.
                let field = if detail.contains("queue: true") { "queue" } else { "" };
                errors.push(FieldError::new(field, detail));
            }
            Ok(again(&session, &id, named, handy, &form, &errors))
        }
        Err(error) => Err(error.into()),
    }
}

/// Returns when the command has ended, or after a moment.
async fn wait_for(session: &Session, sent: &Command) {
    let until = Instant::now() + WAIT;
    while Instant::now() < until {
        match session.client.command(sent.id).await {
            Ok(now) if !now.status.is_final() => sleep(LOOK_EVERY).await,
            _ => return,
        }
    }
}

/// The form once more, with what the API finds wrong at its fields.
fn again(
    session: &Session,
    id: &str,
    named: &str,
    handy: Option<&Handy>,
    form: &Form,
    errors: &[FieldError],
) -> axum::response::Response {
    let values = |name: &str| form.get(name).map(str::to_owned);
    let errors: Vec<FieldError> = errors.iter().map(|error| handy_commands::at_field(error, handy)).collect();
    page(session, id, named, handy, &Fields::new(&values, &errors)).invalid().into_response()
}

fn page(session: &Session, id: &str, named: &str, handy: Option<&Handy>, fields: &Fields<'_>) -> Page {
    let form = form(session.token(), id, named, handy, fields);
    let station = table::link(&links::station(id), id);
    let body = html! { div.grid { (card::card(card::Width::TwoThirds, named, station, form)) } };
    Page::new(session, Section::Stations, format!("{named} to {id}"), body)
}

fn form(token: &str, id: &str, named: &str, handy: Option<&Handy>, fields: &Fields<'_>) -> Markup {
    let members = handy.map_or(&[][..], |handy| handy.members);
    let names: Vec<&str> = members.iter().map(|member| member.name).chain(OWN).collect();
    html! {
        @if let Some(handy) = Handy::named(named) { p.muted { (handy.what_it_does) } }
        form method="post" action=(command::form_path(id, None)) {
            (action::hidden(token, &[("action", named)]))
            (fields.others(&names))
            (command_fields::payload(handy, fields))
            (fields.text("timeout", "Wait for the answer", "100ms to 10m; empty is 30s"))
            (fields.tick("queue", "Wait for the station if it cannot take the command now", ""))
            div.buttons {
                button.primary { "Send" }
                a.button href=(command::form_path(id, None)) { "Another command" }
                @if handy.is_some() { a.button href={ (command::form_path(id, Some(named))) "&as=json" } { "Write JSON" } }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_a_payload_stands_at_its_field() {
        let start = Handy::named(command::REMOTE_START);
        let errors = [handy_commands::at_field(&FieldError::new("payload.idTag", "is required"), start)];
        let none = |_: &str| None;
        let shown =
            form("t", "CP 1", command::REMOTE_START, start, &Fields::new(&none, &errors)).into_string();
        assert!(
            shown.contains("name=\"idTag\" value=\"\" autocomplete=\"off\" aria-invalid=\"true\""),
            "{shown}"
        );
        assert!(
            shown.contains("action=\"/ui/stations/CP%201/command\"") && !shown.contains("role=\"alert\"")
        );
        let json = form("t", "CP 1", "DataTransfer", None, &Fields::new(&none, &[])).into_string();
        assert!(json.contains("<textarea") && json.contains("name=\"payload\""), "{json}");
    }
}
