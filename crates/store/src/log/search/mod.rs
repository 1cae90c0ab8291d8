//! Full-text search in the payloads of events.
//!
//! An index of words ([`search_index`](crate::engine::embedded::search_index)) follows the log, behind the
//! writes. What it finds is only where to look: whether an event fits is decided by
//! [`search_words`](crate::search_words) on its payload, and events that the index has not reached yet are
//! looked at one by one. So a search gives the same whether the index has come far, is behind, or is not
//! there at all.

mod follow;
mod page;
#[cfg(test)]
mod tests;

use crate::engine::embedded::search_index::SearchIndex;
use crate::error::Result;
use crate::listing::{Listed, Slice, arrival_rows};
use crate::log::event_list::{self, EventFilter};
use crate::log::payload_judge::JudgedLimit;
use crate::log::row_set::RowSet;
use crate::search_words::Wanted;
use crate::{LogPosition, Store};
use page::Page;
use tracing::warn;
use vocabulary::event::Event;
use vocabulary::id::EventId;
use vocabulary::log_limit::limited;

pub use follow::Indexed;

/// The index's name in the data directory.
pub(crate) const FILE: &str = "search.db";

/// Hits that are looked at together. Words that occur more often are not rare: then other filters may lead.
const HITS: usize = 20_000;

/// Part of the log: above the first position, up to the second.
#[derive(Clone, Copy)]
struct Span {
    low: LogPosition,
    high: LogPosition,
}

impl Span {
    fn is_empty(self) -> bool {
        self.low >= self.high
    }

    fn rows(self) -> RowSet {
        RowSet::Between(self.low, self.high)
    }
}

impl Store {
    /// One page of the events that `filter`, which looks for a text, wants.
    pub(crate) async fn search_events(&self, filter: EventFilter, slice: Slice) -> Result<Listed<Event>> {
        let wanted = filter.wanted();
        if wanted.as_ref().is_some_and(Wanted::is_nothing) {
            return Ok(Listed { rows: Vec::new(), next: None });
        }
        let expression = wanted.and_then(|wanted| wanted.expression());
        let (Some(index), Some(expression)) = (self.inner.search.get().cloned(), expression) else {
            let left = JudgedLimit::default();
            let listed = self.read(move |db| event_list::list(db, &filter, &slice, &RowSet::All, left));
            return Ok(listed.await?.0);
        };
        let reach = index.reach();
        let Span { low, high } = self.searched(&filter, &slice).await?;
        let indexed = Span { low, high: high.min(reach) };
        let behind_the_index = Span { low: low.max(reach), high };
        let mut page = Page::new(self, filter, &slice);
        if !slice.ascending && !behind_the_index.is_empty() {
            page.look(behind_the_index.rows()).await?;
        }
        search_index(&mut page, &index, &expression, indexed, slice.ascending).await?;
        if slice.ascending && !behind_the_index.is_empty() && !page.is_full() {
            page.look(behind_the_index.rows()).await?;
        }
        Ok(page.listed())
    }

    /// The part of the log that a page may have events of.
    async fn searched(&self, filter: &EventFilter, slice: &Slice) -> Result<Span> {
        let (since, until) = (filter.since, filter.until);
        let spell = |least| EventId::from_value(least).to_string();
        let arrived = self.read(move |db| arrival_rows(db, "events", since, until, spell)).await?;
        let (mut low, mut high) = arrived;
        match (slice.after, slice.ascending) {
            (Some((seq, _)), true) => low = low.max(seq),
            (Some((seq, _)), false) => high = high.min(seq.saturating_sub(1)),
            (None, _) => {}
        }
        Ok(Span { low: LogPosition::from_number(low), high: LogPosition::from_number(high) })
    }

    /// The events in which `text` may occur, if the index can tell and they are few.
    pub(crate) async fn few_events_with(&self, text: &str) -> Result<Option<Vec<LogPosition>>> {
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
        if newest.rows_since(reach) > HITS as u64 {
            return Ok(None);
        }
        let hits = found(index.find(&expression, LogPosition::START, reach, true, HITS).await);
        let Some(mut hits) = hits.filter(|hits| hits.len() < HITS) else { return Ok(None) };
        // What is not in the index yet may have it.
        hits.extend((reach.number() + 1..=newest.number()).map(LogPosition::from_number));
        Ok(Some(hits))
    }
}

/// Fills the page from what the index has found in `span`.
async fn search_index(
    page: &mut Page<'_>,
    index: &SearchIndex,
    expression: &str,
    mut span: Span,
    ascending: bool,
) -> Result<()> {
    while !page.is_full() && !span.is_empty() {
        let hits = found(index.find(expression, span.low, span.high, ascending, HITS).await);
        // Where words are not rare and a filter is narrow, the filter's index leads.
        let hits = hits.filter(|hits| hits.len() < HITS || !page.filter.is_narrow());
        let Some(hits) = hits else { return page.look(span.rows()).await };
        let all = hits.len() < HITS;
        match hits.last() {
            Some(&last) if ascending => span.low = last,
            Some(last) => span.high = LogPosition::from_number(last.number() - 1),
            None => {}
        }
        page.look(RowSet::Of(hits)).await?;
        if all {
            break;
        }
    }
    Ok(())
}

/// What the index has found; if it has failed, that costs a search its speed and nothing else.
fn found(hits: Result<Vec<LogPosition>>) -> Option<Vec<LogPosition>> {
    hits.inspect_err(|error| limited!(warn: "the search index has failed, payloads are searched: {error}"))
        .ok()
}
