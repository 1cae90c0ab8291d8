//! The form above a list that narrows it. It is a GET: its address can be kept and sent to others.

use maud::{Markup, html};

use crate::ui::query::Query;
use vocabulary::api::problem::FieldError;

/// A form of filters.
pub(in crate::ui) struct Filters<'a> {
    path: &'a str,
    query: &'a Query,
    errors: &'a [FieldError],
    names: Vec<&'a str>,
    fields: Vec<Markup>,
}

impl<'a> Filters<'a> {
    /// Filters of the list at `path`. `errors` are what the API finds wrong with the query.
    pub(in crate::ui) fn new(path: &'a str, query: &'a Query, errors: &'a [FieldError]) -> Self {
        Self { path, query, errors, names: Vec::new(), fields: Vec::new() }
    }

    /// A line of text.
    pub(in crate::ui) fn text(self, name: &'a str, label: &str) -> Self {
        self.input("text", name, label)
    }

    /// The search of the list itself.
    pub(in crate::ui) fn search(self, name: &'a str, label: &str) -> Self {
        self.input("search", name, label)
    }

    /// One of some words, each with what people read; none of them at first.
    pub(in crate::ui) fn choice(self, name: &'a str, label: &str, words: &[(&str, &str)]) -> Self {
        self.choice_or(name, label, "any", words)
    }

    /// The same, where `unset` says what it means that none of them is chosen.
    pub(in crate::ui) fn choice_or(
        mut self,
        name: &'a str,
        label: &str,
        unset: &str,
        words: &[(&str, &str)],
    ) -> Self {
        let chosen = self.query.get(name).unwrap_or_default();
        let field = html! {
            select name=(name) {
                option value="" { (unset) }
                @for (word, shown) in words { option value=(word) selected[*word == chosen] { (shown) } }
            }
        };
        self.add(name, label, field);
        self
    }

    /// The form.
    pub(in crate::ui) fn render(self) -> Markup {
        let is_used = self.names.iter().any(|name| self.query.get(name).is_some());
        let others: Vec<_> =
            self.errors.iter().filter(|error| !self.names.contains(&error.field.as_str())).collect();
        html! {
            // A phone folds it where it is not in use; elsewhere it is always open.
            details.fold open data-fold[!is_used && self.errors.is_empty()] {
                summary { "Filters" }
                form.filters method="get" action=(self.path) role="search" aria-label="Filters" {
                    @for field in &self.fields { (field) }
                    div.go { button { "Filter" } @if is_used { " " a href=(self.path) { "Clear" } } }
                }
            }
            @if !others.is_empty() {
                ul.errors role="alert" {
                    @for error in others { li { code { (error.field) } " " (error.message) } }
                }
            }
        }
    }

    fn input(mut self, kind: &str, name: &'a str, label: &str) -> Self {
        let value = self.query.get(name).unwrap_or_default();
        let wrong = self.errors.iter().any(|error| error.field == name);
        let field = html! { input type=(kind) name=(name) value=(value) autocomplete="off" aria-invalid=[wrong.then_some("true")]; };
        self.add(name, label, field);
        self
    }

    fn add(&mut self, name: &'a str, label: &str, input: Markup) {
        let errors = self.errors.iter().filter(|error| error.field == name);
        self.fields.push(html! {
            label.filter { span { (label) } (input) @for error in errors { span.error { (error.message) } } }
        });
        self.names.push(name);
    }
}
