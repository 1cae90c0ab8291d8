//! What texts of any length are looked up by.

use sha2::{Digest, Sha256};

/// The longest text that is its own key, in characters. Indexes of PostgreSQL take 2,700 bytes of a row.
const CHARS_MAX: usize = 200;

/// The text itself, or what it begins with and a digest of the whole if it is longer than any should be.
/// Different texts have different keys.
pub fn lookup_key(text: String) -> String {
    match text.char_indices().nth(CHARS_MAX) {
        None => text,
        Some((end, _)) => format!("{}…{}", &text[..end], hex::encode(Sha256::digest(&text))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_short_and_as_different_as_the_texts() {
        let longest = "ü".repeat(CHARS_MAX);
        assert_eq!(lookup_key(longest.clone()), longest);
        let (one, other) = (lookup_key(format!("{longest}1")), lookup_key(format!("{longest}2")));
        assert!(one.len() < 500 && one.starts_with(&longest) && one != other, "{one}");
        assert_ne!(lookup_key(one.clone()), one, "nobody can send the key of another text");
    }
}
