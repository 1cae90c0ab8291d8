//! Reports: how long connectors were up in a month.

use maud::{Markup, html};

use crate::client::ClientError;
use crate::ui::components::bar::{Part, bar};
use crate::ui::components::chip::Tone;
use crate::ui::components::filters::Filters;
use crate::ui::components::layout::Section;
use crate::ui::components::{card, empty, table, tabs, time};
use crate::ui::links;
use crate::ui::page::{Answer, Page};
use crate::ui::query::Query;
use crate::ui::session::Session;
use vocabulary::api::problem::FieldError;
use vocabulary::api::report::{UptimeGrouping, UptimeReport, UptimeRow, UptimeRule};

const PATH: &str = "/ui/reports";

/// The filters of the page: parameters of `GET /reports/uptime`.
const FILTERS: &[&str] =
    &["month", "since", "until", "group_by", "rule", "station_id", "site", "owner_id", "time_zone"];

/// More rows than this are for a file.
const SHOWN_ROWS: &str = "200";

/// The report.
pub(in crate::ui) async fn show(session: Session, query: Query) -> Answer {
    let mut parameters = query.parameters(FILTERS);
    parameters.retain(|(name, _)| FILTERS.contains(name));
    if query.get("group_by").is_none() {
        parameters.push(("group_by", "station"));
    }
    // A report is read for what is wrong.
    parameters.push(("worst", SHOWN_ROWS));
    let (report, errors) = match session.client.uptime(&parameters).await {
        Ok(report) => (Some(report), Vec::new()),
        Err(ClientError::Refused(problem)) if problem.status == 422 => (None, problem.errors),
        Err(error) => return Err(error.into()),
    };
    let body = render(&query, report.as_ref(), &errors);
    let page = Page::new(&session, Section::Reports, "Uptime", body);
    Ok(if errors.is_empty() { page } else { page.invalid() })
}

fn render(query: &Query, report: Option<&UptimeReport>, errors: &[FieldError]) -> Markup {
    // What is not chosen is the station, and the plain rule.
    let groups: Vec<_> = UptimeGrouping::WORDS
        .iter()
        .filter(|word| **word != UptimeGrouping::Station.as_str())
        .map(|word| (*word, *word))
        .collect();
    let rules =
        [(UptimeRule::Cec.as_str(), "California, 97 %"), (UptimeRule::Uk.as_str(), "United Kingdom, 99 %")];
    let filters = Filters::new(PATH, query, errors)
        .text("month", "Month, such as 2026-11")
        .choice_or("group_by", "A row for each", "station", &groups)
        .choice_or("rule", "Rule", "plain", &rules)
        .text("site", "Site")
        .text("station_id", "Station")
        .text("time_zone", "Time zone, such as Europe/Berlin");
    html! {
        (tabs::tabs("Reports", tabs::REPORTS, PATH))
        (filters.render())
        @if let Some(report) = report {
            div.grid {
                (card::card(card::Width::TwoThirds, "All together", html! {}, together(report)))
                (card::card(card::Width::Full, "Uptime", table::csv_link("reports/uptime", query), rows(report)))
            }
        }
    }
}

fn together(report: &UptimeReport) -> Markup {
    let &UptimeRow { up, down, excluded, unknown, .. } = &report.total;
    let parts = [
        Part {
            tone: Tone::Ok,
            label: if hours(up) == 1 { "hour up" } else { "hours up" },
            count: hours(up),
            path: None,
        },
        Part {
            tone: Tone::Bad,
            label: if hours(down) == 1 { "hour down" } else { "hours down" },
            count: hours(down),
            path: None,
        },
        Part {
            tone: Tone::Off,
            label: "h left out or not known",
            count: hours(excluded + unknown),
            path: None,
        },
    ];
    html! {
        @if up + down > 0.0 { (card::big(percent(Some(up / (up + down) * 100.0)), "up")) }
        @else { (card::big("–", "nothing is known of this time")) }
        (bar(&parts))
        p.muted { "From " (time::full(report.since)) " to " (time::full(report.until)) ", by the rule " (report.rule.as_str()) "." }
    }
}

fn hours(minutes: f64) -> u64 {
    (minutes / 60.0).round() as u64
}

fn rows(report: &UptimeReport) -> Markup {
    if report.data.is_empty() {
        return empty::empty(
            "No connector has told of itself in this time.",
            html! { "Rows come with the first StatusNotification of a station." },
        );
    }
    let columns = [
        table::text("What"),
        table::number("Uptime"),
        table::number("Down, h"),
        table::minor("Faulted, h"),
        table::minor("Unavailable, h"),
        table::minor("Offline, h"),
        table::minor("Left out, h"),
        table::number("Charging, h"),
    ];
    let written = |minutes: f64| html! { (format!("{:.1}", minutes / 60.0)) };
    let shown = report.data.iter().map(|row| {
        [
            what(row),
            html! { (percent(row.uptime_percent)) },
            written(row.down),
            written(row.reasons.faulted),
            written(row.reasons.unavailable),
            written(row.reasons.offline),
            written(row.excluded),
            written(row.charging),
        ]
    });
    html! {
        (table::table("Uptime, the worst first", columns, shown))
        @if report.row_count > report.data.len() as u64 {
            p.muted { "These are the worst " (report.data.len()) " of " (report.row_count) "; the CSV file has all." }
        }
    }
}

fn percent(value: Option<f64>) -> String {
    // Cut off, so that nothing reaches a threshold by rounding.
    value.map_or_else(|| "–".to_owned(), |value| format!("{:.2} %", (value * 100.0).floor() / 100.0))
}

fn what(row: &UptimeRow) -> Markup {
    html! {
        @match (&row.station_id, row.connector_id) {
            (Some(station), Some(number)) => { (table::link(&links::station(station), station)) " connector " (number) },
            (Some(station), None) => (table::link(&links::station(station), station)),
            (None, _) => (row.site.as_deref().unwrap_or("without a site")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_reaches_a_threshold_by_rounding() {
        assert_eq!([Some(98.999_9), Some(99.0), None].map(percent), ["98.99 %", "99.00 %", "–"]);
    }
}
