//! The overview: three figures, and what a person should see to, the most urgent first.

use std::collections::BTreeSet;
use std::time::Duration;

use maud::{Markup, html};

use crate::ui::components::bar::{Part, bar};
use crate::ui::components::chip::Tone;
use crate::ui::components::curve::{self, Curve, Line};
use crate::ui::components::layout::Section;
use crate::ui::components::{card, chip, empty, table, time, units};
use crate::ui::links;
use crate::ui::page::{Answer, Page};
use crate::ui::session::Session;
use vocabulary::api::overview::{Attention, Kind, Overview, Severity, SubjectKind};
use vocabulary::api::transaction::Transaction;
use vocabulary::clock::Timestamp;

/// How many sessions the page lists.
const SESSIONS: &str = "8";

/// The overview.
pub(in crate::ui) async fn show(session: Session) -> Answer {
    let (overview, active) = tokio::join!(
        session.client.overview(&[]).into_future(),
        session
            .client
            .transactions(&[("status", "active"), ("orphaned", "false"), ("limit", SESSIONS)])
            .into_future(),
    );
    let body = render(&overview?, &active?.data, session.now);
    Ok(Page::new(&session, Section::Overview, "Overview", body).live())
}

fn render(overview: &Overview, active: &[Transaction], now: Timestamp) -> Markup {
    use card::Width::{Full, Third};
    html! {
        div.grid.stretch {
            (card::live_card("stations", Third, "Stations", link("/ui/stations", "all"), stations(overview)))
            (card::live_card("charging", Third, "Charging now", link("/ui/sessions?status=active", "sessions"), charging(overview)))
            (card::live_card("deliveries", Third, "Deliveries", link("/ui/deliveries", "last 24 h"), deliveries(overview)))
            (card::live_card("attention", Full, "Needs you", html! {}, needs_you(overview, now)))
            @if !active.is_empty() {
                (card::live_card("active", Full, "Newest sessions", link("/ui/sessions?status=active", "all"), sessions(active, now)))
            }
        }
    }
}

fn link(path: &str, words: &str) -> Markup {
    html! { a href=(path) { (words) } }
}

fn stations(overview: &Overview) -> Markup {
    let counts = &overview.stations;
    if counts.total == 0 {
        return empty::empty(
            "No charger has connected yet.",
            html! { "Start a simulated one: " (empty::shell_command("charger-sim --url ws://127.0.0.1:9000/ocpp --id TEST_1")) },
        );
    }
    let faulted = overview.connectors.get("Faulted").copied().unwrap_or_default();
    let parts = [
        Part {
            tone: Tone::Ok,
            label: "connected",
            count: counts.connected,
            path: Some("/ui/stations?connected=true"),
        },
        Part {
            tone: Tone::Bad,
            label: "offline",
            count: counts.offline,
            path: Some("/ui/stations?state=offline"),
        },
        Part {
            tone: Tone::Off,
            label: "never came",
            count: counts.never_connected,
            path: Some("/ui/stations?state=never"),
        },
    ];
    html! {
        (card::big(units::count(counts.connected), format_args!("of {} connected", units::count(counts.total))))
        (bar(&parts))
        ul.legend {
            @for (status, count) in &overview.connectors { li { b { (units::count(*count)) } " " (status) } }
            @if faulted == 0 && !overview.connectors.is_empty() { li { "no connector is faulted" } }
            @if counts.pending > 0 { li { b { (counts.pending) } " pending" } }
            @if counts.blocked > 0 { li { b { (counts.blocked) } " blocked" } }
        }
    }
}

fn charging(overview: &Overview) -> Markup {
    let sessions = &overview.sessions;
    let points: Vec<(Timestamp, f64)> =
        sessions.power_last_hour.iter().map(|point| (point.at, point.power_w as f64)).collect();
    html! {
        (card::big(units::power(sessions.power_w as f64), units::plural(sessions.active, "session", "sessions")))
        @if let (Some((begin, _)), Some((end, _))) = (points.first(), points.last()) {
            @if points.len() > 1 {
                (curve::spark("Power over the last hour", *begin, *end, &Curve { name: "power", line: Line::Main, points: &points, top: None, write: units::power }))
            }
        }
        ul.legend { li { "today " b { (units::energy(sessions.energy_today_wh)) } " metered" } }
    }
}

fn deliveries(overview: &Overview) -> Markup {
    let counts = &overview.deliveries;
    let (arrived, failed) = (counts.succeeded_24h, counts.failed_24h);
    let parts = [
        Part { tone: Tone::Ok, label: "arrived", count: arrived, path: None },
        Part { tone: Tone::Info, label: "waiting", count: counts.waiting + counts.in_flight, path: None },
        Part { tone: Tone::Bad, label: "failed", count: failed, path: None },
    ];
    let oldest = counts.oldest_waiting_s.map(|age| time::span(Duration::from_secs(age)));
    let words = match &oldest {
        Some(age) => format!("% arrived · oldest waiting {age}"),
        None => "% arrived · nothing waits".to_owned(),
    };
    html! {
        @if overview.webhooks.total == 0 {
            (empty::empty("No webhook yet.", html! { "Events go nowhere until there is one. " a.button href="/ui/webhooks/new" { "Create one" } }))
        } @else {
            @match arrived + failed {
                0 => (card::big("–", "nothing was sent in 24 h")),
                all => (card::big(share(arrived, all), words)),
            }
            (bar(&parts))
            ul.legend { @if counts.dead_letters > 0 { li { a href="/ui/deliveries?status=failed" { b { (units::count(counts.dead_letters)) } " dead letters" } } } }
        }
    }
}

/// A share in percent, cut off: 100 is said only of everything.
fn share(part: u64, whole: u64) -> String {
    let hundredths = part.saturating_mul(10_000) / whole.max(1);
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}

fn needs_you(overview: &Overview, now: Timestamp) -> Markup {
    html! {
        @if overview.attention.is_empty() { p { (chip::chip(Tone::Ok, "all is well")) " Nothing needs you now." } }
        ul.todo {
            @for item in &overview.attention {
                @let (path, word) = button(item);
                li {
                    (chip::chip(tone(item.severity), word_of(item.kind)))
                    div {
                        p { (item.text) @if let Some(since) = item.since { span.muted { " · " (time::ago(since, now)) } } }
                        p.muted { (item.cause) }
                    }
                    a.button href=(path) aria-label={ (word) ": " (item.text) } { (word) }
                }
            }
        }
    }
}

fn tone(severity: Severity) -> Tone {
    match severity {
        Severity::Bad => Tone::Bad,
        Severity::Warn => Tone::Warn,
        Severity::Info => Tone::Info,
    }
}

/// One word for a chip.
fn word_of(kind: Kind) -> &'static str {
    match kind {
        Kind::StorageFailing | Kind::DiskNearlyFull | Kind::DatabaseNearlyFull => "storage",
        Kind::CertificateExpires => "certificate",
        Kind::StationsOffline | Kind::StationOffline => "offline",
        Kind::WebhookFailing
        | Kind::WebhookDisabled
        | Kind::WebhookUnreadable
        | Kind::WebhookPaused
        | Kind::DeadLetters => "webhook",
        Kind::ConnectorFaulted => "faulted",
        Kind::RefusedHandshakes => "refused",
        Kind::StationFlapping | Kind::BootLoop | Kind::StationUnresponsive | Kind::ClockWrong => "station",
        Kind::BootPending | Kind::BootRejected => "boot",
        Kind::EnergyImplausible | Kind::EnergyMissing => "bill",
        Kind::SessionOrphaned | Kind::SessionLong => "session",
        Kind::GatewayStarted => "started",
    }
}

/// Where an item leads, and what its button says.
fn button(item: &Attention) -> (String, &'static str) {
    let subject = (item.subject.kind, item.subject.id.as_deref());
    match (item.kind, subject) {
        (Kind::WebhookFailing | Kind::DeadLetters, (SubjectKind::Webhook, Some(id))) => {
            (format!("/ui/deliveries/resend?status=failed&webhook_id={}", links::encoded(id)), "Send again…")
        }
        (Kind::DeadLetters, _) => ("/ui/deliveries/resend?status=failed".to_owned(), "Send again…"),
        (Kind::StationsOffline, _) if is_whole(item) => (stations_by_id(&item.ids), "Show"),
        (Kind::StationsOffline, (SubjectKind::Site, Some(site))) => {
            (format!("/ui/stations?state=offline&site={}", links::encoded(site)), "Show")
        }
        (_, (SubjectKind::Webhook, Some(id))) => (format!("/ui/webhooks/{}", links::encoded(id)), "Open"),
        (_, (SubjectKind::Station, Some(id))) => (links::station(id), "Why?"),
        (_, (SubjectKind::Connector, Some(id))) => {
            (links::station(id.rsplit_once('/').map_or(id, |(station, _)| station)), "Why?")
        }
        (_, (SubjectKind::Transaction, Some(id))) => (format!("/ui/sessions/{}", links::encoded(id)), "Why?"),
        (Kind::EnergyImplausible, _) => ("/ui/sessions?energy_quality=implausible".to_owned(), "Show"),
        (Kind::EnergyMissing, _) => ("/ui/sessions?energy_quality=missing".to_owned(), "Show"),
        (Kind::SessionOrphaned, _) => ("/ui/sessions?orphaned=true".to_owned(), "Show"),
        (Kind::StationsOffline | Kind::StationOffline, _) if !is_whole(item) => {
            ("/ui/stations?state=offline&sort=offline_since".to_owned(), "Show")
        }
        (_, (SubjectKind::Certificate | SubjectKind::Gateway, _)) => ("/ui/system".to_owned(), "Show"),
        (Kind::RefusedHandshakes, _) => match item.ids.first() {
            Some(station) => (format!("/ui/stations?q={}", links::encoded(station)), "Show"),
            None => ("/ui/stations".to_owned(), "Show"),
        },
        _ => (stations_by_id(&item.ids), "Show"),
    }
}

/// Whether an item names all that it stands for.
fn is_whole(item: &Attention) -> bool {
    item.ids.len() as u64 == item.count
}

/// The list of these stations, or of those that these connectors belong to.
fn stations_by_id(ids: &[String]) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    let mut named = BTreeSet::new();
    for id in ids {
        let station = id.rsplit_once('/').map_or(id.as_str(), |(station, _)| station);
        if named.insert(station) {
            query.append_pair("id", station);
        }
    }
    match query.finish() {
        query if query.is_empty() => "/ui/stations".to_owned(),
        query => format!("/ui/stations?{query}"),
    }
}

fn sessions(active: &[Transaction], now: Timestamp) -> Markup {
    let columns = [
        table::text("Session"),
        table::text("Station"),
        table::number("Power"),
        table::number("Energy so far"),
        table::minor("Started"),
    ];
    let rows = active.iter().map(|session| {
        [
            table::link(&links::session(session.transaction_id), &session.transaction_id.to_string()),
            table::link(&links::station(&session.station_id), &session.station_id),
            html! { @match session.power_w { Some(power) => (units::power(power as f64)), None => span.muted { "–" } } },
            html! { @match session.energy_so_far_wh { Some(energy) => (units::energy(energy)), None => span.muted { "–" } } },
            time::ago_or_dash(session.started_at, now),
        ]
    });
    table::table("Newest sessions", columns, rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use vocabulary::api::overview::Subject;

    fn item(kind: Kind, subject: SubjectKind, id: &str) -> Attention {
        Attention {
            severity: Severity::Bad,
            kind,
            since: None,
            text: "x".to_owned(),
            cause: "y".to_owned(),
            subject: Subject { kind: subject, id: Some(id.to_owned()) },
            count: 1,
            ids: Vec::new(),
        }
    }

    #[test]
    fn a_button_leads_to_where_something_can_be_done() {
        for (kind, subject, id, path) in [
            (
                Kind::WebhookFailing,
                SubjectKind::Webhook,
                "2",
                "/ui/deliveries/resend?status=failed&webhook_id=2",
            ),
            (Kind::ConnectorFaulted, SubjectKind::Connector, "A B/2", "/ui/stations/A%20B"),
            (Kind::StationsOffline, SubjectKind::Site, "P4", "/ui/stations?state=offline&site=P4"),
            (Kind::SessionLong, SubjectKind::Transaction, "7", "/ui/sessions/7"),
        ] {
            assert_eq!(button(&item(kind, subject, id)).0, path);
        }
        let mut together = item(Kind::StationsOffline, SubjectKind::Address, "127.0.0.1");
        (together.count, together.ids) = (2, vec!["A B".to_owned(), "C".to_owned()]);
        assert_eq!(button(&together).0, "/ui/stations?id=A+B&id=C", "those that left together, and no other");
        together.count = 30;
        assert_eq!(button(&together).0, "/ui/stations?state=offline&sort=offline_since");
    }

    #[test]
    fn a_hundred_percent_is_said_only_of_everything() {
        assert_eq!(
            [(1, 1), (99_999, 100_000), (1, 3)].map(|(part, whole)| share(part, whole)),
            ["100.00", "99.99", "33.33"]
        );
    }
}
