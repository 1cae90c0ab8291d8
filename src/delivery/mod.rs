//! The delivery engine sends every event at least once to every webhook that wants it. No endpoint slows down
//! another.
//!
//! The store says what is due, [`lane`]s decide how much of it may go now, [`attempt`]s go out through
//! `outbound`, and their outcomes go back to the store. The store knows everything that is under way.
//!
//! **Invariant**: a POST goes out only after the commit that holds its open attempt.

mod attempt;
pub mod breaker;
mod byte_budget;
mod dead_letter_events;
mod engine;
mod lane;
mod lanes;
mod replays;
mod sample_events;
pub mod schedule;
mod send;
mod settings;
mod target;
pub mod wait_reason;
pub mod webhook_rate;
mod webhook_test;

use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;

pub use engine::Engine;
pub use lane::{LaneView, LaneViews};
pub use settings::Settings;
pub use target::Target;
pub use webhook_test::{Tested, test_webhook, verify};

/// The longest sleep of the engine. It may take so long to notice that the machine's clock was set, which
/// moves the ends of pauses and the due times that are shown.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// A running engine.
#[derive(Debug)]
pub struct EngineHandle {
    task: JoinHandle<()>,
    views: watch::Receiver<LaneViews>,
}

impl EngineHandle {
    /// Every lane, as it was a moment ago. Keep the receiver to look again.
    pub fn views(&self) -> watch::Receiver<LaneViews> {
        self.views.clone()
    }

    /// Waits until the engine has ended after its `stop` was canceled.
    pub async fn join(self) {
        if let Err(error) = self.task.await {
            tracing::error!("the delivery engine broke: {error}");
        }
    }
}

#[cfg(test)]
mod tests;
