//! The lanes of webhooks and of direct URLs' origins: their settings, and when the next delivery of each is
//! due.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use tracing::error;

use crate::Store;
use crate::deliveries::direct_url;
use crate::deliveries::lane_settings::{LaneSettings, LaneState};
use crate::engine::membership::Membership;
use crate::engine::row::Row;
use crate::engine::sql::params;
use crate::engine::tx::Read;
use crate::error::{Result, StoreError};
use crate::log::subscriptions::load_subscription;
use crate::log::waiting_deliveries::{BULK_WAITING, ORDERED_LIVE, UNORDERED_WAITING};
use crate::secrecy::vault::Vault;
use crate::webhooks::signing_secrets::previous_secrets;
use crate::webhooks::webhook_row::{self, COLUMN_COUNT, COLUMNS, StoredWebhook};
use vocabulary::clock::Timestamp;
use vocabulary::id::WebhookId;

/// A lane, and when its next delivery is due; `None` if no delivery waits.
pub type DueLane = (LaneSettings, Option<Timestamp>);

impl Store {
    /// Every webhook's lane and when its next delivery is due.
    pub async fn lanes(&self) -> Result<Vec<DueLane>> {
        let (vault, membership) = (self.vault(), self.inner.membership.clone());
        self.read(move |db| {
            let webhooks: Vec<(WebhookId, _)> =
                db.all(&SELECT, &[], |row| Ok((row.get(0)?, read(row, &vault))))?;
            let mut lanes = Vec::with_capacity(webhooks.len());
            for (id, webhook) in webhooks {
                lanes.push(or_out_of_order(id, webhook.and_then(|webhook| complete(db, webhook, &vault)))?);
            }
            lanes.extend(direct_url::lanes(db)?);
            lanes.iter_mut().for_each(|lane| mark_elsewhere(lane, &membership));
            Ok(lanes)
        })
        .await
    }

    /// These lanes and when the next delivery of each is due; `None` for a webhook or origin that does not
    /// exist.
    pub async fn lanes_of(&self, ids: BTreeSet<WebhookId>) -> Result<Vec<(WebhookId, Option<DueLane>)>> {
        let (vault, membership) = (self.vault(), self.inner.membership.clone());
        self.read(move |db| {
            let lane = |id| match one_lane(db, id, &vault).transpose() {
                Some(lane) => {
                    let mut lane = or_out_of_order(id, lane)?;
                    mark_elsewhere(&mut lane, &membership);
                    Ok((id, Some(lane)))
                }
                None => Ok((id, None)),
            };
            ids.into_iter().map(lane).collect()
        })
        .await
    }

    /// One webhook's lane; `None` if the webhook does not exist.
    ///
    /// # Errors
    /// [`StoreError::Setting`] if a setting cannot be read.
    pub async fn lane(&self, webhook_id: WebhookId) -> Result<Option<LaneSettings>> {
        let vault = self.vault();
        self.read(move |db| Ok(one_lane(db, webhook_id, &vault)?.map(|(settings, _)| settings))).await
    }
}

/// The query of a webhook and of the moment when its next delivery is due.
static SELECT: LazyLock<String> = LazyLock::new(|| {
    format!(
        "SELECT {COLUMNS},
           (SELECT min(due_at_ms) FROM deliveries WHERE webhook_id = w.id AND {UNORDERED_WAITING}),
           (SELECT min(due_at_ms) FROM deliveries WHERE webhook_id = w.id AND {BULK_WAITING}),
           EXISTS (SELECT 1 FROM deliveries WHERE webhook_id = w.id AND {ORDERED_LIVE})
         FROM webhooks w"
    )
});

fn one_lane(db: &Read<'_>, id: WebhookId, vault: &Vault) -> Result<Option<DueLane>> {
    if direct_url::is_origin(id) {
        return direct_url::lane(db, id);
    }
    let sql = format!("{} WHERE w.id = ?1", *SELECT);
    let webhook = db.maybe(&sql, params![id], |row| read(row, vault))?;
    webhook.map(|webhook| complete(db, webhook, vault)).transpose()
}

/// What another node sends is not sent here. What is disabled or out of order is so on every node.
fn mark_elsewhere((lane, _): &mut DueLane, membership: &Membership) {
    let is_sent = matches!(lane.state, LaneState::Active | LaneState::Paused { .. });
    if is_sent && !membership.holds(lane.webhook_id) {
        lane.state = LaneState::Elsewhere;
    }
}

/// A webhook whose settings cannot be read gets a lane that sends nothing; the other webhooks are not
/// touched.
fn or_out_of_order(webhook_id: WebhookId, lane: Result<DueLane>) -> Result<DueLane> {
    match lane {
        Err(error @ (StoreError::Setting(_) | StoreError::Corrupt(_) | StoreError::Cell(_))) => {
            error!(
                webhook.id = webhook_id,
                "webhook {webhook_id} is out of order, nothing is sent to it: {error}"
            );
            Ok((LaneSettings::out_of_order(webhook_id), None))
        }
        lane => lane,
    }
}

/// Reads a row of [`SELECT`].
fn read(row: &Row<'_>, vault: &Vault) -> Result<(StoredWebhook, Option<Timestamp>)> {
    let webhook = webhook_row::read(row, vault)?;
    let unordered: [Option<Timestamp>; 2] = [row.get(COLUMN_COUNT)?, row.get(COLUMN_COUNT + 1)?];
    // Only a claim finds out when deliveries in order are due, so the lane is due at once.
    let ordered = row.get::<bool>(COLUMN_COUNT + 2)?.then_some(Timestamp::from_unix_ms(0));
    Ok((webhook, ordered.or(unordered.into_iter().flatten().min())))
}

/// The lane of a webhook that was read.
fn complete(
    db: &Read<'_>,
    (webhook, due_at): (StoredWebhook, Option<Timestamp>),
    vault: &Vault,
) -> Result<DueLane> {
    let id = webhook.webhook.id;
    // A lane does not need the subscription, but a webhook does not send if one part of it cannot be read.
    load_subscription(db, id)?;
    // Expired secrets are included: the delivery engine does not sign with them.
    let previous = previous_secrets(db, vault, id, Timestamp::from_unix_ms(0))?;
    Ok((LaneSettings::of(webhook, previous)?, due_at))
}
