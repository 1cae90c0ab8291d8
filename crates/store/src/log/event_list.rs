//! Events as they are looked up and listed.

use crate::Store;
use crate::engine::row::Row;
use crate::engine::sql::params;
use crate::engine::tx::Read;
use crate::error::Result;
use crate::listing::{Conditions, Listed, Slice, page_of};
use crate::log::event_row;
use crate::log::payload_judge::{JudgedLimit, PayloadJudge};
use crate::log::row_set::RowSet;
use crate::search_words::Wanted;
use vocabulary::clock::Timestamp;
use vocabulary::event::Event;
use vocabulary::id::{EventId, WebhookId};
use vocabulary::subscription::{EventPattern, Filter};

/// Which events are wanted; what is not given does not matter.
#[derive(Debug, Clone, Default)]
pub struct EventFilter {
    /// One of these must fit; here `*` is every event.
    pub events: Vec<EventPattern>,
    /// The station it is about.
    pub station_id: Option<String>,
    /// The customer it belongs to.
    pub owner_id: Option<String>,
    /// There is a delivery of it to this webhook.
    pub webhook_id: Option<WebhookId>,
    /// Of its deliveries only those count that an owner sees: to a webhook of the event's own owner, or to
    /// one that is no more.
    pub own_webhooks: bool,
    /// The transaction it was attached to.
    pub transaction_id: Option<i64>,
    /// Whether it repeats another.
    pub duplicate: Option<bool>,
    /// It arrived then or later.
    pub since: Option<Timestamp>,
    /// It arrived before that.
    pub until: Option<Timestamp>,
    /// It happened then or later, by the charger's clock.
    pub occurred_since: Option<Timestamp>,
    /// It happened before that, by the charger's clock.
    pub occurred_until: Option<Timestamp>,
    /// What to look for in its payload: words, beginnings (`word*`) and `"phrases"`.
    pub q: Option<String>,
    /// Conditions on its payload. A page of what fits may have fewer rows than it has room for.
    pub payload: Option<Filter>,
}

impl EventFilter {
    /// Whether an index finds the few events that this can be about, whatever it looks for in them.
    pub(crate) fn is_narrow(&self) -> bool {
        self.station_id.is_some() || self.transaction_id.is_some()
    }

    /// What is looked for in payloads: it is judged while the rows are read.
    pub(crate) fn wanted(&self) -> Option<Wanted> {
        self.q.as_deref().map(Wanted::parse)
    }

    /// Who judges payloads; `None` if nothing is wanted of them.
    pub(crate) fn judge(&self, left: JudgedLimit) -> Option<PayloadJudge> {
        PayloadJudge::new(self.wanted(), self.payload.clone(), left)
    }

    /// Everything else, as conditions on `events e`.
    pub(crate) fn conditions(&self) -> Conditions {
        let mut conditions = Conditions::default();
        conditions.and_fits("e", &self.events, true);
        conditions.and_if("e.station_id = ?", self.station_id.clone());
        conditions.and_if("e.owner_id = ?", self.owner_id.clone());
        conditions.and_if("e.transaction_id = ?", self.transaction_id);
        conditions.and_if(
            match self.own_webhooks {
                true => {
                    "EXISTS (SELECT 1 FROM deliveries d LEFT JOIN webhooks w ON w.id = d.webhook_id
                     WHERE d.event_seq = e.seq AND d.webhook_id = ?
                         AND (w.id IS NULL OR w.owner_id = e.owner_id))"
                }
                false => "EXISTS (SELECT 1 FROM deliveries d WHERE d.event_seq = e.seq AND d.webhook_id = ?)",
            },
            self.webhook_id,
        );
        match self.duplicate {
            Some(true) => conditions.and("e.duplicate_of IS NOT NULL", []),
            Some(false) => conditions.and("e.duplicate_of IS NULL", []),
            None => {}
        }
        let spell = |least| EventId::from_value(least).to_string();
        conditions.and_arrived(("events", "e", "timestamp_ms"), self.since, self.until, spell);
        conditions.and_at("e.occurred_at_ms >= ?", self.occurred_since);
        conditions.and_at("e.occurred_at_ms < ?", self.occurred_until);
        conditions
    }
}

impl Store {
    /// The event of this id.
    pub async fn event(&self, id: EventId) -> Result<Option<Event>> {
        let sql = format!("SELECT {} FROM events e WHERE e.id = ?1", event_row::COLUMNS);
        self.read(move |db| db.maybe(&sql, params![id], event_row::read)).await
    }

    /// One page of the events that `filter` wants, by commit.
    pub async fn events(&self, filter: EventFilter, slice: Slice) -> Result<Listed<Event>> {
        if filter.q.is_some() {
            return self.search_events(filter, slice).await;
        }
        let listed = self.read(move |db| list(db, &filter, &slice, &RowSet::All, JudgedLimit::default()));
        Ok(listed.await?.0)
    }
}

/// One page of the events that `filter` wants of those rows, and how much may be judged after it.
pub(crate) fn list(
    db: &Read<'_>,
    filter: &EventFilter,
    slice: &Slice,
    rows: &RowSet,
    left: JudgedLimit,
) -> Result<(Listed<Event>, JudgedLimit)> {
    let select = format!("SELECT {} FROM events e", event_row::COLUMNS);
    let judge = filter.judge(left);
    let fits = judge.as_ref().map(|judge| |row: &Row<'_>| Ok(judge.judge(event_row::payload(row)?)));
    let conditions = conditions_of(filter, rows);
    let listed = page_of(db, &select, &["e.seq"], conditions, slice, fits, event_row::read)?;
    Ok((listed, judge.map_or(left, |judge| judge.left())))
}

fn conditions_of(filter: &EventFilter, rows: &RowSet) -> Conditions {
    let mut conditions = filter.conditions();
    rows.narrow(&mut conditions, "e.seq");
    conditions
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LogPosition;
    use crate::engine::embedded::database_file::DatabaseFile;

    /// How SQLite would go about a list: one line per step.
    fn plan(filter: &EventFilter, rows: &RowSet, ascending: bool) -> Vec<String> {
        let dir = tempfile::tempdir().expect("a directory");
        let mut database = DatabaseFile::open(&dir.path().join("t.db")).expect("opens");
        database.migrate().expect("migrates");
        let select = "EXPLAIN QUERY PLAN SELECT e.seq FROM events e";
        let slice = Slice { ascending, after: Some((7, 0)), limit: 50 };
        let steps = std::cell::RefCell::new(Vec::new());
        let judged = filter.q.as_ref().map(|_| |_: &Row<'_>| Ok(true));
        page_of(&database.read(), select, &["e.seq"], conditions_of(filter, rows), &slice, judged, |row| {
            steps.borrow_mut().push(row.get::<String>(3)?);
            Ok(())
        })
        .expect("explains");
        steps.into_inner()
    }

    #[test]
    fn every_list_follows_an_index_and_sorts_nothing() {
        let pattern = |text: &str| text.parse::<EventPattern>().expect(text);
        let some = |text: &str| Some(text.to_owned());
        let at = Some(Timestamp::from_unix_ms(1_776_170_096_789));
        for (filter, wanted) in [
            (EventFilter::default(), "SEARCH e USING INTEGER PRIMARY KEY"),
            (EventFilter { station_id: some("A"), ..Default::default() }, "events_by_station"),
            (EventFilter { events: vec![pattern("Heartbeat")], ..Default::default() }, "events_by_type"),
            (
                EventFilter { events: vec![pattern("Heartbeat"), pattern("ping")], ..Default::default() },
                "PRIMARY KEY",
            ),
            (EventFilter { events: vec![pattern("Start*")], ..Default::default() }, "PRIMARY KEY"),
            (EventFilter { owner_id: some("o"), ..Default::default() }, "events_by_owner"),
            (EventFilter { transaction_id: Some(1), ..Default::default() }, "events_by_transaction"),
            (EventFilter { webhook_id: Some(1), ..Default::default() }, "deliveries_by_event"),
            (EventFilter { since: at, until: at, ..Default::default() }, "PRIMARY KEY"),
            (EventFilter { since: at, station_id: some("A"), ..Default::default() }, "events_by_station"),
        ] {
            for (ascending, q) in [(false, None), (true, None), (false, some("a")), (true, some("a"))] {
                let filter = EventFilter { q, ..filter.clone() };
                let text = plan(&filter, &RowSet::All, ascending).join("; ");
                assert!(text.contains(wanted), "{filter:?}: {text}");
                assert!(!text.contains("TEMP B-TREE") && !text.contains("SCAN e"), "{filter:?}: {text}");
            }
        }
    }

    #[test]
    fn what_an_index_has_found_is_looked_up_row_by_row() {
        let some = |text: &str| Some(text.to_owned());
        let at = Some(Timestamp::from_unix_ms(1_776_170_096_789));
        for filter in [
            EventFilter { q: some("a"), ..Default::default() },
            EventFilter { q: some("a"), owner_id: some("o"), ..Default::default() },
            EventFilter { q: some("a"), since: at, until: at, ..Default::default() },
            EventFilter { q: some("a"), station_id: some("A"), ..Default::default() },
        ] {
            for ascending in [false, true] {
                let text =
                    plan(&filter, &RowSet::Of([1, 2].map(LogPosition::from_number).to_vec()), ascending)
                        .join("; ");
                assert!(text.contains("SEARCH e USING"), "{filter:?}: {text}");
                assert!(text.contains("rowid=?") || text.contains("AND seq=?"), "{filter:?}: {text}");
            }
        }
    }
}
