//! A database and its key: whether they belong together, and what a change of the key leaves in the file.
//!
//! **Invariant**: `meta` holds `secrets_check` before anything is sealed, and `secrets_residue` as long as
//! the file may still hold what an earlier key opens, in pages that nothing uses.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension};
use tracing::{info, warn};

use crate::engine::embedded::schema;
use crate::error::{KeyFault, Result};
use crate::secrecy::key_source;
use crate::secrecy::key_source::{KeySource, SecretsKey};
use crate::secrecy::vault::{Vault, cell};

/// The entry of `meta` that only the right key opens, and what it holds.
const CHECK: &str = "secrets_check";
const CHECK_TEXT: &str = "chargehook";

/// The entry of `meta` that asks for the file to be written anew.
const RESIDUE: &str = "secrets_residue";

/// The key of the database at `path`, which need not exist; made if nothing is sealed yet. The database is
/// not changed, nor anything beside it, unless the key is the right one. A change of the key that was cut off
/// between the database and the key's file is finished.
///
/// # Errors
/// [`StoreError::Key`]; the file's.
pub(crate) fn unlock(path: &Path, source: &KeySource) -> Result<Vault> {
    let sealed = match path.exists() {
        true => check_of(&schema::open_untouched(path)?)?,
        false => None,
    };
    let Some(check) = sealed else { return Ok(Vault::new(&source.read_or_make()?)) };
    if let Some(before) = finish_change(&schema::open_untouched(path)?, source)? {
        let kept = before.map(|path| format!("; the one before is kept: {}", path.display()));
        warn!(
            "the change of the secrets' key that was cut off is finished: {source}{}",
            kept.unwrap_or_default()
        );
    }
    Ok(Vault::new(&fitting(&check, source)?))
}

/// Puts the next key in place, if the database is sealed under that already: somebody was killed in between.
/// `None` if it is not; else where the key before is kept, if there was one.
pub(crate) fn finish_change(conn: &Connection, source: &KeySource) -> Result<Option<Option<PathBuf>>> {
    let (KeySource::File(file), Some(next)) = (source, key_source::next(source)) else { return Ok(None) };
    let due = is_key(conn, &next)?;
    due.then(|| key_source::put_in_place(file)).transpose()
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

/// Whether a vault is of the key that wrote this entry.
fn opens(vault: &Vault, check: &str) -> bool {
    vault.open(cell::CHECK, CHECK, check).is_ok_and(|text| text == CHECK_TEXT)
}

/// Whether the secrets of this database are sealed with `key`.
pub(crate) fn is_key(conn: &Connection, key: &SecretsKey) -> Result<bool> {
    Ok(check_of(conn)?.is_some_and(|check| opens(&Vault::new(key), &check)))
}

/// The key of `source` if it is the one that the secrets of this database are sealed with; `None` if nothing
/// is sealed in it.
pub(crate) fn key_of(conn: &Connection, source: &KeySource) -> Result<Option<SecretsKey>> {
    check_of(conn)?.map(|check| fitting(&check, source)).transpose()
}

/// Whether anything in this database was sealed: then it needs its key.
pub(crate) fn is_sealed(conn: &Connection) -> Result<bool> {
    check_of(conn).map(|check| check.is_some())
}

fn check_of(conn: &Connection) -> Result<Option<String>> {
    let made: bool =
        conn.query_row("SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'meta')", [], |row| {
            row.get(0)
        })?;
    if !made {
        return Ok(None);
    }
    let check =
        conn.query_row("SELECT value FROM meta WHERE key = ?1", [CHECK], |row| row.get(0)).optional()?;
    Ok(check)
}

/// Sees to it that the database knows its key, and that nothing is left in the file of how its secrets were
/// sealed before.
pub(crate) fn settle(conn: &Connection, vault: &Vault) -> Result<()> {
    if check_of(conn)?.is_none() {
        sign(conn, vault)?;
    }
    sweep(conn).map(drop)
}

/// Writes down which key everything is sealed under.
pub(crate) fn sign(conn: &Connection, vault: &Vault) -> Result<()> {
    let check = vault.seal(cell::CHECK, CHECK, CHECK_TEXT)?;
    conn.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?1, ?2)", [CHECK, &check])?;
    Ok(())
}

/// Asks for the file to be written anew, now or at the next start.
pub(crate) fn note_residue(conn: &Connection) -> Result<()> {
    conn.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?1, 1)", [RESIDUE])?;
    Ok(())
}

/// Writes the file anew if that is asked for, without the pages that nothing uses any more, and empties the
/// write-ahead log. False if something of what was there before may be left.
pub(crate) fn sweep(conn: &Connection) -> Result<bool> {
    let residue: bool =
        conn.query_row("SELECT EXISTS (SELECT 1 FROM meta WHERE key = ?1)", [RESIDUE], |row| row.get(0))?;
    if !residue {
        return Ok(true);
    }
    info!(
        "the database's file is written anew once, so that nothing is left in it of how its secrets were kept"
    );
    // In memory, as other temporary tables are, the copy could be larger than that.
    let swept =
        conn.execute_batch("PRAGMA temp_store = FILE; VACUUM; PRAGMA temp_store = MEMORY").and_then(|()| {
            let busy = conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, bool>(0))?;
            if busy {
                return Ok(false);
            }
            conn.execute("DELETE FROM meta WHERE key = ?1", [RESIDUE])?;
            Ok(true)
        });
    match &swept {
        Ok(true) => {}
        Ok(false) => warn!(
            "somebody reads the database: until the next start its file may hold secrets as they were kept before"
        ),
        // A full disk, most likely: no reason not to serve.
        Err(error) => warn!(
            "the database could not be written anew, so its file may still hold secrets as they were kept before; the \
             next start tries it again: {error}"
        ),
    }
    Ok(swept.unwrap_or(false))
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
