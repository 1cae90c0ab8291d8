//! Another key for the secrets of a database.
//!
//! **Invariant**: whatever is killed when, the database is sealed under one key as a whole, and that key is
//! on disk: under its own name, or beside it as the next one, where the next start finds it. Where somebody
//! else keeps the keys, it is one of the two that they have.

use std::path::{Path, PathBuf};

use rusqlite::Connection;

use crate::access::audit;
use crate::engine::embedded::data_dir::database_in;
use crate::engine::embedded::data_dir::lock;
use crate::engine::embedded::schema::{self, SCHEMA};
use crate::engine::tx::Tx;
use crate::error::{KeyFault, Result, StoreError};
use crate::maintenance::offline::write_alone;
use crate::maintenance::sealed_columns::COLUMNS;
use crate::maintenance::unlock;
use crate::maintenance::upgrade;
use crate::secrecy::key_source;
use crate::secrecy::key_source::{KeySource, SecretsKey};
use crate::secrecy::vault::Vault;
use vocabulary::clock::Clock;

/// Why the secrets of a database are kept as they were.
#[derive(Debug, thiserror::Error)]
pub enum KeptAsTheyWere {
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

impl From<rusqlite::Error> for KeptAsTheyWere {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
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

/// Changes the key of `data_dir`'s secrets, in which no gateway may be running: to `next`, or, where the key
/// is a file, to a new one that takes the file's place. Asked for anew after it was cut off, it finishes what
/// it began. The second value is false if the file of the database may still hold what the old key opens,
/// until the next start.
///
/// # Errors
/// [`KeptAsTheyWere`]: the old key is the key.
pub fn change_key(
    data_dir: &Path,
    source: &KeySource,
    next: Option<SecretsKey>,
    clock: &Clock,
) -> std::result::Result<(KeyChanged, bool), KeptAsTheyWere> {
    let keeper = match (next, source) {
        (Some(key), _) => Keeper::They(key),
        (None, KeySource::File(file)) => Keeper::We(file),
        (None, KeySource::Given(_)) => return Err(KeptAsTheyWere::NoNextKey),
    };
    let path = database_in(data_dir)?;
    let _lock = lock(data_dir)?;
    let done = match &keeper {
        Keeper::They(next) if source.read()?.is_some_and(|key| key == *next) => {
            return Err(KeptAsTheyWere::SameKey);
        }
        Keeper::They(next) => {
            unlock::is_key(&schema::open_untouched(&path)?, next)?.then_some(KeyChanged::Given)
        }
        Keeper::We(file) => {
            // One that was cut off between the database and the file is finished, and no other is begun.
            let before = unlock::finish_change(&schema::open_untouched(&path)?, source)?;
            before.map(|before| KeyChanged::InPlace { file: (*file).clone(), before })
        }
    };
    if let Some(done) = done {
        return Ok((done, unlock::sweep(&schema::open_writer(&path)?)?));
    }
    let old = unlock::unlock(&path, source)?;
    let mut conn = schema::open_writer(&path)?;
    upgrade::upgrade(&mut conn, &path, SCHEMA)?;
    let key = match &keeper {
        Keeper::They(key) => key.clone(),
        Keeper::We(file) => prepared(file)?,
    };
    write_alone(&mut conn, clock, &Vault::new(&key), |w| reseal(w, &old))?;
    let changed = match keeper {
        Keeper::They(_) => KeyChanged::Given,
        Keeper::We(file) => {
            KeyChanged::InPlace { before: key_source::put_in_place(file)?, file: file.clone() }
        }
    };
    Ok((changed, unlock::sweep(&conn)?))
}

/// Who keeps the next key.
enum Keeper<'a> {
    /// Whoever gave it.
    They(SecretsKey),
    /// This file, in the place of the one in use.
    We(&'a PathBuf),
}

/// The next key, on disk beside the one in use; the one of a try that was cut off, if there is one, because
/// something else may have been sealed under it.
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
        column.reseal(w.conn, old, w.vault)?;
    }
    settle_new(w, "secrets_change_key")
}

/// What every new key asks for: it is the database's from now on, nothing is left of the old one, and it is
/// on record.
pub(crate) fn settle_new(w: &mut Tx<'_>, action: &str) -> Result<()> {
    strip_verifiers(w.conn)?;
    unlock::sign(w.conn, w.vault)?;
    unlock::note_residue(w.conn)?;
    audit::secrets_by_hand(w, action)
}

/// What follows a `#` in the verifier of a station's password was made under a key that is derived from the
/// old one, and would let whoever has that guess quickly. It is made anew when the station next connects.
fn strip_verifiers(conn: &Connection) -> Result<()> {
    let stations: Vec<(i64, String)> = conn
        .prepare("SELECT seq, password_verifiers FROM stations WHERE password_verifiers LIKE '%#%'")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let slow = |verifier: &str| verifier.split('#').next().unwrap_or_default().to_owned();
    let mut update = conn.prepare("UPDATE stations SET password_verifiers = ?2 WHERE seq = ?1")?;
    for (seq, text) in stations {
        let corrupt =
            |error: serde_json::Error| StoreError::Corrupt(format!("a station's password: {error}"));
        let verifiers: Vec<String> = serde_json::from_str(&text).map_err(corrupt)?;
        let stripped: Vec<String> = verifiers.iter().map(|verifier| slow(verifier)).collect();
        update.execute((seq, serde_json::to_string(&stripped).map_err(corrupt)?))?;
    }
    conn.execute(
        "UPDATE key_rotations SET verifier = substr(verifier, 1, instr(verifier, '#') - 1)
         WHERE instr(verifier, '#') > 0",
        [],
    )?;
    Ok(())
}

/// Writes the key of `data_dir`'s secrets to another file, for its owner alone.
///
/// # Errors
/// [`StoreError::Key`] if it is not at hand; the file's, also if it exists.
pub fn copy_key(data_dir: &Path, source: &KeySource, to: &Path) -> Result<()> {
    let conn = schema::open_untouched(&database_in(data_dir)?)?;
    let key = match (unlock::key_of(&conn, source)?, source) {
        (Some(key), _) => key,
        (None, KeySource::Given(key)) => key.clone(),
        (None, KeySource::File(path)) => source.read()?.ok_or_else(|| KeyFault::Missing(path.clone()))?,
    };
    key_source::write(to, &key)
}

#[cfg(test)]
mod tests;
