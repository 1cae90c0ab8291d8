//! What happened in order, and what is to come.

use maud::{Markup, html};

/// What a step means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::ui) enum Mark {
    /// It went as it should.
    Done,
    /// It failed.
    Failed,
    /// It is still to come, or nothing came.
    Ahead,
}

/// One step.
pub(in crate::ui) struct Step {
    pub(in crate::ui) mark: Mark,
    /// When, from [`super::time`].
    pub(in crate::ui) at: Markup,
    pub(in crate::ui) text: Markup,
}

/// The steps in their order.
pub(in crate::ui) fn time_line(steps: &[Step]) -> Markup {
    html! {
        ol.line {
            @for step in steps {
                li class=[match step.mark { Mark::Done => None, Mark::Failed => Some("f"), Mark::Ahead => Some("w") }] {
                    (step.at) " " (step.text)
                }
            }
        }
    }
}
