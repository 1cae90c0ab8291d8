//! Webhooks.

use std::collections::HashMap;

use maud::{Markup, html};

use crate::ui::components::filters::Filters;
use crate::ui::components::layout::Section;
use crate::ui::components::{card, chip, empty, quarters, table, time, units};
use crate::ui::links;
use crate::ui::page::{Answer, Page, rows};
use crate::ui::query::Query;
use crate::ui::session::Session;
use vocabulary::api::Page as Rows;
use vocabulary::api::problem::FieldError;
use vocabulary::api::webhook::Webhook;
use vocabulary::api::webhook_stats::{BreakerState, WebhookGlance};
use vocabulary::clock::Timestamp;
use vocabulary::webhook::WebhookStatus;

const PATH: &str = "/ui/webhooks";

/// The filters of the page: parameters of `GET /webhooks`.
const FILTERS: &[&str] = &["q", "status", "owner_id"];

/// The status, on this page, of those that are active and do not get through.
const FAILING: &str = "failing";

/// Rows of a page: each has a chart of a day.
const ROWS: &str = "25";

/// A webhook, and how it is doing.
type Row = (Webhook, Option<WebhookGlance>);

/// The webhooks.
pub(in crate::ui) async fn list(session: Session, query: Query) -> Answer {
    // The breaker is no field of a webhook: those that fail are found among the active ones.
    let only_failing = query.get("status") == Some(FAILING);
    let asked = match only_failing {
        true => query.with(&[("status", Some(WebhookStatus::Active.as_str())), ("limit", Some("500"))]),
        false => query.with(&[("limit", Some(ROWS))]),
    };
    let parameters = asked.parameters(&[FILTERS, &["limit"]].concat());
    let (listed, glances) = tokio::join!(
        session.client.webhooks(&parameters).into_future(),
        session.client.webhook_glances(&parameters).into_future(),
    );
    let (Rows { data, next_cursor }, errors) = rows(listed)?;
    let mut glances: HashMap<i64, WebhookGlance> =
        rows(glances)?.0.data.into_iter().map(|glance| (glance.webhook_id, glance)).collect();
    let found = data.into_iter().map(|webhook| {
        let glance = glances.remove(&webhook.id);
        (webhook, glance)
    });
    let fails =
        |(_, glance): &Row| glance.as_ref().is_some_and(|glance| glance.breaker.state == BreakerState::Open);
    let found = found.filter(|row| !only_failing || fails(row)).collect();
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
    let statuses: Vec<_> =
        WebhookStatus::WORDS.iter().chain(&[FAILING]).map(|word| (*word, word.replace('_', " "))).collect();
    let statuses: Vec<(&str, &str)> = statuses.iter().map(|(word, shown)| (*word, shown.as_str())).collect();
    let filters = Filters::new(PATH, query, errors)
        .search("q", "Name or URL")
        .choice("status", "Status", &statuses)
        .text("owner_id", "Owner");
    let list = html! {
        @if found.data.is_empty() { (nothing(query, errors, may_create)) }
        @else { (listed(&found.data, now)) (table::pager(PATH, query, found.next_cursor.as_deref())) }
    };
    let aside = html! {
        @if may_create { a href="/ui/webhooks/new" { "New webhook" } " " }
        @if query.get("status") != Some(FAILING) { (table::csv_link("webhooks", query)) }
    };
    html! {
        (filters.render())
        div.grid { (card::live_card("webhooks", card::Width::Full, "Webhooks", aside, list)) }
    }
}

fn nothing(query: &Query, errors: &[FieldError], may_create: bool) -> Markup {
    if query.has_any(FILTERS) || query.get("cursor").is_some() || !errors.is_empty() {
        return empty::nothing_fits(PATH, errors);
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
        table::minor("Last 24 h"),
        table::number("Arrived"),
        table::number("Half · 95 % within"),
        table::number("Backlog"),
        table::minor("Oldest due"),
        table::minor("Events"),
    ];
    let rows = rows.iter().map(|(webhook, glance)| {
        let glance = glance.as_ref();
        [
            html! { a href=(links::webhook(webhook.id)) { (webhook.name) } br; span.mono.muted { (webhook.url) } },
            chip::webhook(webhook.status, glance.map(|glance| glance.breaker.state)),
            html! { @if let Some(glance) = glance { (quarters::quarters(&glance.quarters, now)) } },
            html! { @if let Some(glance) = glance { (arrived(glance)) } },
            html! { @if let Some(glance) = glance { (latency(glance)) } },
            html! { @if let Some(glance) = glance { (units::count(glance.backlog)) } },
            time::ago_or_dash(glance.and_then(|glance| glance.oldest_due_at), now),
            table::mono(webhook.events.join(", ")),
        ]
    });
    table::table("Webhooks", columns, rows)
}

fn arrived(glance: &WebhookGlance) -> Markup {
    let sent = glance.succeeded_24h + glance.failed_24h;
    html! { @if sent == 0 { span.muted { "–" } } @else { (units::count(glance.succeeded_24h)) " of " (units::count(sent)) } }
}

fn latency(glance: &WebhookGlance) -> Markup {
    html! {
        @match (glance.latency_ms.p50, glance.latency_ms.p95) {
            (Some(p50), Some(p95)) => { (p50) " · " (p95) " ms" },
            _ => span.muted { "–" },
        }
    }
}
