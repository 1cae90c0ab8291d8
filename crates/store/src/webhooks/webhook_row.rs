//! The row of a webhook: read into its public part and its secrets, and written from a request.

use std::fmt;
use std::time::Duration;

use crate::cells;
use crate::engine::row::Row;
use crate::engine::sql::params;
use crate::engine::tx::{Read, Tx};
use crate::error::{Result, StoreError};
use crate::secrecy::vault::{Vault, cell};
use vocabulary::api::webhook::{Webhook, WebhookInput};
use vocabulary::broker::{BrokerCredentials, CloudEventsMode};
use vocabulary::id::WebhookId;
use vocabulary::units::Span;
use vocabulary::webhook::WebhookStatus;

/// A webhook with its secrets, which only the gateway may know.
#[derive(Clone)]
pub struct StoredWebhook {
    /// Its public part.
    pub webhook: Webhook,
    /// The value of its secret header.
    pub secret_value: Option<String>,
    /// The secret that signs its deliveries (`whsec_…`).
    pub signing_secret: String,
    /// How it signs in to its broker.
    pub credentials: Option<BrokerCredentials>,
}

impl fmt::Debug for StoredWebhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredWebhook").field("webhook", &self.webhook).finish_non_exhaustive()
    }
}

/// The columns of `webhooks` that [`read`] takes.
pub(crate) const COLUMNS: &str = "id, name, url, status, disabled_reason, events, stations, owner_id,
    secret_header, secret_value, signing_secret, format, custom_headers, filter, ordering, ordering_max_wait_ms,
    timeout_ms, retry_schedule, max_in_flight, rate_limit, created_at_ms, updated_at_ms, paused_at_ms,
    paused_until_ms, paused_reason, topic, credentials, cloudevents_mode";

/// The number of these columns: others may follow them in a query.
pub(crate) const COLUMN_COUNT: usize = 28;

/// Reads the columns [`COLUMNS`].
pub(crate) fn read(row: &Row<'_>, vault: &Vault) -> Result<StoredWebhook> {
    let id: WebhookId = row.get(0)?;
    let named = |column| ("webhooks", &id as &dyn fmt::Display, column);
    let span =
        |column| Ok::<_, StoreError>(Span(Duration::from_millis(row.get::<i64>(column)?.max(0) as u64)));
    let status: WebhookStatus = cells::setting(named("status"), row.parsed(3))?;
    let events: Vec<String> = cells::setting(named("events"), row.json(5))?;
    let secret_value = row.maybe_sealed(9, vault, (cell::SECRET_VALUE, &id));
    let secret_value = cells::setting(named("secret_value"), secret_value)?;
    let signing_secret = row.sealed(10, vault, (cell::SIGNING_SECRET, &id));
    let custom_headers = row.headers(12, vault, (cell::WEBHOOK_HEADERS, &id));
    let credentials = row.maybe_sealed_json(26, vault, (cell::CREDENTIALS, &id));
    let credentials: Option<BrokerCredentials> = cells::setting(named("credentials"), credentials)?;
    let webhook = Webhook {
        id,
        name: row.get(1)?,
        url: row.get(2)?,
        enabled: status.is_enabled(),
        status,
        disabled_reason: row.get(4)?,
        paused_at: row.get(22)?,
        paused_until: row.get(23)?,
        paused_reason: row.get(24)?,
        warnings: vocabulary::subscription::warnings(&events),
        events,
        stations: cells::setting(named("stations"), row.json(6))?,
        owner_id: row.get(7)?,
        secret_header: row.get(8)?,
        secret_value_set: secret_value.is_some(),
        signing_secret: None,
        format: cells::setting(named("format"), row.parsed(11))?,
        custom_headers: cells::setting(named("custom_headers"), custom_headers)?,
        topic: row.get(25)?,
        credentials_set: credentials.is_some(),
        cloudevents_mode: cells::setting(named("cloudevents_mode"), row.maybe_parsed(27))?,
        filter: cells::setting(named("filter"), row.maybe_json(13))?,
        ordering: cells::setting(named("ordering"), row.parsed(14))?,
        ordering_max_wait: span(15)?,
        timeout: span(16)?,
        retry_schedule: cells::setting(named("retry_schedule"), row.json(17))?,
        max_in_flight: cells::setting(named("max_in_flight"), row.get(18))?,
        rate_limit: row.get(19)?,
        created_at: row.get(20)?,
        updated_at: row.get(21)?,
    };
    let signing_secret = cells::setting(named("signing_secret"), signing_secret)?;
    Ok(StoredWebhook { webhook, secret_value, signing_secret, credentials })
}

/// The webhook with this id.
pub(crate) fn stored(db: &Read<'_>, vault: &Vault, id: WebhookId) -> Result<Option<StoredWebhook>> {
    db.maybe(&format!("SELECT {COLUMNS} FROM webhooks WHERE id = ?1"), params![id], |row| read(row, vault))
}

/// Writes all settings of a webhook: as a new row, or over the existing one. A pause continues only while the
/// webhook stays paused, and an enabled webhook starts without failures.
pub(crate) fn save(
    w: &Tx<'_>,
    id: WebhookId,
    input: &WebhookInput,
    status: WebhookStatus,
    disabled_reason: Option<&str>,
) -> Result<()> {
    let secrets = Sealed::of(w, id, input)?;
    w.run(
        "INSERT INTO webhooks (id, name, url, status, disabled_reason, events, stations, owner_id,
            secret_header, secret_value, signing_secret, format, custom_headers, filter, ordering,
            ordering_max_wait_ms, timeout_ms, retry_schedule, max_in_flight, rate_limit, created_at_ms,
            updated_at_ms, paused_at_ms, created_seq, topic, credentials, cloudevents_mode)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20,
            ?21, ?21, CASE WHEN ?4 = 'paused' THEN ?21 END, (SELECT coalesce(max(seq), 0) FROM events),
            ?22, ?23, ?24)
         ON CONFLICT (id) DO UPDATE SET
            name = excluded.name, url = excluded.url, status = excluded.status,
            disabled_reason = excluded.disabled_reason, events = excluded.events,
            stations = excluded.stations, owner_id = excluded.owner_id, secret_header = excluded.secret_header,
            secret_value = excluded.secret_value, signing_secret = excluded.signing_secret,
            format = excluded.format, custom_headers = excluded.custom_headers, filter = excluded.filter,
            ordering = excluded.ordering, ordering_max_wait_ms = excluded.ordering_max_wait_ms,
            timeout_ms = excluded.timeout_ms, retry_schedule = excluded.retry_schedule,
            max_in_flight = excluded.max_in_flight, rate_limit = excluded.rate_limit,
            topic = excluded.topic, credentials = excluded.credentials,
            cloudevents_mode = excluded.cloudevents_mode,
            paused_at_ms = CASE WHEN excluded.status = 'paused' THEN webhooks.paused_at_ms END,
            paused_until_ms = CASE WHEN excluded.status = 'paused' THEN webhooks.paused_until_ms END,
            paused_reason = CASE WHEN excluded.status = 'paused' THEN webhooks.paused_reason END,
            failing_since_ms = CASE WHEN webhooks.status IN ('active', 'paused')
                OR excluded.status NOT IN ('active', 'paused') THEN webhooks.failing_since_ms END,
            updated_at_ms = CASE WHEN excluded.updated_at_ms > webhooks.updated_at_ms
                THEN excluded.updated_at_ms ELSE webhooks.updated_at_ms + 1 END",
        params![
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
            w.now,
            input.topic,
            secrets.credentials,
            input.cloudevents_mode.map(CloudEventsMode::as_str),
        ],
    )?;
    Ok(())
}

/// The parts of a webhook that are, or may be, secret, as they are stored.
struct Sealed {
    signing_secret: String,
    secret_value: Option<String>,
    custom_headers: String,
    credentials: Option<String>,
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
            credentials: match &input.credentials {
                Some(credentials) => {
                    Some(w.vault.seal(cell::CREDENTIALS, id, &serde_json::to_string(credentials)?)?)
                }
                None => None,
            },
            custom_headers: match input.custom_headers.is_empty() {
                true => cells::NO_HEADERS.to_owned(),
                false => {
                    w.vault.seal(cell::WEBHOOK_HEADERS, id, &serde_json::to_string(&input.custom_headers)?)?
                }
            },
        })
    }
}

/// A webhook without a name gets the host of its URL as its name.
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
    use crate::Store;
    use vocabulary::api::replay::ReplayStatus;
    use vocabulary::clock::Clock;
    use vocabulary::delivery::{DeliveryStatus, DiscardReason};
    use vocabulary::webhook::Ordering;

    /// The gateway could not store a word that the schema lacks, and could not read a word that only the
    /// schema has.
    #[tokio::test]
    async fn the_schema_knows_the_words_of_the_vocabulary_and_no_others() {
        if crate::test_store::is_shared() {
            return;
        }
        let dir = tempfile::tempdir().expect("a directory");
        let store = Store::open(dir.path(), Clock::System).expect("a store");
        let tables =
            "SELECT group_concat(sql) FROM sqlite_schema WHERE name IN ('webhooks', 'deliveries', 'replays')";
        let tables = store.seed_text(tables).await.split_whitespace().collect::<Vec<_>>().join(" ");
        for (column, words) in [
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
