//! The addresses of pages.

use std::fmt::Display;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// All but what RFC 3986 lets stand in a segment of a path.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// `text` as a segment of a path or a value in a query.
pub(super) fn encoded(text: impl Display) -> String {
    utf8_percent_encode(&text.to_string(), SEGMENT).to_string()
}

/// A station's page.
pub(super) fn station(id: &str) -> String {
    format!("/ui/stations/{}", encoded(id))
}

/// A session's page.
pub(super) fn session(transaction_id: i64) -> String {
    format!("/ui/sessions/{transaction_id}")
}

/// An event's page.
pub(super) fn event(id: impl Display) -> String {
    format!("/ui/events/{}", encoded(id))
}

/// A delivery's page.
pub(super) fn delivery(id: impl Display) -> String {
    format!("/ui/deliveries/{}", encoded(id))
}

/// A webhook's page.
pub(super) fn webhook(id: i64) -> String {
    format!("/ui/webhooks/{id}")
}

/// A command's page.
pub(super) fn command(id: impl Display) -> String {
    format!("/ui/commands/{}", encoded(id))
}

/// A bulk command's page.
pub(super) fn bulk_command(id: impl Display) -> String {
    format!("/ui/commands/bulk/{}", encoded(id))
}

/// The page about an id tag.
pub(super) fn tag(id_tag: &str) -> String {
    format!("/ui/tags?q={}", encoded(id_tag))
}
