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

impl Mark {
    fn class(self) -> Option<&'static str> {
        match self {
            Self::Done => None,
            Self::Failed => Some("f"),
            Self::Ahead => Some("w"),
        }
    }
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
                li class=[step.mark.class()] { (step.at) " " (step.text) }
            }
        }
    }
}
