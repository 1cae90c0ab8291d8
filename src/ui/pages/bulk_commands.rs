//! Bulk commands: commands to many stations, and how far they have come.

use maud::{Markup, html};

use crate::ui::components::filters::Filters;
use crate::ui::components::layout::Section;
use crate::ui::components::{card, chip, empty, table, time, units};
use crate::ui::links;
use crate::ui::page::{Answer, Page, rows};
use crate::ui::query::Query;
use crate::ui::session::Session;
use vocabulary::api::Page as Rows;
use vocabulary::api::bulk_command::{BulkCommand, BulkStatus};
use vocabulary::api::problem::FieldError;
use vocabulary::clock::Timestamp;

const PATH: &str = "/ui/commands/bulk";

/// The filters of the page: parameters of `GET /bulk-commands`.
const FILTERS: &[&str] = &["status", "action", "owner_id", "since", "until"];

/// The bulk commands.
pub(in crate::ui) async fn list(session: Session, query: Query) -> Answer {
    let listed = session.client.bulk_commands(&query.parameters(FILTERS)).await;
    let (found, errors) = rows(listed)?;
    let body = render(&query, &found, &errors, session.identity.may("command"), session.now);
    let page = Page::new(&session, Section::Commands, "Bulk commands", body).live();
    Ok(if errors.is_empty() { page } else { page.invalid() })
}

fn render(
    query: &Query,
    found: &Rows<BulkCommand>,
    errors: &[FieldError],
    may_send: bool,
    now: Timestamp,
) -> Markup {
    let statuses: Vec<(&str, &str)> = BulkStatus::WORDS.iter().map(|word| (*word, *word)).collect();
    let filters = Filters::new(PATH, query, errors)
        .choice("status", "Status", &statuses)
        .text("action", "Action")
        .text("since", "Since")
        .text("until", "Until");
    let list = html! {
        @if found.data.is_empty() { (nothing(query, errors, may_send)) }
        @else { (listed(&found.data, now)) (table::pager(PATH, query, found.next_cursor.as_deref())) }
    };
    let aside = html! {
        @if may_send { a href={ (PATH) "/new" } { "New bulk command" } " " }
        (table::csv_link("bulk-commands", query))
    };
    html! {
        (filters.render())
        div.grid { (card::live_card("bulk-commands", card::Width::Full, "Bulk commands", aside, list)) }
    }
}

fn nothing(query: &Query, errors: &[FieldError], may_send: bool) -> Markup {
    if query.has_any(FILTERS) || query.get("cursor").is_some() || !errors.is_empty() {
        return empty::nothing_fits(PATH, errors);
    }
    empty::empty(
        "No bulk command yet.",
        html! {
            "One sends the same command to many stations, at a rate. "
            @if may_send { a.button href={ (PATH) "/new" } { "Send one" } }
        },
    )
}

fn listed(rows: &[BulkCommand], now: Timestamp) -> Markup {
    let columns = [
        table::text("Command"),
        table::text("Status"),
        table::number("Ended"),
        table::number("Accepted"),
        table::number("Rejected"),
        table::number("Failed"),
        table::number("Skipped"),
        table::minor("Requested by"),
        table::text("Created"),
    ];
    let rows = rows.iter().map(|bulk| {
        let count = |number: u64| html! { (units::count(number)) };
        [
            table::link(&links::bulk_command(bulk.id), &bulk.action),
            chip::bulk_command(bulk),
            html! { (units::count(bulk.ended())) " of " (units::count(bulk.matched)) },
            count(bulk.accepted),
            count(bulk.rejected),
            count(bulk.failed),
            count(bulk.skipped),
            html! { (bulk.requested_by.name) },
            time::ago(bulk.created_at, now),
        ]
    });
    table::table("Bulk commands", columns, rows)
}
