//! Checks that the documents point to files, functions and headings that exist.

use std::fs;
use std::path::{Path, PathBuf};

/// The first parts of paths in this repository: a text in backticks that begins so is a path.
const ROOTS: [&str; 7] = ["src/", "crates/", "tests/", "docs/", "config/", "examples/", "ocpp-schemas/"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every document with its text; code blocks are left out.
fn documents() -> Vec<(PathBuf, String)> {
    let mut paths: Vec<PathBuf> =
        ["ARCHITECTURE.md", "README.md", "SECURITY.md"].map(|name| root().join(name)).into();
    let decisions = fs::read_dir(root().join("docs/decisions")).expect("the decisions");
    paths.extend(decisions.map(|entry| entry.expect("an entry").path()));
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).expect("text");
        let prose = text.split("```").step_by(2).collect();
        (path, prose)
    };
    paths.into_iter().map(read).collect()
}

fn is_path(code: &str) -> bool {
    ROOTS.iter().any(|root| code.starts_with(root))
}

#[test]
fn every_path_in_a_document_exists() {
    let mut wrong = Vec::new();
    for (document, text) in documents() {
        for code in text.split('`').skip(1).step_by(2).filter(|code| is_path(code)) {
            if !root().join(code).exists() {
                wrong.push(format!("{}: {code}", document.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "these paths have moved: {wrong:#?}");
}

/// `Store::serve_call` in `crates/…/calls.rs`, or the same with the path in brackets.
#[test]
fn every_function_is_in_the_file_that_a_document_names() {
    let mut checked = 0;
    let mut wrong = Vec::new();
    for (document, text) in documents() {
        let pieces: Vec<&str> = text.split('`').collect();
        for window in pieces[1..].windows(3).step_by(2) {
            let [name, between, path] = window else { continue };
            let between = between.trim();
            if !path.ends_with(".rs") || !is_path(path) || !["in", "("].contains(&between) {
                continue;
            }
            let function = name.rsplit("::").next().unwrap_or(name);
            let source = fs::read_to_string(root().join(path)).unwrap_or_default();
            let is_there = ["fn ", "struct ", "enum "].iter().any(|kind| {
                source
                    .split(&format!("{kind}{function}"))
                    .skip(1)
                    .any(|rest| !rest.starts_with(|next: char| next.is_ascii_alphanumeric() || next == '_'))
            });
            checked += 1;
            if !is_there {
                wrong.push(format!("{}: {name} in {path}", document.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "these have moved or have another name: {wrong:#?}");
    assert!(checked > 20, "the walkthroughs name functions: {checked}");
}

/// The anchor of a heading.
fn anchor(heading: &str) -> String {
    let letters = heading.trim_start_matches('#').trim().to_lowercase();
    letters.chars().filter(|c| c.is_alphanumeric() || " -".contains(*c)).collect::<String>().replace(' ', "-")
}

#[test]
fn every_link_in_a_document_leads_somewhere() {
    let mut wrong = Vec::new();
    for (document, text) in documents() {
        let of_lines =
            text.lines().filter_map(|line| line.strip_prefix('[')?.split_once("]: ").map(|(_, to)| to));
        let of_text = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for target in of_text.chain(of_lines).filter(|target| !target.starts_with("http")) {
            let leads = match target.strip_prefix('#') {
                Some(wanted) => text.lines().any(|line| line.starts_with('#') && anchor(line) == wanted),
                None => document.with_file_name(target).exists(),
            };
            if !leads {
                wrong.push(format!("{}: {target}", document.display()));
            }
        }
        // A number in brackets is a decision: it needs its link.
        for number in text.split('[').skip(1).filter_map(|rest| rest.split(']').next()) {
            let is_number = number.len() == 4 && number.bytes().all(|digit| digit.is_ascii_digit());
            if is_number
                && !text.contains(&format!("[{number}]: "))
                && !text.contains(&format!("[{number}]("))
            {
                wrong.push(format!("{}: [{number}] has no link", document.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "these lead nowhere: {wrong:#?}");
}

#[test]
fn every_decision_is_in_the_index() {
    let index = fs::read_to_string(root().join("docs/decisions/README.md")).expect("the index");
    for (document, text) in documents() {
        let name = document.file_name().and_then(|name| name.to_str()).expect("a name");
        if !name.starts_with(|first: char| first.is_ascii_digit()) {
            continue;
        }
        let title = text.lines().next().expect("a title").trim_start_matches("# ").to_owned();
        let entry = format!("[{}]({name}) {title}", &name[..4]);
        assert!(index.contains(&entry), "not in the index: {entry}");
        for part in ["Question", "Choice", "Figures", "Price", "Where"] {
            assert!(text.contains(&format!("**{part}.**")), "{name} has no {part}");
        }
    }
}
