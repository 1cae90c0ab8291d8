//! Fields of a form that changes something. What the API finds wrong with one stands below it.

use maud::{Markup, html};

use vocabulary::api::problem::FieldError;

/// The fields of one form: their values, and what is wrong with them.
pub(in crate::ui) struct Fields<'a> {
    values: &'a (dyn Fn(&str) -> Option<String> + Sync),
    errors: &'a [FieldError],
}

impl<'a> Fields<'a> {
    /// Fields whose values `values` knows.
    pub(in crate::ui) fn new(
        values: &'a (dyn Fn(&str) -> Option<String> + Sync),
        errors: &'a [FieldError],
    ) -> Self {
        Self { values, errors }
    }

    /// A line of text.
    pub(in crate::ui) fn text(&self, name: &str, label: &str, hint: &str) -> Markup {
        let value = (self.values)(name).unwrap_or_default();
        self.field(
            name,
            label,
            hint,
            html! {
                input id={ "f-" (name) } name=(name) value=(value) autocomplete="off"
                    aria-invalid=[self.is_wrong(name).then_some("true")] aria-describedby={ "d-" (name) };
            },
        )
    }

    /// A secret: what is typed is not shown, and what is stored never comes back.
    pub(in crate::ui) fn secret(&self, name: &str, label: &str, hint: &str) -> Markup {
        self.field(
            name,
            label,
            hint,
            html! {
                input type="password" id={ "f-" (name) } name=(name) autocomplete="off"
                    aria-invalid=[self.is_wrong(name).then_some("true")] aria-describedby={ "d-" (name) };
            },
        )
    }

    /// Several lines, such as JSON.
    pub(in crate::ui) fn area(&self, name: &str, label: &str, hint: &str) -> Markup {
        let value = (self.values)(name).unwrap_or_default();
        self.field(name, label, hint, html! {
            textarea.mono id={ "f-" (name) } name=(name) rows="5" spellcheck="false"
                aria-invalid=[self.is_wrong(name).then_some("true")] aria-describedby={ "d-" (name) } { (value) }
        })
    }

    /// One of some words, each with what people read.
    pub(in crate::ui) fn choice(
        &self,
        name: &str,
        label: &str,
        hint: &str,
        words: &[(&str, &str)],
    ) -> Markup {
        let value = (self.values)(name).unwrap_or_default();
        self.field(
            name,
            label,
            hint,
            html! {
                select id={ "f-" (name) } name=(name) aria-describedby={ "d-" (name) } {
                    @for (word, shown) in words { option value=(word) selected[*word == value] { (shown) } }
                }
            },
        )
    }

    /// Yes or no. A box that is not ticked sends nothing.
    pub(in crate::ui) fn tick(&self, name: &str, label: &str, hint: &str) -> Markup {
        let ticked = (self.values)(name).is_some_and(|value| value == "true");
        html! {
            div.field.tick {
                input type="checkbox" id={ "f-" (name) } name=(name) value="true" checked[ticked]
                    aria-describedby={ "d-" (name) };
                label for={ "f-" (name) } { (label) }
                (self.below(name, hint))
            }
        }
    }

    /// What is wrong with the form, apart from the fields that it has.
    pub(in crate::ui) fn others(&self, names: &[&str]) -> Markup {
        let others: Vec<_> =
            self.errors.iter().filter(|error| !names.iter().any(|name| concerns(error, name))).collect();
        html! {
            @if !others.is_empty() {
                ul.errors role="alert" {
                    @for error in others {
                        li { @if !error.field.is_empty() { code { (error.field) } " " } (error.message) }
                    }
                }
            }
        }
    }

    fn is_wrong(&self, name: &str) -> bool {
        self.errors.iter().any(|error| concerns(error, name))
    }

    fn field(&self, name: &str, label: &str, hint: &str, input: Markup) -> Markup {
        html! { div.field { label for={ "f-" (name) } { (label) } (input) (self.below(name, hint)) } }
    }

    fn below(&self, name: &str, hint: &str) -> Markup {
        html! {
            div.below id={ "d-" (name) } {
                @if !hint.is_empty() { span.hint { (hint) } }
                @for error in self.errors.iter().filter(|error| concerns(error, name)) {
                    span.error { @if error.field != name { code { (error.field) } " " } (error.message) }
                }
            }
        }
    }
}

/// Whether an error is about this field, or a part of it.
fn concerns(error: &FieldError, name: &str) -> bool {
    error.field.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}
