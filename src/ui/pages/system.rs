//! The gateway itself: whether it can serve, what it runs on, and how far back it remembers.

use std::time::Duration;

use maud::{Markup, html};

use crate::ui::components::layout::Section;
use crate::ui::components::{action, card, chip, definitions, table, time, units};
use crate::ui::page::{Answer, Page, rows};
use crate::ui::query::Query;
use crate::ui::session::Session;
use vocabulary::api::access::Health;
use vocabulary::api::node::Node;
use vocabulary::api::overview::Overview;
use vocabulary::clock::Timestamp;

/// What the page shows.
struct View {
    health: Health,
    overview: Overview,
    /// When the oldest event on record arrived.
    oldest_event_at: Option<Timestamp>,
    /// The gateways that work on the store; `None` if they are not for this key.
    nodes: Option<Vec<Node>>,
}

/// Whether it can serve, and what it runs on.
pub(in crate::ui) async fn show(session: Session) -> Answer {
    let nodes = async {
        match session.identity.owner_id() {
            None => session.client.nodes().await.map(|page| Some(page.data)),
            Some(_) => Ok(None),
        }
    };
    let (health, overview, oldest, nodes) = tokio::join!(
        session.client.ready(),
        session.client.overview(&[]).into_future(),
        session.client.events(&[("order", "asc"), ("limit", "1")]).into_future(),
        nodes,
    );
    let (oldest, _) = rows(oldest)?;
    let oldest_event_at = oldest.data.first().map(|event| event.timestamp);
    let view = View { health: health?, overview: overview?, oldest_event_at, nodes: nodes? };
    Ok(Page::new(&session, Section::System, "System", render(&view, session.now)).live())
}

fn render(view: &View, now: Timestamp) -> Markup {
    use card::Width::{Full, Half};
    let View { health, overview, .. } = view;
    let tone = match (health.status.as_str(), health.reasons.is_empty()) {
        ("ok", true) => chip::Tone::Ok,
        ("ok", false) => chip::Tone::Warn,
        _ => chip::Tone::Bad,
    };
    let gateway = html! {
        (definitions::definitions(&[
            ("Version", html! { (health.version) }),
            ("Running for", html! { (time::span(Duration::from_secs(overview.uptime_s))) }),
        ]))
        @for reason in &health.reasons { div.why.warn { p { (reason) } } }
    };
    html! {
        div.grid {
            (card::live_card("gateway", Half, "Gateway", chip::chip(tone, &health.status), gateway))
            (card::live_card("storage", Half, "Storage", html! {}, storage(view, now)))
            @if let Some(nodes) = &view.nodes {
                (card::live_card("nodes", Full, "Nodes", table::csv_link("nodes", &Query::default()), listed(nodes, now)))
            }
            (card::card(Half, "For machines", html! {}, html! {
                ul {
                    li { a href="/docs" { "The API, to read and to try" } }
                    li { a href="/openapi.json" { "Its OpenAPI document" } }
                    li { code { "/metrics" } ", for Prometheus" }
                }
            }))
            (card::card(Half, "From the command line", html! {}, html! {
                ul {
                    li { code { "chargehook status" } " " (action::copy("chargehook status", "Copy")) }
                    li { code { "chargehook backup FILE" } " while it runs" }
                }
            }))
        }
    }
}

fn listed(nodes: &[Node], now: Timestamp) -> Markup {
    let columns = [
        table::text("Name"),
        table::text("Status"),
        table::number("Stations"),
        table::number("Lanes"),
        table::text("Last seen"),
        table::minor("Since"),
        table::minor("OCPP"),
        table::minor("API"),
        table::minor("Version"),
        table::minor_number("Epoch"),
    ];
    let rows = nodes.iter().map(|node| {
        [
            html! { (node.name) },
            chip::node(node.status),
            html! { (units::count(node.stations_connected)) },
            html! { (units::count(node.lanes)) },
            time::ago(node.last_seen_at, now),
            time::ago(node.started_at, now),
            definitions::or_dash(node.ocpp_addr.as_deref()),
            definitions::or_dash(node.api_addr.as_deref()),
            html! { (node.version) },
            html! { (node.epoch) },
        ]
    });
    table::table("Nodes", columns, rows)
}

fn storage(view: &View, now: Timestamp) -> Markup {
    let storage = &view.overview.storage;
    let free = storage.free_bytes.or(view.health.free_bytes);
    let told = |bytes: Option<u64>| bytes.map_or_else(|| "not told".to_owned(), units::bytes);
    definitions::definitions(&[
        ("In the database", html! { (told(storage.used_bytes)) }),
        ("Free on the disk", html! { (told(free)) }),
        ("Oldest event on record", time::ago_or_dash(view.oldest_event_at, now)),
        ("Dead letters", html! { (units::count(view.overview.deliveries.dead_letters)) }),
    ])
}
