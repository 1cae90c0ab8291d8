//! Names and values of one thing.

use maud::{Markup, html};

/// A list of names and values. A value that there is not is left out by its caller.
pub(in crate::ui) fn definitions(rows: &[(&str, Markup)]) -> Markup {
    html! {
        dl.facts {
            @for (name, value) in rows { div { dt { (name) } dd { (value) } } }
        }
    }
}

/// A value that may be missing.
pub(in crate::ui) fn or_dash(value: Option<&str>) -> Markup {
    html! { @match value { Some(text) => { (text) }, None => span.muted { "–" } } }
}
