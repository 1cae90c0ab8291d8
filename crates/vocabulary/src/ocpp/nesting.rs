//! What a JSON text is built of, told without reading it: how deep it nests, and how many members it has.

use memchr::memchr2;

/// Objects and arrays inside each other in one element of a frame. The deepest legal message of OCPP 1.6
/// has five; many JSON readers give up near a hundred, and the event around a payload adds a few of its own.
pub const MAX: usize = 64;

/// Whether more than `max` objects and arrays are open at once somewhere in `json`, which is well-formed.
pub fn is_deeper_than(json: &str, max: usize) -> bool {
    let mut depth = 0usize;
    for byte in outside_strings(json) {
        match byte {
            b'{' | b'[' => {
                depth += 1;
                if depth > max {
                    return true;
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

/// Object members in `json`, which is well-formed: each has exactly one colon outside strings.
pub(super) fn members(json: &str) -> usize {
    outside_strings(json).filter(|byte| *byte == b':').count()
}

/// The bytes that stand outside strings. Strings are leapt over: they can be a megabyte.
fn outside_strings(json: &str) -> impl Iterator<Item = u8> {
    let mut rest = json.as_bytes();
    std::iter::from_fn(move || {
        loop {
            let (byte, behind) = rest.split_first()?;
            rest = behind;
            if *byte != b'"' {
                return Some(*byte);
            }
            while let Some(at) = memchr2(b'"', b'\\', rest) {
                let is_end = rest[at] == b'"';
                // Behind a backslash stands a character that ends nothing.
                rest = rest.get(at + if is_end { 1 } else { 2 }..).unwrap_or_default();
                if is_end {
                    break;
                }
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_open_at_once_counts() {
        let nested = |levels: usize| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
        assert!(!is_deeper_than(&nested(MAX), MAX));
        assert!(is_deeper_than(&nested(MAX + 1), MAX));
        assert!(is_deeper_than(&nested(200_000), MAX));
        assert!(!is_deeper_than(&format!("[{}0]", "{},".repeat(1_000)), 2), "beside each other");
        assert!(!is_deeper_than(r#"{"a":"[[[[\"[[[[\\"}"#, 1), "brackets in strings");
        assert!(!is_deeper_than("7", 0));
    }

    #[test]
    fn members_are_counted_wherever_they_are_and_not_in_strings() {
        assert_eq!(members(r#"{"a:\\":1,"b":[{"c\"":"x:y:z"},{}],"":{"d":null}}"#), 5);
        assert_eq!(members(r#"[":", "\":", "\\", 1]"#), 0);
        assert_eq!(members(r#"{"never ends: \"#), 0, "whatever it is given");
    }
}
