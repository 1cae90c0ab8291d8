//! Which of its two media types a list is answered in: what the `Accept` header prefers (RFC 9110, 12.5.1).

use std::cmp::Reverse;

use http::HeaderMap;
use http::header::ACCEPT;

/// A range of media types, such as `text/*;q=0.5`.
struct MediaRange<'a> {
    kind: &'a str,
    subtype: &'a str,
    /// Thousandths.
    quality: u16,
}

/// How much a media type is wanted: by its quality, then by how exactly it is named, then by its place.
type Wish = (u16, u8, Reverse<usize>);

/// Whether a CSV is preferred to JSON. Without a preference it is JSON.
pub(super) fn prefers_csv(headers: &HeaderMap) -> bool {
    let values = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let ranges: Vec<MediaRange<'_>> =
        values.flat_map(|value| value.split(',')).filter_map(MediaRange::read).collect();
    let (csv, json) = (wish(&ranges, "text", "csv"), wish(&ranges, "application", "json"));
    csv.is_some_and(|(quality, ..)| quality > 0) && csv > json
}

/// The range that names a media type most exactly decides about it.
fn wish(ranges: &[MediaRange<'_>], kind: &str, subtype: &str) -> Option<Wish> {
    let fitting = ranges.iter().enumerate().filter_map(|(place, range)| {
        let exactness = range.names(kind, subtype)?;
        Some((range.quality, exactness, Reverse(place)))
    });
    fitting.max_by_key(|(_, exactness, place)| (*exactness, *place))
}

impl<'a> MediaRange<'a> {
    fn read(text: &'a str) -> Option<Self> {
        let mut parts = text.split(';').map(str::trim);
        let (kind, subtype) = parts.next()?.split_once('/')?;
        let quality = parts.find_map(|parameter| {
            let (name, value) = parameter.split_once('=')?;
            name.trim().eq_ignore_ascii_case("q").then(|| value.trim().parse::<f32>().ok())?
        });
        let quality = (quality.unwrap_or(1.0).clamp(0.0, 1.0) * 1_000.0) as u16;
        Some(Self { kind, subtype, quality })
    }

    /// How exactly it names this media type; `None` if it does not.
    fn names(&self, kind: &str, subtype: &str) -> Option<u8> {
        match (self.kind, self.subtype) {
            ("*", "*") => Some(0),
            (own, _) if !own.eq_ignore_ascii_case(kind) => None,
            (_, "*") => Some(1),
            (_, own) => own.eq_ignore_ascii_case(subtype).then_some(2),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_csv_is_answered_to_those_who_prefer_it() {
        for (accept, csv) in [
            ("text/csv", true),
            ("TEXT/CSV; header=present; charset=utf-8", true),
            ("text/*", true),
            ("text/csv, */*;q=0.1", true),
            ("text/csv, */*", true),
            ("text/csv, application/json", true),
            ("application/json;q=0.5, text/csv;q=0.8", true),
            ("application/xml, text/csv;q=0.2", true),
            ("", false),
            ("*/*", false),
            ("application/json, text/csv", false),
            ("application/json, text/plain, */*", false),
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", false),
            ("text/csv;q=0", false),
            ("text/csv;q=0, text/*", false),
            ("text/csv;q=0.3, */*", false),
            ("text/event-stream", false),
            ("nonsense, /, ;q=", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, HeaderValue::from_static(accept));
            assert_eq!(prefers_csv(&headers), csv, "{accept}");
        }
        let mut twice = HeaderMap::new();
        twice.append(ACCEPT, HeaderValue::from_static("application/json;q=0.1"));
        twice.append(ACCEPT, HeaderValue::from_static("text/csv"));
        assert!(prefers_csv(&twice), "several headers are one list");
        assert!(!prefers_csv(&HeaderMap::new()));
    }
}
