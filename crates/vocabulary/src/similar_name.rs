//! The known name that somebody most likely meant.

/// The name among `known` with the smallest edit distance to `name`, whatever the case of its letters,
/// if that is small enough to be a slip.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    closest(name, known).filter(|(distance, known)| *distance <= known.len() / 2).map(|(_, known)| known)
}

/// The same where there are many names, short ones among them, and most have nothing to do with each other:
/// at most every third letter is wrong.
pub fn near<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    closest(name, known).filter(|(distance, known)| *distance <= known.len() / 3).map(|(_, known)| known)
}

/// The name among `known` that `pattern`, in which `*` stands for any run of characters, fits with the fewest
/// of its other letters changed, at most every third.
pub fn near_fit<'a>(pattern: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let letters = pattern.chars().filter(|c| *c != '*').count();
    closest(pattern, known)
        .filter(|(distance, _)| letters > 0 && *distance <= letters / 3)
        .map(|(_, known)| known)
}

fn closest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<(usize, &'a str)> {
    let wanted: Vec<char> = name.to_lowercase().chars().collect();
    let distance = |known: &str| edit_distance(&wanted, &known.to_lowercase().chars().collect::<Vec<_>>());
    known.into_iter().map(|known| (distance(known), known)).min()
}

/// How many letters have to be put in, left out, changed or swapped with their neighbour to make `from` into
/// `to`. A `*` in `from` is whatever it has to be.
fn edit_distance(from: &[char], to: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, letter) in from.iter().enumerate() {
        let free = *letter == '*';
        let mut next = vec![row[0] + usize::from(!free)];
        for (j, wanted) in to.iter().enumerate() {
            let mut least = (row[j] + usize::from(letter != wanted && !free))
                .min(row[j + 1] + usize::from(!free))
                .min(next[j] + usize::from(!free));
            if i > 0 && j > 0 && *letter == to[j - 1] && from[i - 1] == *wanted {
                least = least.min(before[j - 1] + 1);
            }
            next.push(least);
        }
        before = std::mem::replace(&mut row, next);
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_name_and_nonsense_finds_none() {
        let known = ["listen", "heartbeat_interval", "paths"];
        assert_eq!(nearest("listn", known), Some("listen"));
        assert_eq!(nearest("HeartbeatInterval", known), Some("heartbeat_interval"));
        assert_eq!(nearest("zzz", known), None);
    }

    #[test]
    fn what_has_little_in_common_is_not_near() {
        let known = ["url", "q", "events", "since", "secret_value", "retry_schedule"];
        for (name, expected) in [
            ("uri", Some("url")),
            ("event", Some("events")),
            ("snice", Some("since")),
            ("secretValue", Some("secret_value")),
            ("retry_shedule", Some("retry_schedule")),
            ("x", None),
            ("colour", None),
            ("status", None),
        ] {
            assert_eq!(near(name, known), expected, "{name}");
        }
    }

    #[test]
    fn a_pattern_is_near_what_it_nearly_fits() {
        let known = ["StartTransaction", "StopTransaction", "BootNotification", "ocpp.*"];
        for (pattern, expected) in [
            ("Strat*", Some("StartTransaction")),
            ("start*", Some("StartTransaction")),
            ("*Notificaton", Some("BootNotification")),
            ("ocp.*", Some("ocpp.*")),
            ("Zzz*", None),
            ("Q*", None),
            ("**", None),
        ] {
            assert_eq!(near_fit(pattern, known), expected, "{pattern}");
        }
    }
}
