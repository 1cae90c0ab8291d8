//! A database whose key is lost: what goes with the key, and how the rest goes on without.
//!
//! **Invariant**: nothing is ever sent unsigned, or without a header, that was to be sent with it: webhooks
//! that have lost something wait until somebody resumes them, and what was under way with a secret of its own
//! is cancelled.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rusqlite::{Connection, params};

use crate::commands::end;
use crate::deliveries::outcomes;
use crate::engine::embedded::data_dir::database_in;
use crate::engine::embedded::data_dir::lock;
use crate::engine::embedded::raw_cells as cells;
use crate::engine::embedded::schema::{self, SCHEMA};
use crate::engine::tx::Tx;
use crate::error::{KeyFault, Result, StoreError};
use crate::maintenance::key_change::{KeptAsTheyWere, settle_new};
use crate::maintenance::offline::write_alone;
use crate::maintenance::sealed_columns::{
    COMMAND_PAYLOAD, DELIVERY_SECRET, EVENT_HEADERS, REQUEST_HASH, SIGNING_SECRET, WEBHOOK_HEADERS,
};
use crate::maintenance::unlock;
use crate::maintenance::upgrade;
use crate::secrecy::key_source::KeySource;
use crate::secrecy::vault::Vault;
use vocabulary::api::command::CommandStatus;
use vocabulary::clock::Clock;
use vocabulary::id::WebhookId;
use vocabulary::webhook::WebhookStatus;

/// What a database loses with its key. Passwords of stations and API keys are no part of it: they are hashes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Losses {
    /// Every webhook there is: each has at least its signing secret to lose.
    pub webhooks: Vec<LosingWebhook>,
    /// Deliveries that wait and cannot be made as they were meant.
    pub deliveries: i64,
    /// Commands that wait for their station with a new password.
    pub commands: i64,
    /// Events that were brought with headers of their own.
    pub events: i64,
    /// Answers that are kept for requests with an `Idempotency-Key`.
    pub requests: i64,
}

/// A webhook that needs new secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LosingWebhook {
    /// Its number.
    pub id: WebhookId,
    /// What it is called.
    pub name: String,
    /// What it is doing before that.
    pub status: WebhookStatus,
    /// The header whose value is lost.
    pub secret_header: Option<String>,
    /// Whether headers of its own are lost.
    pub custom_headers: bool,
}

impl LosingWebhook {
    /// What it has lost.
    pub fn lost(&self) -> Vec<String> {
        let header = self.secret_header.as_ref().map(|name| format!("value of {name}"));
        let headers = self.custom_headers.then(|| "custom headers".to_owned());
        [Some("signing secret".to_owned()), header, headers].into_iter().flatten().collect()
    }

    /// Why it waits, for those who look at it later.
    fn reason(&self) -> String {
        let rest = match self.secret_header.is_some() || self.custom_headers {
            true => " and give it the rest anew",
            false => "",
        };
        format!(
            "lost with the key of the secrets: {}. Tell its receiver the new signing secret{rest}, then resume it",
            self.lost().join(", ")
        )
    }
}

/// What of `data_dir`'s secrets is lost without their key. Looks only.
///
/// # Errors
/// [`KeptAsTheyWere::NotLost`] if the key is there; the store's.
pub fn losses(data_dir: &Path, source: &KeySource) -> std::result::Result<Losses, KeptAsTheyWere> {
    let conn = schema::open_untouched(&database_in(data_dir)?)?;
    ensure_lost(&conn, source)?;
    Ok(Losses::of(&conn)?)
}

/// Drops what cannot be opened without the lost key of `data_dir`'s secrets, in which no gateway may be
/// running, and lets the rest go on under the key of `source`, which is made if it is a file that is not
/// there. Webhooks get a new signing secret and wait, paused. The second value is false if the file of the
/// database may still hold what the lost key opens, until the next start.
///
/// # Errors
/// As [`losses`]; nothing is dropped then.
pub fn drop_secrets(
    data_dir: &Path,
    source: &KeySource,
    clock: &Clock,
) -> std::result::Result<(Losses, bool), KeptAsTheyWere> {
    let path = database_in(data_dir)?;
    let _lock = lock(data_dir)?;
    ensure_lost(&schema::open_untouched(&path)?, source)?;
    // On disk before anything is sealed under it. Cut off behind this, it is the next try's key.
    let vault = Vault::new(&source.read_or_make()?);
    let mut conn = schema::open_writer(&path)?;
    upgrade::upgrade(&mut conn, &path, SCHEMA)?;
    let losses = write_alone(&mut conn, clock, &vault, drop_all)?;
    Ok((losses, unlock::sweep(&conn)?))
}

fn ensure_lost(conn: &Connection, source: &KeySource) -> std::result::Result<(), KeptAsTheyWere> {
    match unlock::key_of(conn, source) {
        Ok(Some(_)) => Err(KeptAsTheyWere::NotLost(source.to_string())),
        Ok(None) => Err(KeptAsTheyWere::NotSealed),
        Err(StoreError::Key(KeyFault::Missing(_) | KeyFault::Wrong(_))) => Ok(()),
        Err(other) => Err(other.into()),
    }
}

/// Deliveries that have not come to their end and would be made without their secret, or without headers of
/// their event.
fn robbed() -> String {
    format!(
        "status IN ('scheduled', 'retry', 'processing') AND (secret IS NOT NULL OR event_seq IN (SELECT seq FROM events WHERE {}))",
        EVENT_HEADERS.filled()
    )
}

impl Losses {
    fn of(conn: &Connection) -> Result<Self> {
        let waiting = format!("SELECT count(*) FROM deliveries WHERE {}", robbed());
        let headers = WEBHOOK_HEADERS.filled();
        let webhooks = conn
            .prepare(&format!(
                "SELECT id, name, status, iif(secret_value IS NOT NULL, secret_header, NULL), {headers}
                 FROM webhooks ORDER BY id"
            ))?
            .query_map([], |row| {
                Ok(LosingWebhook {
                    id: row.get(0)?,
                    name: row.get(1)?,
                    status: cells::parsed(row, 2)?,
                    secret_header: row.get(3)?,
                    custom_headers: row.get(4)?,
                })
            })?
            .collect::<rusqlite::Result<_>>()?;
        Ok(Self {
            webhooks,
            deliveries: conn.query_row(&waiting, [], |row| row.get(0))?,
            commands: COMMAND_PAYLOAD.count(conn)?,
            events: EVENT_HEADERS.count(conn)?,
            requests: REQUEST_HASH.count(conn)?,
        })
    }
}

fn drop_all(w: &mut Tx<'_>) -> Result<Losses> {
    // What was under way when the gateway stopped waits too, from now on.
    outcomes::recover(w.conn, w.monotonic)?;
    let losses = Losses::of(w.conn)?;
    w.conn.execute(
        &format!(
            "UPDATE deliveries SET status = 'discarded', discarded_because = 'canceled', due_at_ms = NULL,
                                   completed_at_ms = ?1 WHERE {}",
            robbed()
        ),
        [w.now.unix_ms()],
    )?;
    // A resend of one that has ended would go unsigned without any, and its receiver could not tell it from
    // anybody's.
    for column in [DELIVERY_SECRET, SIGNING_SECRET] {
        column.write(w.conn, w.vault, new_secret)?;
    }
    for webhook in &losses.webhooks {
        let reason = webhook.reason();
        // Those that are disabled stay so, with one more reason.
        w.conn.execute(
            "UPDATE webhooks SET secret_value = NULL, custom_headers = ?3,
                    status = iif(status = 'active', 'paused', status),
                    paused_at_ms = iif(status IN ('active', 'paused'), coalesce(paused_at_ms, ?2), NULL),
                    paused_until_ms = NULL,
                    paused_reason = iif(status IN ('active', 'paused'), ?4, NULL),
                    disabled_reason = iif(status IN ('active', 'paused'), disabled_reason,
                                          coalesce(disabled_reason || '; ', '') || ?4),
                    updated_at_ms = max(?2, updated_at_ms + 1)
             WHERE id = ?1",
            params![webhook.id, w.now.unix_ms(), cells::NO_HEADERS, reason],
        )?;
    }
    w.conn.execute_batch(
        "UPDATE events SET custom_headers = NULL WHERE custom_headers IS NOT NULL;
         DELETE FROM webhook_previous_secrets;
         DELETE FROM idempotent_requests;",
    )?;
    let waiting = "SELECT id FROM commands WHERE sealed_payload IS NOT NULL ORDER BY seq";
    end::end_each(w, waiting, &[], CommandStatus::Canceled)?;
    settle_new(w, "secrets_drop")?;
    Ok(losses)
}

/// A signing secret that nobody knows yet.
fn new_secret() -> Result<String> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(StoreError::NoRandomness)?;
    Ok(format!("whsec_{}", STANDARD.encode(bytes)))
}

#[cfg(test)]
mod tests;
