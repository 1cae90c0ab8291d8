//! The answer to "why?": what is the matter in one or two sentences, and what can be done next.

use maud::{Markup, html};

use super::chip::Tone;

/// The box. `tone`: how bad it is.
pub(in crate::ui) fn why_box(tone: Tone, summary: &str, next: &[String]) -> Markup {
    html! {
        div class={ "why " (tone.class()) } {
            p { b { (summary) } }
            @if !next.is_empty() { ul { @for step in next { li { (step) } } } }
        }
    }
}
