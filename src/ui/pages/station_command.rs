//! A command to a station: the form for any of them, and what sends it. The charger's answer is on the
//! command's page.

use axum::extract::Path;
use axum::response::IntoResponse;
use maud::{Markup, html};
use serde_json::{Map, Value, json};

use crate::client::ClientError;
use crate::ui::components::fields::Fields;
use crate::ui::components::layout::Section;
use crate::ui::components::{action, card};
use crate::ui::form::Form;
use crate::ui::links;
use crate::ui::page::{Answer, Page, Posted};
use crate::ui::query::Query;
use crate::ui::session::Session;
use vocabulary::api::problem::FieldError;
use vocabulary::ocpp::command::CommandAction;
use vocabulary::ocpp::protocol::Protocol;

/// Every field of the form.
const NAMES: [&str; 3] = ["action", "payload", "queue"];

/// The form; `action` and `payload` may be in the query.
pub(in crate::ui) async fn form(session: Session, Path(id): Path<String>, query: Query) -> Answer {
    // Another owner's station has no form.
    session.client.station(&id).await?;
    Ok(page(&session, &id, &query, &[]))
}

/// Sends the command, and leads to its page once the charger has answered, or did not.
pub(in crate::ui) async fn send(session: Session, Path(id): Path<String>, form: Form) -> Posted {
    let made = match payload(&form) {
        Ok(payload) => {
            let queue = form.get("queue") == Some("true");
            // One that waits for its station has no answer soon.
            let input = json!({
                "action": form.get("action").unwrap_or_default(), "payload": payload, "queue": queue, "wait": !queue,
            });
            session.client.send_command(&id, &input).await
        }
        Err(error) => return Ok(page(&session, &id, form.query(), &[error]).invalid().into_response()),
    };
    match made {
        Ok(command) => {
            let told = format!("{} was sent to {id}; below is what became of it.", command.action);
            Ok(session.done(&links::command(command.id), told))
        }
        Err(ClientError::Refused(problem)) if matches!(problem.status, 409 | 422) => {
            let mut errors = problem.errors;
            if errors.is_empty() {
                errors.push(FieldError::new("", problem.detail.unwrap_or(problem.title)));
            }
            Ok(page(&session, &id, form.query(), &errors).invalid().into_response())
        }
        Err(error) => Err(error.into()),
    }
}

/// The payload: as it is written, or of the fields of a remote start.
fn payload(form: &Form) -> Result<Value, FieldError> {
    if let Some(tag) = form.get("idTag") {
        let mut payload = Map::from_iter([("idTag".to_owned(), json!(tag))]);
        if let Some(connector) = form.get("connectorId").and_then(|text| text.parse::<i64>().ok()) {
            payload.insert("connectorId".to_owned(), json!(connector));
        }
        return Ok(payload.into());
    }
    let text = form.get("payload").unwrap_or("{}");
    serde_json::from_str(text).map_err(|error| FieldError::new("payload", format!("is no JSON: {error}")))
}

fn page(session: &Session, id: &str, query: &Query, errors: &[FieldError]) -> Page {
    let body = html! {
        div.grid { (card::card(card::Width::Full, "Command", html! {}, render(session.token(), id, query, errors))) }
    };
    Page::new(session, Section::Stations, format!("Send a command to {id}"), body)
}

fn render(token: &str, id: &str, query: &Query, errors: &[FieldError]) -> Markup {
    let values = |name: &str| query.get(name).map(str::to_owned);
    let fields = Fields::new(&values, errors);
    let actions = || Protocol::ALL.into_iter().flat_map(CommandAction::all).map(CommandAction::as_str);
    let mut actions: Vec<(&str, &str)> = actions().map(|action| (action, action)).collect();
    actions.sort_unstable();
    actions.dedup();
    let station = links::station(id);
    html! {
        form method="post" action={ (station) "/command" } {
            (action::hidden(token, &[]))
            (fields.others(&NAMES))
            (fields.choice("action", "Command", "", &actions))
            (fields.area("payload", "Payload", "As OCPP has it, in JSON; {} where nothing is required."))
            (fields.tick("queue", "Wait for the station", "Sent once it is connected, if it is not."))
            div.buttons { button.primary { "Send" } a.button href=(station) { "Back" } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_is_json_or_the_fields_of_a_remote_start() {
        let read = |body: &str| payload(&Form::parse(body));
        assert_eq!(read("action=Reset&payload=%7B%22type%22%3A%22Soft%22%7D"), Ok(json!({"type": "Soft"})));
        assert_eq!(read("action=ClearCache"), Ok(json!({})));
        assert_eq!(read("idTag=A&connectorId=2"), Ok(json!({"idTag": "A", "connectorId": 2})));
        assert_eq!(read("idTag=A&connectorId="), Ok(json!({"idTag": "A"})));
        assert_eq!(read("payload=%7B").expect_err("broken").field, "payload");
    }

    #[test]
    fn what_is_wrong_stands_at_its_field() {
        let wrong = [FieldError::new("payload.type", "must be Hard or Soft"), FieldError::new("", "not now")];
        let query = Query::parse("action=Reset&payload=%7B%7D");
        let shown = render("t", "CP 1", &query, &wrong).into_string();
        assert!(shown.contains("must be Hard or Soft") && shown.contains("not now"));
        assert!(shown.contains("action=\"/ui/stations/CP%201/command\""));
        assert!(shown.contains("<option value=\"Reset\" selected>"));
    }
}
