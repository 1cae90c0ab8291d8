//! Another key for the secrets of a database.
//!
//! **Invariant**: whenever the process is killed, the whole database is sealed under one key, and that key is
//! on disk: under its own name, or beside it as the next one, where the next start finds it. Where the
//! operator holds the keys, it is one of the two that he has.

use std::path::{Path, PathBuf};

use crate::access::audit;
use crate::engine::embedded::data_dir::database_in;
use crate::engine::embedded::database_file::DatabaseFile;
use crate::engine::embedded::residue::Residue;
use crate::engine::sql::params;
use crate::engine::tx::Tx;
use crate::error::{KeyFault, Result, StoreError};
use crate::maintenance::open::apart;
use crate::maintenance::quiet::{Place, Quiet};
use crate::maintenance::sealed_columns::COLUMNS;
use crate::maintenance::unlock::{self, KeyFile};
use crate::secrecy::key_source::{self, KeySource, SecretsKey};
use crate::secrecy::vault::Vault;
use vocabulary::clock::Clock;

/// Why the secrets of a database stay as they are.
#[derive(Debug, thiserror::Error)]
pub enum KeyChangeRefused {
    /// The store's own.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The configuration brings the key, and nobody has said which one comes next.
    #[error(
        "the key comes from the configuration, so the next one must too: give it in {} or with --new-key-file",
        crate::NEW_KEY_VARIABLE
    )]
    NoNextKey,
    /// The next key is the one in use.
    #[error("that is the key in use: nothing was changed")]
    SameKey,
    /// The key is there, so nothing is lost.
    #[error("{0} opens the database's secrets: nothing is lost, and nothing was dropped")]
    NotLost(String),
    /// Nothing is sealed in it, so nothing is lost.
    #[error("nothing in the database is sealed, so there is nothing that a key could open")]
    NotSealed,
}

/// Under which key the secrets are sealed now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyChanged {
    /// Under a new one, which is where the old one was.
    InPlace {
        /// Its file.
        file: PathBuf,
        /// What the key before is called now: backups are sealed under it.
        before: Option<PathBuf>,
    },
    /// Under the one that was given, which is kept by whoever gave it.
    Given,
}

/// Changes the key of a database's secrets, on which no gateway may be working: to `next`, or, where the key
/// is a file, to a new one that takes the file's place. Asked for again after it was cut off, it finishes
/// what it began.
///
/// # Errors
/// [`KeyChangeRefused`]: the old key is the key.
pub fn change_key<'a>(
    place: impl Into<Place<'a>>,
    source: &KeySource,
    next: Option<SecretsKey>,
    clock: &Clock,
) -> std::result::Result<(KeyChanged, Residue), KeyChangeRefused> {
    let holder = match (next, source) {
        (Some(key), _) => KeyHolder::Operator(key),
        (None, KeySource::File(file)) => KeyHolder::File(file),
        (None, KeySource::Given(_)) => return Err(KeyChangeRefused::NoNextKey),
    };
    let place = place.into();
    apart(|| {
        let mut database = Quiet::open(place, clock)?;
        let check = database.check()?;
        let changed = match already_changed(check.as_deref(), source, &holder)? {
            Some(done) => done,
            None => change(&mut database, check.as_deref(), source, holder, clock)?,
        };
        Ok((changed, database.sweep()?))
    })
}

fn change(
    database: &mut Quiet,
    check: Option<&str>,
    source: &KeySource,
    holder: KeyHolder<'_>,
    clock: &Clock,
) -> Result<KeyChanged> {
    let old = unlock::vault_of(check, source)?;
    let key = match &holder {
        KeyHolder::Operator(key) => key.clone(),
        KeyHolder::File(file) => prepared(file)?,
    };
    database.write(clock, &Vault::new(&key), |w| reseal(w, &old))?;
    Ok(match holder {
        KeyHolder::Operator(_) => KeyChanged::Given,
        KeyHolder::File(file) => {
            KeyChanged::InPlace { before: key_source::put_in_place(file)?, file: file.clone() }
        }
    })
}

/// Who holds the next key.
enum KeyHolder<'a> {
    /// The operator, who has given it.
    Operator(SecretsKey),
    /// This file, in the place of the one in use.
    File(&'a PathBuf),
}

/// What an earlier try has done that was cut off: it is finished, and no other change is begun.
fn already_changed(
    check: Option<&str>,
    source: &KeySource,
    holder: &KeyHolder<'_>,
) -> std::result::Result<Option<KeyChanged>, KeyChangeRefused> {
    match holder {
        KeyHolder::Operator(next) if source.read()?.is_some_and(|key| key == *next) => {
            Err(KeyChangeRefused::SameKey)
        }
        KeyHolder::Operator(next) => Ok(unlock::is_key(check, next).then_some(KeyChanged::Given)),
        KeyHolder::File(file) => Ok(match unlock::finish_change(check, source)? {
            KeyFile::PutInPlace { before } => Some(KeyChanged::InPlace { file: (*file).clone(), before }),
            KeyFile::Unchanged => None,
        }),
    }
}

/// The next key, on disk beside the one in use. A try that was cut off may have left one, and something may
/// be sealed under it already: then it is that.
fn prepared(file: &Path) -> Result<SecretsKey> {
    let next = key_source::next_file(file);
    if let Some(key) = KeySource::File(next.clone()).read()? {
        return Ok(key);
    }
    let key = SecretsKey::generate()?;
    key_source::write(&next, &key)?;
    Ok(key)
}

/// Seals everything under the key of `w`.
fn reseal(w: &mut Tx<'_>, old: &Vault) -> Result<()> {
    for column in &COLUMNS {
        column.reseal(w, old)?;
    }
    settle_new(w, "secrets_change_key")
}

/// What every new key asks for: from now on it is the database's, nothing is left of the old one, and the
/// audit log says so.
pub(crate) fn settle_new(w: &mut Tx<'_>, action: &str) -> Result<()> {
    strip_verifiers(w)?;
    unlock::sign(w)?;
    unlock::note_residue(w)?;
    audit::secrets_by_hand(w, action)
}

/// What follows a `#` in the verifier of a station's password was made under a key that is derived from the
/// old one, and whoever has the old key could guess quickly with it. It is made again when the station next
/// connects.
fn strip_verifiers(w: &Tx<'_>) -> Result<()> {
    let stripped = |verifier: &str| verifier.split('#').next().unwrap_or_default().to_owned();
    let stations: Vec<(i64, Vec<String>)> = w.all(
        "SELECT seq, password_verifiers FROM stations WHERE password_verifiers LIKE '%#%'",
        &[],
        |row| Ok((row.get(0)?, row.json(1)?)),
    )?;
    for (seq, verifiers) in stations {
        let slow: Vec<String> = verifiers.iter().map(|verifier| stripped(verifier)).collect();
        w.run(
            "UPDATE stations SET password_verifiers = ?2 WHERE seq = ?1",
            params![seq, serde_json::to_string(&slow)?],
        )?;
    }
    let rotations: Vec<(String, String)> =
        w.all("SELECT command_id, verifier FROM key_rotations WHERE verifier LIKE '%#%'", &[], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
    for (command, verifier) in rotations {
        w.run(
            "UPDATE key_rotations SET verifier = ?2 WHERE command_id = ?1",
            params![command, stripped(&verifier)],
        )?;
    }
    Ok(())
}

/// Writes the key of `data_dir`'s secrets to another file, for its owner alone.
///
/// # Errors
/// [`StoreError::Key`] if it is not at hand; the file's, also if it exists.
pub fn copy_key(data_dir: &Path, source: &KeySource, to: &Path) -> Result<()> {
    let database = DatabaseFile::look_at(&database_in(data_dir)?)?;
    let check = unlock::check_in(&database)?;
    let key = match (unlock::key_of(check.as_deref(), source)?, source) {
        (Some(key), _) => key,
        (None, KeySource::Given(key)) => key.clone(),
        (None, KeySource::File(path)) => source.read()?.ok_or_else(|| KeyFault::Missing(path.clone()))?,
    };
    key_source::write(to, &key)
}

#[cfg(test)]
mod tests;
