//! A charging session.

use axum::extract::Path;
use maud::{Markup, html};

use crate::ui::components::layout::Section;
use crate::ui::components::{card, definitions, table, time};
use crate::ui::failure::Failure;
use crate::ui::page::{Answer, Page};
use crate::ui::session::Session;
use vocabulary::api::transaction::Transaction;
use vocabulary::clock::Timestamp;

/// The session.
pub(in crate::ui) async fn show(session: Session, Path(id): Path<String>) -> Answer {
    let id = id.parse().map_err(|_| Failure::UnknownPath)?;
    let session_ = session.client.transaction(id).await?;
    let body = render(&session_, session.now);
    Ok(Page::new(&session, Section::Sessions, format!("Session {}", session_.transaction_id), body).live())
}

fn render(session_: &Transaction, now: Timestamp) -> Markup {
    let facts = [
        ("Station", table::link(&crate::ui::links::station(&session_.station_id), &session_.station_id)),
        ("Started", time::ago_or_dash(session_.started_at, now)),
        ("Stopped", time::ago_or_dash(session_.stopped_at, now)),
        ("Reason", definitions::or_dash(session_.stop_reason.as_deref())),
    ];
    html! {
        div.grid {
            (card::live_card("facts", card::Width::Full, "Session", html! {}, definitions::definitions(&facts)))
        }
    }
}
