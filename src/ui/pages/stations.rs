//! The stations: which are there, and in what state.

use futures_util::future::join_all;
use maud::{Markup, html};

use crate::ui::components::filters::Filters;
use crate::ui::components::layout::Section;
use crate::ui::components::{card, chip, empty, table, time};
use crate::ui::links;
use crate::ui::page::{Answer, Page, optional, rows};
use crate::ui::query::Query;
use crate::ui::session::Session;
use vocabulary::api::Page as Rows;
use vocabulary::api::problem::FieldError;
use vocabulary::api::station::{Connector, Station};
use vocabulary::clock::Timestamp;

const PATH: &str = "/ui/stations";

/// The filters of the page: parameters of `GET /stations`.
const FILTERS: &[&str] = &[
    "q",
    "connected",
    "online",
    "never_connected",
    "blocked",
    "boot_status",
    "site",
    "owner_id",
    "vendor",
    "model",
    "firmware_version",
    "sort",
];

/// The page's own: one word for what the API has two parameters for.
const STATE: &str = "state";

/// The page's own: stations by name, given several times.
const ID: &str = "id";

/// Stations that are named one by one.
const IDS_MAX: usize = 20;

/// What the API calls those that are in this state.
fn in_state(state: &str) -> Option<[(&'static str, Option<&'static str>); 2]> {
    match state {
        "online" => Some([("online", Some("true")), ("never_connected", None)]),
        "offline" => Some([("online", Some("false")), ("never_connected", Some("false"))]),
        "never" => Some([("online", None), ("never_connected", Some("true"))]),
        _ => None,
    }
}

/// The page's query in the words of the API. A state that there is not stays, for the API to refuse.
fn asked(query: &Query) -> Query {
    match query.get(STATE).and_then(in_state) {
        Some(changes) => query.with(&changes).with(&[(STATE, None)]),
        None => query.clone(),
    }
}

/// A station with its connectors.
type Row = (Station, Vec<Connector>);

/// The stations.
pub(in crate::ui) async fn list(session: Session, query: Query) -> Answer {
    let named = query.every(ID);
    let (Rows { data, next_cursor }, errors) = match named.is_empty() {
        true => {
            let parameters = [FILTERS, &[STATE]].concat();
            rows(session.client.stations(&asked(&query).parameters(&parameters)).await)?
        }
        false => {
            let named = named.into_iter().take(IDS_MAX);
            let found = join_all(named.map(|id| session.client.station(id).into_future())).await;
            let found = found.into_iter().filter_map(|station| optional(station).transpose());
            (Rows { data: found.collect::<Result<_, _>>()?, next_cursor: None }, Vec::new())
        }
    };
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
        .choice(
            STATE,
            "Connection",
            &[("online", "online"), ("offline", "offline"), ("never", "never connected")],
        )
        .text("site", "Site")
        .text("vendor", "Vendor")
        .text("model", "Model");
    if all_owners {
        filters = filters.text("owner_id", "Owner");
    }
    let filters = filters.choice_or(
        "sort",
        "Sorted by",
        "when it became known",
        &[("offline_since", "offline since"), ("last_seen_at", "last seen")],
    );
    let is_named = query.get(ID).is_some();
    let aside = html! {
        @if is_named { a href=(PATH) { "Show all" } } @else { (table::csv_link("stations", &asked(query))) }
    };
    let list = html! {
        @if stations.data.is_empty() { (nothing(query, errors)) }
        @else {
            (listed(&stations.data, now))
            @if !is_named { (table::pager(PATH, query, stations.next_cursor.as_deref())) }
        }
    };
    html! {
        (filters.render())
        div.grid { (card::live_card("stations", card::Width::Full, "Stations", aside, list)) }
    }
}

fn listed(stations: &[Row], now: Timestamp) -> Markup {
    let columns = [
        table::text("Station"),
        table::text("Connection"),
        table::text("Offline since"),
        table::text("Last seen"),
        table::text("Connectors"),
        table::minor("Site"),
        table::minor("Model · firmware"),
    ];
    let rows = stations.iter().map(|(station, connectors)| {
        [
            html! {
                (table::link(&links::station(&station.station_id), &station.station_id))
                @if let Some(name) = &station.name { br; span.muted { (name) } }
            },
            chip::station(station),
            offline(station, now),
            time::ago_or_dash(station.last_seen_at, now),
            chips(station, connectors),
            html! { @if let Some(site) = &station.site { a href=(query_of("site", site)) { (site) } } },
            html! { span.muted { (model(station)) } },
        ]
    });
    table::table("Stations", columns, rows)
}

/// Since when it is offline, and why.
fn offline(station: &Station, now: Timestamp) -> Markup {
    let reason = station.disconnect_reason.as_deref().filter(|_| !station.connected);
    html! {
        (time::ago_or_dash(station.offline_since, now))
        @if let (Some(_), Some(reason)) = (station.offline_since, reason) {
            br; span.muted { (reason.replace('_', " ")) }
        }
    }
}

fn chips(station: &Station, connectors: &[Connector]) -> Markup {
    let online = station.connected && station.offline_since.is_none();
    let shown: Vec<_> = connectors.iter().filter(|one| shows(one)).collect();
    html! {
        @for one in &shown { (chip::connector(one, online)) " " }
        @if !online && !shown.is_empty() { span.muted { "last known" } }
    }
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
    match query.has_any(FILTERS)
        || query.has_any(&[STATE, ID])
        || query.get("cursor").is_some()
        || !errors.is_empty()
    {
        true => empty::nothing_fits(PATH, errors),
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
        let nasty = station(&json!({"name": "<script>alert(1)</script>", "connected": false,
            "offline_since": "2026-04-14T11:00:00.000Z", "disconnect_reason": "connection_lost"}));
        let connector = json!({"station_id": "DEPOT_07", "connected": false, "connector_id": 1,
            "status": "Available", "since": "2026-04-14T10:00:00.000Z",
            "updated_at": "2026-04-14T10:00:00.000Z"});
        let connector = serde_json::from_value(connector).expect("a connector");
        let rows = Rows { data: vec![(nasty, vec![connector])], next_cursor: Some("next".into()) };
        let shown = render(&query, &rows, &[], true, now).into_string();
        assert!(shown.contains("&lt;script&gt;") && !shown.contains("<script>"), "{shown}");
        assert!(shown.contains("href=\"/ui/stations/DEPOT_07\"") && shown.contains("chip off\">offline"));
        assert!(!shown.contains("chip ok"), "what an offline one told last is not shown as so: {shown}");
        for told in ["connection lost", "chip off\">1 Available", "last known"] {
            assert!(shown.contains(told), "{told}: {shown}");
        }
        assert!(shown.contains("href=\"/ui/stations?q=depot&amp;cursor=next\""), "the filter stays");
        let nothing = Rows { data: Vec::new(), next_cursor: None };
        assert!(render(&query, &nothing, &[], true, now).into_string().contains("Nothing fits"));
        let fresh = render(&Query::default(), &nothing, &[], true, now).into_string();
        assert!(fresh.contains("charger-sim --url"), "it says what to do first");
        let wrong = [FieldError::new("q", "is too long")];
        assert!(render(&query, &nothing, &wrong, true, now).into_string().contains("is too long"));
    }
}
