//! Runs replays: step by step, in turns, and never far ahead of the sends.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use tracing::warn;

use store::{ReplayStep, ResendWalk, Result, Store};
use vocabulary::log_limit::limited;

/// Pause when no replay can go on. They wait for sends, and lanes do not signal those.
const REST: Duration = Duration::from_millis(100);

/// Pause after a failure of the store.
const AFTER_FAILURE: Duration = Duration::from_secs(2);

/// Runs every started replay until `stop`. The rest is done after the next start.
pub(super) async fn run(store: Store, stop: CancellationToken) {
    let mut replays = Replays::new(store);
    while !stop.is_cancelled() {
        // One node makes them for all.
        let round = match replays.store.leads() {
            true => replays.round(&stop).await,
            false => Ok(Round::Waits),
        };
        let rest = match round {
            Ok(Round::Moved) => continue,
            Ok(Round::Waits) => Some(REST),
            Ok(Round::Nothing) => None,
            Err(error) => {
                limited!(warn: "replays rest: {error}");
                Some(AFTER_FAILURE)
            }
        };
        tokio::select! {
            () = replays.store.replays_begun() => {}
            () = rested(rest) => {}
            () = stop.cancelled() => return,
        }
    }
}

enum Round {
    /// Some made a step.
    Moved,
    /// All wait for sends, or after a failure.
    Waits,
    /// None runs.
    Nothing,
}

struct Replays {
    store: Store,
    /// Replays, by their rows, whose last step failed, and when. They do not hold up the others.
    failed: HashMap<i64, Instant>,
    /// How far replays over several webhooks, by their rows, have come.
    walks: HashMap<i64, ResendWalk>,
}

impl Replays {
    fn new(store: Store) -> Self {
        Self { store, failed: HashMap::new(), walks: HashMap::new() }
    }

    async fn round(&mut self, stop: &CancellationToken) -> Result<Round> {
        let mut round = Round::Nothing;
        let running = self.store.running_replays().await?;
        self.walks.retain(|replay, _| running.contains(replay));
        self.failed.retain(|replay, at| running.contains(replay) && at.elapsed() < AFTER_FAILURE);
        for replay in running {
            if stop.is_cancelled() {
                break;
            }
            let step = match self.failed.contains_key(&replay) {
                true => ReplayStep::Waits,
                false => self.step(replay).await,
            };
            match step {
                ReplayStep::Made => round = Round::Moved,
                ReplayStep::Waits if matches!(round, Round::Nothing) => round = Round::Waits,
                ReplayStep::Waits | ReplayStep::Ended => {}
            }
        }
        Ok(round)
    }

    async fn step(&mut self, replay: i64) -> ReplayStep {
        match self.store.replay_step(replay, self.walks.entry(replay).or_default()).await {
            Ok(step) => step,
            Err(error) => {
                limited!(warn: "replay {replay} rests: {error}");
                self.failed.insert(replay, Instant::now());
                ReplayStep::Waits
            }
        }
    }
}

async fn rested(rest: Option<Duration>) {
    match rest {
        Some(rest) => tokio::time::sleep(rest).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use store::seed::SeedWebhook;
    use vocabulary::api::command::RequestedBy;
    use vocabulary::api::replay::ReplayStatus;
    use vocabulary::clock::{Clock, Timestamp};
    use vocabulary::id::ApiKeyId;

    #[tokio::test]
    async fn a_replay_that_cannot_go_on_does_not_hold_up_the_next() {
        let dir = tempfile::tempdir().expect("a directory");
        let clock = Clock::manual(Timestamp::from_unix_ms(1_776_168_000_000));
        let store = Store::open(dir.path(), clock).expect("a store");
        store.seed_webhook(SeedWebhook::to("http://127.0.0.1:1")).await.expect("a webhook");
        store.seed_events("CP", 3).await.expect("events");
        store
            .seed_run(
                "UPDATE deliveries SET status = 'failed', due_at_ms = NULL, completed_at_ms = created_at_ms",
            )
            .await;
        store
            .seed_run(
                "INSERT INTO replays (id, webhook_id, selection, status, matched, position, end_position,
                     requested_by_id, requested_by_name, requested_at_ms, created_at_ms)
                 SELECT column1, 1, column2, 'running', 3, 0, 3, 'k', 'k', 1776168000000, 1 FROM (VALUES
                     ('rpl_1', 'nobody can read this'),
                     ('rpl_2', '{\"kind\":\"resend\",\"status\":[\"failed\"],\"webhook_id\":1,\"events\":[]}'))",
            )
            .await;
        let mut replays = Replays::new(store.clone());
        let stop = CancellationToken::new();
        while !matches!(replays.round(&stop).await, Ok(Round::Waits)) {}
        assert_eq!(replays.failed.keys().collect::<Vec<_>>(), [&1]);
        assert_eq!(store.seed_number("SELECT done FROM replays WHERE seq = 2").await, 3);
        assert_eq!(store.seed_text("SELECT status FROM replays WHERE seq = 1").await, "running");
    }

    #[tokio::test]
    async fn a_resend_over_several_webhooks_runs_ahead_of_none_and_none_waits_for_another() {
        const EACH: i64 = 1_000;
        const AHEAD: i64 = 400;
        let dir = tempfile::tempdir().expect("a directory");
        let clock = Clock::manual(Timestamp::from_unix_ms(1_776_168_000_000));
        let store = Store::open(dir.path(), clock.clone()).expect("a store");
        for _ in 0..2 {
            store.seed_webhook(SeedWebhook::to("http://127.0.0.1:1")).await.expect("a webhook");
        }
        store.seed_events("CP", EACH as usize).await.expect("events");
        store
            .seed_run(
                "UPDATE deliveries SET status = 'failed', due_at_ms = NULL, completed_at_ms = created_at_ms",
            )
            .await;
        let selection =
            r#"{"kind": "resend", "status": ["failed"], "events": [], "since": "2020-01-01T00:00:00Z"}"#;
        let selection = serde_json::from_str(selection).expect("a selection");
        let counted = store.count_replay(selection, None, clock.now()).await.expect("counted");
        assert_eq!(counted.matched, 2 * EACH as u64);
        let by = RequestedBy { id: ApiKeyId::from_value(1), name: "k".to_owned() };
        let begun = store.create_replay(counted, None, by).await.expect("begun");

        let stop = CancellationToken::new();
        let rest = async |replays: &mut Replays| {
            while matches!(replays.round(&stop).await, Ok(Round::Moved)) {}
        };
        let waiting = async || {
            let first = "SELECT count(*) FROM deliveries WHERE webhook_id = 1 AND status = 'scheduled'";
            let second = "SELECT count(*) FROM deliveries WHERE webhook_id = 2 AND status = 'scheduled'";
            (store.seed_number(first).await, store.seed_number(second).await)
        };
        let done = async || store.replay(begun.id, None).await.expect("read").expect("there");
        let mut replays = Replays::new(store.clone());
        rest(&mut replays).await;
        assert_eq!(waiting().await, (AHEAD, AHEAD));

        // The first takes nothing; all of the second's arrives.
        let mut rounds = 0;
        while waiting().await.1 > 0 {
            store
                .seed_run(
                    "UPDATE deliveries SET status = 'success', due_at_ms = NULL, completed_at_ms = scheduled_at_ms
                     WHERE webhook_id = 2 AND status = 'scheduled'",
                )
                .await;
            rest(&mut replays).await;
            rounds += 1;
            assert!(rounds < 10, "it comes to its end");
        }
        assert_eq!(waiting().await, (AHEAD, 0));
        assert_eq!(store.seed_number("SELECT count(*) FROM deliveries WHERE status = 'success'").await, EACH);
        assert_eq!((done().await.done, done().await.status), ((EACH + AHEAD) as u64, ReplayStatus::Running));

        // As after a restart: it goes on from what is stored, and makes nothing twice.
        let mut replays = Replays::new(store.clone());
        rest(&mut replays).await;
        assert_eq!((waiting().await, done().await.done), ((AHEAD, 0), (EACH + AHEAD) as u64));
        while done().await.status == ReplayStatus::Running {
            store
                .seed_run(
                    "UPDATE deliveries SET status = 'success', due_at_ms = NULL, completed_at_ms = scheduled_at_ms
                     WHERE status = 'scheduled'",
                )
                .await;
            rest(&mut replays).await;
            rounds += 1;
            assert!(rounds < 20, "it comes to its end");
        }
        assert_eq!((done().await.done, done().await.status), (2 * EACH as u64, ReplayStatus::Done));
    }
}
