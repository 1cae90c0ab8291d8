//! What can be done next, as an answer to "why?" lists it. The API writes for programs too and names its own
//! calls; a page names the page whose form or button does the same.

use maud::{Markup, html};
use percent_encoding::percent_decode_str;

use crate::ui::links;

const METHODS: [&str; 5] = ["GET ", "PATCH ", "POST ", "PUT ", "DELETE "];

/// One thing that can be done.
pub(super) fn step(text: &str) -> Markup {
    let mut rest = text;
    let mut parts = Vec::new();
    while let Some(call) = Call::first_in(rest) {
        let Some((path, words)) = page(&call) else {
            // No page does that: the call stays as it is.
            parts.push(html! { (&rest[..call.end]) });
            rest = &rest[call.end..];
            continue;
        };
        parts.push(html! {
            (&rest[..call.start]) a href=(path) { (words) }
            @if !call.body.is_empty() { " (" (call.body.replace(['{', '}', '"'], "")) ")" }
        });
        rest = &rest[call.end..];
    }
    html! { @for part in &parts { (part) } (rest) }
}

/// A call of the API within a text.
struct Call<'a> {
    method: &'static str,
    /// Without its query.
    path: &'a str,
    /// What it is sent, as JSON; empty if the text names nothing.
    body: &'a str,
    start: usize,
    end: usize,
}

impl<'a> Call<'a> {
    fn first_in(text: &'a str) -> Option<Self> {
        let found = METHODS.iter().filter_map(|method| Some((text.find(&format!("{method}/"))?, *method)));
        let (start, method) = found.min()?;
        let path = &text[start + method.len()..];
        let path = &path[..path.find([' ', ',', ';', ')']).unwrap_or(path.len())];
        let mut end = start + method.len() + path.len();
        let after = &text[end..];
        let mut body = "";
        if let (true, Some(close)) = (after.starts_with(" {"), after.find('}')) {
            body = &after[1..=close];
            end += close + 1;
        }
        let path = path.split('?').next().unwrap_or(path);
        Some(Self { method: method.trim_end(), path, body, start, end })
    }
}

/// The page where the same is done or seen, and what its link says.
fn page(call: &Call<'_>) -> Option<(String, String)> {
    let parts: Vec<String> = call
        .path
        .split('/')
        .skip(1)
        .map(|part| percent_decode_str(part).decode_utf8_lossy().into_owned())
        .collect();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    match (call.method, parts.as_slice()) {
        ("PATCH", ["stations", id]) => Some((format!("{}/edit", links::station(id)), format!("change {id}"))),
        ("POST", ["stations", id, "disconnect"]) => Some((links::station(id), format!("disconnect {id}"))),
        (_, ["stations", id, ..]) => Some((links::station(id), format!("station {id}"))),
        ("POST", ["transactions", id, "close"]) => {
            Some((links::session(id.parse().ok()?), format!("close session {id}")))
        }
        (_, ["transactions", id, ..]) => Some((links::session(id.parse().ok()?), format!("session {id}"))),
        ("PUT", ["id-tags", tag]) => Some((links::tag(tag), format!("tag {tag}"))),
        (_, ["id-tags", tag, ..]) => Some((links::tag(tag.trim_matches('"')), format!("tag {tag}"))),
        ("POST", ["deliveries", id, verb @ ("resend" | "cancel")]) => {
            let verb = if *verb == "resend" { "send again" } else { "cancel" };
            Some((links::delivery(id), verb.to_owned()))
        }
        ("POST", ["webhooks", id, verb @ ("enable" | "resume" | "replay")]) => {
            Some((links::webhook(id.parse().ok()?), (*verb).to_owned()))
        }
        ("GET", ["deliveries"]) => Some(("/ui/deliveries".to_owned(), "deliveries".to_owned())),
        ("GET", ["audit"]) => Some(("/ui/audit".to_owned(), "audit log".to_owned())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_of_the_api_is_a_link_to_the_page_that_does_the_same() {
        for (text, shown) in [
            (
                "If it may connect again: PATCH /stations/CP_1 {\"blocked\": false}",
                "If it may connect again: <a href=\"/ui/stations/CP_1/edit\">change CP_1</a> (blocked: false)",
            ),
            (
                "Enable it (POST /webhooks/3/enable), then replay (POST /webhooks/3/replay)",
                "Enable it (<a href=\"/ui/webhooks/3\">enable</a>), then replay (<a href=\"/ui/webhooks/3\">\
                 replay</a>)",
            ),
            (
                "Close it: POST /transactions/7/close, with stopped_at",
                "Close it: <a href=\"/ui/sessions/7\">close session 7</a>, with stopped_at",
            ),
            (
                "If it may charge: PUT /id-tags/T%201?owner_id=acme",
                "If it may charge: <a href=\"/ui/tags?q=T%201\">tag T 1</a>",
            ),
            ("Register it: POST /stations {\"a\": 1}", "Register it: POST /stations {&quot;a&quot;: 1}"),
            ("Plug the cable in", "Plug the cable in"),
        ] {
            assert_eq!(step(text).into_string(), shown);
        }
    }
}
