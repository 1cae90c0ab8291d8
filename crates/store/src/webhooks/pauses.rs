//! Pauses: a webhook's deliveries wait, nothing is sent, and no attempt is spent.
//!
//! Time in a pause does not count. The waits that end in a dead letter or in another delivery's turn start
//! again at the end of the pause (`resumed_at_ms`), and the start of a row of failures moves on by the length
//! of the pause. A pause changes one row, however many deliveries wait.

use crate::engine::sql::{Param, ToParam, params};
use crate::engine::tx::Tx;
use crate::error::Result;
use crate::log::subscriptions::webhook_status;
use crate::webhooks::settings::{changed, shown};
use crate::{Priority, Scope, Store};
use vocabulary::api::webhook::Webhook;
use vocabulary::clock::Timestamp;
use vocabulary::id::WebhookId;

/// The result of a request to pause or resume a webhook.
#[derive(Debug, Clone)]
pub enum Paused {
    /// The webhook is in the requested state, and perhaps was before.
    Done(Box<Webhook>),
    /// Nothing was changed: the webhook is disabled.
    Disabled,
    /// The webhook does not exist.
    Unknown,
}

impl Store {
    /// Pauses a webhook until `until`, or until it is resumed. A paused webhook gets the new end.
    pub async fn pause_webhook(&self, id: WebhookId, until: Option<Timestamp>) -> Result<Paused> {
        self.write(Priority::Api, Scope::Webhook(id), move |w| {
            if let Some(refused) = refusal(w, id)? {
                return Ok(refused);
            }
            w.run(
                "UPDATE webhooks SET status = 'paused', paused_at_ms = coalesce(paused_at_ms, ?2),
                        paused_until_ms = ?3,
                        updated_at_ms = CASE WHEN ?2 > updated_at_ms THEN ?2 ELSE updated_at_ms + 1 END
                 WHERE id = ?1",
                params![id, w.now, until],
            )?;
            changed(w, id)?;
            shown(w, id).map(|webhook| Paused::Done(Box::new(webhook)))
        })
        .await
    }

    /// Ends a webhook's pause: deliveries that became due meanwhile are sent at once. A webhook that is not
    /// paused stays as it is.
    pub async fn resume_webhook(&self, id: WebhookId) -> Result<Paused> {
        self.write(Priority::Api, Scope::Webhook(id), move |w| {
            if let Some(refused) = refusal(w, id)? {
                return Ok(refused);
            }
            resume(w, "id = ?2", id.to_param())?;
            shown(w, id).map(|webhook| Paused::Done(Box::new(webhook)))
        })
        .await
    }

    /// Ends every pause that has expired.
    pub async fn end_pauses(&self) -> Result<()> {
        self.write(Priority::Outcome, Scope::Installation, |w| {
            let now = w.now;
            resume(w, "paused_until_ms <= ?2", now.to_param())
        })
        .await
    }
}

fn refusal(w: &Tx<'_>, id: WebhookId) -> Result<Option<Paused>> {
    Ok(match webhook_status(w, id)? {
        None => Some(Paused::Unknown),
        Some(status) if !status.is_enabled() => Some(Paused::Disabled),
        Some(_) => None,
    })
}

fn resume(w: &mut Tx<'_>, which: &str, value: Param<'_>) -> Result<()> {
    // The later of the first failure and the start of the pause moves on by the length of the pause.
    let sql = format!(
        "UPDATE webhooks SET status = 'active', paused_at_ms = NULL, paused_until_ms = NULL,
                paused_reason = NULL, resumed_at_ms = ?3,
                failing_since_ms = failing_since_ms + CASE
                    WHEN paused_at_ms - ?4 > failing_since_ms AND paused_at_ms - ?4 < ?3
                        THEN ?3 - paused_at_ms + ?4
                    WHEN failing_since_ms >= paused_at_ms - ?4 AND failing_since_ms < ?3
                        THEN ?3 - failing_since_ms
                    ELSE 0 END,
                updated_at_ms = CASE WHEN ?1 > updated_at_ms THEN ?1 ELSE updated_at_ms + 1 END
         WHERE status = 'paused' AND {which} RETURNING id"
    );
    let ahead_ms = w.now.unix_ms() - w.monotonic.unix_ms();
    let values = [w.now.to_param(), value, w.monotonic.to_param(), ahead_ms.to_param()];
    let resumed: Vec<WebhookId> = w.all(&sql, &values, |row| row.get(0))?;
    resumed.into_iter().try_for_each(|id| changed(w, id))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::LaneClaim;
    use crate::seed::SeedWebhook;
    use vocabulary::clock::Clock;

    const HOUR: Duration = Duration::from_secs(3_600);

    async fn bench(seed: SeedWebhook) -> (tempfile::TempDir, Store, Clock, WebhookId) {
        let dir = tempfile::tempdir().expect("a directory");
        let clock = Clock::manual(Timestamp::from_unix_ms(1_776_170_096_789));
        let store = Store::open(dir.path(), clock.clone()).expect("a store");
        let webhook = store.seed_webhook(seed).await.expect("stored");
        (dir, store, clock, webhook)
    }

    async fn claimed(store: &Store, webhook_id: WebhookId) -> usize {
        let claim = LaneClaim {
            webhook_id,
            limit: 10,
            resends_only: false,
            order_max_wait: HOUR,
            after_station: String::new(),
        };
        store.claim(vec![claim], |_, _| true).await.expect("claimed").remove(0).deliveries.len()
    }

    async fn pause_for(store: &Store, clock: &Clock, webhook: WebhookId, how_long: Duration) {
        store.pause_webhook(webhook, None).await.expect("paused");
        clock.advance(how_long);
        assert_eq!(claimed(store, webhook).await, 0, "nothing is sent in a pause");
        store.resume_webhook(webhook).await.expect("resumed");
    }

    #[tokio::test]
    async fn an_age_that_was_spent_in_a_pause_makes_no_dead_letter() {
        let (_dir, store, clock, webhook) = bench(SeedWebhook::to("https://example.com/")).await;
        store.seed_events("CP_1", 1).await.expect("stored");
        let given_up = |store: Store, clock: Clock| async move {
            let began_before = clock.now().before(HOUR);
            store.give_up_waiting(webhook, began_before, 0).await.expect("looked at").unannounced.len()
        };
        store.pause_webhook(webhook, None).await.expect("paused");
        clock.advance(HOUR * 5);
        assert_eq!(given_up(store.clone(), clock.clone()).await, 0, "a probe that ended in the pause");
        store.resume_webhook(webhook).await.expect("resumed");
        assert_eq!(
            given_up(store.clone(), clock.clone()).await,
            0,
            "its age counts from the end of the pause"
        );
        clock.advance(HOUR + Duration::from_secs(1));
        assert_eq!(given_up(store, clock).await, 1);
    }

    #[tokio::test]
    async fn a_pause_does_not_let_others_overtake() {
        let seed = SeedWebhook { ordering: "station", ..SeedWebhook::to("https://example.com/") };
        let (_dir, store, clock, webhook) = bench(seed).await;
        store.seed_events("CP_1", 2).await.expect("stored");
        assert_eq!(claimed(&store, webhook).await, 1, "the first blocks the second");
        pause_for(&store, &clock, webhook, HOUR * 5).await;
        assert_eq!(claimed(&store, webhook).await, 0, "it has blocked for no time at all");
        clock.advance(HOUR);
        assert_eq!(claimed(&store, webhook).await, 1);
    }

    #[tokio::test]
    async fn the_way_to_being_disabled_stands_still_in_a_pause() {
        let (_dir, store, clock, webhook) = bench(SeedWebhook::to("https://example.com/")).await;
        let since = "SELECT failing_since_ms FROM webhooks";
        store.seed_run("UPDATE webhooks SET failing_since_ms = 1776170096789").await;
        clock.advance(HOUR);
        pause_for(&store, &clock, webhook, HOUR * 100).await;
        assert_eq!(clock.now().unix_ms() - store.seed_number(since).await, 3_600_000);
    }

    #[tokio::test]
    async fn a_pause_whose_time_is_up_is_over_and_no_other() {
        let (_dir, store, clock, webhook) = bench(SeedWebhook::to("https://example.com/")).await;
        let other = store.seed_webhook(SeedWebhook::to("https://example.com/")).await.expect("stored");
        store.pause_webhook(webhook, Some(clock.now().after(HOUR))).await.expect("paused");
        store.pause_webhook(other, None).await.expect("paused");
        let paused = "SELECT sum(id) FROM webhooks WHERE status = 'paused'";
        clock.advance(HOUR - Duration::from_millis(1));
        store.end_pauses().await.expect("written");
        assert_eq!(store.seed_number(paused).await, webhook + other);
        clock.advance(Duration::from_millis(1));
        store.end_pauses().await.expect("written");
        assert_eq!(store.seed_number(paused).await, other);
    }
}
