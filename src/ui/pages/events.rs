//! Events.

use maud::{Markup, html};

use crate::ui::components::chip::{self, Tone};
use crate::ui::components::filters::Filters;
use crate::ui::components::layout::Section;
use crate::ui::components::{card, empty, table, time};
use crate::ui::links;
use crate::ui::page::{Answer, Page, rows};
use crate::ui::query::Query;
use crate::ui::session::Session;
use vocabulary::api::Page as Rows;
use vocabulary::api::event::Event;
use vocabulary::api::problem::FieldError;
use vocabulary::clock::Timestamp;

const PATH: &str = "/ui/events";

/// The filters of the page: parameters of `GET /events`.
const FILTERS: &[&str] =
    &["q", "event", "station_id", "transaction_id", "webhook_id", "owner_id", "filter", "since", "until"];

/// The events.
pub(in crate::ui) async fn list(session: Session, query: Query) -> Answer {
    let listed = session.client.events(&query.parameters(FILTERS)).await;
    let (found, errors) = rows(listed)?;
    let body = render(&query, &found, &errors, session.now);
    let page = Page::new(&session, Section::Events, "Events", body).live();
    Ok(if errors.is_empty() { page } else { page.invalid() })
}

fn render(query: &Query, found: &Rows<Event>, errors: &[FieldError], now: Timestamp) -> Markup {
    let filters = Filters::new(PATH, query, errors)
        .search("q", "Any words of a payload")
        .text("event", "Type, such as ocpp.*")
        .text("station_id", "Station")
        .text("transaction_id", "Session")
        .text("since", "Since, such as 2h")
        .text("until", "Until");
    let list = html! {
        @if found.data.is_empty() {
            @if query.has_any(FILTERS) || !errors.is_empty() { (empty::nothing_fits(PATH, errors)) }
            @else { (empty::empty("No event yet.", html! { "Every message of a charger is one, and so is what you publish: " (empty::shell_command("chargehook events send --help")) })) }
        } @else {
            (listed(&found.data, now)) (table::pager(PATH, query, found.next_cursor.as_deref()))
        }
    };
    html! {
        (filters.render())
        div.grid { (card::live_card("events", card::Width::Full, "Events", table::csv_link("events", query), list)) }
    }
}

fn listed(rows: &[Event], now: Timestamp) -> Markup {
    let columns = [
        table::text("When"),
        table::text("Event"),
        table::text("Station"),
        table::minor("Session"),
        table::minor("Payload"),
    ];
    let rows = rows.iter().map(|event| {
        [
            time::clock(event.timestamp, now),
            html! {
                (table::link(&links::event(event.id), &event.event))
                @if event.duplicate_of.is_some() { " " (chip::chip(Tone::Off, "repeat")) }
                @if !event.violations.is_empty() { " " (chip::chip(Tone::Warn, "odd")) }
            },
            html! { @if let Some(id) = &event.station_id { (table::link(&links::station(id.as_str()), id.as_str())) } },
            html! { @if let Some(id) = event.transaction_id { (table::link(&links::session(id), &id.to_string())) } },
            html! { span.mono.muted { (start_of(event.payload.get())) } },
        ]
    });
    table::table("Events", columns, rows)
}

/// What fits a line of a payload.
fn start_of(payload: &str) -> String {
    const CHARS: usize = 120;
    let mut text: String = payload.chars().take(CHARS).collect();
    if text.len() < payload.len() {
        text.push('…');
    }
    text
}
