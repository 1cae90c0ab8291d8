//! Which webhook gets which event: the subscriptions, compiled from the rows of the webhooks.

use tracing::error;

use crate::cells;
use crate::engine::row::Row;
use crate::engine::sql::params;
use crate::engine::tx::Read;
use crate::error::{Result, StoreError, UnreadableSetting};
use vocabulary::id::WebhookId;
use vocabulary::subscription::{Filter, InvalidPattern, StationGlob, Subscription, SubscriptionSet};
use vocabulary::webhook::WebhookStatus;

/// That deliveries are made to the webhook `w`, now or after its pause.
pub(crate) const IS_ENABLED: &str = "w.status IN ('active', 'paused')";

/// The columns that [`read`] takes, of `webhooks`.
const SELECT: &str = "SELECT id, owner_id, events, stations, filter, created_seq, status FROM webhooks";

/// What a webhook is doing, if there is one of this number.
pub(crate) fn webhook_status(db: &Read<'_>, id: WebhookId) -> Result<Option<WebhookStatus>> {
    db.maybe("SELECT status FROM webhooks WHERE id = ?1", params![id], |row| {
        cells::setting(("webhooks", &id, "status"), row.parsed(0))
    })
}

/// The subscription of every webhook that is not out of order, disabled ones included: an event that fits
/// makes a discarded delivery.
pub(crate) fn load_subscriptions(db: &Read<'_>) -> Result<SubscriptionSet> {
    let subscriptions = db.all(&format!("{SELECT} ORDER BY id"), &[], |row| {
        or_out_of_order(row.get(0)?, read(row).map(Some))
    })?;
    Ok(SubscriptionSet::new(subscriptions.into_iter().flatten().collect()))
}

/// One webhook's subscription.
pub(crate) fn load_subscription(db: &Read<'_>, id: WebhookId) -> Result<Option<Subscription>> {
    db.maybe(&format!("{SELECT} WHERE id = ?1"), params![id], read)
}

/// A subscription that cannot be read is left out, and the others go on. A replay of what is missing brings
/// the webhook what it would have got meanwhile.
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

fn read(row: &Row<'_>) -> Result<Subscription> {
    let webhook_id: WebhookId = row.get(0)?;
    let unreadable = |column, reason: &dyn std::fmt::Display| {
        StoreError::from(UnreadableSetting::of_webhook(webhook_id, column, reason))
    };
    let named = |column| ("webhooks", &webhook_id as &dyn std::fmt::Display, column);
    let events: Vec<String> = cells::setting(named("events"), row.json(2))?;
    let stations: Vec<String> = cells::setting(named("stations"), row.json(3))?;
    let filter: Option<serde_json::Value> = cells::setting(named("filter"), row.maybe_json(4))?;
    let pattern = |text: &String| text.parse().map_err(|error: InvalidPattern| unreadable("events", &error));
    Ok(Subscription {
        webhook_id,
        owner_id: row.get::<Option<String>>(1)?.map(Into::into),
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
        enabled: cells::setting(named("status"), row.parsed::<WebhookStatus>(6))?.is_enabled(),
    })
}

/// `["*"]` takes every event, also one without a station; anything else asks for a station.
fn stations_of(patterns: &[String]) -> std::result::Result<Vec<StationGlob>, InvalidPattern> {
    if patterns.iter().any(|pattern| pattern == "*") {
        return Ok(Vec::new());
    }
    patterns.iter().map(|pattern| pattern.parse()).collect()
}
