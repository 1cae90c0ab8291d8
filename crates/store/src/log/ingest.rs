//! Events that integrators bring, and where they go.

use std::fmt;

use rusqlite::{OptionalExtension, params};

use crate::engine::tx::Tx;
use crate::error::{Result, StoreError};
use crate::log::append;
use crate::log::append::{Ingested, Manner};
use crate::log::event_row;
use crate::secrecy::vault::cell;
use crate::{Priority, Scope, Store};
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
        /// How many deliveries it has that who brought it may see, discarded ones included.
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

fn owner(w: &Tx<'_>, sql: &str, of: impl rusqlite::ToSql) -> Result<Option<Option<String>>> {
    Ok(w.conn.prepare_cached(sql)?.query_row([of], |row| row.get(0)).optional()?)
}

fn ingest(w: &mut Tx<'_>, new: &NewIngest) -> Result<IngestOutcome> {
    let foreign = |of: &Option<String>| new.bound_to.is_some() && *of != new.bound_to;
    let mut of_station = None;
    if let Some(station) = &new.event.station_id {
        let known = owner(w, "SELECT owner_id FROM stations WHERE station_id = ?1", station)?;
        // For a bound key there are its own stations and no others, whether others have them or nobody.
        if new.bound_to.is_some() && known.as_ref().is_none_or(foreign) {
            return Ok(IngestOutcome::UnknownStation);
        }
        of_station = known.flatten();
    }
    let (target, owner_id) = match &new.destination {
        Destination::Webhook(id) => match owner(w, "SELECT owner_id FROM webhooks WHERE id = ?1", id)? {
            Some(of_webhook) if !foreign(&of_webhook) => (Target::Webhook(*id), of_webhook.or(of_station)),
            _ => return Ok(IngestOutcome::UnknownWebhook),
        },
        Destination::Owner(owner) => (Target::Subscribers, Some(owner.clone())),
        Destination::Broadcast => (Target::Broadcast, of_station),
        Destination::Url { .. } => (Target::DirectUrl, of_station),
    };
    let owner_id = new.bound_to.clone().or(owner_id);
    let first: Option<i64> = match &new.idempotency_key {
        None => None,
        Some(key) => w
            .conn
            .prepare_cached(
                "SELECT seq FROM events WHERE coalesce(owner_id, '') = ?1 AND idempotency_key = ?2
                     AND idempotency_key IS NOT NULL AND duplicate_of IS NULL",
            )?
            .query_row(params![owner_id.as_deref().unwrap_or_default(), key], |row| row.get(0))
            .optional()?,
    };
    let ingested = Ingested {
        target,
        custom_headers: new.custom_headers.as_deref(),
        idempotency_key: new.idempotency_key.as_deref(),
    };
    let manner = Manner {
        duplicate_of: first,
        uncounted: true,
        owner_id: Some(owner_id.as_deref()),
        ingested: Some(ingested),
        ..Manner::default()
    };
    let seq = append::append(w, &new.event, manner)?;
    if let (Destination::Url { url, origin, secret }, None) = (&new.destination, first) {
        deliver_to_url(w, seq, url, origin, secret.as_deref())?;
    }
    let deliveries: i64 = w
        .conn
        .prepare_cached(
            "SELECT count(*) FROM deliveries d LEFT JOIN webhooks w ON w.id = d.webhook_id
             WHERE d.event_seq = ?1 AND (?2 IS NULL OR d.webhook_id IS NULL OR w.owner_id = ?2)",
        )?
        .query_row(params![seq, new.bound_to], |row| row.get(0))?;
    let event = event_row::by_seq(w.conn, seq)?
        .ok_or_else(|| StoreError::Corrupt(format!("event {seq} vanished as it was stored")))?;
    Ok(IngestOutcome::Stored {
        id: event.id,
        deliveries: deliveries.max(0) as u64,
        duplicate: first.is_some(),
    })
}

/// The delivery to a URL of the event's own.
fn deliver_to_url(
    w: &mut Tx<'_>,
    event_seq: i64,
    url: &str,
    origin: &str,
    secret: Option<&str>,
) -> Result<()> {
    let known: Option<i64> = w
        .conn
        .prepare_cached("SELECT id FROM origins WHERE origin = ?1")?
        .query_row([origin], |row| row.get(0))
        .optional()?;
    let origin_id = match known {
        Some(id) => id,
        None => {
            w.conn.prepare_cached("INSERT INTO origins (origin) VALUES (?1)")?.execute([origin])?;
            w.conn.last_insert_rowid()
        }
    };
    let id = DeliveryId::from_value(w.mint.next(w.now));
    let secret = secret.map(|secret| w.vault.seal(cell::DELIVERY_SECRET, id, secret)).transpose()?;
    w.conn
        .prepare_cached(
            "INSERT INTO deliveries (id, event_seq, url, origin_id, secret, status, due_at_ms, scheduled_at_ms,
                                     created_at_ms)
             VALUES (?1, ?2, ?3, ?4, ?5, 'scheduled', ?6, ?6, ?7)",
        )?
        .execute(params![
            id.to_string(),
            event_seq,
            url,
            origin_id,
            secret,
            w.monotonic.unix_ms(),
            w.now.unix_ms(),
        ])?;
    w.after_commit.lanes.insert(-origin_id);
    Ok(())
}
