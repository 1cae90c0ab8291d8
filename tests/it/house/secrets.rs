//! Nothing that may hold a secret can be printed by accident.

use super::source::{Source, sources};

/// Fields of these names and types are secrets, or may hold some.
fn is_secret(field: &str) -> bool {
    let Some((name, kind)) = field.trim().trim_start_matches("pub ").split_once(": ") else { return false };
    let name = name.rsplit(' ').next().unwrap_or(name);
    let named = [
        "password",
        "secret",
        "secret_value",
        "signing_secret",
        "api_key",
        "token",
        "custom_headers",
        "headers",
    ];
    let shown = ["String", "Vec<u8>", "[u8", "BTreeMap<", "HeaderMap", "Url", "&"];
    named.contains(&name) && shown.iter().any(|shown| kind.trim_start_matches("Option<").starts_with(shown))
}

#[test]
fn nothing_that_holds_a_secret_derives_debug() {
    // They hold names of headers, and the few headers of an answer that are kept and listed.
    let shown_on_purpose = [
        "crates/vocabulary/src/api/delivery.rs",
        "crates/outbound/src/outcome.rs",
        "crates/store/src/deliveries/list.rs",
    ];
    let sources = sources();
    for path in shown_on_purpose {
        assert!(sources.iter().any(|source| source.path == path), "{path} does not exist");
    }
    let mut holders = Vec::new();
    for Source { path, text } in sources.iter().filter(|source| !shown_on_purpose.contains(&&*source.path)) {
        let mut derived = false;
        for line in text.lines() {
            match line.trim() {
                derive if derive.starts_with("#[derive(") => derived = derive.contains("Debug"),
                // The end of a struct, or one without names.
                end if end == "}" || end.ends_with(");") => derived = false,
                field if derived && is_secret(field) => holders.push(format!("{path}: {field}")),
                _ => {}
            }
        }
    }
    assert!(holders.is_empty(), "Debug would show these: {holders:#?}");
}
