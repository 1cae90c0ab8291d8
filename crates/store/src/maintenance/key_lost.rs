//! A database whose key is lost: what is lost with the key, and how the rest goes on without.
//!
//! **Invariant**: nothing is ever sent unsigned, or without a header, that was to be sent with it. A webhook
//! that has lost something is paused until somebody resumes it, and a delivery that waits with a secret of
//! its own is canceled.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::cells::NO_HEADERS;
use crate::commands::{bulk, end};
use crate::deliveries::outcomes;
use crate::engine::embedded::residue::Residue;
use crate::engine::sql::params;
use crate::engine::tx::{Read, Tx};
use crate::error::{KeyFault, Result, StoreError};
use crate::log::waiting_deliveries::NOT_COMPLETED;
use crate::maintenance::key_change::{KeyChangeRefused, settle_new};
use crate::maintenance::open::apart;
use crate::maintenance::quiet::{Place, Quiet};
use crate::maintenance::sealed_columns::{
    BULK_PAYLOAD, COMMAND_PAYLOAD, DELIVERY_SECRET, EVENT_HEADERS, REQUEST_HASH, SIGNING_SECRET,
    WEBHOOK_HEADERS,
};
use crate::maintenance::unlock;
use crate::other_nodes::{GATEWAY_STOPPED, Left};
use crate::secrecy::key_source::KeySource;
use crate::secrecy::vault::Vault;
use vocabulary::api::command::CommandStatus;
use vocabulary::clock::Clock;
use vocabulary::delivery::DiscardReason;
use vocabulary::id::WebhookId;
use vocabulary::webhook::WebhookStatus;

/// What a database loses with its key. Passwords of stations and API keys are not lost: they are hashes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Losses {
    /// Every webhook there is: each loses at least its signing secret.
    pub webhooks: Vec<LosingWebhook>,
    /// Deliveries that wait and lack a secret or headers from now on.
    pub deliveries: i64,
    /// Commands that wait for their station with a new password, and bulk commands whose stations wait for
    /// one.
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
    /// Its status before that.
    pub status: WebhookStatus,
    /// The header whose value is lost.
    pub secret_header: Option<String>,
    /// Whether headers of its own are lost.
    pub custom_headers: bool,
    /// Whether credentials for its broker are lost.
    pub credentials: bool,
}

impl LosingWebhook {
    /// What it has lost.
    pub fn lost(&self) -> Vec<String> {
        let header = self.secret_header.as_ref().map(|name| format!("value of {name}"));
        let headers = self.custom_headers.then(|| "custom headers".to_owned());
        let credentials = self.credentials.then(|| "credentials".to_owned());
        [Some("signing secret".to_owned()), header, headers, credentials].into_iter().flatten().collect()
    }

    /// Why it is paused, for those who look at it later.
    fn reason(&self) -> String {
        let rest = match self.lost().len() > 1 {
            true => " and give it the rest anew",
            false => "",
        };
        format!(
            "lost with the key of the secrets: {}. Tell its receiver the new signing secret{rest}, then resume it",
            self.lost().join(", ")
        )
    }
}

/// What of a database's secrets is lost without their key. Looks only.
///
/// # Errors
/// [`KeyChangeRefused::NotLost`] if the key is there; the store's.
pub fn losses<'a>(
    place: impl Into<Place<'a>>,
    source: &KeySource,
) -> std::result::Result<Losses, KeyChangeRefused> {
    let place = place.into();
    apart(|| {
        let database = Quiet::look_at(place, &Clock::System)?;
        ensure_lost(&database, source)?;
        Ok(database.read(Losses::of)?)
    })
}

/// Drops what cannot be opened without the lost key of a database's secrets, on which no gateway may be
/// working. The rest goes on under the key of `source`, which is made if it is a file that is not there.
/// Webhooks get a new signing secret and wait, paused.
///
/// # Errors
/// As [`losses`]; nothing is dropped then.
pub fn drop_secrets<'a>(
    place: impl Into<Place<'a>>,
    source: &KeySource,
    clock: &Clock,
) -> std::result::Result<(Losses, Residue), KeyChangeRefused> {
    let place = place.into();
    apart(|| {
        let mut database = Quiet::open(place, clock)?;
        ensure_lost(&database, source)?;
        // On disk before anything is sealed under it. If this is cut off from here on, it is the next try's
        // key.
        let vault = Vault::new(&source.read_or_make()?);
        let losses = database.write(clock, &vault, drop_all)?;
        Ok((losses, database.sweep()?))
    })
}

fn ensure_lost(database: &Quiet, source: &KeySource) -> std::result::Result<(), KeyChangeRefused> {
    match unlock::key_of(database.check()?.as_deref(), source) {
        Ok(Some(_)) => Err(KeyChangeRefused::NotLost(source.to_string())),
        Ok(None) => Err(KeyChangeRefused::NotSealed),
        Err(StoreError::Key(KeyFault::Missing(_) | KeyFault::Wrong(_))) => Ok(()),
        Err(other) => Err(other.into()),
    }
}

/// The condition on deliveries that are not completed and would be made without their secret, or without
/// headers of their event.
fn lost_their_secret() -> String {
    format!(
        "{NOT_COMPLETED}
         AND (secret IS NOT NULL OR event_seq IN (SELECT seq FROM events WHERE {}))",
        EVENT_HEADERS.filled()
    )
}

impl Losses {
    fn of(db: &Read<'_>) -> Result<Self> {
        let webhooks = format!(
            "SELECT id, name, status, CASE WHEN secret_value IS NOT NULL THEN secret_header END, {},
                    credentials IS NOT NULL
             FROM webhooks ORDER BY id",
            WEBHOOK_HEADERS.filled()
        );
        let deliveries = format!("SELECT count(*) FROM deliveries WHERE {}", lost_their_secret());
        Ok(Self {
            webhooks: db.all(&webhooks, &[], |row| {
                Ok(LosingWebhook {
                    id: row.get(0)?,
                    name: row.get(1)?,
                    status: row.parsed(2)?,
                    secret_header: row.get(3)?,
                    custom_headers: row.get(4)?,
                    credentials: row.get(5)?,
                })
            })?,
            deliveries: db.one(&deliveries, &[], |row| row.get(0))?,
            commands: COMMAND_PAYLOAD.count(db)? + BULK_PAYLOAD.count(db)?,
            events: EVENT_HEADERS.count(db)?,
            requests: REQUEST_HASH.count(db)?,
        })
    }
}

fn drop_all(w: &mut Tx<'_>) -> Result<Losses> {
    // Attempts that were under way when the gateway stopped wait too, from now on.
    outcomes::recover(w, Left { epoch: None, reason: GATEWAY_STOPPED })?;
    let losses = Losses::of(w)?;
    let cancel = format!(
        "UPDATE deliveries SET status = 'discarded', discarded_because = ?2, due_at_ms = NULL,
                               completed_at_ms = ?1
         WHERE {}",
        lost_their_secret()
    );
    w.run(&cancel, params![w.now, DiscardReason::Canceled.as_str()])?;
    // A completed delivery that is sent again needs a secret: without any it would go unsigned, and its
    // receiver could not tell it from anybody's.
    for column in [DELIVERY_SECRET, SIGNING_SECRET] {
        column.write(w, new_secret)?;
    }
    for webhook in &losses.webhooks {
        pause(w, webhook)?;
    }
    w.run("UPDATE events SET custom_headers = NULL WHERE custom_headers IS NOT NULL", &[])?;
    w.run("DELETE FROM webhook_previous_secrets", &[])?;
    w.run("DELETE FROM idempotent_requests", &[])?;
    let waiting = "SELECT id FROM commands WHERE sealed_payload IS NOT NULL ORDER BY seq";
    end::end_each(w, waiting, &[], CommandStatus::Canceled)?;
    bulk::cancel::stop_each(w, "SELECT seq FROM bulk_commands WHERE sealed_payload IS NOT NULL")?;
    settle_new(w, "secrets_drop")?;
    Ok(losses)
}

/// Takes a webhook's lost secrets out and pauses it. One that is disabled stays so, with one more reason.
fn pause(w: &Tx<'_>, webhook: &LosingWebhook) -> Result<()> {
    w.run(
        "UPDATE webhooks SET secret_value = NULL, custom_headers = ?3, credentials = NULL,
             status = CASE WHEN status = 'active' THEN 'paused' ELSE status END,
             paused_at_ms = CASE WHEN status IN ('active', 'paused') THEN coalesce(paused_at_ms, ?2) END,
             paused_until_ms = NULL,
             paused_reason = CASE WHEN status IN ('active', 'paused') THEN ?4 END,
             disabled_reason = CASE WHEN status IN ('active', 'paused') THEN disabled_reason
                                    ELSE coalesce(disabled_reason || '; ', '') || ?4 END,
             updated_at_ms = CASE WHEN ?2 > updated_at_ms THEN ?2 ELSE updated_at_ms + 1 END
         WHERE id = ?1",
        params![webhook.id, w.now, NO_HEADERS, webhook.reason()],
    )?;
    Ok(())
}

/// A signing secret that nobody knows yet.
fn new_secret() -> Result<String> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(StoreError::NoRandomness)?;
    Ok(format!("whsec_{}", STANDARD.encode(bytes)))
}

#[cfg(test)]
mod tests;
