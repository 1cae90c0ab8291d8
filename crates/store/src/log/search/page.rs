//! A page of found events.

use crate::Store;
use crate::error::Result;
use crate::listing::{Listed, PAGE_BYTES, Slice};
use crate::log::event_list::{self, EventFilter};
use crate::log::payload_judge::JudgedLimit;
use crate::log::row_set::RowSet;
use vocabulary::event::Event;

/// A page that is put together of several looks.
pub(super) struct Page<'a> {
    store: &'a Store,
    pub(super) filter: EventFilter,
    ascending: bool,
    limit: u32,
    /// One more than the page has tells that there is another.
    rows: Vec<Event>,
    /// Bytes of payloads that there is still room for; none, and this is all of the page.
    room: usize,
    /// How much may still be judged by a filter.
    left: JudgedLimit,
    /// Where a look ended before it had seen everything.
    ended_at: Option<(i64, i64)>,
}

impl<'a> Page<'a> {
    /// An empty one.
    pub(super) fn new(store: &'a Store, filter: EventFilter, slice: &Slice) -> Self {
        let Slice { ascending, limit, .. } = *slice;
        let (left, ended_at) = (JudgedLimit::default(), None);
        Self { store, filter, ascending, limit, rows: Vec::new(), room: PAGE_BYTES, left, ended_at }
    }

    /// Whether nothing more has room in it.
    pub(super) fn is_full(&self) -> bool {
        self.rows.len() > self.limit as usize || self.room == 0
    }

    /// Looks for what fits among `rows`.
    pub(super) async fn look(&mut self, rows: RowSet) -> Result<()> {
        let (filter, ascending) = (self.filter.clone(), self.ascending);
        let slice = Slice { ascending, after: None, limit: self.limit + 1 - self.rows.len() as u32 };
        let left = self.left;
        let looked = self.store.read(move |db| event_list::list(db, &filter, &slice, &rows, left));
        let (found, left) = looked.await?;
        self.left = left;
        let bytes: usize = found.rows.iter().map(|event| event.payload.get().len()).sum();
        // A look that has left something out, for its size or because enough was judged, ends the page.
        self.ended_at = found.next;
        self.room = if found.next.is_some() { 0 } else { self.room.saturating_sub(bytes) };
        self.rows.extend(found.rows);
        Ok(())
    }

    /// As it is listed.
    pub(super) fn listed(mut self) -> Listed<Event> {
        let (more, cut) = (self.is_full(), self.rows.len() > self.limit as usize);
        self.rows.truncate(self.limit as usize);
        let last = self.rows.last().filter(|_| more).map(|row| (row.position.number(), 0));
        let next = self.ended_at.filter(|_| !cut).or(last);
        Listed { rows: self.rows, next }
    }
}
