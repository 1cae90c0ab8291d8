//! Links between pages that belong together.

use maud::{Markup, html};

/// The reports that there are.
pub(in crate::ui) const REPORTS: &[(&str, &str)] =
    &[("/ui/reports", "Uptime"), ("/ui/reports/sessions", "Sums of sessions")];

/// The links; the one whose path is `current` is marked.
pub(in crate::ui) fn tabs(label: &str, places: &[(&str, &str)], current: &str) -> Markup {
    html! {
        nav.tabs aria-label=(label) {
            @for (path, words) in places {
                a href=(path) aria-current=[(*path == current).then_some("page")] { (words) }
            }
        }
    }
}
