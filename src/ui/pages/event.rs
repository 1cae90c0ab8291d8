//! An event.

use axum::extract::Path;
use maud::{Markup, html};

use crate::ui::components::layout::Section;
use crate::ui::components::{card, definitions, table, time};
use crate::ui::failure::Failure;
use crate::ui::page::{Answer, Page};
use crate::ui::session::Session;
use vocabulary::api::event::Event;
use vocabulary::clock::Timestamp;

/// The event.
pub(in crate::ui) async fn show(session: Session, Path(id): Path<String>) -> Answer {
    let id = id.parse().map_err(|_| Failure::UnknownPath)?;
    let event = session.client.event(id).await?;
    let body = render(&event, session.now);
    Ok(Page::new(&session, Section::Events, event.event.as_str().to_owned(), body).live())
}

fn render(event: &Event, now: Timestamp) -> Markup {
    let facts = [
        ("Id", table::mono(event.id)),
        ("Received", time::ago(event.timestamp, now)),
        ("Payload", html! { pre { (event.payload.get()) } }),
    ];
    html! {
        div.grid {
            (card::live_card("facts", card::Width::Full, "Event", html! {}, definitions::definitions(&facts)))
        }
    }
}
