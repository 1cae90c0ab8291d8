//! How deep a JSON text nests, told without reading it: what is kept raw goes on to readers that recurse.

/// Objects and arrays inside each other in one element of a frame. The deepest legal message of OCPP 1.6
/// has five; many JSON readers give up near a hundred, and the event around a payload adds a few of its own.
pub const MAX: usize = 64;

/// Whether more than `max` objects and arrays are open at once somewhere in `json`, which is well-formed.
pub fn is_deeper_than(json: &str, max: usize) -> bool {
    let mut depth = 0usize;
    let mut in_string = false;
    let mut bytes = json.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => in_string = !in_string,
            b'\\' if in_string => {
                bytes.next();
            }
            b'{' | b'[' if !in_string => {
                depth += 1;
                if depth > max {
                    return true;
                }
            }
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
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
}
