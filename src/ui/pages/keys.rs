//! API keys.

use maud::{Markup, html};

use crate::ui::components::layout::Section;
use crate::ui::components::{card, table, time};
use crate::ui::page::{Answer, Page};
use crate::ui::session::Session;
use vocabulary::api::access::ApiKey;
use vocabulary::clock::Timestamp;

/// The keys.
pub(in crate::ui) async fn list(session: Session) -> Answer {
    let keys = session.client.all::<ApiKey>("api-keys", &[]).await?;
    Ok(Page::new(&session, Section::Keys, "API keys", render(&keys, session.now)))
}

fn render(keys: &[ApiKey], now: Timestamp) -> Markup {
    let columns = [
        table::text("Name"),
        table::text("Scopes"),
        table::minor("Owner"),
        table::text("Last used"),
        table::minor("Expires"),
        table::minor("Created"),
    ];
    let rows = keys.iter().map(|key| {
        [
            html! { (key.name) },
            table::mono(key.scopes.join(", ")),
            html! { @if let Some(owner) = &key.owner_id { (owner) } },
            time::ago_or_dash(key.last_used_at, now),
            time::ago_or_dash(key.expires_at, now),
            time::ago(key.created_at, now),
        ]
    });
    html! {
        div.grid { (card::card(card::Width::Full, "API keys", html! {}, table::table("API keys", columns, rows))) }
    }
}
