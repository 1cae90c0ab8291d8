//! Deliveries as they are listed, sent again, and discarded.

use std::collections::BTreeMap;

use rusqlite::types::ToSql;
use rusqlite::{Connection, OptionalExtension, Row, params, params_from_iter};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::error::{Result, StoreError};
use super::listing::{arrival_bounds, fits_one_of};
use super::writer::Writing;
use super::{Priority, Store};
use crate::clock::Timestamp;
use crate::id::{DeliveryId, EventId, WebhookId};
use crate::subscription::EventPattern;

/// Spelled exactly as in the index `deliveries_due`, which is only used for what it is spelled like.
pub(super) const UNORDERED_WAITING: &str = "status IN ('scheduled', 'retry') AND order_station IS NULL";

/// Spelled exactly as in the index `deliveries_in_order`.
pub(super) const ORDERED_LIVE: &str =
    "status IN ('scheduled', 'retry', 'processing') AND order_station IS NOT NULL";

/// Deliveries discarded in one step, so that a backlog of millions stalls nobody.
const DISCARD_STEP: usize = 1_000;

/// How far a delivery has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DeliveryStatus {
    /// Waits for its first attempt.
    Scheduled,
    /// An attempt is under way.
    Processing,
    /// Waits for its next attempt.
    Retry,
    /// It has arrived.
    Success,
    /// A dead letter.
    Failed,
    /// Cancelled, or its webhook was disabled or deleted.
    Discarded,
}

impl DeliveryStatus {
    /// Every status.
    pub const ALL: [Self; 6] =
        [Self::Scheduled, Self::Processing, Self::Retry, Self::Success, Self::Failed, Self::Discarded];

    /// The status as the API spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Processing => "processing",
            Self::Retry => "retry",
            Self::Success => "success",
            Self::Failed => "failed",
            Self::Discarded => "discarded",
        }
    }

    /// Whether it has come to its end.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Success | Self::Failed | Self::Discarded)
    }

    fn read(text: &str) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|status| status.as_str() == text)
            .ok_or_else(|| StoreError::Corrupt(format!("{text:?} is no status of a delivery")))
    }
}

/// Why an attempt, or a delivery, failed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveryError {
    /// For programs (contract, section 4).
    pub code: String,
    /// For people.
    pub message: String,
}

/// One event on its way to one webhook.
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
}

/// One try to deliver.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// 1, 2, … without gaps.
    pub number: u32,
    /// `event`, `resend` or `replay`.
    pub trigger: String,
    /// When it began.
    pub started_at: Timestamp,
    /// How long it took, in milliseconds; `None`: it is under way, or was cut off.
    pub duration_ms: Option<u64>,
    /// What the endpoint answered, if it did.
    pub status_code: Option<u16>,
    /// What went wrong.
    pub error: Option<DeliveryError>,
    /// A few of the answer's headers.
    pub response_headers: Option<BTreeMap<String, String>>,
    /// The start of the answer's body.
    pub response_body: Option<String>,
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
    /// Text in the event's payload.
    pub q: Option<String>,
    /// The owner whose key asks: the other owners' do not exist, nor those of webhooks without owner.
    pub visible_to: Option<String>,
}

/// One page of a list.
#[derive(Debug, Clone, Copy)]
pub struct DeliveryPage {
    /// At most this many.
    pub limit: usize,
    /// Behind this row of the page before.
    pub after_seq: Option<i64>,
    /// Oldest first.
    pub ascending: bool,
}

/// What became of a wish to send a delivery again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resent {
    /// It is due now.
    Resent,
    /// It has not come to its end yet.
    NotTerminal,
    /// It has arrived already: only with force.
    NeedsForce,
    /// Its webhook is disabled: nothing is sent until it is enabled.
    WebhookDisabled,
    /// Its webhook is deleted.
    WebhookDeleted,
    /// There is none of this id.
    NotFound,
}

/// What became of a wish to cancel a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Canceled {
    /// It is discarded; an attempt that is under way is not called back.
    Canceled,
    /// It has come to its end already.
    Terminal,
    /// There is none of this id.
    NotFound,
}

impl Store {
    /// One delivery with its attempts; `visible_to` as in [`DeliveryFilter`].
    ///
    /// # Errors
    /// Only the store's own.
    pub async fn delivery(&self, id: DeliveryId, visible_to: Option<String>) -> Result<Option<Delivery>> {
        self.read(move |conn| {
            let mut query = Query::default();
            query.and("d.id = ?", id.to_string());
            query.visible_to(visible_to);
            Ok(query.run(conn, "ORDER BY d.seq", 1)?.pop())
        })
        .await
    }

    /// The deliveries that fit `filter`, newest first unless the page says otherwise.
    ///
    /// # Errors
    /// Only the store's own.
    pub async fn deliveries(&self, filter: DeliveryFilter, page: DeliveryPage) -> Result<Vec<Delivery>> {
        self.read(move |conn| {
            let mut query = Query::from(filter);
            if let Some(seq) = page.after_seq {
                query.and(if page.ascending { "d.seq > ?" } else { "d.seq < ?" }, seq);
            }
            let order = if page.ascending { "ORDER BY d.seq" } else { "ORDER BY d.seq DESC" };
            query.run(conn, order, page.limit)
        })
        .await
    }

    /// The deliveries of one event, in the order in which they were made.
    ///
    /// # Errors
    /// Only the store's own.
    pub async fn event_deliveries(
        &self,
        event_id: EventId,
        visible_to: Option<String>,
    ) -> Result<Vec<Delivery>> {
        self.read(move |conn| {
            let mut query = Query::default();
            query.and("d.event_seq = (SELECT seq FROM events WHERE id = ?)", event_id.to_string());
            query.visible_to(visible_to);
            query.run(conn, "ORDER BY d.seq", usize::MAX)
        })
        .await
    }

    /// Makes a terminal delivery due again, at once and with its schedule anew; attempt numbers go on. One
    /// that has arrived needs `force`.
    ///
    /// # Errors
    /// Only the store's own: nothing was written.
    pub async fn resend(&self, id: DeliveryId, force: bool, visible_to: Option<String>) -> Result<Resent> {
        self.write(Priority::Api, move |w| reopen(w, id, force, visible_to)).await
    }

    /// Discards a delivery that has not come to its end.
    ///
    /// # Errors
    /// Only the store's own: nothing was written.
    pub async fn cancel(&self, id: DeliveryId, visible_to: Option<String>) -> Result<Canceled> {
        self.write(Priority::Api, move |w| {
            let Some((seq, status, webhook_id)) = find(w.conn, id, visible_to)? else {
                return Ok(Canceled::NotFound);
            };
            if status.is_terminal() {
                return Ok(Canceled::Terminal);
            }
            w.conn
                .prepare_cached(
                    "UPDATE deliveries SET status = 'discarded', due_at_ms = NULL, completed_at_ms = ?2 WHERE seq = ?1",
                )?
                .execute(params![seq, w.now.unix_ms()])?;
            // Others of its station may have waited for it.
            w.effects.lanes.extend(webhook_id);
            Ok(Canceled::Canceled)
        })
        .await
    }

    /// Discards a step of what waits for a webhook that is disabled or deleted; false once none is left,
    /// or if the webhook is enabled again.
    ///
    /// # Errors
    /// Only the store's own: nothing was written.
    pub async fn discard_step(&self, webhook_id: WebhookId) -> Result<bool> {
        self.write(Priority::Outcome, move |w| {
            let status: Option<String> = w
                .conn
                .prepare_cached("SELECT status FROM webhooks WHERE id = ?1")?
                .query_row([webhook_id], |row| row.get(0))
                .optional()?;
            match status.as_deref() {
                Some("active" | "paused") => Ok(false),
                _ => discard_waiting(w, webhook_id),
            }
        })
        .await
    }

    /// Webhooks that are deleted but have deliveries that wait.
    ///
    /// # Errors
    /// Only the store's own.
    pub async fn orphaned_lanes(&self) -> Result<Vec<WebhookId>> {
        self.read(|conn| {
            let mut orphans = Vec::new();
            for which in [UNORDERED_WAITING, ORDERED_LIVE] {
                // From one webhook to the next, not over all their rows.
                let mut next = conn.prepare_cached(&format!(
                    "SELECT min(webhook_id) FROM deliveries WHERE webhook_id > ?1 AND {which}"
                ))?;
                let mut exists = conn.prepare_cached("SELECT 1 FROM webhooks WHERE id = ?1")?;
                let mut last = 0;
                while let Some(id) = next.query_row([last], |row| row.get::<_, Option<WebhookId>>(0))? {
                    if !exists.exists([id])? {
                        orphans.push(id);
                    }
                    last = id;
                }
            }
            orphans.dedup();
            Ok(orphans)
        })
        .await
    }
}

/// Discards up to a step of what waits for `webhook_id`; true if there may be more. What is under way ends
/// by itself.
pub(super) fn discard_waiting(w: &Writing<'_>, webhook_id: WebhookId) -> Result<bool> {
    let mut discarded = 0;
    // The order costs nothing: it is the index's own, and so makes sure that the index is used.
    for (which, order) in [(UNORDERED_WAITING, "due_at_ms, seq"), (ORDERED_LIVE, "order_station, seq")] {
        discarded += w
            .conn
            .prepare_cached(&format!(
                "UPDATE deliveries SET status = 'discarded', due_at_ms = NULL, completed_at_ms = ?2
                 WHERE seq IN (SELECT seq FROM deliveries
                               WHERE webhook_id = ?1 AND {which} AND status <> 'processing'
                               ORDER BY {order} LIMIT ?3)"
            ))?
            .execute(params![webhook_id, w.now.unix_ms(), (DISCARD_STEP - discarded) as i64])?;
    }
    Ok(discarded >= DISCARD_STEP)
}

/// The row, status and webhook of a delivery that `visible_to` may see.
fn find(
    conn: &Connection,
    id: DeliveryId,
    visible_to: Option<String>,
) -> Result<Option<(i64, DeliveryStatus, Option<WebhookId>)>> {
    let mut query = Query::default();
    query.and("d.id = ?", id.to_string());
    query.visible_to(visible_to);
    let sql = format!("SELECT d.seq, d.status, d.webhook_id {FROM} WHERE {}", query.conditions());
    conn.prepare_cached(&sql)?
        .query_row(params_from_iter(&query.values), |row| {
            Ok((row.get(0)?, row.get::<_, String>(1)?, row.get(2)?))
        })
        .optional()?
        .map(|(seq, status, webhook_id)| Ok((seq, DeliveryStatus::read(&status)?, webhook_id)))
        .transpose()
}

fn reopen(w: &mut Writing<'_>, id: DeliveryId, force: bool, visible_to: Option<String>) -> Result<Resent> {
    let Some((seq, status, webhook_id)) = find(w.conn, id, visible_to)? else { return Ok(Resent::NotFound) };
    if !status.is_terminal() {
        return Ok(Resent::NotTerminal);
    }
    if status == DeliveryStatus::Success && !force {
        return Ok(Resent::NeedsForce);
    }
    if let Some(webhook_id) = webhook_id {
        let webhook: Option<String> = w
            .conn
            .prepare_cached("SELECT status FROM webhooks WHERE id = ?1")?
            .query_row([webhook_id], |row| row.get(0))
            .optional()?;
        match webhook.as_deref() {
            None => return Ok(Resent::WebhookDeleted),
            Some("disabled" | "auto_disabled") => return Ok(Resent::WebhookDisabled),
            Some(_) => w.effects.lanes.insert(webhook_id),
        };
    }
    w.conn
        .prepare_cached(
            "UPDATE deliveries SET status = 'scheduled', trigger = 'resend', step = 0, due_at_ms = ?2,
                    scheduled_at_ms = ?2, completed_at_ms = NULL, order_station = NULL WHERE seq = ?1",
        )?
        .execute(params![seq, w.now.unix_ms()])?;
    Ok(Resent::Resent)
}

const FROM: &str =
    "FROM deliveries d JOIN events e ON e.seq = d.event_seq LEFT JOIN webhooks w ON w.id = d.webhook_id";

/// A list's conditions, put together from what was asked for.
#[derive(Default)]
struct Query {
    conditions: Vec<String>,
    values: Vec<Box<dyn ToSql>>,
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
        query.and_if("instr(lower(e.payload), lower(?)) > 0", filter.q);
        query.visible_to(filter.visible_to);
        query
    }
}

impl Query {
    fn and(&mut self, condition: &str, value: impl ToSql + 'static) {
        self.conditions.push(condition.to_owned());
        self.values.push(Box::new(value));
    }

    fn and_if(&mut self, condition: &str, value: Option<impl ToSql + 'static>) {
        if let Some(value) = value {
            self.and(condition, value);
        }
    }

    /// What a webhook without owner got is the operator's business, even where the event is an owner's.
    fn visible_to(&mut self, owner: Option<String>) {
        if let Some(owner) = owner {
            self.and("e.owner_id = ?", owner);
            self.conditions.push("(w.id IS NULL OR w.owner_id = e.owner_id)".to_owned());
        }
    }

    fn conditions(&self) -> String {
        if self.conditions.is_empty() { "TRUE".to_owned() } else { self.conditions.join(" AND ") }
    }

    fn run(self, conn: &Connection, order: &str, limit: usize) -> Result<Vec<Delivery>> {
        let sql = format!(
            "SELECT d.seq, d.id, e.id, e.event, d.webhook_id, d.sequence, coalesce(d.url, w.url), e.station_id,
                    e.owner_id, e.payload, d.status, d.last_error_code, d.last_error_message, d.due_at_ms,
                    d.order_station IS NOT NULL,
                    d.order_station IS NOT NULL AND EXISTS (
                        SELECT 1 FROM deliveries o WHERE o.webhook_id = d.webhook_id
                            AND o.order_station = d.order_station AND o.seq < d.seq
                            AND o.status IN ('scheduled', 'retry', 'processing') AND o.order_station IS NOT NULL),
                    coalesce(w.status = 'paused', FALSE), d.created_at_ms, d.completed_at_ms
             {FROM} WHERE {} {order} LIMIT {}",
            self.conditions(),
            i64::try_from(limit).unwrap_or(i64::MAX),
        );
        let mut statement = conn.prepare_cached(&sql)?;
        let mut rows = statement.query(params_from_iter(&self.values))?;
        let mut deliveries = Vec::new();
        while let Some(row) = rows.next()? {
            deliveries.push(read(conn, row)?);
        }
        Ok(deliveries)
    }
}

fn read(conn: &Connection, row: &Row<'_>) -> Result<Delivery> {
    let seq = row.get(0)?;
    Ok(Delivery {
        seq,
        id: parse(row.get(1)?)?,
        event_id: parse(row.get(2)?)?,
        event: row.get(3)?,
        webhook_id: row.get(4)?,
        sequence: row.get(5)?,
        url: row.get(6)?,
        station_id: row.get(7)?,
        owner_id: row.get(8)?,
        payload: RawValue::from_string(row.get(9)?)
            .map_err(|error| StoreError::Corrupt(error.to_string()))?,
        status: DeliveryStatus::read(&row.get::<_, String>(10)?)?,
        attempts: attempts(conn, seq)?,
        last_error: error(row.get(11)?, row.get(12)?),
        next_attempt_at: row.get::<_, Option<i64>>(13)?.map(Timestamp::from_unix_ms),
        ordered: row.get(14)?,
        behind_another: row.get(15)?,
        paused: row.get(16)?,
        created_at: Timestamp::from_unix_ms(row.get(17)?),
        completed_at: row.get::<_, Option<i64>>(18)?.map(Timestamp::from_unix_ms),
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
        let headers: Option<String> = row.get(7)?;
        attempts.push(Attempt {
            number: row.get(0)?,
            trigger: row.get(1)?,
            started_at: Timestamp::from_unix_ms(row.get(2)?),
            duration_ms: row.get::<_, Option<i64>>(3)?.map(|ms| ms.max(0) as u64),
            status_code: row.get(4)?,
            error: error(row.get(5)?, row.get(6)?),
            response_headers: headers.map(super::lanes::from_json).transpose()?,
            response_body: row.get(8)?,
        });
    }
    Ok(attempts)
}

fn error(code: Option<String>, message: Option<String>) -> Option<DeliveryError> {
    code.map(|code| DeliveryError { code, message: message.unwrap_or_default() })
}

fn parse<T: std::str::FromStr<Err = crate::id::InvalidId>>(text: String) -> Result<T> {
    text.parse().map_err(|error| StoreError::Corrupt(format!("{text}: {error}")))
}
