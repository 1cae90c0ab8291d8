//! The one way an event gets into the store, and with it the deliveries that follow from it.

use crate::LogPosition;
use crate::engine::counted::WebhookCount;
use crate::engine::job::Foreseen;
use crate::engine::sql::params;
use crate::engine::tx::Tx;
use crate::error::Result;
use crate::log::event_row::{self, Stored};
use crate::secrecy::vault::cell;
use vocabulary::delivery::{DeliveryStatus, DiscardReason};
use vocabulary::event::{NewEvent, Target};
use vocabulary::id::{DeliveryId, EventId, StationId, WebhookId};
use vocabulary::subscription::{Subject, Subscription};

/// The entry of `meta` behind which stations begin to count that nothing is known of: above zero once a
/// backup was restored.
pub(crate) const STATION_SEQ_FLOOR: &str = "station_seq_floor";

/// How an event takes part in counting and delivery, and what comes along with it. Not `Debug`: headers may
/// be secrets.
#[derive(Clone, Copy, Default)]
pub(crate) struct AppendOptions<'a> {
    /// It repeats this event: it is kept and shown, but neither counted nor delivered.
    pub(crate) duplicate_of: Option<LogPosition>,
    /// It is not one of the station's own: it takes no `station_seq`.
    pub(crate) uncounted: bool,
    /// It was made to test a webhook: it is kept and marked, and delivered to nobody by itself.
    pub(crate) test: bool,
    /// The customer it belongs to.
    pub(crate) owner: Owner<'a>,
    /// Whom it is for.
    pub(crate) target: Target,
    /// A JSON object of headers that are sent along.
    pub(crate) custom_headers: Option<&'a str>,
    /// The integrator's key for it.
    pub(crate) idempotency_key: Option<&'a str>,
}

/// The customer an event belongs to.
#[derive(Clone, Copy, Default)]
pub(crate) enum Owner<'a> {
    /// Its station's, which is looked up.
    #[default]
    OfStation,
    /// The caller knows it already; `None` is nobody.
    Known(Option<&'a str>),
}

/// Inserts the event and one delivery per webhook that it fits, in the caller's transaction; returns where it
/// stands.
///
/// The event gets its id, its position and its place in the station's count here, in commit order.
pub(crate) fn append(w: &mut Tx<'_>, event: &NewEvent, options: AppendOptions<'_>) -> Result<LogPosition> {
    let repeats = options.duplicate_of.is_some();
    let counted = !options.uncounted && !options.test && !repeats;
    let station_seq = match (&event.station_id, counted) {
        (Some(station), true) => Some(next_station_seq(w, station)?),
        _ => None,
    };
    let looked_up;
    let owner_id = match (options.owner, &event.station_id) {
        (Owner::Known(owner_id), _) => owner_id,
        (Owner::OfStation, Some(station)) => {
            looked_up = owner_of_station(w, station)?;
            looked_up.as_deref()
        }
        (Owner::OfStation, None) => None,
    };
    let id = EventId::from_value(w.mint.next(w.now));
    let headers = options.custom_headers.map(|headers| w.vault.seal(cell::EVENT_HEADERS, id, headers));
    let stored = Stored {
        id,
        station_seq,
        owner_id,
        duplicate_of: options.duplicate_of,
        test: options.test,
        target: options.target,
        custom_headers: headers.transpose()?,
        idempotency_key: options.idempotency_key,
    };
    let position = event_row::insert(w, event, &stored)?;
    w.after_commit.newest_event = Some(position);
    if !repeats && !options.test {
        create_deliveries(w, event, &stored, position)?;
    }
    Ok(position)
}

/// One delivery per webhook that wants the event.
fn create_deliveries(
    w: &mut Tx<'_>,
    event: &NewEvent,
    stored: &Stored<'_>,
    position: LogPosition,
) -> Result<()> {
    let station_id = event.station_id.as_deref();
    let mut subject = Subject::new(&event.event, event.category, station_id, stored.owner_id, &event.payload);
    subject.target = stored.target;
    for subscription in w.subscriptions.matching(&subject) {
        let id = DeliveryId::from_value(w.mint.next(w.now));
        create_delivery(w, subscription, id, station_id, position)?;
        if subscription.enabled {
            w.after_commit.lanes.insert(subscription.webhook_id);
        }
    }
    Ok(())
}

/// The delivery of an event to a webhook: due at once, or `discarded` where the webhook is disabled.
fn create_delivery(
    w: &Tx<'_>,
    subscription: &Subscription,
    id: DeliveryId,
    station_id: Option<&str>,
    event: LogPosition,
) -> Result<()> {
    let WebhookCount { last: sequence, in_order } = next_in_webhook(w, subscription.webhook_id)?;
    let enabled = subscription.enabled;
    let status = if enabled { DeliveryStatus::Scheduled } else { DeliveryStatus::Discarded };
    w.send(
        "INSERT INTO deliveries (id, event_seq, webhook_id, sequence, status, due_at_ms, scheduled_at_ms,
                                 created_at_ms, completed_at_ms, order_station, discarded_because)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        params![
            id,
            event,
            subscription.webhook_id,
            sequence,
            status.as_str(),
            enabled.then_some(w.monotonic),
            w.monotonic,
            w.now,
            (!enabled).then_some(w.now),
            station_id.filter(|_| in_order),
            (!enabled).then_some(DiscardReason::WebhookDisabled.as_str()),
        ],
    )?;
    Ok(())
}

/// Counts one more delivery of a webhook.
pub(crate) fn next_in_webhook(w: &Tx<'_>, webhook_id: WebhookId) -> Result<WebhookCount> {
    let Some(counted) = w.counted else {
        return w.one(
            "UPDATE webhooks SET last_sequence = last_sequence + 1 WHERE id = ?1
             RETURNING last_sequence, ordering = 'station'",
            params![webhook_id],
            |row| Ok(WebhookCount { last: row.get(0)?, in_order: row.get(1)? }),
        );
    };
    let known = match counted.webhook(webhook_id) {
        Some(known) => known,
        None => w.one(
            "SELECT last_sequence, ordering = 'station' FROM webhooks WHERE id = ?1",
            params![webhook_id],
            |row| Ok(WebhookCount { last: row.get(0)?, in_order: row.get(1)? }),
        )?,
    };
    let next = WebhookCount { last: known.last + 1, ..known };
    w.send("UPDATE webhooks SET last_sequence = ?2 WHERE id = ?1", params![webhook_id, next.last])?;
    counted.set_webhook(webhook_id, next);
    Ok(next)
}

/// How far a station has counted.
const STATION_COUNT: &str = "SELECT last FROM station_sequences WHERE station_id = ?1";

/// What the next event of a station begins with.
pub(crate) fn foreseen(station: &StationId) -> Foreseen {
    Foreseen::new(STATION_COUNT, params![station])
}

fn next_station_seq(w: &Tx<'_>, station: &str) -> Result<i64> {
    let next = match w.counted {
        None => w.maybe(
            "UPDATE station_sequences SET last = last + 1 WHERE station_id = ?1 RETURNING last",
            params![station],
            |row| row.get(0),
        )?,
        Some(counted) => {
            let last: Option<i64> = match counted.station(station) {
                Some(last) => Some(last),
                None => w.maybe(STATION_COUNT, params![station], |row| row.get(0))?,
            };
            let next = last.map(|last| last + 1);
            if let Some(next) = next {
                w.send(
                    "UPDATE station_sequences SET last = ?2 WHERE station_id = ?1",
                    params![station, next],
                )?;
            }
            next
        }
    };
    let next = match next {
        Some(next) => next,
        None => w.one(
            "INSERT INTO station_sequences (station_id, last)
             VALUES (?1, 1 + coalesce((SELECT value FROM meta WHERE key = ?2), 0)) RETURNING last",
            params![station, STATION_SEQ_FLOOR],
            |row| row.get(0),
        )?,
    };
    if let Some(counted) = w.counted {
        counted.set_station(station, next);
    }
    Ok(next)
}

fn owner_of_station(w: &Tx<'_>, station: &str) -> Result<Option<String>> {
    let owner =
        w.maybe("SELECT owner_id FROM stations WHERE station_id = ?1", params![station], |row| row.get(0))?;
    Ok(owner.flatten())
}
