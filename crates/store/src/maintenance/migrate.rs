//! A data directory's database is carried over to PostgreSQL.
//!
//! **Invariant**: all of it arrives in one transaction, or nothing does. The data directory's database is
//! only read.
//!
//! What only one engine has (nodes, lanes, signals, the search index) is not carried: it is made anew.

use std::path::Path;

use crate::engine::carrying;
use crate::engine::embedded::data_dir::{database_in, lock};
use crate::engine::embedded::database_file::DatabaseFile;
use crate::engine::embedded::residue::RESIDUE;
use crate::engine::postgres::address::Address;
use crate::engine::sql::{CellValue, Value, WALL_OFFSET_MS, params};
use crate::engine::tables::Table;
use crate::engine::tx::Tx;
use crate::error::{Result, StoreError};
use crate::log::subscriptions::load_subscriptions;
use crate::maintenance::backup::MADE_AT;
use crate::maintenance::open::{apart, errand};
use crate::maintenance::{monotonic_columns, unlock};
use crate::nodes::{self, lost};
use crate::other_nodes::{GATEWAY_STOPPED, Left};
use crate::secrecy::key_source::KeySource;
use crate::secrecy::vault::Vault;
use vocabulary::clock::Clock;

/// Tables of every engine that stay behind: who works on a database.
const STAY_BEHIND: [&str; 1] = ["nodes"];

/// Entries of `meta` that mean nothing there: pages of the file, its clock, the backup that it once was.
const ENTRIES_LEFT: [&str; 3] = [RESIDUE, "wall_offset_ms", MADE_AT];

/// What is carried over, and where to.
#[derive(Debug, Clone)]
pub struct Migration<'a> {
    /// The data directory, in which no gateway may be running.
    pub data_dir: &'a Path,
    /// Where its secrets' key is: the nodes need the same.
    pub key: &'a KeySource,
    /// The database of PostgreSQL, in which nothing may have happened yet.
    pub to: &'a Address,
}

/// How far it has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MigrationProgress<'a> {
    /// The data directory's database has an earlier schema, and is brought to today's; a copy is kept.
    Upgrading,
    /// Rows have gone.
    Copying {
        /// Of which table.
        table: &'a str,
        /// How many of it.
        rows: u64,
        /// Of how many.
        of: u64,
        /// How many of all tables.
        done: u64,
        /// Of how many.
        total: u64,
    },
    /// All rows are there; so many indexes are made.
    Indexing {
        /// How many are made.
        done: usize,
        /// Of how many.
        total: usize,
    },
}

/// What was carried over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migrated {
    /// Every table, and how many rows of it.
    pub tables: Vec<(String, u64)>,
    /// Whether it needs a key: something in it is sealed.
    pub sealed: bool,
}

/// Carries a data directory's database over to PostgreSQL, whole or not at all. Numbers, ids, cursors and
/// sequences go on there. What was under way when its gateway was killed is settled, as its next start would
/// have. Blocks until it is committed.
///
/// # Errors
/// Of [`StoreError`]: `InUse`; `File`, `Foreign` and the like, if there is no database to carry; `Key`;
/// `NodesActive` and `NotEmpty`, if the target is in use; as [`crate::Store::open_shared`]. Nothing was
/// written then, but the tables of an empty database.
pub fn migrate(
    migration: &Migration<'_>,
    clock: &Clock,
    progress: &mut (dyn FnMut(MigrationProgress<'_>) + Send),
) -> Result<Migrated> {
    apart(|| carry_over(migration, clock, progress))
}

fn carry_over(
    Migration { data_dir, key, to }: &Migration<'_>,
    clock: &Clock,
    progress: &mut dyn FnMut(MigrationProgress<'_>),
) -> Result<Migrated> {
    let path = database_in(data_dir)?;
    let _lock = lock(data_dir)?;
    let mut source = DatabaseFile::source(&path)?;
    let key = unlock::key_of(unlock::check_in(&source)?.as_deref(), key)?;
    let vault = key.as_ref().map_or_else(Vault::locked, Vault::new);
    let mut target = errand(&to.at_length(), clock)?;
    target.unlock(vault);
    target.write(|w| refuse_used(w))?;
    if source.is_of_earlier_version()? {
        progress(MigrationProgress::Upgrading);
        drop(source);
        DatabaseFile::open(&path)?.upgrade()?;
        source = DatabaseFile::source(&path)?;
    }
    source.hold_still()?;
    let mut tables = Vec::new();
    target.write(|w| {
        refuse_used(w)?;
        tables = carry_tables(w, &source, progress)?;
        w.count_on_from(&source)?;
        *w.subscriptions = load_subscriptions(w)?;
        // As its next start would have: nobody else has anything here.
        lost::settle(w, Left { epoch: None, reason: GATEWAY_STOPPED })?;
        w.analyze()
    })?;
    Ok(Migrated { tables, sealed: key.is_some() })
}

/// Refuses a database in which anything has happened: nobody could tell the two apart afterwards.
fn refuse_used(w: &Tx<'_>) -> Result<()> {
    nodes::refuse_active(w)?;
    let filled = w.filled_tables()?;
    match filled.is_empty() {
        true => Ok(()),
        false => Err(StoreError::NotEmpty(filled)),
    }
}

/// All rows of all tables, and the indexes on them.
fn carry_tables(
    w: &Tx<'_>,
    source: &DatabaseFile,
    progress: &mut dyn FnMut(MigrationProgress<'_>),
) -> Result<Vec<(String, u64)>> {
    w.be_patient()?;
    let wall_offset_ms = source.read().one(&format!("SELECT {WALL_OFFSET_MS}"), &[], |row| row.get(0))?;
    let mut counted = Vec::new();
    for table in source.tables()?.into_iter().filter(|table| !STAY_BEHIND.contains(&table.name.as_str())) {
        let rows = carrying::count(&source.read(), &table.name)?;
        counted.push((table, u64::try_from(rows).unwrap_or(0)));
    }
    let total = counted.iter().map(|(_, of)| of).sum();
    let indexes = w.without_indexes()?;
    let mut done = 0;
    for (table, of) in &counted {
        let mut told = |rows| {
            progress(MigrationProgress::Copying {
                table: &table.name,
                rows,
                of: *of,
                done: done + rows,
                total,
            })
        };
        let rows = carry_table(w, source, table, wall_offset_ms, &mut told)?;
        told(rows);
        done += rows;
    }
    for entry in ENTRIES_LEFT {
        w.run("DELETE FROM meta WHERE key = ?1", params![entry])?;
    }
    for (nth, made_by) in indexes.iter().enumerate() {
        progress(MigrationProgress::Indexing { done: nth, total: indexes.len() });
        w.make_index(made_by)?;
    }
    Ok(counted.into_iter().map(|(table, rows)| (table.name, rows)).collect())
}

fn carry_table(
    w: &Tx<'_>,
    source: &DatabaseFile,
    table: &Table,
    wall_offset_ms: i64,
    told: &mut dyn FnMut(u64),
) -> Result<u64> {
    let moved = |column: &str, cell: &CellValue<'_>| -> Result<Option<Value>> {
        monotonic_columns::moved(&table.name, column, cell, wall_offset_ms)
    };
    let is_moved = wall_offset_ms != 0 && monotonic_columns::are_in(&table.name);
    w.carry(&source.read(), table, if is_moved { Some(&moved) } else { None }, told)
}

#[cfg(test)]
mod tests;
