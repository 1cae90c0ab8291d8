//! The index of words: a file of its own, which can be thrown away and is made anew from the log.
//!
//! In a file of its own, because writing it must cost chargers nothing: it has its own write-ahead log and
//! its own lock, and is not synced with every commit. What a power cut takes of it is taken in again.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::{Connection, OptionalExtension, params};
use tracing::{info, warn};

use crate::LogPosition;
use crate::engine::embedded::READERS;
use crate::engine::embedded::connect;
use crate::engine::embedded::readers::Readers;
use crate::engine::embedded::{file_header, file_identity};
use crate::error::Result;
use crate::files::create_for_owner;

/// Another one of it, and the file is made anew.
const VERSION: i64 = 1;

/// Without content: the payloads are in the log. Without positions: what is found is looked at again.
const SCHEMA: &str = "
    CREATE VIRTUAL TABLE words USING fts5(text, content='', contentless_delete=1, detail=none, tokenize='ascii');
    -- The newest event that is in it.
    CREATE TABLE reach (one INTEGER PRIMARY KEY CHECK (one = 1), seq INTEGER NOT NULL, event_id TEXT NOT NULL) STRICT;
";

/// An event on its way into the index.
pub(crate) struct Entry {
    pub(crate) position: LogPosition,
    pub(crate) event_id: String,
    /// As `words::of_payload` spells it.
    pub(crate) text: String,
}

pub(crate) struct SearchIndex {
    readers: Arc<Readers>,
    pen: Mutex<Connection>,
    /// Events up to this position are in it.
    reach: AtomicI64,
}

impl SearchIndex {
    /// Opens the index at `path`, or makes it anew if it cannot be used or `belongs` does not know the event
    /// (position and id) up to which it goes.
    ///
    /// # Errors
    /// `StoreError::Foreign` for a file that is none of ours, and is left as it is; the file's.
    pub(crate) fn open(path: &Path, belongs: impl Fn(LogPosition, &str) -> Result<bool>) -> Result<Self> {
        file_identity::look(path, &file_header::SEARCH)?;
        let opened = open(path).and_then(|conn| {
            let reach = reach(&conn)?;
            Ok(match &reach {
                Some((seq, id)) if !belongs(LogPosition::from_number(*seq), id)? => None,
                reach => Some((conn, reach.as_ref().map_or(0, |(seq, _)| *seq))),
            })
        });
        let (conn, reach) = match opened {
            Ok(Some(opened)) => opened,
            unusable => {
                match unusable {
                    Err(error) => warn!("the search index cannot be used, it is made anew: {error}"),
                    _ => info!("the search index is of another log, it is made anew"),
                }
                remove(path);
                (open(path)?, 0)
            }
        };
        let readers = Arc::new(Readers::new(path.to_owned(), READERS));
        Ok(Self { readers, pen: Mutex::new(conn), reach: AtomicI64::new(reach) })
    }

    /// The position up to which every event is in it.
    pub(crate) fn reach(&self) -> LogPosition {
        LogPosition::from_number(self.reach.load(Ordering::Acquire))
    }

    /// Takes in the events that come next, in one commit; how long that took.
    pub(crate) fn add(&self, entries: &[Entry]) -> Result<Duration> {
        let began = Instant::now();
        let Some(last) = entries.last() else { return Ok(Duration::ZERO) };
        let conn = self.pen.lock().unwrap_or_else(PoisonError::into_inner);
        let tx = conn.unchecked_transaction()?;
        {
            let mut insert = tx.prepare_cached("INSERT INTO words (rowid, text) VALUES (?1, ?2)")?;
            for entry in entries.iter().filter(|entry| !entry.text.trim().is_empty()) {
                insert.execute(params![entry.position.number(), entry.text])?;
            }
        }
        tx.prepare_cached("INSERT OR REPLACE INTO reach (one, seq, event_id) VALUES (1, ?1, ?2)")?
            .execute(params![last.position.number(), last.event_id])?;
        tx.commit()?;
        self.reach.store(last.position.number(), Ordering::Release);
        Ok(began.elapsed())
    }

    /// The first events that it knows behind `behind`, at most `limit`.
    pub(crate) async fn rows(&self, behind: LogPosition, limit: usize) -> Result<Vec<LogPosition>> {
        self.readers
            .read(move |conn| {
                let mut rows =
                    conn.prepare_cached("SELECT rowid FROM words WHERE rowid > ?1 ORDER BY rowid LIMIT ?2")?;
                let rows = rows.query_map(params![behind.number(), limit as i64], position)?;
                Ok(rows.collect::<rusqlite::Result<_>>()?)
            })
            .await
    }

    /// Forgets these events, in one commit.
    pub(crate) fn forget(&self, rows: &[LogPosition]) -> Result<()> {
        let conn = self.pen.lock().unwrap_or_else(PoisonError::into_inner);
        let tx = conn.unchecked_transaction()?;
        for row in rows {
            tx.prepare_cached("DELETE FROM words WHERE rowid = ?1")?.execute([row.number()])?;
        }
        Ok(tx.commit()?)
    }

    /// The events above `low` and up to `high` in which all terms of `expression` occur, at most `limit`: the
    /// oldest ones, or the newest.
    pub(crate) async fn find(
        &self,
        expression: &str,
        low: LogPosition,
        high: LogPosition,
        ascending: bool,
        limit: usize,
    ) -> Result<Vec<LogPosition>> {
        let expression = expression.to_owned();
        self.readers
            .read(move |conn| {
                let mut statement = conn.prepare_cached(find_sql(ascending))?;
                let wanted = params![expression, low.number(), high.number(), limit as i64];
                let rows = statement.query_map(wanted, position)?;
                Ok(rows.collect::<rusqlite::Result<_>>()?)
            })
            .await
    }
}

fn position(row: &rusqlite::Row<'_>) -> rusqlite::Result<LogPosition> {
    row.get(0).map(LogPosition::from_number)
}

fn find_sql(ascending: bool) -> &'static str {
    match ascending {
        true => {
            "SELECT rowid FROM words WHERE words MATCH ?1 AND rowid > ?2 AND rowid <= ?3 ORDER BY rowid LIMIT ?4"
        }
        false => {
            "SELECT rowid FROM words WHERE words MATCH ?1 AND rowid > ?2 AND rowid <= ?3 ORDER BY rowid DESC LIMIT ?4"
        }
    }
}

fn open(path: &Path) -> Result<Connection> {
    create_for_owner(path)?;
    let conn = Connection::open(path)?;
    conn.busy_timeout(connect::BUSY_TIMEOUT)?;
    file_header::mark(&conn, &file_header::SEARCH)?;
    conn.pragma_update(None, "journal_mode", "WAL")?;
    // Not synced with every commit; what is on disk is consistent all the same.
    conn.pragma_update(None, "synchronous", "NORMAL")?;
    conn.pragma_update(None, "cache_size", -8_192)?;
    let version: i64 = conn.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if version == VERSION {
        return Ok(conn);
    }
    let tables: i64 = conn.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if tables > 0 {
        drop(conn);
        remove(path);
        return open(path);
    }
    let tx = conn.unchecked_transaction()?;
    tx.execute_batch(SCHEMA)?;
    tx.pragma_update(None, "user_version", VERSION)?;
    tx.commit()?;
    Ok(conn)
}

fn reach(conn: &Connection) -> Result<Option<(i64, String)>> {
    let reach = conn
        .query_row("SELECT seq, event_id FROM reach", [], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    Ok(reach)
}

/// Removes the file and what SQLite keeps beside it. What cannot be removed is told by whoever opens it next.
fn remove(path: &Path) {
    for suffix in ["", "-wal", "-shm"] {
        let mut file = path.as_os_str().to_owned();
        file.push(suffix);
        let _ = std::fs::remove_file(PathBuf::from(file));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_are_looked_up_and_nothing_is_sorted() {
        let dir = tempfile::tempdir().expect("a directory");
        let conn = open(&dir.path().join("search.db")).expect("opens");
        for ascending in [true, false] {
            let mut plan =
                conn.prepare(&format!("EXPLAIN QUERY PLAN {}", find_sql(ascending))).expect("is a query");
            let steps: Vec<String> = plan
                .query_map(params!["\"a\"", 0, 9, 5], |row| row.get(3))
                .and_then(Iterator::collect)
                .expect("explains");
            // M: by the match; < and >: between rows.
            assert!(
                matches!(steps.as_slice(), [one] if one.contains("VIRTUAL TABLE INDEX") && one.contains('M')),
                "{steps:?}"
            );
        }
    }

    #[test]
    fn a_file_that_is_no_index_is_left_as_it_is() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("search.db");
        let content = "this was never a database, whatever its name says".repeat(99);
        std::fs::write(&path, &content).expect("writes");
        let refused = SearchIndex::open(&path, |_, _| Ok(true)).err().expect("refused");
        assert!(refused.to_string().contains("no SQLite file"), "{refused}");
        assert_eq!(std::fs::read_to_string(&path).expect("reads"), content);
        assert_eq!(std::fs::read_dir(dir.path()).expect("reads").count(), 1, "nothing is made beside it");
    }

    #[test]
    fn an_index_that_cannot_be_used_and_one_of_another_log_are_made_anew() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("search.db");
        let older = Connection::open(&path).expect("opens");
        file_header::mark(&older, &file_header::SEARCH).expect("marks");
        older.execute_batch(&format!("{SCHEMA}; PRAGMA user_version = 99")).expect("makes");
        drop(older);
        let entry = || Entry {
            position: LogPosition::from_number(7),
            event_id: "evt_7".to_owned(),
            text: " a b ".to_owned(),
        };
        let index = SearchIndex::open(&path, |_, _| Ok(true)).expect("opens");
        assert_eq!(index.reach(), LogPosition::START);
        index.add(&[entry()]).expect("is taken in");
        drop(index);
        let index =
            SearchIndex::open(&path, |last, id| Ok((last.number(), id) == (7, "evt_7"))).expect("opens");
        assert_eq!(index.reach().number(), 7, "goes on from where it was");
        drop(index);
        let index = SearchIndex::open(&path, |_, _| Ok(false)).expect("opens");
        assert_eq!(index.reach(), LogPosition::START);
        index.add(&[entry()]).expect("the row is free again");
    }
}
