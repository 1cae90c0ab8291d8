//! The one way an event gets into the store, and with it the deliveries that follow from it.

use rusqlite::{OptionalExtension, params};
use serde_json::value::RawValue;

use crate::engine::tx::Tx;
use crate::error::Result;
use crate::secrecy::vault::cell;
use vocabulary::delivery::{DeliveryStatus, DiscardReason};
use vocabulary::event::{Category, NewEvent, Target};
use vocabulary::id::{DeliveryId, EventId, WebhookId};
use vocabulary::ocpp::Violation;
use vocabulary::ocpp::protocol::Protocol;
use vocabulary::subscription::Subject;

/// The entry of `meta` behind which stations begin to count that nothing is known of: above zero once a backup
/// was restored.
pub(crate) const STATION_SEQ_FLOOR: &str = "station_seq_floor";

/// How an event takes part in counting and delivery.
#[derive(Clone, Copy, Default)]
pub(crate) struct Manner<'a> {
    /// It repeats this event (row): it is kept and shown, but neither counted nor delivered.
    pub(crate) duplicate_of: Option<i64>,
    /// It is not one of the station's own: it takes no `station_seq`.
    pub(crate) uncounted: bool,
    /// It was made to test a webhook: it is kept and marked, and delivered to nobody by itself.
    pub(crate) test: bool,
    /// The owner, where the caller knows it already; otherwise the station's is looked up.
    pub(crate) owner_id: Option<Option<&'a str>>,
    /// What came along with it, if an integrator brought it.
    pub(crate) ingested: Option<Ingested<'a>>,
}

/// What comes along with an ingested event. Not `Debug`: headers may be secrets.
#[derive(Clone, Copy)]
pub(crate) struct Ingested<'a> {
    /// Whom it is for.
    pub(crate) target: Target,
    /// A JSON object of headers.
    pub(crate) custom_headers: Option<&'a str>,
    /// The integrator's key for it.
    pub(crate) idempotency_key: Option<&'a str>,
}

/// Inserts the event and one delivery per webhook that matches, in the caller's transaction; returns its row.
///
/// The event gets its id, its row and its place in the station's count here, in commit order.
pub(crate) fn append(w: &mut Tx<'_>, event: &NewEvent, manner: Manner<'_>) -> Result<i64> {
    let counted = !manner.uncounted && !manner.test && manner.duplicate_of.is_none();
    let station_seq = match (&event.station_id, counted) {
        (Some(station), true) => Some(next_station_seq(w, station)?),
        _ => None,
    };
    let looked_up;
    let owner_id = match (manner.owner_id, &event.station_id) {
        (Some(known), _) => known,
        (None, Some(station)) => {
            looked_up = owner_of_station(w, station)?;
            looked_up.as_deref()
        }
        (None, None) => None,
    };
    let target = manner.ingested.map_or(Target::Subscribers, |ingested| ingested.target);
    let id = EventId::from_value(w.mint.next(w.now));
    let custom_headers = manner
        .ingested
        .and_then(|ingested| ingested.custom_headers)
        .map(|headers| w.vault.seal(cell::EVENT_HEADERS, id, headers))
        .transpose()?;
    w.conn
        .prepare_cached(
            "INSERT INTO events (id, event, category, protocol, station_id, station_seq, owner_id, timestamp_ms,
                                 occurred_at_ms, transaction_id, payload, message_id, response, violations, duplicate_of,
                                 test, target, custom_headers, idempotency_key)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19)",
        )?
        .execute(params![
            id.to_string(),
            event.event,
            event.category.as_str(),
            event.protocol.map(Protocol::as_str),
            event.station_id,
            station_seq,
            owner_id,
            event.timestamp.unix_ms(),
            event.occurred_at.map(|at| at.unix_ms()),
            event.transaction_id,
            event.payload.get(),
            event.message_id,
            event.response.as_deref().map(RawValue::get),
            violations_text(&event.violations)?,
            manner.duplicate_of,
            manner.test,
            target.to_text(),
            custom_headers,
            manner.ingested.and_then(|ingested| ingested.idempotency_key),
        ])?;
    let seq = w.conn.last_insert_rowid();
    w.after_commit.newest_event = Some(seq);
    if manner.duplicate_of.is_none() && !manner.test {
        fan_out(w, event, owner_id, target, seq)?;
    }
    Ok(seq)
}

/// One delivery per webhook that wants the event: due at once, or `discarded` where it is disabled.
fn fan_out(
    w: &mut Tx<'_>,
    event: &NewEvent,
    owner_id: Option<&str>,
    target: Target,
    event_seq: i64,
) -> Result<()> {
    let mut subject =
        Subject::new(&event.event, event.category, event.station_id.as_deref(), owner_id, &event.payload);
    subject.about_webhook = about_webhook(event);
    subject.target = target;
    let now_ms = w.now.unix_ms();
    for subscription in w.subscriptions.matching(&subject) {
        let webhook_id = subscription.webhook_id;
        let (sequence, in_order): (i64, bool) = w
            .conn
            .prepare_cached(
                "UPDATE webhooks SET last_sequence = last_sequence + 1 WHERE id = ?1
                 RETURNING last_sequence, ordering = 'station'",
            )?
            .query_row([webhook_id], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let order_station = event.station_id.as_deref().filter(|_| in_order);
        let (status, due, completed) = match subscription.enabled {
            true => (DeliveryStatus::Scheduled, Some(w.monotonic.unix_ms()), None),
            false => (DeliveryStatus::Discarded, None, Some(now_ms)),
        };
        w.conn
            .prepare_cached(
                "INSERT INTO deliveries (id, event_seq, webhook_id, sequence, status, due_at_ms, scheduled_at_ms,
                                         created_at_ms, completed_at_ms, order_station, discarded_because)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?10, ?7, ?8, ?9, ?11)",
            )?
            .execute(params![
                DeliveryId::from_value(w.mint.next(w.now)).to_string(),
                event_seq,
                webhook_id,
                sequence,
                status.as_str(),
                due,
                now_ms,
                completed,
                order_station,
                w.monotonic.unix_ms(),
                (!subscription.enabled).then_some(DiscardReason::WebhookDisabled.as_str()),
            ])?;
        if subscription.enabled {
            w.after_commit.lanes.insert(webhook_id);
        }
    }
    Ok(())
}

/// Operational events name their webhook in the payload, and are never sent to it.
fn about_webhook(event: &NewEvent) -> Option<WebhookId> {
    #[derive(serde::Deserialize)]
    struct About {
        webhook_id: WebhookId,
    }
    if event.category != Category::Webhook {
        return None;
    }
    serde_json::from_str::<About>(event.payload.get()).ok().map(|about| about.webhook_id)
}

fn next_station_seq(w: &Tx<'_>, station: &str) -> Result<i64> {
    let next = w
        .conn
        .prepare_cached("UPDATE station_sequences SET last = last + 1 WHERE station_id = ?1 RETURNING last")?
        .query_row([station], |row| row.get(0))
        .optional()?;
    if let Some(next) = next {
        return Ok(next);
    }
    let first = w
        .conn
        .prepare_cached(
            "INSERT INTO station_sequences (station_id, last)
             VALUES (?1, 1 + coalesce((SELECT value FROM meta WHERE key = ?2), 0)) RETURNING last",
        )?
        .query_row([station, STATION_SEQ_FLOOR], |row| row.get(0))?;
    Ok(first)
}

fn owner_of_station(w: &Tx<'_>, station: &str) -> Result<Option<String>> {
    let owner = w
        .conn
        .prepare_cached("SELECT owner_id FROM stations WHERE station_id = ?1")?
        .query_row([station], |row| row.get(0))
        .optional()?;
    Ok(owner.flatten())
}

fn violations_text(violations: &[Violation]) -> Result<Option<String>> {
    if violations.is_empty() {
        return Ok(None);
    }
    Ok(Some(serde_json::to_string(violations)?))
}
