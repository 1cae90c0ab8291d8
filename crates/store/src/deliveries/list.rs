//! Deliveries as they are listed.

use rusqlite::types::ToSql;
use rusqlite::{Connection, Row, params_from_iter};
use serde_json::value::RawValue;

use crate::Store;
use crate::engine::embedded::monotonic::WALL_OFFSET_MS;
use crate::engine::embedded::raw_cells as cells;
use crate::error::Result;
use crate::listing::{Listed, PAGE_BYTES, arrival_bounds, fits_one_of};
use crate::log::search;
use vocabulary::api::delivery::{Attempt, DeliveryError};
use vocabulary::clock::Timestamp;
use vocabulary::delivery::{DeliveryStatus, DiscardReason};
use vocabulary::id::{DeliveryId, EventId, WebhookId};
use vocabulary::subscription::EventPattern;

/// One event on its way to one webhook, with what tells why it waits.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// The row: lists go by it.
    pub seq: i64,
    /// Its id.
    pub id: DeliveryId,
    /// Its event.
    pub event_id: EventId,
    /// The event's type.
    pub event: String,
    /// Its webhook, which may be deleted; `None`: it goes to a URL that came with the event.
    pub webhook_id: Option<WebhookId>,
    /// The webhook's count of deliveries.
    pub sequence: Option<i64>,
    /// Where it goes; `None` once the webhook is deleted.
    pub url: Option<String>,
    /// The event's station.
    pub station_id: Option<String>,
    /// The event's owner.
    pub owner_id: Option<String>,
    /// The event's payload.
    pub payload: Box<RawValue>,
    /// How far it has come.
    pub status: DeliveryStatus,
    /// Every try, the first one first.
    pub attempts: Vec<Attempt>,
    /// What went wrong last, also where no attempt was made.
    pub last_error: Option<DeliveryError>,
    /// When the next attempt is due.
    pub next_attempt_at: Option<Timestamp>,
    /// It waits for its station's order.
    pub ordered: bool,
    /// An older delivery of its station is under way or waits.
    pub behind_another: bool,
    /// Its webhook is paused.
    pub paused: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it came to its end.
    pub completed_at: Option<Timestamp>,
    /// Why it was discarded.
    pub discarded_because: Option<DiscardReason>,
    /// The lane it goes by: its webhook, or a number below zero for the origin of its URL.
    pub lane: Option<WebhookId>,
}

/// Which deliveries are listed; what is `None` does not matter.
#[derive(Debug, Clone, Default)]
pub struct DeliveryFilter {
    /// Any of these statuses; empty: all.
    pub status: Vec<DeliveryStatus>,
    /// To this webhook.
    pub webhook_id: Option<WebhookId>,
    /// Of this event.
    pub event_id: Option<EventId>,
    /// The event's type must fit one of these; empty: any.
    pub events: Vec<EventPattern>,
    /// Of this station's events.
    pub station_id: Option<String>,
    /// Of this owner's events.
    pub owner_id: Option<String>,
    /// Made at or after this.
    pub since: Option<Timestamp>,
    /// Made before this.
    pub until: Option<Timestamp>,
    /// What to look for in the event's payload: words, beginnings (`word*`) and `"phrases"`.
    pub q: Option<String>,
    /// The owner whose key asks: the other owners' do not exist, nor those of webhooks without owner.
    pub visible_to: Option<String>,
}

/// One page of a list.
#[derive(Debug, Clone, Copy)]
pub struct DeliveryPage {
    /// At most this many; fewer if they are large.
    pub limit: usize,
    /// Behind this row of the page before.
    pub after_seq: Option<i64>,
    /// Oldest first.
    pub ascending: bool,
}

impl Store {
    /// One delivery with its attempts; `visible_to` as in [`DeliveryFilter`].
    pub async fn delivery(&self, id: DeliveryId, visible_to: Option<String>) -> Result<Option<Delivery>> {
        self.read(move |conn| {
            let mut query = Query::default();
            query.and("d.id = ?", id.to_string());
            query.visible_to(visible_to);
            Ok(query.run(conn, "ORDER BY d.seq", 1)?.rows.pop())
        })
        .await
    }

    /// The deliveries that fit `filter`, newest first unless the page says otherwise.
    pub async fn deliveries(&self, filter: DeliveryFilter, page: DeliveryPage) -> Result<Listed<Delivery>> {
        let few = match &filter.q {
            Some(text) => self.few_events_with(text).await?,
            None => None,
        };
        self.read(move |conn| {
            let mut query = Query::from(filter);
            if let Some(events) = few {
                query.of_events(&events);
            }
            if let Some(seq) = page.after_seq {
                query.and(if page.ascending { "d.seq > ?" } else { "d.seq < ?" }, seq);
            }
            let order = if page.ascending { "ORDER BY d.seq" } else { "ORDER BY d.seq DESC" };
            query.run(conn, order, page.limit)
        })
        .await
    }

    /// The ids of one event's deliveries, in the order in which they were made.
    pub async fn deliveries_of_event(
        &self,
        event_id: EventId,
        visible_to: Option<String>,
    ) -> Result<Vec<DeliveryId>> {
        self.read(move |conn| {
            let mut query = Query::default();
            query.and("d.event_seq = (SELECT seq FROM events WHERE id = ?)", event_id.to_string());
            query.visible_to(visible_to);
            let sql = format!("SELECT d.id {FROM} WHERE {} ORDER BY d.seq", query.conditions());
            let mut statement = conn.prepare_cached(&sql)?;
            let ids = statement.query_map(params_from_iter(&query.values), |row| cells::parsed(row, 0))?;
            Ok(ids.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }
}

pub(crate) const FROM: &str =
    "FROM deliveries d JOIN events e ON e.seq = d.event_seq LEFT JOIN webhooks w ON w.id = d.webhook_id";

/// The same, where the events are known and few. Which index it goes by is said, as without statistics one that
/// spares the sorting looks better to SQLite.
const FROM_EVENTS: &str = "FROM deliveries d INDEXED BY deliveries_by_event
    JOIN events e ON e.seq = d.event_seq LEFT JOIN webhooks w ON w.id = d.webhook_id";

/// A list's conditions, put together from what was asked for.
#[derive(Default)]
pub(crate) struct Query {
    by_event: bool,
    conditions: Vec<String>,
    pub(crate) values: Vec<Box<dyn ToSql>>,
}

impl From<DeliveryFilter> for Query {
    fn from(filter: DeliveryFilter) -> Self {
        let mut query = Self::default();
        match filter.status.as_slice() {
            [] => {}
            // Spelled out and alone, so that the index of dead letters is used.
            [one] => query.conditions.push(format!("d.status = '{}'", one.as_str())),
            several => {
                let names: Vec<String> =
                    several.iter().map(|status| format!("'{}'", status.as_str())).collect();
                query.conditions.push(format!("d.status IN ({})", names.join(", ")));
            }
        }
        query.and_if("d.webhook_id = ?", filter.webhook_id);
        query.and_if(
            "d.event_seq = (SELECT seq FROM events WHERE id = ?)",
            filter.event_id.map(|id| id.to_string()),
        );
        if let Some((condition, values)) = fits_one_of("e", &filter.events, false) {
            query.conditions.push(condition);
            query.values.extend(values.into_iter().map(|value| Box::new(value) as Box<dyn ToSql>));
        }
        query.and_if("e.station_id = ?", filter.station_id);
        query.and_if("e.owner_id = ?", filter.owner_id);
        let spell = |least| DeliveryId::from_value(least).to_string();
        for (condition, id) in arrival_bounds("deliveries", "d", filter.since, filter.until, spell) {
            query.and(&condition, id);
        }
        query.and_if("d.created_at_ms >= ?", filter.since.map(Timestamp::unix_ms));
        query.and_if("d.created_at_ms < ?", filter.until.map(Timestamp::unix_ms));
        query.and_if("payload_fits(e.payload, ?)", filter.q);
        query.visible_to(filter.visible_to);
        query
    }
}

impl Query {
    pub(crate) fn and(&mut self, condition: &str, value: impl ToSql + 'static) {
        self.conditions.push(condition.to_owned());
        self.values.push(Box::new(value));
    }

    fn and_if(&mut self, condition: &str, value: Option<impl ToSql + 'static>) {
        if let Some(value) = value {
            self.and(condition, value);
        }
    }

    /// Only deliveries of these events.
    fn of_events(&mut self, events: &[crate::LogPosition]) {
        self.by_event = true;
        self.and(&search::in_list("d.event_seq"), search::as_list(events));
    }

    /// What a webhook without owner got is the operator's business, even where the event is an owner's.
    pub(crate) fn visible_to(&mut self, owner: Option<String>) {
        if let Some(owner) = owner {
            // What was directed or broadcast to an owner's webhook is the owner's too.
            self.conditions.push(
                "((e.owner_id = ? AND (w.id IS NULL OR w.owner_id = e.owner_id))
                  OR (e.owner_id IS NULL AND e.target IS NOT NULL AND w.owner_id = ?))"
                    .to_owned(),
            );
            self.values.push(Box::new(owner.clone()));
            self.values.push(Box::new(owner));
        }
    }

    pub(crate) fn conditions(&self) -> String {
        if self.conditions.is_empty() { "TRUE".to_owned() } else { self.conditions.join(" AND ") }
    }

    /// At most `limit` rows, in an order of `d.seq`; fewer if they are large.
    fn run(self, conn: &Connection, order: &str, limit: usize) -> Result<Listed<Delivery>> {
        let sql = format!(
            "SELECT d.seq, d.id, e.id, e.event, d.webhook_id, d.sequence, coalesce(d.url, w.url), e.station_id,
                    e.owner_id, e.payload, d.status, d.last_error_code, d.last_error_message, d.due_at_ms + {WALL_OFFSET_MS},
                    d.order_station IS NOT NULL,
                    d.order_station IS NOT NULL AND EXISTS (
                        SELECT 1 FROM deliveries o WHERE o.webhook_id = d.webhook_id
                            AND o.order_station = d.order_station AND o.seq < d.seq
                            AND o.status IN ('scheduled', 'retry', 'processing') AND o.order_station IS NOT NULL),
                    coalesce(w.status = 'paused', FALSE), d.created_at_ms, d.completed_at_ms,
                    coalesce(d.webhook_id, -d.origin_id), iif(d.status = 'discarded', d.discarded_because, NULL)
             {} WHERE {} {order} LIMIT {}",
            if self.by_event { FROM_EVENTS } else { FROM },
            self.conditions(),
            // One row more than asked for tells whether there is a next page.
            i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1),
        );
        let mut statement = conn.prepare_cached(&sql)?;
        let mut rows = statement.query(params_from_iter(&self.values))?;
        let (mut deliveries, mut bytes) = (Vec::<Delivery>::new(), 0);
        while let Some(row) = rows.next()? {
            if deliveries.len() == limit || bytes >= PAGE_BYTES {
                let next = deliveries.last().map(|last| (last.seq, 0));
                return Ok(Listed { rows: deliveries, next });
            }
            bytes += crate::engine::row::Row::Embedded(row).weight()?;
            deliveries.push(read(conn, row)?);
        }
        Ok(Listed { rows: deliveries, next: None })
    }
}

fn read(conn: &Connection, row: &Row<'_>) -> Result<Delivery> {
    let seq = row.get(0)?;
    Ok(Delivery {
        seq,
        id: cells::parsed(row, 1)?,
        event_id: cells::parsed(row, 2)?,
        event: row.get(3)?,
        webhook_id: row.get(4)?,
        sequence: row.get(5)?,
        url: row.get(6)?,
        station_id: row.get(7)?,
        owner_id: row.get(8)?,
        payload: cells::raw(row, 9)?,
        status: cells::parsed(row, 10)?,
        attempts: attempts(conn, seq)?,
        last_error: error(row, 11)?,
        next_attempt_at: cells::maybe_moment(row, 13)?,
        ordered: row.get(14)?,
        behind_another: row.get(15)?,
        paused: row.get(16)?,
        created_at: cells::moment(row, 17)?,
        completed_at: cells::maybe_moment(row, 18)?,
        lane: row.get(19)?,
        discarded_because: cells::maybe_parsed(row, 20)?,
    })
}

fn attempts(conn: &Connection, delivery_seq: i64) -> Result<Vec<Attempt>> {
    let mut statement = conn.prepare_cached(
        "SELECT number, trigger, started_at_ms, duration_ms, status_code, error_code, error_message,
                response_headers, response_body FROM attempts WHERE delivery_seq = ?1 ORDER BY number",
    )?;
    let mut rows = statement.query([delivery_seq])?;
    let mut attempts = Vec::new();
    while let Some(row) = rows.next()? {
        attempts.push(Attempt {
            number: row.get(0)?,
            trigger: cells::parsed(row, 1)?,
            started_at: cells::moment(row, 2)?,
            duration_ms: row.get::<_, Option<i64>>(3)?.map(|ms| ms.max(0) as u64),
            status_code: row.get(4)?,
            error: error(row, 5)?,
            response_headers: cells::maybe_json(row, 7)?,
            response_body: row.get(8)?,
        });
    }
    Ok(attempts)
}

/// The code in this column and the message in the next one.
fn error(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<DeliveryError>> {
    let Some(code) = cells::maybe_parsed(row, column)? else { return Ok(None) };
    Ok(Some(DeliveryError { code, message: row.get::<_, Option<String>>(column + 1)?.unwrap_or_default() }))
}
