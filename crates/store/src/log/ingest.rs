//! Events that integrators bring, and where they go.

use std::fmt;

use crate::engine::sql::{ToParam, params};
use crate::engine::tx::Tx;
use crate::error::Result;
use crate::log::append::{self, AppendOptions, Owner};
use crate::secrecy::vault::cell;
use crate::{LogPosition, Priority, Scope, Store};
use vocabulary::delivery::DeliveryStatus;
use vocabulary::event::{NewEvent, Target};
use vocabulary::id::{DeliveryId, EventId, WebhookId};

/// Whom an ingested event is for.
#[derive(Clone, PartialEq, Eq)]
pub enum Destination {
    /// This webhook, whatever it subscribes to.
    Webhook(WebhookId),
    /// The owner's subscribed webhooks, and those without owner.
    Owner(String),
    /// Every subscribed webhook.
    Broadcast,
    /// A URL that came with the event.
    Url {
        /// Where to.
        url: String,
        /// Scheme, host and port of it: deliveries to one origin share a lane.
        origin: String,
        /// What signs (`whsec_…`); `None`: it is sent unsigned.
        secret: Option<String>,
    },
}

impl fmt::Debug for Destination {
    /// A URL may have a secret in its query.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Webhook(id) => f.debug_tuple("Webhook").field(id).finish(),
            Self::Owner(owner) => f.debug_tuple("Owner").field(owner).finish(),
            Self::Broadcast => f.write_str("Broadcast"),
            Self::Url { origin, .. } => f.debug_struct("Url").field("origin", origin).finish_non_exhaustive(),
        }
    }
}

/// An event that an integrator brings.
#[derive(Clone)]
pub struct NewIngest {
    /// The event itself.
    pub event: NewEvent,
    /// Whom it is for.
    pub destination: Destination,
    /// Headers that are sent along, as a JSON object.
    pub custom_headers: Option<String>,
    /// Events of one owner with the same key are one event, and repeats of it.
    pub idempotency_key: Option<String>,
    /// The owner whose key brings it: it gets this owner, and goes to nobody else.
    pub bound_to: Option<String>,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IngestOutcome {
    /// It is stored.
    Stored {
        /// The event.
        id: EventId,
        /// How many deliveries it has that the caller's key may see, discarded ones included.
        deliveries: u64,
        /// It repeats another one, and has none.
        duplicate: bool,
    },
    /// There is no such webhook, or it is another owner's.
    UnknownWebhook,
    /// The key is bound to an owner that has no such station.
    UnknownStation,
}

impl Store {
    /// Stores an ingested event with its deliveries. One whose idempotency key was used before, by the same
    /// owner, is stored as a repeat of the first and goes nowhere.
    pub async fn ingest(&self, new: NewIngest) -> Result<IngestOutcome> {
        let priority = Priority::Api.of_bytes(new.event.payload.get().len());
        self.write(priority, Scope::Installation, move |w| ingest(w, &new)).await
    }
}

/// A station or webhook that there is.
struct Known {
    owner_id: Option<String>,
}

/// Where an event goes.
struct Address {
    target: Target,
    owner_id: Option<String>,
}

impl NewIngest {
    /// Whether the key is bound to an owner that does not own this.
    fn may_not_use(&self, known: &Known) -> bool {
        self.bound_to.is_some() && known.owner_id != self.bound_to
    }
}

fn ingest(w: &mut Tx<'_>, new: &NewIngest) -> Result<IngestOutcome> {
    let address = match address(w, new)? {
        Ok(address) => address,
        Err(refused) => return Ok(refused),
    };
    let duplicate_of = first_of_its_key(w, address.owner_id.as_deref(), new)?;
    let options = AppendOptions {
        duplicate_of,
        uncounted: true,
        owner: Owner::Known(address.owner_id.as_deref()),
        target: address.target,
        custom_headers: new.custom_headers.as_deref(),
        idempotency_key: new.idempotency_key.as_deref(),
        ..AppendOptions::default()
    };
    let position = append::append(w, &new.event, options)?;
    if let (Destination::Url { url, origin, secret }, None) = (&new.destination, duplicate_of) {
        deliver_to_url(w, position, url, origin, secret.as_deref())?;
    }
    Ok(IngestOutcome::Stored {
        id: w.one("SELECT id FROM events WHERE seq = ?1", params![position], |row| row.get(0))?,
        deliveries: count_deliveries(w, position, new.bound_to.as_deref())?,
        duplicate: duplicate_of.is_some(),
    })
}

/// Whom the event is for and whose it is, or why it is refused.
fn address(w: &Tx<'_>, new: &NewIngest) -> Result<std::result::Result<Address, IngestOutcome>> {
    let mut of_station = None;
    if let Some(station) = &new.event.station_id {
        let station = known(w, "SELECT owner_id FROM stations WHERE station_id = ?1", station)?;
        // A bound key sees the stations of its owner and no others, whether others have them or nobody.
        if new.bound_to.is_some() && station.as_ref().is_none_or(|station| new.may_not_use(station)) {
            return Ok(Err(IngestOutcome::UnknownStation));
        }
        of_station = station.and_then(|station| station.owner_id);
    }
    let (target, owner_id) = match &new.destination {
        Destination::Webhook(id) => match known(w, "SELECT owner_id FROM webhooks WHERE id = ?1", id)? {
            Some(webhook) if !new.may_not_use(&webhook) => {
                (Target::Webhook(*id), webhook.owner_id.or(of_station))
            }
            _ => return Ok(Err(IngestOutcome::UnknownWebhook)),
        },
        Destination::Owner(owner) => (Target::Subscribers, Some(owner.clone())),
        Destination::Broadcast => (Target::Broadcast, of_station),
        Destination::Url { .. } => (Target::DirectUrl, of_station),
    };
    Ok(Ok(Address { target, owner_id: new.bound_to.clone().or(owner_id) }))
}

fn known(w: &Tx<'_>, sql: &str, id: &impl ToParam) -> Result<Option<Known>> {
    w.maybe(sql, params![id], |row| Ok(Known { owner_id: row.get(0)? }))
}

/// The event of the same owner that came first with the same key.
fn first_of_its_key(w: &Tx<'_>, owner_id: Option<&str>, new: &NewIngest) -> Result<Option<LogPosition>> {
    let Some(key) = &new.idempotency_key else { return Ok(None) };
    w.maybe(
        "SELECT seq FROM events WHERE coalesce(owner_id, '') = ?1 AND idempotency_key = ?2
             AND idempotency_key IS NOT NULL AND duplicate_of IS NULL",
        params![owner_id.unwrap_or_default(), key],
        |row| row.get(0),
    )
}

/// How many deliveries of an event an owner sees; everybody who is bound to none sees all.
fn count_deliveries(w: &Tx<'_>, event: LogPosition, bound_to: Option<&str>) -> Result<u64> {
    w.one(
        "SELECT count(*) FROM deliveries d LEFT JOIN webhooks w ON w.id = d.webhook_id
         WHERE d.event_seq = ?1 AND (CAST(?2 AS TEXT) IS NULL OR d.webhook_id IS NULL OR w.owner_id = ?2)",
        params![event, bound_to],
        |row| row.get(0),
    )
}

/// The delivery to a URL of the event's own.
fn deliver_to_url(
    w: &mut Tx<'_>,
    event: LogPosition,
    url: &str,
    origin: &str,
    secret: Option<&str>,
) -> Result<()> {
    let known: Option<i64> =
        w.maybe("SELECT id FROM origins WHERE origin = ?1", params![origin], |row| row.get(0))?;
    let origin_id = match known {
        Some(id) => id,
        None => {
            w.one("INSERT INTO origins (origin) VALUES (?1) RETURNING id", params![origin], |row| row.get(0))?
        }
    };
    let id = DeliveryId::from_value(w.mint.next(w.now));
    let secret = secret.map(|secret| w.vault.seal(cell::DELIVERY_SECRET, id, secret)).transpose()?;
    w.run(
        "INSERT INTO deliveries (id, event_seq, url, origin_id, secret, status, due_at_ms, scheduled_at_ms,
                                 created_at_ms)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7, ?8)",
        params![id, event, url, origin_id, secret, DeliveryStatus::Scheduled.as_str(), w.monotonic, w.now],
    )?;
    w.after_commit.lanes.insert(-origin_id);
    Ok(())
}
