//! A backup takes the place of a database.
//!
//! What was done between the backup and now is lost here, but not in the world: chargers and integrators were
//! told numbers that the backup does not know. So every count goes on far behind them (`move_past`).
//!
//! **Invariant**: whenever the process is killed, the directory holds the old database or the new one. The
//! new one is made beside the old one, whole and on disk, and takes its name in one step.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;

use crate::commands::bulk;
use crate::engine::embedded::copying::CopyProgress;
use crate::engine::embedded::data_dir::{DATABASE, lock};
use crate::engine::embedded::database_file::DatabaseFile;
use crate::engine::embedded::replacing::{remove_with_log, set_aside};
use crate::engine::embedded::{file_header, file_identity};
use crate::engine::sql::params;
use crate::engine::tx::{Read, Tx};
use crate::error::{KeyFault, Result, StoreError};
use crate::files::{self, create_directory, create_for_owner, file_error};
use crate::log::append::{self, AppendOptions};
use crate::log::search;
use crate::log::subscriptions::load_subscriptions;
use crate::maintenance::backup::{self, BackupError, MADE_AT};
use crate::maintenance::unlock;
use crate::secrecy::key_source::{self, KeySource, SecretsKey};
use crate::secrecy::vault::Vault;
use vocabulary::clock::{Clock, Timestamp};
use vocabulary::event::{Category, NewEvent};

/// The new database while it is made.
const STAGED: &str = "restoring.db";

/// How far each count goes on, even if hardly any time was lost.
const LEAST_STEP: i64 = 1_000_000;

/// Transactions started in a second, over all stations: many more than chargers can start.
const TRANSACTIONS_PER_SECOND: i64 = 20;

/// Events of one station in a second: beyond the messages that it may send.
const STATION_EVENTS_PER_SECOND: i64 = 200;

/// Rows of one table, and deliveries of one webhook, in a second: beyond what the writer commits.
const ROWS_PER_SECOND: i64 = 20_000;

/// Webhooks created in the lost time. People see their numbers, so these do not jump as far.
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
    let source = DatabaseFile::source(order.from)?;
    let target = order.data_dir.join(DATABASE);
    refuse_foreign(&target, &file_header::DATABASE)?;
    refuse_foreign(&order.data_dir.join(search::FILE), &file_header::SEARCH)?;
    create_directory(order.data_dir)?;
    let _lock = lock(order.data_dir)?;
    if target.exists() && !order.force {
        return Err(BackupError::Exists(order.data_dir.to_owned()));
    }
    let key = key_to_write(&source, order)?;
    let staged = order.data_dir.join(STAGED);
    remove_with_log(&staged)?;
    create_for_owner(&staged)?;
    let copied = source.copy_to(&staged, progress).map_err(BackupError::from);
    let restored = copied.and_then(|()| prepare(&staged, order.from, clock)).inspect_err(|_| {
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
    // The search index is that of the old log; where it is missing, it is made anew.
    remove_with_log(&order.data_dir.join(search::FILE))?;
    std::fs::rename(&staged, &target).map_err(|error| file_error(&target, &error))?;
    files::sync(order.data_dir)?;
    Ok(Restored { key_written, replaced, ..restored })
}

/// A damaged database may be replaced: that may be why there is a restore. A file that this version does not
/// make may not.
fn refuse_foreign(path: &Path, kind: &file_header::Kind) -> Result<()> {
    match file_identity::look(path, kind) {
        Err(refusal @ (StoreError::Foreign { .. } | StoreError::Development(_))) => Err(refusal),
        _ => Ok(()),
    }
}

/// Checks that the gateway will find the backup's key. Returns the key's file if it has to be written, and
/// the key.
fn key_to_write(
    source: &DatabaseFile,
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
    let mut database = DatabaseFile::open(staged)?;
    backup::check(&database, from)?;
    database.migrate()?;
    let (backup_at, steps) = database.write(clock, &Vault::locked(), load_subscriptions, |w| {
        let backup_at = made_at(w)?.unwrap_or(w.now);
        // Nobody knows which stations had their turn in the lost time, and none is to have two.
        bulk::cancel::stop_each(w, "SELECT seq FROM bulk_commands WHERE status = 'running'")?;
        let steps = move_past(w, Steps::over(w.now.since(backup_at)))?;
        tell(w, backup_at, steps)?;
        Ok((backup_at, steps))
    })?;
    database.close_whole()?;
    Ok(Restored { backup_at, steps, key_written: None, replaced: None })
}

/// When the backup was made; of a plain copy of a database, the last moment that it knows of.
fn made_at(db: &Read<'_>) -> Result<Option<Timestamp>> {
    db.one(
        "SELECT coalesce((SELECT value FROM meta WHERE key = ?1),
                         (SELECT timestamp_ms FROM events ORDER BY seq DESC LIMIT 1))",
        params![MADE_AT],
        |row| row.get(0),
    )
}

/// Moves every count behind what may have been used in the lost time.
fn move_past(w: &Tx<'_>, mut steps: Steps) -> Result<Steps> {
    steps.transaction_ids = move_transaction_ids(w, steps.transaction_ids)?;
    w.run("UPDATE station_sequences SET last = last + ?1", params![steps.station_seq])?;
    // Stations that first connected in the lost time have counted too, and nothing here knows them.
    w.run(
        "INSERT INTO meta (key, value) VALUES (?1, ?2)
         ON CONFLICT (key) DO UPDATE SET value = meta.value + excluded.value",
        params![append::STATION_SEQ_FLOOR, steps.station_seq],
    )?;
    w.run("UPDATE webhooks SET last_sequence = last_sequence + ?1", params![steps.webhook_sequence])?;
    // Rows count on too: cursors that were given out in the lost time must not skip what comes now.
    w.skip_row_numbers(|table| if table == "webhooks" { WEBHOOKS } else { steps.webhook_sequence })?;
    Ok(steps)
}

/// OCPP's numbers end at 2³¹ − 1, so no step takes more than half of what is left. A backup without any
/// transaction begins at random, as it did.
fn move_transaction_ids(w: &Tx<'_>, step: i64) -> Result<i64> {
    let last = "SELECT value FROM meta WHERE key = 'last_transaction_id'";
    let last: Option<i64> = w.maybe(last, &[], |row| row.get(0))?;
    let Some(last) = last else { return Ok(0) };
    let step = step.min((i64::from(i32::MAX) - last) / 2).max(0);
    w.run("UPDATE meta SET value = value + ?1 WHERE key = 'last_transaction_id'", params![step])?;
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
    w.run("DELETE FROM meta WHERE key = ?1", params![MADE_AT])?;
    let payload = serde_json::value::to_raw_value(&payload)?;
    let event = NewEvent::new(Category::System, "GatewayRestored", w.now, payload);
    append::append(w, &event, AppendOptions::default()).map(drop)
}
