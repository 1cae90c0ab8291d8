//! Commands, and what chargers have answered.

use maud::{Markup, html};

use crate::ui::components::filters::Filters;
use crate::ui::components::layout::Section;
use crate::ui::components::{card, chip, empty, table, time};
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
    let body = render(&query, &found, &errors, session.now);
    let page = Page::new(&session, Section::Commands, "Commands", body).live();
    Ok(if errors.is_empty() { page } else { page.invalid() })
}

fn render(query: &Query, found: &Rows<Command>, errors: &[FieldError], now: Timestamp) -> Markup {
    let filters = Filters::new(PATH, query, errors)
        .choice("status", "Status", &statuses())
        .text("station_id", "Station")
        .text("action", "Action");
    let list = html! {
        @if found.data.is_empty() {
            @if query.has_any(FILTERS) { (empty::nothing_fits(PATH)) }
            @else { (empty::empty("No command yet.", html! { "A station's page sends some." })) }
        } @else {
            (listed(&found.data, now)) (table::pager(PATH, query, found.next_cursor.as_deref()))
        }
    };
    html! {
        (filters.render())
        div.grid { (card::live_card("commands", card::Width::Full, "Commands", table::csv_link("commands", query), list)) }
    }
}

fn listed(rows: &[Command], now: Timestamp) -> Markup {
    let columns = [
        table::text("Command"),
        table::text("Station"),
        table::text("Result"),
        table::minor("Requested by"),
        table::text("Created"),
    ];
    let rows = rows.iter().map(|command| {
        [
            table::link(&links::command(command.id), &command.action),
            table::link(&links::station(&command.station_id), &command.station_id),
            chip::command(command),
            html! { (command.requested_by.name) },
            time::ago(command.created_at, now),
        ]
    });
    table::table("Commands", columns, rows)
}

fn statuses() -> Vec<(&'static str, &'static str)> {
    CommandStatus::WORDS.iter().map(|word| (*word, *word)).collect()
}
