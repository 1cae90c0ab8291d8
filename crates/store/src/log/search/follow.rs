//! How the search index follows the log: it takes in new events, and forgets those that retention has
//! removed.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use crate::engine::embedded::search_index::{Entry, SearchIndex};
use crate::engine::sql::params;
use crate::engine::tx::Read;
use crate::error::{Result, StoreError};
use crate::log::removed_before;
use crate::log::search::FILE;
use crate::search_words as words;
use crate::{LogPosition, Store};

/// Events that one step takes in at most, and bytes of their payloads.
const STEP_EVENTS: usize = 500;
const STEP_BYTES: usize = 256 << 10;

/// Rows of the index that are compared with the log in one look.
const SWEEP_ROWS: usize = 5_000;

/// What one step did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Indexed {
    /// How long the index was written.
    pub took: Duration,
    /// There is more to take in.
    pub more: bool,
}

impl Store {
    /// Opens the search index, or makes an empty one; without it every search looks at the payloads
    /// themselves. An index of another log, as after a restore, is made anew.
    ///
    /// # Errors
    /// The file cannot be used.
    pub async fn open_search(&self) -> Result<()> {
        let path = self.inner.data_dir.join(FILE);
        let index = self.read(move |db| SearchIndex::open(&path, |last, id| belongs(db, last, id))).await?;
        let _ = self.inner.search.set(Arc::new(index));
        Ok(())
    }

    /// Takes the oldest events into the search index that are not in it yet.
    ///
    /// # Errors
    /// Only the store's own: the step is not made, and may be made again.
    pub async fn index_step(&self) -> Result<Indexed> {
        let Some(index) = self.inner.search.get().cloned() else {
            return Ok(Indexed { took: Duration::ZERO, more: false });
        };
        let reach = index.reach();
        let Unindexed { entries, more } = self.read(move |db| read_unindexed(db, reach)).await?;
        let added = tokio::task::spawn_blocking(move || index.add(&entries));
        let took = added.await.map_err(|_| StoreError::Closed)??;
        Ok(Indexed { took, more })
    }

    /// Removes from the index, behind `behind`, what retention has removed from the log; where to go on, or
    /// `None` at the end.
    pub async fn sweep_index(&self, behind: LogPosition) -> Result<Option<LogPosition>> {
        let Some(index) = self.inner.search.get().cloned() else { return Ok(None) };
        let known = index.rows(behind, SWEEP_ROWS).await?;
        let Some(&last) = known.last() else { return Ok(None) };
        let kept: Vec<LogPosition> = self
            .read(move |db| {
                let sql = "SELECT seq FROM events WHERE seq > ?1 AND seq <= ?2 ORDER BY seq";
                db.all(sql, params![behind, last], |row| row.get(0))
            })
            .await?;
        let gone: Vec<LogPosition> =
            known.iter().copied().filter(|row| kept.binary_search(row).is_err()).collect();
        if !gone.is_empty() {
            let forgotten = tokio::task::spawn_blocking(move || index.forget(&gone));
            forgotten.await.map_err(|_| StoreError::Closed)??;
        }
        Ok((known.len() == SWEEP_ROWS).then_some(last))
    }

    /// How many events the search index is behind the log, at most.
    pub fn search_behind(&self) -> u64 {
        let reach = self.inner.search.get().map_or(LogPosition::START, |index| index.reach());
        self.tail().borrow().rows_since(reach)
    }
}

/// What comes next into the index, and whether there may be more behind it.
pub(super) struct Unindexed {
    pub(super) entries: Vec<Entry>,
    more: bool,
}

pub(super) fn read_unindexed(db: &Read<'_>, behind: LogPosition) -> Result<Unindexed> {
    let mut entries = Vec::new();
    let mut bytes = 0;
    let sql = "SELECT seq, id, payload FROM events WHERE seq > ?1 ORDER BY seq LIMIT ?2";
    db.each(sql, params![behind, STEP_EVENTS], |row| {
        let payload = row.text(2)?;
        bytes += payload.len();
        let text = words::of_payload(payload, words::INDEXED_CHARS);
        entries.push(Entry { position: row.get(0)?, event_id: row.get(1)?, text });
        Ok(if bytes >= STEP_BYTES { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    let more = bytes >= STEP_BYTES || entries.len() == STEP_EVENTS;
    Ok(Unindexed { entries, more })
}

/// Whether the log has this event in this place, or had it before retention.
fn belongs(log: &Read<'_>, position: LogPosition, event_id: &str) -> Result<bool> {
    let found = log.maybe("SELECT id FROM events WHERE seq = ?1", params![position], |row| {
        Ok(row.text(0)? == event_id)
    })?;
    match found {
        Some(belongs) => Ok(belongs),
        None => Ok(removed_before::of_events(log)? >= position),
    }
}
