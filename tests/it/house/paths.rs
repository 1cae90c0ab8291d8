//! Reads out of a source file which modules it names: the tool of the other checks here.

/// Every path in a file's code that starts with `crate`, `self` or `super`, and every path of a `use`
/// statement, those over several lines and with nested braces included. Inline test modules are left out.
pub(super) fn paths(text: &str) -> Vec<Vec<String>> {
    let code = without_comments_and_strings(text);
    let code = code.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let mut found = Vec::new();
    let mut rest = String::new();
    let mut unread = code;
    while let Some(at) = next_use(unread) {
        let (before, statement) = unread.split_at(at);
        let end = statement.find(';').unwrap_or(statement.len());
        expand("", &statement["use ".len()..end], &mut found);
        rest.push_str(before);
        unread = &statement[end..];
    }
    rest.push_str(unread);
    found.extend(inline_paths(&rest));
    found.iter().map(|path| segments(path)).collect()
}

/// A path's names, without what `use` adds to them (`as NAME`, a last `self`).
fn segments(path: &str) -> Vec<String> {
    let path = path.split(" as ").next().unwrap_or_default();
    let mut names: Vec<String> = path.split("::").map(|name| name.trim().to_owned()).collect();
    if names.len() > 1 && names.last().is_some_and(|last| last == "self") {
        names.pop();
    }
    names
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// Where the next `use` statement begins.
fn next_use(code: &str) -> Option<usize> {
    code.match_indices("use ").map(|(at, _)| at).find(|at| !code[..*at].ends_with(is_name))
}

/// The paths of one tree: `a::{b, c::{d, e}}` is `a::b`, `a::c::d` and `a::c::e`.
fn expand(prefix: &str, tree: &str, found: &mut Vec<String>) {
    let mut depth = 0;
    let parts = tree.split(|c: char| {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        c == ',' && depth == 0
    });
    for part in parts.map(str::trim).filter(|part| !part.is_empty()) {
        match part.split_once('{') {
            Some((base, inner)) => {
                let inner = inner.rsplit_once('}').map_or(inner, |(inner, _)| inner);
                expand(&format!("{prefix}{}", base.trim()), inner, found);
            }
            None => found.push(format!("{prefix}{part}")),
        }
    }
}

/// The paths within expressions and types that say where they start.
fn inline_paths(code: &str) -> impl Iterator<Item = String> {
    let starts = ["crate::", "self::", "super::"].into_iter().flat_map(|start| code.match_indices(start));
    starts.filter(|(at, _)| !code[..*at].ends_with(|c| is_name(c) || c == ':')).map(|(at, _)| {
        let path: String = code[at..].chars().take_while(|c| is_name(*c) || *c == ':').collect();
        path.trim_end_matches(':').to_owned()
    })
}

/// Only code is left; a string becomes `""`.
fn without_comments_and_strings(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if let Some(length) = string(rest) {
            code.push_str("\"\"");
            length
        } else if let Some(length) = character(rest) {
            length
        } else {
            code.push(c);
            c.len_utf8()
        };
        rest = &rest[length..];
    }
    code
}

/// How long the string is that a text begins with, raw or not.
fn string(text: &str) -> Option<usize> {
    if let Some(raw) = text.strip_prefix('r') {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        if raw[hashes..].starts_with('"') {
            let end = format!("\"{}", "#".repeat(hashes));
            let content = hashes + 2;
            return text[content..].find(&end).map(|at| content + at + end.len());
        }
    }
    let mut escaped = false;
    let end = text.strip_prefix('"')?.find(|c| {
        let ends = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    });
    end.map(|at| at + 2)
}

/// How long the character literal is that a text begins with; a lifetime is none.
fn character(text: &str) -> Option<usize> {
    let inner = text.strip_prefix('\'')?;
    let first = inner.chars().next()?;
    let skipped = if first == '\\' { 2 } else { first.len_utf8() };
    let close = inner.get(skipped..)?.find('\'')?;
    (first == '\\' || close == 0).then_some(skipped + close + 2)
}

#[test]
fn use_statements_are_read_whole() {
    let text = r#"
        pub(super) use crate::a::{
            self, b as other, // x::y,
            c::{d, e},
        };
        const TEXT: &str = "use crate::not::this;";
        fn f(c: char) -> bool { c == '"' || super::super::g::h::<'_>(c) || '\'' == c || reuse (c) }
    "#;
    let found: Vec<String> = paths(text).iter().map(|path| path.join("::")).collect();
    assert_eq!(found, ["crate::a", "crate::a::b", "crate::a::c::d", "crate::a::c::e", "super::super::g::h"]);
}
