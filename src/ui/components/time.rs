//! Times and durations, as people read them. Times are in UTC; the page's module shows the local one on
//! hover.

use std::time::Duration;

use maud::{Markup, html};

use vocabulary::clock::Timestamp;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// How long ago a time is, or in how long it comes: `now`, `3 min ago`, `in 22 s`.
pub(in crate::ui) fn ago(at: Timestamp, now: Timestamp) -> Markup {
    let (elapsed, ahead) = (now.since(at), at.since(now));
    let words = match (elapsed.as_secs(), ahead.as_secs()) {
        (0..=2, 0) => "now".to_owned(),
        (_, 0) => format!("{} ago", span(elapsed)),
        (_, _) => format!("in {}", span(ahead)),
    };
    stamp(at, &words)
}

/// The same of a time that may be missing.
pub(in crate::ui) fn ago_or_dash(at: Option<Timestamp>, now: Timestamp) -> Markup {
    html! { @match at { Some(at) => { (ago(at, now)) }, None => span.muted { "–" } } }
}

/// The time of the day, with the day if it is another one: `10:02:11`, `2026-04-13 22:10:05`.
pub(in crate::ui) fn clock(at: Timestamp, now: Timestamp) -> Markup {
    let (text, today) = (at.to_string(), now.to_string());
    let time = text.get(11..19).unwrap_or_default();
    match text.get(..10) == today.get(..10) {
        true => stamp(at, time),
        false => stamp(at, &format!("{} {time}", text.get(..10).unwrap_or_default())),
    }
}

/// The whole time, to the second: `2026-04-14 10:02:11 UTC`.
pub(in crate::ui) fn full(at: Timestamp) -> Markup {
    stamp(at, &in_words(at))
}

fn stamp(at: Timestamp, words: &str) -> Markup {
    html! { time datetime=(at) title=(in_words(at)) { (words) } }
}

fn in_words(at: Timestamp) -> String {
    let text = at.to_string();
    format!("{} {} UTC", text.get(..10).unwrap_or_default(), text.get(11..19).unwrap_or_default())
}

/// A duration in its two largest units: `22 s`, `4 min`, `2 h 07 min`, `4 d 23 h`.
pub(in crate::ui) fn span(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0 if duration.is_zero() => "0 s".to_owned(),
        0 => format!("{} ms", duration.as_millis()),
        1..MINUTE => format!("{seconds} s"),
        MINUTE..HOUR => format!("{} min", seconds / MINUTE),
        HOUR..DAY => format!("{} h {:02} min", seconds / HOUR, seconds % HOUR / MINUTE),
        _ => format!("{} d {} h", seconds / DAY, seconds % DAY / HOUR),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_at_a_glance() {
        for (ms, words) in [
            (0, "0 s"),
            (38, "38 ms"),
            (22_500, "22 s"),
            (240_000, "4 min"),
            (7_620_000, "2 h 07 min"),
            (428_400_000, "4 d 23 h"),
        ] {
            assert_eq!(span(Duration::from_millis(ms)), words);
        }
        let now = Timestamp::from_unix_ms(1_776_170_096_789);
        let said = |at: Timestamp| ago(at, now).into_string();
        assert!(said(now).contains(">now<"));
        assert!(said(now.before(Duration::from_secs(200))).contains(">3 min ago<"));
        assert!(said(now.after(Duration::from_secs(22))).contains(">in 22 s<"));
        assert!(clock(now, now).into_string().contains("title=\"2026-04-14 12:34:56 UTC\">12:34:56<"));
    }
}
