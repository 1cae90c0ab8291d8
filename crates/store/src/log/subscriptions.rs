//! Which webhook gets which event: the subscriptions, compiled from the rows of the webhooks.

use rusqlite::{Connection, OptionalExtension, Row};
use tracing::error;

use crate::engine::embedded::raw_cells as cells;
use crate::error::{Result, StoreError, UnreadableSetting};
use vocabulary::id::WebhookId;
use vocabulary::subscription::{Filter, InvalidPattern, StationGlob, Subscription, SubscriptionSet};
use vocabulary::webhook::WebhookStatus;

/// That deliveries are made to the webhook `w`, now or after its pause.
pub(crate) const IS_ENABLED: &str = "w.status IN ('active', 'paused')";

/// What a webhook is doing, if there is one of this number.
pub(crate) fn webhook_status(conn: &Connection, id: WebhookId) -> Result<Option<WebhookStatus>> {
    let status = conn
        .prepare_cached("SELECT status FROM webhooks WHERE id = ?1")?
        .query_row([id], |row| cells::setting(("webhooks", &id, "status"), cells::parsed(row, 0)))
        .optional()?;
    Ok(status)
}

/// The subscription of every webhook that is not out of order, disabled ones included: a matching event
/// makes a discarded delivery.
pub(crate) fn load_subscriptions(conn: &Connection) -> Result<SubscriptionSet> {
    let mut statement = conn.prepare_cached(
        "SELECT id, owner_id, events, stations, filter, created_seq, status FROM webhooks ORDER BY id",
    )?;
    let mut rows = statement.query([])?;
    let mut subscriptions = Vec::new();
    while let Some(row) = rows.next()? {
        let subscription = read_subscription(row).map(Some);
        subscriptions.extend(or_out_of_order(row.get(0)?, subscription)?);
    }
    Ok(SubscriptionSet::new(subscriptions))
}

/// One webhook's subscription.
pub(crate) fn load_subscription(conn: &Connection, id: WebhookId) -> Result<Option<Subscription>> {
    let mut statement = conn.prepare_cached(
        "SELECT id, owner_id, events, stations, filter, created_seq, status FROM webhooks WHERE id = ?1",
    )?;
    let mut rows = statement.query([id])?;
    rows.next()?.map(read_subscription).transpose()
}

/// One that cannot be read keeps the others from nothing. What it would have got while it is out of order
/// is brought by a replay of what is missing.
pub(crate) fn or_out_of_order(
    id: WebhookId,
    read: Result<Option<Subscription>>,
) -> Result<Option<Subscription>> {
    match read {
        Err(error @ (StoreError::Setting(_) | StoreError::Corrupt(_) | StoreError::Cell(_))) => {
            error!(webhook.id = id, "webhook {id} is out of order, it gets no events: {error}");
            Ok(None)
        }
        read => read,
    }
}

fn read_subscription(row: &Row<'_>) -> Result<Subscription> {
    let webhook_id: WebhookId = row.get(0)?;
    let unreadable = |column, reason: &dyn std::fmt::Display| {
        StoreError::from(UnreadableSetting::of_webhook(webhook_id, column, reason))
    };
    let named = |column| ("webhooks", &webhook_id as &dyn std::fmt::Display, column);
    let events: Vec<String> = cells::setting(named("events"), cells::json(row, 2))?;
    let stations: Vec<String> = cells::setting(named("stations"), cells::json(row, 3))?;
    let filter: Option<serde_json::Value> = cells::setting(named("filter"), cells::maybe_json(row, 4))?;
    let pattern = |text: &String| text.parse().map_err(|error: InvalidPattern| unreadable("events", &error));
    Ok(Subscription {
        webhook_id,
        owner_id: row.get::<_, Option<String>>(1)?.map(Into::into),
        events: events.iter().map(pattern).collect::<Result<_>>()?,
        stations: stations_of(&stations).map_err(|error| unreadable("stations", &error))?,
        filter: match filter {
            None => None,
            Some(json) => Some(Filter::parse(&json).map_err(|errors| match errors.first() {
                Some(error) => unreadable("filter", error),
                None => unreadable("filter", &"it is none"),
            })?),
        },
        created_seq: row.get(5)?,
        enabled: cells::setting(named("status"), cells::parsed::<WebhookStatus>(row, 6))?.is_enabled(),
    })
}

/// `["*"]` takes every event, also one without a station; anything else asks for a station.
fn stations_of(patterns: &[String]) -> std::result::Result<Vec<StationGlob>, InvalidPattern> {
    if patterns.iter().any(|pattern| pattern == "*") {
        return Ok(Vec::new());
    }
    patterns.iter().map(|pattern| pattern.parse()).collect()
}
