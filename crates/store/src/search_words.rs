//! Words: what a search looks for, and what it looks at. Pure.
//!
//! A word is a run of letters and digits in lower case; everything else only separates. Signs of scripts that
//! are written without blanks are words of their own.

/// Characters of a word that the index knows; of longer ones (signed documents, certificates) only so many.
pub(crate) const INDEXED_CHARS: usize = 64;

/// What somebody looks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Each is part of a text that has it, as [`of_payload`] spells it.
    needles: Vec<String>,
    /// Without a single letter or digit there are no words: then the text is looked for as it stands, unless
    /// it is made of nothing but what every JSON text is made of.
    verbatim: Option<String>,
}

impl Wanted {
    /// Reads what a user wrote. Any text is legal: words, all of which must occur, a `*` behind one that only
    /// begins so, and quotes around words that must follow each other.
    pub(crate) fn parse(text: &str) -> Self {
        let mut needles: Vec<String> = Vec::new();
        let mut add = |item: &str, begins: bool| {
            let mut needle = spell(item.chars(), usize::MAX);
            if begins || item.trim_end().ends_with('*') {
                needle.truncate(needle.trim_end().len());
            }
            if !needle.trim().is_empty() && !needles.contains(&needle) {
                needles.push(needle);
            }
        };
        // What stands between quotes is every other part.
        for (nth, part) in text.split('"').enumerate() {
            if nth % 2 == 1 {
                let behind = text.split('"').nth(nth + 1).unwrap_or_default();
                add(part, behind.starts_with('*'));
            } else {
                part.split_whitespace().for_each(|word| add(word, false));
            }
        }
        let says_something = text.contains(|c: char| !c.is_whitespace() && !"\"{}[]:,*".contains(c));
        let verbatim = (needles.is_empty() && says_something).then(|| text.to_lowercase());
        Self { needles, verbatim }
    }

    /// Whether there is nothing to look for, so that nothing is found.
    pub(crate) fn is_nothing(&self) -> bool {
        self.needles.is_empty() && self.verbatim.is_none()
    }

    /// Whether it is in this payload: what counts in the end, whatever an index has said before.
    pub(crate) fn is_in(&self, payload: &str) -> bool {
        if self.needles.is_empty() {
            return self.verbatim.as_ref().is_some_and(|verbatim| payload.to_lowercase().contains(verbatim));
        }
        let text = of_payload(payload, usize::MAX);
        self.needles.iter().all(|needle| text.contains(needle.as_str()))
    }

    /// What to ask the index for: it finds all that fit, and others in which the words follow each other in
    /// another way. `None`: the index knows nothing of it.
    pub(crate) fn expression(&self) -> Option<String> {
        let mut terms: Vec<String> = Vec::new();
        for needle in &self.needles {
            let begins = !needle.ends_with(' ');
            let words: Vec<&str> = needle.split_whitespace().collect();
            for (nth, word) in words.iter().enumerate() {
                let known: String = word.chars().take(INDEXED_CHARS).collect();
                let star = if begins && nth + 1 == words.len() { "*" } else { "" };
                // In quotes nothing is an operator; words have none in them.
                let term = format!("\"{known}\"{star}");
                if !terms.contains(&term) {
                    terms.push(term);
                }
            }
        }
        (!terms.is_empty()).then(|| terms.join(" AND "))
    }
}

/// The words of a JSON text, names of members among them, with a blank before, between and behind them; of
/// each word at most `most` characters.
pub(crate) fn of_payload(json: &str, most: usize) -> String {
    // Nothing but strings has backslashes.
    match json.contains('\\') {
        true => spell(unescaped(json).chars(), most),
        false => spell(json.chars(), most),
    }
}

fn spell(text: impl Iterator<Item = char>, most: usize) -> String {
    let mut spelled = String::from(" ");
    let mut length = 0;
    for c in text {
        if !c.is_alphanumeric() {
            end_word(&mut spelled);
            length = 0;
        } else if stands_alone(c) {
            end_word(&mut spelled);
            spelled.push(c);
            end_word(&mut spelled);
            length = 0;
        } else if length < most {
            match c.is_ascii() {
                true => spelled.push(c.to_ascii_lowercase()),
                false => spelled.extend(c.to_lowercase()),
            }
            length += 1;
        }
    }
    end_word(&mut spelled);
    spelled
}

fn end_word(spelled: &mut String) {
    if !spelled.ends_with(' ') {
        spelled.push(' ');
    }
}

/// Chinese, Japanese and Korean signs.
fn stands_alone(c: char) -> bool {
    matches!(c, '\u{2e80}'..='\u{9fff}' | '\u{ac00}'..='\u{d7af}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}')
}

/// A JSON text whose escapes are what they stand for, where that is a letter; the others only separate.
fn unescaped(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    let mut parts = json.split('\\');
    text.push_str(parts.next().unwrap_or_default());
    // UTF-16 units that stand together: letters beyond the first 65,536 take two.
    let mut units: Vec<u16> = Vec::new();
    while let Some(part) = parts.next() {
        let unit = part.strip_prefix('u').and_then(|rest| u16::from_str_radix(rest.get(..4)?, 16).ok());
        let rest = match unit {
            Some(unit) => {
                units.push(unit);
                part.get(5..).unwrap_or_default()
            }
            None => {
                text.extend(char::decode_utf16(units.drain(..)).map(|c| c.unwrap_or(' ')));
                text.push(' ');
                let mut rest = part.chars();
                // Behind an escaped backslash the next part is a plain text.
                if rest.next().is_none() {
                    text.push_str(parts.next().unwrap_or_default());
                }
                rest.as_str()
            }
        };
        if !rest.is_empty() {
            text.extend(char::decode_utf16(units.drain(..)).map(|c| c.unwrap_or(' ')));
            text.push_str(rest);
        }
    }
    text.extend(char::decode_utf16(units).map(|c| c.unwrap_or(' ')));
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn is_in(wanted: &str, payload: &str) -> bool {
        Wanted::parse(wanted).is_in(payload)
    }

    #[test]
    fn words_numbers_and_what_is_put_together_of_them_are_found() {
        let payload = r#"{"connectorId":1,"idTag":"04A1B2","meterStart":12.5,"info":"Ground Failure L1-N","at":
            "2026-04-14T12:00:00Z","vendor":"M\u00fcller \ud835\udd38\n\\url","url":"https://ex.org/a_b","n":"充电桩"}"#;
        for found in [
            "04a1b2",
            "04A1B2",
            "12.5",
            "12",
            "l1-n",
            "L1",
            "ground failure",
            "\"ground failure\"",
            "fail*",
            "\"ground fail\"*",
            "\"ground fail*\"",
            "failure ground",
            "connectorId",
            "\"connectorId 1\"",
            "connectorId:1",
            "MÜLLER",
            "mü*",
            "𝔸",
            "url",
            "2026-04-14T12:00:00Z",
            "2026-04*",
            "2026-04-14*",
            "ex.org/a_b",
            "https://ex.org",
            "电",
            "充电",
            "04a1b2 12.5 müller",
            "\"idTag\":\"04A1B2\"",
            "(04A1B2)",
            "-04A1B2",
            "\"04A1B2",
            "{\"connectorId\":1",
        ] {
            assert!(is_in(found, payload), "{found}");
        }
        for missed in [
            "04A1B",
            "A1B2",
            "round",
            "\"failure ground\"",
            "04A1B2 other",
            "2.5",
            "12-5-6",
            "电充",
            "u00fc",
            "nurl",
            "ground NOT l1",
            "ground OR other",
            "fail",
            "d38",
        ] {
            assert!(!is_in(missed, payload), "{missed}");
        }
        assert!(is_in("2026-04", payload), "a day and what follows are words of their own");
    }

    #[test]
    fn without_a_word_the_text_is_looked_for_as_it_stands() {
        for wanted in ["*", "\"", "{}", ":", " ", "-", "💥"] {
            assert_eq!(Wanted::parse(wanted).expression(), None, "{wanted}");
        }
        assert!(is_in("💥", r#"{"a":"💥"}"#) && is_in("-", r#"{"a":-1}"#) && !is_in("%", r#"{"a":1}"#));
    }

    #[test]
    fn what_every_payload_is_made_of_finds_none() {
        for nothing in ["\"", "\"\"", " ", "\t", "{}", "[]", ":", ",", "*", "\" *", "{\"\": [ ]}"] {
            assert!(Wanted::parse(nothing).is_nothing(), "{nothing}");
            assert!(!is_in(nothing, &format!("{{\"a\": [{nothing:?}]}}")), "{nothing}");
        }
        assert!(!Wanted::parse("\"a").is_nothing() && !Wanted::parse("%").is_nothing());
    }

    #[test]
    fn the_index_is_asked_for_words_in_quotes_and_for_no_operator() {
        for (wanted, expression) in [
            ("04A1B2", r#""04a1b2""#),
            ("a OR b* NEAR(c)", r#""a" AND "or" AND "b"* AND "near" AND "c""#),
            (r#""Ground fail"* x" - "#, r#""ground" AND "fail"* AND "x""#),
            ("12.5 12.5", r#""12" AND "5""#),
        ] {
            assert_eq!(Wanted::parse(wanted).expression().as_deref(), Some(expression), "{wanted}");
        }
        let long = "f".repeat(INDEXED_CHARS + 9);
        let known = format!("\"{}\"", "f".repeat(INDEXED_CHARS));
        assert_eq!(Wanted::parse(&long).expression(), Some(known));
        assert!(is_in(&long, &format!("[\"{long}\"]")) && !is_in(&long, &format!("[\"{long}0\"]")));
    }

    proptest! {
        #[test]
        fn any_word_is_found_in_the_json_that_holds_it(text in "\\PC{1,40}", around in "\\PC{0,9}") {
            prop_assume!(text.contains(char::is_alphanumeric));
            let quoted = format!("\"{}\"", text.replace(['"', '*'], " "));
            let json = serde_json::json!({ "k": format!("{around} {text} {around}") }).to_string();
            prop_assert!(is_in(&quoted, &json), "{quoted} in {json}");
            let ascii: String = json.chars().flat_map(|c| match c.is_ascii() {
                true => vec![c],
                false => {
                    let mut units = [0; 2];
                    c.encode_utf16(&mut units).iter().flat_map(|unit| format!("\\u{unit:04x}").chars().collect::<Vec<_>>()).collect()
                }
            }).collect();
            prop_assert!(is_in(&quoted, &ascii), "{quoted} in {ascii}");
        }

        #[test]
        fn anything_can_be_asked_for(text in "\\PC{1,200}") {
            let wanted = Wanted::parse(&text);
            prop_assert_eq!(wanted.expression().is_none(), wanted.needles.is_empty());
        }
    }
}
