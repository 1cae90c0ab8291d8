//! Id tags.

use maud::{Markup, html};

use crate::ui::components::filters::Filters;
use crate::ui::components::layout::Section;
use crate::ui::components::{card, empty, table, time};
use crate::ui::page::{Answer, Page, rows};
use crate::ui::query::Query;
use crate::ui::session::Session;
use vocabulary::api::Page as Rows;
use vocabulary::api::id_tag::IdTag;
use vocabulary::api::problem::FieldError;
use vocabulary::clock::Timestamp;

const PATH: &str = "/ui/tags";

/// The filters of the page: parameters of `GET /id-tags`.
const FILTERS: &[&str] = &["q", "owner_id", "status"];

/// The id tags.
pub(in crate::ui) async fn list(session: Session, query: Query) -> Answer {
    let listed = session.client.id_tags(&query.parameters(FILTERS)).await;
    let (found, errors) = rows(listed)?;
    let body = render(&query, &found, &errors, session.now);
    let page = Page::new(&session, Section::Tags, "Id tags", body).live();
    Ok(if errors.is_empty() { page } else { page.invalid() })
}

fn render(query: &Query, found: &Rows<IdTag>, errors: &[FieldError], now: Timestamp) -> Markup {
    let filters = Filters::new(PATH, query, errors).search("q", "Tag or note").text("owner_id", "Owner");
    let list = html! {
        @if found.data.is_empty() {
            @if query.has_any(FILTERS) { (empty::nothing_fits(PATH)) }
            @else { (empty::empty("No id tag is registered.", html! { "Register one: " (empty::shell_command("chargehook id-tags put TAG --status accepted")) })) }
        } @else {
            (listed(&found.data, now)) (table::pager(PATH, query, found.next_cursor.as_deref()))
        }
    };
    html! {
        (filters.render())
        div.grid { (card::live_card("tags", card::Width::Full, "Id tags", table::csv_link("id-tags", query), list)) }
    }
}

fn listed(rows: &[IdTag], now: Timestamp) -> Markup {
    let columns = [
        table::text("Id tag"),
        table::text("Status"),
        table::number("Active sessions"),
        table::minor("Owner"),
        table::minor("Note"),
        table::text("Changed"),
    ];
    let rows = rows.iter().map(|tag| {
        [
            table::mono(&tag.id_tag),
            html! { (tag.status.as_str()) },
            html! { (tag.active_transactions) },
            html! { @if let Some(owner) = &tag.owner_id { (owner) } },
            html! { @if let Some(note) = &tag.note { (note) } },
            time::ago(tag.updated_at, now),
        ]
    });
    table::table("Id tags", columns, rows)
}
