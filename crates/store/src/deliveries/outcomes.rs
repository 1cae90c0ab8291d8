//! How sends end: one transaction settles the attempt, the delivery, and what follows for the webhook.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};
use serde::Serialize;

use crate::deliveries::auto_disable;
use crate::deliveries::direct_url::{DIRECT_IN_BULK, DIRECT_WAITING, is_origin};
use crate::engine::embedded::raw_cells as cells;
use crate::engine::tx::Tx;
use crate::error::Result;
use crate::log::subscriptions::webhook_status;
use crate::{Priority, Scope, Store};
use vocabulary::api::delivery::DeliveryError;
use vocabulary::clock::Timestamp;
use vocabulary::delivery::{DeliveryStatus, DiscardReason, ErrorCode};
use vocabulary::event::Category;
use vocabulary::id::{DeliveryId, EventId, WebhookId};
use vocabulary::webhook::WebhookStatus;

/// Deliveries that are looked at in one step of [`Store::give_up_waiting`].
const GIVE_UP_STEP: usize = 500;

/// One attempt that has ended.
#[derive(Debug, Clone)]
pub struct Finish {
    /// The delivery's row.
    pub seq: i64,
    /// Its webhook.
    pub webhook_id: WebhookId,
    /// Which attempt.
    pub attempt: u32,
    /// How long it took.
    pub duration: Duration,
    /// What the endpoint answered, if it did.
    pub status_code: Option<u16>,
    /// What went wrong.
    pub error: Option<DeliveryError>,
    /// A few of the answer's headers.
    pub response_headers: Vec<(String, String)>,
    /// The start of the answer's body.
    pub response_body: Option<String>,
    /// What becomes of the delivery.
    pub next: Next,
    /// Webhooks that have failed for this long are disabled; `None`: never.
    pub auto_disable_after: Option<Duration>,
}

/// What becomes of a delivery after an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// It has arrived.
    Delivered,
    /// It is tried again.
    Retry {
        /// Not before this.
        due_at: Timestamp,
    },
    /// Its schedule is used up.
    DeadLetter {
        /// A `DeliveryFailed` event is made of it; else the caller counts it for a later one.
        announce: bool,
    },
    /// The endpoint is gone (410): a dead letter, and the webhook is disabled.
    Gone {
        /// As in [`Next::DeadLetter`].
        announce: bool,
    },
}

/// An attempt that was begun and could not be made, for a reason of our own.
#[derive(Debug, Clone)]
pub struct NotMade {
    /// The delivery's row.
    pub seq: i64,
    /// Which attempt.
    pub attempt: u32,
    /// The reason.
    pub message: String,
    /// It is tried again then.
    pub due_at: Timestamp,
}

/// A dead letter, as a `DeliveryFailed` event tells it.
#[derive(Debug, Clone, Serialize)]
pub struct DeliveryFailure {
    /// The delivery.
    pub delivery_id: DeliveryId,
    /// Its event.
    pub event_id: EventId,
    /// Its webhook; null if it went to a URL of its own.
    #[serde(serialize_with = "webhook_or_null")]
    pub webhook_id: WebhookId,
    /// How often it was tried.
    pub attempts: u32,
    /// Why it failed in the end.
    pub last_error: DeliveryError,
}

fn webhook_or_null<S: serde::Serializer>(
    lane: &WebhookId,
    serializer: S,
) -> std::result::Result<S::Ok, S::Error> {
    Some(*lane).filter(|lane| !is_origin(*lane)).serialize(serializer)
}

/// What a step of giving up did.
#[derive(Debug, Clone, Default)]
pub struct GivenUp {
    /// How many got an event of their own.
    pub told: usize,
    /// Those that no event tells of yet.
    pub untold: Vec<DeliveryFailure>,
    /// There may be more.
    pub more: bool,
}

impl Store {
    /// Settles one attempt: its row, the delivery, the webhook's record of failures, and the events that
    /// tell of a dead letter or of a webhook that was disabled.
    ///
    /// A delivery that was discarded while it was under way stays discarded; one that is to be retried but
    /// whose webhook was disabled meanwhile is discarded.
    ///
    /// # Errors
    /// Only the store's own: nothing was written, and it may be called again.
    pub async fn finish(&self, finish: Finish) -> Result<()> {
        self.write(Priority::Outcome, Scope::Installation, move |w| settle(w, &finish)).await
    }

    /// Takes back an attempt that was not made: the next one has its number, and the schedule goes on from
    /// where it was. The reason is shown until then. A delivery that was discarded meanwhile stays as it
    /// is.
    ///
    /// # Errors
    /// Only the store's own: nothing was written, and it may be called again.
    pub async fn put_back(&self, not_made: NotMade) -> Result<()> {
        self.write(Priority::Outcome, Scope::Installation, move |w| put_back(w, &not_made)).await
    }

    /// Makes dead letters (`circuit_open`) of deliveries that are due and whose schedule began before
    /// `began_before`, looking at the oldest due ones. None if the webhook is paused, or was since then. Returns which ones no event tells of: all behind the
    /// first `announce`.
    pub async fn give_up_waiting(
        &self,
        webhook_id: WebhookId,
        began_before: Timestamp,
        announce: usize,
    ) -> Result<GivenUp> {
        self.write(Priority::Outcome, Scope::Installation, move |w| {
            give_up(w, webhook_id, began_before, announce)
        })
        .await
    }

    /// Stores one `DeliveryFailed` event that stands for `count` dead letters, `latest` being one of them.
    pub async fn announce_failures(&self, latest: DeliveryFailure, count: u64) -> Result<()> {
        self.write(Priority::Outcome, Scope::Installation, move |w| announce(w, &latest, count)).await
    }
}

struct Row {
    id: DeliveryId,
    event_id: EventId,
    category: Category,
    live: bool,
}

fn settle(w: &mut Tx<'_>, finish: &Finish) -> Result<()> {
    close_attempt(w.conn, finish)?;
    let Some(row) = row_of(w.conn, finish)? else { return Ok(()) };
    let webhook = webhook_status(w, finish.webhook_id)?;
    let is_direct = is_origin(finish.webhook_id);
    let enabled = is_direct || webhook.is_some_and(WebhookStatus::is_enabled);
    let (status, due_at, announce_it) = match &finish.next {
        Next::Delivered => (DeliveryStatus::Success, None, false),
        Next::Retry { due_at } if enabled => (DeliveryStatus::Retry, Some(*due_at), false),
        Next::Retry { .. } => (DeliveryStatus::Discarded, None, false),
        Next::DeadLetter { announce } | Next::Gone { announce } => (DeliveryStatus::Failed, None, *announce),
    };
    let discarded_because = match webhook {
        Some(_) => DiscardReason::WebhookDisabled,
        None => DiscardReason::WebhookDeleted,
    };
    if row.live {
        w.conn
            .prepare_cached(
                "UPDATE deliveries SET status = ?2, due_at_ms = ?3, completed_at_ms = ?4, last_error_code = ?5,
                                       last_error_message = ?6, step = step + ?7, discarded_because = ?8 WHERE seq = ?1",
            )?
            .execute(params![
                finish.seq,
                status.as_str(),
                due_at.map(Timestamp::unix_ms),
                due_at.is_none().then_some(w.now.unix_ms()),
                finish.error.as_ref().map(|error| error.code.as_str()),
                finish.error.as_ref().map(|error| &error.message),
                status == DeliveryStatus::Retry,
                (status == DeliveryStatus::Discarded).then_some(discarded_because.as_str()),
            ])?;
    }
    if announce_it
        && row.category != Category::Webhook
        && let Some(last_error) = finish.error.clone()
    {
        let failure = DeliveryFailure {
            delivery_id: row.id,
            event_id: row.event_id,
            webhook_id: finish.webhook_id,
            attempts: finish.attempt,
            last_error,
        };
        announce(w, &failure, 1)?;
    }
    if enabled && !is_direct {
        auto_disable::record(w, finish)?;
    }
    Ok(())
}

fn put_back(w: &Tx<'_>, not_made: &NotMade) -> Result<()> {
    let NotMade { seq, attempt, message, due_at } = not_made;
    let was_live = w
        .conn
        .prepare_cached(
            "UPDATE deliveries SET status = CASE WHEN step = 0 THEN 'scheduled' ELSE 'retry' END, due_at_ms = ?3,
                                   attempts = attempts - 1, last_error_code = ?4, last_error_message = ?5
             WHERE seq = ?1 AND status = 'processing' AND attempts = ?2",
        )?
        .execute(params![seq, attempt, due_at.unix_ms(), ErrorCode::Unreadable.as_str(), message])?;
    if was_live > 0 {
        w.conn
            .prepare_cached("DELETE FROM attempts WHERE delivery_seq = ?1 AND number = ?2")?
            .execute(params![seq, attempt])?;
    }
    Ok(())
}

fn close_attempt(conn: &Connection, finish: &Finish) -> Result<()> {
    let headers: serde_json::Map<String, serde_json::Value> =
        finish.response_headers.iter().map(|(name, value)| (name.clone(), value.clone().into())).collect();
    let headers = (!headers.is_empty()).then(|| serde_json::Value::Object(headers).to_string());
    conn.prepare_cached(
        "UPDATE attempts SET duration_ms = ?3, status_code = ?4, error_code = ?5, error_message = ?6,
                             response_headers = ?7, response_body = ?8 WHERE delivery_seq = ?1 AND number = ?2",
    )?
    .execute(params![
        finish.seq,
        finish.attempt,
        finish.duration.as_millis() as i64,
        finish.status_code,
        finish.error.as_ref().map(|error| error.code.as_str()),
        finish.error.as_ref().map(|error| &error.message),
        headers,
        finish.response_body,
    ])?;
    Ok(())
}

fn row_of(conn: &Connection, finish: &Finish) -> Result<Option<Row>> {
    let row = conn
        .prepare_cached(
            "SELECT d.id, e.id, e.category, d.status = 'processing' AND d.attempts = ?2
         FROM deliveries d JOIN events e ON e.seq = d.event_seq WHERE d.seq = ?1",
        )?
        .query_row(params![finish.seq, finish.attempt], |row| {
            Ok(Row {
                id: cells::parsed(row, 0)?,
                event_id: cells::parsed(row, 1)?,
                category: cells::parsed(row, 2)?,
                live: row.get(3)?,
            })
        })
        .optional()?;
    Ok(row)
}

fn announce(w: &mut Tx<'_>, failure: &DeliveryFailure, count: u64) -> Result<()> {
    #[derive(Serialize)]
    struct Told<'a> {
        #[serde(flatten)]
        failure: &'a DeliveryFailure,
        count: u64,
    }
    auto_disable::append_operational(w, "DeliveryFailed", failure.webhook_id, &Told { failure, count })
}

fn give_up(
    w: &mut Tx<'_>,
    webhook_id: WebhookId,
    began_before: Timestamp,
    announce_max: usize,
) -> Result<GivenUp> {
    if !counts_against(w.conn, webhook_id, began_before)? {
        return Ok(GivenUp::default());
    }
    let too_old = too_old(w.conn, webhook_id, began_before, w.monotonic)?;
    let mut given_up = GivenUp { more: !too_old.is_empty(), ..GivenUp::default() };
    for TooOld { seq, operational, failure } in too_old {
        w.conn
            .prepare_cached(
                "UPDATE deliveries SET status = 'failed', due_at_ms = NULL, completed_at_ms = ?2,
                                       last_error_code = ?3, last_error_message = ?4 WHERE seq = ?1",
            )?
            .execute(params![
                seq,
                w.now.unix_ms(),
                failure.last_error.code.as_str(),
                failure.last_error.message
            ])?;
        if operational {
            continue;
        }
        if given_up.told < announce_max {
            announce(w, &failure, 1)?;
            given_up.told += 1;
        } else {
            given_up.untold.push(failure);
        }
    }
    Ok(given_up)
}

/// Whether age counts: not in a pause, and after one only from its end on.
fn counts_against(conn: &Connection, webhook_id: WebhookId, began_before: Timestamp) -> Result<bool> {
    if is_origin(webhook_id) {
        return Ok(true);
    }
    let mut active = conn.prepare_cached(
        "SELECT 1 FROM webhooks WHERE id = ?1 AND status = 'active' AND coalesce(resumed_at_ms < ?2, TRUE)",
    )?;
    Ok(active.exists(params![webhook_id, began_before.unix_ms()])?)
}

/// A delivery whose schedule has run out while the breaker kept it from being tried.
struct TooOld {
    seq: i64,
    /// Its event tells of a webhook itself: no failure of it is told in turn.
    operational: bool,
    failure: DeliveryFailure,
}

fn too_old(
    conn: &Connection,
    webhook_id: WebhookId,
    began_before: Timestamp,
    now: Timestamp,
) -> Result<Vec<TooOld>> {
    let last_error = DeliveryError {
        code: ErrorCode::CircuitOpen,
        message: "the endpoint was down for longer than the retry schedule lasts".to_owned(),
    };
    let by_time = |which: &str| format!("{which} AND due_at_ms <= ?2 ORDER BY due_at_ms, seq");
    let unordered = by_time(crate::log::waiting_deliveries::UNORDERED_WAITING);
    let bulk = by_time(crate::log::waiting_deliveries::BULK_WAITING);
    let ordered = format!("{} ORDER BY order_station, seq", crate::log::waiting_deliveries::ORDERED_LIVE);
    let direct = vec![by_time(DIRECT_WAITING), by_time(DIRECT_IN_BULK)];
    let (of_lane, lanes) = match is_origin(webhook_id) {
        true => ("origin_id = -?1", direct),
        false => ("webhook_id = ?1", vec![unordered, ordered, bulk]),
    };
    let mut found = Vec::new();
    for waiting in lanes {
        // Bounded by what is looked at, not by what is found: a long backlog must not hold up the writer.
        let mut statement = conn.prepare_cached(&format!(
            "SELECT o.seq, e.category = 'webhook', o.id, e.id, o.attempts
             FROM (SELECT seq, id, event_seq, attempts, scheduled_at_ms, due_at_ms FROM deliveries
                   WHERE {of_lane} AND {waiting} LIMIT ?4) o
             JOIN events e ON e.seq = o.event_seq
             WHERE o.scheduled_at_ms < ?3 AND o.due_at_ms <= ?2"
        ))?;
        let mut rows = statement.query(params![
            webhook_id,
            now.unix_ms(),
            began_before.unix_ms(),
            GIVE_UP_STEP as i64
        ])?;
        while let Some(row) = rows.next()? {
            let failure = DeliveryFailure {
                delivery_id: cells::parsed(row, 2)?,
                event_id: cells::parsed(row, 3)?,
                webhook_id,
                attempts: row.get(4)?,
                last_error: last_error.clone(),
            };
            found.push(TooOld { seq: row.get(0)?, operational: row.get(1)?, failure });
        }
    }
    Ok(found)
}

/// Settles what the last run left under way: its open attempt shows `outcome_unknown`, and it is due at
/// once. Waiting retries keep their time. For [`Store::open`], before anything is claimed.
pub(crate) fn recover(conn: &Connection, now: Timestamp) -> Result<()> {
    const MESSAGE: &str = "the gateway stopped while the attempt was under way";
    conn.execute(
        "UPDATE attempts SET error_code = ?1, error_message = ?2
         WHERE duration_ms IS NULL AND error_code IS NULL
           AND (delivery_seq, number) IN (SELECT seq, attempts FROM deliveries WHERE status = 'processing')",
        params![ErrorCode::OutcomeUnknown.as_str(), MESSAGE],
    )?;
    let interrupted = conn.execute(
        "UPDATE deliveries SET status = 'retry', due_at_ms = ?1, last_error_code = ?2, last_error_message = ?3
         WHERE status = 'processing'",
        params![now.unix_ms(), ErrorCode::OutcomeUnknown.as_str(), MESSAGE],
    )?;
    if interrupted > 0 {
        tracing::info!(
            "{interrupted} deliveries were under way when the gateway stopped; they are due again"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests;
