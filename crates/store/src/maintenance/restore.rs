//! A backup takes the place of a database.
//!
//! What was done between the backup and now is lost here, but not in the world, so every count goes on far
//! behind what it knows ([`counts`]).
//!
//! **Invariant**: whenever the process is killed, the directory holds the old database or the new one. The
//! new one is made beside the old one, whole and on disk, and takes its name in one step.

use std::path::{Path, PathBuf};

use crate::engine::embedded::copying::CopyProgress;
use crate::engine::embedded::data_dir::{DATABASE, lock};
use crate::engine::embedded::database_file::DatabaseFile;
use crate::engine::embedded::replacing::{remove_with_log, set_aside};
use crate::engine::embedded::{file_header, file_identity};
use crate::error::{KeyFault, Result, StoreError};
use crate::files::{self, create_directory, create_for_owner, file_error};
use crate::log::search;
use crate::log::subscriptions::load_subscriptions;
use crate::maintenance::backup::{self, BackupError};
use crate::maintenance::counts::{self, Advanced, Steps};
use crate::maintenance::unlock;
use crate::secrecy::key_source::{self, KeySource, SecretsKey};
use crate::secrecy::vault::Vault;
use vocabulary::clock::{Clock, Timestamp};

/// The new database while it is made.
const STAGED: &str = "restoring.db";

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
    let check = unlock::check_in(source)?;
    let key_of = |place: &KeySource| {
        unlock::key_of(check.as_deref(), place).map_err(|error| match error {
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
    let Advanced { back_at, steps } =
        database.write(clock, &Vault::locked(), load_subscriptions, |w| counts::go_on(w, None))?;
    database.close_whole()?;
    Ok(Restored { backup_at: back_at, steps, key_written: None, replaced: None })
}
