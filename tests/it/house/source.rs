//! The source files that are checked, and what each of them imports.

use std::fs;
use std::path::{Path, PathBuf};

use super::paths::paths;

/// Where sources are, tests aside. Each root is a crate: `crate::` starts there.
pub(super) const ROOTS: &[&str] = &[
    "src",
    "crates/charger-sim/src",
    "crates/outbound/src",
    "crates/store/src",
    "crates/tls/src",
    "crates/vocabulary/src",
];

/// A source file.
pub(super) struct Source {
    /// From the repository's root on: `src/http/mod.rs`.
    pub(super) path: String,
    pub(super) text: String,
}

impl Source {
    /// Whether it is this file, or stands somewhere below this directory.
    pub(super) fn is_in(&self, path: &str) -> bool {
        self.path.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// Its text without comments and inline tests.
    pub(super) fn code(&self) -> String {
        let text = self.text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        lines.collect::<Vec<_>>().join("\n")
    }

    /// Its root.
    pub(super) fn root(&self) -> &'static str {
        ROOTS.iter().find(|root| self.is_in(root)).expect("a file below a root")
    }

    /// Its module, from the crate's root on: `["http", "auth"]`.
    pub(super) fn module(&self) -> Vec<String> {
        let below = self.path[self.root().len() + 1..].trim_end_matches(".rs");
        let mut names: Vec<String> = below.split('/').map(str::to_owned).collect();
        if names.last().is_some_and(|last| ["lib", "main", "mod"].contains(&last.as_str())) {
            names.pop();
        }
        names
    }

    /// What it names of its crate, from the crate's root on: `["http", "auth", "Caller"]`. Names of other
    /// crates are among them as if they were children of the module.
    pub(super) fn imports(&self) -> Vec<Vec<String>> {
        let module = self.module();
        paths(&self.text).iter().map(|path| resolved(&module, path)).collect()
    }
}

/// A path that stands in `module`, from the crate's root on.
fn resolved(module: &[String], path: &[String]) -> Vec<String> {
    let supers = path.iter().take_while(|name| *name == "super").count();
    let (base, rest) = match path.first().map(String::as_str) {
        Some("crate") => (&module[..0], &path[1..]),
        Some("self") => (module, &path[1..]),
        _ => (&module[..module.len().saturating_sub(supers)], &path[supers..]),
    };
    [base, rest].concat()
}

/// The repository.
pub(super) fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every source file below a directory, tests aside: they may look at anything.
pub(super) fn source_files(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("readable") {
        let path = entry.expect("an entry").path();
        if path.ends_with("tests") || path.ends_with("tests.rs") {
            continue;
        } else if path.is_dir() {
            source_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The source files of all roots.
pub(super) fn sources() -> Vec<Source> {
    let mut files = Vec::new();
    for root in ROOTS {
        source_files(&repository().join(root), &mut files);
    }
    let read = |file: PathBuf| Source {
        path: file.strip_prefix(repository()).expect("below it").display().to_string(),
        text: fs::read_to_string(&file).expect("text"),
    };
    files.into_iter().map(read).collect()
}

#[test]
fn every_crate_is_read() {
    let crates = fs::read_dir(repository().join("crates")).expect("the floors");
    for name in crates.map(|entry| entry.expect("an entry").file_name()) {
        let root = format!("crates/{}/src", name.display());
        assert!(ROOTS.contains(&root.as_str()), "{root} is not among the roots");
    }
}
