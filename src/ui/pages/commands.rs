//! Commands, and what chargers have answered.

use maud::{Markup, html};

use crate::ui::components::filters::Filters;
use crate::ui::components::layout::Section;
use crate::ui::components::{card, chip, command, empty, table, time};
use crate::ui::links;
use crate::ui::page::{Answer, Page, rows};
use crate::ui::query::Query;
use crate::ui::session::Session;
use vocabulary::api::Page as Rows;
use vocabulary::api::command::{Command, CommandStatus};
use vocabulary::api::problem::FieldError;
use vocabulary::clock::Timestamp;

const PATH: &str = "/ui/commands";

/// The filters of the page: parameters of `GET /commands`.
const FILTERS: &[&str] = &["status", "station_id", "action", "owner_id", "since", "until"];

/// The commands.
pub(in crate::ui) async fn list(session: Session, query: Query) -> Answer {
    let listed = session.client.commands(&query.parameters(FILTERS)).await;
    let (found, errors) = rows(listed)?;
    let body = render(&query, &found, &errors, session.identity.owner_id().is_none(), session.now);
    let page = Page::new(&session, Section::Commands, "Commands", body).live();
    Ok(if errors.is_empty() { page } else { page.invalid() })
}

/// `all_owners`: whether the key sees the commands to stations of several owners.
fn render(
    query: &Query,
    found: &Rows<Command>,
    errors: &[FieldError],
    all_owners: bool,
    now: Timestamp,
) -> Markup {
    let mut filters = Filters::new(PATH, query, errors)
        .choice("status", "Status", &statuses())
        .text("station_id", "Station")
        .text("action", "Action");
    if all_owners {
        filters = filters.text("owner_id", "Owner");
    }
    let filters = filters.text("since", "Since").text("until", "Until");
    let list = html! {
        @if found.data.is_empty() { (nothing(query, errors)) }
        @else { (listed(&found.data, now)) (table::pager(PATH, query, found.next_cursor.as_deref())) }
    };
    let aside =
        html! { a href={ (PATH) "/bulk" } { "Bulk commands" } " " (table::csv_link("commands", query)) };
    html! {
        (filters.render())
        div.grid { (card::live_card("commands", card::Width::Full, "Commands", aside, list)) }
    }
}

fn nothing(query: &Query, errors: &[FieldError]) -> Markup {
    if query.has_any(FILTERS) || query.get("cursor").is_some() || !errors.is_empty() {
        return empty::nothing_fits(PATH, errors);
    }
    empty::empty(
        "No command yet.",
        html! { "Send one on the page of a " a href="/ui/stations" { "station" } "." },
    )
}

fn listed(rows: &[Command], now: Timestamp) -> Markup {
    let columns = [
        table::text("Command"),
        table::text("Station"),
        table::text("Result"),
        table::text("The charger's answer"),
        table::minor("Requested by"),
        table::text("Created"),
    ];
    let rows = rows.iter().map(|one| {
        [
            table::link(&links::command(one.id), &one.action),
            table::link(&links::station(&one.station_id), &one.station_id),
            chip::command(one),
            html! {
                (command::answer(one))
                @if let Some(id) = one.transaction_id { " " (table::link(&links::session(id), "session")) }
            },
            html! { (one.requested_by.name) },
            time::ago(one.created_at, now),
        ]
    });
    table::table("Commands", columns, rows)
}

fn statuses() -> Vec<(&'static str, &'static str)> {
    CommandStatus::WORDS.iter().map(|word| (*word, *word)).collect()
}
