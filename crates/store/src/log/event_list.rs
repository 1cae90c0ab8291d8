//! Events as they are looked up and listed.

use rusqlite::{Connection, OptionalExtension, params_from_iter};

use crate::Store;
use crate::engine::embedded::raw_cells as cells;
use crate::engine::sql::Value;
use crate::engine::tx::Read;
use crate::error::Result;
use crate::listing::{Conditions, Listed, Slice, arrival_bounds, fits_one_of, page};
use crate::log::search::Among;
use crate::log::{event_row, removed_before};
use vocabulary::clock::Timestamp;
use vocabulary::event::Event;
use vocabulary::id::{EventId, WebhookId};
use vocabulary::subscription::{self, EventPattern, NotMatched, Subject};

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
}

/// A webhook that has no delivery of an event, and why.
#[derive(Debug, Clone)]
pub struct Unwanted {
    /// The webhook.
    pub webhook_id: WebhookId,
    /// The customer it belongs to.
    pub owner_id: Option<String>,
    /// The first reason that applies.
    pub reason: NotMatched,
    /// What there is to tell of its patterns, where the type is the reason.
    pub warnings: Vec<String>,
}

impl EventFilter {
    /// Whether an index finds the few events that this can be about, whatever it looks for in them.
    pub(crate) fn is_narrow(&self) -> bool {
        self.station_id.is_some() || self.transaction_id.is_some()
    }
}

/// Rows of the log that one look at a stretch goes through at most, whether they fit or not.
const STRETCH_ROWS: i64 = 20_000;

/// Events that one look brings at most.
const STRETCH_EVENTS: usize = 100;

/// Payloads and answers that one look brings, in bytes; the event that goes beyond is the last.
const STRETCH_BYTES: usize = 256 << 10;

/// A stretch of the log, oldest first.
#[derive(Debug)]
pub struct Stretch {
    /// What of it was wanted.
    pub events: Vec<Event>,
    /// The row that it reaches to; what comes next begins behind it.
    pub reaches: i64,
}

impl Store {
    /// What `filter` wants of the events behind row `after`, as far as one look goes, and not behind row
    /// `newest`. Costs the same however little of it fits.
    pub async fn stretch(&self, filter: EventFilter, after: i64, newest: i64) -> Result<Stretch> {
        self.read(move |conn| {
            // Rows count on by millions where a backup was restored: a gap is no stretch.
            let begin: Option<i64> = conn
                .prepare_cached("SELECT seq FROM events WHERE seq > ?1 ORDER BY seq LIMIT 1")?
                .query_row([after], |row| row.get(0))
                .optional()?;
            let end = newest.min(begin.map_or(newest, |begin| begin.saturating_add(STRETCH_ROWS)));
            let mut conditions = conditions(&filter);
            conditions.and("e.seq > ? AND e.seq <= ?", [after.into(), end.into()]);
            let sql = format!(
                "SELECT {} FROM events e WHERE {} ORDER BY e.seq",
                event_row::COLUMNS,
                conditions.text()
            );
            let mut statement = conn.prepare_cached(&sql)?;
            let mut rows = statement.query(params_from_iter(conditions.into_values()))?;
            let (mut events, mut bytes) = (Vec::new(), 0);
            while let Some(row) = rows.next()? {
                let event = event_row::read(row)?;
                bytes += event.payload.get().len();
                bytes += event.response.as_ref().map_or(0, |response| response.get().len());
                let reaches = event.seq;
                events.push(event);
                if events.len() == STRETCH_EVENTS || bytes >= STRETCH_BYTES {
                    return Ok(Stretch { events, reaches });
                }
            }
            Ok(Stretch { events, reaches: end.max(after) })
        })
        .await
    }

    /// The row of the newest event that is no newer than this id, whether that very event is still there or
    /// not. `None` if newer ones are removed, or everything that is kept is newer, so that nobody can say what came
    /// between; the id zero is in front of everything that is kept.
    pub async fn event_position(&self, id: EventId) -> Result<Option<i64>> {
        self.read(move |conn| {
            if id.value() != 0 && removed_before::has_passed(conn, &id.to_string())? {
                return Ok(None);
            }
            // Ids are minted in commit order, so both orders are the same.
            let seq = conn
                .prepare_cached("SELECT seq FROM events WHERE id <= ?1 ORDER BY id DESC LIMIT 1")?
                .query_row([id.to_string()], |row| row.get(0))
                .optional()?;
            let empty =
                || -> Result<bool> { Ok(!conn.prepare_cached("SELECT 1 FROM events LIMIT 1")?.exists([])?) };
            match seq {
                None if id.value() == 0 || empty()? => Ok(Some(0)),
                seq => Ok(seq),
            }
        })
        .await
    }

    /// The event of this id.
    pub async fn event(&self, id: EventId) -> Result<Option<Event>> {
        self.read(move |conn| by_id(conn, id)).await
    }

    /// One page of the events that `filter` wants, by commit.
    pub async fn events(&self, filter: EventFilter, slice: Slice) -> Result<Listed<Event>> {
        if filter.q.is_some() {
            return self.search_events(filter, slice).await;
        }
        self.read(move |conn| list(conn, &filter, &slice, Among::All)).await
    }

    /// Why each webhook that has no delivery of the event has none, by what it subscribes to now. Left out is a webhook
    /// that it did fit when it came: there was a delivery, which retention has removed.
    pub async fn not_matched(&self, event: Event) -> Result<Vec<Unwanted>> {
        self.read(move |conn| {
            let subscriptions = crate::log::subscriptions::load_subscriptions(conn)?;
            let mut has_delivery =
                conn.prepare_cached("SELECT 1 FROM deliveries WHERE event_seq = ?1 AND webhook_id = ?2")?;
            let mut of_webhook =
                conn.prepare_cached("SELECT owner_id, updated_at_ms, events FROM webhooks WHERE id = ?1")?;
            let removed =
                removed_before::of_outcomes(conn)?.is_some_and(|removed| event.id.value() < removed.value());
            let mut reasons = Vec::new();
            for (webhook_id, verdict) in subscriptions.judge(&Subject::of(&event)) {
                if has_delivery.exists([event.seq, webhook_id])? {
                    continue;
                }
                let (owner_id, updated_at, events): (Option<String>, Timestamp, Vec<String>) = of_webhook
                    .query_row([webhook_id], |row| {
                        Ok((row.get(0)?, cells::moment(row, 1)?, cells::json(row, 2)?))
                    })?;
                let reason = match verdict {
                    // Whatever it would have fitted, a test goes to one webhook, and makes no delivery there.
                    _ if event.test => NotMatched::Target,
                    Err(reason) => reason,
                    // What it subscribes to now it did not when the event came.
                    Ok(()) if updated_at >= event.timestamp && !removed => NotMatched::CreatedLater,
                    Ok(()) => continue,
                };
                let warnings = match reason {
                    NotMatched::EventType => subscription::warnings(&events),
                    _ => Vec::new(),
                };
                reasons.push(Unwanted { webhook_id, owner_id, reason, warnings });
            }
            Ok(reasons)
        })
        .await
    }
}

/// One page of the events that `filter` wants of those rows.
pub(crate) fn list(
    read: &Read<'_>,
    filter: &EventFilter,
    slice: &Slice,
    among: Among,
) -> Result<Listed<Event>> {
    let select = format!("SELECT {} FROM events e", event_row::COLUMNS);
    page(read, &select, &["e.seq"], conditions_among(filter, &among), slice, |row| {
        Ok(event_row::read(row.raw())?)
    })
}

fn by_id(conn: &Connection, id: EventId) -> Result<Option<Event>> {
    let event = conn
        .prepare_cached(&format!("SELECT {} FROM events e WHERE e.id = ?1", event_row::COLUMNS))?
        .query_row([id.to_string()], event_row::read)
        .optional()?;
    Ok(event)
}

fn conditions_among(filter: &EventFilter, among: &Among) -> Conditions {
    let mut conditions = conditions(filter);
    if let Some((condition, values)) = among.condition("e.seq") {
        conditions.and(condition, values);
    }
    conditions
}

fn conditions(filter: &EventFilter) -> Conditions {
    let mut conditions = Conditions::default();
    if let Some((condition, values)) = fits_one_of("e", &filter.events, true) {
        conditions.and(condition, values.into_iter().map(Value::from));
    }
    conditions.and_if("e.station_id = ?", filter.station_id.clone());
    conditions.and_if("e.owner_id = ?", filter.owner_id.clone());
    conditions.and_if("e.transaction_id = ?", filter.transaction_id);
    conditions.and_if(
        match filter.own_webhooks {
            true => {
                "EXISTS (SELECT 1 FROM deliveries d LEFT JOIN webhooks w ON w.id = d.webhook_id
                 WHERE d.event_seq = e.seq AND d.webhook_id = ? AND (w.id IS NULL OR w.owner_id = e.owner_id))"
            }
            false => "EXISTS (SELECT 1 FROM deliveries d WHERE d.event_seq = e.seq AND d.webhook_id = ?)",
        },
        filter.webhook_id,
    );
    match filter.duplicate {
        Some(true) => conditions.and("e.duplicate_of IS NOT NULL", []),
        Some(false) => conditions.and("e.duplicate_of IS NULL", []),
        None => {}
    }
    let spell = |least| EventId::from_value(least).to_string();
    for (condition, id) in arrival_bounds("events", "e", filter.since, filter.until, spell) {
        conditions.and(condition, [id.into()]);
    }
    conditions.and_at("e.timestamp_ms >= ?", filter.since);
    conditions.and_at("e.timestamp_ms < ?", filter.until);
    conditions.and_at("e.occurred_at_ms >= ?", filter.occurred_since);
    conditions.and_at("e.occurred_at_ms < ?", filter.occurred_until);
    conditions.and_if("payload_fits(e.payload, ?)", filter.q.clone());
    conditions
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::embedded::schema;

    /// How SQLite would go about a list: one line per step.
    fn plan(filter: &EventFilter, among: &Among, ascending: bool) -> Vec<String> {
        let dir = tempfile::tempdir().expect("a directory");
        let mut conn = schema::open_writer(&dir.path().join("t.db")).expect("opens");
        schema::SCHEMA.migrate(&mut conn).expect("migrates");
        crate::engine::embedded::search_index::teach(&conn).expect("learns");
        let select = "EXPLAIN QUERY PLAN SELECT e.seq FROM events e";
        let slice = Slice { ascending, after: Some((7, 0)), limit: 50 };
        let steps = std::cell::RefCell::new(Vec::new());
        page(&Read::of(&conn), select, &["e.seq"], conditions_among(filter, among), &slice, |row| {
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
            for ascending in [false, true] {
                let steps = plan(&filter, &Among::All, ascending);
                let text = steps.join("; ");
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
                let text = plan(&filter, &Among::Rows(vec![1, 2]), ascending).join("; ");
                assert!(text.contains("SEARCH e USING"), "{filter:?}: {text}");
                assert!(text.contains("rowid=?") || text.contains("AND seq=?"), "{filter:?}: {text}");
            }
        }
    }
}
