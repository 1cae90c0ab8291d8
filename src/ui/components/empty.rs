//! A place without rows, which says what to do first.

use maud::{Markup, Render, html};

use vocabulary::api::problem::FieldError;

/// Nothing is there: in a few words, and what would change that.
pub(in crate::ui) fn empty(words: &str, what_to_do: impl Render) -> Markup {
    html! { div.empty { p { b { (words) } } p { (what_to_do) } } }
}

/// Nothing fits the filters, or was looked for, where `errors` say what is wrong with those.
pub(in crate::ui) fn nothing_fits(path: &str, errors: &[FieldError]) -> Markup {
    let words = if errors.is_empty() { "Nothing fits these filters." } else { "Nothing was looked for." };
    empty(words, html! { a href=(path) { "Show all" } })
}

/// A command to type, with a button that copies it.
pub(in crate::ui) fn shell_command(command: &str) -> Markup {
    html! { span.command { code { (command) } (super::action::copy(command, "Copy")) } }
}
