//! Connections to a database, each with the settings that it runs with.

use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use crate::engine::embedded::file_header;
use crate::error::Result;

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
    file_header::mark(&conn, &file_header::DATABASE)?;
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
    Ok(conn)
}

/// Opens a connection that reads and leaves the files as they are, the write-ahead log included.
pub(crate) fn open_untouched(path: &Path) -> Result<Connection> {
    let conn = open_reader(path)?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    Ok(conn)
}

#[cfg(test)]
mod tests {
    use super::*;

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
