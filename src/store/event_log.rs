//! Events as they are looked up and listed.

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension};

use super::error::Result;
use super::listing::{Conditions, Listed, Slice, page};
use super::{Store, event_row, webhooks};
use crate::clock::Timestamp;
use crate::event::Event;
use crate::id::{EventId, WebhookId};
use crate::subscription::{EventPattern, NotMatched, Subject};

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
}

/// How much later than its arrival an event's id may have been minted: the wait for a commit, and a
/// clock that was set back (ids never go back). Rows of this span are read in vain at worst.
const ID_LAG_MS: i64 = 600_000;

impl Store {
    /// The event of this id.
    ///
    /// # Errors
    /// Only the store's own.
    pub async fn event(&self, id: EventId) -> Result<Option<Event>> {
        self.read(move |conn| by_id(conn, id)).await
    }

    /// One page of the events that `filter` wants, by commit.
    ///
    /// # Errors
    /// Only the store's own.
    pub async fn events(&self, filter: EventFilter, slice: Slice) -> Result<Listed<Event>> {
        self.read(move |conn| {
            let select = format!("SELECT {} FROM events e", event_row::COLUMNS);
            page(conn, &select, &["e.seq"], conditions(&filter), &slice, event_row::read)
        })
        .await
    }

    /// Why each webhook that has no delivery of the event has none, by what it subscribes to now.
    ///
    /// # Errors
    /// Only the store's own.
    pub async fn not_matched(&self, event: Event) -> Result<Vec<(WebhookId, Option<String>, NotMatched)>> {
        self.read(move |conn| {
            let subscriptions = webhooks::load_subscriptions(conn)?;
            let mut has_delivery =
                conn.prepare_cached("SELECT 1 FROM deliveries WHERE event_seq = ?1 AND webhook_id = ?2")?;
            let mut owner = conn.prepare_cached("SELECT owner_id FROM webhooks WHERE id = ?1")?;
            let mut reasons = Vec::new();
            for (webhook_id, reason) in subscriptions.not_matching(&Subject::of(&event)) {
                if !has_delivery.exists([event.seq, webhook_id])? {
                    reasons.push((webhook_id, owner.query_row([webhook_id], |row| row.get(0))?, reason));
                }
            }
            Ok(reasons)
        })
        .await
    }
}

fn by_id(conn: &Connection, id: EventId) -> Result<Option<Event>> {
    let event = conn
        .prepare_cached(&format!("SELECT {} FROM events e WHERE e.id = ?1", event_row::COLUMNS))?
        .query_row([id.to_string()], event_row::read)
        .optional()?;
    Ok(event)
}

fn conditions(filter: &EventFilter) -> Conditions {
    let mut conditions = Conditions::default();
    any_of(&mut conditions, "e", &filter.events);
    conditions.and_if("e.station_id = ?", filter.station_id.clone());
    conditions.and_if("e.owner_id = ?", filter.owner_id.clone());
    conditions.and_if("e.transaction_id = ?", filter.transaction_id);
    conditions.and_if(
        "EXISTS (SELECT 1 FROM deliveries d WHERE d.event_seq = e.seq AND d.webhook_id = ?)",
        filter.webhook_id,
    );
    match filter.duplicate {
        Some(true) => conditions.and("e.duplicate_of IS NOT NULL", []),
        Some(false) => conditions.and("e.duplicate_of IS NULL", []),
        None => {}
    }
    arrived(&mut conditions, "e", filter.since, filter.until);
    conditions.and_at("e.occurred_at_ms >= ?", filter.occurred_since);
    conditions.and_at("e.occurred_at_ms < ?", filter.occurred_until);
    conditions
}

/// The event's type must fit one of `patterns`; `events` is the table's name in the query.
pub(super) fn any_of(conditions: &mut Conditions, events: &str, patterns: &[EventPattern]) {
    if patterns.is_empty() || patterns.contains(&EventPattern::All) {
        return;
    }
    // A `+` keeps SQLite from collecting several types out of their index, which then had to be sorted.
    let plus = if patterns.len() > 1 { "+" } else { "" };
    let mut values: Vec<Value> = Vec::new();
    let alternatives: Vec<String> = patterns
        .iter()
        .map(|pattern| {
            let (condition, value) = match pattern {
                EventPattern::Category(category) => ("category = ?", category.as_str().to_owned()),
                EventPattern::Glob(glob) => ("event GLOB ?", as_sqlite_glob(glob)),
                other => ("event = ?", other.to_string()),
            };
            values.push(value.into());
            format!("{plus}{events}.{condition}")
        })
        .collect();
    conditions.and(format!("({})", alternatives.join(" OR ")), values);
}

/// In SQLite's globs `?` and `[` mean something too.
fn as_sqlite_glob(glob: &str) -> String {
    glob.replace('[', "[[]").replace('?', "[?]")
}

/// Bounds the rows by the moment of arrival. Ids are minted in commit order with their moment in front,
/// so the unique index on them finds the bounds of `seq`; the exact moment decides.
fn arrived(conditions: &mut Conditions, events: &str, since: Option<Timestamp>, until: Option<Timestamp>) {
    if let Some(since) = since {
        conditions.and(
            format!("{events}.seq >= coalesce((SELECT seq FROM events WHERE id >= ? ORDER BY id LIMIT 1), 9223372036854775807)"),
            [first_id_at(since.unix_ms()).into()],
        );
        conditions.and_at(&format!("{events}.timestamp_ms >= ?"), Some(since));
    }
    if let Some(until) = until {
        conditions.and(
            format!("{events}.seq < coalesce((SELECT seq FROM events WHERE id >= ? ORDER BY id LIMIT 1), 9223372036854775807)"),
            [first_id_at(until.unix_ms().saturating_add(ID_LAG_MS)).into()],
        );
        conditions.and_at(&format!("{events}.timestamp_ms < ?"), Some(until));
    }
}

/// The least id that can have been minted at this moment.
fn first_id_at(unix_ms: i64) -> String {
    // 48 bits of milliseconds: later moments than the year 10889 are all the same to us.
    let ms = unix_ms.clamp(0, (1 << 48) - 1);
    EventId::from_value((ms as u128) << 80).to_string()
}
