//! The documents name only files that there are.

use std::fs;
use std::path::{Path, PathBuf};

use super::source::repository;

/// Every Markdown file below a directory.
fn documents(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("readable") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            documents(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "md") {
            found.push(path);
        }
    }
}

/// The paths of sources in a text, each between backticks.
fn paths(text: &str) -> impl Iterator<Item = &str> {
    let quoted = text.split('`').skip(1).step_by(2);
    quoted.filter(|quoted| {
        let first = quoted.split('/').next().unwrap_or_default();
        ["src", "crates", "tests"].contains(&first)
            && quoted.contains('/')
            && !quoted.contains(['*', ' ', '\n'])
    })
}

#[test]
fn files_that_documents_name_exist() {
    let mut files = vec![repository().join("ARCHITECTURE.md")];
    documents(&repository().join("docs"), &mut files);
    let mut missing = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).expect("text");
        for path in paths(&text).filter(|path| !repository().join(path).exists()) {
            missing.push(format!("{} names {path}", file.display()));
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}
