//! The secrets that sign a webhook's deliveries, and their rotation.

use std::time::Duration;

use crate::engine::sql::params;
use crate::engine::tx::{Read, Tx};
use crate::error::Result;
use crate::secrecy::vault::{Vault, cell};
use crate::webhooks::settings;
use crate::{Priority, Scope, Store};
use vocabulary::api::webhook::{PreviousSecret, WebhookSecrets};
use vocabulary::clock::Timestamp;
use vocabulary::id::WebhookId;

impl Store {
    /// The secrets that sign at `now`, the current one first; `None` if the webhook does not exist.
    pub async fn webhook_secrets(&self, id: WebhookId, now: Timestamp) -> Result<Option<WebhookSecrets>> {
        let vault = self.vault();
        self.read(move |conn| secrets(conn, &vault, id, now)).await
    }

    /// Makes `signing_secret` the current secret; the previous one signs beside it for `overlap`. Expired
    /// secrets are deleted. `None` if the webhook does not exist.
    pub async fn rotate_webhook_secret(
        &self,
        id: WebhookId,
        signing_secret: String,
        overlap: Duration,
    ) -> Result<Option<WebhookSecrets>> {
        self.write(Priority::Api, Scope::Webhook(id), move |w| {
            let Some(before) = secrets(w, w.vault, id, w.now)? else { return Ok(None) };
            w.run(
                "DELETE FROM webhook_previous_secrets WHERE webhook_id = ?1 AND expires_at_ms <= ?2",
                params![id, w.now],
            )?;
            if !overlap.is_zero() && before.signing_secret != signing_secret {
                forget_previous(w, id, &before.signing_secret)?;
                let sealed = w.vault.seal(cell::PREVIOUS_SECRET, id, &before.signing_secret)?;
                w.run(
                    "INSERT INTO webhook_previous_secrets (webhook_id, signing_secret, expires_at_ms)
                     VALUES (?1, ?2, ?3)",
                    params![id, sealed, w.now.after(overlap)],
                )?;
            }
            w.run(
                "UPDATE webhooks SET signing_secret = ?2,
                        updated_at_ms = CASE WHEN ?3 > updated_at_ms THEN ?3 ELSE updated_at_ms + 1 END
                 WHERE id = ?1",
                params![id, w.vault.seal(cell::SIGNING_SECRET, id, &signing_secret)?, w.now],
            )?;
            settings::changed(w, id)?;
            secrets(w, w.vault, id, w.now)
        })
        .await
    }
}

/// A secret that was current twice is stored once as a previous one, with the later end.
fn forget_previous(w: &Tx<'_>, id: WebhookId, text: &str) -> Result<()> {
    let previous = "SELECT signing_secret FROM webhook_previous_secrets WHERE webhook_id = ?1";
    for sealed in w.all(previous, params![id], |row| row.get::<String>(0))? {
        if w.vault.open(cell::PREVIOUS_SECRET, id, &sealed)? == text {
            w.run(
                "DELETE FROM webhook_previous_secrets WHERE webhook_id = ?1 AND signing_secret = ?2",
                params![id, sealed],
            )?;
        }
    }
    Ok(())
}

/// The secrets that sign beside the current one after `now`, the newest first.
pub(crate) fn previous_secrets(
    db: &Read<'_>,
    vault: &Vault,
    id: WebhookId,
    now: Timestamp,
) -> Result<Vec<PreviousSecret>> {
    db.all(
        "SELECT signing_secret, expires_at_ms FROM webhook_previous_secrets
         WHERE webhook_id = ?1 AND expires_at_ms > ?2 ORDER BY expires_at_ms DESC",
        params![id, now],
        |row| {
            Ok(PreviousSecret {
                signing_secret: row.sealed(0, vault, (cell::PREVIOUS_SECRET, &id))?,
                expires_at: row.get(1)?,
            })
        },
    )
}

fn secrets(db: &Read<'_>, vault: &Vault, id: WebhookId, now: Timestamp) -> Result<Option<WebhookSecrets>> {
    let current = db.maybe("SELECT signing_secret FROM webhooks WHERE id = ?1", params![id], |row| {
        row.sealed(0, vault, (cell::SIGNING_SECRET, &id))
    })?;
    let Some(signing_secret) = current else { return Ok(None) };
    Ok(Some(WebhookSecrets { signing_secret, previous: previous_secrets(db, vault, id, now)? }))
}
