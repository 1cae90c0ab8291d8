//! Webhooks and events for tests of the delivery engine, made without the API.

use serde_json::value::RawValue;

use crate::engine::sql::params;
use crate::error::Result;
use crate::log::append::{self, AppendOptions};
use crate::secrecy::vault::cell;
use crate::webhooks::settings;
use crate::{Change, Priority, Scope, Store};
use vocabulary::api::audit::ChangeMethod;
use vocabulary::api::command::RequestedBy;
use vocabulary::event::{Category, NewEvent};
use vocabulary::id::{ApiKeyId, EventId, WebhookId};
use vocabulary::ocpp::protocol::Protocol;

/// A webhook for a test.
#[derive(Debug, Clone)]
pub struct SeedWebhook {
    /// Where it is sent.
    pub url: String,
    /// The pattern of its events.
    pub events: &'static str,
    /// A JSON list of spans.
    pub retry_schedule: &'static str,
    /// How long a receiver may take.
    pub timeout_ms: i64,
    /// Requests at once.
    pub max_in_flight: i64,
    /// For example `10/s`.
    pub rate_limit: Option<&'static str>,
    /// `none`, `webhook` or `station`.
    pub ordering: &'static str,
    /// How long a failed delivery may hold up those behind it.
    pub ordering_max_wait_ms: i64,
}

impl SeedWebhook {
    /// One for all events, without limits.
    pub fn to(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            events: "*",
            retry_schedule: r#"["100ms"]"#,
            timeout_ms: 5_000,
            max_in_flight: 32,
            rate_limit: None,
            ordering: "none",
            ordering_max_wait_ms: 3_600_000,
        }
    }
}

/// Secrets of every kind, which are sealed afterwards.
#[cfg(test)]
const SECRETS: &str = r#"
    INSERT INTO webhooks (name, url, status, events, stations, secret_header, secret_value, signing_secret,
        format, custom_headers, ordering, ordering_max_wait_ms, timeout_ms, retry_schedule, max_in_flight,
        created_at_ms, updated_at_ms, credentials)
    VALUES ('all', 'https://example.com/', 'active', '["*"]', '["*"]', 'x-key', 'SECRET-value', 'SECRET-signing',
        'flat', '{"x-token":"SECRET-header"}', 'none', 1000, 1000, '["1s"]', 1, 1, 1,
        '{"token":"SECRET-token"}');
    INSERT INTO webhook_previous_secrets (webhook_id, signing_secret, expires_at_ms)
    VALUES (1, 'SECRET-previous', 9000000000000);
    INSERT INTO events (id, event, category, timestamp_ms, payload, custom_headers, target)
    VALUES ('evt_00000000010000000000000000', 'a.b', 'custom', 1, '{}', '{"x-token":"SECRET-sent"}', 'url');
    INSERT INTO origins (origin) VALUES ('https://example.com');
    INSERT INTO deliveries (id, event_seq, url, origin_id, secret, status, due_at_ms, scheduled_at_ms, created_at_ms)
    VALUES ('dlv_00000000010000000000000000', 1, 'https://example.com/x', 1, 'SECRET-dynamic', 'scheduled', 1, 1, 1);
    INSERT INTO stations (station_id, created_at_ms, updated_at_ms) VALUES ('CP', 1, 1);
    INSERT INTO commands (id, station_id, action, payload, sealed_payload, timeout_ms, queue, requested_by_id,
        requested_by_name, status, generation, expires_at_ms, created_at_ms)
    VALUES ('cmd_00000000010000000000000000', 'CP', 'ChangeConfiguration', '{"key":"AuthorizationKey","value":"***"}',
        '{"key":"AuthorizationKey","value":"SECRET-password"}', 1000, 1, 'key_00000000010000000000000000', 'k',
        'queued', 0, 9000000000000, 1);
    INSERT INTO bulk_commands (id, action, payload, sealed_payload, rate, offline, timeout_ms, requested_by_id,
        requested_by_name, status, is_open, matched, created_at_ms)
    VALUES ('blk_00000000010000000000000000', 'ChangeConfiguration', '{"key":"AuthorizationKey","value":"***"}',
        '{"key":"AuthorizationKey","value":"SECRET-bulk"}', '1/s', 'skip', 1000, 'key_00000000010000000000000000',
        'k', 'running', 1, 1, 1);
    INSERT INTO bulk_command_stations (bulk_seq, position, station_id) VALUES (1, 1, 'CP');
    INSERT INTO idempotent_requests (api_key_id, idempotency_key, request_hash, status, headers, body, created_at_ms)
    VALUES ('key_00000000010000000000000000', 'once', X'01', 201, '[]', CAST('SECRET-answer' AS BLOB), 1);
"#;

/// Makes a database with them, under the key of its file, in an empty directory.
#[cfg(test)]
pub(crate) fn secrets_in(dir: &std::path::Path) {
    use crate::Identity;
    use crate::engine::embedded::{data_dir::DATABASE, database_file::DatabaseFile};
    use crate::log::subscriptions::load_subscriptions;
    use crate::maintenance::sealed_columns::COLUMNS;
    use crate::secrecy::{key_source::KeySource, vault::Vault};
    use vocabulary::clock::Clock;

    let source = KeySource::file_in(dir);
    let opened = Store::open_embedded(Identity::default(), dir, &source, Clock::System);
    opened.expect("opens").store.close();
    let key = source.read().expect("reads").expect("was made");
    let mut database = DatabaseFile::open(&dir.join(DATABASE)).expect("opens");
    database.run_all(SECRETS);
    let seal = |w: &mut crate::engine::tx::Tx<'_>| COLUMNS.iter().map(|column| column.seal(w)).collect();
    let sealed: Vec<usize> =
        database.write(&Clock::System, &Vault::new(&key), load_subscriptions, seal).expect("seals");
    assert_eq!(sealed, [1; COLUMNS.len()]);
}

/// A signing secret of 32 bytes.
pub const SECRET: &str = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

impl Change {
    /// A change that this key asks for.
    pub fn seed(by: ApiKeyId) -> Self {
        Self {
            requested_by: RequestedBy { id: by, name: "test".to_owned() },
            remote_addr: None,
            action: "webhooks_create".to_owned(),
            method: ChangeMethod::Post,
            path: "/api/v1/webhooks".to_owned(),
            resource: "webhooks".to_owned(),
            resource_id: None,
            owner_id: None,
        }
    }
}

impl Store {
    /// The monotonic clock that it was opened with.
    pub fn monotonic(&self) -> &vocabulary::clock::Monotonic {
        &self.inner.monotonic
    }

    /// Stores a webhook.
    pub async fn seed_webhook(&self, seed: SeedWebhook) -> Result<WebhookId> {
        self.write(Priority::Api, Scope::Installation, move |w| {
            let webhook_id = w.next_number("webhooks")?;
            let secret = w.vault.seal(cell::SIGNING_SECRET, webhook_id, SECRET)?;
            let events = serde_json::to_string(&[seed.events])?;
            w.run(
                "INSERT INTO webhooks (id, name, url, status, events, stations, signing_secret, format, custom_headers,
                     ordering, ordering_max_wait_ms, timeout_ms, retry_schedule, max_in_flight, rate_limit,
                     created_at_ms, updated_at_ms)
                 VALUES (?11, 'seed', ?1, 'active', ?2, '[\"*\"]', ?3, 'flat', '{}', ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?10)",
                params![
                    seed.url,
                    events,
                    secret,
                    seed.ordering,
                    seed.ordering_max_wait_ms,
                    seed.timeout_ms,
                    seed.retry_schedule,
                    seed.max_in_flight,
                    seed.rate_limit,
                    w.now,
                    webhook_id,
                ],
            )?;
            settings::changed(w, webhook_id)?;
            Ok(webhook_id)
        })
        .await
    }

    /// Stores `count` events of `station` in one transaction; their payloads are `{"n": 0}`, `{"n": 1}`, …
    pub async fn seed_events(&self, station: &str, count: usize) -> Result<Vec<EventId>> {
        let station = station.to_owned();
        self.write(Priority::Inbound, Scope::Installation, move |w| {
            (0..count)
                .map(|n| {
                    let payload = RawValue::from_string(format!("{{\"n\":{n}}}")).expect("JSON");
                    let event = NewEvent {
                        station_id: Some(station.clone()),
                        protocol: Some(Protocol::default()),
                        ..NewEvent::new(Category::Ocpp, "StatusNotification", w.now, payload)
                    };
                    let seq = append::append(w, &event, AppendOptions::default())?;
                    Ok(crate::log::event_row::just_stored(w, seq)?.id)
                })
                .collect()
        })
        .await
    }

    /// Runs one statement, past all rules.
    pub async fn seed_run(&self, sql: &'static str) {
        self.write(Priority::Api, Scope::Installation, move |w| w.run(sql, &[])).await.expect("it runs");
    }

    /// What one number of the database is.
    pub async fn seed_number(&self, sql: &'static str) -> i64 {
        self.read(move |db| db.one(sql, &[], |row| row.get(0))).await.expect("a number")
    }

    /// One text of the database.
    pub async fn seed_text(&self, sql: &'static str) -> String {
        self.read(move |db| db.one(sql, &[], |row| row.get(0))).await.expect("a text")
    }
}
