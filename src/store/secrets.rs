//! The secrets that sign a webhook's deliveries, and their rotation.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};

use super::error::Result;
use super::{Priority, Store, cells, webhooks};
use crate::api::webhook::{PreviousSecret, WebhookSecrets};
use crate::clock::Timestamp;
use crate::id::WebhookId;

impl Store {
    /// The secrets that sign at `now`, the current one first; `None` if there is no such webhook.
    ///
    /// # Errors
    /// Only the store's own.
    pub async fn webhook_secrets(&self, id: WebhookId, now: Timestamp) -> Result<Option<WebhookSecrets>> {
        self.read(move |conn| secrets(conn, id, now)).await
    }

    /// Makes `signing_secret` the current one; the one before it signs beside it for `overlap`. Secrets
    /// whose time is up are removed. `None` if there is no such webhook.
    ///
    /// # Errors
    /// Only the store's own; nothing is changed then.
    pub async fn rotate_webhook_secret(
        &self,
        id: WebhookId,
        signing_secret: String,
        overlap: Duration,
    ) -> Result<Option<WebhookSecrets>> {
        self.write(Priority::Api, move |w| {
            let now_ms = w.now.unix_ms();
            w.conn
                .prepare_cached("DELETE FROM webhook_previous_secrets WHERE webhook_id = ?1 AND expires_at_ms <= ?2")?
                .execute(params![id, now_ms])?;
            if !overlap.is_zero() {
                w.conn
                    .prepare_cached(
                        "INSERT OR REPLACE INTO webhook_previous_secrets (webhook_id, signing_secret, expires_at_ms)
                         SELECT id, signing_secret, ?3 FROM webhooks WHERE id = ?1 AND signing_secret <> ?2",
                    )?
                    .execute(params![id, signing_secret, w.now.after(overlap).unix_ms()])?;
            }
            w.conn
                .prepare_cached(
                    "UPDATE webhooks SET signing_secret = ?2, updated_at_ms = max(?3, updated_at_ms + 1) WHERE id = ?1",
                )?
                .execute(params![id, signing_secret, now_ms])?;
            webhooks::changed(w)?;
            secrets(w.conn, id, w.now)
        })
        .await
    }
}

fn secrets(conn: &Connection, id: WebhookId, now: Timestamp) -> Result<Option<WebhookSecrets>> {
    let current = conn
        .prepare_cached("SELECT signing_secret FROM webhooks WHERE id = ?1")?
        .query_row([id], |row| row.get(0))
        .optional()?;
    let Some(signing_secret) = current else { return Ok(None) };
    let previous = conn
        .prepare_cached(
            "SELECT signing_secret, expires_at_ms FROM webhook_previous_secrets
             WHERE webhook_id = ?1 AND expires_at_ms > ?2 ORDER BY expires_at_ms DESC",
        )?
        .query_map(params![id, now.unix_ms()], |row| {
            Ok(PreviousSecret { signing_secret: row.get(0)?, expires_at: cells::moment(row, 1)? })
        })?
        .collect::<rusqlite::Result<_>>()?;
    Ok(Some(WebhookSecrets { signing_secret, previous }))
}
