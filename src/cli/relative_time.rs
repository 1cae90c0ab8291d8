//! Times as people tell them: how long ago.

use vocabulary::clock::Timestamp;

/// Beyond so many days the day itself says more.
const DAYS_MAX: u64 = 60;

/// How long before `now` this was, or how long after it will be: `3 min ago`, `in 2 h`; the day if that is
/// long.
pub(super) fn relative(at: Timestamp, now: Timestamp) -> String {
    let ms = now.unix_ms().abs_diff(at.unix_ms());
    let span = match ms {
        0..1_000 => return "now".to_owned(),
        1_000..60_000 => format!("{} s", ms / 1_000),
        60_000..3_600_000 => format!("{} min", ms / 60_000),
        3_600_000..172_800_000 => format!("{} h", ms / 3_600_000),
        _ if ms / 86_400_000 <= DAYS_MAX => format!("{} d", ms / 86_400_000),
        _ => return at.to_string().chars().take_while(|c| *c != 'T').collect(),
    };
    if at < now { format!("{span} ago") } else { format!("in {span}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_in_units_that_fit() {
        let now: Timestamp = "2026-04-14T12:00:00.000Z".parse().expect("a time");
        for (at, told) in [
            ("2026-04-14T12:00:00.999Z", "now"),
            ("2026-04-14T11:59:59.000Z", "1 s ago"),
            ("2026-04-14T11:59:00.001Z", "59 s ago"),
            ("2026-04-14T11:57:00.000Z", "3 min ago"),
            ("2026-04-14T10:00:01.000Z", "1 h ago"),
            ("2026-04-12T12:00:00.001Z", "47 h ago"),
            ("2026-04-12T12:00:00.000Z", "2 d ago"),
            ("2026-02-13T12:00:00.000Z", "60 d ago"),
            ("2026-02-12T12:00:00.000Z", "2026-02-12"),
            ("2026-04-14T14:30:00.000Z", "in 2 h"),
            ("2099-01-01T00:00:00.000Z", "2099-01-01"),
        ] {
            assert_eq!(relative(at.parse().expect("a time"), now), told, "{at}");
        }
    }
}
