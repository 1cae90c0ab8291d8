//! Buttons that change something. Each is a form of its own, so that it works without JavaScript; a list of
//! `fields` goes along with it.

use maud::{Markup, html};

/// The name of the field with the session's token.
pub(in crate::ui) const TOKEN: &str = "_token";

/// Fields that a button sends along.
pub(in crate::ui) type Fields<'a> = &'a [(&'a str, &'a str)];

/// A button that posts to `path`.
pub(in crate::ui) fn button(token: &str, path: &str, label: &str, fields: Fields<'_>) -> Markup {
    html! { form.inline method="post" action=(path) { (hidden(token, fields)) button { (label) } } }
}

/// The one button of a page that most people come for.
pub(in crate::ui) fn primary(token: &str, path: &str, label: &str, fields: Fields<'_>) -> Markup {
    html! { form.inline method="post" action=(path) { (hidden(token, fields)) button.primary { (label) } } }
}

/// A button that asks once more before it posts; `warning` says what will happen.
pub(in crate::ui) fn confirmed(
    token: &str,
    path: &str,
    label: &str,
    warning: &str,
    fields: Fields<'_>,
) -> Markup {
    html! {
        details.confirm {
            summary.button { (label) "…" }
            form method="post" action=(path) {
                (hidden(token, fields))
                p { (warning) }
                button.danger { (label) }
            }
        }
    }
}

/// The hidden fields of a form that posts: its token first.
pub(in crate::ui) fn hidden(token: &str, fields: Fields<'_>) -> Markup {
    html! {
        input type="hidden" name=(TOKEN) value=(token);
        @for (name, value) in fields { input type="hidden" name=(name) value=(value); }
    }
}

/// A button that copies a text. Without JavaScript it is not shown.
pub(in crate::ui) fn copy(text: &str, label: &str) -> Markup {
    html! { button.copy type="button" data-copy=(text) hidden { (label) } }
}
