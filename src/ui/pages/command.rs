//! A command: what was asked, what the charger has answered, and what came of it.

use axum::extract::Path;
use maud::{Markup, html};

use crate::ui::components::layout::Section;
use crate::ui::components::time_line::{Mark, Step, time_line};
use crate::ui::components::{action, card, chip, command as words, definitions, json, table, time, why};
use crate::ui::failure::Failure;
use crate::ui::form::Form;
use crate::ui::links;
use crate::ui::page::{Answer, Page, Posted, optional};
use crate::ui::session::Session;
use vocabulary::api::command::{Command, CommandStatus, RemoteStartOutcome};
use vocabulary::api::why::Why;
use vocabulary::clock::Timestamp;
use vocabulary::id::CommandId;

/// What stands in a payload for a secret that is not shown.
const MASK: &str = "***";

/// What the page shows.
struct View {
    command: Command,
    why: Option<Why>,
}

fn parsed(id: &str) -> Result<CommandId, Failure> {
    id.parse().map_err(|_| Failure::UnknownPath)
}

/// The command.
pub(in crate::ui) async fn show(session: Session, Path(id): Path<String>) -> Answer {
    let id = parsed(&id)?;
    let (command, why) =
        tokio::join!(session.client.command(id).into_future(), session.client.why_command(id).into_future());
    let view = View { command: command?, why: optional(why)? };
    let may_send = view.command.action.parse().is_ok_and(|action| session.identity.may_send(action));
    let body = render(&view, may_send.then(|| session.token()), session.now);
    let beside = html! { span id="state" data-live { (chip::command(&view.command)) } };
    let title = format!("{} to {}", view.command.action, view.command.station_id);
    Ok(Page::new(&session, Section::Commands, title, body).beside_title(beside).live())
}

/// Calls it back.
pub(in crate::ui) async fn cancel(session: Session, Path(id): Path<String>, _: Form) -> Posted {
    let id = parsed(&id)?;
    let made = session.client.cancel_command(id).await;
    session.outcome(made, &links::command(id), |_| "It is canceled: it is never sent.".to_owned())
}

/// `token`: of the session's forms, if its key may send this command.
fn render(view: &View, token: Option<&str>, now: Timestamp) -> Markup {
    use card::Width::Half;
    let command = &view.command;
    let payload = command.payload.get();
    html! {
        div.grid {
            (card::live_card("answer", Half, "The charger's answer", html! {}, answered(view, token, now)))
            (card::live_card("steps", Half, "What happened", html! {}, time_line(&steps(command, now))))
            (card::card(Half, "What is asked", action::copy(payload, "Copy"), json::pretty(payload)))
            (card::live_card("facts", Half, "Command", html! {}, facts(command, now)))
        }
    }
}

/// The answer, and what to do about it.
fn answered(view: &View, token: Option<&str>, now: Timestamp) -> Markup {
    let View { command, .. } = view;
    html! {
        (card::big(headline(command), ""))
        @if let Some(id) = command.transaction_id {
            div.buttons { a.button href=(links::session(id)) { "Open session " (id) } }
        }
        @for warning in &command.warnings { div.why.warn { p { (warning) } } }
        @if let Some(hint) = &command.hint { div.why.info { p { (hint) } } }
        @if let Some(answer) = view.why.as_ref().filter(|why| !why.verdict.is_ordinary()) { (why::why(answer, now)) }
        @if let Some(response) = &command.response { (json::pretty(response.get())) }
        @if let Some(error) = &command.error {
            h3 { "CALLERROR" }
            p { (table::mono(&error.code)) " " (error.description) }
            @if !matches!(error.details.get(), "{}" | "null") { (json::pretty(error.details.get())) }
        }
        @if let Some(late) = &command.late_response { h3 { "It answered after all, too late" } (json::pretty(late.get())) }
        @if !command.violations.is_empty() {
            h3 { "What was odd about the answer" }
            ul { @for one in &command.violations { li { @if let Some(field) = &one.field { code { (field) } " " } (one.problem) } } }
        }
        @if let Some(token) = token { div.buttons { (buttons(command, token)) } }
    }
}

/// The one thing that people come to see.
fn headline(command: &Command) -> String {
    match (command.status, &command.outcome) {
        (CommandStatus::Sent, _) => "Waiting for the charger…".to_owned(),
        (CommandStatus::Queued, _) => "Waiting for the station…".to_owned(),
        (CommandStatus::Completed, None) if is_starting(command) => {
            "Accepted; waiting for the session to begin…".to_owned()
        }
        _ => {
            let answer = words::answer(command);
            let mut letters = answer.chars();
            letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect()
        }
    }
}

/// A remote start that was accepted, and has come to nothing so far.
fn is_starting(command: &Command) -> bool {
    command.action == words::REMOTE_START
        && command.accepted == Some(true)
        && command.outcome.is_none()
        && command.transaction_id.is_none()
}

fn buttons(command: &Command, token: &str) -> Markup {
    let payload = command.payload.get();
    let form = words::form_path(&command.station_id, Some(&command.action));
    html! {
        @if command.status == CommandStatus::Queued {
            (action::button(token, &format!("{}/cancel", links::command(command.id)), "Cancel", &[]))
        }
        @if command.status.is_final() && !payload.contains(MASK) {
            a.button href={ (form) "&payload=" (links::encoded(payload)) } { "Send again…" }
        }
        a.button href=(words::form_path(&command.station_id, None)) { "Another command…" }
    }
}

fn steps(command: &Command, now: Timestamp) -> Vec<Step> {
    let step = |mark, at: Timestamp, text: Markup| Step { mark, at: time::clock(at, now), text };
    let mut steps =
        vec![step(Mark::Done, command.created_at, html! { "Asked by " b { (command.requested_by.name) } })];
    if let Some(at) = command.sent_at {
        steps.push(step(Mark::Done, at, html! { "Sent to the charger" }));
    }
    match (command.completed_at, command.status) {
        (Some(at), CommandStatus::Completed) => {
            let mark = if command.accepted == Some(false) { Mark::Failed } else { Mark::Done };
            let word = words::status(command);
            steps.push(step(mark, at, html! { "Charger: " b { (word.as_deref().unwrap_or("answered")) } }));
        }
        (Some(at), CommandStatus::Canceled) => steps.push(step(Mark::Done, at, html! { "Canceled" })),
        (Some(at), _) => steps.push(step(Mark::Failed, at, html! { (words::answer(command)) })),
        (None, CommandStatus::Queued) => {
            let text = html! { "It is sent when the station can take it, or never" };
            steps.push(step(Mark::Ahead, command.expires_at, text));
        }
        (None, _) => {
            let until = command.sent_at.unwrap_or(command.created_at).after(command.timeout.0);
            steps.push(step(Mark::Ahead, until, html! { "Until then its answer is waited for" }));
        }
    }
    steps.extend(outcome(command));
    steps
}

/// What came of a remote start.
fn outcome(command: &Command) -> Option<Step> {
    let (mark, text) = match (command.outcome, command.transaction_id) {
        (_, Some(id)) if words::is_tag_refused(command) => (
            Mark::Failed,
            html! { "Session " (table::link(&links::session(id), &id.to_string())) " began, but its tag was refused" },
        ),
        (_, Some(id)) => {
            (Mark::Done, html! { "Session " (table::link(&links::session(id), &id.to_string())) " began" })
        }
        (Some(RemoteStartOutcome::NotStarted), _) => {
            (Mark::Failed, html! { "No session began within 3 minutes" })
        }
        _ if is_starting(command) => (Mark::Ahead, html! { "A session is waited for, for 3 minutes" }),
        _ => return None,
    };
    Some(Step { mark, at: html! {}, text })
}

fn facts(command: &Command, now: Timestamp) -> Markup {
    let mut facts = vec![
        ("Id", html! { (table::mono(command.id)) " " (action::copy(&command.id.to_string(), "Copy")) }),
        ("Station", table::link(&links::station(&command.station_id), &command.station_id)),
        ("Requested by", html! { (command.requested_by.name) }),
        ("Answer is waited for", html! { (time::span(command.timeout.0)) }),
        ("Created", time::full(command.created_at)),
    ];
    if let Some(owner) = &command.owner_id {
        facts.push(("Owner", table::mono(owner)));
    }
    if command.queue {
        facts.push(("May wait for the station", html! { "until " (time::clock(command.expires_at, now)) }));
    }
    if let Some((sent, ended)) = command.sent_at.zip(command.completed_at) {
        facts.push(("Took", html! { (time::span(ended.since(sent))) }));
    }
    html! {
        (definitions::definitions(&facts))
        @if let Some(metadata) = &command.metadata { h3 { "Metadata" } (json::pretty(metadata.get())) }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::ui::components::command::sample;

    fn shown(fields: &serde_json::Value) -> String {
        let view = View { command: sample(fields), why: None };
        render(&view, Some("token"), "2026-04-14T10:00:05Z".parse().expect("a time")).into_string()
    }

    #[test]
    fn a_remote_start_leads_to_its_session() {
        let start = json!({"action": words::REMOTE_START, "sent_at": "2026-04-14T10:00:00Z", "accepted": true,
            "completed_at": "2026-04-14T10:00:01Z", "response": {"status": "Accepted"}});
        let waiting = shown(&start);
        assert!(waiting.contains("waiting for the session") && waiting.contains("A session is waited for"));
        let mut began = start;
        began["transaction_id"] = json!(7);
        began["outcome"] = json!("started");
        let began = shown(&began);
        assert!(began.contains("href=\"/ui/sessions/7\">Open session 7<"), "{began}");
        assert!(
            began.contains("Charger: <b>Accepted</b>") && began.contains("Accepted, and a session began")
        );
    }

    #[test]
    fn what_waits_can_be_canceled_and_a_secret_is_not_sent_again() {
        let queued = shown(&json!({"status": "queued", "queue": true}));
        assert!(queued.contains("/cancel\"") && queued.contains("Waiting for the station"), "{queued}");
        let done = shown(&json!({"response": {"status": "Rejected"}, "accepted": false}));
        assert!(done.contains("Send again…") && !done.contains("/cancel\""));
        let secret = shown(&json!({"payload": {"key": "AuthorizationKey", "value": "***"}}));
        assert!(!secret.contains("Send again…"));
    }

    #[test]
    fn an_error_and_a_late_answer_are_shown() {
        let late = json!({"status": "timeout", "late_response": {"status": "Accepted"},
            "completed_at": "2026-04-14T10:00:30Z", "warnings": ["not every charger takes it"]});
        let late = shown(&late);
        assert!(late.contains("too late") && late.contains("not every charger takes it"), "{late}");
        let error = json!({"status": "error", "error": {"code": "NotSupported", "description": "no", "details": {"a": 1}}});
        let error = shown(&error);
        assert!(error.contains("CALLERROR") && error.contains("NotSupported: no"), "{error}");
    }
}
