//! A webhook.

use axum::extract::Path;
use maud::{Markup, html};

use crate::ui::components::layout::Section;
use crate::ui::components::{card, definitions, table, time};
use crate::ui::failure::Failure;
use crate::ui::page::{Answer, Page};
use crate::ui::session::Session;
use vocabulary::api::webhook::Webhook;
use vocabulary::clock::Timestamp;

/// The webhook.
pub(in crate::ui) async fn show(session: Session, Path(id): Path<String>) -> Answer {
    let id = id.parse().map_err(|_| Failure::UnknownPath)?;
    let webhook = session.client.webhook(id).await?;
    let body = render(&webhook, session.now);
    Ok(Page::new(&session, Section::Webhooks, webhook.name.clone(), body).live())
}

fn render(webhook: &Webhook, now: Timestamp) -> Markup {
    let facts = [("URL", table::mono(&webhook.url)), ("Changed", time::ago(webhook.updated_at, now))];
    html! {
        div.grid {
            (card::live_card("facts", card::Width::Full, "Webhook", html! {}, definitions::definitions(&facts)))
        }
    }
}
