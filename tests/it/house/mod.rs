//! How the house is built, held against the sources: the layers of ARCHITECTURE.md (arrows point down only,
//! and what stands in one row of the lower layers does not know its neighbours), and what must not be known
//! where.

mod cases;
mod circles;
mod comments;
mod paths;
mod pointers;
mod secrets;
mod source;

use source::{Source, sources};

/// The gateway's own sources, whose modules stand in [`ROWS`].
const GATEWAY: &str = "src";

/// Where the drivers of the databases are named, and nowhere else.
const DRIVERS: &[(&str, &[&str])] = &[
    ("rusqlite", &["crates/store/src/engine/sqlite", "crates/store/src/engine/embedded"]),
    ("tokio_postgres", &["crates/store/src/engine/postgres"]),
];

/// Modules of the gateway from the bottom up; Cargo holds the floors below it. Rows marked `true` are apart:
/// a module of it imports no other of it.
const ROWS: &[(bool, &[&str])] = &[
    (true, &["station", "delivery", "retention", "indexing", "power_history"]),
    (false, &["keys"]),
    (true, &["http", "client"]),
    (false, &["ui"]),
    (true, &["telemetry"]),
    (false, &["config"]),
    (false, &["gateway"]),
    (false, &["serve", "demo", "listen"]),
    (false, &["cli"]),
];

/// Pure modules: no runtime, no store.
const PURE: &[&str] = &[
    "crates/vocabulary/src",
    "crates/store/src/history/uptime.rs",
    "crates/store/src/history/uptime",
    "crates/store/src/overview/attention.rs",
    "crates/store/src/overview/attention",
    "crates/store/src/overview/facts.rs",
    "crates/store/src/sessions/downsample.rs",
    "crates/store/src/sessions/energy.rs",
    "crates/store/src/sessions/energy",
    "crates/store/src/sessions/live.rs",
    "crates/store/src/sessions/meters.rs",
    "crates/store/src/sessions/transactions/inference/choice.rs",
    "crates/store/src/why/answer.rs",
    "crates/store/src/why/causes.rs",
    "crates/store/src/why/facts.rs",
    "crates/store/src/why/rules",
    "src/delivery/breaker.rs",
    "src/delivery/byte_budget.rs",
    "src/delivery/schedule.rs",
    "src/delivery/webhook_rate.rs",
    "src/listen/station_order.rs",
    "src/station/handshake.rs",
    "src/station/session.rs",
    "src/station/session",
];

fn row_of(module: &str) -> Option<usize> {
    ROWS.iter().position(|(_, modules)| modules.contains(&module))
}

#[test]
fn arrows_point_down_only() {
    let mut wrong = Vec::new();
    for source in sources().iter().filter(|source| source.is_in(GATEWAY)) {
        let Some(module) = source.module().into_iter().next().filter(|module| module != "bin") else {
            continue;
        };
        let path = &source.path;
        let row = row_of(&module).unwrap_or_else(|| panic!("{path}: in which layer is {module}?"));
        for import in source.imports().iter().filter_map(|import| import.first()) {
            let Some(target) = row_of(import) else { continue };
            let apart = ROWS[row].0;
            if target > row || (target == row && apart && *import != module) {
                wrong.push(format!("{path} imports {import}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_crate_lists_its_modules_in_layer_order() {
    let sources = sources();
    let lib = sources.iter().find(|source| source.path == format!("{GATEWAY}/lib.rs")).expect("lib.rs");
    let lines = lib.text.lines();
    let rows: Vec<_> = lines
        .filter_map(|line| line.trim_start_matches("pub ").strip_prefix("mod ")?.strip_suffix(';'))
        .map(|module| row_of(module).unwrap_or_else(|| panic!("in which layer is {module}?")))
        .collect();
    assert_eq!(rows.len(), ROWS.iter().map(|(_, modules)| modules.len()).sum::<usize>());
    assert!(rows.is_sorted(), "{rows:?}");
}

#[test]
fn pure_modules_know_no_runtime_and_no_store() {
    let sources = sources();
    for pure in PURE {
        let mut files = sources.iter().filter(|source| source.is_in(pure)).peekable();
        assert!(files.peek().is_some(), "{pure} does not exist");
        for source in files {
            for word in ["tokio::", "store::", "crate::engine"] {
                assert!(!source.text.contains(word), "{} names {word}", source.path);
            }
        }
    }
}

/// The versions of OCPP, and the doors to them; the simulator is a charger of one version.
const VERSIONS: &[&str] = &["crates/vocabulary/src/ocpp", "crates/charger-sim"];

/// What knows no version speaks of `CommandAction`, `MessageAction` and facts, so that another version is an
/// addition.
#[test]
fn no_version_of_ocpp_is_named_outside_of_ocpp() {
    let is_door = |source: &Source| VERSIONS.iter().any(|place| source.is_in(place));
    for source in sources().iter().filter(|source| !is_door(source)) {
        for version in ["v16", "V16", "ocpp1.6"] {
            assert!(!source.code().contains(version), "{} names a version of OCPP: {version}", source.path);
        }
    }
}

/// The floor whose use cases are made of SQL.
const STORE: &str = "crates/store/src";

#[test]
fn sql_is_written_in_the_store_only() {
    for source in sources().iter().filter(|source| !source.is_in(STORE)) {
        for statement in ["SELECT ", "INSERT INTO", "UPDATE ", "DELETE FROM"] {
            assert!(!source.code().contains(statement), "{} has SQL: {statement}", source.path);
        }
    }
}

#[test]
fn drivers_stay_in_the_engines() {
    for (driver, places) in DRIVERS {
        for source in sources().iter().filter(|source| !places.iter().any(|place| source.is_in(place))) {
            assert!(!source.text.contains(driver), "{} names the database library", source.path);
        }
    }
}
