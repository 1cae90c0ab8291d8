//! Numbers and times as sentences say them.

use std::time::Duration;

use vocabulary::clock::Timestamp;

/// `1 station`, `6 stations`.
pub(super) fn count(number: u64, one: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {one}s") }
}

/// `1 more station`, `6 more stations`.
pub(super) fn more(number: u64, one: &str) -> String {
    count(number, &format!("more {one}"))
}

/// Small numbers as words.
pub(super) fn spelled(number: u64) -> String {
    const WORDS: [&str; 13] = [
        "no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven",
        "twelve",
    ];
    WORDS.get(number as usize).map_or_else(|| number.to_string(), |word| (*word).to_owned())
}

/// `first`, `second`, `third`, `4th`.
pub(super) fn nth(number: u64) -> String {
    match number {
        1 => "first".to_owned(),
        2 => "second".to_owned(),
        3 => "third".to_owned(),
        _ => {
            let ending = match (number % 10, number % 100 / 10) {
                (1, tens) if tens != 1 => "st",
                (2, tens) if tens != 1 => "nd",
                (3, tens) if tens != 1 => "rd",
                _ => "th",
            };
            format!("{number}{ending}")
        }
    }
}

/// `at 07:55 UTC`, with the day if that is not the one of `now`.
pub(super) fn at(moment: Timestamp, now: Timestamp) -> String {
    let (text, today) = (moment.to_string(), now.to_string());
    // A moment beyond the calendar is not written as one.
    match (text.get(..10), text.get(11..16)) {
        (Some(day), Some(time)) if today.get(..10) == Some(day) => format!("at {time} UTC"),
        (Some(day), Some(time)) => format!("at {time} UTC on {day}"),
        _ => format!("at {text}"),
    }
}

/// `since 07:55 UTC`.
pub(super) fn since(moment: Timestamp, now: Timestamp) -> String {
    at(moment, now).replacen("at", "since", 1)
}

/// About how long: `2 s`, `40 min`, `5 h`, `3 days`.
pub(super) fn span(duration: Duration) -> String {
    match duration.as_secs() {
        seconds @ ..120 => format!("{seconds} s"),
        seconds @ ..7_200 => format!("{} min", seconds / 60),
        seconds @ ..172_800 => format!("{} h", seconds / 3_600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

/// About how much: `312 MiB`.
pub(super) fn bytes(bytes: u64) -> String {
    match bytes {
        0..0x10_0000 => format!("{} KiB", bytes >> 10),
        0x10_0000..0x4000_0000 => format!("{} MiB", bytes >> 20),
        _ => format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30)),
    }
}

/// A sentence begins with a capital letter.
pub(super) fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
