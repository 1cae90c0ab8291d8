//! Replays on their way: step by step, in turns, and never far ahead of what is sent.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::store::{ReplayStep, Store};

/// How long replays rest when none of them can go on. What they wait for is sends, of which a lane makes
/// no signal.
const REST: Duration = Duration::from_millis(100);

/// How long they rest when the store has failed.
const AFTER_FAILURE: Duration = Duration::from_secs(2);

/// Goes on with every replay that was begun, until `stop`. What is not done then is done after the next start.
pub(super) async fn run(store: Store, stop: CancellationToken) {
    while !stop.is_cancelled() {
        let rest = match round(&store, &stop).await {
            Ok(Round::Moved) => continue,
            Ok(Round::Waits) => Some(REST),
            Ok(Round::Nothing) => None,
            Err(error) => {
                warn!("replays rest: {error}");
                Some(AFTER_FAILURE)
            }
        };
        tokio::select! {
            () = store.replays_begun() => {}
            () = rested(rest) => {}
            () = stop.cancelled() => return,
        }
    }
}

enum Round {
    /// Some went on.
    Moved,
    /// All wait for their deliveries to be sent.
    Waits,
    /// None runs.
    Nothing,
}

async fn round(store: &Store, stop: &CancellationToken) -> crate::store::Result<Round> {
    let mut round = Round::Nothing;
    for replay in store.running_replays().await? {
        if stop.is_cancelled() {
            break;
        }
        match store.replay_step(replay).await? {
            ReplayStep::Made => round = Round::Moved,
            ReplayStep::Waits if matches!(round, Round::Nothing) => round = Round::Waits,
            ReplayStep::Waits | ReplayStep::Ended => {}
        }
    }
    Ok(round)
}

async fn rested(rest: Option<Duration>) {
    match rest {
        Some(rest) => tokio::time::sleep(rest).await,
        None => std::future::pending().await,
    }
}
