//! Lists of deliveries.

use serde_json::value::RawValue;

use crate::deliveries::answers::{FROM_FAILED, failed_with, last_answered};
use crate::engine::row::Row;
use crate::engine::sql::{WALL_OFFSET_MS, params, values_of};
use crate::engine::tx::Read;
use crate::error::Result;
use crate::listing::{Conditions, Listed, Slice, arrival_rows, page_of};
use crate::log::row_set::{as_list, in_list};
use crate::log::waiting_deliveries::ORDERED_LIVE;
use crate::search_words::Wanted;
use crate::{DeliveryRow, Store};
use vocabulary::api::delivery::{Attempt, DeliveryError};
use vocabulary::clock::Timestamp;
use vocabulary::delivery::{AnswerClass, DeliveryStatus, DiscardReason};
use vocabulary::id::{DeliveryId, EventId, WebhookId};
use vocabulary::subscription::EventPattern;

/// One delivery of one event, with the reasons why it waits.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// The row, by which lists are ordered.
    pub row: DeliveryRow,
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
    /// The URL; `None` once the webhook is deleted.
    pub url: Option<String>,
    /// The event's station.
    pub station_id: Option<String>,
    /// The event's owner.
    pub owner_id: Option<String>,
    /// The event's payload.
    pub payload: Box<RawValue>,
    /// Its status.
    pub status: DeliveryStatus,
    /// Its attempts, the first one first.
    pub attempts: Vec<Attempt>,
    /// The last error, also if no attempt was sent.
    pub last_error: Option<DeliveryError>,
    /// When the next attempt is due.
    pub next_attempt_at: Option<Timestamp>,
    /// It waits for an older delivery of its station.
    pub ordered: bool,
    /// An older delivery of its station is under way or waits.
    pub behind_another: bool,
    /// Its webhook is paused.
    pub paused: bool,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it ended.
    pub completed_at: Option<Timestamp>,
    /// Why it was discarded.
    pub discarded_because: Option<DiscardReason>,
    /// Its lane: its webhook, or a number below zero for the origin of its URL.
    pub lane: Option<WebhookId>,
}

/// Which deliveries are listed. A field that is `None` does not restrict the list.
#[derive(Debug, Clone, Default)]
pub struct DeliveryFilter {
    /// Deliveries with one of these statuses; empty: all.
    pub status: Vec<DeliveryStatus>,
    /// To this webhook.
    pub webhook_id: Option<WebhookId>,
    /// Of this event.
    pub event_id: Option<EventId>,
    /// Deliveries whose event type fits one of these; empty: all.
    pub events: Vec<EventPattern>,
    /// Of this station's events.
    pub station_id: Option<String>,
    /// Of this owner's events.
    pub owner_id: Option<String>,
    /// Created at or after this.
    pub since: Option<Timestamp>,
    /// Created before this.
    pub until: Option<Timestamp>,
    /// Whose last attempt was answered with one of these; empty: all.
    pub answers: Vec<AnswerClass>,
    /// Tried at least so often.
    pub min_attempts: Option<u32>,
    /// A search in the event's payload: words, prefixes (`word*`) and `"phrases"`.
    pub q: Option<String>,
    /// The owner of the key that asks: it sees neither other owners' deliveries nor those of webhooks without
    /// owner.
    pub visible_to: Option<String>,
}

impl Store {
    /// One delivery with its attempts; `visible_to` as in [`DeliveryFilter`].
    pub async fn delivery(&self, id: DeliveryId, visible_to: Option<String>) -> Result<Option<Delivery>> {
        self.read(move |db| {
            let mut conditions = Conditions::default();
            conditions.and("d.id = ?", [id.into()]);
            visible(&mut conditions, visible_to);
            let slice = Slice { ascending: true, after: None, limit: 1 };
            Ok(list(db, (FROM, ROW), conditions, &slice, None)?.rows.pop())
        })
        .await
    }

    /// The deliveries that fit `filter`, in the order of their creation.
    pub async fn deliveries(&self, filter: DeliveryFilter, slice: Slice) -> Result<Listed<Delivery>> {
        let few = match &filter.q {
            Some(text) => self.few_events_with(text).await?,
            None => None,
        };
        self.read(move |db| {
            let wanted = filter.q.as_deref().map(Wanted::parse);
            // A search, and one event, leave few deliveries: they lead to them faster.
            let is_narrow = wanted.is_some() || filter.event_id.is_some();
            let failed = failed_with(&filter.answers).filter(|_| !is_narrow);
            let arrived = (filter.since, filter.until);
            let mut conditions = match &failed {
                Some(_) => DeliveryFilter { answers: Vec::new(), ..filter }.conditions(),
                None => filter.conditions(),
            };
            let mut from = (FROM, ROW);
            if let Some(failed) = failed {
                from = (FROM_FAILED, "a.delivery_seq");
                let (above, up_to) = arrival_rows(db, "deliveries", arrived.0, arrived.1, spelled)?;
                let within = "a.delivery_seq > ? AND a.delivery_seq <= ?";
                conditions.and(format!("{failed} AND {within}"), [above.into(), up_to.into()]);
            }
            if let Some(events) = few {
                from = (FROM_EVENTS, ROW);
                conditions.and(in_list("d.event_seq"), [as_list(&events).into()]);
            }
            list(db, from, conditions, &slice, wanted)
        })
        .await
    }

    /// The ids of one event's deliveries, in the order of their creation.
    pub async fn deliveries_of_event(
        &self,
        event_id: EventId,
        visible_to: Option<String>,
    ) -> Result<Vec<DeliveryId>> {
        self.read(move |db| {
            let mut conditions = Conditions::default();
            conditions.and(OF_EVENT, [event_id.into()]);
            visible(&mut conditions, visible_to);
            let sql = format!("SELECT d.id {FROM} WHERE {} ORDER BY d.seq", conditions.text());
            db.all(&sql, &values_of(&conditions.into_values()), |row| row.get(0))
        })
        .await
    }
}

/// What lists are ordered by.
const ROW: &str = "d.seq";

pub(crate) const FROM: &str =
    "FROM deliveries d JOIN events e ON e.seq = d.event_seq LEFT JOIN webhooks w ON w.id = d.webhook_id";

/// The same for a few known events. The query names its index, because without statistics SQLite prefers one
/// that saves the sorting.
const FROM_EVENTS: &str = "FROM deliveries d INDEXED BY deliveries_by_event
    JOIN events e ON e.seq = d.event_seq LEFT JOIN webhooks w ON w.id = d.webhook_id";

const OF_EVENT: &str = "d.event_seq = (SELECT seq FROM events WHERE id = ?)";

impl DeliveryFilter {
    /// Its conditions on `d`, `e` and `w` in [`FROM`], without the search in the payload.
    pub(crate) fn conditions(self) -> Conditions {
        let mut conditions = Conditions::default();
        let words: Vec<String> = self.status.iter().map(|status| format!("'{status}'")).collect();
        match words.as_slice() {
            [] => {}
            // Spelled out and alone, so that the index of dead letters is used.
            [one] => conditions.and(format!("d.status = {one}"), []),
            several => conditions.and(format!("d.status IN ({})", several.join(", ")), []),
        }
        conditions.and_if("d.webhook_id = ?", self.webhook_id);
        conditions.and_if(OF_EVENT, self.event_id);
        conditions.and_fits("e", &self.events, false);
        conditions.and_if("e.station_id = ?", self.station_id);
        conditions.and_if("e.owner_id = ?", self.owner_id);
        conditions.and_arrived(("deliveries", "d", "created_at_ms"), self.since, self.until, spelled);
        if !self.answers.is_empty() {
            conditions.and(last_answered(&self.answers), []);
        }
        if self.min_attempts > Some(1) {
            // Spelled as in the index `deliveries_tried_again`.
            conditions.and("d.attempts > 1", []);
        }
        conditions.and_if("d.attempts >= ?", self.min_attempts.map(i64::from));
        visible(&mut conditions, self.visible_to);
        conditions
    }
}

/// Adds the condition that an owner may see the delivery. Deliveries of a webhook without owner are for the
/// operator alone, even if the event belongs to an owner.
pub(crate) fn visible(conditions: &mut Conditions, to: Option<String>) {
    if let Some(owner) = to {
        // An owner also sees events that were directed or broadcast to the owner's webhook.
        conditions.and(
            "((e.owner_id = ? AND (w.id IS NULL OR w.owner_id = e.owner_id))
              OR (e.owner_id IS NULL AND e.target IS NOT NULL AND w.owner_id = ?))",
            [owner.clone().into(), owner.into()],
        );
    }
}

/// The id that begins with this moment.
fn spelled(least: u128) -> String {
    DeliveryId::from_value(least).to_string()
}

/// The payload's column in the query of [`list`].
const PAYLOAD: usize = 9;

fn list(
    db: &Read<'_>,
    (from, key): (&str, &str),
    conditions: Conditions,
    slice: &Slice,
    wanted: Option<Wanted>,
) -> Result<Listed<Delivery>> {
    let select = format!(
        "SELECT d.seq, d.id, e.id, e.event, d.webhook_id, d.sequence, coalesce(d.url, w.url), e.station_id,
                e.owner_id, e.payload, d.status, d.last_error_code, d.last_error_message,
                d.due_at_ms + {WALL_OFFSET_MS}, d.order_station IS NOT NULL,
                d.order_station IS NOT NULL AND EXISTS (
                    SELECT 1 FROM deliveries o WHERE {ORDERED_LIVE} AND o.webhook_id = d.webhook_id
                        AND o.order_station = d.order_station AND o.seq < d.seq),
                coalesce(w.status = 'paused', FALSE), d.created_at_ms, d.completed_at_ms,
                coalesce(d.webhook_id, -d.origin_id),
                CASE WHEN d.status = 'discarded' THEN d.discarded_because END
         {from}"
    );
    let fits = wanted.map(|wanted| move |row: &Row<'_>| Ok(wanted.is_in(row.text(PAYLOAD)?)));
    let mut listed = page_of(db, &select, &[key], conditions, slice, fits, read)?;
    for delivery in &mut listed.rows {
        delivery.attempts = attempts(db, delivery.row)?;
    }
    Ok(listed)
}

/// Reads a row of [`list`], without the attempts.
fn read(row: &Row<'_>) -> Result<Delivery> {
    Ok(Delivery {
        row: row.get(0)?,
        id: row.get(1)?,
        event_id: row.get(2)?,
        event: row.get(3)?,
        webhook_id: row.get(4)?,
        sequence: row.get(5)?,
        url: row.get(6)?,
        station_id: row.get(7)?,
        owner_id: row.get(8)?,
        payload: row.get(PAYLOAD)?,
        status: row.parsed(10)?,
        attempts: Vec::new(),
        last_error: error(row, 11)?,
        next_attempt_at: row.get(13)?,
        ordered: row.get(14)?,
        behind_another: row.get(15)?,
        paused: row.get(16)?,
        created_at: row.get(17)?,
        completed_at: row.get(18)?,
        lane: row.get(19)?,
        discarded_because: row.maybe_parsed(20)?,
    })
}

fn attempts(db: &Read<'_>, delivery: DeliveryRow) -> Result<Vec<Attempt>> {
    db.all(
        "SELECT number, trigger, started_at_ms, duration_ms, status_code, error_code, error_message,
                response_headers, response_body FROM attempts WHERE delivery_seq = ?1 ORDER BY number",
        params![delivery],
        |row| {
            Ok(Attempt {
                number: row.get(0)?,
                trigger: row.parsed(1)?,
                started_at: row.get(2)?,
                duration_ms: row.get::<Option<i64>>(3)?.map(|ms| ms.max(0) as u64),
                status_code: row.get(4)?,
                error: error(row, 5)?,
                response_headers: row.maybe_json(7)?,
                response_body: row.get(8)?,
            })
        },
    )
}

/// The code in this column and the message in the next one.
fn error(row: &Row<'_>, column: usize) -> Result<Option<DeliveryError>> {
    let Some(code) = row.maybe_parsed(column)? else { return Ok(None) };
    Ok(Some(DeliveryError { code, message: row.get::<Option<String>>(column + 1)?.unwrap_or_default() }))
}
