//! A bar of parts, such as stations by state, with a legend in words.

use maud::{Markup, html};

use super::chip::Tone;
use super::units;

/// A part of a whole.
pub(in crate::ui) struct Part<'a> {
    pub(in crate::ui) tone: Tone,
    pub(in crate::ui) label: &'a str,
    pub(in crate::ui) count: u64,
    /// The page that lists those.
    pub(in crate::ui) path: Option<&'a str>,
}

/// The bar, with its legend below it.
pub(in crate::ui) fn bar(parts: &[Part<'_>]) -> Markup {
    let total: u64 = parts.iter().map(|part| part.count).sum();
    let mut begin = 0.0;
    let mut pieces = Vec::new();
    for part in parts.iter().filter(|part| part.count > 0) {
        let width = part.count as f64 / total as f64 * 100.0;
        pieces.push((part.tone, format!("{begin:.2}"), format!("{width:.2}")));
        begin += width;
    }
    let words: Vec<_> =
        parts.iter().map(|part| format!("{} {}", units::count(part.count), part.label)).collect();
    html! {
        svg.bar viewBox="0 0 100 8" preserveAspectRatio="none" width="100%" height="8" role="img"
            aria-label=(words.join(", ")) {
            rect.rest x="0" y="0" width="100" height="8" {}
            @for (tone, begin, width) in &pieces {
                rect class={ "fill-" (tone.class()) } x=(begin) y="0" width=(width) height="8" {}
            }
        }
        ul.legend {
            @for part in parts {
                li {
                    span class={ "key fill-" (part.tone.class()) } {}
                    @match part.path.filter(|_| part.count > 0) {
                        Some(path) => a href=(path) { b { (units::count(part.count)) } " " (part.label) },
                        None => { b { (units::count(part.count)) } " " (part.label) },
                    }
                }
            }
        }
    }
}
