//! Replays and bulk resends: how far each has come.

use maud::{Markup, html};

use super::chip::{Tone, chip};
use super::{action, table, time, units};
use vocabulary::api::replay::{Only, Replay, ReplayStatus, Selection};
use vocabulary::clock::Timestamp;

/// A table of them. `token`: of the session's forms, if its key may cancel them.
pub(in crate::ui) fn replays(replays: &[Replay], token: Option<&str>, now: Timestamp) -> Markup {
    let columns = [
        table::text("What"),
        table::text("State"),
        table::number("Made"),
        table::minor("Requested by"),
        table::text("When"),
        table::text("Cancel"),
    ];
    let rows = replays.iter().map(|replay| {
        let cancel = format!("/ui/replays/{}/cancel", replay.id);
        [
            html! { (what(&replay.selection)) },
            state(replay.status),
            html! { (units::count(replay.done)) " of " (units::count(replay.matched)) },
            html! { (replay.requested_by.name) },
            time::ago(replay.created_at, now),
            html! {
                @if let Some(token) = token.filter(|_| replay.status == ReplayStatus::Running) {
                    (action::confirmed(token, &cancel, "Cancel", "What it has made and nothing was tried of is taken back.", &[]))
                }
            },
        ]
    });
    table::table("Replays, and deliveries sent again", columns, rows)
}

fn state(status: ReplayStatus) -> Markup {
    let tone = match status {
        ReplayStatus::Running => Tone::Info,
        ReplayStatus::Done => Tone::Ok,
        ReplayStatus::Canceled => Tone::Off,
    };
    chip(tone, status.as_str())
}

fn what(selection: &Selection) -> &'static str {
    match selection {
        Selection::Replay { only: Only::Failed, .. } => "dead letters",
        Selection::Replay { only: Only::Missing, .. } => "what it never got",
        Selection::Replay { only: Only::All, .. } => "everything",
        Selection::Resend { .. } => "deliveries by filter",
    }
}
