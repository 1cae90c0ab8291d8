//! A delivery: every attempt so far, the schedule ahead, and what was sent and answered.

use std::time::Duration;

use axum::extract::Path;
use maud::{Markup, html};

use crate::ui::components::layout::Section;
use crate::ui::components::time_line::{Mark, Step, time_line};
use crate::ui::components::{action, card, chip, definitions, json, table, time};
use crate::ui::curl;
use crate::ui::failure::Failure;
use crate::ui::form::Form;
use crate::ui::links;
use crate::ui::page::{Answer, Page, Posted, optional};
use crate::ui::session::Session;
use vocabulary::api::delivery::{Attempt, Delivery};
use vocabulary::api::event::Event;
use vocabulary::api::webhook::Webhook;
use vocabulary::clock::Timestamp;
use vocabulary::delivery::{DeliveryStatus, Trigger};
use vocabulary::id::DeliveryId;

/// How much of an endpoint's answer is shown of each attempt that has one.
const SHOWN_ATTEMPTS: usize = 20;

/// What the page shows.
struct View {
    delivery: Delivery,
    /// Null if it goes to a URL of its own, or the webhook is deleted.
    webhook: Option<Webhook>,
    /// Null once retention has removed it.
    event: Option<Event>,
}

/// The delivery.
pub(in crate::ui) async fn show(session: Session, Path(id): Path<String>) -> Answer {
    let id: DeliveryId = id.parse().map_err(|_| Failure::UnknownPath)?;
    let delivery = session.client.delivery(id).await?;
    let event = optional(session.client.event(delivery.event_id).await)?;
    let webhook = match delivery.webhook_id {
        Some(id) => optional(session.client.webhook(id).await)?,
        None => None,
    };
    let view = View { delivery, webhook, event };
    let token = session.identity.may("write").then(|| session.token());
    let body = render(&view, token, session.now);
    let beside = html! { span id="state" data-live { (chip::delivery(view.delivery.status)) } };
    let title = format!("{} to {}", view.delivery.event, receiver(&view));
    Ok(Page::new(&session, Section::Deliveries, title, body).beside_title(beside).live())
}

/// Sends it again; with `force` also if it has arrived.
pub(in crate::ui) async fn resend(session: Session, Path(id): Path<String>, form: Form) -> Posted {
    let id: DeliveryId = id.parse().map_err(|_| Failure::UnknownPath)?;
    let made = session.client.resend(id, form.get("force").is_some()).await;
    session.outcome(made, &links::delivery(id), |_| "It is on its way again.".to_owned())
}

/// Discards it.
pub(in crate::ui) async fn cancel(session: Session, Path(id): Path<String>, _: Form) -> Posted {
    let id: DeliveryId = id.parse().map_err(|_| Failure::UnknownPath)?;
    let made = session.client.cancel_delivery(id).await;
    session.outcome(made, &links::delivery(id), |_| "It is canceled: nothing more is sent.".to_owned())
}

fn receiver(view: &View) -> String {
    match (&view.webhook, &view.delivery) {
        (Some(webhook), _) => webhook.name.clone(),
        (None, Delivery { webhook_id: Some(id), .. }) => format!("webhook {id} (deleted)"),
        (None, Delivery { url, .. }) => url.clone().unwrap_or_default(),
    }
}

/// `token`: of the session's forms, if its key may change deliveries.
fn render(view: &View, token: Option<&str>, now: Timestamp) -> Markup {
    use card::Width::{Full, Half};
    let delivery = &view.delivery;
    html! {
        div.grid {
            (card::live_card("attempts", Half, "Attempts", html! {}, html! {
                (time_line(&steps(view, now)))
                @if let Some(token) = token { div.buttons { (buttons(delivery, token)) } }
            }))
            (card::live_card("facts", Half, "Delivery", html! {}, facts(view, now)))
            (card::card(Half, "Request", curl_button(view), request(view)))
            (card::live_card("answers", Half, "Answers", html! {}, answers(&delivery.attempts)))
            (card::card(Full, "Payload", action::copy(delivery.payload.get(), "Copy"), json::pretty(delivery.payload.get())))
        }
    }
}

fn buttons(delivery: &Delivery, token: &str) -> Markup {
    let path = links::delivery(delivery.id);
    let (resend, cancel) = (format!("{path}/resend"), format!("{path}/cancel"));
    html! {
        @match delivery.status {
            DeliveryStatus::Success => (action::confirmed(token, &resend, "Send again", "The receiver has it already, and gets it once more under the same webhook-id.", &[("force", "true")])),
            DeliveryStatus::Failed | DeliveryStatus::Discarded => (action::primary(token, &resend, "Send again", &[])),
            DeliveryStatus::Scheduled | DeliveryStatus::Retry | DeliveryStatus::Processing => (action::confirmed(token, &cancel, "Cancel", "It is discarded, and nothing more is sent.", &[])),
        }
    }
}

/// Every attempt, then what is still to come.
fn steps(view: &View, now: Timestamp) -> Vec<Step> {
    let delivery = &view.delivery;
    let mut steps: Vec<Step> = delivery.attempts.iter().map(|attempt| step(attempt, now)).collect();
    match delivery.status {
        DeliveryStatus::Scheduled | DeliveryStatus::Retry => steps.extend(ahead(view, now)),
        DeliveryStatus::Processing | DeliveryStatus::Success => {}
        DeliveryStatus::Failed => {
            let text = html! { b { "Dead letter" } ": the schedule is used up. It is sent again when somebody says so." };
            steps.push(end(Mark::Failed, delivery, text, now));
        }
        DeliveryStatus::Discarded => {
            let because = delivery.discarded_because.map_or("discarded", |reason| reason.as_str());
            steps.push(end(Mark::Failed, delivery, html! { "Discarded: " (because.replace('_', " ")) }, now));
        }
    }
    steps
}

fn end(mark: Mark, delivery: &Delivery, text: Markup, now: Timestamp) -> Step {
    Step { mark, at: time::clock(delivery.completed_at.unwrap_or(delivery.created_at), now), text }
}

fn step(attempt: &Attempt, now: Timestamp) -> Step {
    let took = attempt.duration_ms.map(|ms| time::span(Duration::from_millis(ms)));
    let why = (attempt.trigger != Trigger::Event).then(|| attempt.trigger.as_str());
    let (mark, what) = match (&attempt.error, attempt.status_code) {
        (Some(error), _) => (Mark::Failed, html! { (error.message) }),
        (None, Some(status)) => (Mark::Done, html! { (status) }),
        // Brokers confirm, and have no statuses.
        (None, None) if attempt.duration_ms.is_some() => (Mark::Done, html! { "confirmed" }),
        (None, None) => (Mark::Ahead, html! { "under way" }),
    };
    let text = html! {
        b { (attempt.number) } " " (what)
        @if let Some(took) = took { " after " (took) }
        @if let Some(why) = why { span.muted { " (" (why) ")" } }
    };
    Step { mark, at: time::clock(attempt.started_at, now), text }
}

/// The next attempt, and the entries of the schedule behind it.
fn ahead(view: &View, now: Timestamp) -> Vec<Step> {
    let delivery = &view.delivery;
    let mut steps = Vec::new();
    let waits = delivery.waiting_for.as_deref().filter(|waits| *waits != "schedule");
    if let Some(due) = delivery.next_attempt_at {
        let text = html! {
            "next" @if let Some(waits) = waits { ", waits for " (chip::waits_for(waits)) }
        };
        // What is due already waits for something else: how long ago that was is no time of an attempt.
        let at = if due > now {
            time::ago(due, now)
        } else {
            html! {}
        };
        steps.push(Step { mark: Mark::Ahead, at, text });
    }
    let schedule = view.webhook.as_ref().map(|webhook| webhook.retry_schedule.as_slice()).unwrap_or_default();
    let tried = tried_since_sent(&delivery.attempts);
    let later: Vec<String> = schedule.iter().skip(tried).map(ToString::to_string).collect();
    if !later.is_empty() {
        let text = html! { "… if that fails after " (later.join(", ")) };
        steps.push(Step { mark: Mark::Ahead, at: html! {}, text });
    }
    steps
}

/// How many attempts the schedule has behind it: a resend begins it anew.
fn tried_since_sent(attempts: &[Attempt]) -> usize {
    let again = attempts.iter().rposition(|attempt| attempt.trigger == Trigger::Resend);
    attempts.len() - again.unwrap_or(0)
}

fn facts(view: &View, now: Timestamp) -> Markup {
    let delivery = &view.delivery;
    let mut facts = vec![
        ("Event", table::link(&links::event(delivery.event_id), &delivery.event)),
        (
            "Receiver",
            match delivery.webhook_id {
                Some(id) => html! { a href=(links::webhook(id)) { (receiver(view)) } },
                None => html! { (receiver(view)) },
            },
        ),
        ("Created", time::ago(delivery.created_at, now)),
        ("Id", html! { (table::mono(delivery.id)) " " (action::copy(&delivery.id.to_string(), "Copy")) }),
    ];
    if let Some(station) = &delivery.station_id {
        facts.push(("Station", table::link(&links::station(station), station)));
    }
    if let Some(number) = delivery.sequence {
        facts.push(("Number at the webhook", html! { (number) }));
    }
    if let Some(at) = delivery.completed_at {
        facts.push(("Ended", time::ago(at, now)));
    }
    html! {
        (definitions::definitions(&facts))
        @if let Some(error) = delivery.last_error.as_ref().filter(|_| delivery.status != DeliveryStatus::Success) {
            div.why.warn { p { b { (error.message) } " " span.muted { (error.code.as_str()) } } p { (advice(error.code.as_str())) } }
        }
    }
}

/// What people do about an error of this kind.
fn advice(code: &str) -> &'static str {
    match code {
        "timeout" => {
            "The receiver took too long. Let it answer first and work afterwards, or raise the webhook's timeout."
        }
        "dns" => "The name of the receiver is not known. Check the webhook's URL.",
        "connect" => {
            "Nothing accepts connections there. Check whether the receiver runs, and the port in the webhook's URL."
        }
        "tls" => "The receiver's certificate is not accepted. Check its chain and its name.",
        "reset" => "The receiver closed the connection in the middle of its answer.",
        "http_status" => "The receiver answered, and said no. What it answered stands below.",
        "forbidden_destination" => {
            "The address is private, and the configuration does not allow it (outbound.allowed_networks)."
        }
        "circuit_open" => "The receiver failed often, and is asked again only now and then.",
        "outcome_unknown" => "The gateway ended in the middle of the attempt, so it makes another one.",
        _ => "The gateway's log says more.",
    }
}

fn request(view: &View) -> Markup {
    let Some(event) = &view.event else {
        return html! { p.muted { "Retention has removed the event; its payload is below." } };
    };
    let headers = curl::headers(&view.delivery, event, view.webhook.as_ref());
    html! {
        p { code { "POST " (view.delivery.url.as_deref().unwrap_or("to a webhook that is deleted")) } }
        pre { @for (name, value) in &headers { (name) ": " (value) "\n" } }
        p.muted { "Signature, secret header and custom headers are added when it is sent." }
    }
}

fn curl_button(view: &View) -> Markup {
    match (&view.event, &view.delivery.url) {
        (Some(event), Some(url)) if url.starts_with("http") => {
            action::copy(&curl::command(url, &view.delivery, event, view.webhook.as_ref()), "Copy as curl")
        }
        _ => html! {},
    }
}

/// What the endpoint has answered, the newest first.
fn answers(attempts: &[Attempt]) -> Markup {
    let answered = attempts
        .iter()
        .rev()
        .filter(|attempt| attempt.status_code.is_some() || attempt.response_body.is_some());
    let answered: Vec<&Attempt> = answered.take(SHOWN_ATTEMPTS).collect();
    html! {
        @if answered.is_empty() { p.muted { "It has answered nothing so far." } }
        @for (index, attempt) in answered.iter().enumerate() {
            details.more open[index == 0] {
                summary { "Attempt " (attempt.number) ": " @if let Some(status) = attempt.status_code { (status) } }
                pre tabindex="0" {
                    @for (name, value) in attempt.response_headers.iter().flatten() { (name) ": " (value) "\n" }
                    @if let Some(body) = &attempt.response_body { "\n" (body) }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(number: u32, trigger: Trigger) -> Attempt {
        Attempt {
            number,
            trigger,
            started_at: Timestamp::from_unix_ms(1_776_170_096_789),
            duration_ms: Some(38),
            status_code: Some(503),
            error: None,
            response_headers: None,
            response_body: Some("<later>".to_owned()),
        }
    }

    #[test]
    fn a_resend_begins_the_schedule_anew() {
        let attempts = [
            attempt(1, Trigger::Event),
            attempt(2, Trigger::Event),
            attempt(3, Trigger::Resend),
            attempt(4, Trigger::Resend),
        ];
        assert_eq!(tried_since_sent(&attempts[..2]), 2);
        assert_eq!(tried_since_sent(&[]), 0);
        // The trigger stays that of the resend until the next one.
        assert_eq!(tried_since_sent(&attempts[..3]), 1);
        assert!(answers(&attempts).into_string().contains("&lt;later&gt;"));
    }
}
