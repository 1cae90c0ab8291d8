//! How many deliveries came to their end by being sent, by quarters of an hour: a day is summed up from a few
//! thousand small rows, however many deliveries it had.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::time::Duration;

use crate::deliveries::direct_url::is_origin;
use crate::engine::sql::params;
use crate::engine::tx::{Read, Tx};
use crate::error::Result;
use crate::log::row_set::{as_list, in_list};
use crate::{Priority, Scope, Store};
use vocabulary::api::webhook_stats::Quarter;
use vocabulary::clock::Timestamp;
use vocabulary::id::WebhookId;

/// A tally is of so much time.
const SPAN: Duration = Duration::from_secs(900);

/// So long they are kept.
pub const TALLIES_KEPT: Duration = Duration::from_secs(2 * 86_400);

/// Rows that are removed in one step.
const REMOVED_AT_ONCE: usize = 500;

/// The tallies' own number for deliveries that have no webhook.
const NO_WEBHOOK: WebhookId = 0;

/// How many deliveries ended in some time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ended {
    /// They have arrived.
    pub succeeded: u64,
    /// They have become dead letters.
    pub failed: u64,
}

impl Store {
    /// Removes some of the tallies that began before `before`; false if none is left.
    pub async fn remove_tallies(&self, before: Timestamp) -> Result<bool> {
        let is_old = "SELECT 1 FROM delivery_tallies WHERE began_at_ms < ?1";
        // Nothing is written as long as there is nothing to remove.
        if !self.read(move |db| db.has(is_old, params![before])).await? {
            return Ok(false);
        }
        self.write(Priority::Retention, Scope::Installation, move |w| {
            let removed = w.run(
                "DELETE FROM delivery_tallies WHERE (began_at_ms, webhook_id, owner_id) IN
                    (SELECT began_at_ms, webhook_id, owner_id FROM delivery_tallies WHERE began_at_ms < ?1
                     LIMIT ?2)",
                params![before, REMOVED_AT_ONCE],
            )?;
            Ok(removed == REMOVED_AT_ONCE)
        })
        .await
    }
}

fn quarter(at: Timestamp) -> Timestamp {
    let span_ms = SPAN.as_millis() as i64;
    Timestamp::from_unix_ms(at.unix_ms().div_euclid(span_ms) * span_ms)
}

/// Adds deliveries of a lane that end now; `owner_id` is the webhook's owner, or the event's if the lane is
/// of an origin.
pub(crate) fn add(w: &Tx<'_>, lane: WebhookId, owner_id: Option<&str>, ended: Ended) -> Result<()> {
    if ended == Ended::default() {
        return Ok(());
    }
    let webhook_id = if is_origin(lane) { NO_WEBHOOK } else { lane };
    w.send(
        "INSERT INTO delivery_tallies (began_at_ms, webhook_id, owner_id, succeeded, failed)
         VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (began_at_ms, webhook_id, owner_id) DO UPDATE
         SET succeeded = delivery_tallies.succeeded + excluded.succeeded,
             failed = delivery_tallies.failed + excluded.failed",
        params![quarter(w.now), webhook_id, owner_id.unwrap_or_default(), ended.succeeded, ended.failed],
    )
}

/// What became of a webhook's deliveries, by quarters of an hour from the one that holds `since` on, the
/// oldest first; those in which nothing ended are left out. They go back for two days.
pub(crate) fn of_webhook(db: &Read<'_>, id: WebhookId, since: Timestamp) -> Result<Vec<Quarter>> {
    db.all(
        "SELECT began_at_ms, sum(succeeded), sum(failed) FROM delivery_tallies
         WHERE began_at_ms >= ?1 AND webhook_id = ?2 GROUP BY began_at_ms ORDER BY began_at_ms",
        params![quarter(since), id],
        |row| Ok(Quarter { at: row.get(0)?, succeeded: row.get(1)?, failed: row.get(2)? }),
    )
}

/// The same of several webhooks, in one walk through all tallies.
pub(crate) fn of_webhooks(
    db: &Read<'_>,
    ids: &[WebhookId],
    since: Timestamp,
) -> Result<HashMap<WebhookId, Vec<Quarter>>> {
    let sql = format!(
        "SELECT webhook_id, began_at_ms, sum(succeeded), sum(failed) FROM delivery_tallies
         WHERE began_at_ms >= ?1 AND {} GROUP BY began_at_ms, webhook_id ORDER BY began_at_ms",
        in_list("webhook_id")
    );
    let mut all = HashMap::<WebhookId, Vec<Quarter>>::new();
    db.each(&sql, params![quarter(since), as_list(ids)], |row| {
        let quarter = Quarter { at: row.get(1)?, succeeded: row.get(2)?, failed: row.get(3)? };
        all.entry(row.get(0)?).or_default().push(quarter);
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(all)
}

/// The deliveries that ended after `since`, exact to a quarter of an hour; `owner_id`: only that customer's.
pub(crate) fn since(db: &Read<'_>, since: Timestamp, owner_id: Option<&str>) -> Result<Ended> {
    db.one(
        "SELECT coalesce(sum(succeeded), 0), coalesce(sum(failed), 0) FROM delivery_tallies
         WHERE began_at_ms > ?1 AND (?2 IS NULL OR owner_id = ?2)",
        params![since.before(SPAN), owner_id],
        |row| Ok(Ended { succeeded: row.get(0)?, failed: row.get(1)? }),
    )
}
