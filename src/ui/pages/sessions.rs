//! Charging sessions.

use std::time::Duration;

use maud::{Markup, html};

use crate::ui::charging::energy;
use crate::ui::components::filters::Filters;
use crate::ui::components::layout::Section;
use crate::ui::components::{card, chip, empty, table, time, units};
use crate::ui::links;
use crate::ui::page::{Answer, Page, rows};
use crate::ui::query::Query;
use crate::ui::session::Session;
use vocabulary::api::Page as Rows;
use vocabulary::api::problem::FieldError;
use vocabulary::api::transaction::{EnergyQuality, Status, Transaction};
use vocabulary::clock::Timestamp;

const PATH: &str = "/ui/sessions";

/// The filters of the page: parameters of `GET /transactions`.
const FILTERS: &[&str] = &[
    "status",
    "station_id",
    "connector_id",
    "owner_id",
    "id_tag",
    "inferred",
    "orphaned",
    "energy_quality",
    "min_energy_wh",
    "min_duration",
    "site",
    "since",
    "until",
    "started_since",
    "started_until",
];

/// The sessions.
pub(in crate::ui) async fn list(session: Session, query: Query) -> Answer {
    let listed = session.client.transactions(&query.parameters(FILTERS)).await;
    let (found, errors) = rows(listed)?;
    let body = render(&query, &found, &errors, session.identity.owner_id().is_none(), session.now);
    let page = Page::new(&session, Section::Sessions, "Sessions", body).live();
    Ok(if errors.is_empty() { page } else { page.invalid() })
}

/// `all_owners`: whether the key sees the sessions of several owners.
fn render(
    query: &Query,
    found: &Rows<Transaction>,
    errors: &[FieldError],
    all_owners: bool,
    now: Timestamp,
) -> Markup {
    let mut filters = Filters::new(PATH, query, errors)
        .choice("status", "State", &[("active", "active"), ("completed", "completed")])
        .text("station_id", "Station")
        .text("id_tag", "Id tag");
    if all_owners {
        filters = filters.text("owner_id", "Owner");
    }
    let qualities: Vec<_> = EnergyQuality::WORDS.iter().map(|word| (*word, *word)).collect();
    let filters = filters
        .text("site", "Site")
        .choice("energy_quality", "Quality of the energy", &qualities)
        .text("min_energy_wh", "Energy at least, in Wh")
        .text("min_duration", "Lasted at least, such as 2h")
        .choice("orphaned", "Orphaned", &[("true", "orphaned"), ("false", "not orphaned")])
        .choice("inferred", "Its stop", &[("true", "inferred"), ("false", "told by the charger")])
        .text("started_since", "Started since")
        .text("started_until", "Started until");
    let list = html! {
        @if found.data.is_empty() { (nothing(query, errors)) }
        @else { (listed(&found.data, now)) (table::pager(PATH, query, found.next_cursor.as_deref())) }
    };
    let csv = table::csv_link("transactions", query);
    html! {
        (filters.render())
        div.grid { (card::live_card("sessions", card::Width::Full, "Sessions", csv, list)) }
    }
}

fn nothing(query: &Query, errors: &[FieldError]) -> Markup {
    if query.has_any(FILTERS) || query.get("cursor").is_some() || !errors.is_empty() {
        return empty::nothing_fits(PATH, errors);
    }
    empty::empty(
        "No session yet.",
        html! {
            "One begins when a charger sends StartTransaction. Start a charge on the page of a "
            a href="/ui/stations" { "station" } "."
        },
    )
}

fn listed(rows: &[Transaction], now: Timestamp) -> Markup {
    let columns = [
        table::text("Session"),
        table::text("Station · connector"),
        table::text("State"),
        table::minor("Id tag"),
        table::minor("Started"),
        table::minor_number("Duration"),
        table::number("Energy"),
        table::text("Quality"),
        table::number("Power now"),
        table::minor_number("SoC"),
    ];
    let rows = rows.iter().map(|session| {
        [
            table::link(&links::session(session.transaction_id), &session.transaction_id.to_string()),
            html! {
                (table::link(&links::station(&session.station_id), &session.station_id))
                @if let Some(connector) = session.connector_id { span.muted { " · " (connector) } }
            },
            chip::session(session.status, session.orphaned),
            tag(session),
            time::ago_or_dash(session.started_at, now),
            or_dash(session.duration_s.map(|s| time::span(Duration::from_secs(s.unsigned_abs())))),
            energy::energy(session),
            html! { @if session.status == Status::Completed { (chip::energy_quality(session.energy_quality)) } },
            or_dash(session.power_w.map(|watts| units::power(watts as f64))),
            or_dash(session.soc_percent.map(|percent| format!("{percent} %"))),
        ]
    });
    table::table("Sessions", columns, rows)
}

fn or_dash(text: Option<String>) -> Markup {
    html! { @match text { Some(text) => (text), None => span.muted { "–" } } }
}

/// The card that began it, and whether it was refused.
fn tag(session: &Transaction) -> Markup {
    html! {
        @match &session.id_tag {
            Some(tag) => (table::link(&links::tag(tag), tag)),
            None => span.muted { "–" },
        }
        " " (chip::refused_tag(session))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::ui::charging::sample;

    #[test]
    fn a_session_is_shown_with_what_it_does_now_or_came_to() {
        let now = "2026-04-14T12:00:00Z".parse().expect("a time");
        let active =
            sample::session(&json!({"power_w": 11_040, "soc_percent": 62, "energy_so_far_wh": 2_500}));
        let completed = sample::session(&json!({"status": "completed", "energy_estimated_wh": 8_000,
            "energy_quality": "estimated", "duration_s": 4_320, "id_tag_status": "Blocked", "id_tag_reason": "other_owner"}));
        let rows = Rows { data: vec![active, completed], next_cursor: None };
        let shown = render(&Query::default(), &rows, &[], true, now).into_string();
        for text in [
            "11.0 kW",
            "62 %",
            "2.50 kWh",
            "≈ 8.00 kWh",
            "chip warn\">estimated",
            "1 h 12 min",
            "chip warn\">of another owner",
            "name=\"owner_id\"",
            "href=\"/ui/csv/transactions\"",
        ] {
            assert!(shown.contains(text), "{text}: {shown}");
        }
        assert_eq!(shown.matches("estimated</span>").count(), 1, "the quality of an active one is not known");
    }

    #[test]
    fn an_empty_list_says_what_to_do() {
        let now = "2026-04-14T12:00:00Z".parse().expect("a time");
        let none = Rows { data: Vec::new(), next_cursor: None };
        let fresh = render(&Query::default(), &none, &[], false, now).into_string();
        assert!(fresh.contains("No session yet") && !fresh.contains("owner_id"));
        let narrowed = render(&Query::parse("id_tag=X"), &none, &[], false, now).into_string();
        assert!(narrowed.contains("Nothing fits"));
    }
}
