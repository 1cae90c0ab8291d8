//! Versioned migrations and the settings every connection runs with.

use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use crate::engine::embedded::file_identity;
use crate::error::{Result, StoreError};

/// A schema, made step by step: a database's `user_version` is how many of the steps it has.
#[derive(Clone, Copy)]
pub(crate) struct Schema(&'static [&'static str]);

/// The schema that this program works with. Never edit a step that was released: people have databases with
/// it.
pub(crate) const SCHEMA: Schema = Schema(&[include_str!("migrations/0001_first.sql")]);

/// As a later version of this program may have it.
#[cfg(test)]
pub(crate) const LATER: Schema =
    Schema(&[SCHEMA.0[0], "ALTER TABLE stations ADD COLUMN later INTEGER NOT NULL DEFAULT 7"]);

/// How long a connection waits for another process's write lock (`chargehook keys` beside `serve`).
pub(crate) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Prepared statements kept per connection.
const STATEMENT_CACHE: usize = 128;

/// Opens a connection that may write.
pub(crate) fn open_writer(path: &Path) -> Result<Connection> {
    let conn = Connection::open(path)?;
    conn.busy_timeout(BUSY_TIMEOUT)?;
    conn.set_prepared_statement_cache_capacity(STATEMENT_CACHE);
    // Says something only to a database without tables; others would have to be written anew. So it comes
    // first.
    conn.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    // Before there is a write-ahead log: whose file it is stands in the file itself from its first byte on.
    file_identity::mark(&conn, &file_identity::DATABASE)?;
    conn.pragma_update(None, "journal_mode", "WAL")?;
    // FULL: a commit is on disk when it returns. Group commit makes it cheap.
    conn.pragma_update(None, "synchronous", "FULL")?;
    conn.pragma_update(None, "foreign_keys", "ON")?;
    // Checkpoints run elsewhere: inside a commit they cost its p99 (see `checkpoint`).
    conn.pragma_update(None, "wal_autocheckpoint", 0)?;
    conn.pragma_update(None, "cache_size", -32_768)?;
    conn.pragma_update(None, "temp_store", "MEMORY")?;
    // Without it SQLite plans a statement anew for each value bound beside a partial index or a LIMIT: a
    // tenth of the writer's time. Readers may, because their filters are bound.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(conn)
}

/// Opens a connection that only reads.
pub(crate) fn open_reader(path: &Path) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags)?;
    conn.busy_timeout(BUSY_TIMEOUT)?;
    conn.set_prepared_statement_cache_capacity(STATEMENT_CACHE);
    conn.pragma_update(None, "query_only", "ON")?;
    conn.pragma_update(None, "cache_size", -4_096)?;
    super::search_index::teach(&conn)?;
    Ok(conn)
}

/// Opens a connection that reads and leaves the files as they are, the write-ahead log included.
pub(crate) fn open_untouched(path: &Path) -> Result<Connection> {
    let conn = open_reader(path)?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    Ok(conn)
}

impl Schema {
    /// The version that a database has with all steps.
    pub(crate) const fn newest(self) -> i64 {
        self.0.len() as i64
    }

    /// The version of a database; 0: it is empty.
    ///
    /// # Errors
    /// [`StoreError::NewerSchema`] if this schema does not reach as far.
    pub(crate) fn version_of(self, conn: &Connection) -> Result<i64> {
        let known = self.newest();
        let found: i64 = conn.query_row("PRAGMA user_version", [], |row| row.get(0))?;
        match found > known {
            true => Err(StoreError::NewerSchema { found, known }),
            false => Ok(found),
        }
    }

    /// Takes a database through the steps that it lacks, each in a transaction of its own.
    pub(crate) fn migrate(self, conn: &mut Connection) -> Result<()> {
        let found = self.version_of(conn)?;
        for (done, step) in self.0.iter().enumerate().skip(found as usize) {
            let tx = conn.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
            let version: i64 = tx.query_row("PRAGMA user_version", [], |row| row.get(0))?;
            // Another process may have migrated while we waited for the lock.
            if version == done as i64 {
                tx.execute_batch(step)?;
                tx.pragma_update(None, "user_version", done as i64 + 1)?;
            }
            tx.commit()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_is_taken_from_step_to_step_and_a_newer_one_is_refused() {
        let mut conn = Connection::open_in_memory().expect("in memory");
        for schema in [SCHEMA, SCHEMA, LATER, LATER] {
            schema.migrate(&mut conn).expect("migrates, and twice is once");
            assert_eq!(schema.version_of(&conn).expect("reads"), schema.newest());
        }
        let refused = SCHEMA.migrate(&mut conn).expect_err("newer");
        assert!(matches!(refused, StoreError::NewerSchema { found: 2, known: 1 }), "{refused}");
    }

    #[test]
    fn every_commit_is_synced() {
        let dir = tempfile::tempdir().expect("a directory");
        let conn = open_writer(&dir.path().join("t.db")).expect("opens");
        let synchronous: i64 = conn.query_row("PRAGMA synchronous", [], |row| row.get(0)).expect("reads");
        assert_eq!(synchronous, 2, "FULL");
        let mode: String = conn.query_row("PRAGMA journal_mode", [], |row| row.get(0)).expect("reads");
        assert_eq!(mode, "wal");
    }
}
