//! JSON as people read it: indented, in the order and with the digits in which it came.

use maud::{Markup, html};
use serde::de::IgnoredAny;

/// A JSON text, indented. A text that is no JSON is shown as it is.
pub(in crate::ui) fn pretty(text: &str) -> Markup {
    let is_json = serde_json::from_str::<IgnoredAny>(text).is_ok();
    html! { pre.json tabindex="0" { @if is_json { (indented(text)) } @else { (text) } } }
}

/// Breaks JSON into lines. Values are not read: numbers and texts stay as they were written.
fn indented(json: &str) -> String {
    let mut lines = String::with_capacity(json.len() * 2);
    let (mut depth, mut in_text, mut is_escaped) = (0, false, false);
    for letter in json.chars() {
        if in_text {
            lines.push(letter);
            in_text = is_escaped || letter != '"';
            is_escaped = letter == '\\' && !is_escaped;
            continue;
        }
        match letter {
            ' ' | '\t' | '\r' | '\n' => {}
            '}' | ']' => {
                depth -= 1;
                // What is empty stays on its line.
                if !lines.ends_with(['{', '[']) {
                    break_line(&mut lines, depth);
                }
                lines.push(letter);
            }
            _ => {
                if lines.ends_with(['{', '[', ',']) {
                    break_line(&mut lines, depth);
                }
                lines.push(letter);
                match letter {
                    '{' | '[' => depth += 1,
                    ':' => lines.push(' '),
                    '"' => in_text = true,
                    _ => {}
                }
            }
        }
    }
    lines
}

fn break_line(lines: &mut String, depth: usize) {
    lines.push('\n');
    lines.extend(std::iter::repeat_n("  ", depth));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_indented_and_nothing_of_it_changes() {
        let json = r#"{"b":1.50, "a":["{\"x\\",{},[ ]], "c" : {"d":null}}"#;
        let lines = "{\n  \"b\": 1.50,\n  \"a\": [\n    \"{\\\"x\\\\\",\n    {},\n    []\n  ],\n  \"c\": {\n    \"d\": null\n  }\n}";
        assert_eq!(indented(json), lines);
        assert!(pretty("<nonsense>").into_string().contains("&lt;nonsense&gt;"));
    }
}
