//! Keeps the search index behind the log: in short steps, with rests between them, and never in the way of a
//! write.

use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use store::{LogPosition, Result, Store};
use vocabulary::log_limit::limited;

/// How many events may come together before the next step: many small steps would cost more than a few large
/// ones.
const GATHER: Duration = Duration::from_millis(500);

/// Between two steps it rests for so many times as long as a step took: a quarter of a core at most.
const REST_FACTOR: u32 = 3;
const REST_MIN: Duration = Duration::from_millis(1);
const REST_MAX: Duration = Duration::from_millis(200);

/// How often what retention has removed is looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(600);

/// How long it rests when the store or the index has failed.
const AFTER_FAILURE: Duration = Duration::from_secs(30);

/// So far behind, it tells when it has caught up.
const FAR_BEHIND: u64 = 50_000;

/// Opens the index and follows the log, until `stop`.
pub fn start(store: Store, stop: CancellationToken) -> JoinHandle<()> {
    tokio::spawn(async move {
        while let Err(error) = store.open_search().await {
            warn!("the search index cannot be opened, payloads are searched one by one: {error}");
            if rested(AFTER_FAILURE, &stop).await {
                return;
            }
        }
        let mut sweep_at = Instant::now() + SWEEP_EVERY;
        let mut tail = store.tail();
        while !stop.is_cancelled() {
            tail.mark_unchanged();
            if let Err(error) = follow(&store, &mut sweep_at, &stop).await {
                limited!(warn: "the search index falls behind: {error}");
                if rested(AFTER_FAILURE, &stop).await {
                    return;
                }
                continue;
            }
            tokio::select! {
                changed = tail.changed() => if changed.is_err() || rested(GATHER, &stop).await { return },
                () = tokio::time::sleep_until(sweep_at) => {}
                () = stop.cancelled() => return,
            }
        }
    })
}

/// Takes in all there is, and forgets what is gone if it is time to.
async fn follow(store: &Store, sweep_at: &mut Instant, stop: &CancellationToken) -> Result<()> {
    let behind = store.search_behind();
    if behind > FAR_BEHIND {
        info!("the search index takes in {behind} events");
    }
    loop {
        let step = store.index_step().await?;
        if !step.more {
            break;
        }
        if rested((step.took * REST_FACTOR).clamp(REST_MIN, REST_MAX), stop).await {
            return Ok(());
        }
    }
    if behind > FAR_BEHIND {
        info!("the search index has caught up");
    }
    if Instant::now() >= *sweep_at {
        let mut next = Some(LogPosition::START);
        while let Some(behind) = next {
            next = store.sweep_index(behind).await?;
            if rested(REST_MIN, stop).await {
                return Ok(());
            }
        }
        *sweep_at = Instant::now() + SWEEP_EVERY;
    }
    Ok(())
}

/// Rests; true if it is time to stop.
async fn rested(span: Duration, stop: &CancellationToken) -> bool {
    tokio::select! {
        () = sleep(span) => false,
        () = stop.cancelled() => true,
    }
}
