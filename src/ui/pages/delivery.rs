//! A delivery.

use axum::extract::Path;
use maud::{Markup, html};

use crate::ui::components::layout::Section;
use crate::ui::components::{card, definitions, table, time};
use crate::ui::failure::Failure;
use crate::ui::page::{Answer, Page};
use crate::ui::session::Session;
use vocabulary::api::delivery::Delivery;
use vocabulary::clock::Timestamp;

/// The delivery.
pub(in crate::ui) async fn show(session: Session, Path(id): Path<String>) -> Answer {
    let id = id.parse().map_err(|_| Failure::UnknownPath)?;
    let delivery = session.client.delivery(id).await?;
    let body = render(&delivery, session.now);
    Ok(Page::new(&session, Section::Deliveries, format!("Delivery of {}", delivery.event), body).live())
}

fn render(delivery: &Delivery, now: Timestamp) -> Markup {
    let facts = [
        ("Id", table::mono(delivery.id)),
        ("Event", table::link(&crate::ui::links::event(delivery.event_id), &delivery.event)),
        ("Created", time::ago(delivery.created_at, now)),
    ];
    html! {
        div.grid {
            (card::live_card("facts", card::Width::Full, "Delivery", html! {}, definitions::definitions(&facts)))
        }
    }
}
