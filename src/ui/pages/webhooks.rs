//! Webhooks.

use maud::{Markup, html};

use crate::ui::components::chip::Tone;
use crate::ui::components::filters::Filters;
use crate::ui::components::layout::Section;
use crate::ui::components::{card, chip, empty, table, time, units};
use crate::ui::links;
use crate::ui::page::{Answer, Page, optional, rows};
use crate::ui::query::Query;
use crate::ui::session::Session;
use vocabulary::api::Page as Rows;
use vocabulary::api::problem::FieldError;
use vocabulary::api::webhook::Webhook;
use vocabulary::api::webhook_stats::{BreakerState, WebhookStats};
use vocabulary::clock::Timestamp;
use vocabulary::units::Span;
use vocabulary::webhook::WebhookStatus;

const PATH: &str = "/ui/webhooks";

/// The filters of the page: parameters of `GET /webhooks`.
const FILTERS: &[&str] = &["status", "owner_id"];

/// The window of the numbers in the list.
const WINDOW: Span = Span::seconds(3_600);

/// A webhook, and how it is doing.
type Row = (Webhook, Option<WebhookStats>);

/// The webhooks.
pub(in crate::ui) async fn list(session: Session, query: Query) -> Answer {
    let mut parameters = query.parameters(FILTERS);
    parameters.push(("limit", "25"));
    let (Rows { data, next_cursor }, errors) = rows(session.client.webhooks(&parameters).await)?;
    let asked = data.iter().map(|webhook| session.client.webhook_stats(webhook.id, WINDOW).into_future());
    let stats = futures_util::future::join_all(asked).await;
    let mut found = Vec::with_capacity(data.len());
    for (webhook, stats) in data.into_iter().zip(stats) {
        found.push((webhook, optional(stats)?));
    }
    let may_create = session.identity.may("write");
    let body = render(&query, &Rows { data: found, next_cursor }, &errors, may_create, session.now);
    let page = Page::new(&session, Section::Webhooks, "Webhooks", body).live();
    Ok(if errors.is_empty() { page } else { page.invalid() })
}

fn render(
    query: &Query,
    found: &Rows<Row>,
    errors: &[FieldError],
    may_create: bool,
    now: Timestamp,
) -> Markup {
    let filters = Filters::new(PATH, query, errors)
        .choice(
            "status",
            "Status",
            &WebhookStatus::WORDS.iter().map(|word| (*word, *word)).collect::<Vec<_>>(),
        )
        .text("owner_id", "Owner");
    let list = html! {
        @if found.data.is_empty() { (nothing(query, may_create)) }
        @else { (listed(&found.data, now)) (table::pager(PATH, query, found.next_cursor.as_deref())) }
    };
    let aside = html! {
        @if may_create { a href="/ui/webhooks/new" { "New webhook" } " " }
        (table::csv_link("webhooks", query))
    };
    html! {
        (filters.render())
        div.grid { (card::live_card("webhooks", card::Width::Full, "Webhooks", aside, list)) }
    }
}

fn nothing(query: &Query, may_create: bool) -> Markup {
    if query.has_any(FILTERS) || query.get("cursor").is_some() {
        return empty::nothing_fits(PATH);
    }
    empty::empty(
        "No webhook yet.",
        html! {
            "Events go nowhere until there is one. "
            @if may_create { a.button href="/ui/webhooks/new" { "Create one" } " or " }
            (empty::shell_command("chargehook webhooks create --url https://your.server/hook"))
        },
    )
}

fn listed(rows: &[Row], now: Timestamp) -> Markup {
    let columns = [
        table::text("Webhook"),
        table::text("Status"),
        table::number("Arrived, last hour"),
        table::number("Half · 95 % within"),
        table::number("Backlog"),
        table::minor("Oldest due"),
        table::minor("Events"),
    ];
    let rows = rows.iter().map(|(webhook, stats)| {
        let numbers = stats.as_ref();
        [
            html! { a href=(links::webhook(webhook.id)) { (webhook.name) } br; span.mono.muted { (webhook.url) } },
            state(webhook, numbers),
            html! { @if let Some(stats) = numbers { (arrived(stats)) } },
            html! { @if let Some(stats) = numbers { (latency(stats)) } },
            html! { @if let Some(stats) = numbers { (units::count(stats.backlog)) } },
            time::ago_or_dash(numbers.and_then(|stats| stats.oldest_due_at), now),
            table::mono(webhook.events.join(", ")),
        ]
    });
    table::table("Webhooks", columns, rows)
}

/// An open breaker says more than `active`.
fn state(webhook: &Webhook, stats: Option<&WebhookStats>) -> Markup {
    let breaker = stats.map(|stats| stats.breaker.state);
    match (webhook.status, breaker) {
        (WebhookStatus::Active, Some(BreakerState::Open)) => chip::chip(Tone::Bad, "failing"),
        (WebhookStatus::Active, Some(BreakerState::Ramp)) => chip::chip(Tone::Warn, "recovering"),
        (status, _) => chip::webhook(status),
    }
}

fn arrived(stats: &WebhookStats) -> Markup {
    let sent = stats.counts.success + stats.counts.failed;
    html! { @if sent == 0 { span.muted { "–" } } @else { (units::count(stats.counts.success)) " of " (units::count(sent)) } }
}

fn latency(stats: &WebhookStats) -> Markup {
    html! {
        @match (stats.latency_ms.p50, stats.latency_ms.p95) {
            (Some(p50), Some(p95)) => { (p50) " · " (p95) " ms" },
            _ => span.muted { "–" },
        }
    }
}
