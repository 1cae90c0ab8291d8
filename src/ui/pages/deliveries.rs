//! Deliveries: what became of each event at each webhook.

use maud::{Markup, html};

use crate::ui::components::filters::Filters;
use crate::ui::components::layout::Section;
use crate::ui::components::{card, chip, empty, table, time};
use crate::ui::links;
use crate::ui::page::{Answer, Page, rows};
use crate::ui::query::Query;
use crate::ui::session::Session;
use vocabulary::api::Page as Rows;
use vocabulary::api::delivery::Delivery;
use vocabulary::api::problem::FieldError;
use vocabulary::clock::Timestamp;
use vocabulary::delivery::DeliveryStatus;

const PATH: &str = "/ui/deliveries";

/// The filters of the page: parameters of `GET /deliveries`.
const FILTERS: &[&str] = &["status", "webhook_id", "event", "station_id", "owner_id", "since", "until"];

/// The deliveries.
pub(in crate::ui) async fn list(session: Session, query: Query) -> Answer {
    let listed = session.client.deliveries(&query.parameters(FILTERS)).await;
    let (found, errors) = rows(listed)?;
    let body = render(&query, &found, &errors, session.now);
    let page = Page::new(&session, Section::Deliveries, "Deliveries", body).live();
    Ok(if errors.is_empty() { page } else { page.invalid() })
}

fn render(query: &Query, found: &Rows<Delivery>, errors: &[FieldError], now: Timestamp) -> Markup {
    let filters = Filters::new(PATH, query, errors)
        .choice("status", "Status", &statuses())
        .text("webhook_id", "Webhook")
        .text("event", "Event")
        .text("station_id", "Station")
        .text("since", "Since");
    let list = html! {
        @if found.data.is_empty() {
            @if query.has_any(FILTERS) { (empty::nothing_fits(PATH)) }
            @else { (empty::empty("No delivery yet.", html! { "One is made for every event that a webhook wants. " a href="/ui/webhooks" { "Webhooks" } })) }
        } @else {
            (listed(&found.data, now)) (table::pager(PATH, query, found.next_cursor.as_deref()))
        }
    };
    html! {
        (filters.render())
        div.grid { (card::live_card("deliveries", card::Width::Full, "Deliveries", table::csv_link("deliveries", query), list)) }
    }
}

fn listed(rows: &[Delivery], now: Timestamp) -> Markup {
    let columns = [
        table::text("Delivery"),
        table::text("Status"),
        table::text("Event"),
        table::text("To"),
        table::number("Attempts"),
        table::minor("Last error"),
        table::text("Created"),
    ];
    let rows = rows.iter().map(|delivery| {
        [
            table::link(&links::delivery(delivery.id), &delivery.id.to_string()),
            chip::delivery(delivery.status),
            table::link(&links::event(delivery.event_id), &delivery.event),
            html! { @if let Some(id) = delivery.webhook_id { a href=(links::webhook(id)) { "webhook " (id) } } @else { (delivery.url.as_deref().unwrap_or("–")) } },
            html! { (delivery.attempts.len()) },
            html! { @if let Some(error) = &delivery.last_error { (error.message) } },
            time::ago(delivery.created_at, now),
        ]
    });
    table::table("Deliveries", columns, rows)
}

fn statuses() -> Vec<(&'static str, &'static str)> {
    DeliveryStatus::WORDS.iter().map(|word| (*word, *word)).collect()
}
