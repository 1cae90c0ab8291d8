//! A database and its key: whether they belong together.
//!
//! **Invariant**: `meta` holds [`CHECK`] before anything is sealed.

use std::path::{Path, PathBuf};

use tracing::warn;

use crate::engine::embedded::database_file::DatabaseFile;
use crate::engine::embedded::residue::RESIDUE;
use crate::engine::sql::params;
use crate::engine::tx::{Read, Tx};
use crate::error::{KeyFault, Result};
use crate::secrecy::key_source::{self, KeySource, SecretsKey};
use crate::secrecy::vault::{Vault, cell};

/// The entry of `meta` that only the right key opens, and what it holds.
const CHECK: &str = "secrets_check";
const CHECK_TEXT: &str = "chargehook";

/// The key of the database at `path`, which need not exist; made if nothing is sealed yet. The database is
/// not changed, nor anything beside it, unless the key is the right one. A change of the key that was cut off
/// between the database and the key's file is finished.
///
/// # Errors
/// [`crate::StoreError::Key`]; the file's.
pub(crate) fn unlock(path: &Path, source: &KeySource) -> Result<Vault> {
    let check = match path.exists() {
        true => check_in(&DatabaseFile::look_at(path)?)?,
        false => None,
    };
    let Some(check) = check else { return Ok(Vault::new(&source.read_or_make()?)) };
    if let KeyFile::PutInPlace { before } = finish_change(Some(&check), source)? {
        let kept = before.map(|path| format!("; the one before is kept: {}", path.display()));
        warn!(
            "the change of the secrets' key that was cut off is finished: {source}{}",
            kept.unwrap_or_default()
        );
    }
    Ok(Vault::new(&fitting(&check, source)?))
}

/// What opens the secrets of the database whose entry is `check`; the key is made if nothing is sealed yet.
///
/// # Errors
/// As [`unlock`].
pub(crate) fn vault_of(check: Option<&str>, source: &KeySource) -> Result<Vault> {
    match check {
        Some(check) => Ok(Vault::new(&fitting(check, source)?)),
        None => Ok(Vault::new(&source.read_or_make()?)),
    }
}

/// What has become of a key file when a change that was cut off was looked for.
pub(crate) enum KeyFile {
    /// It is as it was: no change was cut off.
    Unchanged,
    /// It holds the key that the database is sealed under now.
    PutInPlace {
        /// Where the key before is kept, if there was one.
        before: Option<PathBuf>,
    },
}

/// Puts the next key in place if the database, whose entry is `check`, is sealed under it already: the
/// process was killed in between.
pub(crate) fn finish_change(check: Option<&str>, source: &KeySource) -> Result<KeyFile> {
    let (KeySource::File(file), Some(next)) = (source, key_source::next(source)) else {
        return Ok(KeyFile::Unchanged);
    };
    Ok(match is_key(check, &next) {
        true => KeyFile::PutInPlace { before: key_source::put_in_place(file)? },
        false => KeyFile::Unchanged,
    })
}

/// The key of `source` that opens `check`: its own, or the one beside that which is to take its place.
fn fitting(check: &str, source: &KeySource) -> Result<SecretsKey> {
    let own = source.read();
    let candidates = [own.as_ref().ok().cloned().flatten(), key_source::next(source)];
    let fits = |key: &SecretsKey| opens(&Vault::new(key), check);
    if let Some(key) = candidates.into_iter().flatten().find(fits) {
        return Ok(key);
    }
    Err(match (own?, source) {
        (None, KeySource::File(path)) => KeyFault::Missing(path.clone()).into(),
        _ => KeyFault::Wrong(source.to_string()).into(),
    })
}

/// Whether a vault has the key that has written this entry.
fn opens(vault: &Vault, check: &str) -> bool {
    vault.open(cell::CHECK, CHECK, check).is_ok_and(|text| text == CHECK_TEXT)
}

/// Whether the secrets of the database whose entry is `check` are sealed with `key`.
pub(crate) fn is_key(check: Option<&str>, key: &SecretsKey) -> bool {
    check.is_some_and(|check| opens(&Vault::new(key), check))
}

/// The key of `source` if it is the one that the secrets of the database whose entry is `check` are sealed
/// with; `None` if nothing is sealed in it.
pub(crate) fn key_of(check: Option<&str>, source: &KeySource) -> Result<Option<SecretsKey>> {
    check.map(|check| fitting(check, source)).transpose()
}

/// Refuses to go on with a key that was changed meanwhile.
pub(crate) fn verify(w: &Tx<'_>) -> Result<()> {
    match check_of(w)? {
        Some(check) if !opens(w.vault, &check) => {
            Err(KeyFault::Wrong("the key that this gateway has started with".to_owned()).into())
        }
        _ => Ok(()),
    }
}

/// Whether anything in this database was sealed: then it needs its key.
pub(crate) fn is_sealed(database: &DatabaseFile) -> Result<bool> {
    check_in(database).map(|check| check.is_some())
}

/// The entry that only the right key opens.
pub(crate) fn check_in(database: &DatabaseFile) -> Result<Option<String>> {
    match database.has_schema()? {
        true => check_of(&database.read()),
        false => Ok(None),
    }
}

/// The same, where there is a schema.
pub(crate) fn check_of(db: &Read<'_>) -> Result<Option<String>> {
    db.maybe("SELECT text FROM meta WHERE key = ?1", params![CHECK], |row| row.get(0))
}

/// Sees to it that the database knows its key.
pub(crate) fn settle(w: &mut Tx<'_>) -> Result<()> {
    match check_of(w)? {
        Some(_) => Ok(()),
        None => sign(w),
    }
}

/// Writes down which key everything is sealed under.
pub(crate) fn sign(w: &Tx<'_>) -> Result<()> {
    let check = w.vault.seal(cell::CHECK, CHECK, CHECK_TEXT)?;
    w.run(
        "INSERT INTO meta (key, text) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET text = excluded.text",
        params![CHECK, check],
    )?;
    Ok(())
}

/// Asks for the database's file to be written anew, now or at the next start: it may still hold what an
/// earlier key opens.
pub(crate) fn note_residue(w: &Tx<'_>) -> Result<()> {
    if w.is_shared() {
        return Ok(());
    }
    w.run("INSERT INTO meta (key, value) VALUES (?1, 1) ON CONFLICT (key) DO NOTHING", params![RESIDUE])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Store, StoreError};
    use vocabulary::clock::Clock;

    #[test]
    fn a_database_and_another_key_do_not_touch_each_other() {
        let dir = tempfile::tempdir().expect("a directory");
        Store::open(dir.path(), Clock::System).expect("opens").close();
        let (key, aside) = (dir.path().join("secrets.key"), dir.path().join("aside"));
        std::fs::rename(&key, &aside).expect("moves");
        let refused = Store::open(dir.path(), Clock::System).err().expect("refused");
        assert!(matches!(refused, StoreError::Key(KeyFault::Missing(_))), "{refused}");
        assert!(!key.exists(), "none is made for a database that has one");
        std::fs::write(&key, "00".repeat(32)).expect("writes");
        let refused = Store::open(dir.path(), Clock::System).err().expect("refused");
        assert!(matches!(refused, StoreError::Key(KeyFault::Wrong(_))), "{refused}");
        std::fs::rename(&aside, &key).expect("moves back");
        Store::open(dir.path(), Clock::System).expect("opens again").close();
    }
}
