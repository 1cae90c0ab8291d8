//! The gateway itself.

use maud::{Markup, html};

use crate::ui::components::layout::Section;
use crate::ui::components::{card, chip, definitions, units};
use crate::ui::page::{Answer, Page};
use crate::ui::session::Session;
use vocabulary::api::access::Health;

/// Whether it can serve, and what it runs on.
pub(in crate::ui) async fn show(session: Session) -> Answer {
    let health = session.client.ready().await?;
    Ok(Page::new(&session, Section::System, "System", render(&health)))
}

fn render(health: &Health) -> Markup {
    let tone = match (health.status.as_str(), health.reasons.is_empty()) {
        ("ok", true) => chip::Tone::Ok,
        ("ok", false) => chip::Tone::Warn,
        _ => chip::Tone::Bad,
    };
    let mut facts = vec![("Version", html! { (health.version) })];
    if let Some(free) = health.free_bytes {
        facts.push(("Free on the disk", html! { (units::bytes(free)) }));
    }
    let body = html! {
        (definitions::definitions(&facts))
        @if !health.reasons.is_empty() { ul { @for reason in &health.reasons { li { (reason) } } } }
    };
    html! { div.grid { (card::card(card::Width::Full, "Gateway", chip::chip(tone, &health.status), body)) } }
}
