//! What a change of the key leaves in the database's file, in pages that nothing uses any more.
//!
//! **Invariant**: `meta` holds [`RESIDUE`] as long as the file may still hold what an earlier key opens.

use rusqlite::Connection;
use tracing::{info, warn};

use crate::error::Result;

/// The entry of `meta` that asks for the file to be written anew.
pub(crate) const RESIDUE: &str = "secrets_residue";

/// What is left in the database's file of how its secrets were sealed before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Residue {
    /// Nothing.
    Gone,
    /// Perhaps something, until the next start: the file could not be written anew.
    Left,
    /// Rows as they were before, until PostgreSQL has vacuumed their tables, and its write-ahead log.
    UntilVacuum,
}

/// Writes the file anew if that is asked for, without the pages that nothing uses any more, and empties the
/// write-ahead log.
pub(super) fn sweep(conn: &Connection) -> Result<Residue> {
    let asked = "SELECT EXISTS (SELECT 1 FROM meta WHERE key = ?1)";
    if !conn.query_row(asked, [RESIDUE], |row| row.get::<_, bool>(0))? {
        return Ok(Residue::Gone);
    }
    info!(
        "the database's file is written anew once, so that nothing is left in it of how its secrets were kept"
    );
    let residue = write_anew(conn);
    match &residue {
        Ok(Residue::Gone | Residue::UntilVacuum) => {}
        Ok(Residue::Left) => warn!(
            "somebody reads the database: until the next start its file may hold secrets as they were kept before"
        ),
        // A full disk, most likely: no reason not to serve.
        Err(error) => warn!(
            "the database could not be written anew, so its file may still hold secrets as they were kept before; the \
             next start tries it again: {error}"
        ),
    }
    Ok(residue.unwrap_or(Residue::Left))
}

fn write_anew(conn: &Connection) -> rusqlite::Result<Residue> {
    // In memory, as other temporary tables are, the copy could be larger than that.
    conn.execute_batch("PRAGMA temp_store = FILE; VACUUM; PRAGMA temp_store = MEMORY")?;
    let is_read: bool = conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
    if is_read {
        return Ok(Residue::Left);
    }
    conn.execute("DELETE FROM meta WHERE key = ?1", [RESIDUE])?;
    Ok(Residue::Gone)
}
