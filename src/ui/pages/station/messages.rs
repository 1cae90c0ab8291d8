//! What went over a station's wire, the newest first, as it comes.

use maud::{Markup, html};

use crate::ui::components::filters::Filters;
use crate::ui::components::{empty, table, time};
use crate::ui::query::Query;
use vocabulary::api::message::{Direction, Message};
use vocabulary::api::problem::FieldError;
use vocabulary::clock::Timestamp;

/// The filters of the messages.
pub(super) const FILTERS: &[&str] = &["direction", "action"];

/// The messages, with their filters and what is wrong with those. `path`: of the page.
pub(super) fn messages(
    messages: &[Message],
    errors: &[FieldError],
    query: &Query,
    path: &str,
    now: Timestamp,
) -> Markup {
    let filters = Filters::new(path, query, errors)
        .choice("direction", "Direction", &[("inbound", "from the charger"), ("outbound", "to the charger")])
        .text("action", "Action");
    html! {
        (filters.render())
        div id="messages" data-live {
            @if messages.is_empty() {
                (empty::empty("No message fits.", html! { "New ones appear here as they come." }))
            } @else { div.wire { (wire(messages, now)) } }
        }
    }
}

fn wire(messages: &[Message], now: Timestamp) -> Markup {
    let columns =
        [table::text("When"), table::text("Direction"), table::text("Message"), table::text("Text")];
    let rows = messages.iter().map(|message| {
        let kind = message.r#type.map(|kind| kind.as_str()).unwrap_or("not OCPP");
        [
            time::clock(message.at, now),
            match message.direction {
                Direction::Inbound => html! { span.in { "← from" } },
                Direction::Outbound => html! { span.out { "→ to" } },
            },
            html! { b { (message.action.as_deref().unwrap_or("–")) } " " span.muted { (kind) } },
            text_of(message),
        ]
    });
    table::table("Messages, the newest first", columns, rows)
}

/// Its text; of a long one the beginning, which opens.
fn text_of(message: &Message) -> Markup {
    const LINE_CHARS: usize = 160;
    let text = message.raw.as_deref().unwrap_or("too large, or not UTF-8");
    let beginning: String = text.chars().take(LINE_CHARS).collect();
    html! {
        @if beginning.len() == text.len() { pre { (text) } }
        @else { details data-key=(message.id) { summary { (beginning) "…" } pre { (text) } } }
    }
}
