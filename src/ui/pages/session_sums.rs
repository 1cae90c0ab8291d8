//! What sessions come to: by month, customer, site or station.

use std::time::Duration;

use maud::{Markup, html};

use crate::client::ClientError;
use crate::ui::components::filters::Filters;
use crate::ui::components::layout::Section;
use crate::ui::components::{card, empty, table, tabs, time, units};
use crate::ui::links;
use crate::ui::page::{Answer, Page};
use crate::ui::query::Query;
use crate::ui::session::Session;
use vocabulary::api::problem::FieldError;
use vocabulary::api::transaction::TransactionSummary;

const PATH: &str = "/ui/reports/sessions";

/// The filters of the page: parameters of `GET /transactions/summary`.
const FILTERS: &[&str] =
    &["group_by", "since", "until", "time_zone", "owner_id", "site", "station_id", "energy_quality"];

/// What a row is about if nothing is said.
const GROUP_BY: &str = "month";

/// How far it goes back if nothing is said.
const SINCE: &str = "365d";

/// What a row may be about.
const GROUPS: &[(&str, &str)] = &[
    ("month", "month"),
    ("day", "day"),
    ("owner", "owner"),
    ("site", "site"),
    ("station", "station"),
    ("energy_quality", "quality of the energy"),
    ("owner,month", "owner and month"),
    ("site,month", "site and month"),
    ("station,month", "station and month"),
];

/// More rows than this are for a file.
const SHOWN_ROWS: usize = 500;

/// The sums.
pub(in crate::ui) async fn show(session: Session, query: Query) -> Answer {
    let mut parameters = query.parameters(FILTERS);
    parameters.retain(|(name, _)| FILTERS.contains(name));
    for (name, value) in [("group_by", GROUP_BY), ("since", SINCE)] {
        if query.get(name).is_none() && !(name == "since" && query.get("until").is_some()) {
            parameters.push((name, value));
        }
    }
    let (sums, errors) = match session.client.transaction_summary(&parameters).await {
        Ok(sums) => (Some(sums.data), Vec::new()),
        Err(ClientError::Refused(problem)) if problem.status == 422 => (None, problem.errors),
        Err(error) => return Err(error.into()),
    };
    let csv = Query::default().link(
        "/ui/csv/transactions/summary",
        &parameters.iter().map(|(name, value)| (*name, Some(*value))).collect::<Vec<_>>(),
    );
    let all_owners = session.identity.owner_id().is_none();
    let body = render(&query, sums.as_deref(), &errors, &csv, all_owners);
    let page = Page::new(&session, Section::Reports, "Sums of sessions", body);
    Ok(if errors.is_empty() { page } else { page.invalid() })
}

/// `all_owners`: whether the key sees the sessions of several owners.
fn render(
    query: &Query,
    sums: Option<&[TransactionSummary]>,
    errors: &[FieldError],
    csv: &str,
    all_owners: bool,
) -> Markup {
    let mut filters = Filters::new(PATH, query, errors)
        .choice_or("group_by", "A row for each", "month", &GROUPS[1..])
        .text("since", "Ended since, such as 90d")
        .text("until", "Ended before")
        .text("time_zone", "Time zone, such as Europe/Berlin")
        .text("site", "Site")
        .text("station_id", "Station");
    if all_owners {
        filters = filters.text("owner_id", "Owner");
    }
    html! {
        (tabs::tabs("Reports", tabs::REPORTS, PATH))
        (filters.render())
        @if let Some(sums) = sums {
            div.grid {
                (card::card(card::Width::TwoThirds, "All together", html! {}, together(sums, query)))
                (card::card(card::Width::Full, "Sums", html! { a href=(csv) download { "Export CSV" } }, rows(sums)))
            }
        }
    }
}

fn together(sums: &[TransactionSummary], query: &Query) -> Markup {
    let sum = |part: fn(&TransactionSummary) -> i64| sums.iter().map(part).sum::<i64>();
    let (sessions, duration_s) = (sum(|row| row.sessions), sum(|row| row.duration_s));
    html! {
        (card::big(units::energy(sum(|row| row.energy_wh)), "metered"))
        ul.legend {
            li { (units::plural(sessions.max(0) as u64, "session", "sessions")) }
            li { "estimated, beside that: " b { (units::energy(sum(|row| row.estimated_wh))) } }
            li { "together " b { (time::span(Duration::from_secs(duration_s.max(0) as u64))) } }
        }
        p.muted {
            @if query.has_any(&["since", "until"]) { "Sessions that ended in this time" } @else { "Sessions that ended in the last 365 days" }
            "; days and months begin at midnight " (query.get("time_zone").unwrap_or("UTC"))
            ". Those that have not ended are left out."
        }
    }
}

fn rows(sums: &[TransactionSummary]) -> Markup {
    if sums.is_empty() {
        return empty::empty(
            "No session has ended in this time.",
            html! { "Choose a longer one, or " a href=(PATH) { "show all" } "." },
        );
    }
    let columns = [
        table::text("What"),
        table::number("Sessions"),
        table::number("Metered"),
        table::number("Estimated"),
        table::minor("Duration"),
        table::number("Each, metered"),
    ];
    let shown = sums.iter().take(SHOWN_ROWS).map(|row| {
        [
            what(row),
            html! { (units::count(row.sessions.max(0) as u64)) },
            html! { (units::energy(row.energy_wh)) },
            html! { @if row.estimated_wh != 0 { (units::energy(row.estimated_wh)) } @else { span.muted { "–" } } },
            html! { (time::span(Duration::from_secs(row.duration_s.max(0) as u64))) },
            html! { (units::energy(row.energy_wh / row.sessions.max(1))) },
        ]
    });
    html! {
        (table::table("Sums of sessions", columns, shown))
        @if sums.len() > SHOWN_ROWS {
            p.muted { "These are the first " (SHOWN_ROWS) " of " (sums.len()) " rows; the CSV file has all." }
        }
    }
}

/// What a row is grouped by.
fn what(row: &TransactionSummary) -> Markup {
    let sessions = |name: &str, value: &str| html! { a href=(Query::default().link("/ui/sessions", &[(name, Some(value))])) { (value) } };
    let named = |name: &str, value: &Option<String>, nobody: &str| match value {
        Some(value) => sessions(name, value),
        None => html! { span.muted { (nobody) } },
    };
    let parts = [
        row.owner_id.as_ref().map(|owner| named("owner_id", owner, "without owner")),
        row.site.as_ref().map(|site| named("site", site, "without site")),
        row.station_id.as_ref().map(|station| table::link(&links::station(station), station)),
        row.month.as_ref().or(row.day.as_ref()).map(|when| html! { (when) }),
        row.energy_quality.map(|quality| sessions("energy_quality", quality.as_str())),
    ];
    let parts: Vec<Markup> = parts.into_iter().flatten().collect();
    html! { @for (index, part) in parts.iter().enumerate() { @if index > 0 { " · " } (part) } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_says_what_it_is_grouped_by() {
        let row = TransactionSummary {
            owner_id: Some(None),
            site: Some(Some("P & R".to_owned())),
            month: Some("2026-11".to_owned()),
            sessions: 2,
            energy_wh: 8_000,
            ..TransactionSummary::default()
        };
        let page = render(&Query::default(), Some(&[row]), &[], "/ui/csv/x", true).into_string();
        for told in [
            "without owner",
            "<a href=\"/ui/sessions?site=P+%26+R\">P &amp; R</a> · 2026-11",
            "<td class=\"num\">4.00 kWh</td>",
            "last 365 days",
            "name=\"owner_id\"",
        ] {
            assert!(page.contains(told), "{told}: {page}");
        }
    }
}
