//! The layers of ARCHITECTURE.md, checked against the `use` lines: arrows point down only, and what
//! stands in one row of the lower layers does not know its neighbours.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Modules of the gateway from the bottom up; Cargo holds the floors below it. Rows marked `true` are apart: a module of it imports no other of it.
const ROWS: &[(bool, &[&str])] = &[
    (true, &["station", "delivery", "retention", "indexing"]),
    (false, &["keys"]),
    (true, &["http", "client"]),
    (false, &["config", "telemetry"]),
    (false, &["gateway"]),
    (false, &["serve", "demo", "listen"]),
    (false, &["cli"]),
];

/// Pure modules: no runtime, no store.
const PURE: &[&str] =
    &["crates/vocabulary/src", "src/listen/turns.rs", "src/delivery/schedule.rs", "src/station/session.rs"];

fn source_files(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("readable") {
        let path = entry.expect("an entry").path();
        if path.ends_with("tests") || path.ends_with("tests.rs") {
            // Tests may look at anything.
        } else if path.is_dir() {
            source_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = Vec::new();
    source_files(&root.join("src"), &mut paths);
    for floor in fs::read_dir(root.join("crates")).expect("the floors") {
        source_files(&floor.expect("a floor").path().join("src"), &mut paths);
    }
    paths
        .into_iter()
        .map(|path| {
            let name = path.strip_prefix(root).expect("below the root").display().to_string();
            (name, fs::read_to_string(&path).expect("text"))
        })
        .collect()
}

fn row_of(module: &str) -> Option<usize> {
    ROWS.iter().position(|(_, modules)| modules.contains(&module))
}

/// The top-level modules that a text names with `crate::`, comments left out.
fn imports(text: &str) -> BTreeSet<String> {
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    let mut found = BTreeSet::new();
    for line in code {
        for rest in line.split("crate::").skip(1) {
            let names = rest.strip_prefix('{').and_then(|list| list.split('}').next()).unwrap_or(rest);
            for name in names.split(',') {
                let module: String =
                    name.trim().chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
                found.insert(module);
            }
        }
    }
    found
}

#[test]
fn arrows_point_down_only() {
    let mut wrong = Vec::new();
    for (name, text) in sources() {
        let Some(path) = name.strip_prefix("src/") else { continue };
        let module = path.split(['/', '.']).next().expect("a module");
        if ["lib", "main", "bin"].contains(&module) {
            continue;
        }
        let row = row_of(module).unwrap_or_else(|| panic!("{name}: in which layer is {module}?"));
        for import in imports(&text) {
            let Some(target) = row_of(&import) else { continue };
            let apart = ROWS[row].0;
            if target > row || (target == row && apart && import != module) {
                wrong.push(format!("{name} imports {import}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_crate_lists_its_modules_in_layer_order() {
    let (_, text) = sources().into_iter().find(|(name, _)| name == "src/lib.rs").expect("lib.rs");
    let rows: Vec<_> = text
        .lines()
        .filter_map(|line| line.trim_start_matches("pub ").strip_prefix("mod ")?.strip_suffix(';'))
        .map(|module| row_of(module).unwrap_or_else(|| panic!("in which layer is {module}?")))
        .collect();
    assert_eq!(rows.len(), ROWS.iter().map(|(_, modules)| modules.len()).sum::<usize>());
    assert!(rows.is_sorted(), "{rows:?}");
}

#[test]
fn pure_modules_know_no_runtime_and_no_store() {
    for (name, text) in sources() {
        if PURE.iter().any(|pure| name.starts_with(pure)) {
            assert!(!text.contains("tokio::"), "{name} uses the runtime");
            assert!(!text.contains("store::"), "{name} uses the store");
        }
    }
}

#[test]
fn sql_stays_in_the_store() {
    for (name, text) in sources() {
        if !name.starts_with("crates/store/") {
            assert!(!text.contains("rusqlite"), "{name} names the database library");
        }
    }
}

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
    // Shown on purpose: names of headers, and the few of an answer that are kept and listed.
    let told = [
        "crates/vocabulary/src/api/delivery.rs",
        "crates/outbound/src/verdict.rs",
        "crates/store/src/deliveries/list.rs",
    ];
    let mut holders = Vec::new();
    for (path, text) in sources().into_iter().filter(|(path, _)| !told.contains(&path.as_str())) {
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

/// The numbers in the name of a test such as `case_12_to_16_a_password_must_be_right`.
fn case_numbers(name: &str) -> Vec<u32> {
    let mut numbers = Vec::new();
    let mut to = false;
    for word in name.split('_') {
        match (word, word.parse::<u32>()) {
            ("to", _) => to = true,
            ("and", _) => {}
            (_, Ok(number)) => {
                let first = numbers.last().filter(|_| to).map_or(number, |last| last + 1);
                numbers.extend(first..=number);
                to = false;
            }
            _ => break,
        }
    }
    numbers
}

/// The numbers in the names of all tests on the real gateway that begin with `prefix`.
fn cases_told(prefix: &str) -> BTreeSet<u32> {
    let mut files = Vec::new();
    source_files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it"), &mut files);
    let texts = files.iter().map(|path| fs::read_to_string(path).expect("text"));
    texts.flat_map(|text| text.split(prefix).skip(1).flat_map(case_numbers).collect::<Vec<_>>()).collect()
}

/// One that is dropped, or renamed past recognition, is missed.
#[test]
fn every_delivery_case_is_a_test() {
    let mut told = cases_told("async fn delivery_case_");
    told.extend(cases_told("async fn delivery_cases_"));
    let missing: Vec<u32> = (1..=42).filter(|number| !told.contains(number)).collect();
    assert!(missing.is_empty(), "delivery cases without a test: {missing:?}");
}

#[test]
fn every_case_of_a_central_system_is_a_test() {
    let told = cases_told("async fn case_");
    let is_missing = |number: &u32| !told.contains(number);
    let missing: Vec<u32> = (1..=93).filter(is_missing).collect();
    assert!(missing.is_empty(), "cases without a test: {missing:?}");
}
