//! Where the tests keep what they store: SQLite, or a schema of PostgreSQL for each data directory.
//!
//! A schema goes when its data directory has gone; what a test run has left behind, the next one removes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Sender};
use std::sync::{Mutex, OnceLock, PoisonError};

use serde_json::Value;

use crate::Address;
use crate::engine::embedded::connect;
use crate::engine::embedded::data_dir::DATABASE;
use crate::engine::postgres::driver::Connection;
use crate::engine::postgres::schemas;
use crate::engine::sql::{CellValue, Param};
use crate::engine::tx::Read;
use crate::error::Result;

/// The environment variable with the database that the tests are run on. Without it they are run on SQLite.
pub const TEST_STORE_VARIABLE: &str = "CHARGEHOOK_TEST_STORE";

/// Every schema of a test begins with it, the id of its process and the digest of its directory behind.
const PREFIX: &str = "test_";

/// Schemas by their data directory.
static IN_USE: Mutex<BTreeMap<PathBuf, String>> = Mutex::new(BTreeMap::new());

/// Whether the tests are run on PostgreSQL: what looks into SQLite's own files has nothing to do then.
pub fn is_shared() -> bool {
    server().is_some()
}

fn server() -> Option<String> {
    std::env::var(TEST_STORE_VARIABLE).ok().filter(|server| !server.is_empty())
}

/// The database of a test, as [`shared_url`] names it.
pub fn shared_address(data_dir: &Path) -> Option<Address> {
    let url = shared_url(data_dir)?;
    Some(Address::parse(&url, None).expect("CHARGEHOOK_TEST_STORE is an address"))
}

/// The database of a test that is run on PostgreSQL: a schema of its own for each data directory, which is
/// made; `None`: the test is run on SQLite.
pub fn shared_url(data_dir: &Path) -> Option<String> {
    let server = server()?;
    let digest = ring::digest::digest(&ring::digest::SHA256, data_dir.as_os_str().as_encoded_bytes());
    let schema = format!("{PREFIX}{}_{}", std::process::id(), hex::encode(&digest.as_ref()[..12]));
    // Who looks for directories that have gone must find it.
    let _ = std::fs::create_dir_all(data_dir);
    let gone = {
        let mut in_use = IN_USE.lock().unwrap_or_else(PoisonError::into_inner);
        in_use.insert(data_dir.to_owned(), schema.clone());
        let gone: Vec<PathBuf> = in_use.keys().filter(|directory| !directory.exists()).cloned().collect();
        gone.iter().filter_map(|directory| in_use.remove(directory)).collect()
    };
    static REMOVER: OnceLock<Sender<Vec<String>>> = OnceLock::new();
    // Whether it still listens does not matter to the test.
    let _ = REMOVER.get_or_init(|| remover(&server)).send(gone);
    let separator = if server.contains('?') { '&' } else { '?' };
    Some(format!("{server}{separator}schema={schema}"))
}

/// A thread that removes schemas, those of test runs that have ended first.
fn remover(server: &str) -> Sender<Vec<String>> {
    let (sender, receiver) = mpsc::channel::<Vec<String>>();
    let address = Address::parse(server, None).expect("CHARGEHOOK_TEST_STORE is an address");
    std::thread::spawn(move || {
        let Ok(conn) = Connection::open(&address) else { return };
        let left = schemas::named(&conn, PREFIX).unwrap_or_default().into_iter().filter(|name| is_left(name));
        for schema in left.chain(receiver.into_iter().flatten()) {
            // The next run tries again.
            let _ = schemas::remove(&conn, &schema);
        }
    });
    sender
}

/// Whether the process has ended whose schema this is.
fn is_left(schema: &str) -> bool {
    let process = schema.strip_prefix(PREFIX).and_then(|name| name.split_once('_'));
    process.is_some_and(|(id, _)| Path::new("/proc/self").exists() && !Path::new("/proc").join(id).exists())
}

/// What a statement with these values yields in the database of a test: numbers, texts and nothing, as JSON.
///
/// # Panics
/// If it cannot be run.
pub fn rows<const N: usize>(data_dir: &Path, sql: &str, texts: &[&str]) -> Vec<[Value; N]> {
    let params: Vec<Param<'_>> = texts.iter().map(|text| Param::Text((*text).into())).collect();
    ask(data_dir, |db| {
        db.all(sql, &params, |row| {
            let mut cells = [const { Value::Null }; N];
            for (column, cell) in cells.iter_mut().enumerate() {
                *cell = match row.cell(column)? {
                    CellValue::Null => Value::Null,
                    CellValue::Int(number) => number.into(),
                    CellValue::Real(number) => number.into(),
                    CellValue::Text(text) => text.into(),
                    CellValue::Bytes(_) => return Err(row.unreadable(column, "bytes")),
                };
            }
            Ok(cells)
        })
    })
}

/// Runs a statement that ends with `RETURNING`; whether it has changed a row.
///
/// # Panics
/// If it cannot be run.
pub fn change(data_dir: &Path, sql: &str, texts: &[&str]) -> bool {
    let params: Vec<Param<'_>> = texts.iter().map(|text| Param::Text((*text).into())).collect();
    ask(data_dir, |db| db.has(sql, &params))
}

/// Asks the database of a test, beside the gateway that works on it.
fn ask<T: Send>(data_dir: &Path, question: impl FnOnce(&Read<'_>) -> Result<T> + Send) -> T {
    let answer = match shared_address(data_dir) {
        None => connect::open_writer(&data_dir.join(DATABASE)).and_then(|conn| question(&Read::of(&conn))),
        // A thread of its own, as the caller's may drive tasks.
        Some(address) => std::thread::scope(|scope| {
            let asked = scope.spawn(|| {
                let conn = Connection::open(&address.for_sessions("test"))?;
                question(&Read::of_shared(&conn))
            });
            asked.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        }),
    };
    answer.expect("the statement runs")
}
