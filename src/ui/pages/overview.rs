//! The overview: what a person should see first.

use maud::{Markup, html};

use crate::ui::components::layout::Section;
use crate::ui::components::{card, chip, empty, table, time};
use crate::ui::links;
use crate::ui::page::{Answer, Page};
use crate::ui::session::Session;
use vocabulary::api::station::Station;
use vocabulary::api::transaction::Transaction;
use vocabulary::clock::Timestamp;

/// What is charging now, and which stations are away.
pub(in crate::ui) async fn show(session: Session) -> Answer {
    let (active, away) = tokio::join!(
        session.client.transactions(&[("status", "active"), ("limit", "10")]).into_future(),
        session.client.stations(&[("connected", "false"), ("limit", "10")]).into_future(),
    );
    let body = render(&active?.data, &away?.data, session.now);
    Ok(Page::new(&session, Section::Overview, "Overview", body).live())
}

fn render(active: &[Transaction], away: &[Station], now: Timestamp) -> Markup {
    html! {
        div.grid {
            (card::live_card("active", card::Width::Half, "Charging now", all("/ui/sessions?status=active"), charging(active, now)))
            (card::live_card("away", card::Width::Half, "Not connected", all("/ui/stations?connected=false"), not_connected(away, now)))
        }
    }
}

fn all(path: &str) -> Markup {
    html! { a href=(path) { "all" } }
}

fn charging(active: &[Transaction], now: Timestamp) -> Markup {
    if active.is_empty() {
        return empty::empty("Nothing is charging.", html! {});
    }
    let rows = active.iter().map(|session| {
        [
            table::link(&links::session(session.transaction_id), &session.transaction_id.to_string()),
            table::link(&links::station(&session.station_id), &session.station_id),
            time::ago_or_dash(session.started_at, now),
        ]
    });
    table::table(
        "Charging now",
        [table::text("Session"), table::text("Station"), table::text("Started")],
        rows,
    )
}

fn not_connected(away: &[Station], now: Timestamp) -> Markup {
    if away.is_empty() {
        return empty::empty("Every station is connected.", html! {});
    }
    let rows = away.iter().map(|station| {
        [
            table::link(&links::station(&station.station_id), &station.station_id),
            chip::station(station),
            time::ago_or_dash(station.last_seen_at, now),
        ]
    });
    table::table(
        "Not connected",
        [table::text("Station"), table::text("State"), table::text("Last seen")],
        rows,
    )
}
