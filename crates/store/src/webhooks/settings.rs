//! Webhooks: made, changed, switched off and on, removed; and the subscriptions that follow from them.
//!
//! **Invariant**: every write here replaces the webhook's compiled subscription in the same transaction,
//! so that the next event in the same batch is already judged by them.

use crate::log::subscriptions::{load_subscription, or_out_of_order};
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::engine::embedded::raw_cells as cells;
use crate::engine::tx::Tx;
use crate::error::{Result, StoreError};
use crate::listing::{Conditions, Listed, Slice, page};
use crate::secrecy::vault::{Vault, cell};
use crate::{Priority, Scope, Store};
use vocabulary::api::webhook::{Webhook, WebhookInput};
use vocabulary::clock::Timestamp;
use vocabulary::id::WebhookId;
use vocabulary::units::Span;
use vocabulary::webhook::WebhookStatus;

/// A webhook with what only the gateway may know.
#[derive(Clone)]
pub struct StoredWebhook {
    /// What is shown of it.
    pub webhook: Webhook,
    /// The value of its secret header.
    pub secret_value: Option<String>,
    /// What signs its deliveries (`whsec_…`).
    pub signing_secret: String,
}

impl std::fmt::Debug for StoredWebhook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoredWebhook").field("webhook", &self.webhook).finish_non_exhaustive()
    }
}

/// What became of a change.
#[derive(Debug, Clone)]
pub enum Changed<T> {
    /// It was made.
    Done(T),
    /// Nothing was changed: it is not what it was when it was read.
    Stale,
    /// Nothing was changed: there is none.
    Unknown,
}

const COLUMNS: &str = "id, name, url, status, disabled_reason, events, stations, owner_id, secret_header,
    secret_value IS NOT NULL, format, custom_headers, filter, ordering, ordering_max_wait_ms, timeout_ms,
    retry_schedule, max_in_flight, rate_limit, created_at_ms, updated_at_ms, secret_value, signing_secret,
    paused_at_ms, paused_until_ms, paused_reason";

impl Store {
    /// Makes a webhook, unless its owner has `at_most` so many; events that are appended after this are
    /// judged by it. `input` must have been checked, and have its `signing_secret`.
    pub async fn create_webhook(&self, input: WebhookInput, at_most: u32) -> Result<Option<Webhook>> {
        self.write(Priority::Api, Scope::Installation, move |w| {
            let own: u32 = w
                .conn
                .prepare_cached("SELECT count(*) FROM webhooks WHERE owner_id IS ?1")?
                .query_row([&input.owner_id], |row| row.get(0))?;
            if own >= at_most {
                return Ok(None);
            }
            // Known before it is inserted, because secrets are sealed for their row.
            let id = next_id(w)?;
            let (status, reason) = match input.enabled {
                true => (WebhookStatus::Active, None),
                false => (WebhookStatus::Disabled, Some(BY_REQUEST)),
            };
            save(w, id, &input, status, reason)?;
            changed(w, id)?;
            shown(w, id).map(Some)
        })
        .await
    }

    /// The webhook of this number, with its secrets.
    pub async fn webhook(&self, id: WebhookId) -> Result<Option<StoredWebhook>> {
        let vault = self.vault();
        self.read(move |conn| stored(conn, &vault, id)).await
    }

    /// One page of the webhooks, in the order they were made.
    pub async fn webhooks(
        &self,
        owner_id: Option<String>,
        status: Option<WebhookStatus>,
        (since, until): (Option<Timestamp>, Option<Timestamp>),
        slice: Slice,
    ) -> Result<Listed<Webhook>> {
        let vault = self.vault();
        self.read(move |conn| {
            let mut conditions = Conditions::default();
            conditions.and_if("owner_id = ?", owner_id);
            conditions.and_if("status = ?", status.map(|status| status.as_str().to_owned()));
            conditions.and_at("created_at_ms >= ?", since);
            conditions.and_at("created_at_ms < ?", until);
            let select = format!("SELECT {COLUMNS} FROM webhooks");
            page(conn, &select, &["id"], conditions, &slice, |row| {
                Ok(read(row.raw(), &vault).map(|stored| stored.webhook)?)
            })
        })
        .await
    }

    /// Replaces all that is written in a webhook, secrets included, if it was last changed at `read_at`.
    /// Switching it off discards what waits for it; switching it on puts it back to work.
    pub async fn replace_webhook(
        &self,
        id: WebhookId,
        read_at: Timestamp,
        input: WebhookInput,
    ) -> Result<Changed<Webhook>> {
        self.write(Priority::Api, Scope::Installation, move |w| {
            let Some(before) = stored(w.conn, w.vault, id)? else { return Ok(Changed::Unknown) };
            if before.webhook.updated_at != read_at {
                return Ok(Changed::Stale);
            }
            let before = before.webhook;
            let (status, reason) = match (input.enabled, before.enabled) {
                (true, false) => (WebhookStatus::Active, None),
                (false, true) => (WebhookStatus::Disabled, Some(BY_REQUEST)),
                _ => (before.status, before.disabled_reason.as_deref()),
            };
            save(w, id, &input, status, reason)?;
            if !input.enabled {
                // A first step; the engine, told of the change, takes the others.
                crate::log::waiting_deliveries::discard_waiting(w, id)?;
            }
            changed(w, id)?;
            shown(w, id).map(Changed::Done)
        })
        .await
    }

    /// Puts a webhook that was switched off back to work; `None` if there is none.
    pub async fn enable_webhook(&self, id: WebhookId) -> Result<Option<Webhook>> {
        self.write(Priority::Api, Scope::Installation, move |w| {
            w.conn
                .prepare_cached(
                    "UPDATE webhooks SET status = 'active', disabled_reason = NULL, failing_since_ms = NULL,
                            updated_at_ms = max(?2, updated_at_ms + 1)
                     WHERE id = ?1 AND status IN ('disabled', 'auto_disabled')",
                )?
                .execute(params![id, w.now.unix_ms()])?;
            changed(w, id)?;
            stored(w.conn, w.vault, id).map(|found| found.map(|stored| stored.webhook))
        })
        .await
    }

    /// Removes a webhook, if `read_at` is not given or it was last changed then; what waits for it is
    /// discarded, what was delivered stays in the lists.
    pub async fn delete_webhook(&self, id: WebhookId, read_at: Option<Timestamp>) -> Result<Changed<()>> {
        self.write(Priority::Api, Scope::Installation, move |w| {
            let updated_at: Option<i64> = w
                .conn
                .prepare_cached("SELECT updated_at_ms FROM webhooks WHERE id = ?1")?
                .query_row([id], |row| row.get(0))
                .optional()?;
            let Some(updated_at) = updated_at else { return Ok(Changed::Unknown) };
            if read_at.is_some_and(|read_at| read_at.unix_ms() != updated_at) {
                return Ok(Changed::Stale);
            }
            w.conn.prepare_cached("DELETE FROM webhooks WHERE id = ?1")?.execute([id])?;
            // A first step; the engine, told of the change, takes the others.
            crate::log::waiting_deliveries::discard_waiting(w, id)?;
            changed(w, id)?;
            Ok(Changed::Done(()))
        })
        .await
    }
}

/// The number that the next webhook gets.
pub(crate) fn next_id(w: &Tx<'_>) -> Result<WebhookId> {
    let next = w
        .conn
        .prepare_cached("SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'webhooks'), 0) + 1")?
        .query_row([], |row| row.get(0))?;
    Ok(next)
}

/// What of a webhook is, or may be, secret, as it is stored.
struct Sealed {
    signing_secret: String,
    secret_value: Option<String>,
    custom_headers: String,
}

impl Sealed {
    fn of(w: &Tx<'_>, id: WebhookId, input: &WebhookInput) -> Result<Self> {
        let signing_secret = input
            .signing_secret
            .as_deref()
            .ok_or_else(|| StoreError::Corrupt(format!("webhook {id} has no signing secret")))?;
        let secret_value = input.secret_value.as_deref();
        Ok(Self {
            signing_secret: w.vault.seal(cell::SIGNING_SECRET, id, signing_secret)?,
            secret_value: secret_value
                .map(|value| w.vault.seal(cell::SECRET_VALUE, id, value))
                .transpose()?,
            custom_headers: match input.custom_headers.is_empty() {
                true => cells::NO_HEADERS.to_owned(),
                false => {
                    w.vault.seal(cell::WEBHOOK_HEADERS, id, &serde_json::to_string(&input.custom_headers)?)?
                }
            },
        })
    }
}

/// Why a webhook is disabled that nobody but its owner disabled.
const BY_REQUEST: &str = "disabled through the API";

/// Writes all that is written in a webhook: a new row, or over the one that is there. A pause goes on only while it stays
/// paused, and one that is put back to work has not failed yet.
fn save(
    w: &Tx<'_>,
    id: WebhookId,
    input: &WebhookInput,
    status: WebhookStatus,
    disabled_reason: Option<&str>,
) -> Result<()> {
    let secrets = Sealed::of(w, id, input)?;
    w.conn
        .prepare_cached(
            "INSERT INTO webhooks (id, name, url, status, disabled_reason, events, stations, owner_id, secret_header,
                secret_value, signing_secret, format, custom_headers, filter, ordering, ordering_max_wait_ms,
                timeout_ms, retry_schedule, max_in_flight, rate_limit, created_at_ms, updated_at_ms, created_seq)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?21,
                (SELECT coalesce(max(seq), 0) FROM events))
             ON CONFLICT (id) DO UPDATE SET
                name = excluded.name, url = excluded.url, status = excluded.status,
                disabled_reason = excluded.disabled_reason, events = excluded.events, stations = excluded.stations,
                owner_id = excluded.owner_id, secret_header = excluded.secret_header,
                secret_value = excluded.secret_value, signing_secret = excluded.signing_secret,
                format = excluded.format, custom_headers = excluded.custom_headers, filter = excluded.filter,
                ordering = excluded.ordering, ordering_max_wait_ms = excluded.ordering_max_wait_ms,
                timeout_ms = excluded.timeout_ms, retry_schedule = excluded.retry_schedule,
                max_in_flight = excluded.max_in_flight, rate_limit = excluded.rate_limit,
                paused_at_ms = CASE WHEN excluded.status = 'paused' THEN webhooks.paused_at_ms END,
                paused_until_ms = CASE WHEN excluded.status = 'paused' THEN webhooks.paused_until_ms END,
                paused_reason = CASE WHEN excluded.status = 'paused' THEN webhooks.paused_reason END,
                failing_since_ms = CASE WHEN webhooks.status IN ('active', 'paused')
                    OR excluded.status NOT IN ('active', 'paused') THEN webhooks.failing_since_ms END,
                updated_at_ms = max(excluded.updated_at_ms, webhooks.updated_at_ms + 1)",
        )?
        .execute(params![
            id,
            name(input),
            input.url,
            status.as_str(),
            disabled_reason,
            serde_json::to_string(&input.events)?,
            serde_json::to_string(&input.stations)?,
            input.owner_id,
            input.secret_header,
            secrets.secret_value,
            secrets.signing_secret,
            input.format.as_str(),
            secrets.custom_headers,
            input.filter.as_ref().map(serde_json::to_string).transpose()?,
            input.ordering.as_str(),
            millis(input.ordering_max_wait),
            millis(input.timeout),
            serde_json::to_string(&input.retry_schedule)?,
            input.max_in_flight,
            input.rate_limit,
            w.now.unix_ms(),
        ])?;
    Ok(())
}

/// The customer that a webhook belongs to, if there is the one, and the other.
pub(crate) fn owner_of(conn: &Connection, id: WebhookId) -> Result<Option<String>> {
    let owner = conn
        .prepare_cached("SELECT owner_id FROM webhooks WHERE id = ?1")?
        .query_row([id], |row| row.get(0))
        .optional()?;
    Ok(owner.flatten())
}

/// After any change of a webhook: the next event is judged by its new subscription, and the engine reads
/// its lane anew. The others are as they were.
pub(crate) fn changed(w: &mut Tx<'_>, id: WebhookId) -> Result<()> {
    let subscription = or_out_of_order(id, load_subscription(w, id))?.map(Arc::new);
    let before = w.subscriptions.put(id, subscription);
    w.after_commit.webhooks.push((id, before));
    Ok(())
}

pub(crate) fn stored(conn: &Connection, vault: &Vault, id: WebhookId) -> Result<Option<StoredWebhook>> {
    let found = conn
        .prepare_cached(&format!("SELECT {COLUMNS} FROM webhooks WHERE id = ?1"))?
        .query_row([id], |row| read(row, vault))
        .optional()?;
    Ok(found)
}

fn shown(w: &Tx<'_>, id: WebhookId) -> Result<Webhook> {
    let found = stored(w.conn, w.vault, id)?;
    found.map(|stored| stored.webhook).ok_or_else(|| StoreError::Corrupt(format!("webhook {id} is gone")))
}

fn read(row: &Row<'_>, vault: &Vault) -> rusqlite::Result<StoredWebhook> {
    let id: WebhookId = row.get(0)?;
    let named = |column| ("webhooks", &id as &dyn std::fmt::Display, column);
    let status: WebhookStatus = cells::setting(named("status"), cells::parsed(row, 3))?;
    let span = |column| {
        let ms: i64 = row.get(column)?;
        Ok::<_, rusqlite::Error>(Span(std::time::Duration::from_millis(ms.max(0) as u64)))
    };
    let custom_headers = cells::headers(row, 11, vault, (cell::WEBHOOK_HEADERS, &id));
    let secret_value = cells::maybe_sealed(row, 21, vault, (cell::SECRET_VALUE, &id));
    let signing_secret = cells::sealed(row, 22, vault, (cell::SIGNING_SECRET, &id));
    let events: Vec<String> = cells::setting(named("events"), cells::json(row, 5))?;
    let webhook = Webhook {
        id,
        name: row.get(1)?,
        url: row.get(2)?,
        enabled: status.is_enabled(),
        status,
        disabled_reason: row.get(4)?,
        paused_at: cells::maybe_moment(row, 23)?,
        paused_until: cells::maybe_moment(row, 24)?,
        paused_reason: row.get(25)?,
        warnings: vocabulary::subscription::warnings(&events),
        events,
        stations: cells::setting(named("stations"), cells::json(row, 6))?,
        owner_id: row.get(7)?,
        secret_header: row.get(8)?,
        secret_value_set: row.get(9)?,
        signing_secret: None,
        format: cells::setting(named("format"), cells::parsed(row, 10))?,
        custom_headers: cells::setting(named("custom_headers"), custom_headers)?,
        filter: cells::setting(named("filter"), cells::maybe_json(row, 12))?,
        ordering: cells::setting(named("ordering"), cells::parsed(row, 13))?,
        ordering_max_wait: span(14)?,
        timeout: span(15)?,
        retry_schedule: cells::setting(named("retry_schedule"), cells::json(row, 16))?,
        max_in_flight: row.get(17)?,
        rate_limit: row.get(18)?,
        created_at: cells::moment(row, 19)?,
        updated_at: cells::moment(row, 20)?,
    };
    Ok(StoredWebhook {
        webhook,
        secret_value: cells::setting(named("secret_value"), secret_value)?,
        signing_secret: cells::setting(named("signing_secret"), signing_secret)?,
    })
}

/// A webhook without a name is called by its URL's host.
fn name(input: &WebhookInput) -> String {
    let host = || url::Url::parse(&input.url).ok().and_then(|url| url.host_str().map(str::to_owned));
    input.name.clone().or_else(host).unwrap_or_else(|| input.url.clone())
}

fn millis(span: Span) -> i64 {
    span.0.as_millis().min(i64::MAX as u128) as i64
}

#[cfg(test)]
mod tests {
    use super::*;
    use vocabulary::api::replay::ReplayStatus;
    use vocabulary::clock::Clock;
    use vocabulary::delivery::{BodyFormat, DeliveryStatus, DiscardReason};
    use vocabulary::webhook::Ordering;

    /// A word that the schema does not know could not be stored, one that only the schema knows not be read.
    #[tokio::test]
    async fn the_schema_knows_the_words_of_the_vocabulary_and_no_others() {
        let dir = tempfile::tempdir().expect("a directory");
        let store = Store::open(dir.path(), Clock::System).expect("a store");
        let tables =
            "SELECT group_concat(sql) FROM sqlite_schema WHERE name IN ('webhooks', 'deliveries', 'replays')";
        let tables = store.seed_text(tables).await.split_whitespace().collect::<Vec<_>>().join(" ");
        for (column, words) in [
            ("format", BodyFormat::WORDS),
            ("status", WebhookStatus::WORDS),
            ("ordering", Ordering::WORDS),
            ("status", DeliveryStatus::WORDS),
            ("discarded_because", DiscardReason::WORDS),
            ("status", ReplayStatus::WORDS),
        ] {
            let words: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
            let check = format!("CHECK ({column} IN ({}))", words.join(", "));
            assert!(tables.contains(&check), "{check} is not in {tables}");
        }
    }
}
