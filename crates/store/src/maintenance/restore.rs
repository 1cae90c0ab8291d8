//! A backup takes a database's place.
//!
//! What was done between the backup and now is lost here, but not in the world: chargers and integrators were
//! told numbers that the backup knows nothing of. So every count goes on far behind them (`move_past`).
//!
//! **Invariant**: whatever is killed when, the directory holds the old database or the new one. The new one
//! is made beside it, whole and on disk, and takes its name in one step.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};
use serde::Serialize;
use tracing::warn;

use crate::engine::embedded::data_dir::DATABASE;
use crate::engine::embedded::data_dir::lock;
use crate::engine::embedded::file_identity;
use crate::engine::embedded::schema::{self, SCHEMA};
use crate::engine::tx::Tx;
use crate::error::{KeyFault, Result, StoreError};
use crate::files;
use crate::files::{create_directory, create_for_owner, file_error, remove, with_suffix};
use crate::log::append;
use crate::log::append::Manner;
use crate::log::search;
use crate::maintenance::backup;
use crate::maintenance::backup::{BackupError, CopyProgress, MADE_AT};
use crate::maintenance::offline::write_alone;
use crate::maintenance::unlock;
use crate::secrecy::key_source;
use crate::secrecy::key_source::{KeySource, SecretsKey};
use crate::secrecy::vault::Vault;
use vocabulary::clock::{Clock, Timestamp};
use vocabulary::event::{Category, NewEvent};

/// The new database while it is made.
const STAGED: &str = "restoring.db";

/// How far each count goes on, even if hardly any time was lost.
const LEAST_STEP: i64 = 1_000_000;

/// Transactions begun in a second, over all stations: many more than chargers can make.
const TRANSACTIONS_PER_SECOND: i64 = 20;

/// Events of one station in a second: beyond the messages that it may send.
const STATION_EVENTS_PER_SECOND: i64 = 200;

/// Rows of one table, and deliveries of one webhook, in a second: beyond what the writer commits.
const ROWS_PER_SECOND: i64 = 20_000;

/// Webhooks made in the lost time. Their numbers are seen by people, so they do not jump as far.
const WEBHOOKS: i64 = 10_000;

/// What is put back, and where.
#[derive(Debug, Clone)]
pub struct Restore<'a> {
    /// The backup.
    pub from: &'a Path,
    /// Where its database goes.
    pub data_dir: &'a Path,
    /// Where the gateway will look for the key.
    pub key: &'a KeySource,
    /// Where the backup's key is, if it is to be put in place too.
    pub key_file: Option<&'a Path>,
    /// Replaces a database that is there.
    pub force: bool,
}

/// What was put back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// The moment that the database is back at.
    pub backup_at: Timestamp,
    /// How far the counts go on.
    pub steps: Steps,
    /// The file that the backup's key was written to.
    pub key_written: Option<PathBuf>,
    /// What has become of the database that was there.
    pub replaced: Option<PathBuf>,
}

/// How far each count goes on behind what the backup knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Steps {
    /// Of transaction ids.
    pub transaction_ids: i64,
    /// Of every station's `station_seq`.
    pub station_seq: i64,
    /// Of every webhook's sequence.
    pub webhook_sequence: i64,
}

impl Steps {
    /// For the time that was lost.
    fn over(lost: Duration) -> Self {
        let seconds = i64::try_from(lost.as_secs()).unwrap_or(i64::MAX);
        let step = |rate: i64| LEAST_STEP.saturating_add(rate.saturating_mul(seconds)).min(1 << 45);
        Self {
            transaction_ids: step(TRANSACTIONS_PER_SECOND),
            station_seq: step(STATION_EVENTS_PER_SECOND),
            webhook_sequence: step(ROWS_PER_SECOND),
        }
    }
}

/// Puts a backup in the place of a data directory's database, in which no gateway may be running. Blocks
/// until it is on disk.
///
/// # Errors
/// [`BackupError`]: the directory's database is what it was.
pub fn restore(
    order: &Restore<'_>,
    clock: &Clock,
    progress: &mut dyn FnMut(CopyProgress),
) -> std::result::Result<Restored, BackupError> {
    let source = backup::open_source(order.from)?;
    let target = order.data_dir.join(DATABASE);
    refuse_foreign(&target, &file_identity::DATABASE)?;
    refuse_foreign(&order.data_dir.join(search::FILE), &file_identity::SEARCH)?;
    create_directory(order.data_dir)?;
    let _lock = lock(order.data_dir)?;
    if target.exists() && !order.force {
        return Err(BackupError::Exists(order.data_dir.to_owned()));
    }
    let key = key_to_write(&source, order)?;
    let staged = order.data_dir.join(STAGED);
    remove_with_log(&staged)?;
    create_for_owner(&staged)?;
    let restored = backup::copy(&source, &staged, progress)
        .and_then(|()| prepare(&staged, order.from, clock))
        .inspect_err(|_| {
            // What is left of it would only take room; the next restore removes it in any case.
            let _ = remove_with_log(&staged);
        })?;
    drop(source);
    let key_written = match key {
        Some((path, key)) => {
            key_source::write(&path, &key)?;
            Some(path)
        }
        None => None,
    };
    let replaced = match target.exists() {
        true => Some(set_aside(&target)?),
        false => None,
    };
    // It is of the old log, and is made anew where it is missing.
    remove_with_log(&order.data_dir.join(search::FILE))?;
    std::fs::rename(&staged, &target).map_err(|error| file_error(&target, &error))?;
    files::sync(order.data_dir)?;
    Ok(Restored { key_written, replaced, ..restored })
}

/// What is damaged may be replaced: that may be why there is a restore. What this version does not make may
/// not.
fn refuse_foreign(path: &Path, kind: &file_identity::Kind) -> Result<()> {
    match file_identity::look(path, kind) {
        Err(refusal @ (StoreError::Foreign { .. } | StoreError::Development(_))) => Err(refusal),
        _ => Ok(()),
    }
}

/// Sees to it that the gateway will find the backup's key; where that has to be written, and what.
fn key_to_write(
    source: &Connection,
    order: &Restore<'_>,
) -> std::result::Result<Option<(PathBuf, SecretsKey)>, BackupError> {
    let key_of = |place: &KeySource| {
        unlock::key_of(source, place).map_err(|error| match error {
            StoreError::Key(fault) => BackupError::Key(fault),
            other => other.into(),
        })
    };
    let Some(given) = order.key_file else { return key_of(order.key).map(|_| None) };
    let Some(key) = key_of(&KeySource::File(given.to_owned()))? else { return Ok(None) };
    match (order.key, order.key.read()?) {
        (_, Some(there)) if there == key => Ok(None),
        (KeySource::File(path), Some(_)) => Err(BackupError::OtherKey(path.clone())),
        (KeySource::File(path), None) => Ok(Some((path.clone(), key))),
        (KeySource::Given(_), _) => Err(BackupError::Key(KeyFault::Wrong(order.key.to_string()))),
    }
}

/// Makes of the copy what the next start finds: checked, of today's schema, with its counts moved on and the
/// event that tells of it; one file that is on disk.
fn prepare(staged: &Path, from: &Path, clock: &Clock) -> std::result::Result<Restored, BackupError> {
    let mut conn = schema::open_writer(staged)?;
    backup::check(&conn, from)?;
    SCHEMA.migrate(&mut conn)?;
    let (backup_at, steps) = write_alone(&mut conn, clock, &Vault::locked(), |w| {
        let backup_at = made_at(w.conn)?.unwrap_or(w.now);
        let steps = move_past(w, Steps::over(w.now.since(backup_at)))?;
        tell(w, backup_at, steps)?;
        Ok((backup_at, steps))
    })?;
    conn.query_row("PRAGMA journal_mode = DELETE", [], |_| Ok(()))?;
    drop(conn);
    let synced = std::fs::File::open(staged).and_then(|file| file.sync_all());
    synced.map_err(|error| file_error(staged, &error))?;
    Ok(Restored { backup_at, steps, key_written: None, replaced: None })
}

/// When the backup was made; of a plain copy of a database, the last moment that it knows of.
fn made_at(conn: &Connection) -> Result<Option<Timestamp>> {
    let at: Option<i64> = conn.query_row(
        "SELECT coalesce((SELECT value FROM meta WHERE key = ?1),
                         (SELECT timestamp_ms FROM events ORDER BY seq DESC LIMIT 1))",
        [MADE_AT],
        |row| row.get(0),
    )?;
    Ok(at.map(Timestamp::from_unix_ms))
}

/// Moves every count behind what the lost time can have used.
fn move_past(w: &Tx<'_>, mut steps: Steps) -> Result<Steps> {
    steps.transaction_ids = move_transaction_ids(w, steps.transaction_ids)?;
    w.conn.execute("UPDATE station_sequences SET last = last + ?1", [steps.station_seq])?;
    // Stations that came in the lost time have counted too, and nothing here knows them.
    w.conn.execute(
        "INSERT INTO meta (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = value + ?2",
        params![append::STATION_SEQ_FLOOR, steps.station_seq],
    )?;
    w.conn.execute("UPDATE webhooks SET last_sequence = last_sequence + ?1", [steps.webhook_sequence])?;
    // Rows count on too: cursors that were given out in the lost time must not skip what comes now.
    for table in counting_tables(w.conn)? {
        let step = if table == "webhooks" { WEBHOOKS } else { steps.webhook_sequence };
        let known = w
            .conn
            .execute("UPDATE sqlite_sequence SET seq = seq + ?2 WHERE name = ?1", params![table, step])?;
        if known == 0 {
            w.conn
                .execute("INSERT INTO sqlite_sequence (name, seq) VALUES (?1, ?2)", params![table, step])?;
        }
    }
    Ok(steps)
}

/// The tables whose rows are numbered once and for all (`AUTOINCREMENT`), as SQLite itself understands them:
/// the text of a schema says that word in comments and names too. Of those that never had a row nothing else
/// tells.
fn counting_tables(conn: &Connection) -> Result<Vec<String>> {
    let keys: Vec<(String, String)> = conn
        .prepare(
            "SELECT t.name, c.name FROM sqlite_schema AS t, pragma_table_info(t.name) AS c
             WHERE t.type = 'table' AND c.pk = 1",
        )?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let mut counting = Vec::new();
    for (table, key) in keys {
        let (.., counts) = conn.column_metadata(None, table.as_str(), key.as_str())?;
        if counts {
            counting.push(table);
        }
    }
    Ok(counting)
}

/// OCPP's numbers end at 2³¹ − 1, so no step takes more than half of what is left. A backup without any
/// transaction begins at random, as it did.
fn move_transaction_ids(w: &Tx<'_>, step: i64) -> Result<i64> {
    let last: Option<i64> = w
        .conn
        .query_row("SELECT value FROM meta WHERE key = 'last_transaction_id'", [], |row| row.get(0))
        .optional()?;
    let Some(last) = last else { return Ok(0) };
    let step = step.min((i64::from(i32::MAX) - last) / 2).max(0);
    w.conn.execute("UPDATE meta SET value = value + ?1 WHERE key = 'last_transaction_id'", [step])?;
    Ok(step)
}

fn tell(w: &mut Tx<'_>, backup_at: Timestamp, steps: Steps) -> Result<()> {
    #[derive(Serialize)]
    struct Payload {
        backup_at: Timestamp,
        restored_at: Timestamp,
        transaction_ids_skipped: i64,
        station_seq_skipped: i64,
        webhook_sequence_skipped: i64,
    }
    let payload = Payload {
        backup_at,
        restored_at: w.now,
        transaction_ids_skipped: steps.transaction_ids,
        station_seq_skipped: steps.station_seq,
        webhook_sequence_skipped: steps.webhook_sequence,
    };
    w.conn.execute("DELETE FROM meta WHERE key = ?1", [MADE_AT])?;
    let payload = serde_json::value::to_raw_value(&payload)?;
    let event = NewEvent::new(Category::System, "GatewayRestored", w.now, payload);
    append::append(w, &event, Manner::default()).map(drop)
}

/// Keeps the old database under another name, and leaves it under its own without a write-ahead log: one that
/// is there when the new database takes the name would be taken for the new one's.
fn set_aside(target: &Path) -> Result<PathBuf> {
    let emptied = schema::open_writer(target).and_then(|conn| {
        let busy = conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, bool>(0))?;
        Ok(!busy)
    });
    let replaced = files::keep_aside(target, &["", "-wal"])?;
    let log = with_suffix(target, "-wal");
    if !matches!(emptied, Ok(true)) && log.exists() {
        // Damaged, which may be why there is a restore; as it is, but as a whole.
        warn!("the write-ahead log of the old database could not be written back; it is kept with it");
        files::second_name(&log, &with_suffix(&replaced, "-wal"))?;
    }
    // Its names must be on disk before the log loses its own.
    files::sync(files::directory_of(target))?;
    for suffix in ["-wal", "-shm"] {
        remove(&with_suffix(target, suffix))?;
    }
    Ok(replaced)
}

fn remove_with_log(path: &Path) -> Result<()> {
    ["", "-wal", "-shm", "-journal"].iter().try_for_each(|suffix| remove(&with_suffix(path, suffix)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_that_count_are_those_that_sqlite_numbers() {
        let conn = Connection::open_in_memory().expect("in memory");
        conn.execute_batch(
            "CREATE TABLE counts (a INTEGER PRIMARY KEY /* once */ autoincrement, b TEXT);
             CREATE TABLE named (a INTEGER PRIMARY KEY, \"autoincrement\" TEXT);
             CREATE TABLE commented (a INTEGER PRIMARY KEY -- no AUTOINCREMENT
             );
             CREATE TABLE paired (a TEXT, b INTEGER, PRIMARY KEY (a, b)) WITHOUT ROWID;
             CREATE VIEW looks AS SELECT 'AUTOINCREMENT' AS a FROM counts;
             INSERT INTO named VALUES (1, 'x');",
        )
        .expect("makes tables");
        assert_eq!(counting_tables(&conn).expect("reads"), ["counts"]);
        let mut ours = Connection::open_in_memory().expect("in memory");
        SCHEMA.migrate(&mut ours).expect("migrates");
        let counting = counting_tables(&ours).expect("reads");
        for table in ["events", "deliveries", "webhooks", "commands", "audit", "origins"] {
            assert!(counting.iter().any(|name| name == table), "{table}: {counting:?}");
        }
        assert!(!counting.iter().any(|name| name == "transactions"), "these are moved by themselves");
    }
}
