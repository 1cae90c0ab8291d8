//! Reports.

use maud::html;

use crate::ui::components::empty;
use crate::ui::components::layout::Section;
use crate::ui::page::{Answer, Page};
use crate::ui::session::Session;

/// The reports.
pub(in crate::ui) async fn show(session: Session) -> Answer {
    let body = empty::empty(
        "No report yet.",
        html! { "Sessions are listed under " a href="/ui/sessions" { "Sessions" } "." },
    );
    Ok(Page::new(&session, Section::Reports, "Reports", body))
}
