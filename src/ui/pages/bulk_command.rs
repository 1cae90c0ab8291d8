//! A bulk command: how far it has come, and what it has come to at each station.

use axum::extract::Path;
use maud::{Markup, html};

use crate::ui::components::bar::{Part, bar};
use crate::ui::components::chip::Tone;
use crate::ui::components::filters::Filters;
use crate::ui::components::layout::Section;
use crate::ui::components::{action, card, chip, definitions, empty, json, table, time, units};
use crate::ui::failure::Failure;
use crate::ui::form::Form;
use crate::ui::links;
use crate::ui::page::{Answer, Page, Posted, rows};
use crate::ui::query::Query;
use crate::ui::session::Session;
use vocabulary::api::Page as Rows;
use vocabulary::api::bulk_command::{
    BulkCommand, BulkResult, BulkStation, BulkStatus, SkipReason, WhenOffline,
};
use vocabulary::api::problem::FieldError;
use vocabulary::clock::Timestamp;
use vocabulary::id::BulkCommandId;

/// The filters of its stations.
const FILTERS: &[&str] = &["result"];

/// What the page shows.
struct View {
    bulk: BulkCommand,
    stations: Rows<BulkStation>,
    /// What is wrong with the filter of the stations.
    errors: Vec<FieldError>,
}

fn parsed(id: &str) -> Result<BulkCommandId, Failure> {
    id.parse().map_err(|_| Failure::UnknownPath)
}

/// The bulk command.
pub(in crate::ui) async fn show(session: Session, Path(id): Path<String>, query: Query) -> Answer {
    let id = parsed(&id)?;
    let parameters = query.parameters(FILTERS);
    let (bulk, stations) = tokio::join!(
        session.client.bulk_command(id).into_future(),
        session.client.stations_of_bulk(id, &parameters).into_future(),
    );
    let bulk = bulk?;
    let (stations, errors) = rows(stations)?;
    let view = View { bulk, stations, errors };
    let may_send = view.bulk.action.parse().is_ok_and(|action| session.identity.may_send(action));
    let body = render(&view, &query, may_send.then(|| session.token()), session.now);
    let beside = html! { span id="state" data-live { (chip::bulk_command(&view.bulk)) } };
    let stations = units::plural(view.bulk.matched, "station", "stations");
    let title = format!("{} to {stations}", view.bulk.action);
    Ok(Page::new(&session, Section::Commands, title, body).beside_title(beside).live())
}

/// Cancels what was not sent.
pub(in crate::ui) async fn cancel(session: Session, Path(id): Path<String>, _: Form) -> Posted {
    let id = parsed(&id)?;
    let made = session.client.cancel_bulk_command(id).await;
    session.outcome(made, &links::bulk_command(id), |_| {
        "It is canceled: nothing more is sent; what was sent is still answered.".to_owned()
    })
}

/// `token`: of the session's forms, if its key may send this command.
fn render(view: &View, query: &Query, token: Option<&str>, now: Timestamp) -> Markup {
    use card::Width::{Full, Half};
    let bulk = &view.bulk;
    let payload = bulk.payload.get();
    html! {
        div.grid {
            (card::live_card("progress", Half, "Progress", html! {}, progress(bulk, token, now)))
            (card::card(Half, "What is asked", action::copy(payload, "Copy"), html! { (json::pretty(payload)) (facts(bulk)) }))
            (card::card(Full, "Stations", csv(bulk, query), stations(view, query)))
        }
    }
}

fn csv(bulk: &BulkCommand, query: &Query) -> Markup {
    table::csv_link(&format!("bulk-commands/{}/stations", bulk.id), query)
}

fn progress(bulk: &BulkCommand, token: Option<&str>, now: Timestamp) -> Markup {
    let parts = [
        Part { tone: Tone::Ok, label: "accepted", count: bulk.accepted, path: None },
        Part { tone: Tone::Bad, label: "rejected", count: bulk.rejected, path: None },
        Part { tone: Tone::Warn, label: "failed", count: bulk.failed, path: None },
        Part { tone: Tone::Off, label: "skipped", count: bulk.skipped, path: None },
        Part {
            tone: Tone::Info,
            label: "under way",
            count: bulk.matched.saturating_sub(bulk.ended()),
            path: None,
        },
    ];
    html! {
        (card::big(units::count(bulk.ended()), html! { "of " (units::count(bulk.matched)) " ended" }))
        (bar(&parts))
        p.muted {
            "Sent to " (units::count(bulk.sent)) ", " (bulk.rate) "; created " (time::ago(bulk.created_at, now))
            @if let Some(at) = bulk.completed_at { ", ended " (time::ago(at, now)) }
        }
        @for warning in &bulk.warnings { div.why.warn { p { (warning) } } }
        @if let Some(token) = token.filter(|_| bulk.status == BulkStatus::Running) {
            div.buttons {
                (action::confirmed(token, &format!("{}/cancel", links::bulk_command(bulk.id)), "Cancel",
                    "Nothing more is sent. Commands that were sent are still answered.", &[]))
            }
        }
    }
}

fn facts(bulk: &BulkCommand) -> Markup {
    let offline = match bulk.offline {
        WhenOffline::Skip => "are skipped",
        WhenOffline::Queue => "get it once they are back",
    };
    let mut facts = vec![
        ("Stations that are away", html! { (offline) }),
        ("Answers are waited for", html! { (time::span(bulk.timeout.0)) }),
        ("Requested by", html! { (bulk.requested_by.name) }),
        ("Created", time::full(bulk.created_at)),
        ("Id", html! { (table::mono(bulk.id)) " " (action::copy(&bulk.id.to_string(), "Copy")) }),
    ];
    if let Some(expires_in) = bulk.expires_in {
        facts.push(("For how long", html! { (time::span(expires_in.0)) }));
    }
    html! {
        (definitions::definitions(&facts))
        @if let Some(filter) = &bulk.filter { h3 { "Stations that fitted" } (json::pretty(filter.get())) }
    }
}

fn stations(view: &View, query: &Query) -> Markup {
    let path = links::bulk_command(view.bulk.id);
    let results: Vec<(&str, &str)> = BulkResult::WORDS.iter().map(|word| (*word, *word)).collect();
    html! {
        (Filters::new(&path, query, &view.errors).choice("result", "Result", &results).render())
        div id="stations" data-live {
            @if view.stations.data.is_empty() { (empty::nothing_fits(&path, &[])) }
            @else { (listed(&view.stations.data)) (next(&path, query, view.stations.next_cursor.as_deref())) }
        }
    }
}

/// The list has one order: that of the turns.
fn next(path: &str, query: &Query, cursor: Option<&str>) -> Markup {
    html! {
        nav.pager aria-label="Pages" {
            @if query.get("cursor").is_some() { a href=(query.link(path, &[("cursor", None)])) { "First page" } }
            @if let Some(cursor) = cursor { a rel="next" href=(query.link(path, &[("cursor", Some(cursor))])) { "Next page" } }
        }
    }
}

fn listed(rows: &[BulkStation]) -> Markup {
    let columns = [table::text("Station"), table::text("Result"), table::text("Why"), table::text("Command")];
    let rows = rows.iter().map(|station| {
        [
            table::link(&links::station(&station.station_id), &station.station_id),
            chip::bulk_result(station.result),
            html! { @if let Some(reason) = station.reason { (reason_of(reason)) } },
            html! { @if let Some(id) = station.command_id { (table::link(&links::command(id), "details")) } },
        ]
    });
    table::table("Stations in the order of their turns", columns, rows)
}

/// Why a station was skipped, in words.
fn reason_of(reason: SkipReason) -> &'static str {
    match reason {
        SkipReason::NotConnected => "it was not connected",
        SkipReason::NeverBooted => "it had not sent a BootNotification",
        SkipReason::Pending => "its boot was answered Pending",
        SkipReason::Rejected => "its boot was answered Rejected",
        SkipReason::Full => "too many commands waited for it",
        SkipReason::Gone => "it is gone, or belongs to another customer by now",
        SkipReason::Canceled => "it was canceled before",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn bulk(fields: &serde_json::Value) -> BulkCommand {
        let mut whole = json!({
            "id": "blk_00000000000000000000000001", "owner_id": null, "status": "running", "action": "Reset",
            "payload": {"type": "Soft"}, "warnings": [], "filter": {"site": "north"}, "rate": "10/s",
            "offline": "skip", "timeout": "30s", "expires_in": null, "metadata": null, "matched": 40, "sent": 12,
            "accepted": 9, "rejected": 1, "failed": 0, "skipped": 2, "created_at": "2026-04-14T10:00:00Z",
            "requested_by": {"id": "key_00000000000000000000000001", "name": "ops"}, "completed_at": null,
        });
        for (name, value) in fields.as_object().expect("an object") {
            whole[name] = value.clone();
        }
        serde_json::from_value(whole).expect("a bulk command")
    }

    #[test]
    fn the_progress_is_shown_until_the_end_and_can_be_stopped_before() {
        let station =
            json!({"station_id": "CP_1", "result": "skipped", "reason": "not_connected", "command_id": null});
        let station = serde_json::from_value(station).expect("a station");
        let now = "2026-04-14T10:00:05Z".parse().expect("a time");
        let shown = |fields: &serde_json::Value, station: &BulkStation| {
            let stations = Rows { data: vec![station.clone()], next_cursor: None };
            let view = View { bulk: bulk(fields), stations, errors: Vec::new() };
            render(&view, &Query::default(), Some("token"), now).into_string()
        };
        let running = shown(&json!({}), &station);
        for text in ["12", "of 40 ended", "28 under way", "it was not connected", "/cancel\"", "north"] {
            assert!(running.contains(text), "{text}: {running}");
        }
        let done = shown(&json!({"status": "done", "completed_at": "2026-04-14T10:00:04Z"}), &station);
        assert!(!done.contains("/cancel\""));
    }
}
