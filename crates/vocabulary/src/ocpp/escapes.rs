//! Texts inside JSON that are written in ways a strict reader refuses: mended before anybody reads them,
//! since a payload is passed on as it is and one broken text would make a whole page of events unreadable.

use std::borrow::Cow;

/// Escapes control characters inside JSON strings (quirk Q18); `None` if there are none.
pub(super) fn escape_control_characters(text: &str) -> Option<String> {
    let mut escaped = String::with_capacity(text.len() + 16);
    let (mut in_string, mut after_backslash, mut found) = (false, false, false);
    for c in text.chars() {
        if in_string && c < ' ' {
            found = true;
            escaped.push_str(&format!("\\u{:04x}", c as u32));
            after_backslash = false;
            continue;
        }
        match c {
            '"' if !after_backslash => in_string = !in_string,
            _ => {}
        }
        after_backslash = in_string && c == '\\' && !after_backslash;
        escaped.push(c);
    }
    found.then_some(escaped)
}

/// Writes `\ufffd` for every escape that is half a surrogate pair without its other half: firmware that
/// cuts a text after so many characters leaves them behind, and no Unicode text can hold them.
pub(super) fn replace_lone_surrogates(json: &str) -> Cow<'_, str> {
    let unit = |at: usize| {
        let digits = json.get(at..at + 6)?.strip_prefix("\\u")?;
        u16::from_str_radix(digits, 16).ok()
    };
    let mut repaired = String::new();
    let (mut copied, mut at) = (0, 0);
    while let Some(found) = json[at..].find('\\') {
        at += found;
        at += match unit(at) {
            Some(0xd800..=0xdbff) if matches!(unit(at + 6), Some(0xdc00..=0xdfff)) => 12,
            Some(0xd800..=0xdfff) => {
                repaired.push_str(&json[copied..at]);
                repaired.push_str("\\ufffd");
                copied = at + 6;
                6
            }
            Some(_) => 6,
            // Any other escape is a backslash and one ASCII character.
            None => 2,
        };
        at = at.min(json.len());
    }
    if copied == 0 {
        return Cow::Borrowed(json);
    }
    repaired.push_str(&json[copied..]);
    Cow::Owned(repaired)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_surrogate_pair_costs_one_character() {
        let json = r#""a\ud83d b\ud83d\ude00 \\ud83d \ude00\"\u00e9""#;
        assert_eq!(replace_lone_surrogates(json), r#""a\ufffd b\ud83d\ude00 \\ud83d \ufffd\"\u00e9""#);
        assert_eq!(replace_lone_surrogates(r#""\uD800\uD800\uDC00""#), r#""\ufffd\uD800\uDC00""#);
        assert!(matches!(replace_lone_surrogates(r#""\\\" \n é""#), Cow::Borrowed(_)));
    }
}
