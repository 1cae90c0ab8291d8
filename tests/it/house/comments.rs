//! Comments fit the page, in whatever language.

use std::fs;
use std::path::{Path, PathBuf};

use super::source::repository;

/// The longest line of a comment, in bytes: no program counts more of them than columns.
const COMMENT_BYTES: usize = 110;

/// What a comment begins with, by the ending of a file's name.
fn mark(file: &Path) -> Option<&'static str> {
    match file.extension().and_then(|extension| extension.to_str()) {
        Some("rs" | "js") => Some("//"),
        Some("css") => Some("/*"),
        Some("sql") => Some("--"),
        Some("toml" | "py" | "sh") => Some("#"),
        _ if file.ends_with(".ci/run") => Some("#"),
        _ => None,
    }
}

/// Files that people write. What others have written, and what programs make, is left out.
fn files(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("readable") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let is_foreign = [".git", ".venv", "data", "node_modules", "target", "__pycache__"].contains(&name);
        if path.is_dir() && !is_foreign {
            files(&path, found);
        } else if mark(&path).is_some() {
            found.push(path);
        }
    }
}

/// Whether the line is a comment, or ends in one.
fn has_comment(line: &str, mark: &str) -> bool {
    line.trim_start().starts_with(mark) || line.contains(&format!(" {mark} "))
}

#[test]
fn comments_fit_the_page() {
    let mut all = Vec::new();
    files(repository(), &mut all);
    assert!(all.len() > 500, "only {} files are found", all.len());
    let mut long = Vec::new();
    for (file, mark) in all.iter().filter_map(|file| Some((file, mark(file)?))) {
        let text = fs::read_to_string(file).expect("text");
        let lines = text.lines().enumerate();
        let too_long = lines.filter(|(_, line)| line.len() > COMMENT_BYTES && has_comment(line, mark));
        long.extend(too_long.map(|(number, _)| format!("{}:{}", file.display(), number + 1)));
    }
    assert!(long.is_empty(), "{long:#?}");
}

#[test]
fn comments_are_found_behind_code_too() {
    for (file, line, is_one) in [
        ("a/b.rs", "    /// What it is.", true),
        ("a/b.rs", "let a = 1; // why", true),
        ("a/b.rs", r#"let url = "https://a.example";"#, false),
        ("a/b.sql", "    -- Why.", true),
        ("deny.toml", r#""ISC", # ring"#, true),
        (".ci/run", "# What comes next", true),
        ("a.css", "  --line: 1px;", false),
    ] {
        let mark = mark(Path::new(file)).expect("known");
        assert_eq!(has_comment(line, mark), is_one, "{line}");
    }
}
