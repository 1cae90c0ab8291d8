//! The stations: which are there, and in what state.

use futures_util::future::join_all;
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
use vocabulary::api::station::{Connector, Station};
use vocabulary::clock::Timestamp;

const PATH: &str = "/ui/stations";

/// The filters of the page: parameters of `GET /stations`.
const FILTERS: &[&str] =
    &["q", "connected", "blocked", "boot_status", "site", "owner_id", "vendor", "model", "firmware_version"];

/// A station with its connectors.
type Row = (Station, Vec<Connector>);

/// The stations.
pub(in crate::ui) async fn list(session: Session, query: Query) -> Answer {
    let listed = session.client.stations(&query.parameters(FILTERS)).await;
    let (Rows { data, next_cursor }, errors) = rows(listed)?;
    let asked = data.iter().map(|station| session.client.connectors(&station.station_id).into_future());
    let connectors = join_all(asked).await;
    // A station that was deleted in between has none.
    let connectors = connectors.into_iter().map(|found| found.map_or(Vec::new(), |page| page.data));
    let stations = Rows { data: data.into_iter().zip(connectors).collect(), next_cursor };
    let body = render(&query, &stations, &errors, session.identity.owner_id().is_none(), session.now);
    let page = Page::new(&session, Section::Stations, "Stations", body).live();
    Ok(if errors.is_empty() { page } else { page.invalid() })
}

/// `all_owners`: whether the key sees the stations of several owners.
fn render(
    query: &Query,
    stations: &Rows<Row>,
    errors: &[FieldError],
    all_owners: bool,
    now: Timestamp,
) -> Markup {
    let mut filters = Filters::new(PATH, query, errors)
        .search("q", "Identity, name or serial")
        .choice("connected", "Connection", &[("true", "connected"), ("false", "not connected")])
        .text("site", "Site")
        .text("vendor", "Vendor")
        .text("model", "Model");
    if all_owners {
        filters = filters.text("owner_id", "Owner");
    }
    let csv = table::csv_link("stations", query);
    let list = html! {
        @if stations.data.is_empty() { (nothing(query, errors)) }
        @else { (listed(&stations.data, now)) (table::pager(PATH, query, stations.next_cursor.as_deref())) }
    };
    html! {
        (filters.render())
        div.grid { (card::live_card("stations", card::Width::Full, "Stations", csv, list)) }
    }
}

fn listed(stations: &[Row], now: Timestamp) -> Markup {
    let columns = [
        table::text("Station"),
        table::text("Connection"),
        table::text("Connectors"),
        table::minor("Site"),
        table::minor("Model · firmware"),
        table::minor("Last seen"),
    ];
    let rows = stations.iter().map(|(station, connectors)| {
        [
            html! {
                (table::link(&links::station(&station.station_id), &station.station_id))
                @if let Some(name) = &station.name { br; span.muted { (name) } }
            },
            chip::station(station),
            html! { @for one in connectors.iter().filter(|one| shows(one)) { (chip::connector(one)) " " } },
            html! { @if let Some(site) = &station.site { a href=(query_of("site", site)) { (site) } } },
            html! { span.muted { (model(station)) } },
            time::ago_or_dash(station.last_seen_at, now),
        ]
    });
    table::table("Stations", columns, rows)
}

/// Connector 0 is the station as a whole; it is worth a word only if something is the matter with it.
fn shows(connector: &Connector) -> bool {
    connector.connector_id != 0 || connector.status.as_deref().is_some_and(|status| status != "Available")
}

/// What is known of what it is: `Alfen Eve · 6.6`.
fn model(station: &Station) -> String {
    let names = [station.vendor.as_deref(), station.model.as_deref()];
    let name = names.into_iter().flatten().collect::<Vec<_>>().join(" ");
    let parts = [Some(name.as_str()).filter(|name| !name.is_empty()), station.firmware_version.as_deref()];
    parts.into_iter().flatten().collect::<Vec<_>>().join(" · ")
}

fn query_of(name: &str, value: &str) -> String {
    Query::default().link(PATH, &[(name, Some(value))])
}

fn nothing(query: &Query, errors: &[FieldError]) -> Markup {
    match query.has_any(FILTERS) || query.get("cursor").is_some() || !errors.is_empty() {
        true => empty::nothing_fits(PATH),
        false => empty::empty(
            "No charger has connected yet.",
            html! {
                "Point one to " code { "ws://HOST:9000/ocpp/ITS_IDENTITY" } ", or start a simulated one: "
                (empty::shell_command("charger-sim --url ws://127.0.0.1:9000/ocpp --id TEST_1"))
            },
        ),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A station as the API shows one, with some fields.
    fn station(fields: &serde_json::Value) -> Station {
        let mut whole = json!({
            "station_id": "DEPOT_07", "connected": true, "min_security_profile": 0, "boot_status": "accepted",
            "blocked": false, "ping": true, "password_set": false, "flags": [], "abilities": [], "metadata": {},
            "created_at": "2026-04-14T10:00:00.000Z", "updated_at": "2026-04-14T10:00:00.000Z",
            "connected_at": "2026-04-14T10:00:00.000Z",
        });
        for (name, value) in fields.as_object().expect("an object") {
            whole[name] = value.clone();
        }
        serde_json::from_value(whole).expect("a station")
    }

    #[test]
    fn a_station_is_shown_with_its_state_and_its_text_is_only_text() {
        let query = Query::parse("q=depot");
        let now = Timestamp::from_unix_ms(1_776_170_096_789);
        let nasty = station(&json!({"name": "<script>alert(1)</script>", "connected": false}));
        let rows = Rows { data: vec![(nasty, Vec::new())], next_cursor: Some("next".into()) };
        let shown = render(&query, &rows, &[], true, now).into_string();
        assert!(shown.contains("&lt;script&gt;") && !shown.contains("<script>"), "{shown}");
        assert!(shown.contains("href=\"/ui/stations/DEPOT_07\"") && shown.contains("chip off\">offline"));
        assert!(shown.contains("href=\"/ui/stations?q=depot&amp;cursor=next\""), "the filter stays");
        let nothing = Rows { data: Vec::new(), next_cursor: None };
        assert!(render(&query, &nothing, &[], true, now).into_string().contains("Nothing fits"));
        let fresh = render(&Query::default(), &nothing, &[], true, now).into_string();
        assert!(fresh.contains("charger-sim --url"), "it says what to do first");
        let wrong = [FieldError::new("q", "is too long")];
        assert!(render(&query, &nothing, &wrong, true, now).into_string().contains("is too long"));
    }
}
