//! The audit log.

use maud::{Markup, html};

use crate::ui::components::filters::Filters;
use crate::ui::components::layout::Section;
use crate::ui::components::{card, empty, table, time};
use crate::ui::page::{Answer, Page, rows};
use crate::ui::query::Query;
use crate::ui::session::Session;
use vocabulary::api::Page as Rows;
use vocabulary::api::audit::AuditEntry;
use vocabulary::api::problem::FieldError;
use vocabulary::clock::Timestamp;

const PATH: &str = "/ui/audit";

/// The filters of the page: parameters of `GET /audit`.
const FILTERS: &[&str] = &["action", "resource", "resource_id", "owner_id", "since", "until"];

/// The changes.
pub(in crate::ui) async fn list(session: Session, query: Query) -> Answer {
    let listed = session.client.audit(&query.parameters(FILTERS)).await;
    let (found, errors) = rows(listed)?;
    let body = render(&query, &found, &errors, session.now);
    let page = Page::new(&session, Section::Audit, "Audit log", body).live();
    Ok(if errors.is_empty() { page } else { page.invalid() })
}

fn render(query: &Query, found: &Rows<AuditEntry>, errors: &[FieldError], now: Timestamp) -> Markup {
    let filters = Filters::new(PATH, query, errors)
        .text("action", "Operation")
        .text("resource", "Resource")
        .text("resource_id", "Id")
        .text("since", "Since");
    let list = html! {
        @if found.data.is_empty() {
            @if query.has_any(FILTERS) || !errors.is_empty() { (empty::nothing_fits(PATH, errors)) }
            @else { (empty::empty("Nothing was changed yet.", html! { "Every change through the API or this dashboard is listed here." })) }
        } @else {
            (listed(&found.data, now)) (table::pager(PATH, query, found.next_cursor.as_deref()))
        }
    };
    html! {
        (filters.render())
        div.grid { (card::live_card("audit", card::Width::Full, "Audit log", table::csv_link("audit", query), list)) }
    }
}

fn listed(rows: &[AuditEntry], now: Timestamp) -> Markup {
    let columns = [
        table::text("When"),
        table::text("Who"),
        table::text("Operation"),
        table::text("Resource"),
        table::minor("Fields"),
        table::number("Status"),
    ];
    let rows = rows.iter().map(|entry| {
        [
            time::clock(entry.created_at, now),
            html! { @if let Some(who) = &entry.requested_by { (who.name) } },
            table::mono(&entry.action),
            html! { (entry.resource) " " span.mono { (entry.resource_id.as_deref().or(entry.result_id.as_deref()).unwrap_or_default()) } },
            html! { (entry.fields.join(", ")) },
            html! { @if let Some(status) = entry.status { (status) } },
        ]
    });
    table::table("Audit log", columns, rows)
}
