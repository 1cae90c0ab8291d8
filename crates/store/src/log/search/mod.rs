//! Full-text search in the payloads of events.
//!
//! An index of words ([`search_index`](crate::engine::embedded::search_index)) follows the log, behind the writes. What it finds is only where to look: whether
//! an event fits is decided by [`search_words`](crate::search_words) on its payload, and events that the index has not reached yet are looked
//! at one by one. So a search gives the same whether the index has come far, is behind, or is not there at all.

use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension};
use tracing::warn;

use crate::Store;
use crate::engine::embedded::search_index::{Entry, SearchIndex};
use crate::engine::sql::Value;
use crate::error::{Result, StoreError};
use crate::listing::{Listed, PAGE_BYTES, Slice, arrival_rows};
use crate::log::event_list;
use crate::log::event_list::EventFilter;
use crate::log::removed_before;
use crate::search_words::{self as words, Wanted};
use vocabulary::event::Event;
use vocabulary::id::EventId;
use vocabulary::log_limit::limited;

/// The index's name in the data directory.
pub(crate) const FILE: &str = "search.db";

/// Events that one step takes in at most, and bytes of their payloads.
const STEP_EVENTS: i64 = 500;
const STEP_BYTES: usize = 256 << 10;

/// Rows of the index that are compared with the log in one look.
const SWEEP_ROWS: usize = 5_000;

/// Hits that are looked at together. Words that occur more often are not rare: then other filters may lead.
const HITS: usize = 20_000;

/// What one step did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Indexed {
    /// How long the index was written.
    pub took: Duration,
    /// There is more to take in.
    pub more: bool,
}

impl Store {
    /// Opens the search index, or makes an empty one; without it every search looks at the payloads themselves.
    /// An index of another log, as after a restore, is made anew.
    ///
    /// # Errors
    /// The file cannot be used.
    pub async fn open_search(&self) -> Result<()> {
        let inner = self.inner.clone();
        let opened = tokio::task::spawn_blocking(move || {
            let log = crate::engine::embedded::schema::open_reader(
                &inner.data_dir.join(crate::engine::embedded::data_dir::DATABASE),
            )?;
            let index = SearchIndex::open(&inner.data_dir.join(FILE), |seq, id| belongs(&log, seq, id))?;
            let _ = inner.search.set(Arc::new(index));
            Ok(())
        });
        opened.await.map_err(|_| StoreError::Closed)?
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
        let (entries, more) = self.read(move |conn| read_entries(conn, reach)).await?;
        let added = tokio::task::spawn_blocking(move || index.add(&entries));
        let took = added.await.map_err(|_| StoreError::Closed)??;
        Ok(Indexed { took, more })
    }

    /// Removes from the index, behind row `behind`, what retention has removed from the log; where to go on, or
    /// `None` at the end.
    pub async fn sweep_index(&self, behind: i64) -> Result<Option<i64>> {
        let Some(index) = self.inner.search.get().cloned() else { return Ok(None) };
        let known = index.rows(behind, SWEEP_ROWS).await?;
        let Some(&last) = known.last() else { return Ok(None) };
        let kept = self
            .read(move |conn| {
                let mut rows =
                    conn.prepare_cached("SELECT seq FROM events WHERE seq > ?1 AND seq <= ?2 ORDER BY seq")?;
                let rows = rows.query_map([behind, last], |row| row.get(0))?;
                Ok(rows.collect::<rusqlite::Result<Vec<i64>>>()?)
            })
            .await?;
        let gone: Vec<i64> = known.iter().copied().filter(|row| kept.binary_search(row).is_err()).collect();
        if !gone.is_empty() {
            let forgotten = tokio::task::spawn_blocking(move || index.forget(&gone));
            forgotten.await.map_err(|_| StoreError::Closed)??;
        }
        Ok((known.len() == SWEEP_ROWS).then_some(last))
    }

    /// How many events the search index is behind the log, at most.
    pub fn search_behind(&self) -> i64 {
        let reach = self.inner.search.get().map_or(0, |index| index.reach());
        (*self.tail().borrow() - reach).max(0)
    }

    /// One page of the events that `filter`, which looks for a text, wants.
    pub(crate) async fn search_events(&self, filter: EventFilter, slice: Slice) -> Result<Listed<Event>> {
        let wanted = filter.q.as_deref().map(Wanted::parse);
        if wanted.as_ref().is_some_and(Wanted::is_nothing) {
            return Ok(Listed { rows: Vec::new(), next: None });
        }
        let expression = wanted.and_then(|wanted| wanted.expression());
        let (Some(index), Some(expression)) = (self.inner.search.get().cloned(), expression) else {
            return self.read(move |conn| event_list::list(conn, &filter, &slice, Among::All)).await;
        };
        let reach = index.reach();
        let (since, until) = (filter.since, filter.until);
        let spell = |least| EventId::from_value(least).to_string();
        let (mut low, mut high) =
            self.read(move |conn| arrival_rows(conn, "events", since, until, spell)).await?;
        match (slice.after, slice.ascending) {
            (Some((seq, _)), true) => low = low.max(seq),
            (Some((seq, _)), false) => high = high.min(seq.saturating_sub(1)),
            (None, _) => {}
        }
        let mut page = Page {
            store: self,
            filter,
            ascending: slice.ascending,
            limit: slice.limit,
            rows: Vec::new(),
            room: PAGE_BYTES,
        };
        if !slice.ascending && high > reach {
            page.look(Among::Between(low.max(reach), high)).await?;
        }
        let (mut from, mut to) = (low, high.min(reach));
        while !page.is_full() && from < to {
            let hits = index.find(expression.clone(), (from, to), slice.ascending, HITS).await;
            let hits = told(hits).filter(|hits| hits.len() < HITS || !page.filter.is_narrow());
            let Some(hits) = hits else {
                page.look(Among::Between(from, to)).await?;
                break;
            };
            let all = hits.len() < HITS;
            match hits.last() {
                Some(&last) if slice.ascending => from = last,
                Some(&last) => to = last - 1,
                None => {}
            }
            page.look(Among::Rows(hits)).await?;
            if all {
                break;
            }
        }
        if slice.ascending && high > reach && !page.is_full() {
            page.look(Among::Between(low.max(reach), high)).await?;
        }
        Ok(page.listed())
    }

    /// The events in which `text` may occur, if the index can tell and they are few.
    pub(crate) async fn few_events_with(&self, text: &str) -> Result<Option<Vec<i64>>> {
        let wanted = Wanted::parse(text);
        if wanted.is_nothing() {
            return Ok(Some(Vec::new()));
        }
        let expression = wanted.expression();
        let (Some(index), Some(expression)) = (self.inner.search.get().cloned(), expression) else {
            return Ok(None);
        };
        let reach = index.reach();
        let newest = *self.tail().borrow();
        if newest - reach > HITS as i64 {
            return Ok(None);
        }
        let hits = told(index.find(expression, (0, reach), true, HITS).await);
        let Some(mut hits) = hits.filter(|hits| hits.len() < HITS) else { return Ok(None) };
        // What is not in the index yet may have it.
        hits.extend(reach + 1..=newest);
        Ok(Some(hits))
    }
}

/// Which rows of the log are looked at.
#[derive(Debug)]
pub(crate) enum Among {
    All,
    /// Above the first, up to the second.
    Between(i64, i64),
    Rows(Vec<i64>),
}

impl Among {
    /// As a condition on `column`, with its values.
    pub(crate) fn condition(&self, column: &str) -> Option<(String, Vec<Value>)> {
        match self {
            Self::All => None,
            Self::Between(low, high) => {
                Some((format!("{column} > ? AND {column} <= ?"), vec![(*low).into(), (*high).into()]))
            }
            Self::Rows(rows) => Some((in_list(column), vec![as_list(rows).into()])),
        }
    }
}

/// That `column` is in a list that [`as_list`] makes.
pub(crate) fn in_list(column: &str) -> String {
    format!("{column} IN (SELECT value FROM json_each(?))")
}

/// Rows as one value.
pub(crate) fn as_list(rows: &[i64]) -> String {
    let rows: Vec<String> = rows.iter().map(i64::to_string).collect();
    format!("[{}]", rows.join(","))
}

/// A page that is put together of several looks.
struct Page<'a> {
    store: &'a Store,
    filter: EventFilter,
    ascending: bool,
    limit: u32,
    /// One more than the page has tells that there is another.
    rows: Vec<Event>,
    /// Bytes of payloads that there is still room for; none, and this is all of the page.
    room: usize,
}

impl Page<'_> {
    fn is_full(&self) -> bool {
        self.rows.len() > self.limit as usize || self.room == 0
    }

    async fn look(&mut self, among: Among) -> Result<()> {
        let (filter, ascending) = (self.filter.clone(), self.ascending);
        let slice = Slice { ascending, after: None, limit: self.limit + 1 - self.rows.len() as u32 };
        let found = self.store.read(move |conn| event_list::list(conn, &filter, &slice, among)).await?;
        let bytes: usize = found.rows.iter().map(|event| event.payload.get().len()).sum();
        // A look that has left something out for its size has filled the page.
        self.room = if found.next.is_some() { 0 } else { self.room.saturating_sub(bytes) };
        self.rows.extend(found.rows);
        Ok(())
    }

    fn listed(mut self) -> Listed<Event> {
        let more = self.is_full();
        self.rows.truncate(self.limit as usize);
        let next = self.rows.last().filter(|_| more).map(|row| (row.seq, 0));
        Listed { rows: self.rows, next }
    }
}

/// What the index has found; if it has failed, that costs a search its speed and nothing else.
fn told(hits: Result<Vec<i64>>) -> Option<Vec<i64>> {
    hits.inspect_err(|error| limited!(warn: "the search index has failed, payloads are searched: {error}"))
        .ok()
}

/// What comes next into the index, and whether there may be more behind it.
fn read_entries(conn: &Connection, behind: i64) -> Result<(Vec<Entry>, bool)> {
    let mut statement =
        conn.prepare_cached("SELECT seq, id, payload FROM events WHERE seq > ?1 ORDER BY seq LIMIT ?2")?;
    let mut rows = statement.query([behind, STEP_EVENTS])?;
    let (mut entries, mut bytes) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        let payload = row.get_ref(2)?.as_str().map_err(|error| StoreError::Corrupt(error.to_string()))?;
        bytes += payload.len();
        let text = words::of_payload(payload, words::INDEXED_CHARS);
        entries.push(Entry { seq: row.get(0)?, event_id: row.get(1)?, text });
        if bytes >= STEP_BYTES {
            return Ok((entries, true));
        }
    }
    let more = entries.len() == STEP_EVENTS as usize;
    Ok((entries, more))
}

/// Whether the log has this event in this row, or had it before retention.
fn belongs(log: &Connection, seq: i64, event_id: &str) -> Result<bool> {
    let found: Option<String> =
        log.query_row("SELECT id FROM events WHERE seq = ?1", [seq], |row| row.get(0)).optional()?;
    match found {
        Some(id) => Ok(id == event_id),
        None => Ok(removed_before::of_events(log)? >= seq),
    }
}

#[cfg(test)]
mod tests;
