//! An event: what it says, what it was answered with, and what became of it at each webhook.

use std::time::Duration;

use axum::extract::Path;
use maud::{Markup, html};

use crate::ui::components::layout::Section;
use crate::ui::components::{action, card, chip, definitions, json, table, time};
use crate::ui::failure::Failure;
use crate::ui::form::Form;
use crate::ui::links;
use crate::ui::page::{Answer, Page, Posted, optional};
use crate::ui::session::Session;
use vocabulary::api::delivery::Delivery;
use vocabulary::api::event::{Event, EventDeliveries, NotMatched};
use vocabulary::api::message::{Direction, Message};
use vocabulary::api::webhook::Webhook;
use vocabulary::clock::Timestamp;
use vocabulary::delivery::DeliveryStatus;
use vocabulary::id::EventId;

/// What the page shows.
struct View {
    event: Event,
    deliveries: EventDeliveries,
    /// For their names.
    webhooks: Vec<Webhook>,
    /// The message on the wire that it tells of.
    frame: Option<Message>,
}

/// The event.
pub(in crate::ui) async fn show(session: Session, Path(id): Path<String>) -> Answer {
    let id: EventId = id.parse().map_err(|_| Failure::UnknownPath)?;
    let client = &session.client;
    let (event, deliveries, webhooks) = tokio::join!(
        client.event(id).into_future(),
        client.event_deliveries(id, true).into_future(),
        client.webhooks(&[("limit", "500")]).into_future(),
    );
    let event = event?;
    let frame = frame_of(&session, &event).await?;
    let webhooks = optional(webhooks)?.map(|page| page.data).unwrap_or_default();
    let view = View { event, deliveries: deliveries?, webhooks, frame };
    let token = session.identity.may("write").then(|| session.token());
    let body = render(&view, token, session.now);
    let beside = html! { span.muted { (time::full(view.event.timestamp)) } };
    Ok(Page::new(&session, Section::Events, view.event.event.clone(), body).beside_title(beside).live())
}

/// The message that the event tells of, as it came over the wire.
async fn frame_of(session: &Session, event: &Event) -> Result<Option<Message>, Failure> {
    let (Some(station), Some(_)) = (&event.station_id, &event.message_id) else { return Ok(None) };
    let (since, until) = (event.timestamp, event.timestamp.after(Duration::from_millis(1)));
    let (since, until) = (since.to_string(), until.to_string());
    let parameters =
        [("direction", "inbound"), ("since", since.as_str()), ("until", until.as_str()), ("limit", "50")];
    let messages = optional(session.client.messages(station, &parameters).await)?;
    let id = event.id.to_string();
    let tells = |message: &Message| {
        message.event_id.as_deref() == Some(&id) && message.direction == Direction::Inbound
    };
    Ok(messages.and_then(|page| page.data.into_iter().find(tells)))
}

/// Sends it again wherever it has failed; with `force` also where it has arrived.
pub(in crate::ui) async fn resend(session: Session, Path(id): Path<String>, form: Form) -> Posted {
    let id: EventId = id.parse().map_err(|_| Failure::UnknownPath)?;
    let made = session.client.resend_event(id, form.get("force").is_some()).await;
    session.outcome(made, &links::event(id), |resent| match resent.deliveries.len() {
        1 => "One delivery is on its way again.".to_owned(),
        count => format!("{count} deliveries are on their way again."),
    })
}

/// `token`: of the session's forms, if its key may send again.
fn render(view: &View, token: Option<&str>, now: Timestamp) -> Markup {
    use card::Width::{Full, Half};
    let View { event, frame, .. } = view;
    html! {
        div.grid {
            (card::live_card("deliveries", Full, "Deliveries", resend_button(view, token), deliveries(view, now)))
            (card::card(Half, "Payload", action::copy(event.payload.get(), "Copy"), json::pretty(event.payload.get())))
            (card::card(Half, "Event", html! {}, facts(event)))
            @if let Some(response) = &event.response {
                (card::card(Half, "Answer to the charger", html! {}, json::pretty(response.get())))
            }
            @if let Some(raw) = frame.as_ref().and_then(|frame| frame.raw.as_deref()) {
                (card::card(Half, "On the wire", action::copy(raw, "Copy"), html! {
                    p.muted { @if let Some(kind) = frame.as_ref().and_then(|frame| frame.r#type) { (kind.as_str()) } " as it came" }
                    pre { (raw) }
                }))
            }
        }
    }
}

fn resend_button(view: &View, token: Option<&str>) -> Markup {
    let Some(token) = token.filter(|_| !view.deliveries.data.is_empty()) else { return html! {} };
    let path = format!("{}/resend", links::event(view.event.id));
    let has_failed = view
        .deliveries
        .data
        .iter()
        .any(|delivery| delivery.status.is_terminal() && delivery.status != DeliveryStatus::Success);
    match has_failed {
        true => action::button(token, &path, "Send again where it failed", &[]),
        false => action::confirmed(
            token,
            &path,
            "Send again",
            "Receivers that have it get it once more, under the same webhook-id.",
            &[("force", "true")],
        ),
    }
}

fn facts(event: &Event) -> Markup {
    let link = |path: String, text: &str| table::link(&path, text);
    let mut facts = vec![
        ("Id", html! { (table::mono(event.id)) " " (action::copy(&event.id.to_string(), "Copy")) }),
        ("Category", html! { (event.category.as_str()) }),
        ("Received", time::full(event.timestamp)),
    ];
    if let Some(at) = event.occurred_at {
        facts.push(("By the charger's clock", time::full(at)));
    }
    if let Some(station) = &event.station_id {
        facts.push(("Station", link(links::station(station), station)));
    }
    if let Some(number) = event.station_seq {
        facts.push(("Number at the station", html! { (number) }));
    }
    if let Some(id) = event.transaction_id {
        facts.push(("Session", link(links::session(id), &id.to_string())));
    }
    for (name, text) in [
        ("Owner", &event.owner_id),
        ("Protocol", &event.protocol),
        ("Message id", &event.message_id),
        ("Idempotency key", &event.idempotency_key),
    ] {
        if let Some(text) = text {
            facts.push((name, table::mono(text)));
        }
    }
    if let Some(first) = event.duplicate_of {
        facts.push(("Repeats", link(links::event(first), &first.to_string())));
    }
    html! {
        (definitions::definitions(&facts))
        @if event.test { p { (chip::chip(chip::Tone::Info, "test")) " Made by a test of a webhook." } }
        @if !event.violations.is_empty() {
            h3 { "What was odd" }
            ul { @for one in &event.violations { li { @if let Some(field) = &one.field { code { (field) } " " } (one.problem) } } }
        }
    }
}

fn deliveries(view: &View, now: Timestamp) -> Markup {
    let EventDeliveries { data, not_matched, .. } = &view.deliveries;
    let not_matched = not_matched.as_deref().unwrap_or_default();
    html! {
        @if data.is_empty() {
            p.muted { @if view.event.duplicate_of.is_some() { "A repeat is not delivered: the first one was." } @else { "No webhook wanted it." } }
        } @else { (delivered(view, data, now)) }
        @if !not_matched.is_empty() {
            h3 { "Webhooks that did not get it, and why" }
            ul { @for one in not_matched { li { (webhook(view, one.webhook_id)) ": " (reason(one)) } } }
        }
    }
}

fn delivered(view: &View, rows: &[Delivery], now: Timestamp) -> Markup {
    let columns = [
        table::text("Webhook"),
        table::text("Status"),
        table::minor_number("Attempts"),
        table::text("What is the matter"),
        table::minor("Next or end"),
        table::text("Delivery"),
    ];
    let rows = rows.iter().map(|delivery| {
        [
            match delivery.webhook_id {
                Some(id) => webhook(view, id),
                None => html! { (delivery.url.as_deref().unwrap_or("–")) },
            },
            chip::delivery(delivery.status),
            html! { (delivery.attempts.len()) },
            html! {
                @if delivery.status != DeliveryStatus::Success {
                    @if let Some(error) = &delivery.last_error { (error.message) }
                    @if let Some(waits) = &delivery.waiting_for { span.muted { " waits for " (chip::waits_for(waits)) } }
                }
            },
            time::ago_or_dash(delivery.completed_at.or(delivery.next_attempt_at), now),
            table::link(&links::delivery(delivery.id), "details"),
        ]
    });
    table::table("Deliveries of this event", columns, rows)
}

fn webhook(view: &View, id: i64) -> Markup {
    let known = view.webhooks.iter().find(|webhook| webhook.id == id);
    let name = known.map_or_else(|| format!("webhook {id}"), |webhook| webhook.name.clone());
    html! { a href=(links::webhook(id)) { (name) } }
}

/// Why a webhook did not want the event, in words.
fn reason(one: &NotMatched) -> Markup {
    let words = match one.reason.as_str() {
        "duplicate" => "the event repeats another one, and repeats are not delivered",
        "target" => "the event was sent to another receiver, or is a test",
        "created_later" => "the webhook was created, or changed to want such events, only later",
        "about_itself" => "the event is about this webhook itself",
        "event_type" => "it does not subscribe to events of this type",
        "owner" => "it belongs to another owner",
        "station" => "it does not subscribe to this station",
        "filter" => "its filter does not fit the event",
        other => other,
    };
    html! {
        (words)
        @for warning in &one.warnings { " (" (warning) ")" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_told_in_words() {
        let one = NotMatched {
            webhook_id: 2,
            reason: "event_type".to_owned(),
            warnings: vec!["\"Start\" fits no event".to_owned()],
        };
        let said = reason(&one).into_string();
        assert_eq!(said, "it does not subscribe to events of this type (&quot;Start&quot; fits no event)");
    }
}
