//! A command, and what the charger has answered.

use axum::extract::Path;
use maud::{Markup, html};

use crate::ui::components::layout::Section;
use crate::ui::components::{card, definitions, table, time};
use crate::ui::failure::Failure;
use crate::ui::page::{Answer, Page};
use crate::ui::session::Session;
use vocabulary::api::command::Command;
use vocabulary::clock::Timestamp;

/// The command.
pub(in crate::ui) async fn show(session: Session, Path(id): Path<String>) -> Answer {
    let id = id.parse().map_err(|_| Failure::UnknownPath)?;
    let command = session.client.command(id).await?;
    let body = render(&command, session.now);
    Ok(Page::new(&session, Section::Commands, command.action.clone(), body).live())
}

fn render(command: &Command, now: Timestamp) -> Markup {
    let facts = [
        ("Id", table::mono(command.id)),
        ("Station", table::link(&crate::ui::links::station(&command.station_id), &command.station_id)),
        ("Payload", html! { pre { (command.payload.get()) } }),
        ("Answer", html! { @if let Some(answer) = &command.response { pre { (answer.get()) } } }),
        ("Created", time::ago(command.created_at, now)),
    ];
    html! {
        div.grid {
            (card::live_card("facts", card::Width::Full, "Command", html! {}, definitions::definitions(&facts)))
        }
    }
}
