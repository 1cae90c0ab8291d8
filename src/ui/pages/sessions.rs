//! Charging sessions.

use maud::{Markup, html};

use crate::ui::components::filters::Filters;
use crate::ui::components::layout::Section;
use crate::ui::components::{card, chip, empty, table, time, units};
use crate::ui::links;
use crate::ui::page::{Answer, Page, rows};
use crate::ui::query::Query;
use crate::ui::session::Session;
use vocabulary::api::Page as Rows;
use vocabulary::api::problem::FieldError;
use vocabulary::api::transaction::Transaction;
use vocabulary::clock::Timestamp;

const PATH: &str = "/ui/sessions";

/// The filters of the page: parameters of `GET /transactions`.
const FILTERS: &[&str] = &["status", "station_id", "owner_id", "id_tag", "since", "until"];

/// The sessions.
pub(in crate::ui) async fn list(session: Session, query: Query) -> Answer {
    let listed = session.client.transactions(&query.parameters(FILTERS)).await;
    let (found, errors) = rows(listed)?;
    let body = render(&query, &found, &errors, session.now);
    let page = Page::new(&session, Section::Sessions, "Sessions", body).live();
    Ok(if errors.is_empty() { page } else { page.invalid() })
}

fn render(query: &Query, found: &Rows<Transaction>, errors: &[FieldError], now: Timestamp) -> Markup {
    let filters = Filters::new(PATH, query, errors)
        .choice("status", "Status", &[("active", "active"), ("completed", "completed")])
        .text("station_id", "Station")
        .text("id_tag", "Id tag")
        .text("since", "Since");
    let list = html! {
        @if found.data.is_empty() {
            @if query.has_any(FILTERS) { (empty::nothing_fits(PATH)) }
            @else { (empty::empty("No session yet.", html! { "A session begins when a charger sends StartTransaction." })) }
        } @else {
            (listed(&found.data, now)) (table::pager(PATH, query, found.next_cursor.as_deref()))
        }
    };
    html! {
        (filters.render())
        div.grid { (card::live_card("sessions", card::Width::Full, "Sessions", table::csv_link("transactions", query), list)) }
    }
}

fn listed(rows: &[Transaction], now: Timestamp) -> Markup {
    let columns = [
        table::text("Session"),
        table::text("Station"),
        table::text("Status"),
        table::number("Energy"),
        table::minor("Quality"),
        table::minor("Id tag"),
        table::text("Started"),
    ];
    let rows = rows.iter().map(|session| {
        [
            table::link(&links::session(session.transaction_id), &session.transaction_id.to_string()),
            html! { (table::link(&links::station(&session.station_id), &session.station_id)) @if let Some(connector) = session.connector_id { span.muted { " · " (connector) } } },
            chip::session(session.status, session.orphaned),
            html! { @match session.energy_wh { Some(wh) => { (units::energy(wh)) }, None => span.muted { "–" } } },
            chip::energy_quality(session.energy_quality),
            html! { @if let Some(tag) = &session.id_tag { (table::link(&links::tag(tag), tag)) } },
            time::ago_or_dash(session.started_at, now),
        ]
    });
    table::table("Sessions", columns, rows)
}
