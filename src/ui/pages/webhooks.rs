//! Webhooks.

use maud::{Markup, html};

use crate::ui::components::filters::Filters;
use crate::ui::components::layout::Section;
use crate::ui::components::{card, chip, empty, table, time};
use crate::ui::links;
use crate::ui::page::{Answer, Page, rows};
use crate::ui::query::Query;
use crate::ui::session::Session;
use vocabulary::api::Page as Rows;
use vocabulary::api::problem::FieldError;
use vocabulary::api::webhook::Webhook;
use vocabulary::clock::Timestamp;

const PATH: &str = "/ui/webhooks";

/// The filters of the page: parameters of `GET /webhooks`.
const FILTERS: &[&str] = &["owner_id"];

/// The webhooks.
pub(in crate::ui) async fn list(session: Session, query: Query) -> Answer {
    let listed = session.client.webhooks(&query.parameters(FILTERS)).await;
    let (found, errors) = rows(listed)?;
    let body = render(&query, &found, &errors, session.now);
    let page = Page::new(&session, Section::Webhooks, "Webhooks", body).live();
    Ok(if errors.is_empty() { page } else { page.invalid() })
}

fn render(query: &Query, found: &Rows<Webhook>, errors: &[FieldError], now: Timestamp) -> Markup {
    let filters = Filters::new(PATH, query, errors).text("owner_id", "Owner");
    let list = html! {
        @if found.data.is_empty() {
            @if query.has_any(FILTERS) { (empty::nothing_fits(PATH)) }
            @else { (empty::empty("No webhook yet.", html! { "Events go nowhere until there is one: " (empty::shell_command("chargehook webhooks create --url https://your.server/hook")) })) }
        } @else {
            (listed(&found.data, now)) (table::pager(PATH, query, found.next_cursor.as_deref()))
        }
    };
    html! {
        (filters.render())
        div.grid { (card::live_card("webhooks", card::Width::Full, "Webhooks", table::csv_link("webhooks", query), list)) }
    }
}

fn listed(rows: &[Webhook], now: Timestamp) -> Markup {
    let columns = [
        table::text("Webhook"),
        table::text("Status"),
        table::text("URL"),
        table::minor("Events"),
        table::text("Changed"),
    ];
    let rows = rows.iter().map(|webhook| {
        [
            html! { a href=(links::webhook(webhook.id)) { (webhook.name) } },
            chip::webhook(webhook.status),
            table::mono(&webhook.url),
            table::mono(webhook.events.join(", ")),
            time::ago(webhook.updated_at, now),
        ]
    });
    table::table("Webhooks", columns, rows)
}
