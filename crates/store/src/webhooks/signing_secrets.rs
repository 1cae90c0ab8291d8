//! The secrets that sign a webhook's deliveries, and their rotation.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};

use crate::engine::embedded::raw_cells as cells;
use crate::engine::tx::Tx;
use crate::error::Result;
use crate::secrecy::vault::{Vault, cell};
use crate::webhooks::settings;
use crate::{Priority, Scope, Store};
use vocabulary::api::webhook::{PreviousSecret, WebhookSecrets};
use vocabulary::clock::Timestamp;
use vocabulary::id::WebhookId;

impl Store {
    /// The secrets that sign at `now`, the current one first; `None` if there is no such webhook.
    pub async fn webhook_secrets(&self, id: WebhookId, now: Timestamp) -> Result<Option<WebhookSecrets>> {
        let vault = self.vault();
        self.read(move |conn| secrets(conn, &vault, id, now)).await
    }

    /// Makes `signing_secret` the current one; the one before it signs beside it for `overlap`. Secrets
    /// whose time is up are removed. `None` if there is no such webhook.
    pub async fn rotate_webhook_secret(
        &self,
        id: WebhookId,
        signing_secret: String,
        overlap: Duration,
    ) -> Result<Option<WebhookSecrets>> {
        self.write(Priority::Api, Scope::Installation, move |w| {
            let Some(before) = secrets(w.conn, w.vault, id, w.now)? else { return Ok(None) };
            w.conn
                .prepare_cached("DELETE FROM webhook_previous_secrets WHERE webhook_id = ?1 AND expires_at_ms <= ?2")?
                .execute(params![id, w.now.unix_ms()])?;
            if !overlap.is_zero() && before.signing_secret != signing_secret {
                forget_previous(w, id, &before.signing_secret)?;
                let sealed = w.vault.seal(cell::PREVIOUS_SECRET, id, &before.signing_secret)?;
                w.conn
                    .prepare_cached(
                        "INSERT INTO webhook_previous_secrets (webhook_id, signing_secret, expires_at_ms)
                         VALUES (?1, ?2, ?3)",
                    )?
                    .execute(params![id, sealed, w.now.after(overlap).unix_ms()])?;
            }
            w.conn
                .prepare_cached(
                    "UPDATE webhooks SET signing_secret = ?2, updated_at_ms = max(?3, updated_at_ms + 1) WHERE id = ?1",
                )?
                .execute(params![
                    id,
                    w.vault.seal(cell::SIGNING_SECRET, id, &signing_secret)?,
                    w.now.unix_ms()
                ])?;
            settings::changed(w, id)?;
            secrets(w.conn, w.vault, id, w.now)
        })
        .await
    }
}

/// One that was the current one twice is a previous one once, with the later end.
fn forget_previous(w: &Tx<'_>, id: WebhookId, text: &str) -> Result<()> {
    let sealed: Vec<String> = w
        .conn
        .prepare_cached("SELECT signing_secret FROM webhook_previous_secrets WHERE webhook_id = ?1")?
        .query_map([id], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    for sealed in sealed {
        if w.vault.open(cell::PREVIOUS_SECRET, id, &sealed)? == text {
            w.conn
                .prepare_cached(
                    "DELETE FROM webhook_previous_secrets WHERE webhook_id = ?1 AND signing_secret = ?2",
                )?
                .execute(params![id, sealed])?;
        }
    }
    Ok(())
}

fn secrets(
    conn: &Connection,
    vault: &Vault,
    id: WebhookId,
    now: Timestamp,
) -> Result<Option<WebhookSecrets>> {
    let current = conn
        .prepare_cached("SELECT signing_secret FROM webhooks WHERE id = ?1")?
        .query_row([id], |row| cells::sealed(row, 0, vault, (cell::SIGNING_SECRET, &id)))
        .optional()?;
    let Some(signing_secret) = current else { return Ok(None) };
    let previous = conn
        .prepare_cached(
            "SELECT signing_secret, expires_at_ms FROM webhook_previous_secrets
             WHERE webhook_id = ?1 AND expires_at_ms > ?2 ORDER BY expires_at_ms DESC",
        )?
        .query_map(params![id, now.unix_ms()], |row| {
            Ok(PreviousSecret {
                signing_secret: cells::sealed(row, 0, vault, (cell::PREVIOUS_SECRET, &id))?,
                expires_at: cells::moment(row, 1)?,
            })
        })?
        .collect::<rusqlite::Result<_>>()?;
    Ok(Some(WebhookSecrets { signing_secret, previous }))
}
