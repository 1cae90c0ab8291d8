//! A titled box, and a big figure in one.

use maud::{Markup, Render, html};

/// How many of the twelve columns of a grid a card takes; on a phone always all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::ui) enum Width {
    Third,
    Half,
    TwoThirds,
    Full,
}

impl Width {
    fn class(self) -> &'static str {
        match self {
            Self::Third => "c4",
            Self::Half => "c6",
            Self::TwoThirds => "c8",
            Self::Full => "c12",
        }
    }
}

/// A card. `aside` stands at the right of its title: a link, a chip.
pub(in crate::ui) fn card(width: Width, title: &str, aside: impl Render, body: impl Render) -> Markup {
    html! {
        section class=(width.class()) {
            h2 { (title) span.aside { (aside) } }
            (body)
        }
    }
}

/// A card whose content is refetched while the page is open. `id` names it on the page.
pub(in crate::ui) fn live_card(
    id: &str,
    width: Width,
    title: &str,
    aside: impl Render,
    body: impl Render,
) -> Markup {
    html! {
        section class=(width.class()) id=(id) data-live {
            h2 { (title) span.aside { (aside) } }
            (body)
        }
    }
}

/// The figure that a card is there for, with its unit or words.
pub(in crate::ui) fn big(figure: impl Render, words: impl Render) -> Markup {
    html! { p.big { (figure) " " small { (words) } } }
}
