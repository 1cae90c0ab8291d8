//! Webhooks and events for tests of the delivery engine, made without the API.

use rusqlite::params;
use serde_json::value::RawValue;

use super::error::Result;
use super::events::{self, Manner};
use super::vault::cell;
use super::{Priority, Store, webhooks};
use crate::event::{Category, NewEvent};
use crate::id::{EventId, WebhookId};

/// A webhook for a test.
#[derive(Debug, Clone)]
pub(crate) struct SeedWebhook {
    pub(crate) url: String,
    pub(crate) events: &'static str,
    pub(crate) retry_schedule: &'static str,
    pub(crate) timeout_ms: i64,
    pub(crate) max_in_flight: i64,
    pub(crate) rate_limit: Option<&'static str>,
    pub(crate) ordering: &'static str,
    pub(crate) ordering_max_wait_ms: i64,
}

impl SeedWebhook {
    pub(crate) fn to(url: &str) -> Self {
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

/// A signing secret of 32 bytes.
pub(crate) const SECRET: &str = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

impl Store {
    /// Stores a webhook.
    pub(crate) async fn seed_webhook(&self, seed: SeedWebhook) -> Result<WebhookId> {
        self.write(Priority::Api, move |w| {
            let webhook_id = webhooks::next_id(w)?;
            let secret = w.vault.seal(cell::SIGNING_SECRET, webhook_id, SECRET)?;
            w.conn.execute(
                "INSERT INTO webhooks (name, url, status, events, stations, signing_secret, format, custom_headers,
                     ordering, ordering_max_wait_ms, timeout_ms, retry_schedule, max_in_flight, rate_limit,
                     created_at_ms, updated_at_ms)
                 VALUES ('seed', ?1, 'active', json_array(?2), '[\"*\"]', ?3, 'flat', '{}', ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?10)",
                params![
                    seed.url,
                    seed.events,
                    secret,
                    seed.ordering,
                    seed.ordering_max_wait_ms,
                    seed.timeout_ms,
                    seed.retry_schedule,
                    seed.max_in_flight,
                    seed.rate_limit,
                    w.now.unix_ms(),
                ],
            )?;
            *w.subscriptions = webhooks::load_subscriptions(w.conn)?;
            w.effects.webhooks_changed = true;
            Ok(webhook_id)
        })
        .await
    }

    /// Stores `count` events of `station` in one transaction; their payloads are `{"n": 0}`, `{"n": 1}`, …
    pub(crate) async fn seed_events(&self, station: &str, count: usize) -> Result<Vec<EventId>> {
        let station = station.to_owned();
        self.write(Priority::Inbound, move |w| {
            (0..count)
                .map(|n| {
                    let payload = RawValue::from_string(format!("{{\"n\":{n}}}")).expect("JSON");
                    let event = NewEvent {
                        station_id: Some(station.clone()),
                        ..NewEvent::new(Category::Ocpp, "StatusNotification", w.now, payload)
                    };
                    let seq = events::append(w, &event, Manner::default())?;
                    let event = super::event_row::by_seq(w.conn, seq)?;
                    Ok(event.expect("it was just stored").id)
                })
                .collect()
        })
        .await
    }

    /// Runs one statement, past all rules.
    pub(crate) async fn seed_run(&self, sql: &'static str) {
        self.write(Priority::Api, move |w| Ok(w.conn.execute(sql, [])?)).await.expect("it runs");
    }

    /// What one number of the database is.
    pub(crate) async fn seed_number(&self, sql: &'static str) -> i64 {
        self.read(move |conn| Ok(conn.query_row(sql, [], |row| row.get(0))?)).await.expect("a number")
    }

    /// One text of the database.
    pub(crate) async fn seed_text(&self, sql: &'static str) -> String {
        self.read(move |conn| Ok(conn.query_row(sql, [], |row| row.get(0))?)).await.expect("a text")
    }
}
