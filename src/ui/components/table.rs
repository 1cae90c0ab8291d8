//! A table with a caption, and the links to its next page and its other orders.

use maud::{Markup, html};

use crate::ui::query::Query;

/// How a column stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    /// At the right.
    Number,
    /// Not shown on a phone.
    Minor,
    /// A number that is not shown on a phone.
    MinorNumber,
}

/// A column's heading.
#[derive(Debug, Clone, Copy)]
pub(in crate::ui) struct Column {
    label: &'static str,
    kind: Kind,
}

/// A column of text.
pub(in crate::ui) const fn text(label: &'static str) -> Column {
    Column { label, kind: Kind::Text }
}

/// A column of numbers.
pub(in crate::ui) const fn number(label: &'static str) -> Column {
    Column { label, kind: Kind::Number }
}

/// A column that a phone leaves out.
pub(in crate::ui) const fn minor(label: &'static str) -> Column {
    Column { label, kind: Kind::Minor }
}

/// A column of numbers that a phone leaves out.
pub(in crate::ui) const fn minor_number(label: &'static str) -> Column {
    Column { label, kind: Kind::MinorNumber }
}

impl Column {
    fn class(self) -> Option<&'static str> {
        match self.kind {
            Kind::Text => None,
            Kind::Number => Some("num"),
            Kind::Minor => Some("minor"),
            Kind::MinorNumber => Some("num minor"),
        }
    }
}

/// A table of rows; every row has a cell for each column.
pub(in crate::ui) fn table<const N: usize>(
    caption: &str,
    columns: [Column; N],
    rows: impl IntoIterator<Item = [Markup; N]>,
) -> Markup {
    html! {
        div.scroll tabindex="0" role="group" aria-label=(caption) {
            table {
                caption { (caption) }
                thead { tr {
                    @for column in columns { th scope="col" class=[column.class()] { (column.label) } }
                } }
                tbody {
                    @for row in rows {
                        tr { @for (cell, column) in row.iter().zip(columns) { td class=[column.class()] { (cell) } } }
                    }
                }
            }
        }
    }
}

/// The links below a list: to its beginning, to the next page, and to the other order. They keep the filters.
pub(in crate::ui) fn pager(path: &str, query: &Query, next_cursor: Option<&str>) -> Markup {
    let is_first = query.get("cursor").is_none();
    let oldest_first = query.get("order") == Some("asc");
    let turned =
        query.link(path, &[("cursor", None), ("order", if oldest_first { None } else { Some("asc") })]);
    html! {
        nav.pager aria-label="Pages" {
            @if !is_first { a href=(query.link(path, &[("cursor", None)])) { "First page" } }
            @if let Some(cursor) = next_cursor {
                a rel="next" href=(query.link(path, &[("cursor", Some(cursor))])) { "Next page" }
            }
            a.turn href=(turned) { @if oldest_first { "Newest first" } @else { "Oldest first" } }
        }
    }
}

/// The link to a list as a CSV, with the page's filters. `resource` is the list's path below `/api/v1`.
pub(in crate::ui) fn csv_link(resource: &str, query: &Query) -> Markup {
    let path = query.link(&format!("/ui/csv/{resource}"), &[("cursor", None)]);
    html! { a href=(path) download { "Export CSV" } }
}

/// An identity or a code, in the font of the machine.
pub(in crate::ui) fn mono(text: impl std::fmt::Display) -> Markup {
    html! { span.mono { (text) } }
}

/// A link to a thing by its identity.
pub(in crate::ui) fn link(path: &str, text: &str) -> Markup {
    html! { a.mono href=(path) { (text) } }
}
