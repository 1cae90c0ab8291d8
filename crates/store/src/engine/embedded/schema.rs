//! Versioned migrations and the settings every connection runs with.

use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::functions::FunctionFlags;
use rusqlite::{Connection, OpenFlags};
use tracing::info;

use crate::engine::embedded::file_identity;
use crate::error::{Result, StoreError};

/// In order; a database's `user_version` is how many of them it has. Never edit one that was released.
const MIGRATIONS: &[&str] = &[
    include_str!("migrations/0001_first.sql"),
    include_str!("migrations/0002_id_tags.sql"),
    include_str!("migrations/0003_meter_values.sql"),
    include_str!("migrations/0004_commands.sql"),
    include_str!("migrations/0005_station_state.sql"),
    include_str!("migrations/0006_authorization_cache.sql"),
    include_str!("migrations/0007_replays.sql"),
    include_str!("migrations/0008_audit.sql"),
    include_str!("migrations/0009_retention.sql"),
    include_str!("migrations/0010_bounds.sql"),
    include_str!("migrations/0011_sealed.sql"),
    include_str!("migrations/0012_ratchet.sql"),
    include_str!("migrations/0013_steady.sql"),
    include_str!("migrations/0014_certificate_serial.sql"),
    include_str!("migrations/0015_paused_reason.sql"),
    include_str!("migrations/0016_energy_register.sql"),
    include_str!("migrations/0017_station_clock.sql"),
    include_str!("migrations/0018_abilities.sql"),
    include_str!("migrations/0019_boots.sql"),
    include_str!("migrations/0020_status_order.sql"),
    include_str!("migrations/0021_kept_answers.sql"),
    include_str!("migrations/0022_id_tag_key.sql"),
    include_str!("migrations/0023_command_warnings.sql"),
    include_str!("migrations/0024_replayed.sql"),
];

/// The schema version that this program works with.
pub(crate) const NEWEST: i64 = MIGRATIONS.len() as i64;

/// How long a connection waits for another process's write lock (`chargehook keys` beside `serve`).
pub(crate) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Prepared statements kept per connection.
const STATEMENT_CACHE: usize = 128;

/// Opens a connection that may write.
pub(crate) fn open_writer(path: &Path) -> Result<Connection> {
    let conn = Connection::open(path)?;
    conn.busy_timeout(BUSY_TIMEOUT)?;
    conn.set_prepared_statement_cache_capacity(STATEMENT_CACHE);
    // Says something only to a database without tables; others would have to be written anew. So it comes first.
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

/// The schema version of a database; 0: it is empty.
///
/// # Errors
/// [`StoreError::NewerSchema`] if this program does not know it.
pub(crate) fn version(conn: &Connection) -> Result<i64> {
    let known = NEWEST;
    let found: i64 = conn.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    match found > known {
        true => Err(StoreError::NewerSchema { found, known }),
        false => Ok(found),
    }
}

/// Brings a database up to this program's schema, one transaction per step.
pub(crate) fn migrate(conn: &mut Connection) -> Result<()> {
    let found = version(conn)?;
    if found > 0 && found < NEWEST {
        info!("the database is brought from schema version {found} to {NEWEST}");
    }
    for (done, migration) in MIGRATIONS.iter().enumerate().skip(found as usize) {
        let tx = conn.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        let version: i64 = tx.query_row("PRAGMA user_version", [], |row| row.get(0))?;
        // Another process may have migrated while we waited for the lock.
        if version == done as i64 {
            teach_id_tag_key(&tx)?;
            tx.execute_batch(migration)?;
            tx.pragma_update(None, "user_version", done as i64 + 1)?;
        }
        tx.commit()?;
    }
    Ok(())
}

/// Teaches a connection `id_tag_key(text)`, which migrations fill columns with.
fn teach_id_tag_key(conn: &Connection) -> Result<()> {
    use vocabulary::ocpp::authorization::id_tag_key;

    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    conn.create_scalar_function("id_tag_key", 1, flags, |context| {
        Ok(context.get_raw(0).as_str().ok().map(id_tag_key))
    })?;
    Ok(())
}

/// Makes the schema of an older version.
#[cfg(test)]
pub(crate) fn make_older(conn: &Connection, version: usize) {
    teach_id_tag_key(conn).expect("teaches");
    for migration in &MIGRATIONS[..version] {
        conn.execute_batch(migration).expect("the older schema");
    }
    conn.pragma_update(None, "user_version", version as i64).expect("sets");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fresh_database_gets_every_migration_and_a_newer_one_is_refused() {
        let mut conn = Connection::open_in_memory().expect("in memory");
        migrate(&mut conn).expect("migrates");
        migrate(&mut conn).expect("twice is once");
        conn.pragma_update(None, "user_version", MIGRATIONS.len() as i64 + 1).expect("sets");
        let refused = migrate(&mut conn).expect_err("newer");
        assert!(matches!(refused, StoreError::NewerSchema { .. }), "{refused}");
    }

    #[test]
    fn sessions_of_an_older_schema_are_told_apart_and_can_be_given_up() {
        let conn = Connection::open_in_memory().expect("in memory");
        for migration in &MIGRATIONS[..2] {
            conn.execute_batch(migration).expect("the older schema");
        }
        conn.execute_batch(
            "INSERT INTO transactions (transaction_id, station_id, id_tag_status, status, orphaned, start_event_seq,
                                       created_at_ms, updated_at_ms, completed_at_ms)
             VALUES (1, 'CP', 'Accepted', 'completed', 0, 1, 5, 9, 9), (2, 'CP', 'Accepted', 'active', 1, 2, 6, 9, NULL),
                    (3, 'CP', 'Accepted', 'active', 0, 3, 7, 9, NULL)",
        )
        .expect("sessions");
        conn.pragma_update(None, "user_version", 2).expect("sets");
        let mut conn = conn;
        migrate(&mut conn).expect("migrates");
        let told: String = conn
            .query_row(
                "SELECT group_concat(ended_by || '|' || orphan_news_at_ms || '|' || change_seq) FROM
                 (SELECT coalesce(ended_by, '-') AS ended_by, coalesce(orphan_news_at_ms, '-') AS orphan_news_at_ms,
                         change_seq FROM transactions ORDER BY transaction_id)",
                [],
                |row| row.get(0),
            )
            .expect("reads");
        assert_eq!(told, "stop|-|1,-|9|2,-|-|3");
    }

    #[test]
    fn tags_of_an_older_schema_are_compared_as_they_are_now() {
        let mut conn = Connection::open_in_memory().expect("in memory");
        make_older(&conn, 15);
        conn.execute_batch(
            "INSERT INTO transactions (transaction_id, station_id, id_tag, id_tag_status, status, start_event_seq,
                                       created_at_ms, updated_at_ms)
             VALUES (1, 'CP', char(2) || 'Täg ' || char(0), 'Accepted', 'active', 1, 5, 9),
                    (2, 'CP', NULL, 'Accepted', 'active', 1, 5, 9);
             INSERT INTO id_tags (tag, tag_key, status, created_at_ms, updated_at_ms)
             VALUES (' Other', ' other', 'Blocked', 1, 1), ('TÄG', 'täg', 'Blocked', 1, 1);",
        )
        .expect("sessions and tags");
        migrate(&mut conn).expect("migrates");
        let all = |sql: &str| -> String { conn.query_row(sql, [], |row| row.get(0)).expect("reads") };
        assert_eq!(all("SELECT group_concat(coalesce(id_tag_key, '-')) FROM transactions"), "täg,-");
        assert_eq!(all("SELECT group_concat(tag_key) FROM id_tags"), "other,täg");
    }

    #[test]
    fn flags_of_an_older_schema_lose_what_is_none_and_what_cannot_be_relied_on() {
        let mut conn = Connection::open_in_memory().expect("in memory");
        make_older(&conn, 15);
        conn.execute_batch(
            r#"INSERT INTO stations (station_id, clock_skew_ms, flags, created_at_ms, updated_at_ms) VALUES
               ('A', -3600000, '["clock_skew","unsupported:Reset","too_long","boot_loop","unsupported:GetLog"]', 1, 1),
               ('B', 7200000, '["clock_skew"]', 1, 1), ('C', -40, '[]', 1, 1)"#,
        )
        .expect("stations");
        migrate(&mut conn).expect("migrates");
        let mut told = conn
            .prepare(
                "SELECT coalesce(clock_skew_ms, '-') || flags || abilities FROM stations ORDER BY station_id",
            )
            .expect("prepares");
        let told: Vec<String> = told
            .query_map([], |row| row.get(0))
            .expect("queries")
            .collect::<rusqlite::Result<_>>()
            .expect("reads");
        let mended = r#"-["too_long"]["unsupported:Reset","unsupported:GetLog"]"#;
        let expected = [mended, r#"7200000["clock_skew"][]"#, "-40[][]"];
        assert_eq!(told, expected);
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
