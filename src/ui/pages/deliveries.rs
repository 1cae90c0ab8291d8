//! Deliveries: what became of each event at each webhook.

use std::collections::HashMap;

use maud::{Markup, html};

use crate::ui::components::filters::Filters;
use crate::ui::components::layout::Section;
use crate::ui::components::{card, chip, empty, replays, table, time};
use crate::ui::links;
use crate::ui::page::{Answer, Page, optional, rows};
use crate::ui::query::Query;
use crate::ui::session::Session;
use vocabulary::api::Page as Rows;
use vocabulary::api::delivery::Delivery;
use vocabulary::api::problem::FieldError;
use vocabulary::api::replay::Replay;
use vocabulary::api::webhook::Webhook;
use vocabulary::api::webhook_stats::WebhookGlance;
use vocabulary::clock::Timestamp;
use vocabulary::delivery::DeliveryStatus;

const PATH: &str = "/ui/deliveries";

/// The filters of the page: parameters of `GET /deliveries`.
const FILTERS: &[&str] = &[
    "status",
    "webhook_id",
    "event",
    "event_id",
    "station_id",
    "owner_id",
    "since",
    "until",
    "status_code",
    "min_attempts",
    "q",
];

/// What an attempt may be answered.
const ANSWERS: &[(&str, &str)] =
    &[("2xx", "2xx: taken"), ("3xx", "3xx"), ("4xx", "4xx"), ("5xx", "5xx"), ("none", "no answer")];

/// The deliveries.
pub(in crate::ui) async fn list(session: Session, query: Query) -> Answer {
    let parameters = query.parameters(FILTERS);
    let (listed, webhooks, running) = tokio::join!(
        session.client.deliveries(&parameters).into_future(),
        session.client.webhooks(&[("limit", "500")]).into_future(),
        session.client.replays(&[("status", "running"), ("limit", "5")]).into_future(),
    );
    let (found, errors) = rows(listed)?;
    let webhooks = optional(webhooks)?.map(|page| page.data).unwrap_or_default();
    let running = optional(running)?.map(|page| page.data).unwrap_or_default();
    let is_held = |delivery: &Delivery| delivery.waiting_for.as_deref() == Some("breaker");
    let glances = match found.data.iter().any(is_held) {
        true => optional(session.client.webhook_glances(&[("limit", "500")]).await)?,
        false => None,
    };
    let probe = |glance: WebhookGlance| Some((glance.webhook_id, glance.breaker.next_probe_at?));
    let probes = glances.into_iter().flat_map(|page| page.data).filter_map(probe).collect();
    let view = View { found, webhooks, running, probes, errors };
    let token = session.identity.may("write").then(|| session.token());
    let body = render(&query, &view, token, session.now);
    let page = Page::new(&session, Section::Deliveries, "Deliveries", body).live();
    Ok(if view.errors.is_empty() { page } else { page.invalid() })
}

/// What the page shows.
struct View {
    found: Rows<Delivery>,
    /// All there are, for their names.
    webhooks: Vec<Webhook>,
    /// Replays and bulk resends that are under way.
    running: Vec<Replay>,
    /// When webhooks are asked again whose receivers do not answer.
    probes: HashMap<i64, Timestamp>,
    errors: Vec<FieldError>,
}

/// `token`: of the session's forms, if its key may send again.
fn render(query: &Query, view: &View, token: Option<&str>, now: Timestamp) -> Markup {
    let View { found, webhooks, running, probes, errors } = view;
    let names: Vec<(String, &str)> =
        webhooks.iter().map(|webhook| (webhook.id.to_string(), webhook.name.as_str())).collect();
    let names: Vec<(&str, &str)> = names.iter().map(|(id, name)| (id.as_str(), *name)).collect();
    let filters = Filters::new(PATH, query, errors)
        .choice("status", "Status", &statuses())
        .choice("webhook_id", "Webhook", &names)
        .choice("status_code", "Last answer", ANSWERS)
        .text("min_attempts", "Tried at least")
        .text("event", "Event, such as Start*")
        .text("station_id", "Station")
        .search("q", "Any words of a payload")
        .text("since", "Since, such as 2h")
        .text("until", "Until");
    let list = html! {
        @if found.data.is_empty() { (nothing(query, errors)) }
        @else {
            (listed(&found.data, webhooks, probes, now)) (table::pager(PATH, query, found.next_cursor.as_deref()))
        }
    };
    let aside = html! {
        @if token.is_some() && !found.data.is_empty() { a href=(resend_link(query)) { "Send again all that fit…" } " " }
        (table::csv_link("deliveries", query))
    };
    html! {
        (filters.render())
        div.grid {
            @if !running.is_empty() {
                (card::live_card("running", card::Width::Full, "Being sent again", html! {}, replays::replays(running, token, now)))
            }
            (card::live_card("deliveries", card::Width::Full, "Deliveries", aside, list))
        }
    }
}

/// Without a status, dead letters are meant: what has arrived is not sent again by the way.
fn resend_link(query: &Query) -> String {
    let status = query.get("status").unwrap_or("failed");
    query.link("/ui/deliveries/resend", &[("cursor", None), ("order", None), ("status", Some(status))])
}

fn nothing(query: &Query, errors: &[FieldError]) -> Markup {
    match query.has_any(FILTERS) || query.get("cursor").is_some() || !errors.is_empty() {
        true => empty::nothing_fits(PATH, errors),
        false => empty::empty(
            "No delivery yet.",
            html! { "One is made for every event that a webhook wants. " a href="/ui/webhooks" { "Webhooks" } },
        ),
    }
}

fn listed(
    rows: &[Delivery],
    webhooks: &[Webhook],
    probes: &HashMap<i64, Timestamp>,
    now: Timestamp,
) -> Markup {
    let columns = [
        table::text("Event"),
        table::text("To"),
        table::text("Status"),
        table::minor_number("Attempts"),
        table::minor("What is the matter"),
        table::minor("Next try or end"),
        table::text("Created"),
    ];
    let rows = rows.iter().map(|delivery| {
        [
            html! {
                (table::link(&links::delivery(delivery.id), &delivery.event))
                @if let Some(station) = &delivery.station_id { br; span.muted.mono { (station) } }
            },
            receiver(delivery, webhooks),
            chip::delivery(delivery.status),
            html! { (delivery.attempts.len()) },
            matter(delivery),
            next_or_end(delivery, probes, now),
            time::ago(delivery.created_at, now),
        ]
    });
    table::table("Deliveries", columns, rows)
}

/// When it ended, or is tried next. What waits for something else than its time is due already: what that
/// time was tells nothing, and only a breaker knows when it lets the next one through.
fn next_or_end(delivery: &Delivery, probes: &HashMap<i64, Timestamp>, now: Timestamp) -> Markup {
    let probe = delivery.webhook_id.and_then(|id| probes.get(&id)).copied();
    let next = match delivery.waiting_for.as_deref() {
        Some("breaker") => probe,
        Some("schedule") | None => delivery.next_attempt_at,
        Some(_) => None,
    };
    let held = delivery.waiting_for.as_deref() == Some("breaker") && next.is_some();
    html! {
        @match delivery.completed_at.or(next.filter(|at| *at > now || delivery.waiting_for.is_none())) {
            Some(at) => { (time::ago(at, now)) @if held { span.muted { " (probe)" } } },
            None => span.muted { "–" },
        }
    }
}

fn receiver(delivery: &Delivery, webhooks: &[Webhook]) -> Markup {
    let Some(id) = delivery.webhook_id else {
        return html! { span.mono { (delivery.url.as_deref().unwrap_or("–")) } };
    };
    match webhooks.iter().find(|webhook| webhook.id == id) {
        Some(webhook) => html! { a href=(links::webhook(id)) { (webhook.name) } },
        None => html! { span.muted { "webhook " (id) } },
    }
}

fn matter(delivery: &Delivery) -> Markup {
    let is_over = delivery.status == DeliveryStatus::Success;
    let error = delivery.last_error.as_ref().filter(|_| !is_over);
    let waits = delivery.waiting_for.as_deref();
    html! {
        @if let Some(error) = error { (error.message) " " }
        @if let Some(waits) = waits { span.muted { "waits for " (chip::waits_for(waits)) } }
    }
}

fn statuses() -> Vec<(&'static str, &'static str)> {
    DeliveryStatus::WORDS.iter().map(|word| (*word, *word)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_again_are_dead_letters_unless_a_status_is_chosen() {
        let link = |query: &str| resend_link(&Query::parse(query));
        assert_eq!(link("webhook_id=2&cursor=x"), "/ui/deliveries/resend?webhook_id=2&status=failed");
        assert_eq!(link("status=discarded"), "/ui/deliveries/resend?status=discarded");
    }
}
