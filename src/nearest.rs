//! The known name that somebody most likely meant.

/// The name among `known` with the smallest edit distance to `name`, whatever the case of its letters,
/// if that is small enough to be a slip.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = name.to_ascii_lowercase();
    known
        .into_iter()
        .map(|known| (edit_distance(&wanted, &known.to_ascii_lowercase()), known))
        .min()
        .filter(|(distance, known)| *distance <= known.len() / 2)
        .map(|(_, known)| known)
}

fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
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
}
